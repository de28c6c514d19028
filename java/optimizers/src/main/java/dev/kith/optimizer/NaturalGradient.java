package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.problem.Problem;

/**
 * Natural gradient descent, or the damped Gauss-Newton method: with f = (1/n) sum_i f_i and G the
 * mean of the nodes' Gauss-Newton matrices, which is the Fisher information of a softmax model,
 *
 * <pre>x' = x - eta (G(x) + damping I)^-1 grad f(x)</pre>
 *
 * <p>The system is solved by conjugate gradient, {@link TrustRegionPolicy} chooses the size of the
 * step too. All nodes hold the same x; a round averages a row for the gradient and one for every
 * product, at most iterations + 2, each d numbers up the tree of nodes and down it.
 *
 * <p>Source: Amari, "Natural Gradient Works Efficiently in Learning", 1998; Martens, "New Insights
 * and Perspectives on the Natural Gradient Method", 2020.
 */
public final class NaturalGradient extends CommonModelOptimizer {
  private final double stepSize;
  private final NaturalDirection natural;
  private final DeviceMatrix local;
  private final DeviceMatrix gradient;
  private final DeviceMatrix direction;

  private NaturalGradient(Builder builder) {
    super("natural-gradient", builder);
    this.stepSize = builder.stepSize;
    this.natural = own(new NaturalDirection(this, builder.damping, builder.iterations));
    this.local = own(parameters().like());
    this.gradient = own(model().row().like());
    this.direction = own(gradient.like());
  }

  /**
   * @param problem the local objectives, a {@link dev.kith.problem.GaussNewtonVector}
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
    propose(Expression.outer(model().row()).plusOuter(-stepSize, direction));
    model().accept();
  }

  /** Settings of {@link NaturalGradient}. */
  public static final class Builder extends NaturalStepBuilder<Builder> {
    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the problem
     *     has no products with its Gauss-Newton matrix
     */
    public NaturalGradient build() {
      return new NaturalGradient(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
