package dev.kith.solver;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Curvature;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.Reduction;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.stream.IntStream;

/**
 * Solves A(k) x(k) = b(k) for symmetric A(k), one system per row, from x = 0: conjugate gradient
 * with one reduction per iteration (A. Chronopoulos, C. W. Gear, J. Comput. Appl. Math. 25, 1989),
 *
 * <pre>
 *   p &larr; r + beta p,  s &larr; w + beta s,  x &larr; x + alpha p,  r &larr; r - alpha s,  w = A r
 *   gamma = r.r,  delta = r.w,  beta = gamma / gamma_before,  alpha = gamma / (delta - beta gamma / alpha_before)
 * </pre>
 *
 * in two passes over the rows beside the product, and with the exits of Steihaug (T. Steihaug, SIAM
 * J. Numer. Anal. 20, 1983): where p.Ap is not positive, and at the border of a trust region. A
 * solve makes one product more than iterations, of all rows at once. A row that is done is not
 * touched again, so that each ends with the bits that it has alone. Norms are those of the
 * recurrence for r, which leaves b - Ax by roundings.
 *
 * <p>Used by one thread at a time; keeps four matrices of the size of b.
 */
public final class ConjugateGradient implements AutoCloseable {
  /** How a row ended. */
  public enum Outcome {
    /** |r| is at most the tolerance times |b|. */
    CONVERGED,
    /**
     * p.Ap was not positive. x is the iterate before, in the first iteration b; within a trust
     * region, where p meets its border.
     */
    NEGATIVE_CURVATURE,
    /** x is where the next step met the border of the trust region. */
    BORDER,
    /** The iterations were not enough. */
    NOT_CONVERGED
  }

  /**
   * What became of a row.
   *
   * @param outcome how it ended
   * @param iterations how many changed x
   * @param relativeResidual |r| / |b|, 0 where b is 0
   */
  public record Row(Outcome outcome, int iterations, double relativeResidual) {}

  private final double tolerance;
  private final int maxIterations;
  private final OptionalDouble radius;
  private final boolean demanding;
  private final OptionalDouble symmetry;
  private final long seed;
  private final DeviceMatrix r;
  private final DeviceMatrix w;
  private final DeviceMatrix p;
  private final DeviceMatrix s;
  private final DeviceMatrix alphas;
  private final DeviceMatrix betas;
  private final DeviceMatrix sums;

  private ConjugateGradient(Builder builder, DeviceMatrix like) {
    tolerance = builder.tolerance;
    maxIterations = builder.maxIterations;
    radius = builder.radius;
    demanding = builder.demanding;
    symmetry = builder.symmetry;
    seed = builder.seed.orElse(0);
    List<DeviceMatrix> made = new ArrayList<>();
    try {
      for (int i = 0; i < 4; i++) {
        made.add(like.like());
      }
      made.add(like.like(1, like.rows(), DType.F64));
      made.add(like.like(1, like.rows(), DType.F64));
      made.add(like.like(2, like.rows(), DType.F64));
    } catch (RuntimeException | Error e) {
      made.forEach(DeviceMatrix::close);
      throw e;
    }
    r = made.get(0);
    w = made.get(1);
    p = made.get(2);
    s = made.get(3);
    alphas = made.get(4);
    betas = made.get(5);
    sums = made.get(6);
  }

  /**
   * Starts with the usual values.
   *
   * @return a builder
   */
  public static Builder builder() {
    return new Builder();
  }

  /** Collects options. Not thread-safe. */
  public static final class Builder {
    private double tolerance = 1e-6;
    private int maxIterations = 100;
    private OptionalDouble radius = OptionalDouble.empty();
    private boolean demanding;
    private OptionalDouble symmetry = OptionalDouble.empty();
    private OptionalLong seed = OptionalLong.empty();

    private Builder() {}

    /**
     * When a row is solved: |r| at most this times |b|.
     *
     * @param relative at least 0; 1e-6 by default, which f32 reaches
     * @return this
     * @throws IllegalArgumentException if it is negative or not finite
     */
    public Builder tolerance(double relative) {
      if (!(relative >= 0 && relative < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "tolerance is " + relative + " and must be at least 0 and finite");
      }
      tolerance = relative;
      return this;
    }

