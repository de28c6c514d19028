package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/**
 * The family {@code lowrank}: tensors inside the rows of a matrix as products of two thin factors,
 * for PowerSGD (Vogels, Karimireddy, Jaggi, 2019, algorithm 1),
 *
 * <pre>V_t ~ P_t Q_t'      P = V Q      Q = V' P      v = [residual +] (x [- minus])</pre>
 *
 * <p>where V_t is a tensor of v as a matrix, rows x cols. All tensors of all rows go in one call.
 * Everything is F32. Factors are matrices of a row per node, or of one row that is common to all
 * nodes; a row holds the transposed factors of the tensors one after another: column k of P_t is
 * contiguous. Columns of a row that belong to no tensor are neither read nor written.
 *
 * <p>Sums over the columns or rows of a tensor stand on trees that {@code kith.h} states, so that
 * results have the same bits at any number of threads, on any instruction set and device.
 *
 * <p>Immutable; thread-safe. Each operation runs on the queue of what it writes.
 *
 * <p>Errors of all: {@link IllegalArgumentException} when shapes, dtypes or devices do not fit or
 * matrices overlap where they must not; {@link IllegalStateException} when something is closed or
 * the queue is in use by another thread.
 */
public final class LowRank {
  /** The largest rank. */
  public static final int MAX_RANK = Abi.MAX_RANK;

  private static final long OFFSET = Abi.offset(Abi.SHAPE, "offset");
  private static final long ROWS = Abi.offset(Abi.SHAPE, "rows");
  private static final long COLS = Abi.offset(Abi.SHAPE, "cols");
  private static final long RANK = Abi.offset(Abi.SHAPE, "rank");

  private final List<Shape> shapes;
  private final MemorySegment segment;
  private final long width;
  private final long leftSize;
  private final long rightSize;

  /**
   * A tensor of a row, as a matrix in row-major order.
   *
   * @param offset the column of a row where it begins
   * @param rows its rows, at least 1
   * @param cols its columns, at least 1
   * @param rank columns of its factors, from 1 to {@link #MAX_RANK} and to its least side
   */
  public record Shape(long offset, long rows, long cols, int rank) {
    /**
     * Checks.
     *
     * @throws IllegalArgumentException if a number is out of range
     */
    public Shape {
      if (offset < 0 || rows < 1 || cols < 1) {
        throw new IllegalArgumentException(
            "a tensor of %d x %d at column %d; give at least 1 x 1, at column 0 or later"
                .formatted(rows, cols, offset));
      }
      if (rank < 1 || rank > MAX_RANK || rank > Math.min(rows, cols)) {
        throw new IllegalArgumentException(
            "a tensor of %d x %d with rank %d; give a rank from 1 to %d and to its least side"
                .formatted(rows, cols, rank, MAX_RANK));
      }
      try {
        Math.addExact(offset, Math.multiplyExact(rows, cols));
      } catch (ArithmeticException e) {
        throw new IllegalArgumentException(
            "a tensor of %d x %d at column %d has too many elements".formatted(rows, cols, offset),
            e);
      }
    }

    /**
     * The column behind its last element.
     *
     * @return offset + rows cols
     */
    public long end() {
      return offset + rows * cols;
    }
  }

  private LowRank(List<Shape> shapes) {
    this.shapes = List.copyOf(shapes);
    long at = 0;
    long left = 0;
    long right = 0;
    for (int t = 0; t < this.shapes.size(); t++) {
      Shape shape = this.shapes.get(t);
      if (shape.offset() < at) {
        throw new IllegalArgumentException(
            "tensor %d begins at column %d and the one before it ends at %d; let tensors ascend without overlap"
                .formatted(t, shape.offset(), at));
      }
      at = shape.end();
      left += shape.rank() * shape.rows();
      right += shape.rank() * shape.cols();
    }
    width = at;
    leftSize = left;
    rightSize = right;
    segment = Arena.ofAuto().allocate(Abi.SHAPE, this.shapes.size());
    for (int t = 0; t < this.shapes.size(); t++) {
      MemorySegment to = segment.asSlice(t * Abi.SHAPE.byteSize(), Abi.SHAPE);
      Shape shape = this.shapes.get(t);
      to.set(ValueLayout.JAVA_LONG, OFFSET, shape.offset());
      to.set(ValueLayout.JAVA_LONG, ROWS, shape.rows());
      to.set(ValueLayout.JAVA_LONG, COLS, shape.cols());
      to.set(ValueLayout.JAVA_LONG, RANK, shape.rank());
    }
  }

