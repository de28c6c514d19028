package dev.kith.internal;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystemNotFoundException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.security.CodeSource;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.UnaryOperator;

/**
 * Finds and loads a library. Its property, else its environment variable, names one; if that fails
 * nothing else is tried. Otherwise the library of the jar is extracted to the first folder that
 * takes it: {@code dev.kith.cache}, {@code ${java.io.tmpdir}/kith-USER}, the user's cache folder. A
 * jar without it, or its classes, may lie in a tree of sources that has been built: then the
 * library is taken from there. Every failure is kept for the message. Immutable and thread-safe.
 */
public final class LibraryLoader {
  /** Where the build puts the CUDA libraries, below the root of the sources. */
  private static final String TREE = "java/kernels/target/cuda";

  private final Library wanted;
  private final UnaryOperator<String> properties;
  private final UnaryOperator<String> environment;

  /**
   * A loader.
   *
   * @param wanted the library
   * @param properties finds system properties, null where there is none
   * @param environment finds environment variables, null where there is none
   */
  public LibraryLoader(
      Library wanted, UnaryOperator<String> properties, UnaryOperator<String> environment) {
    this.wanted = wanted;
    this.properties = properties;
    this.environment = environment;
  }

  /**
   * Loads the library.
   *
   * @return its bindings
   * @throws UnsatisfiedLinkError with every attempt and the remedy
   */
  public Abi load() {
    try {
      return find();
    } catch (IllegalCallerException e) {
      Module module = LibraryLoader.class.getModule();
      UnsatisfiedLinkError error =
          new UnsatisfiedLinkError(
              "the JVM denies native access: start it with --enable-native-access="
                  + (module.isNamed() ? module.getName() : "ALL-UNNAMED"));
      error.initCause(e);
      throw error;
    }
  }

  private Abi find() {
    Optional<String> property = property(wanted.property());
    if (property.isPresent()) {
      return named("the property " + wanted.property(), property.get());
    }
    Optional<String> variable = variable(wanted.variable());
    if (variable.isPresent()) {
      return named("the environment variable " + wanted.variable(), variable.get());
    }
    String platform = platform();
    Optional<BundledLibrary> bundle = bundle(platform);
    if (bundle.isPresent()) {
      return extracted(bundle.get());
    }
    Optional<Path> built = built();
    if (built.isPresent()) {
      return open(built.get());
    }
    throw new UnsatisfiedLinkError(
        "this jar has no %slibrary for %s: %s"
            .formatted(
                wanted == Library.CPU ? "" : wanted.backend() + " ", platform, wanted.remedy()));
  }

  private Abi named(String source, String value) {
    try {
      Path path = Path.of(value).toAbsolutePath();
      if (!Files.isRegularFile(path)) {
        throw new UnsatisfiedLinkError("there is no such file");
      }
      return open(path);
    } catch (UnsatisfiedLinkError | InvalidPathException e) {
      UnsatisfiedLinkError error =
          new UnsatisfiedLinkError(
              "%s names %s, which does not load: %s; correct the path, or remove the setting to use the library of Kith"
                  .formatted(source, value, e.getMessage()));
      error.initCause(e);
      throw error;
    }
  }

  private Abi extracted(BundledLibrary library) {
    List<String> attempts = new ArrayList<>();
    for (String folder : folders()) {
      try {
        return open(library.extract(Path.of(folder)));
      } catch (IOException | InvalidPathException | UnsatisfiedLinkError e) {
        attempts.add(folder + ": " + reason(e));
      }
    }
    throw new UnsatisfiedLinkError(
        "the library of the jar does not load from any folder ("
            + String.join("; ", attempts)
            + "): name a folder that this user owns and that allows execution with -Ddev.kith.cache=FOLDER, or "
            + wanted.remedy());
  }

  /** The library in the tree of sources that these classes or their jar lie in. */
  private Optional<Path> built() {
    CodeSource source = LibraryLoader.class.getProtectionDomain().getCodeSource();
    if (source == null || source.getLocation() == null) {
      return Optional.empty();
    }
    try {
      return built(Path.of(source.getLocation().toURI()), wanted.file());
    } catch (URISyntaxException | IllegalArgumentException | FileSystemNotFoundException e) {
      return Optional.empty();
    }
  }

  /**
   * Looks for a library in a tree of sources.
   *
   * @param inside a file or folder somewhere in the tree
   * @param file the library's file name
   * @return the library, where the tree has been built
   */
  static Optional<Path> built(Path inside, String file) {
    for (Path root = inside.toAbsolutePath(); root != null; root = root.getParent()) {
      if (Files.isRegularFile(root.resolve("native/include/kith.h"))) {
        return Optional.of(root.resolve(TREE).resolve(file)).filter(Files::isRegularFile);
      }
    }
    return Optional.empty();
  }

  private static String reason(Throwable e) {
    if (e instanceof AccessDeniedException denied) {
      return "no permission for " + denied.getFile();
    }
    if (e instanceof FileSystemException failed && failed.getReason() == null) {
      return failed.getClass().getSimpleName() + " " + failed.getFile();
    }
    return e.getMessage() == null ? e.toString() : e.getMessage();
  }

  private Optional<BundledLibrary> bundle(String platform) {
    String base = "/dev/kith/native/" + platform + "/" + wanted.file();
    try (InputStream library = LibraryLoader.class.getResourceAsStream(base);
        InputStream checksum = LibraryLoader.class.getResourceAsStream(base + ".sha256")) {
      if (library == null || checksum == null) {
        return Optional.empty();
      }
      return Optional.of(
          new BundledLibrary(
              wanted.file(),
              version(),
              library.readAllBytes(),
              new String(checksum.readAllBytes(), StandardCharsets.US_ASCII).strip()));
    } catch (IOException e) {
      throw new UncheckedIOException("cannot use " + base + " of the jar: " + e.getMessage(), e);
    }
  }

  private static String version() throws IOException {
    try (InputStream text = LibraryLoader.class.getResourceAsStream("version.txt")) {
      return new String(text.readAllBytes(), StandardCharsets.US_ASCII).strip();
    }
  }

  private Set<String> folders() {
    Set<String> folders = new LinkedHashSet<>();
    property("dev.kith.cache").ifPresent(folders::add);
    property("java.io.tmpdir")
        .map(tmp -> tmp + "/kith-" + property("user.name").orElse("user"))
        .ifPresent(folders::add);
    variable("XDG_CACHE_HOME")
        .or(() -> property("user.home").map(home -> home + "/.cache"))
        .map(cache -> cache + "/kith")
        .ifPresent(folders::add);
    return folders;
  }

  private Optional<String> property(String name) {
    return Optional.ofNullable(properties.apply(name)).filter(value -> !value.isEmpty());
  }

  private Optional<String> variable(String name) {
    return Optional.ofNullable(environment.apply(name)).filter(value -> !value.isEmpty());
  }

  private String platform() {
    String os = property("os.name").orElse("unknown").toLowerCase(Locale.ROOT);
    String arch = property("os.arch").orElse("unknown").toLowerCase(Locale.ROOT);
    return os.replace(' ', '-') + "-" + (arch.equals("amd64") ? "x86_64" : arch);
  }

  /** Loads one file. */
  private Abi open(Path library) {
    Abi abi = new Abi(DynamicLinker.open(library), library.toString());
    if (!abi.backend().equals(wanted.backend())) {
      throw new UnsatisfiedLinkError(
          "%s is the library of device %s, not of %s"
              .formatted(library, abi.backend(), wanted.backend()));
    }
    return abi;
  }
}
