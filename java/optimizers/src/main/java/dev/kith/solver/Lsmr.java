package dev.kith.solver;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Minimises |b(k) - A(k) x(k)|&sup2; + phi&sup2; |x(k)|&sup2;, one system per row, from x = 0: LSMR
 * (D. Fong, M. Saunders, SIAM J. Sci. Comput. 33, 2011), the bidiagonalisation of Golub and Kahan
 * with the norm of the gradient A'(b - Ax) - phi&sup2; x falling in every iteration. With phi &gt;
 * 0 it is the solution for the stacked system [A; phi I] x = [b; 0], with phi = 0 that of least
 * length.
 *
 * <p>An iteration takes one product with A and one with A' of all rows, two reductions and seven
 * passes. A row that is done is not changed again, so that each ends with the bits that it has
 * alone.
 *
 * <p>Used by one thread at a time; keeps two matrices of the size of b and four of that of x.
 */
public final class Lsmr implements AutoCloseable {
  /**
   * What became of a row.
   *
   * @param converged whether the norm of the gradient is at most the tolerance times that at x = 0
   * @param iterations how many changed x
   * @param relativeGradient that quotient, 0 where the gradient is 0 at x = 0
   */
  public record Row(boolean converged, int iterations, double relativeGradient) {}

  private final double tolerance;
  private final int maxIterations;
  private final boolean demanding;
  private final double damping;
  private final RowNumbers numbers;
  private final DeviceMatrix u;
  private final DeviceMatrix image;
  private final DeviceMatrix v;
  private final DeviceMatrix back;
  private final DeviceMatrix h;
  private final DeviceMatrix hBar;
  private final DeviceMatrix coefficient;

