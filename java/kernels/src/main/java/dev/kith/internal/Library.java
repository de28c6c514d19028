package dev.kith.internal;

/**
 * The libraries that implement {@code kith.h}, and where each of them is looked for. A backend is a
 * loaded library: the same classes run on all of them.
 */
public enum Library {
  /** The CPU kernels. */
  CPU(
      "cpu",
      "libkith.so",
      "dev.kith.library",
      "KITH_LIBRARY",
      "cmake -S native -B build && cmake --build build"),

  /** The CUDA kernels; needs the driver at run time, and loads without it. */
  CUDA(
      "cuda",
      "libkith_cuda.so",
      "dev.kith.cuda.library",
      "KITH_CUDA_LIBRARY",
      "cmake -S cuda -B java/kernels/target/cuda && cmake --build java/kernels/target/cuda"),

  /** The CUDA kernels compiled for the CPU, for tests; in no released jar. */
  EMULATED(
      "emulated",
      "libkith_cuda_emulated.so",
      "dev.kith.emulated.library",
      "KITH_EMULATED_LIBRARY",
      "cmake -S cuda -B java/kernels/target/cuda -DKITH_CUDA_EMULATED_ONLY=ON"
          + " && cmake --build java/kernels/target/cuda --target kith_cuda_emulated");

  private final String backend;
  private final String file;
  private final String property;
  private final String variable;
  private final String build;

  Library(String backend, String file, String property, String variable, String build) {
    this.backend = backend;
    this.file = file;
    this.property = property;
    this.variable = variable;
    this.build = build;
  }

  /**
   * What kith_backend of the library returns.
   *
   * @return for example {@code "cuda"}
   */
  public String backend() {
    return backend;
  }

  /** Its file name, in the jar and in a build tree. */
  String file() {
    return file;
  }

  /** The system property that names it. */
  String property() {
    return property;
  }

  /** The environment variable that names it. */
  String variable() {
    return variable;
  }

  /** What to do where it is missing. */
  String remedy() {
    return "build it from source (%s) and name it with -D%s=PATH or %s=PATH"
        .formatted(build, property, variable);
  }

  /**
   * The name of one of its devices.
   *
   * @param ordinal the device's number in the library
   * @return for example {@code "cuda:0"}; CPU and emulated library have one device
   */
  public String deviceName(int ordinal) {
    return this == CUDA ? backend + ":" + ordinal : backend;
  }
}
