package dev.kith.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LibraryLoaderTest {
  @TempDir Path folder;
  private final Map<String, String> properties = new HashMap<>();
  private final Map<String, String> environment = new HashMap<>();

  @BeforeEach
  void surroundings() {
    for (String name : List.of("os.name", "os.arch")) {
      properties.put(name, System.getProperty(name));
    }
    properties.put("user.name", "somebody");
    properties.put("user.home", folder.resolve("home").toString());
    properties.put("java.io.tmpdir", folder.resolve("tmp").toString());
  }

  private Abi load() {
    return load(Library.CPU);
  }

  private Abi load(Library library) {
    return new LibraryLoader(library, properties::get, environment::get).load();
  }

  private String failure() {
    return assertThrows(UnsatisfiedLinkError.class, this::load).getMessage();
  }

  private static void contains(String text, String... parts) {
    for (String part : parts) {
      assertTrue(text.contains(part), () -> "\"" + part + "\" is not in: " + text);
    }
  }

  @Test
  void theLibraryOfTheJarIsExtractedForItsOwnerOnly() throws IOException {
    Abi abi = load();
    assertEquals("cpu", abi.backend());
    Path library = Path.of(abi.path());
    assertTrue(library.startsWith(folder.resolve("tmp").resolve("kith-somebody")), abi.path());
    assertEquals("rwx------", permissions(library.getParent()));
    assertEquals("rwx------", permissions(library.getParent().getParent()));
    try (Stream<Path> files = Files.list(library.getParent())) {
      assertEquals(List.of(library), files.toList());
    }
  }

  private static String permissions(Path path) throws IOException {
    return PosixFilePermissions.toString(Files.getPosixFilePermissions(path));
  }

  @Test
  void anIntactCopyIsUsedAgain() throws IOException {
    Path library = Path.of(load().path());
    Object key = Files.getAttribute(library, "unix:ino");
    assertEquals(library, Path.of(load().path()));
    assertEquals(key, Files.getAttribute(library, "unix:ino"));
  }

  @Test
  void aDamagedCopyIsReplaced() throws IOException {
    Path library = Path.of(load().path());
    byte[] intact = Files.readAllBytes(library);
    // Written beside and renamed: this process has the file mapped.
    Path damaged = library.resolveSibling("damaged");
    byte[] changed = intact.clone();
    changed[changed.length / 2] ^= 1;
    Files.write(damaged, changed);
    Files.move(damaged, library, java.nio.file.StandardCopyOption.REPLACE_EXISTING);
    assertEquals(library, Path.of(load().path()));
    assertTrue(java.util.Arrays.equals(intact, Files.readAllBytes(library)));
  }

  @Test
  void theCacheFolderComesFirst() {
    Path cache = folder.resolve("cache");
    properties.put("dev.kith.cache", cache.toString());
    assertTrue(Path.of(load().path()).startsWith(cache));
  }

  @Test
  void aFolderThatDoesNotTakeItIsPassedOver() throws IOException {
    Files.writeString(folder.resolve("tmp"), "a file where a folder should be");
    environment.put("XDG_CACHE_HOME", folder.resolve("xdg").toString());
    assertTrue(Path.of(load().path()).startsWith(folder.resolve("xdg").resolve("kith")));
  }

  @Test
  void aCacheFolderThatIsNoPathIsPassedOver() {
    properties.put("dev.kith.cache", "a\0b");
    assertTrue(Path.of(load().path()).startsWith(folder.resolve("tmp")));
  }

  @Test
  void emptySettingsAreNone() {
    properties.put("dev.kith.library", "");
    properties.put("dev.kith.cache", "");
    environment.put("KITH_LIBRARY", "");
    environment.put("XDG_CACHE_HOME", "");
    assertTrue(Path.of(load().path()).startsWith(folder.resolve("tmp")));
  }

  @Test
  void aFolderThatOthersCanWriteToIsPassedOver() throws IOException {
    Path shared = Files.createDirectories(folder.resolve("tmp").resolve("kith-somebody"));
    Files.setPosixFilePermissions(shared, PosixFilePermissions.fromString("rwxrwxrwx"));
    assertTrue(Path.of(load().path()).startsWith(folder.resolve("home").resolve(".cache")));
  }

  /** Whoever makes the link decides later where it points to. */
  @Test
  void aFolderThatIsASymbolicLinkIsPassedOver() throws IOException {
    Path elsewhere = privateFolder(folder.resolve("elsewhere"));
    Path tmp = Files.createDirectories(folder.resolve("tmp"));
    Path link = Files.createSymbolicLink(tmp.resolve("kith-somebody"), elsewhere);
    Path library = Path.of(load().path());
    assertTrue(library.startsWith(folder.resolve("home").resolve(".cache")), library.toString());
    assertEmpty(elsewhere);
    properties.put("user.home", "/proc/none");
    contains(failure(), link + " is a symbolic link", "-Ddev.kith.cache=FOLDER");
  }

  @Test
  void aFolderOfTheVersionThatIsASymbolicLinkIsPassedOver() throws IOException {
    Path version = Path.of(load().path()).getParent();
    Path elsewhere = folder.resolve("elsewhere");
    Files.move(version, elsewhere);
    Files.createSymbolicLink(version, elsewhere);
    Path library = Path.of(load().path());
    assertTrue(library.startsWith(folder.resolve("home").resolve(".cache")), library.toString());
  }

  @Test
  void aSymbolicLinkInPlaceOfTheLibraryIsReplaced() throws IOException {
    Path library = Path.of(load().path());
    Path intact = folder.resolve("intact.so");
    Files.move(library, intact);
    Files.createSymbolicLink(library, intact);
    assertEquals(library, Path.of(load().path()));
    assertTrue(Files.isRegularFile(library, LinkOption.NOFOLLOW_LINKS), "the link is still there");
    assertEquals(-1, Files.mismatch(intact, library));
  }

  @Test
  void aFolderOfAnotherUserIsPassedOver() throws IOException {
    Path foreign =
        privateFolder(Files.createDirectories(folder.resolve("tmp")).resolve("kith-somebody"));
    try {
      Files.setAttribute(foreign, "unix:uid", 65_534);
    } catch (FileSystemException e) {
      assumeTrue(false, "only root can give a folder to another user: " + e.getMessage());
    }
    Path library = Path.of(load().path());
    assertTrue(library.startsWith(folder.resolve("home").resolve(".cache")), library.toString());
    assertEmpty(foreign);
    properties.put("user.home", "/proc/none");
    contains(failure(), foreign + " belongs to another user");
  }

  private static Path privateFolder(Path path) throws IOException {
    return Files.createDirectory(
        path, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
  }

  private static void assertEmpty(Path path) throws IOException {
    try (Stream<Path> files = Files.list(path)) {
      assertEquals(List.of(), files.toList());
    }
  }

  @Test
  void oneErrorListsAllAttemptsAndTheRemedy() throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "");
    Path shared = Files.createDirectories(folder.resolve("tmp").resolve("kith-somebody"));
    Files.setPosixFilePermissions(shared, PosixFilePermissions.fromString("rwxrwxrwx"));
    properties.put("dev.kith.cache", file.resolve("cache").toString());
    environment.put("XDG_CACHE_HOME", file.toString());
    String text = failure();
    contains(
        text,
        file.resolve("cache") + ": ",
        "tmp/kith-somebody: ",
        "can be written to by others (rwxrwxrwx; chmod 700 mends it)",
        file.resolve("kith") + ": ",
        "-Ddev.kith.cache=FOLDER",
        "-Ddev.kith.library=PATH");
    assertEquals(-1, text.indexOf('\n'));
  }

  /** A folder on a file system that refuses execution, as hardened machines mount /tmp. */
  @Test
  void aNoexecFolderIsNamedAsSuch() throws IOException {
    Path mount = noexecMount();
    Path cache = Files.createTempDirectory(mount, "kith-test");
    try {
      properties.put("dev.kith.cache", cache.toString());
      properties.put("java.io.tmpdir", "/proc/none");
      properties.put("user.home", "/proc/none");
      contains(failure(), cache + ": ", "is mounted noexec");
    } finally {
      try (Stream<Path> files = Files.walk(cache)) {
        files.sorted(java.util.Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
      }
    }
  }

  private static Path noexecMount() throws IOException {
    List<Path> mounts =
        Files.readAllLines(Path.of("/proc/mounts")).stream()
            .map(line -> line.split(" "))
            .filter(words -> List.of(words[3].split(",")).contains("noexec"))
            .map(words -> Path.of(words[1]))
            .filter(path -> !path.startsWith("/proc") && !path.startsWith("/sys"))
            .filter(path -> Files.isDirectory(path) && Files.isWritable(path))
            .toList();
    assumeTrue(!mounts.isEmpty(), "this machine has no writable file system mounted noexec");
    return mounts.getFirst();
  }

  @Test
  void theTextOfTheDynamicLinkerTellsNoexecFromTheRest() {
    Path library = folder.resolve("libkith.so");
    contains(
        DynamicLinker.explain(
            library,
            library + ": failed to map segment from shared object: Operation not permitted"),
        "the file system of " + folder + " is mounted noexec");
    assertEquals("wrong ELF class", DynamicLinker.explain(library, "wrong ELF class"));
  }

  @Test
  void anOverrideIsUsed() {
    String copy = load().path();
    properties.put("dev.kith.library", copy);
    properties.put("java.io.tmpdir", "/proc/none");
    assertEquals(copy, load().path());
    properties.remove("dev.kith.library");
    environment.put("KITH_LIBRARY", copy);
    assertEquals(copy, load().path());
  }

  @Test
  void anOverrideThatDoesNotExistIsAnErrorAndNothingElseIsTried() {
    properties.put("dev.kith.library", "/nowhere/libkith.so");
    contains(
        failure(),
        "the property dev.kith.library names /nowhere/libkith.so",
        "there is no such file",
        "remove the setting");
    properties.remove("dev.kith.library");
    environment.put("KITH_LIBRARY", "/nowhere/else.so");
    contains(failure(), "the environment variable KITH_LIBRARY names /nowhere/else.so");
    properties.put("dev.kith.library", "a\0b");
    contains(failure(), "the property dev.kith.library names");
  }

  @Test
  void anOverrideThatIsNoLibrarySaysWhatTheDynamicLinkerSays() throws IOException {
    Path text = Files.writeString(folder.resolve("libkith.so"), "hello");
    properties.put("dev.kith.library", text.toString());
    contains(failure(), text.toString(), "file too short");
  }

  @Test
  void aLibraryOfAnotherVersionSaysWhatToUpgrade() throws Exception {
    properties.put("dev.kith.library", fake("newer", (Abi.MAJOR + 1) << 16).toString());
    contains(
        failure(),
        "implements version " + (Abi.MAJOR + 1) + ".0",
        "needs " + Abi.MAJOR + "." + Abi.MINOR,
        "upgrade the jar");
    properties.put("dev.kith.library", fake("older", (Abi.MAJOR - 1) << 16 | 7).toString());
    contains(failure(), "implements version " + (Abi.MAJOR - 1) + ".7", "upgrade the library");
  }

  @Test
  void aLibraryOfALaterMinorVersionIsWelcome() {
    Abi.checkVersion(Abi.MAJOR << 16 | (Abi.MINOR + 1), "later");
    Abi.checkVersion(Abi.MAJOR << 16 | Abi.MINOR, "same");
    // The other direction, which needs a minor version above 0 to be possible.
    contains(Abi.mismatch(1, 2, 1, 3, "libkith.so"), "version 1.2", "1.3", "upgrade the library");
    contains(Abi.mismatch(2, 0, 1, 3, "libkith.so"), "upgrade the jar");
  }

  @Test
  void aLibraryThatLacksASymbolNamesIt() throws Exception {
    properties.put("dev.kith.library", fake("empty", Abi.MAJOR << 16 | Abi.MINOR).toString());
    contains(failure(), "has no symbol kith_build_info");
  }

  /** Compiles a library that knows its version and nothing else. */
  private Path fake(String name, int version) throws Exception {
    Path source =
        Files.writeString(
            folder.resolve(name + ".c"), "int kith_abi_version(void) { return " + version + "; }");
    Path library = folder.resolve("lib" + name + ".so");
    Process compiler;
    try {
      compiler =
          new ProcessBuilder("gcc", "-shared", "-fPIC", "-o", library.toString(), source.toString())
              .inheritIO()
              .start();
    } catch (IOException e) {
      assumeTrue(false, "this machine has no gcc");
      throw e;
    }
    assertEquals(0, compiler.waitFor());
    return library;
  }

  @Test
  void anotherPlatformIsToldHowToBuild() {
    properties.put("os.name", "Mac OS X");
    properties.put("os.arch", "aarch64");
    contains(
        failure(),
        "no library for mac-os-x-aarch64",
        "cmake -S native -B build",
        "KITH_LIBRARY=PATH");
  }

  @Test
  void everyLibraryHasSettingsOfItsOwn() {
    String cpu = load().path();
    for (Library other : List.of(Library.CUDA, Library.EMULATED)) {
      properties.put("dev.kith." + other.backend() + ".library", cpu);
      String text =
          assertThrows(UnsatisfiedLinkError.class, () -> load(other), other.backend()).getMessage();
      contains(
          text,
          "the property dev.kith." + other.backend() + ".library names " + cpu,
          "is the library of device cpu, not of " + other.backend());
      properties.remove("dev.kith." + other.backend() + ".library");
    }
    environment.put("KITH_CUDA_LIBRARY", "/nowhere/c.so");
    environment.put("KITH_EMULATED_LIBRARY", "/nowhere/e.so");
    for (Library other : List.of(Library.CUDA, Library.EMULATED)) {
      contains(
          assertThrows(UnsatisfiedLinkError.class, () -> load(other)).getMessage(),
          "the environment variable KITH_" + other.name() + "_LIBRARY names /nowhere/");
    }
    assertEquals(cpu, load().path());
  }

  @Test
  void aTreeOfSourcesIsSearchedFromItsRoot() throws IOException {
    Path inside = Files.createDirectories(folder.resolve("a/java/lab/target/lib"));
    assertEquals(Optional.empty(), LibraryLoader.built(inside, "libkith_cuda.so"));
    Files.createDirectories(folder.resolve("a/native/include"));
    Files.writeString(folder.resolve("a/native/include/kith.h"), "");
    assertEquals(Optional.empty(), LibraryLoader.built(inside, "libkith_cuda.so"));
    Path built = Files.createDirectories(folder.resolve("a/java/kernels/target/cuda"));
    Path library = Files.writeString(built.resolve("libkith_cuda.so"), "");
    assertEquals(Optional.of(library), LibraryLoader.built(inside, "libkith_cuda.so"));
    assertEquals(Optional.of(library), LibraryLoader.built(library, "libkith_cuda.so"));
    assertEquals(Optional.empty(), LibraryLoader.built(inside, "libkith_cuda_emulated.so"));
  }

  @Test
  void theRemedyOfEveryLibraryNamesItsBuildAndSettings() {
    contains(
        Library.EMULATED.remedy(),
        "cmake -S cuda -B java/kernels/target/cuda -DKITH_CUDA_EMULATED_ONLY=ON",
        "-Ddev.kith.emulated.library=PATH",
        "KITH_EMULATED_LIBRARY=PATH");
    contains(Library.CUDA.remedy(), "cmake -S cuda", "KITH_CUDA_LIBRARY=PATH");
  }

  @Test
  void aDamagedJarIsNoticed() {
    IOException error =
        assertThrows(
            IOException.class,
            () -> new BundledLibrary("libkith.so", "1.0", new byte[] {1, 2}, "00ff"));
    contains(error.getMessage(), "damaged");
  }
}
