package dev.kith.lab;

import dev.kith.device.Device;
import dev.kith.kernel.Product;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Properties;

/**
 * Hands OpenBLAS to the family {@code product}. The libraries come from the jar of {@code
 * org.bytedeco:openblas} and are unpacked once into {@code dev.kith.cache} or the user's cache
 * folder; JavaCPP is not used. {@code KITH_BLAS} names another library, or is {@code none}. Where
 * nothing loads, the plain kernel answers: slower, never an error.
 */
public final class Blas {
  private static final String BASE = "/org/bytedeco/openblas/linux-x86_64/";
  private static final String VERSION = "/META-INF/maven/org.bytedeco/openblas/pom.properties";
  private static final String OPENBLAS = "libopenblas.so.0";

  /**
   * libgfortran, which OpenBLAS finds beside itself, does not look there for libquadmath: that is
   * loaded first.
   */
  private static final List<String> LIBRARIES =
      List.of("libquadmath.so.0", "libgfortran.so.5", OPENBLAS);

  private Blas() {}

  /**
   * Makes products on a device use a BLAS if that is possible: OpenBLAS on the CPU; the CUDA
   * library looks for cuBLAS itself.
   *
   * @return why the plain kernel answers; empty when a BLAS does
   */
  public static Optional<String> enable(Device device) {
    return switch (device.backend()) {
      case "cpu" -> enable();
      case "cuda" ->
          Product.blas(device).isEmpty()
              ? Optional.of(
                  "neither libcublas.so.13 nor libcublas.so.12 loads; install cuBLAS, or set LD_LIBRARY_PATH to its folder")
              : Optional.empty();
      default -> Optional.of("products are emulated by the plain kernel");
    };
  }

  /**
   * Makes products on the CPU use OpenBLAS if that is possible. The kernel library must be there.
   *
   * @return why the plain kernel answers; empty when OpenBLAS does
   */
  public static Optional<String> enable() {
    String chosen = Optional.ofNullable(System.getenv("KITH_BLAS")).orElse("");
    if (chosen.equals("none")) {
      Product.useBlas("");
      return Optional.of("KITH_BLAS is none");
    }
    if (!chosen.isEmpty()) {
      return Product.useBlas(chosen)
          ? Optional.empty()
          : Optional.of(
              "KITH_BLAS names %s, which is no library with cblas_sgemm".formatted(chosen));
    }
    if (!Product.blas().isEmpty()) {
      return Optional.empty();
    }
    if (Blas.class.getResource(BASE + OPENBLAS) == null) {
      return Optional.of("there is no OpenBLAS for this platform on the class path");
    }
    List<String> failures = new ArrayList<>();
    for (Path folder : folders()) {
      try {
        Path library = unpack(folder.resolve("openblas-" + version()));
        System.load(library.resolveSibling(LIBRARIES.getFirst()).toString());
        if (Product.useBlas(library.toString())) {
          return Optional.empty();
        }
        failures.add(library + " does not load");
      } catch (IOException | UnsatisfiedLinkError e) {
        failures.add("%s: %s".formatted(folder, e.getMessage()));
      }
    }
    return Optional.of(String.join("; ", failures));
  }

  private static List<Path> folders() {
    List<Path> folders = new ArrayList<>();
    Optional.ofNullable(System.getProperty("dev.kith.cache"))
        .filter(name -> !name.isEmpty())
        .ifPresent(name -> folders.add(Path.of(name).toAbsolutePath()));
    Optional.ofNullable(System.getenv("XDG_CACHE_HOME"))
        .filter(name -> !name.isEmpty())
        .map(Path::of)
        .or(
            () ->
                Optional.ofNullable(System.getProperty("user.home"))
                    .map(home -> Path.of(home, ".cache")))
        .ifPresent(cache -> folders.add(cache.resolve("kith").toAbsolutePath()));
    return folders;
  }

  private static String version() throws IOException {
    Properties properties = new Properties();
    try (InputStream in = Blas.class.getResourceAsStream(VERSION)) {
      if (in != null) {
        properties.load(in);
      }
    }
    return properties.getProperty("version", "unknown");
  }

  /**
   * Unpacks what is not there in full length yet; files are written aside and renamed, so they are
   * whole or absent.
   */
  private static Path unpack(Path folder) throws IOException {
    Files.createDirectories(folder);
    for (String name : LIBRARIES) {
      URL resource = Blas.class.getResource(BASE + name);
      if (resource == null) {
        throw new IOException("the jar of OpenBLAS lacks " + name);
      }
      Path file = folder.resolve(name);
      URLConnection connection = resource.openConnection();
      if (Files.exists(file) && Files.size(file) == connection.getContentLengthLong()) {
        continue;
      }
      Path aside = Files.createTempFile(folder, name, ".part");
      try (InputStream in = connection.getInputStream()) {
        Files.copy(in, aside, StandardCopyOption.REPLACE_EXISTING);
        Files.move(
            aside, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      } finally {
        Files.deleteIfExists(aside);
      }
    }
    return folder.resolve(OPENBLAS);
  }
}
