package dev.kith.kernel;

import dev.kith.device.Queue;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.Call;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.NativeWeights;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.BitSet;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * A mixing matrix W on a device: any real matrix, of any sign. Entry (i, j) weighs the message of
 * node j in the result of node i; a row is summed in the order its entries are stored. Immutable;
 * thread-safe.
 */
public final class MixingWeights implements AutoCloseable {
  private static final long MAX_DENSE = 4096;

  private final NativeWeights weights;
  private final long rows;
  private final long cols;
  private final boolean pairwise;
  private final long outputRows;
  private final boolean scattered;

  private MixingWeights(NativeWeights weights, long rows, long cols, OptionalLong outputRows) {
    this.weights = weights;
    this.rows = rows;
    this.cols = cols;
    this.outputRows = outputRows.orElse(rows);
    scattered = outputRows.isPresent();
    try (Arena arena = Arena.ofConfined();
        Call call = new Call()) {
      MemorySegment out = arena.allocate(ValueLayout.JAVA_INT);
      call.check(
          "weights", weights.device().abi().weightsPairwise(weights.handle(), out, call.segment()));
      pairwise = out.get(ValueLayout.JAVA_INT, 0) != 0;
    }
  }

  /**
   * A sparse matrix in compressed rows. Row r has the entries {@code rowOffsets[r]} to {@code
   * rowOffsets[r + 1] - 1} of {@code columns} and {@code values}. The arrays are copied.
   *
   * @param queue copies them
   * @param rows its rows
   * @param cols its columns
   * @param rowOffsets rows + 1 ascending numbers from 0 to the number of entries
   * @param columns each in {@code [0, cols)}
   * @param values the weights
   * @return the matrix; close it
   * @throws IllegalArgumentException if the arrays do not describe a matrix; names the first entry
   *     that is wrong
   */
  public static MixingWeights sparse(
      Queue queue, long rows, long cols, long[] rowOffsets, int[] columns, double[] values) {
    return sparse(queue, rows, cols, rowOffsets, columns, values, Optional.empty());
  }

  /**
   * A sparse matrix whose row r writes row {@code outputRows[r]} of the result; rows that are not
   * named stay as they are. The arrays are copied.
   *
   * @param queue copies them
   * @param rows its rows
   * @param cols its columns
   * @param rowOffsets rows + 1 ascending numbers from 0 to the number of entries
   * @param columns each in {@code [0, cols)}
   * @param values the weights
   * @param outputRows one for each row, all different
   * @return the matrix; close it
   * @throws IllegalArgumentException if the arrays do not describe a matrix; names the first entry
   *     that is wrong
   */
  public static MixingWeights sparse(
      Queue queue,
      long rows,
      long cols,
      long[] rowOffsets,
      int[] columns,
      double[] values,
      int[] outputRows) {
    return sparse(queue, rows, cols, rowOffsets, columns, values, Optional.of(outputRows));
  }

