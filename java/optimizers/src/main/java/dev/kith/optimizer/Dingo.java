package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import dev.kith.solver.ConjugateGradient;
import dev.kith.solver.LinearOperator;
import dev.kith.solver.Lsmr;
import dev.kith.solver.Minres;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * DINGO, distributed Newton for invex objectives: reduces |grad F|&sup2; of F = (1/n) sum_i f_i
 * without convexity of the f_i. With g = grad F(x), each node gives
 *
 * <pre>
 *   H_i g,      c1_i = H_i^+ g   (MINRES),      c2_i = [H_i; phi I]^+ [g; 0]   (LSMR)
 * </pre>
 *
 * <p>in one message, and with h = (1/n) sum_i H_i g, half the gradient of |grad F|&sup2;,
 *
 * <pre>
 *   case 1:  p = -mean c1   if p.h &le; -theta |g|&sup2;
 *   case 2:  p = -mean c2   if p.h &le; -theta |g|&sup2;
 *   case 3:  p = mean p_i,  p_i = -c2_i - lambda_i q_i,   q_i = (H_i&sup2; + phi&sup2; I)^-1 h,
 *            lambda_i = (theta |g|&sup2; - c2_i.h) / h.q_i  where that is positive, else 0
 *   x' = x + 2^-k p,   the least k with |grad F(x')|&sup2; &le; |g|&sup2; + 2 rho 2^-k p.h
 * </pre>
 *
 * <p>The norm of the gradient never grows. A round takes a sum of 3 d numbers, one of d in case 3,
 * and one of d for each candidate of the line search that is tried, the last of which is the
 * gradient of the next round. {@link Builder#batched} sends the gradients at all J candidates in
 * one message of J d numbers, as the authors' code does: that dominates the cost. Where no
 * candidate passes, the parameters stay.
 *
 * <p>Needs exact gradients: all local data in every one.
 *
 * <p>Source: R. Crane, F. Roosta, "DINGO: Distributed Newton-Type Method for Gradient-Norm
 * Optimization", 2019, and the authors' code, from which the defaults are: theta = 1e-4, phi =
 * 1e-6, rho = 1e-4, J = 50. Where H_i is singular, H_i^+ g is MINRES' least-squares solution,
 * lifted to the shortest one ({@link Minres}), in place of the authors' MINRES-QLP.
 */
public final class Dingo extends CommonModelOptimizer {
  /** How the direction of a round was made. */
  public enum Case {
    /** Of pseudo-inverses of the local Hessians. */
    PSEUDO_INVERSES,
    /** Of regularised pseudo-inverses. */
    REGULARISED,
    /** Of the same, corrected by the nodes whose part does not go down enough. */
    CORRECTED
  }

  private final HessianVector curvature;
  private final Minres minres;
  private final Lsmr lsmr;
  private final ConjugateGradient solver;
  private final double descent;
  private final double regularisation;
  private final double decrease;
  private final int candidates;
  private final boolean batched;
  private final DeviceMatrix rowsBuffer;
  private final DeviceMatrix product;
  private final DeviceMatrix answers;
  private final DeviceMatrix answer;
  private final DeviceMatrix direction;
  private final DeviceMatrix perRow;
  private DeviceMatrix gradient;
  private DeviceMatrix nextGradient;
  private boolean started;
  private double step;
  private Case last = Case.PSEUDO_INVERSES;

  private Dingo(Builder builder) {
    super("dingo", builder.problem, builder.network, builder.initial);
    this.curvature = capability(HessianVector.class, "products with its Hessians");
    this.descent = builder.descent;
    this.regularisation = builder.regularisation;
    this.decrease = builder.decrease;
    this.candidates = builder.candidates;
    this.batched = builder.batched;
    DeviceMatrix x = parameters();
    long d = x.cols();
    this.rowsBuffer = own(x.like());
    this.product = own(x.like());
    this.answers = own(x.like(x.rows(), 3 * d, x.dtype()));
    this.answer = own(x.like(1, 3 * d, x.dtype()));
    this.direction = own(model().row().like());
    this.perRow = own(x.like(1, x.rows(), DType.F64));
    this.gradient = own(direction.like());
    this.nextGradient = own(direction.like());
    this.minres =
        own(
            Minres.builder()
                .tolerance(builder.tolerance)
                .maxIterations(builder.solverIterations)
                .build(x));
    this.lsmr =
        own(
            Lsmr.builder()
                .damping(builder.regularisation)
                .tolerance(builder.tolerance)
                .maxIterations(builder.solverIterations)
                .build(x, x));
    this.solver = own(builder.solver().build(x));
  }

  /**
   * @param problem the local objectives; {@link HessianVector}
   * @param network any schedule for the same nodes, none of which fails
   * @param initial the start, one row; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    if (!started) {
      problem().gradient(parameters(), rowsBuffer, round());
      average(rowsBuffer, gradient);
      started = true;
    }
    double squares = Reduction.squares(gradient)[0];
    if (squares == 0) {
      step = 0;
      return;
    }
    double slope = direct(squares);
    step = batched ? searchAtOnce(squares, slope) : search(squares, slope);
    if (step > 0) {
      requireFiniteStep(propose(step));
      model().accept();
      DeviceMatrix old = gradient;
      gradient = nextGradient;
      nextGradient = old;
    }
  }

  /** Makes the direction; gives its product with half the gradient of |g|^2. */
  private double direct(double squares) {
    long d = direction.cols();
    LinearOperator hessian = (v, out) -> curvature.hessianVector(parameters(), v, out, round());
    try (DeviceMatrix products = answers.columns(0, d);
        DeviceMatrix inverse = answers.columns(d, 2 * d);
        DeviceMatrix regular = answers.columns(2 * d, 3 * d);
        DeviceMatrix meanProduct = answer.columns(0, d);
        DeviceMatrix meanInverse = answer.columns(d, 2 * d);
        DeviceMatrix meanRegular = answer.columns(2 * d, 3 * d)) {
      model().spread(gradient, rowsBuffer);
      hessian.apply(rowsBuffer, products);
      minres.solve(hessian, rowsBuffer, inverse);
      lsmr.solve(hessian, hessian, rowsBuffer, regular);
      average(answers, answer);
      double wanted = -descent * squares;
      double slope = -Reduction.dots(meanInverse, meanProduct)[0];
      if (slope <= wanted) {
        last = Case.PSEUDO_INVERSES;
        Mixing.combine(Expression.outer(-1, meanInverse), direction);
        return slope;
      }
      slope = -Reduction.dots(meanRegular, meanProduct)[0];
      if (slope <= wanted) {
        last = Case.REGULARISED;
        Mixing.combine(Expression.outer(-1, meanRegular), direction);
        return slope;
      }
      last = Case.CORRECTED;
      return correct(hessian, squares, regular, meanProduct);
    }
  }

  private double correct(
      LinearOperator hessian, double squares, DeviceMatrix regular, DeviceMatrix meanProduct) {
    double[] enough = Reduction.dots(regular, meanProduct);
    model().spread(meanProduct, rowsBuffer);
    try (DeviceMatrix q = regular.like(regular.rows(), regular.cols(), regular.dtype())) {
      solver.solve(
          (v, out) -> {
            hessian.apply(v, product);
            hessian.apply(product, out);
            Mixing.combine(
                Expression.outer(out).plusOuter(regularisation * regularisation, v), out);
          },
          rowsBuffer,
          q);
      double[] along = Reduction.dots(q, meanProduct);
      double[] lambda = new double[enough.length];
      for (int r = 0; r < lambda.length; r++) {
        double missing = descent * squares - enough[r];
        lambda[r] = missing > 0 ? missing / along[r] : 0;
      }
      perRow.upload(lambda);
      Mixing.combine(Expression.outer(-1, regular).plusOuter(-1, perRow, q), rowsBuffer);
    }
    average(rowsBuffer, direction);
    return Reduction.dots(direction, meanProduct)[0];
  }

  private DeviceMatrix propose(double t) {
    return model().propose(Expression.outer(model().row()).plusOuter(t, direction));
  }

  private void gradients(double t, DeviceMatrix out) {
    model().spread(propose(t), rowsBuffer);
    problem().gradient(rowsBuffer, out, round());
  }

  private boolean passes(DeviceMatrix there, double squares, double t, double slope) {
    return Reduction.squares(there)[0] <= squares + 2 * decrease * t * slope;
  }

  /** One candidate after the other; leaves the gradient there in {@code nextGradient}. */
  private double search(double squares, double slope) {
    for (int k = 0; k < candidates; k++) {
      double t = Math.scalb(1.0, -k);
      gradients(t, product);
      network().average(product, nextGradient);
      if (passes(nextGradient, squares, t, slope)) {
        return t;
      }
    }
    requireFiniteAverage(product, nextGradient);
    return 0;
  }

  /** All candidates in one message. */
  private double searchAtOnce(double squares, double slope) {
    long d = direction.cols();
    try (DeviceMatrix all = answers.like(answers.rows(), candidates * d, answers.dtype());
        DeviceMatrix means = answers.like(1, candidates * d, answers.dtype())) {
      for (int k = 0; k < candidates; k++) {
        try (DeviceMatrix one = all.columns(k * d, (k + 1) * d)) {
          gradients(Math.scalb(1.0, -k), one);
        }
      }
      network().average(all, means);
      for (int k = 0; k < candidates; k++) {
        double t = Math.scalb(1.0, -k);
        try (DeviceMatrix there = means.columns(k * d, (k + 1) * d)) {
          if (passes(there, squares, t, slope)) {
            nextGradient.copyFrom(there);
            return t;
          }
        }
      }
      requireFiniteAverage(all, means);
    }
    return 0;
  }

  /** The step 2^-k of the last round; 0 when the parameters stayed, and before the first. */
  public double lastStep() {
    return step;
  }

  /** How the direction of the last round was made. */
  public Case lastCase() {
    return last;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>(super.state());
    state.put("gradient", gradient);
    return state;
  }

  @Override
  long[] counters() {
    return new long[] {started ? 1 : 0};
  }

  @Override
  void counters(long[] values) {
    started = values[0] != 0;
  }

  @Override
  String variant() {
    return batched ? "batched" : "";
  }

  /** Settings of {@link Dingo}. */
  public static final class Builder extends NewtonBuilder<Builder> {
    private double descent = 1e-4;
    private double regularisation = 1e-6;
    private double decrease = 1e-4;
    private int candidates = 50;
    private boolean batched;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial, 1e-4, 50);
    }

    /**
     * theta: a direction is taken where p.h is at most -theta |g|&sup2;. Default: 1e-4, of the
     * authors' code.
     *
     * @throws IllegalArgumentException if it is not positive and finite
     */
    public Builder descent(double theta) {
      descent = positive("theta", theta);
      return this;
    }

    /**
     * phi, in cases 2 and 3. Default: 1e-6, of the authors' code.
     *
     * @throws IllegalArgumentException if it is not positive and finite
     */
    public Builder regularisation(double phi) {
      regularisation = positive("phi", phi);
      return this;
    }

    private static double positive(String name, double value) {
      if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            name + " is " + value + " and must be positive and finite");
      }
      return value;
    }

    /**
     * How much of the decrease that the slope promises a step has to give, rho. Default: 1e-4, of
     * the authors' code.
     *
     * @throws IllegalArgumentException if it is not in (0, 1)
     */
    public Builder decrease(double share) {
      decrease = LineSearchOptions.decrease(share);
      return this;
    }

    /**
     * How many steps 1, 1/2, 1/4, ... are candidates, J. Default: 50, of the authors' code.
     *
     * @throws IllegalArgumentException if it is below 1 or above 1000
     */
    public Builder candidates(int count) {
      candidates = LineSearchOptions.candidates(count);
      return this;
    }

    /**
     * Sends the gradients at all candidates in one message, as the authors' code does. Default:
     * false, one candidate after the other until one passes, which is mostly the first.
     */
    public Builder batched(boolean batched) {
      this.batched = batched;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the problem
     *     has no Hessians
     */
    public Dingo build() {
      return new Dingo(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