  /**
   * Factors of these tensors.
   *
   * @param shapes ascending in their columns, without overlap; may be empty
   * @return the operations on them
   * @throws IllegalArgumentException if tensors overlap or do not ascend
   */
  public static LowRank of(List<Shape> shapes) {
    return new LowRank(shapes);
  }

  /**
   * Factors of the tensors of a layout that have two dimensions or more and are not empty: the
   * first dimension counts rows, the others together columns, as PowerSGD views them. The rank of a
   * tensor is {@code rank} or its least side. Vectors are left out.
   *
   * @param layout tensors of a row
   * @param rank from 1 to {@link #MAX_RANK}
   * @return the operations on them
   * @throws IllegalArgumentException if the rank is out of range
   */
  public static LowRank of(Layout layout, int rank) {
    if (rank < 1 || rank > MAX_RANK) {
      throw new IllegalArgumentException("the rank is " + rank + "; give 1 to " + MAX_RANK);
    }
    List<Shape> shapes = new ArrayList<>();
    for (Layout.Tensor tensor : layout.tensors()) {
      if (tensor.shape().length > 1 && tensor.size() > 0) {
        long least = Math.min(tensor.rows(), tensor.cols());
        shapes.add(
            new Shape(tensor.offset(), tensor.rows(), tensor.cols(), (int) Math.min(rank, least)));
      }
    }
    return new LowRank(shapes);
  }

  /**
   * The tensors.
   *
   * @return an immutable list in the order of their columns
   */
  public List<Shape> shapes() {
    return shapes;
  }

  /**
   * Columns of the left factors P.
   *
   * @return the sum of rank rows over the tensors
   */
  public long leftSize() {
    return leftSize;
  }

  /**
   * Columns of the right factors Q.
   *
   * @return the sum of rank cols over the tensors
   */
  public long rightSize() {
    return rightSize;
  }

  /**
   * P_t = V_t Q_t for every tensor of every row.
   *
   * @param x F32
   * @param minus what is subtracted from x: F32, the shape of x
   * @param residual what is added then: F32, the shape of x
   * @param q F32, rows of x or 1; at least {@link #rightSize} columns
   * @param p receives the left factors: F32, rows of x; at least {@link #leftSize} columns
   * @param flags I32, 1 x rows of x: receives 1 by OR at r if an element of v in a tensor of row r
   *     is NaN or infinite; nothing is cleared
   */
  public void left(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      DeviceMatrix q,
      DeviceMatrix p,
      Optional<DeviceMatrix> flags) {
    Source v = source("left", x, minus, residual);
    Window right = Access.window(q);
    Window left = Access.window(p);
    Window seen = Access.windowOrNull(flags);
    checkFactor("left", "q", right, v.x.rows(), true, rightSize);
    checkFactor("left", "p", left, v.x.rows(), false, leftSize);
    v.apart("left", "p", left);
    Arguments.sameDevice("left", "q", right, "p", left);
    Arguments.disjoint("left", "p", left, "q", right);
    if (seen != null) {
      Arguments.expect("left", "flags", seen, 1, v.x.rows(), DType.I32);
      v.apart("left", "flags", seen);
      Arguments.disjoint("left", "flags", seen, "q", right);
      Arguments.disjoint("left", "flags", seen, "p", left);
    }
    NativeQueue queue = left.queue();
    int mark = queue.begin("lowRankLeft");
    try {
      queue.use(left);
      queue.use(v.x);
      queue.use(right);
      MemorySegment m = queue.useOrNull(v.minus);
      MemorySegment e = queue.useOrNull(v.residual);
      MemorySegment f = queue.useOrNull(seen);
      int status;
      do {
        status =
            queue
                .abi()
                .lowrankLeft(
                    queue.handle(),
                    segment,
                    shapes.size(),
                    v.x.descriptor(),
                    m,
                    e,
                    right.descriptor(),
                    left.descriptor(),
                    f,
                    queue.call());
      } while (status == Abi.AGAIN);
      queue.check(status);
    } finally {
      queue.end(mark);
    }
  }