    /**
     * How many iterations are made at most.
     *
     * @param most at least 1; 100 by default
     * @return this
     * @throws IllegalArgumentException if it is below 1
     */
    public Builder maxIterations(int most) {
      if (most < 1) {
        throw new IllegalArgumentException("maxIterations is " + most + " and must be at least 1");
      }
      maxIterations = most;
      return this;
    }

    /**
     * Keeps |x| within a trust region, as Steihaug does.
     *
     * @param delta its radius, positive; none by default
     * @return this
     * @throws IllegalArgumentException if it is not positive and finite
     */
    public Builder radius(double delta) {
      if (!(delta > 0 && delta < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "radius is " + delta + " and must be positive and finite");
      }
      radius = OptionalDouble.of(delta);
      return this;
    }

    /**
     * What happens where iterations are not enough.
     *
     * @param fails true: {@link #solve} throws {@link NotConvergedException}; false, the default:
     *     the row says {@link Outcome#NOT_CONVERGED}
     * @return this
     */
    public Builder failWhenNotConverged(boolean fails) {
      demanding = fails;
      return this;
    }

    /**
     * Compares u.Av and v.Au of two random rows of signs before each solve, which costs two
     * products.
     *
     * @param relative how far apart they may be, of |u| |Av| + |v| |Au|; positive
     * @param probeSeed of the rows, stream {@code PERTURBATION}
     * @return this
     * @throws IllegalArgumentException if the tolerance is not positive
     */
    public Builder probeSymmetry(double relative, long probeSeed) {
      if (!(relative > 0)) {
        throw new IllegalArgumentException(
            "the tolerance of symmetry is " + relative + " and must be positive");
      }
      symmetry = OptionalDouble.of(relative);
      seed = OptionalLong.of(probeSeed);
      return this;
    }

    /**
     * The solver.
     *
     * @param like F32 or F64: shape, dtype and queue of b and x; not kept
     * @return a solver; close it
     */
    public ConjugateGradient build(DeviceMatrix like) {
      return new ConjugateGradient(this, like);
    }
  }

  /** The numbers of one system. */
  private static final class State {
    final double target;
    final double start;
    double gamma;
    double delta;
    double alpha = 1;
    double beta;
    /* Of Steihaug: x.x, x.p and p.p by recurrence. */
    double xx;
    double xp;
    double pp;
    int iterations;
    Outcome outcome = Outcome.NOT_CONVERGED;
    boolean done;

    State(double gamma, double tolerance) {
      this.gamma = gamma;
      start = Math.sqrt(gamma);
      target = tolerance * start;
      if (gamma == 0) {
        finish(Outcome.CONVERGED);
      }
    }

    void finish(Outcome how) {
      outcome = how;
      done = true;
    }

    Row row() {
      return new Row(outcome, iterations, start == 0 ? 0 : Math.sqrt(gamma) / start);
    }
  }

  /**
   * Solves all rows.
   *
   * @param operator multiplies by A; called with rows that are solved already too
   * @param b the right-hand sides; not changed
   * @param x the solutions; written, not read
   * @return what became of each row
   * @throws IllegalArgumentException if b or x does not fit, b is not finite, or the operator was
   *     probed and is not symmetric
   * @throws ArithmeticException if a product is not finite, with the row
   * @throws NotConvergedException if that was asked for
   */
  public List<Row> solve(LinearOperator operator, DeviceMatrix b, DeviceMatrix x) {
    if (symmetry.isPresent()) {
      probe(operator);
    }
    r.copyFrom(b);
    x.fill(0);
    p.fill(0);
    s.fill(0);
    operator.apply(r, w);
    double[][] products = products();
    State[] rows = new State[Math.toIntExact(r.rows())];
    for (int k = 0; k < rows.length; k++) {
      if (!Double.isFinite(products[0][k])) {
        throw new IllegalArgumentException(
            "b.b of row " + k + " is " + products[0][k] + "; give a finite right-hand side");
      }
      rows[k] = new State(products[0][k], tolerance);
    }
    for (int t = 1; t <= maxIterations && !allDone(rows); t++) {
      double[] alpha = new double[rows.length];
      double[] beta = new double[rows.length];
      for (int k = 0; k < rows.length; k++) {
        State row = rows[k];
        if (!row.done) {
          row.delta = products[1][k];
          checkFinite(k, "r.Ar", row.delta);
          alpha[k] = step(row);
          beta[k] = row.beta;
          row.iterations += alpha[k] == 0 ? 0 : 1;
        }
      }
      alphas.upload(alpha);
      betas.upload(beta);
      Curvature.conjugateUpdate(alphas, betas, r, w, p, s, x);
      if (!allDone(rows)) {
        operator.apply(r, w);
      }
      products = products();
      for (int k = 0; k < rows.length; k++) {
        advance(rows[k], k, products[0][k]);
      }
    }
    List<Row> result = Arrays.stream(rows).map(State::row).toList();
    if (demanding) {
      IntStream.range(0, rows.length)
          .filter(k -> result.get(k).outcome() == Outcome.NOT_CONVERGED)
          .findFirst()
          .ifPresent(
              k -> {
                throw new NotConvergedException(
                    k, result.get(k).iterations(), result.get(k).relativeResidual(), tolerance);
              });
    }
    return result;
  }

