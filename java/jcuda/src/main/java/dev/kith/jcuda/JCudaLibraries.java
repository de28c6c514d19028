package dev.kith.jcuda;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import jcuda.runtime.JCuda;
import jcuda.runtime.cudaError;

/**
 * Which of JCuda's libraries load on this machine, and why one does not. JCuda itself answers with
 * an error of class initialization; these methods load by name, once, and answer in one sentence.
 * Thread-safe.
 */
public final class JCudaLibraries {
  private static final Pattern MISSING =
      Pattern.compile("(lib[\\w.+-]+): cannot open shared object file");

  private JCudaLibraries() {}

  /** Each is tried once: after a failure the JVM does not try again. */
  private static final class RuntimeApi {
    static final Optional<String> PROBLEM = tryRuntime();

    private RuntimeApi() {}
  }

  private static final class DriverApi {
    static final Optional<String> PROBLEM = load("jcuda.driver.JCudaDriver");

    private DriverApi() {}
  }

  private static final class Cublas {
    static final Optional<String> PROBLEM = load("jcuda.jcublas.JCublas2");

    private Cublas() {}
  }

  /**
   * The runtime API: {@code jcuda.runtime.JCuda}. It has cudart inside, and needs a driver.
   *
   * @return why it cannot be used; empty where it can
   */
  public static Optional<String> runtimeProblem() {
    return RuntimeApi.PROBLEM;
  }

  /**
   * The driver API: {@code jcuda.driver.JCudaDriver}.
   *
   * @return why it cannot be used; empty where it can
   */
  public static Optional<String> driverProblem() {
    return DriverApi.PROBLEM;
  }

  /**
   * cuBLAS: {@code jcuda.jcublas.JCublas2}. JCublas 12.6 needs the cuBLAS of CUDA 12; a toolkit of
   * CUDA 13 has another.
   *
   * @return why it cannot be used; empty where it can
   */
  public static Optional<String> cublasProblem() {
    return Cublas.PROBLEM;
  }

  private static Optional<String> tryRuntime() {
    return load("jcuda.runtime.JCuda").or(JCudaLibraries::deviceProblem);
  }

  private static Optional<String> deviceProblem() {
    int[] count = {0};
    int status = JCuda.cudaGetDeviceCount(count);
    if (status == cudaError.cudaErrorInsufficientDriver) {
      return Optional.of(
          "there is no NVIDIA driver, or it is older than CUDA 12 (cudaErrorInsufficientDriver);"
              + " install one of version 525 or newer");
    }
    if (status != cudaError.cudaSuccess) {
      return Optional.of(
          "devices cannot be counted (%s); see what nvidia-smi says"
              .formatted(cudaError.stringFor(status)));
    }
    return count[0] > 0
        ? Optional.empty()
        : Optional.of("the driver sees no GPU; see what nvidia-smi and CUDA_VISIBLE_DEVICES say");
  }

  /** Initializes a class of JCuda, which loads its library. */
  private static Optional<String> load(String name) {
    try {
      Class.forName(name, true, JCudaLibraries.class.getClassLoader());
      return Optional.empty();
    } catch (ClassNotFoundException e) {
      return Optional.of(
          "%s is not on the class path; add org.jcuda:%s:12.6.0 and its natives"
              .formatted(name, name.contains("jcublas") ? "jcublas" : "jcuda"));
    } catch (LinkageError e) {
      return Optional.of(explain(name, text(e)));
    }
  }

  /** The messages of an error and of what caused it. */
  private static String text(Throwable error) {
    StringBuilder text = new StringBuilder();
    for (Throwable e = error; e != null; e = e.getCause()) {
      text.append(e.getMessage()).append('\n');
    }
    return text.toString();
  }

  /**
   * One sentence of the pages that JCuda writes.
   *
   * @param name the class that did not initialize
   * @param text the messages of its error
   * @return what is missing and what to do
   */
  static String explain(String name, String text) {
    Matcher missing = MISSING.matcher(text);
    if (!missing.find()) {
      return "%s does not load: %s".formatted(name, text.strip().lines().findFirst().orElse(""));
    }
    String library = missing.group(1);
    return switch (library) {
      case "libcuda.so.1" -> "there is no NVIDIA driver (libcuda.so.1 was not found); install one";
      case "libcublas.so.12" ->
          "libcublas.so.12 was not found; install cuBLAS of CUDA 12, beside CUDA 13 if that is"
              + " there, and set LD_LIBRARY_PATH to its folder";
      default ->
          "%s needs %s, which was not found; install it or set LD_LIBRARY_PATH to its folder"
              .formatted(name, library);
    };
  }
}
