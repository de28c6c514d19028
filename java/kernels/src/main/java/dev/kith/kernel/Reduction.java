package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/**
 * The family {@code reduction}: sums and extrema over the columns of each row, and sums over nodes.
 * Rows are summed on a tree that is part of the ABI, so that results have the same bits at any
 * number of threads, on any instruction set and device: chunks of 4,096 elements; element i of a
 * chunk goes to lane i mod 64, from +0, in the compute type; lanes fold by 32, 16, ..., 1; chunk
 * results are widened to f64 and combined pairwise, neighbours first. An empty row gives +0, +inf
 * for MIN and -inf for MAX.
 *
 * <p>Thread-safe; each operation runs on the queue of its output, the conveniences on that of their
 * input.
 *
 * <p>Errors of all: {@link IllegalArgumentException} when shapes, dtypes or devices do not fit or
 * matrices overlap where they must not; {@link IllegalStateException} when something is closed or
 * the queue is in use by another thread.
 */
public final class Reduction {
  private Reduction() {}

  /**
   * What a row is reduced to. The order of the constants is that of {@code kith_reduction} in
   * {@code kith.h}.
   */
  public enum Kind {
    /** Sum of x. */
    SUM,
    /** Sum of |x|: the 1-norm. */
    ABS_SUM,
    /** Sum of x squared: the square of the 2-norm. */
    SQUARES,
    /** Sum of x y, of two rows. */
    DOT,
    /** Sum of (x - y) squared, of two rows; the difference is rounded to the compute type. */
    DISTANCE,
    /** The least x; NaN if there is one. */
    MIN,
    /** The largest x; NaN if there is one. */
    MAX,
    /** The largest |x|; NaN if there is one. */
    MAX_ABS,
    /** How many x are NaN or infinite. */
    NONFINITE;

    /**
     * Whether it takes two matrices.
     *
     * @return true for DOT and DISTANCE
     */
    public boolean isBinary() {
      return this == DOT || this == DISTANCE;
    }
  }

  /**
   * out(0, r) = reduction of row r of a.
   *
   * @param kind a kind of one matrix
   * @param a floating-point
   * @param out F64, 1 x rows of a
   */
  public static void rows(Kind kind, DeviceMatrix a, DeviceMatrix out) {
    reduceRows(kind, Access.window(a), null, Access.window(out));
  }

  /**
   * out(0, r) = reduction of row r of a with row r of b.
   *
   * @param kind a kind of two matrices
   * @param a floating-point
   * @param b the dtype and columns of a; as many rows, or one that serves all
   * @param out F64, 1 x rows of a
   */
  public static void rows(Kind kind, DeviceMatrix a, DeviceMatrix b, DeviceMatrix out) {
    reduceRows(kind, Access.window(a), Access.window(b), Access.window(out));
  }