  /**
   * Q_t = V_t' P_t for every tensor of every row.
   *
   * @param x F32
   * @param minus what is subtracted from x: F32, the shape of x
   * @param residual what is added then: F32, the shape of x
   * @param p F32, rows of x or 1; at least {@link #leftSize} columns
   * @param q receives the right factors: F32, rows of x; at least {@link #rightSize} columns
   */
  public void right(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      DeviceMatrix p,
      DeviceMatrix q) {
    Source v = source("right", x, minus, residual);
    Window left = Access.window(p);
    Window right = Access.window(q);
    checkFactor("right", "p", left, v.x.rows(), true, leftSize);
    checkFactor("right", "q", right, v.x.rows(), false, rightSize);
    v.apart("right", "q", right);
    Arguments.sameDevice("right", "p", left, "q", right);
    Arguments.disjoint("right", "q", right, "p", left);
    NativeQueue queue = right.queue();
    int mark = queue.begin("lowRankRight");
    try {
      queue.use(right);
      queue.use(v.x);
      queue.use(left);
      MemorySegment m = queue.useOrNull(v.minus);
      MemorySegment e = queue.useOrNull(v.residual);
      int status;
      do {
        status =
            queue
                .abi()
                .lowrankRight(
                    queue.handle(),
                    segment,
                    shapes.size(),
                    v.x.descriptor(),
                    m,
                    e,
                    left.descriptor(),
                    right.descriptor(),
                    queue.call());
      } while (status == Abi.AGAIN);
      queue.check(status);
    } finally {
      queue.end(mark);
    }
  }

  /**
   * Makes the columns of every P_t orthonormal, in place: classical Gram-Schmidt, twice, with sums
   * in f64. A column that those before it span, all zeros among them, becomes the unit vector that
   * they span least, made orthonormal: finite factors always give orthonormal columns, and a
   * warm-started direction is never lost. NaN and infinities make their column, and those after it,
   * NaN.
   *
   * @param p F32, at least {@link #leftSize} columns
   */
  public void orthonormaliseLeft(DeviceMatrix p) {
    orthonormalise(p, 0, leftSize);
  }

  /**
   * Makes the columns of every Q_t orthonormal, in place, as {@link #orthonormaliseLeft} does.
   *
   * @param q F32, at least {@link #rightSize} columns
   */
  public void orthonormaliseRight(DeviceMatrix q) {
    orthonormalise(q, 1, rightSize);
  }

  private void orthonormalise(DeviceMatrix factors, int side, long size) {
    Window window = Access.window(factors);
    checkFactor("orthonormalise", "the factor", window, window.rows(), false, size);
    NativeQueue queue = window.queue();
    int mark = queue.begin("lowRankOrthonormalise");
    try {
      queue.use(window);
      int status;
      do {
        status =
            queue
                .abi()
                .lowrankOrthonormalise(
                    queue.handle(),
                    segment,
                    shapes.size(),
                    side,
                    window.descriptor(),
                    queue.call());
      } while (status == Abi.AGAIN);
      queue.check(status);
    } finally {
      queue.end(mark);
    }
  }

