package dev.kith.kernel;

import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.Window;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;

/**
 * Equal matrices inside of one {@link DeviceMatrix}, for instance a weight of every node's model:
 * matrix b has its element (r, c) at {@code offset + b * batchStride + r * rowStride + c} elements
 * behind element (0, 0) of the base. Immutable and thread-safe; it names its base and does not keep
 * it open.
 */
public final class Batch {
  private static final long BASE = Abi.offset(Abi.BATCH, "base");
  private static final long OFFSET = Abi.offset(Abi.BATCH, "offset");
  private static final long ROWS = Abi.offset(Abi.BATCH, "rows");
  private static final long COLS = Abi.offset(Abi.BATCH, "cols");
  private static final long ROW_STRIDE = Abi.offset(Abi.BATCH, "row_stride");
  private static final long BATCH_STRIDE = Abi.offset(Abi.BATCH, "batch_stride");

  private final DeviceMatrix base;
  private final Window window;
  private final long offset;
  private final long rows;
  private final long cols;
  private final long rowStride;
  private final long batchStride;

  private Batch(
      DeviceMatrix base, long offset, long rows, long cols, long rowStride, long batchStride) {
    this.base = base;
    window = Access.window(Objects.requireNonNull(base, "base"));
    this.offset = offset;
    this.rows = rows;
    this.cols = cols;
    this.rowStride = rowStride;
    this.batchStride = batchStride;
  }

  /**
   * A matrix as a batch of one; for several, all of them are this matrix.
   *
   * @param m F32 or F64
   * @return the batch
   */
  public static Batch of(DeviceMatrix m) {
    return new Batch(m, 0, m.rows(), m.cols(), m.stride(), 0);
  }

  /**
   * Matrices inside of a matrix.
   *
   * @param base F32 or F64
   * @param offset elements from the base's element (0, 0) to that of the first matrix
   * @param rows of each
   * @param cols of each
   * @param rowStride elements from one row to the next, at least {@code cols}
   * @param batchStride elements from one matrix to the next; 0 for one that serves all
   * @return the batch
   * @throws IllegalArgumentException if a number is negative, rows overlap, or the first matrix
   *     does not lie inside
   */
  public static Batch of(
      DeviceMatrix base, long offset, long rows, long cols, long rowStride, long batchStride) {
    Batch batch = new Batch(base, offset, rows, cols, rowStride, batchStride);
    if (offset < 0 || rows < 0 || cols < 0 || batchStride < 0 || (rows > 1 && rowStride < cols)) {
      throw new IllegalArgumentException(
          batch + " is impossible: numbers must be at least 0 and rows at least cols apart");
    }
    batch.check("batch", "it", 1);
    return batch;
  }

  /** Checks that all matrices lie inside the base. */
  void check(String operation, String name, long batches) {
    Arguments.computed(operation, name, window);
    if (batches < 0) {
      throw new IllegalArgumentException(
          operation + ": " + batches + " batches are impossible; at least 0");
    }
    if (batches == 0 || rows == 0 || cols == 0) {
      return;
    }
    try {
      long last =
          Math.addExact(
              Math.addExact(offset, Math.multiplyExact(batches - 1, batchStride)),
              Math.addExact(Math.multiplyExact(rows - 1, rowStride), cols));
      if (last <= window.extent()) {
        return;
      }
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          operation + ": " + name + ", " + this + ", is too large", e);
    }
    throw new IllegalArgumentException(
        "%s: %s, %s, leaves its base %s with %d batches"
            .formatted(operation, name, this, window, batches));
  }

  /** Checks a shape. */
  void expect(String operation, String name, long height, long width) {
    if (rows != height || cols != width) {
      throw new IllegalArgumentException(
          "%s: %s is %d x %d and must be %d x %d"
              .formatted(operation, name, rows, cols, height, width));
    }
  }

  /** Writes a kith_batch. */
  MemorySegment describe(MemorySegment array, int slot) {
    MemorySegment at = array.asSlice(slot * Abi.BATCH.byteSize(), Abi.BATCH.byteSize());
    at.set(ValueLayout.ADDRESS, BASE, window.descriptor());
    at.set(ValueLayout.JAVA_LONG, OFFSET, offset);
    at.set(ValueLayout.JAVA_LONG, ROWS, rows);
    at.set(ValueLayout.JAVA_LONG, COLS, cols);
    at.set(ValueLayout.JAVA_LONG, ROW_STRIDE, rowStride);
    at.set(ValueLayout.JAVA_LONG, BATCH_STRIDE, batchStride);
    return at;
  }

  Window window() {
    return window;
  }

  /**
   * What it lies in.
   *
   * @return the matrix
   */
  public DeviceMatrix base() {
    return base;
  }

  /**
   * The height of each.
   *
   * @return rows
   */
  public long rows() {
    return rows;
  }

  /**
   * The width of each.
   *
   * @return columns
   */
  public long cols() {
    return cols;
  }

  @Override
  public String toString() {
    return "batch of %d x %d at %d with row stride %d and batch stride %d"
        .formatted(rows, cols, offset, rowStride, batchStride);
  }
}