  private static MixingWeights sparse(
      Queue queue,
      long rows,
      long cols,
      long[] rowOffsets,
      int[] columns,
      double[] values,
      Optional<int[]> outputRows) {
    checkShape(rows, cols);
    checkOffsets(rows, rowOffsets, columns.length, values.length);
    for (int i = 0; i < columns.length; i++) {
      if (columns[i] < 0 || columns[i] >= cols) {
        throw new IllegalArgumentException(
            "sparse: columns[" + i + "] is " + columns[i] + ", not in [0, " + cols + ")");
      }
    }
    OptionalLong needed =
        outputRows.isPresent()
            ? OptionalLong.of(checkOutputRows(rows, outputRows.get()))
            : OptionalLong.empty();
    NativeQueue q = Access.queue(queue);
    int mark = q.begin("sparse");
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
      MemorySegment offsets = arena.allocateFrom(ValueLayout.JAVA_LONG, rowOffsets);
      MemorySegment cs = arena.allocateFrom(ValueLayout.JAVA_INT, columns);
      MemorySegment vs = arena.allocateFrom(ValueLayout.JAVA_DOUBLE, values);
      MemorySegment targets =
          outputRows
              .map(targetRows -> arena.allocateFrom(ValueLayout.JAVA_INT, targetRows))
              .orElse(MemorySegment.NULL);
      int status;
      do {
        status =
            q.abi().weightsSparse(q.handle(), rows, cols, offsets, cs, vs, targets, out, q.call());
      } while (status == Abi.AGAIN);
      return created(q, status, out, rows, cols, needed);
    } finally {
      q.end(mark);
    }
  }

  /**
   * A dense matrix; zeros take part in the sum. For small numbers of nodes. The array is copied.
   *
   * @param queue copies it
   * @param rows its rows, at most 4096
   * @param cols its columns, at most 4096
   * @param rowMajor rows * cols weights, row after row
   * @return the matrix; close it
   * @throws IllegalArgumentException if the shape is too large or the array of another size
   */
  public static MixingWeights dense(Queue queue, long rows, long cols, double[] rowMajor) {
    checkShape(rows, cols);
    if (rows > MAX_DENSE || cols > MAX_DENSE) {
      throw new IllegalArgumentException(
          "dense: %d x %d is more than %d x %d; use a sparse matrix"
              .formatted(rows, cols, MAX_DENSE, MAX_DENSE));
    }
    if (rowMajor.length != rows * cols) {
      throw new IllegalArgumentException(
          "dense: %d x %d has %d weights and the array %d"
              .formatted(rows, cols, rows * cols, rowMajor.length));
    }
    NativeQueue q = Access.queue(queue);
    int mark = q.begin("dense");
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
      MemorySegment values = arena.allocateFrom(ValueLayout.JAVA_DOUBLE, rowMajor);
      int status;
      do {
        status = q.abi().weightsDense(q.handle(), rows, cols, values, out, q.call());
      } while (status == Abi.AGAIN);
      return created(q, status, out, rows, cols, OptionalLong.empty());
    } finally {
      q.end(mark);
    }
  }

  /** Waits before the arrays go: the copy may be queued. */
  private static MixingWeights created(
      NativeQueue q, int status, MemorySegment out, long rows, long cols, OptionalLong outputRows) {
    q.check(status);
    NativeWeights weights =
        new NativeWeights(q.device(), out.get(ValueLayout.ADDRESS, 0), rows, cols);
    try {
      q.await();
      return new MixingWeights(weights, rows, cols, outputRows);
    } catch (RuntimeException e) {
      weights.close();
      throw e;
    }
  }

  private static void checkShape(long rows, long cols) {
    if (rows < 0 || cols < 0) {
      throw new IllegalArgumentException(
          "a mixing matrix of " + rows + " x " + cols + " is impossible; both must be at least 0");
    }
  }

  private static void checkOffsets(long rows, long[] offsets, int columns, int values) {
    if (offsets.length != rows + 1) {
      throw new IllegalArgumentException(
          "sparse: %d rows need %d row offsets and there are %d"
              .formatted(rows, rows + 1, offsets.length));
    }
    if (columns != values || offsets[0] != 0 || offsets[(int) rows] != columns) {
      throw new IllegalArgumentException(
          "sparse: row offsets run from %d to %d, with %d columns and %d values; they must run from 0 to the number of both"
              .formatted(offsets[0], offsets[(int) rows], columns, values));
    }
    for (int r = 0; r < rows; r++) {
      if (offsets[r + 1] < offsets[r]) {
        throw new IllegalArgumentException(
            "sparse: rowOffsets[%d] is %d, less than the %d before it"
                .formatted(r + 1, offsets[r + 1], offsets[r]));
      }
    }
  }

  /** Returns how many rows a result needs at least. */
  private static long checkOutputRows(long rows, int[] outputRows) {
    if (outputRows.length != rows) {
      throw new IllegalArgumentException(
          "sparse: " + rows + " rows need as many output rows and there are " + outputRows.length);
    }
    BitSet seen = new BitSet();
    long most = 0;
    for (int i = 0; i < outputRows.length; i++) {
      if (outputRows[i] < 0 || seen.get(outputRows[i])) {
        throw new IllegalArgumentException(
            "sparse: outputRows["
                + i
                + "] is "
                + outputRows[i]
                + (outputRows[i] < 0 ? "; it must be at least 0" : " for the second time"));
      }
      seen.set(outputRows[i]);
      most = Math.max(most, outputRows[i] + 1L);
    }
    return most;
  }

  NativeWeights behind() {
    return weights;
  }

  /** Checks the result's height. */
  void checkResult(long height) {
    if (scattered ? height < outputRows : height != rows) {
      throw new IllegalArgumentException(
          "mix: the mixing matrix writes %d rows and y has %d".formatted(outputRows, height));
    }
  }

  /** Whether it was given output rows. */
  boolean namesItsRows() {
    return scattered;
  }

  /**
   * Its height.
   *
   * @return rows
   */
  public long rows() {
    return rows;
  }

  /**
   * Its width.
   *
   * @return columns: messages of this process's rows, then those of the halo
   */
  public long cols() {
    return cols;
  }

  /**
   * Whether it is an exchange between pairs: square, sparse, and each row touches only its own node
   * and one partner, which touches it in turn. Such a mix may run in place.
   *
   * @return true if so
   */
  public boolean isPairwise() {
    return pairwise;
  }

  /**
   * Releases the matrix. Idempotent.
   *
   * @throws IllegalStateException if an operation is using it
   */
  @Override
  public void close() {
    weights.close();
  }
}