  /**
   * out_t = V_t - P_t Q_t' for every tensor of every row: what error feedback keeps. Other columns
   * of {@code out} stay.
   *
   * @param x F32
   * @param minus what is subtracted from x: F32, the shape of x
   * @param residual what is added then: F32, the shape of x
   * @param p F32, rows of x or 1; at least {@link #leftSize} columns
   * @param q F32, rows of x or 1; at least {@link #rightSize} columns
   * @param out F32, the shape of x; may be x, minus or residual
   */
  public void residual(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      DeviceMatrix p,
      DeviceMatrix q,
      DeviceMatrix out) {
    Source v = source("residual", x, minus, residual);
    Window left = Access.window(p);
    Window right = Access.window(q);
    Window to = Access.window(out);
    checkFactor("residual", "p", left, v.x.rows(), true, leftSize);
    checkFactor("residual", "q", right, v.x.rows(), true, rightSize);
    Arguments.expect("residual", "out", to, v.x.rows(), v.x.cols(), DType.F32);
    Arguments.sameDevice("residual", "x", v.x, "out", to);
    Arguments.disjointOrSame("residual", "out", to, "x", v.x);
    if (v.minus != null) {
      Arguments.disjointOrSame("residual", "out", to, "minus", v.minus);
    }
    if (v.residual != null) {
      Arguments.disjointOrSame("residual", "out", to, "residual", v.residual);
    }
    apart("residual", "out", to, "p", left);
    apart("residual", "out", to, "q", right);
    NativeQueue queue = to.queue();
    int mark = queue.begin("lowRankResidual");
    try {
      queue.use(to);
      queue.use(v.x);
      queue.use(left);
      queue.use(right);
      MemorySegment m = queue.useOrNull(v.minus);
      MemorySegment e = queue.useOrNull(v.residual);
      int status;
      do {
        status =
            queue
                .abi()
                .lowrankResidual(
                    queue.handle(),
                    segment,
                    shapes.size(),
                    v.x.descriptor(),
                    m,
                    e,
                    left.descriptor(),
                    right.descriptor(),
                    to.descriptor(),
                    queue.call());
      } while (status == Abi.AGAIN);
      queue.check(status);
    } finally {
      queue.end(mark);
    }
  }

  /**
   * y_i = [y_i +] P_i Q_i' in the columns of the tensors; others stay.
   *
   * @param p F32, rows of y or 1; at least {@link #leftSize} columns
   * @param q F32, rows of y or 1; at least {@link #rightSize} columns
   * @param add whether to add to y; otherwise y is overwritten
   * @param y F32
   */
  public void accumulate(DeviceMatrix p, DeviceMatrix q, boolean add, DeviceMatrix y) {
    run(null, Access.window(p), Access.window(q), null, null, add, Access.window(y));
  }

  /**
   * y_i = [y_i +] sum_j w_ij P_j Q_j' in the columns of the tensors, without forming the products
   * in memory; other columns stay.
   *
   * @param w a sparse mixing matrix: its columns count the rows of p or q, whichever has more, then
   *     those of the halo
   * @param p F32, a row per node or 1; at least {@link #leftSize} columns
   * @param q F32, a row per node or 1; at least {@link #rightSize} columns
   * @param haloP factors received from other processes; absent where there are none, and where one
   *     row of p serves all
   * @param haloQ the same for q
   * @param add whether to add to y; otherwise the rows of y that W names are overwritten
   * @param y F32
   * @throws UnsupportedOperationException if W is dense
   */
  public void accumulate(
      MixingWeights w,
      DeviceMatrix p,
      DeviceMatrix q,
      Optional<DeviceMatrix> haloP,
      Optional<DeviceMatrix> haloQ,
      boolean add,
      DeviceMatrix y) {
    run(
        Objects.requireNonNull(w, "w"),
        Access.window(p),
        Access.window(q),
        Access.windowOrNull(haloP),
        Access.windowOrNull(haloQ),
        add,
        Access.window(y));
  }