  private Lsmr(Builder builder, DeviceMatrix b, DeviceMatrix x) {
    if (b.rows() != x.rows() || b.dtype() != x.dtype()) {
      throw new IllegalArgumentException(
          "b is " + b + " and x " + x + "; a system a row needs as many rows of one dtype");
    }
    tolerance = builder.tolerance;
    maxIterations = builder.maxIterations;
    demanding = builder.demanding;
    damping = builder.damping;
    numbers = new RowNumbers(x);
    try {
      u = numbers.own(b.like());
      image = numbers.own(b.like());
      v = numbers.own(x.like());
      back = numbers.own(x.like());
      h = numbers.own(x.like());
      hBar = numbers.own(x.like());
      coefficient = numbers.perRow();
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
    private double damping;

    private Builder() {}

    /**
     * When a row is solved: the norm of the gradient at most this times that at x = 0.
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
     * phi.
     *
     * @param phi at least 0; 0 by default
     * @return this
     * @throws IllegalArgumentException if it is negative or not finite
     */
    public Builder damping(double phi) {
      if (!(phi >= 0 && phi < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "damping is " + phi + " and must be at least 0 and finite");
      }
      damping = phi;
      return this;
    }

    /**
     * What happens where iterations are not enough.
     *
     * @param fails true: {@link #solve} throws {@link NotConvergedException}; false, the default:
     *     the row says so
     * @return this
     */
    public Builder failWhenNotConverged(boolean fails) {
      demanding = fails;
      return this;
    }

    /**
     * The solver.
     *
     * @param b F32 or F64: shape, dtype and queue of b; not kept
     * @param x the same of x; as many rows
     * @return a solver; close it
     * @throws IllegalArgumentException if they do not fit
     */
    public Lsmr build(DeviceMatrix b, DeviceMatrix x) {
      return new Lsmr(this, b, x);
    }
  }

  /** The numbers of one system, named as in the paper. */
  private static final class State {
    double alpha;
    double beta;
    double start;
    double alphaBar;
    double zetaBar;
    double zeta;
    double rho = 1;
    double rhoBar = 1;
    double cBar = 1;
    double sBar;
    int iterations;
    boolean converged;
    boolean done;

    Row row() {
      return new Row(converged, iterations, start == 0 ? 0 : Math.abs(zetaBar) / start);
    }

    void finish() {
      converged = true;
      done = true;
    }
  }

  /**
   * Solves all rows.
   *
   * @param forward multiplies by A, from rows of x to rows of b; called with rows of zeros for
   *     those that are done
   * @param adjoint multiplies by A', from rows of b to rows of x
   * @param b the right-hand sides; not changed
   * @param x the solutions; written, not read
   * @return what became of each row
   * @throws IllegalArgumentException if b or x does not fit, or b is not finite
   * @throws ArithmeticException if a product is not finite, with the row
   * @throws NotConvergedException if that was asked for
   */
  public List<Row> solve(
      LinearOperator forward, LinearOperator adjoint, DeviceMatrix b, DeviceMatrix x) {
    State[] rows = new State[numbers.rows()];
    Arrays.setAll(rows, k -> new State());
    double[] betas = numbers.norms(b);
    RowNumbers.requireFinite(betas);
    for (int k = 0; k < rows.length; k++) {
      rows[k].beta = betas[k];
    }
    each(rows, s -> inverse(s.beta));
    Mixing.combine(Expression.outer(1, coefficient, b), u);
    adjoint.apply(u, v);
    double[] alphas = norms(v, rows, "A'b");
    for (int k = 0; k < rows.length; k++) {
      State s = rows[k];
      s.alpha = alphas[k];
      s.alphaBar = s.alpha;
      s.zetaBar = s.alpha * s.beta;
      s.start = s.zetaBar;
      if (s.start == 0) {
        s.finish();
      }
    }
    each(rows, s -> 1 / s.alpha);
    Mixing.combine(Expression.outer(1, coefficient, v), v);
    h.copyFrom(v);
    hBar.fill(0);
    x.fill(0);
    for (int t = 0; t < maxIterations && !allDone(rows); t++) {
      bidiagonalise(forward, adjoint, rows);
      double[] onHBar = new double[rows.length];
      double[] onX = new double[rows.length];
      double[] onH = new double[rows.length];
      for (int k = 0; k < rows.length; k++) {
        if (!rows[k].done) {
          rotate(rows[k], k, onHBar, onX, onH);
        }
      }
      coefficient.upload(onHBar);
      Mixing.combine(Expression.outer(h).plusOuter(-1, coefficient, hBar), hBar);
      coefficient.upload(onX);
      Mixing.combine(Expression.outer(x).plusOuter(1, coefficient, hBar), x);
      coefficient.upload(onH);
      Mixing.combine(Expression.outer(v).plusOuter(-1, coefficient, h), h);
    }
    List<Row> result = Arrays.stream(rows).map(State::row).toList();
    if (demanding) {
      IntStream.range(0, rows.length)
          .filter(k -> !result.get(k).converged())
          .findFirst()
          .ifPresent(
              k -> {
                throw new NotConvergedException(
                    k, result.get(k).iterations(), result.get(k).relativeGradient(), tolerance);
              });
    }
    return result;
  }

  private static double inverse(double value) {
    return value == 0 ? 0 : 1 / value;
  }

  private interface Coefficient {
    double of(State row);
  }

  /** Uploads a number for each row, 0 for those that are done. */
  private void each(State[] rows, Coefficient number) {
    double[] values = new double[rows.length];
    Arrays.setAll(values, k -> rows[k].done ? 0 : number.of(rows[k]));
    coefficient.upload(values);
  }

  private static boolean allDone(State[] rows) {
    return Arrays.stream(rows).allMatch(row -> row.done);
  }

  private double[] norms(DeviceMatrix m, State[] rows, String what) {
    double[] norms = numbers.norms(m);
    for (int k = 0; k < rows.length; k++) {
      if (!rows[k].done) {
        RowNumbers.requireFinite(k, "the norm of " + what, norms[k]);
      }
    }
    return norms;
  }

  /** beta u = A v - alpha u, alpha v = A'u - beta v. */
  private void bidiagonalise(LinearOperator forward, LinearOperator adjoint, State[] rows) {
    forward.apply(v, image);
    each(rows, s -> s.alpha);
    Mixing.combine(Expression.outer(image).plusOuter(-1, coefficient, u), u);
    double[] betas = norms(u, rows, "Av");
    for (int k = 0; k < rows.length; k++) {
      rows[k].beta = betas[k];
    }
    each(rows, s -> inverse(s.beta));
    Mixing.combine(Expression.outer(1, coefficient, u), u);
    adjoint.apply(u, back);
    each(rows, s -> s.beta);
    Mixing.combine(Expression.outer(back).plusOuter(-1, coefficient, v), v);
    double[] alphas = norms(v, rows, "A'u");
    for (int k = 0; k < rows.length; k++) {
      rows[k].alpha = alphas[k];
    }
    each(rows, s -> inverse(s.alpha));
    Mixing.combine(Expression.outer(1, coefficient, v), v);
  }

  /** The two rotations of an iteration. */
  private void rotate(State s, int k, double[] onHBar, double[] onX, double[] onH) {
    double alphaHat = Math.hypot(s.alphaBar, damping);
    double oldRho = s.rho;
    s.rho = Math.hypot(alphaHat, s.beta);
    double c = alphaHat / s.rho;
    double sine = s.beta / s.rho;
    double theta = sine * s.alpha;
    s.alphaBar = c * s.alpha;
    double oldRhoBar = s.rhoBar;
    double thetaBar = s.sBar * s.rho;
    double before = s.cBar * s.rho;
    s.rhoBar = Math.hypot(before, theta);
    s.cBar = before / s.rhoBar;
    s.sBar = theta / s.rhoBar;
    s.zeta = s.cBar * s.zetaBar;
    s.zetaBar = -s.sBar * s.zetaBar;
    s.iterations++;
    onHBar[k] = thetaBar * s.rho / (oldRho * oldRhoBar);
    onX[k] = s.zeta / (s.rho * s.rhoBar);
    onH[k] = theta / s.rho;
    if (Math.abs(s.zetaBar) <= tolerance * s.start) {
      s.finish();
    }
  }

  @Override
  public void close() {
    numbers.close();
  }
}
