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
 * The family {@code factorization}: eigenvalues and orthonormal bases of many matrices in one call,
 * each by itself, of F32 or F64 with at most {@link #MAX_SIDE} columns. Arithmetic is F64 whatever
 * the dtype, and results are rounded once. They have the same bits at any number of threads, on any
 * instruction set and device, and do not depend on what else is in the batch. A matrix with a NaN
 * or an infinity gives NaN in all its results. Formulas and bounds are those of {@code kith.h}.
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
