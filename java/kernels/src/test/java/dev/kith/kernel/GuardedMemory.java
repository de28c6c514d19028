package dev.kith.kernel;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * Memory between two pages that nobody may touch: a kernel that reads or writes one byte too far
 * takes the JVM down with a fault in its own frame. It guards against vector tails that load past
 * the end, which no comparison of results finds.
 */
final class GuardedMemory implements AutoCloseable {
  private static final long PAGE = 4096;
  private static final int PROT_NONE = 0;
  private static final int PROT_READ_WRITE = 3;
  private static final int MAP_PRIVATE_ANONYMOUS = 0x22;

  private static final MethodHandle MMAP =
      handle(
          "mmap",
          FunctionDescriptor.of(
              ValueLayout.ADDRESS,
              ValueLayout.ADDRESS,
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_INT,
              ValueLayout.JAVA_INT,
              ValueLayout.JAVA_INT,
              ValueLayout.JAVA_LONG));
  private static final MethodHandle MPROTECT =
      handle(
          "mprotect",
          FunctionDescriptor.of(
              ValueLayout.JAVA_INT,
              ValueLayout.ADDRESS,
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_INT));
  private static final MethodHandle MUNMAP =
      handle(
          "munmap",
          FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_LONG));

  private final MemorySegment mapping;
  private final MemorySegment inside;

  private static MethodHandle handle(String name, FunctionDescriptor type) {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(linker.defaultLookup().findOrThrow(name), type);
  }

  /** At least {@code bytes} bytes in whole pages, an inaccessible page on either side. */
  GuardedMemory(long bytes) {
    long pages = Math.max(1, (bytes + PAGE - 1) / PAGE);
    long total = (pages + 2) * PAGE;
    try {
      MemorySegment raw =
          (MemorySegment)
              MMAP.invokeExact(MemorySegment.NULL, total, PROT_NONE, MAP_PRIVATE_ANONYMOUS, -1, 0L);
      mapping = raw.reinterpret(total);
      inside = mapping.asSlice(PAGE, pages * PAGE);
      int status = (int) MPROTECT.invokeExact(inside, pages * PAGE, PROT_READ_WRITE);
      if (status != 0) {
        throw new AssertionError("mprotect returned " + status);
      }
    } catch (Throwable t) {
      throw new AssertionError("mmap of " + total + " bytes", t);
    }
  }

  long bytes() {
    return inside.byteSize();
  }

  /** The first bytes: what comes before them is inaccessible. */
  MemorySegment first(long bytes) {
    return inside.asSlice(0, bytes);
  }

  /** The last bytes: what comes after them is inaccessible. */
  MemorySegment last(long bytes) {
    return inside.asSlice(inside.byteSize() - bytes, bytes);
  }

  @Override
  public void close() {
    try {
      int status = (int) MUNMAP.invokeExact(mapping, mapping.byteSize());
      if (status != 0) {
        throw new AssertionError("munmap returned " + status);
      }
    } catch (Throwable t) {
      throw new AssertionError("munmap", t);
    }
  }
}