  private static boolean allDone(State[] rows) {
    return Arrays.stream(rows).allMatch(row -> row.done);
  }

  private static void checkFinite(int k, String what, double value) {
    if (!Double.isFinite(value)) {
      throw new ArithmeticException(
          what + " of row " + k + " is " + value + ": look at what the operator returns there");
    }
  }

  /** r.r and r.w of all rows. */
  private double[][] products() {
    Curvature.dots(r, w, sums);
    double[] both = sums.toDoubles();
    int rows = both.length / 2;
    return new double[][] {
      Arrays.copyOfRange(both, 0, rows), Arrays.copyOfRange(both, rows, 2 * rows)
    };
  }

  /** The alpha of this iteration; 0 leaves the row as it is. */
  private double step(State row) {
    double curvature = row.delta - row.beta / row.alpha * row.gamma;
    // r is orthogonal to the directions so far, and to x.
    row.xp = row.beta * (row.xp + row.alpha * row.pp);
    row.pp = row.gamma + row.beta * row.beta * row.pp;
    if (!(curvature > 0)) {
      row.finish(Outcome.NEGATIVE_CURVATURE);
      return radius.isPresent() ? toBorder(row) : row.iterations == 0 ? 1 : 0;
    }
    row.alpha = row.gamma / curvature;
    double xx = row.xx + row.alpha * (2 * row.xp + row.alpha * row.pp);
    if (radius.isPresent() && xx >= square(radius.getAsDouble())) {
      row.finish(Outcome.BORDER);
      return toBorder(row);
    }
    row.xx = xx;
    return row.alpha;
  }

  private static double square(double v) {
    return v * v;
  }

  /** How far x may go along p: the positive root of |x + tau p| = radius. */
  private double toBorder(State row) {
    double left = square(radius.orElseThrow()) - row.xx;
    double root = Math.sqrt(row.xp * row.xp + row.pp * left);
    // Of the two forms of the root the one without cancellation.
    return row.xp > 0 ? left / (row.xp + root) : (root - row.xp) / row.pp;
  }

  private static void advance(State row, int k, double gamma) {
    checkFinite(k, "r.r", gamma);
    if (!row.done) {
      row.beta = gamma / row.gamma;
      if (Math.sqrt(gamma) <= row.target) {
        row.finish(Outcome.CONVERGED);
      }
    }
    row.gamma = gamma;
  }

  private void probe(LinearOperator operator) {
    int rows = Math.toIntExact(r.rows());
    NoiseField.Distribution signs = NoiseField.Distribution.RADEMACHER;
    Noise.draw(NoiseField.shared(signs, Stream.PERTURBATION, seed, 0, 0, rows), 1, p);
    Noise.draw(NoiseField.shared(signs, Stream.PERTURBATION, seed, 1, 0, rows), 1, s);
    operator.apply(p, r);
    operator.apply(s, w);
    double[] one = Reduction.dots(s, r);
    double[] other = Reduction.dots(p, w);
    double[] sizes = Reduction.norms(r);
    double[] others = Reduction.norms(w);
    double length = Math.sqrt((double) r.cols());
    for (int k = 0; k < rows; k++) {
      double apart = Math.abs(one[k] - other[k]);
      if (!(apart <= symmetry.orElseThrow() * length * (sizes[k] + others[k]))) {
        throw new IllegalArgumentException(
            "the operator of row %d is not symmetric: v.Au is %s and u.Av is %s; conjugate gradient needs a symmetric one"
                .formatted(k, one[k], other[k]));
      }
    }
  }

  @Override
  public void close() {
    List.of(r, w, p, s, alphas, betas, sums).forEach(DeviceMatrix::close);
  }
}
