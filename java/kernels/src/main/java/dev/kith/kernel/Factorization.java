package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * The family {@code factorization}: eigenvalues, orthonormal bases, polar and Cholesky factors of
 * many matrices in one call, each by itself, of F32 or F64 with at most {@link #MAX_SIDE} columns.
 * Arithmetic is F64 whatever the dtype, and results are rounded once. They have the same bits at
 * any number of threads, on any instruction set and device, and do not depend on what else is in
 * the batch. A matrix with a NaN or an infinity gives NaN in all its results where nothing else is
 * said. Formulas and bounds are those of {@code kith.h}.
 *
 * <p>Thread-safe; each operation runs on the queue of the base of its first output.
 *
 * <p>Errors of all: {@link IllegalArgumentException} when shapes, dtypes or devices do not fit, a
 * batch leaves its base, or a result overlaps another batch without being the same window as what
 * it is made from; {@link IllegalStateException} when something is closed or the queue is in use by
 * another thread.
 */
public final class Factorization {
  /** The most columns of a matrix. */
  public static final int MAX_SIDE = 1024;

  private Factorization() {}

  /**
   * Eigenvalues and eigenvectors of symmetric matrices, a_b v_k = value_k v_k, by Jacobi's method
   * (G. H. Golub, C. F. Van Loan, "Matrix Computations", 2013, section 8.5): sweeps over all pairs
   * until what lies beside the diagonal is below 2^-52 of the norm, at most 30. |a v - value v| and
   * the departure of the vectors from orthonormality are of the order n 2^-52.
   *
   * @param batches how many, at least 0
   * @param a n x n; the elements above the diagonal are not read
   * @param values 1 x n, written: ascending
   * @param vectors n x n, written: column k belongs to value k; may be a
   * @param sweeps I32, 1 x batches, written: how many sweeps a matrix took, 5 to 9 for n below 64;
   *     -1 where 30 were not enough or it is not finite
   */
  public static void eigen(
      long batches, Batch a, Batch values, Optional<Batch> vectors, Optional<DeviceMatrix> sweeps) {
    String name = "eigen";
    check(name, batches, "values", values, a);
    square(name, "a", a);
    values.expect(name, "values", 1, a.cols());
    if (vectors.isPresent()) {
      check(name, batches, "vectors", vectors.get(), a);
      vectors.get().expect(name, "vectors", a.rows(), a.cols());
    }
    Window counts = figure(name, "sweeps", sweeps, batches, DType.I32, a);
    run(
        name,
        values,
        (q) -> {
          MemorySegment from = use(q, a, 0);
          MemorySegment to = use(q, values, 1);
          MemorySegment basis = vectors.isPresent() ? use(q, vectors.get(), 2) : MemorySegment.NULL;
          MemorySegment count = q.useOrNull(counts);
          return () -> q.abi().eigen(q.handle(), batches, from, to, basis, count, q.call());
        });
  }

  /**
   * a_b = q_b r_b by Householder's reflections, q with orthonormal columns, also where those of a
   * depend on each other, r upper triangular and zero below, with no negative diagonal element: of
   * a matrix of full rank the only such factors.
   *
   * @param batches how many, at least 0
   * @param a m x n, m at least n
   * @param q m x n, written; may be a
   * @param r n x n, written
   */
  public static void qr(long batches, Batch a, Batch q, Optional<Batch> r) {
    String name = "qr";
    check(name, batches, "q", q, a);
    tall(name, "a", a);
    q.expect(name, "q", a.rows(), a.cols());
    if (r.isPresent()) {
      check(name, batches, "r", r.get(), a);
      r.get().expect(name, "r", a.cols(), a.cols());
    }
    run(
        name,
        q,
        (queue) -> {
          MemorySegment from = use(queue, a, 0);
          MemorySegment left = use(queue, q, 1);
          MemorySegment right = r.isPresent() ? use(queue, r.get(), 2) : MemorySegment.NULL;
          return () -> queue.abi().qr(queue.handle(), batches, from, left, right, queue.call());
        });
  }

  /**
   * The polar factor: x_b = u v' of the thin singular value decomposition y_b = u s v', the matrix
   * with orthonormal columns nearest to y_b, y (y' y)^(-1/2) without forming y' y. |x' x - 1| is of
   * the order n 2^-50 at any condition. Singular values up to m 2^-52 of the largest count as 0:
   * where there are any the nearest matrix is not the only one, and x is one of them.
   *
   * @param batches how many, at least 0
   * @param y m x n, m at least n
   * @param x m x n, written; may be y
   * @param distance F64, 1 x batches, written: |y_b - x_b|, how far y_b is from orthonormal columns
   * @param rank I32, 1 x batches, written: singular values that do not count as 0; -1 where y_b is
   *     not finite
   */
  public static void polar(
      long batches,
      Batch y,
      Batch x,
      Optional<DeviceMatrix> distance,
      Optional<DeviceMatrix> rank) {
    String name = "polar";
    check(name, batches, "x", x, y);
    x.expect(name, "x", y.rows(), y.cols());
    polar(name, batches, y, Optional.of(x), distance, rank);
  }

  /**
   * How far matrices are from having orthonormal columns: |y_b - x_b| with x_b of {@link #polar},
   * the square root of the sum of (s_k - 1)^2 over the singular values.
   *
   * @param batches how many, at least 0
   * @param y m x n, m at least n
   * @param distance F64, 1 x batches, written; NaN where y_b is not finite
   */
  public static void distance(long batches, Batch y, DeviceMatrix distance) {
    y.check("distance", "y", batches);
    polar("distance", batches, y, Optional.empty(), Optional.of(distance), Optional.empty());
  }

  private static void polar(
      String name,
      long batches,
      Batch y,
      Optional<Batch> x,
      Optional<DeviceMatrix> distance,
      Optional<DeviceMatrix> rank) {
    tall(name, "y", y);
    Window far = figure(name, "distance", distance, batches, DType.F64, y);
    Window ranks = figure(name, "rank", rank, batches, DType.I32, y);
    run(
        name,
        x.orElse(y),
        (q) -> {
          MemorySegment from = use(q, y, 0);
          MemorySegment to = x.isPresent() ? use(q, x.get(), 1) : MemorySegment.NULL;
          MemorySegment d = q.useOrNull(far);
          MemorySegment r = q.useOrNull(ranks);
          return () -> q.abi().polar(q.handle(), batches, from, to, d, r, q.call());
        });
  }

  /**
   * The projection on the tangent space of the Stiefel manifold at x: out_b = z_b - x_b sym(x_b'
   * z_b), sym(a) = (a + a') / 2, orthogonal where the columns of x_b are orthonormal. NaN and
   * infinities pass through.
   *
   * @param batches how many, at least 0
   * @param x m x n, m at least n: the points
   * @param z m x n: for instance gradients
   * @param out m x n, written; may be x or z
   */
  public static void tangent(long batches, Batch x, Batch z, Batch out) {
    String name = "tangent";
    check(name, batches, "out", out, x);
    check(name, batches, "out", out, z);
    tall(name, "x", x);
    z.expect(name, "z", x.rows(), x.cols());
    out.expect(name, "out", x.rows(), x.cols());
    run(
        name,
        out,
        (q) -> {
          MemorySegment at = use(q, x, 0);
          MemorySegment from = use(q, z, 1);
          MemorySegment to = use(q, out, 2);
          return () -> q.abi().tangent(q.handle(), batches, at, from, to, q.call());
        });
  }

  /**
   * a_b = l_b l_b', with l_b lower triangular, positive on its diagonal and zero above.
   *
   * @param batches how many, at least 0
   * @param a n x n, symmetric and positive definite; the elements above the diagonal are not read
   * @param l n x n, written; may be a. All NaN where a_b is not positive definite
   * @param failed I32, 1 x batches, written: 0, or k + 1 where pivot k is not positive and finite
   */
  public static void cholesky(long batches, Batch a, Batch l, DeviceMatrix failed) {
    String name = "cholesky";
    check(name, batches, "l", l, a);
    square(name, "a", a);
    l.expect(name, "l", a.rows(), a.cols());
    Window flags = figure(name, "failed", Optional.of(failed), batches, DType.I32, a);
    run(
        name,
        l,
        (q) -> {
          MemorySegment from = use(q, a, 0);
          MemorySegment to = use(q, l, 1);
          MemorySegment flag = q.useOrNull(flags);
          return () -> q.abi().cholesky(q.handle(), batches, from, to, flag, q.call());
        });
  }

  /**
   * Solves l_b l_b' x_b = b_b.
   *
   * @param batches how many, at least 0
   * @param l n x n, of {@link #cholesky}; the elements above the diagonal are not read
   * @param b n x any number of right sides
   * @param x the shape of b, written; may be b
   */
  public static void choleskySolve(long batches, Batch l, Batch b, Batch x) {
    String name = "choleskySolve";
    check(name, batches, "x", x, l);
    check(name, batches, "x", x, b);
    square(name, "l", l);
    b.expect(name, "b", l.rows(), b.cols());
    x.expect(name, "x", l.rows(), b.cols());
    run(
        name,
        x,
        (q) -> {
          MemorySegment factor = use(q, l, 0);
          MemorySegment from = use(q, b, 1);
          MemorySegment to = use(q, x, 2);
          return () -> q.abi().choleskySolve(q.handle(), batches, factor, from, to, q.call());
        });
  }

  /**
   * The factor of l_b l_b' + sum_i v_i v_i', in n&sup2; operations for each row v_i of v_b.
   *
   * @param batches how many, at least 0
   * @param l n x n, of {@link #cholesky}; changed
   * @param v any number of rows x n
   * @param failed I32, 1 x batches, written: 0, or i + 1 where v_i is not finite or too large, and
   *     l_b is as it was
   */
  public static void choleskyUpdate(long batches, Batch l, Batch v, DeviceMatrix failed) {
    update("choleskyUpdate", batches, 0, l, v, failed);
  }

  /**
   * The factor of l_b l_b' - sum_i v_i v_i', by hyperbolic rotations in the mixed form.
   *
   * @param batches how many, at least 0
   * @param l n x n, of {@link #cholesky}; changed
   * @param v any number of rows x n
   * @param failed I32, 1 x batches, written: 0, or i + 1 where taking v_i away would leave a matrix
   *     that is not positive definite, and l_b is as it was
   */
  public static void choleskyDowndate(long batches, Batch l, Batch v, DeviceMatrix failed) {
    update("choleskyDowndate", batches, 1, l, v, failed);
  }

  private static void update(
      String name, long batches, int down, Batch l, Batch v, DeviceMatrix failed) {
    check(name, batches, "l", l, v);
    square(name, "l", l);
    v.expect(name, "v", v.rows(), l.cols());
    Window flags = figure(name, "failed", Optional.of(failed), batches, DType.I32, l);
    run(
        name,
        l,
        (q) -> {
          MemorySegment factor = use(q, l, 0);
          MemorySegment vectors = use(q, v, 1);
          MemorySegment flag = q.useOrNull(flags);
          return () ->
              q.abi().choleskyUpdate(q.handle(), batches, down, factor, vectors, flag, q.call());
        });
  }

  /** The native call, repeated while it says AGAIN. */
  private interface Kernel {
    int call();
  }

  /** Takes what a call uses. */
  private interface Preparation {
    Kernel prepare(NativeQueue queue);
  }

  private static void run(String name, Batch result, Preparation preparation) {
    NativeQueue q = result.window().queue();
    int mark = q.begin(name);
    try {
      Kernel kernel = preparation.prepare(q);
      int status;
      do {
        status = kernel.call();
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  private static MemorySegment use(NativeQueue q, Batch batch, int slot) {
    q.use(batch.window());
    return batch.describe(q.batches(), slot);
  }

  /** A result beside what it is made from. */
  private static void check(String name, long batches, String result, Batch to, Batch from) {
    from.check(name, "an argument", batches);
    to.check(name, result, batches);
    Arguments.sameDevice(name, result, to.window(), "an argument", from.window());
    if (to.window().dtype() != from.window().dtype()) {
      throw new IllegalArgumentException(
          "%s: %s is %s and what it is made from %s; they must be of one dtype"
              .formatted(name, result, to.window().dtype(), from.window().dtype()));
    }
  }

  private static void side(String name, String what, Batch m) {
    if (m.cols() > MAX_SIDE) {
      throw new IllegalArgumentException(
          "%s: %s, %s, has more than %d columns".formatted(name, what, m, MAX_SIDE));
    }
  }

  private static void square(String name, String what, Batch m) {
    if (m.rows() != m.cols()) {
      throw new IllegalArgumentException(
          "%s: %s is %d x %d; give square matrices".formatted(name, what, m.rows(), m.cols()));
    }
    side(name, what, m);
  }

  private static void tall(String name, String what, Batch m) {
    if (m.rows() < m.cols()) {
      throw new IllegalArgumentException(
          "%s: %s is %d x %d; give at least as many rows as columns, or its transpose"
              .formatted(name, what, m.rows(), m.cols()));
    }
    side(name, what, m);
  }

  /** A number for each matrix, or null. */
  private static Window figure(
      String name, String figure, Optional<DeviceMatrix> m, long batches, DType t, Batch with) {
    Window window = Access.windowOrNull(m);
    if (window != null) {
      Arguments.expect(name, figure, window, 1, batches, t);
      Arguments.sameDevice(name, figure, window, "an argument", with.window());
    }
    return window;
  }
}
