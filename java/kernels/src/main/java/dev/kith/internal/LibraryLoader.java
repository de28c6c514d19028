package dev.kith.internal;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.UnaryOperator;

/**
 * Finds and loads the CPU library. The property {@code dev.kith.library}, else the environment
 * variable {@code KITH_LIBRARY}, names one; if that fails nothing else is tried. Otherwise the
 * library of the jar is extracted to the first folder that takes it: {@code dev.kith.cache}, {@code
 * ${java.io.tmpdir}/kith-USER}, the user's cache folder. Every failure is kept for the message.
 * Immutable and thread-safe.
 */
public final class LibraryLoader {
  private static final String BUILD =
      "build it from source (cmake -S native -B build && cmake --build build) and name it with"
          + " -Ddev.kith.library=PATH or KITH_LIBRARY=PATH";

  private final UnaryOperator<String> properties;
  private final UnaryOperator<String> environment;

  /**
   * A loader.
   *
   * @param properties finds system properties, null where there is none
   * @param environment finds environment variables, null where there is none
   */
  public LibraryLoader(UnaryOperator<String> properties, UnaryOperator<String> environment) {
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
    Optional<String> property = property("dev.kith.library");
    if (property.isPresent()) {
      return named("the property dev.kith.library", property.get());
    }
    Optional<String> variable = variable("KITH_LIBRARY");
    if (variable.isPresent()) {
      return named("the environment variable KITH_LIBRARY", variable.get());
    }
    return bundled();
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
              "%s names %s, which does not load: %s; correct the path, or remove the setting to use the library of the jar"
                  .formatted(source, value, e.getMessage()));
      error.initCause(e);
      throw error;
    }
  }

  private Abi bundled() {
    String platform = platform();
    Optional<BundledLibrary> library = bundle(platform);
    if (library.isEmpty()) {
      throw new UnsatisfiedLinkError("this jar has no library for " + platform + ": " + BUILD);
    }
    List<String> attempts = new ArrayList<>();
    for (String folder : folders()) {
      try {
        return open(library.get().extract(Path.of(folder)));
      } catch (IOException | InvalidPathException | UnsatisfiedLinkError e) {
        attempts.add(folder + ": " + reason(e));
      }
    }
    throw new UnsatisfiedLinkError(
        "the library of the jar does not load from any folder ("
            + String.join("; ", attempts)
            + "): name a folder that this user owns and that allows execution with -Ddev.kith.cache=FOLDER, or "
            + BUILD);
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

  private static Optional<BundledLibrary> bundle(String platform) {
    String base = "/dev/kith/native/" + platform + "/libkith.so";
    try (InputStream library = LibraryLoader.class.getResourceAsStream(base);
        InputStream checksum = LibraryLoader.class.getResourceAsStream(base + ".sha256")) {
      if (library == null || checksum == null) {
        return Optional.empty();
      }
      return Optional.of(
          new BundledLibrary(
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
  private static Abi open(Path library) {
    return new Abi(DynamicLinker.open(library), library.toString());
  }
}
