package dev.kith.solver;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Minimises |b(k) - A(k) x(k)| for symmetric A(k), indefinite or singular too, one system per row,
 * from x = 0: MINRES (C. Paige, M. Saunders, SIAM J. Numer. Anal. 12, 1975), the recurrence of
 * Lanczos with a QR factorisation of its tridiagonal matrix.
 *
 * <p>An iteration takes one product of all rows, two reductions and five passes. A row that is done
 * is not changed again, so that each ends with the bits that it has alone.
 *
 * <p>Where b is not in the range of A a row ends when |A r| is at most the tolerance times |A| |r|,
 * |A| being the norm of the tridiagonal matrix so far. Its x is then lifted to the shortest one
 * with that residual, x - (r.x / r.r) r, so that it is A&#8314; b as MINRES-QLP gives it (Y. Liu,
 * A. Milzarek, F. Roosta, "Obtaining pseudo-inverse solutions with MINRES", 2023).
 *
 * <p>Used by one thread at a time; keeps seven matrices of the size of b.
 */
public final class Minres implements AutoCloseable {
  /** How a row ended. */
  public enum Outcome {
    /** |r| is at most the tolerance times |b|. */
    CONVERGED,
    /** |A r| is at most the tolerance times |A| |r|: no x has a smaller residual. */
    LEAST_SQUARES,
    /** The iterations were not enough. */
    NOT_CONVERGED
  }

  /**
   * What became of a row.
   *
   * @param outcome how it ended
   * @param iterations how many changed x
   * @param relativeResidual |r| / |b| by the recurrence, 0 where b is 0
   */
  public record Row(Outcome outcome, int iterations, double relativeResidual) {}

  private final double tolerance;
  private final int maxIterations;
  private final boolean demanding;
  private final RowNumbers numbers;
  private final DeviceMatrix v;
  private final DeviceMatrix first;
  private final DeviceMatrix second;
  private final DeviceMatrix third;
  private final DeviceMatrix fourth;
  private final DeviceMatrix fifth;
  private final DeviceMatrix sixth;
  private final DeviceMatrix[] coefficients = new DeviceMatrix[3];

