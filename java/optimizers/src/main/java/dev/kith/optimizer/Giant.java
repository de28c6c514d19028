package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import dev.kith.problem.Value;
import dev.kith.solver.ConjugateGradient;
import java.util.List;

/**
 * GIANT, the globally improved approximate Newton method, on strongly convex F = (1/n) sum_i f_i:
 *
 * <pre>
 *   g   = (1/n) sum_i grad f_i(x)
 *   p_i = H_i(x)^-1 g                      conjugate gradient on the own Hessian
 *   p   = -(1/n) sum_i p_i                 Newton with the harmonic mean of the Hessians
 *   x'  = x + 2^-k p                       the least k with F(x + 2^-k p) &le; F(x) + rho 2^-k p.g
 * </pre>
 *
 * <p>Few rounds where local data are many and alike, as H_i is then close to their mean. A round
 * takes three sums over all nodes: of g, of p_i, and of the values at all candidates for k together
 * (or one after the other, see {@link Builder#sequential}); a node sends 2 d + J + 1 numbers and
 * gets as many. Values count as not larger where they differ by 16 roundings of F. Where no
 * candidate passes, the parameters stay.
 *
 * <p>Needs exact gradients: all local data in every one.
 *
 * <p>Source: S. Wang, F. Roosta-Khorasani, P. Xu, M. Mahoney, "GIANT: Globally Improved Approximate
 * Newton Method for Distributed Optimization", 2018, in the form and with the constants of the code
 * that the authors of DINGO compare with: J = 50, rho = 1e-4, relative tolerance 1e-4 of at most 50
 * iterations.
 */
public final class Giant extends CommonModelOptimizer {
  /** The relative difference up to which values count as equal, in roundings. */
  private static final double ROUNDINGS = 16;

  private final HessianVector curvature;
  private final ConjugateGradient solver;
  private final int candidates;
  private final double decrease;
  private final boolean sequential;
  private final double epsilon;
  private final NodeValues values;
  private final DeviceMatrix gradients;
  private final DeviceMatrix steps;
  private final DeviceMatrix right;
  private final DeviceMatrix mean;
  private final DeviceMatrix direction;
  private double step;

  private Giant(Builder builder) {
    super("giant", builder.problem, builder.network, builder.initial);
    this.curvature = capability(HessianVector.class, "products with its Hessians");
    this.candidates = builder.candidates;
    this.decrease = builder.decrease;
    this.sequential = builder.sequential;
    this.values = own(new NodeValues(this, capability(Value.class, "values")));
    this.gradients = own(parameters().like());
    this.steps = own(gradients.like());
    this.right = own(gradients.like());
    this.mean = own(model().row().like());
    this.direction = own(mean.like());
    this.solver = own(builder.solver().build(gradients));
    this.epsilon = mean.dtype() == DType.F64 ? 0x1p-52 : 0x1p-23;
  }

  /**
   * @param problem the local objectives; {@link HessianVector} and {@link Value}
   * @param network any schedule for the same nodes, none of which fails
   * @param initial the start, one row; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    problem().gradient(parameters(), gradients, round());
    average(gradients, mean);
    model().spread(mean, right);
    List<ConjugateGradient.Row> solved =
        solver.solve(
            (v, product) -> curvature.hessianVector(parameters(), v, product, round()),
            right,
            steps);
    averageSteps(solved);
    double slope = -Reduction.dots(direction, mean)[0];
    step = search(slope);
    if (step > 0) {
      requireFiniteStep(propose(step));
      model().accept();
    }
  }

  /** Every process learns whether a system had no solution, from a sum that is not finite. */
  private void averageSteps(List<ConjugateGradient.Row> solved) {
    double[] broken = new double[solved.size()];
    for (int r = 0; r < broken.length; r++) {
      if (solved.get(r).outcome() == ConjugateGradient.Outcome.NEGATIVE_CURVATURE) {
        broken[r] = 1;
        try (DeviceMatrix row = steps.row(r)) {
          row.fill(Double.NaN);
        }
      }
    }
    network().average(steps, direction);
    if (Reduction.nonFinite(direction) == 0) {
      return;
    }
    double[] all = network().gather(broken);
    for (int node = 0; node < all.length; node++) {
      if (all[node] != 0) {
        throw new ArithmeticException(
            "the Hessian of node "
                + node
                + " is not positive definite in round "
                + round()
                + ": give its objective a regulariser, or take dingo");
      }
    }
    requireFiniteAverage(steps, direction);
  }

  private DeviceMatrix propose(double t) {
    return model().propose(Expression.outer(model().row()).plusOuter(-t, direction));
  }

  /** The values at x - t direction of the own nodes. */
  private double[] valuesAt(double t) {
    model().spread(propose(t), right);
    return values.own(right);
  }

  /** The largest step that passes; 0 if none does. */
  private double search(double slope) {
    if (sequential) {
      double here = values.mean(parameters());
      double t = 1;
      for (int k = 0; k < candidates; k++, t /= 2) {
        if (passes(values.means(new double[][] {valuesAt(t)})[0], here, t * slope)) {
          return t;
        }
      }
      return 0;
    }
    double[][] own = new double[candidates + 1][];
    own[candidates] = values.own(parameters());
    for (int k = 0; k < candidates; k++) {
      own[k] = valuesAt(Math.scalb(1.0, -k));
    }
    double[] means = values.means(own);
    for (int k = 0; k < candidates; k++) {
      double t = Math.scalb(1.0, -k);
      if (passes(means[k], means[candidates], t * slope)) {
        return t;
      }
    }
    return 0;
  }

  private boolean passes(double there, double here, double change) {
    return there <= here + decrease * change + ROUNDINGS * epsilon * Math.abs(here);
  }

  /** The step 2^-k of the last round; 0 when the parameters stayed, and before the first. */
  public double lastStep() {
    return step;
  }

  @Override
  String variant() {
    return sequential ? "sequential" : "";
  }

  /** Settings of {@link Giant}. */
  public static final class Builder extends NewtonBuilder<Builder> {
    private int candidates = 50;
    private double decrease = 1e-4;
    private boolean sequential;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial, 1e-4, 50);
    }

    /**
     * How many steps 1, 1/2, 1/4, ... are candidates, J. Default: 50, of the compared code.
     *
     * @throws IllegalArgumentException if it is below 1 or above 1000
     */
    public Builder candidates(int count) {
      candidates = LineSearchOptions.candidates(count);
      return this;
    }

    /**
     * How much of the decrease that the slope promises a step has to give, rho. Default: 1e-4, of
     * the compared code.
     *
     * @throws IllegalArgumentException if it is not in (0, 1)
     */
    public Builder decrease(double share) {
      decrease = LineSearchOptions.decrease(share);
      return this;
    }

    /**
     * Tries one candidate after the other, each in a sum of its own, and none beyond the first that
     * passes: mostly two numbers a round and one evaluation instead of J + 1, in one message more.
     * Default: false, all in one message.
     */
    public Builder sequential(boolean sequential) {
      this.sequential = sequential;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the problem
     *     has no Hessians or no values
     */
    public Giant build() {
      return new Giant(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