  /** The second matrix is null where there is none, here and below. */
  private static void reduceRows(Kind kind, Window a, Window b, Window out) {
    checkOperands("rows", kind, a, b);
    checkOutput("rows", a, b, out, 1, a.rows());
    NativeQueue q = out.queue();
    int mark = q.begin("reduceRows");
    try {
      q.use(out);
      q.use(a);
      MemorySegment second = q.useOrNull(b);
      int status;
      do {
        status =
            q.abi()
                .reduceRows(
                    q.handle(),
                    Abi.number(kind),
                    a.descriptor(),
                    second,
                    out.descriptor(),
                    q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * out(r, s) = reduction of columns {@code [bounds[s], bounds[s + 1])} of row r of a. A tree
   * starts in each segment.
   *
   * @param kind a kind of one matrix
   * @param a floating-point
   * @param bounds ascending columns, at least two
   * @param out F64, rows of a x segments
   */
  public static void segments(Kind kind, DeviceMatrix a, long[] bounds, DeviceMatrix out) {
    reduceSegments(kind, Access.window(a), null, bounds, Access.window(out));
  }

  /**
   * out(r, s) = reduction of columns {@code [bounds[s], bounds[s + 1])} of row r of a with those of
   * row r of b.
   *
   * @param kind a kind of two matrices
   * @param a floating-point
   * @param b the dtype and columns of a; as many rows, or one that serves all
   * @param bounds ascending columns, at least two
   * @param out F64, rows of a x segments
   */
  public static void segments(
      Kind kind, DeviceMatrix a, DeviceMatrix b, long[] bounds, DeviceMatrix out) {
    reduceSegments(kind, Access.window(a), Access.window(b), bounds, Access.window(out));
  }

  private static void reduceSegments(Kind kind, Window a, Window b, long[] bounds, Window out) {
    checkOperands("segments", kind, a, b);
    checkBounds(bounds, a.cols());
    checkOutput("segments", a, b, out, a.rows(), bounds.length - 1);
    NativeQueue q = out.queue();
    int mark = q.begin("reduceSegments");
    try (Arena arena = Arena.ofConfined()) {
      q.use(out);
      q.use(a);
      MemorySegment second = q.useOrNull(b);
      MemorySegment limits = arena.allocateFrom(ValueLayout.JAVA_LONG, bounds);
      int status;
      do {
        status =
            q.abi()
                .reduceSegments(
                    q.handle(),
                    Abi.number(kind),
                    a.descriptor(),
                    second,
                    limits,
                    bounds.length - 1,
                    out.descriptor(),
                    q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  private static void checkBounds(long[] bounds, long cols) {
    if (bounds.length < 2) {
      throw new IllegalArgumentException(
          "segments: " + bounds.length + " bounds make no segment; at least 2");
    }
    for (int i = 0; i < bounds.length; i++) {
      if (bounds[i] < (i == 0 ? 0 : bounds[i - 1]) || bounds[i] > cols) {
        throw new IllegalArgumentException(
            "segments: bounds[%d] is %d; bounds must ascend within [0, %d]"
                .formatted(i, bounds[i], cols));
      }
    }
  }

  private static void checkOperands(String name, Kind kind, Window a, Window b) {
    Arguments.floating(name, "a", a);
    if (kind.isBinary() != (b != null)) {
      throw new IllegalArgumentException(
          name + ": " + kind + (b == null ? " takes two matrices" : " takes one matrix, not two"));
    }
    if (b != null) {
      Arguments.expect(name, "b", b, b.rows() == 1 ? 1 : a.rows(), a.cols(), a.dtype());
      Arguments.sameDevice(name, "b", b, "a", a);
    }
  }

  private static void checkOutput(
      String name, Window a, Window b, Window out, long rows, long cols) {
    Arguments.expect(name, "out", out, rows, cols, DType.F64);
    Arguments.sameDevice(name, "a", a, "out", out);
    Arguments.disjoint(name, "out", out, "a", a);
    if (b != null) {
      Arguments.disjoint(name, "out", out, "b", b);
    }
  }

  /**
   * out(i, j) = dot of rows i and j of a: the Gram matrix of the nodes, symmetric.
   *
   * @param a floating-point
   * @param out F64, rows of a x rows of a
   */
  public static void gram(DeviceMatrix a, DeviceMatrix out) {
    gramOf(Access.window(a), null, Access.window(out));
  }

  /**
   * out(i, j) = dot of row i of a and row j of b.
   *
   * @param a floating-point
   * @param b the dtype and columns of a
   * @param out F64, rows of a x rows of b
   */
  public static void gram(DeviceMatrix a, DeviceMatrix b, DeviceMatrix out) {
    gramOf(Access.window(a), Access.window(b), Access.window(out));
  }

  private static void gramOf(Window a, Window b, Window out) {
    Arguments.floating("gram", "a", a);
    if (b != null) {
      Arguments.expect("gram", "b", b, b.rows(), a.cols(), a.dtype());
      Arguments.sameDevice("gram", "b", b, "a", a);
    }
    checkOutput("gram", a, b, out, a.rows(), b == null ? a.rows() : b.rows());
    NativeQueue q = out.queue();
    int mark = q.begin("gram");
    try {
      q.use(out);
      q.use(a);
      MemorySegment second = q.useOrNull(b);
      int status;
      do {
        status = q.abi().gram(q.handle(), a.descriptor(), second, out.descriptor(), q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * Sums over nodes, element by element, on a tree: out = (program over the rows of x) / divisor.
   *
   * @param program a postfix program, see {@link NodeTree}; input p is row p of x
   * @param x floating-point
   * @param divisor one division of each result; 1 divides by nothing
   * @param out F32 or F64, a row for each result of the program, as many columns as x
   */
  public static void nodes(int[] program, DeviceMatrix x, double divisor, DeviceMatrix out) {
    nodes(program, x, Optional.empty(), divisor, Optional.of(out), Optional.empty());
  }

  /**
   * Sums over nodes, element by element, on a tree, and the squared distances of the rows to the
   * sum, in one pass.
   *
   * @param program a postfix program, see {@link NodeTree}; input p is row p of x, or row p - rows
   *     of x of {@code remote}
   * @param x floating-point
   * @param remote the dtype of x or its compute type, as many columns
   * @param divisor one division of each result; 1 divides by nothing
   * @param out a row for each result of the program, as many columns as x; without it the program
   *     leaves one result
   * @param distances F64, 1 x rows of x: the square of the 2-norm of row r of x minus the one
   *     result as stored in out, or as it would be in the dtype of x. At least one of {@code out}
   *     and {@code distances} is given
   */
  public static void nodes(
      int[] program,
      DeviceMatrix x,
      Optional<DeviceMatrix> remote,
      double divisor,
      Optional<DeviceMatrix> out,
      Optional<DeviceMatrix> distances) {
    Window rows = Access.window(x);
    Window far = Access.windowOrNull(remote);
    Window result = Access.windowOrNull(out);
    Window apart = Access.windowOrNull(distances);
    if (divisor == 0 || !Double.isFinite(divisor)) {
      throw new IllegalArgumentException(
          "nodes: the divisor is " + divisor + "; give a finite number other than 0");
    }
    checkNodes(program, rows, far, result, apart);
    Window written = result == null ? apart : result;
    NativeQueue q = written.queue();
    int mark = q.begin("reduceNodes");
    try (Arena arena = Arena.ofConfined()) {
      q.use(rows);
      MemorySegment code = arena.allocateFrom(ValueLayout.JAVA_INT, program);
      MemorySegment f = q.useOrNull(far);
      MemorySegment o = q.useOrNull(result);
      MemorySegment d = q.useOrNull(apart);
      int status;
      do {
        status =
            q.abi()
                .reduceNodes(
                    q.handle(),
                    rows.descriptor(),
                    f,
                    code,
                    program.length,
                    divisor,
                    o,
                    d,
                    q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  private static void checkNodes(
      int[] program, Window x, Window remote, Window out, Window distances) {
    Arguments.floating("nodes", "x", x);
    if (out == null && distances == null) {
      throw new IllegalArgumentException("nodes: neither out nor distances is given");
    }
    long inputs = x.rows();
    if (remote != null) {
      if (remote.dtype() != x.dtype() && remote.dtype() != x.dtype().computeType()) {
        throw new IllegalArgumentException(
            "nodes: remote is %s and must be %s or %s"
                .formatted(remote, x.dtype(), x.dtype().computeType()));
      }
      Arguments.sameCols("nodes", "remote", remote, "x", x);
      Arguments.sameDevice("nodes", "remote", remote, "x", x);
      inputs += remote.rows();
    }
    long results = checkProgram(program, inputs);
    long expected = out == null ? 1 : out.rows();
    if (results != expected || (distances != null && results != 1)) {
      throw new IllegalArgumentException(
          "nodes: the program leaves %d results and out has %d rows%s"
              .formatted(results, expected, distances == null ? "" : "; distances need exactly 1"));
    }
    if (out != null) {
      Arguments.floating("nodes", "out", out);
      Arguments.sameCols("nodes", "out", out, "x", x);
      checkWritten("out", out, x, remote);
    }
    if (distances != null) {
      Arguments.expect("nodes", "distances", distances, 1, x.rows(), DType.F64);
      checkWritten("distances", distances, x, remote);
      if (out != null) {
        Arguments.disjoint("nodes", "distances", distances, "out", out);
      }
    }
  }

  private static void checkWritten(String name, Window written, Window x, Window remote) {
    Arguments.sameDevice("nodes", name, written, "x", x);
    Arguments.disjoint("nodes", name, written, "x", x);
    if (remote != null) {
      Arguments.disjoint("nodes", name, written, "remote", remote);
    }
  }

  /** Runs the program on counts alone. */
  private static long checkProgram(int[] program, long inputs) {
    long depth = 0;
    for (int i = 0; i < program.length; i++) {
      int p = program[i];
      if (p < NodeTree.ADD || p >= inputs) {
        throw new IllegalArgumentException(
            "nodes: program[%d] is %d; inputs are 0 to %d and -1 adds".formatted(i, p, inputs - 1));
      }
      if (p == NodeTree.ADD && depth < 2) {
        throw new IllegalArgumentException(
            "nodes: program[%d] adds two values and there are %d; push rows before it"
                .formatted(i, depth));
      }
      depth += p == NodeTree.ADD ? -1 : 1;
    }
    return depth;
  }

  /**
   * The 2-norms of the rows. Waits.
   *
   * @param a floating-point
   * @return a number per row
   */
  public static double[] norms(DeviceMatrix a) {
    double[] values = squares(a);
    for (int i = 0; i < values.length; i++) {
      values[i] = Math.sqrt(values[i]);
    }
    return values;
  }

  /**
   * The squares of the 2-norms of the rows. Waits.
   *
   * @param a floating-point
   * @return a number per row
   */
  public static double[] squares(DeviceMatrix a) {
    try (DeviceMatrix out = DeviceMatrix.allocate(a.queue(), 1, a.rows(), DType.F64)) {
      rows(Kind.SQUARES, a, out);
      return out.toDoubles();
    }
  }

  /**
   * The dot products of the rows of two matrices. Waits.
   *
   * @param a floating-point
   * @param b the dtype and columns of a; as many rows, or one that serves all
   * @return a number per row of a
   */
  public static double[] dots(DeviceMatrix a, DeviceMatrix b) {
    try (DeviceMatrix out = DeviceMatrix.allocate(a.queue(), 1, a.rows(), DType.F64)) {
      rows(Kind.DOT, a, b, out);
      return out.toDoubles();
    }
  }

  /**
   * How many elements are NaN or infinite. Waits.
   *
   * @param a floating-point
   * @return the number
   */
  public static long nonFinite(DeviceMatrix a) {
    try (DeviceMatrix out = DeviceMatrix.allocate(a.queue(), 1, a.rows(), DType.F64)) {
      rows(Kind.NONFINITE, a, out);
      long sum = 0;
      for (double count : out.toDoubles()) {
        sum += (long) count;
      }
      return sum;
    }
  }

  /**
   * Sums numbers in pairs, neighbours first, an odd last one moving up: the tree of chunk sums and,
   * for one number per node, of {@link NodeTree}.
   *
   * @param values any number of them
   * @return the sum; +0 for none
   */
  public static double tree(double[] values) {
    double[] level = values.clone();
    int count = level.length;
    while (count > 1) {
      int half = count / 2;
      for (int i = 0; i < half; i++) {
        level[i] = level[2 * i] + level[2 * i + 1];
      }
      if (count % 2 == 1) {
        level[half] = level[count - 1];
      }
      count = (count + 1) / 2;
    }
    return count == 0 ? 0.0 : level[0];
  }
}
