package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Newton-Schulz iteration: the orthogonal factor of matrices, nearly, by products alone. For every
 * matrix G, p x q, of every row, with p &le; q (else the same on the transpose, which costs
 * nothing),
 *
 * <pre>
 * X = G / (|G|_F + 1e-7)
 * k times:  A = X X'     B = c A A' + b A + a I     X = B X
 * </pre>
 *
 * <p>so singular vectors stay and singular values go through s &larr; a s + b s&sup3; + c s&#8309;,
 * k times, from s / |G|_F. A and B are symmetric and cost half a product each; an iteration is 1.5
 * p&sup2;q + 0.5 p&sup3; multiplications and additions (p&sup2;q more without the symmetry: 2
 * p&sup2;q + p&sup3;), and no element-wise pass besides the first. With c = 0 there is no A. All
 * matrices of equal shape that are neighbours, or the same one of all rows, share their products.
 *
 * <p>A matrix of zeros stays; one with NaN or without a finite norm becomes NaN. The bits of a
 * result are those of {@link Product}: the same for any number of threads, and promised across CPU
 * models and devices where no BLAS takes part. The norms are downloaded, so a call waits.
 *
 * <p>Source: K. Jordan, Y. Jin, V. Boza, J. You, F. Cesista, L. Newhouse, J. Bernstein, "Muon: An
 * optimizer for hidden layers in neural networks", 2024; G. Schulz, ZAMM 13, 1933, for the cubic;
 * N. Higham, "Functions of Matrices", 2008, ch. 8.
 *
 * <p>Used by one thread at a time; runs on the queue that it was made with.
 */
public final class NewtonSchulz implements AutoCloseable {
  /** Added to the norm. */
  public static final double EPSILON = 1e-7;

  private final Polynomial polynomial;
  private final int iterations;
  private final List<Layout.Tensor> tensors;
  private final List<MatrixRun> runs;
  private final long[] bounds;
  private final int[] segments;
  private final long rows;
  private final long cols;
  private final DType dtype;
  private final Queue queue;
  private final List<DeviceMatrix> owned = new ArrayList<>();
  private final DeviceMatrix squares;
  private final DeviceMatrix scales;
  private final DeviceMatrix other;
  private final DeviceMatrix gram;
  private final DeviceMatrix factor;

  /**
   * What an iteration does to a singular value: s &larr; a s + b s&sup3; + c s&#8309;.
   *
   * @param a the slope at 0
   * @param b of the cube
   * @param c of the fifth power; 0 halves the work
   */
  public record Polynomial(double a, double b, double c) {
    /**
     * Muon's: steep at 0 (485 times after five iterations) and not convergent. Five iterations take
     * [0.01, 1] into [0.68, 1.14] and [0.001, 1] into [0.47, 1.21].
     */
    public static final Polynomial MUON = new Polynomial(3.4445, -4.7750, 2.0315);

    /** (15 s - 10 s&sup3; + 3 s&#8309;) / 8: converges to 1 from (0, 1], cubically near it. */
    public static final Polynomial QUINTIC = new Polynomial(1.875, -1.25, 0.375);

    /** (3 s - s&sup3;) / 2: converges to 1 from (0, 1], quadratically near it. */
    public static final Polynomial CUBIC = new Polynomial(1.5, -0.5, 0);

    /**
     * Checks.
     *
     * @throws IllegalArgumentException if a coefficient is not finite
     */
    public Polynomial {
      StepParameters.finite("a", a);
      StepParameters.finite("b", b);
      StepParameters.finite("c", c);
    }

    /**
     * An iteration on a number.
     *
     * @param s a singular value
     * @return a s + b s&sup3; + c s&#8309;
     */
    public double at(double s) {
      double square = s * s;
      return s * (a + square * (b + square * c));
    }
  }

  /**
   * Allocates what the iteration needs besides its argument and its result: the largest run of
   * equal matrices once more, and two squares of their lesser side for each.
   *
   * @param polynomial what an iteration computes
   * @param iterations how many, at least 0; Muon takes 5
   * @param tensors of the rows, as matrices ({@link Layout.Tensor#rows} x {@link
   *     Layout.Tensor#cols}), in the order of their columns
   * @param like F32 or F64: gives rows, columns, dtype, device and queue, and is not kept
   * @throws IllegalArgumentException if there are fewer than 0 iterations, tensors overlap or leave
   *     the columns, or the dtype is another
   */
  public NewtonSchulz(
      Polynomial polynomial, int iterations, List<Layout.Tensor> tensors, DeviceMatrix like) {
    if (iterations < 0) {
      throw new IllegalArgumentException(
          "newtonSchulz: " + iterations + " iterations are impossible; at least 0");
    }
    if (like.dtype() != DType.F32 && like.dtype() != DType.F64) {
      throw new IllegalArgumentException(
          "newtonSchulz: the matrix is " + like.dtype() + " and must be F32 or F64");
    }
    this.polynomial = polynomial;
    this.iterations = iterations;
    this.tensors = tensors.stream().filter(tensor -> tensor.size() > 0).toList();
    runs = MatrixRun.of(this.tensors);
    rows = like.rows();
    cols = like.cols();
    dtype = like.dtype();
    queue = like.queue();
    if (!runs.isEmpty() && runs.getLast().end() > cols) {
      throw new IllegalArgumentException(
          "newtonSchulz: the tensors end at column %d and the matrix has %d"
              .formatted(runs.getLast().end(), cols));
    }
    segments = new int[this.tensors.size()];
    bounds = cuts();
    long widest = 0;
    long squareSides = 0;
    for (MatrixRun run : runs) {
      long side = Math.min(run.rows(), run.cols());
      widest = Math.max(widest, run.size());
      squareSides = Math.max(squareSides, run.count() * side * side);
    }
    boolean idle = iterations == 0;
    try {
      squares = own(like.like(rows, Math.max(0, bounds.length - 1), DType.F64));
      scales = own(like.like(this.tensors.size(), rows, DType.F64));
      other = own(like.like(rows, idle ? 0 : widest, dtype));
      gram = own(like.like(rows, idle || polynomial.c() == 0 ? 0 : squareSides, dtype));
      factor = own(like.like(rows, idle ? 0 : squareSides, dtype));
    } catch (RuntimeException | Error e) {
      Step.closeAll(owned, e);
      throw e;
    }
  }

