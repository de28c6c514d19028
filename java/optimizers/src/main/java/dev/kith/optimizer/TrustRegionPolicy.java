package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.problem.PolicySurrogate;
import dev.kith.problem.Problem;
import java.util.OptionalDouble;

/**
 * Trust region policy optimization (TRPO): the largest improvement that the surrogate L promises
 * within a mean divergence of delta. With g the gradient of minus the return and F the Fisher
 * information, both means over all nodes:
 *
 * <pre>
 * s = (F + damping I)^-1 g by conjugate gradient,   beta = sqrt(2 delta / s^T g)
 * x' = x - beta 2^-k s  with the first k = 0 .. 9 that has  L(x') &gt; 0  and  KL(x || x') &lt;= delta
 * </pre>
 *
 * <p>If there is none, or g = 0, x stays. s^T g is s^T (F + damping I) s, since the residual is
 * orthogonal to s, so that beta s has the predicted divergence delta. Two numbers a node are
 * averaged for every k tried, and a row for the gradient and each product.
 *
 * <p>Source: Schulman, Levine, Moritz, Jordan, Abbeel, "Trust Region Policy Optimization", 2015,
 * appendix C; delta = 0.01, 10 iterations and 10 halvings are its values.
 */
public final class TrustRegionPolicy extends CommonModelOptimizer {
  private static final int TRIES = 10;

  private final double radius;
  private final PolicySurrogate surrogate;
  private final NaturalDirection natural;
  private final DeviceMatrix local;
  private final DeviceMatrix trial;
  private final DeviceMatrix gradient;
  private final DeviceMatrix direction;
  private final DeviceMatrix promises;
  private final DeviceMatrix both;
  private final DeviceMatrix means;
  private OptionalDouble divergence = OptionalDouble.empty();

  private TrustRegionPolicy(Builder builder) {
    super("trpo", builder);
    if (!(builder.problem instanceof PolicySurrogate s)) {
      throw new IllegalArgumentException(
          "trpo compares policies, and "
              + builder.problem.getClass().getSimpleName()
              + " cannot: give a problem that is a PolicySurrogate");
    }
    this.surrogate = s;
    this.radius = builder.radius;
    this.natural = own(new NaturalDirection(this, builder.damping, builder.iterations));
    this.local = own(parameters().like());
    this.trial = own(parameters().like());
    this.gradient = own(model().row().like());
    this.direction = own(gradient.like());
    long rows = parameters().rows();
    this.promises = own(parameters().like(1, rows, DType.F64));
    this.both = own(parameters().like(rows, 2, DType.F64));
    this.means = own(parameters().like(1, 2, DType.F64));
  }

  /**
   * @param problem the local policies, a {@link PolicySurrogate} and a {@link
   *     dev.kith.problem.GaussNewtonVector}
   * @param network any schedule for the same nodes as the problem, none of which fails
   * @param initial the common start, one row; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    problem().gradient(parameters(), local, round());
    average(local, gradient);
    natural.solve(gradient, direction);
    double slope = Reduction.dots(gradient, direction)[0];
    divergence = OptionalDouble.empty();
    double size = Math.sqrt(2 * radius / slope);
    for (int k = 0; k < TRIES && slope > 0; k++, size /= 2) {
      DeviceMatrix next = propose(Expression.outer(model().row()).plusOuter(-size, direction));
      model().spread(next, trial);
      double[] promised = promised();
      if (promised[0] > 0 && promised[1] <= radius) {
        divergence = OptionalDouble.of(promised[1]);
        model().accept();
        return;
      }
    }
  }

  /** Improvement and divergence of the trial, the means over all nodes. */
  private double[] promised() {
    surrogate.improvements(parameters(), trial, promises);
    double[] gains = promises.toDoubles();
    surrogate.divergences(parameters(), trial, promises);
    double[] distances = promises.toDoubles();
    double[] pairs = new double[2 * gains.length];
    for (int i = 0; i < gains.length; i++) {
      pairs[2 * i] = gains[i];
      pairs[2 * i + 1] = distances[i];
    }
    both.upload(pairs);
    network().average(both, means);
    return means.toDoubles();
  }

  /** The mean divergence of the last step; empty before the first, and where it stayed. */
  public OptionalDouble divergence() {
    return divergence;
  }

  /** Settings of {@link TrustRegionPolicy}. */
  public static final class Builder extends NaturalStepBuilder<Builder> {
    private double radius = 0.01;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** delta, the largest mean divergence of a step, positive. Default: 0.01. */
    public Builder radius(double delta) {
      if (!(delta > 0 && delta < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "a trust region of " + delta + " is not a finite number above 0");
      }
      this.radius = delta;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the problem
     *     cannot give what is needed
     */
    public TrustRegionPolicy build() {
      return new TrustRegionPolicy(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