  /** The mixing matrix is null for the identity, halos where there are none. */
  private void run(
      MixingWeights weights,
      Window p,
      Window q,
      Window haloP,
      Window haloQ,
      boolean add,
      Window y) {
    String name = "accumulate";
    if (y.dtype() != DType.F32 || y.cols() < width) {
      throw new IllegalArgumentException(
          "%s: y is %s and must be F32 with %d columns or more".formatted(name, y, width));
    }
    long nodes = weights == null ? y.rows() : Math.max(p.rows(), q.rows());
    checkFactor(name, "p", p, nodes, true, leftSize);
    checkFactor(name, "q", q, nodes, true, rightSize);
    apart(name, "y", y, "p", p);
    apart(name, "y", y, "q", q);
    if (weights != null) {
      if (weights.behind().device() != y.device()) {
        throw new IllegalArgumentException(
            "%s: the mixing matrix is on device %s and y on %s"
                .formatted(name, weights.behind().device().name(), y.device().name()));
      }
      weights.checkResult(y.rows());
      if (weights.cols() < nodes) {
        throw new IllegalArgumentException(
            "%s: the mixing matrix has %d columns and there are %d nodes"
                .formatted(name, weights.cols(), nodes));
      }
      checkHalo("p", p, haloP, nodes, weights.cols() - nodes, leftSize, y);
      checkHalo("q", q, haloQ, nodes, weights.cols() - nodes, rightSize, y);
    }
    NativeQueue queue = y.queue();
    int mark = queue.begin("lowRankAccumulate");
    try {
      queue.use(y);
      queue.use(p);
      queue.use(q);
      MemorySegment w = MemorySegment.NULL;
      if (weights != null) {
        queue.use(weights.behind());
        w = weights.behind().handle();
      }
      MemorySegment farP = queue.useOrNull(haloP);
      MemorySegment farQ = queue.useOrNull(haloQ);
      int status;
      do {
        status =
            queue
                .abi()
                .lowrankAccumulate(
                    queue.handle(),
                    w,
                    segment,
                    shapes.size(),
                    p.descriptor(),
                    q.descriptor(),
                    farP,
                    farQ,
                    add ? 1 : 0,
                    y.descriptor(),
                    queue.call());
      } while (status == Abi.AGAIN);
      queue.check(status);
    } finally {
      queue.end(mark);
    }
  }

  private static void checkHalo(
      String factor, Window own, Window halo, long nodes, long beyond, long size, Window y) {
    if (halo == null) {
      if (beyond > 0 && own.rows() != 1) {
        throw new IllegalArgumentException(
            "accumulate: the mixing matrix has %d columns, %s has %d rows and there is no halo of it"
                .formatted(nodes + beyond, factor, own.rows()));
      }
      return;
    }
    if (own.rows() != nodes) {
      throw new IllegalArgumentException(
          "accumulate: %s has one row for %d nodes and a halo; a common factor has no halo"
              .formatted(factor, nodes));
    }
    checkFactor("accumulate", "the halo of " + factor, halo, beyond, false, size);
    apart("accumulate", "y", y, "the halo of " + factor, halo);
  }

  /** x, and what may be null of minus and residual. */
  private record Source(Window x, Window minus, Window residual) {
    /** On one device with what is written, and not in its memory. */
    void apart(String operation, String name, Window written) {
      LowRank.apart(operation, name, written, "x", x);
      if (minus != null) {
        LowRank.apart(operation, name, written, "minus", minus);
      }
      if (residual != null) {
        LowRank.apart(operation, name, written, "residual", residual);
      }
    }
  }

  private static void apart(
      String operation, String name, Window written, String other, Window read) {
    Arguments.sameDevice(operation, other, read, name, written);
    Arguments.disjoint(operation, name, written, other, read);
  }

  private Source source(
      String operation,
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual) {
    Source v =
        new Source(Access.window(x), Access.windowOrNull(minus), Access.windowOrNull(residual));
    if (v.x.dtype() != DType.F32 || v.x.cols() < width) {
      throw new IllegalArgumentException(
          "%s: x is %s and must be F32 with %d columns or more".formatted(operation, v.x, width));
    }
    checkLike(operation, "minus", v.minus, v.x);
    checkLike(operation, "residual", v.residual, v.x);
    return v;
  }

  private static void checkLike(String operation, String name, Window window, Window x) {
    if (window != null) {
      Arguments.expect(operation, name, window, x.rows(), x.cols(), DType.F32);
      Arguments.sameDevice(operation, name, window, "x", x);
    }
  }

  private static void checkFactor(
      String operation, String name, Window factor, long rows, boolean mayBeCommon, long size) {
    boolean common = mayBeCommon && factor.rows() == 1;
    if (factor.dtype() != DType.F32 || factor.cols() < size || (factor.rows() != rows && !common)) {
      throw new IllegalArgumentException(
          "%s: %s is %s and must be F32 with %d rows%s and %d columns or more"
              .formatted(operation, name, factor, rows, mayBeCommon ? " or 1" : "", size));
    }
  }
}