  private DeviceMatrix own(DeviceMatrix matrix) {
    owned.add(matrix);
    return matrix;
  }

  /** Where tensors and the gaps between them begin, and which segment each tensor is. */
  private long[] cuts() {
    List<Long> limits = new ArrayList<>();
    for (int t = 0; t < tensors.size(); t++) {
      Layout.Tensor tensor = tensors.get(t);
      if (limits.isEmpty() || limits.getLast() != tensor.offset()) {
        limits.add(tensor.offset());
      }
      segments[t] = limits.size() - 1;
      limits.add(tensor.offset() + tensor.size());
    }
    return limits.stream().mapToLong(Long::longValue).toArray();
  }

  /**
   * Iterates on all tensors of all rows; other columns are neither read nor written.
   *
   * @param from the matrices G, of the shape, dtype and device given to the constructor
   * @param to receives the results; the window of from, or it overlaps it not
   * @throws IllegalArgumentException if shapes, dtypes or devices do not fit, or matrices overlap
   * @throws IllegalStateException if something is closed or the queue is in use by another thread
   */
  public void apply(DeviceMatrix from, DeviceMatrix to) {
    check("from", from);
    check("to", to);
    if (to.queue() != queue) {
      throw new IllegalArgumentException(
          "newtonSchulz: the result is bound to another queue than the iteration; take a view on its queue");
    }
    if (tensors.isEmpty() || rows == 0) {
      return;
    }
    scales.upload(factors(from));
    boolean ends = iterations % 2 == 0;
    int next = 0;
    for (MatrixRun run : runs) {
      MatrixRun aside = run.with(0, run.rows(), run.cols());
      for (long k = 0; k < run.count(); k++, next++) {
        long size = run.rows() * run.cols();
        long begin = run.offset() + k * size;
        try (DeviceMatrix scale = scales.row(next);
            DeviceMatrix source = from.columns(begin, begin + size);
            DeviceMatrix start =
                ends ? to.columns(begin, begin + size) : other.columns(k * size, (k + 1) * size)) {
          Mixing.combine(Expression.outer(1, scale, source), start);
        }
      }
      for (int i = 0; i < iterations; i++) {
        boolean fromTo = (iterations - i) % 2 == 0;
        if (fromTo) {
          iterate(run, to, aside, other);
        } else {
          iterate(aside, other, run, to);
        }
      }
    }
  }

  /** y = B x for every matrix of a run. */
  private void iterate(MatrixRun xs, DeviceMatrix x, MatrixRun ys, DeviceMatrix y) {
    boolean tall = xs.rows() > xs.cols();
    long side = Math.min(xs.rows(), xs.cols());
    MatrixRun squareRun = xs.with(0, side, side);
    long batches = xs.batches(x);
    for (long k = 0; k < xs.calls(x); k++) {
      Batch from = xs.batch(x, k);
      Batch b = squareRun.batch(factor, k);
      if (polynomial.c() == 0) {
        Product.multiplySymmetric(
            batches, polynomial.b(), from, tall, 0, Optional.empty(), polynomial.a(), b);
      } else {
        Batch a = squareRun.batch(gram, k);
        Product.multiplySymmetric(batches, 1, from, tall, 0, Optional.empty(), 0, a);
        Product.multiplySymmetric(
            batches, polynomial.c(), a, false, polynomial.b(), Optional.of(a), polynomial.a(), b);
      }
      if (tall) {
        Product.multiply(batches, 1, from, false, b, false, 0, ys.batch(y, k));
      } else {
        Product.multiply(batches, 1, b, false, from, false, 0, ys.batch(y, k));
      }
    }
  }

  /** 1 / (|G|_F + epsilon), a row for every tensor; NaN where the norm is not finite. */
  private double[] factors(DeviceMatrix from) {
    double[] measured = Clipping.squares(from, bounds, squares);
    int count = Math.toIntExact(rows);
    double[] factors = new double[tensors.size() * count];
    for (int t = 0; t < tensors.size(); t++) {
      for (int row = 0; row < count; row++) {
        double norm = Math.sqrt(measured[row * (bounds.length - 1) + segments[t]]);
        factors[t * count + row] = Double.isInfinite(norm) ? Double.NaN : 1 / (norm + EPSILON);
      }
    }
    return factors;
  }

  private void check(String name, DeviceMatrix m) {
    if (m.rows() != rows || m.cols() != cols || m.dtype() != dtype) {
      throw new IllegalArgumentException(
          "newtonSchulz: %s is %d x %d %s and must be %d x %d %s"
              .formatted(name, m.rows(), m.cols(), m.dtype(), rows, cols, dtype));
    }
  }

  /** Closes what it allocated. Idempotent. */
  @Override
  public void close() {
    RuntimeException failure = new IllegalStateException("closing the iteration failed");
    Step.closeAll(owned, failure);
    if (failure.getSuppressed().length > 0) {
      throw failure;
    }
  }
}
