package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.problem.Problem;

/**
 * D^2 (also: exact diffusion): decentralized SGD without the bias that differing nodes cause.
 *
 * <pre>
 * X^1     = W (X^0 - eta G^0)
 * X^(k+1) = W (2 X^k - X^(k-1) - eta (G^k - G^(k-1)))
 * </pre>
 *
 * <p>It converges to the exact optimum with a fixed step size, provided W is symmetric, does not
 * change, and has no eigenvalue at or below -1/3: rings of even length and tori with Metropolis
 * weights touch or break that bound, their lazy form (I + W) / 2 does not. A node sends d numbers
 * to each neighbour a round.
 *
 * <p>Source: Tang, Lian, Yan, Zhang, Liu, "D^2: Decentralized Training over Decentralized Data",
 * 2018; with (I + W) / 2 it is exact diffusion, Yuan, Ying, Zhao, Sayed, "Exact Diffusion for
 * Distributed Optimization and Learning", 2019.
 */
public final class DSquared extends TwoStepOptimizer {
  /**
   * At -1/3 the iteration no longer contracts; the margin covers the rounding of the eigenvalue.
   */
  private static final double EIGENVALUE_BOUND = -1.0 / 3 + 1e-9;

  private final double stepSize;

  private DSquared(Builder builder) {
    super("d2", builder);
    this.stepSize = builder.stepSize;
  }

  /**
   * @param problem the local objectives
   * @param network one fixed symmetric matrix, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  Expression first(DeviceMatrix x, DeviceMatrix gradient) {
    return Expression.inner(x).plusInner(-stepSize, gradient);
  }

  @Override
  Expression further(
      DeviceMatrix x, DeviceMatrix before, DeviceMatrix gradient, DeviceMatrix gradientBefore) {
    return Expression.inner(2, x)
        .plusInner(-1, before)
        .plusInner(-stepSize, gradient)
        .plusInner(stepSize, gradientBefore);
  }

  /** Settings of {@link DSquared}. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the weights
     *     change or are not symmetric and doubly stochastic, or their smallest eigenvalue is not
     *     above -1/3
     */
    public DSquared build() {
      MixingMatrix w =
          LockstepOptimizer.fixedSymmetric("D^2", network, MixingMatrix.Kind.DOUBLY_STOCHASTIC);
      double smallest = w.smallestEigenvalue();
      if (smallest <= EIGENVALUE_BOUND) {
        throw new IllegalArgumentException(
            "D^2 does not converge with a mixing matrix whose smallest eigenvalue is "
                + smallest
                + ": it has to be above -1/3; take the lazy matrix (I + W) / 2, weights lazy:RULE");
      }
      return new DSquared(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