  private Minres(Builder builder, DeviceMatrix like) {
    tolerance = builder.tolerance;
    maxIterations = builder.maxIterations;
    demanding = builder.demanding;
    numbers = new RowNumbers(like);
    try {
      v = numbers.own(like.like());
      first = numbers.own(like.like());
      second = numbers.own(like.like());
      third = numbers.own(like.like());
      fourth = numbers.own(like.like());
      fifth = numbers.own(like.like());
      sixth = numbers.own(like.like());
      Arrays.setAll(coefficients, i -> numbers.perRow());
    } catch (RuntimeException | Error e) {
      numbers.close();
      throw e;
    }
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
    private boolean demanding;

    private Builder() {}

    /**
     * When a row is solved: |r| at most this times |b|, or |A r| at most this times |A| |r|.
     *
     * @param relative at least 0; 1e-6 by default, which f32 reaches
     * @return this
     * @throws IllegalArgumentException if it is negative or not finite
     */
    public Builder tolerance(double relative) {
      tolerance = RowNumbers.tolerance(relative);
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
      maxIterations = RowNumbers.iterations(most);
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
     * The solver.
     *
     * @param like F32 or F64: shape, dtype and queue of b and x; not kept
     * @return a solver; close it
     */
    public Minres build(DeviceMatrix like) {
      return new Minres(this, like);
    }
  }

  /** The numbers of one system. */
  private static final class State {
    final double start;
    double oldBeta;
    double beta;
    double alpha;
    double deltaBar;
    double epsilon;
    double phiBar;
    double cosine = -1;
    double sine;
    double squares;
    int iterations;
    Outcome outcome = Outcome.NOT_CONVERGED;
    boolean done;

    State(double norm) {
      start = norm;
      beta = norm;
      phiBar = norm;
      if (norm == 0) {
        finish(Outcome.CONVERGED);
      }
    }

    void finish(Outcome how) {
      outcome = how;
      done = true;
    }

    Row row() {
      return new Row(outcome, iterations, start == 0 ? 0 : phiBar / start);
    }
  }

  /**
   * Solves all rows.
   *
   * @param operator multiplies by A; called with rows of zeros for those that are done
   * @param b the right-hand sides; not changed
   * @param x the solutions; written, not read
   * @return what became of each row
   * @throws IllegalArgumentException if b or x does not fit, or b is not finite
   * @throws ArithmeticException if a product is not finite, with the row
   * @throws NotConvergedException if that was asked for
   */
  public List<Row> solve(LinearOperator operator, DeviceMatrix b, DeviceMatrix x) {
    DeviceMatrix before = first;
    DeviceMatrix now = second;
    DeviceMatrix product = third;
    DeviceMatrix w = fourth;
    DeviceMatrix older = fifth;
    DeviceMatrix next = sixth;
    before.fill(0);
    now.copyFrom(b);
    w.fill(0);
    older.fill(0);
    x.fill(0);
    double[] norms = numbers.norms(b);
    RowNumbers.requireFinite(norms);
    State[] rows = Arrays.stream(norms).mapToObj(State::new).toArray(State[]::new);
    for (int t = 0; t < maxIterations && !allDone(rows); t++) {
      each(0, rows, s -> 1 / s.beta);
      Mixing.combine(Expression.outer(1, coefficients[0], now), v);
      operator.apply(v, product);
      boolean again = t > 0;
      each(0, rows, s -> again ? s.beta / s.oldBeta : 0);
      Mixing.combine(Expression.outer(product).plusOuter(-1, coefficients[0], before), product);
      double[] alphas = numbers.dots(v, product);
      for (int k = 0; k < rows.length; k++) {
        rows[k].alpha = alphas[k];
        if (!rows[k].done) {
          RowNumbers.requireFinite(k, "v.Av", alphas[k]);
        }
      }
      each(0, rows, s -> s.alpha / s.beta);
      Mixing.combine(Expression.outer(product).plusOuter(-1, coefficients[0], now), product);
      double[] betas = numbers.norms(product);
      double[] onV = new double[rows.length];
      double[] onOlder = new double[rows.length];
      double[] onW = new double[rows.length];
      double[] phi = new double[rows.length];
      for (int k = 0; k < rows.length; k++) {
        if (!rows[k].done) {
          RowNumbers.requireFinite(k, "the norm of Av", betas[k]);
          phi[k] = rotate(rows[k], betas[k], k, onV, onOlder, onW);
        }
      }
      coefficients[0].upload(onV);
      coefficients[1].upload(onOlder);
      coefficients[2].upload(onW);
      Mixing.combine(
          Expression.outer(1, coefficients[0], v)
              .plusOuter(1, coefficients[1], older)
              .plusOuter(1, coefficients[2], w),
          next);
      coefficients[0].upload(phi);
      Mixing.combine(Expression.outer(x).plusOuter(1, coefficients[0], next), x);
      DeviceMatrix free = older;
      older = w;
      w = next;
      next = free;
      free = before;
      before = now;
      now = product;
      product = free;
    }
    lift(operator, b, x, rows);
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

  private interface Coefficient {
    double of(State row);
  }

  /** Uploads a number for each row, 0 for those that are done. */
  private void each(int which, State[] rows, Coefficient coefficient) {
    double[] values = new double[rows.length];
    Arrays.setAll(values, k -> rows[k].done ? 0 : coefficient.of(rows[k]));
    coefficients[which].upload(values);
  }

  private static boolean allDone(State[] rows) {
    return Arrays.stream(rows).allMatch(row -> row.done);
  }

  /** One step of the QR factorisation; gives how far x moves along the new w. */
  private double rotate(State s, double beta, int k, double[] onV, double[] onOlder, double[] onW) {
    s.squares += s.alpha * s.alpha + beta * beta + (s.iterations == 0 ? 0 : s.beta * s.beta);
    double oldEpsilon = s.epsilon;
    double delta = s.cosine * s.deltaBar + s.sine * s.alpha;
    double gammaBar = s.sine * s.deltaBar - s.cosine * s.alpha;
    s.epsilon = s.sine * beta;
    s.deltaBar = -s.cosine * beta;
    // |A r| of the x so far.
    if (s.phiBar * Math.hypot(gammaBar, s.deltaBar) <= tolerance * Math.sqrt(s.squares) * s.phiBar
        || (gammaBar == 0 && beta == 0)) {
      s.finish(Outcome.LEAST_SQUARES);
      return 0;
    }
    double gamma = Math.hypot(gammaBar, beta);
    s.cosine = gammaBar / gamma;
    s.sine = beta / gamma;
    double phi = s.cosine * s.phiBar;
    s.phiBar *= s.sine;
    s.oldBeta = s.beta;
    s.beta = beta;
    s.iterations++;
    onV[k] = 1 / gamma;
    onOlder[k] = -oldEpsilon / gamma;
    onW[k] = -delta / gamma;
    if (s.phiBar <= tolerance * s.start) {
      s.finish(Outcome.CONVERGED);
    } else if (beta == 0) {
      s.finish(Outcome.LEAST_SQUARES);
    }
    return phi;
  }

  /** The shortest solution of rows that have a residual. */
  private void lift(LinearOperator operator, DeviceMatrix b, DeviceMatrix x, State[] rows) {
    if (Arrays.stream(rows).noneMatch(row -> row.outcome == Outcome.LEAST_SQUARES)) {
      return;
    }
    operator.apply(x, v);
    Mixing.combine(Expression.outer(b).plusOuter(-1, v), v);
    double[] along = numbers.dots(v, x);
    double[] squares = numbers.dots(v, v);
    double[] share = new double[rows.length];
    Arrays.setAll(
        share,
        k ->
            rows[k].outcome == Outcome.LEAST_SQUARES && squares[k] > 0 ? along[k] / squares[k] : 0);
    coefficients[0].upload(share);
    Mixing.combine(Expression.outer(x).plusOuter(-1, coefficients[0], v), x);
  }

  @Override
  public void close() {
    numbers.close();
  }
}
