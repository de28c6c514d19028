package dev.kith.device;

import dev.kith.internal.NativeDevice;

/** How far apart the rows of a matrix lie. Thread-safe: pure functions. */
final class Strides {
  private static final long LINE = 64;
  private static final long PAGE = 4096;

  private Strides() {}

  /**
   * The stride of a fresh matrix. Narrow rows lie close together. Wide rows start on cache lines,
   * and not at multiples of 4 KiB from each other: mixing reads the same columns of many rows,
   * which would then fall into one cache set.
   */
  static long padded(long rows, long cols, DType dtype) {
    check(rows, cols, cols, dtype);
    long bytes = cols * dtype.bytes();
    if (rows <= 1 || bytes < PAGE) {
      return cols;
    }
    long lines = (bytes + LINE - 1) / LINE * LINE;
    long stride = (lines % PAGE == 0 ? lines + LINE : lines) / dtype.bytes();
    check(rows, cols, stride, dtype);
    return stride;
  }

  /** Refuses a shape that no memory has. */
  static void check(long rows, long cols, long stride, DType dtype) {
    if (rows < 0 || cols < 0) {
      throw new IllegalArgumentException(
          "a matrix of " + rows + " x " + cols + " is impossible; both must be at least 0");
    }
    if (rows > 1 && stride < cols) {
      throw new IllegalArgumentException(
          "a stride of " + stride + " is less than the " + cols + " columns");
    }
    try {
      long bytes = NativeDevice.bytes(rows, cols, stride, dtype);
      // Room for rounding up.
      Math.addExact(bytes, PAGE);
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "a matrix of "
              + rows
              + " x "
              + cols
              + " "
              + dtype
              + " has more bytes than an address space",
          e);
    }
  }
}
