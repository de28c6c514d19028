package dev.kith.bench;

import dev.kith.device.Device;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.stream.IntStream;

/**
 * The C library's memcpy of X, a part for each thread of the device. A figure that everybody knows,
 * not a roof: kernels that work in place run faster.
 */
final class Memcpy implements Implementation {
  /** Bytes that a copy moves for an element: read and write. */
  static final int BYTES_PER_ELEMENT = 8;

  private static final MethodHandle MEMCPY =
      Linker.nativeLinker()
          .downcallHandle(
              Linker.nativeLinker().defaultLookup().findOrThrow("memcpy"),
              FunctionDescriptor.of(
                  ValueLayout.ADDRESS,
                  ValueLayout.ADDRESS,
                  ValueLayout.ADDRESS,
                  ValueLayout.JAVA_LONG));

  @Override
  public String name() {
    return "memcpy";
  }

  @Override
  public String description() {
    return "memcpy of the C library, " + Device.cpu().threads() + " threads";
  }

  @Override
  public boolean supports(Workload workload) {
    return true;
  }

  @Override
  public Task prepare(Workload workload) {
    return new CopyTask(workload);
  }

  private static final class CopyTask implements Task {
    private static final long PAGE = 4096;

    private final Arena arena = Arena.ofShared();
    private final MemorySegment from;
    private final MemorySegment to;
    private final int threads = Device.cpu().threads();

    CopyTask(Workload workload) {
      from = arena.allocate(workload.elements() * Float.BYTES, PAGE);
      to = arena.allocate(workload.elements() * Float.BYTES, PAGE);
    }

    @Override
    public void run() {
      IntStream.range(0, threads).parallel().forEach(this::copy);
    }

    private void copy(int part) {
      long begin = from.byteSize() * part / threads;
      long end = from.byteSize() * (part + 1) / threads;
      try {
        var unused =
            (MemorySegment) MEMCPY.invokeExact(to.asSlice(begin), from.asSlice(begin), end - begin);
      } catch (Throwable t) {
        throw new AssertionError("memcpy", t);
      }
    }

    @Override
    public double result(long index) {
      throw new UnsupportedOperationException("memcpy has no result to compare");
    }

    @Override
    public void close() {
      arena.close();
    }
  }
}
