package dev.kith.bench;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Optional;

/** The fp32 peak of a GPU from what its driver says: multiprocessors, clock and generation. */
final class CudaPeak {
  /** Of {@code CUdevice_attribute} in cuda.h. */
  private static final int CLOCK_RATE_KHZ = 13;

  private static final int MULTIPROCESSORS = 16;
  private static final int MAJOR = 75;
  private static final int MINOR = 76;

  private CudaPeak() {}

  /**
   * Fused multiply-adds a second at the highest clock.
   *
   * @param ordinal of the device
   * @return empty where there is no driver or it does not answer
   */
  static Optional<Double> fmas(int ordinal) {
    try (Arena arena = Arena.ofConfined()) {
      SymbolLookup driver = SymbolLookup.libraryLookup("libcuda.so.1", arena);
      FunctionDescriptor initialise =
          FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT);
      FunctionDescriptor attribute =
          FunctionDescriptor.of(
              ValueLayout.JAVA_INT,
              ValueLayout.ADDRESS,
              ValueLayout.JAVA_INT,
              ValueLayout.JAVA_INT);
      MethodHandle init = handle(driver, "cuInit", initialise);
      MethodHandle get = handle(driver, "cuDeviceGetAttribute", attribute);
      MemorySegment out = arena.allocate(ValueLayout.JAVA_INT);
      if (call(init, 0) != 0) {
        return Optional.empty();
      }
      int[] wanted = {CLOCK_RATE_KHZ, MULTIPROCESSORS, MAJOR, MINOR};
      int[] values = new int[wanted.length];
      for (int i = 0; i < wanted.length; i++) {
        if (call(get, out, wanted[i], ordinal) != 0) {
          return Optional.empty();
        }
        values[i] = out.get(ValueLayout.JAVA_INT, 0);
      }
      return Optional.of(values[0] * 1e3 * values[1] * lanes(values[2], values[3]))
          .filter(peak -> peak > 0);
    } catch (IllegalArgumentException e) {
      return Optional.empty();
    }
  }

  /** fp32 lanes of a multiprocessor: the table of throughputs in the CUDA programming guide. */
  static int lanes(int major, int minor) {
    return major == 7 || (major == 8 && minor == 0) ? 64 : 128;
  }

  private static MethodHandle handle(SymbolLookup library, String name, FunctionDescriptor form) {
    MemorySegment symbol =
        library
            .find(name)
            .orElseThrow(() -> new IllegalArgumentException("libcuda.so.1 lacks " + name));
    return Linker.nativeLinker().downcallHandle(symbol, form);
  }

  private static int call(MethodHandle handle, Object... arguments) {
    try {
      return (int) handle.invokeWithArguments(arguments);
    } catch (Throwable t) {
      throw new AssertionError("a call of the CUDA driver failed", t);
    }
  }
}
