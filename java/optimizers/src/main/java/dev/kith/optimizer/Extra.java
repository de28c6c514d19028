package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.problem.Problem;

/**
 * EXTRA, the exact first-order algorithm: decentralized gradient descent without the bias that
 * differing nodes cause.
 *
 * <pre>
 * X^1     = W X^0 - eta G^0
 * X^(k+1) = (I + W) X^k - (I + W) / 2 X^(k-1) - eta (G^k - G^(k-1))
 * </pre>
 *
 * <p>It converges to the exact optimum when eta &lt; 2 lambda_min((I + W) / 2) / L, W symmetric and
 * fixed. The message is x - x_before / 2: a node sends d numbers to each neighbour a round.
 *
 * <p>Source: Shi, Ling, Wu, Yin, "EXTRA: An Exact First-Order Algorithm for Decentralized Consensus
 * Optimization", 2015, with the paper's usual choice (I + W) / 2 for its second matrix.
 */
public final class Extra extends TwoStepOptimizer {
  private final double stepSize;

  private Extra(Builder builder) {
    super("extra", builder);
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
    return Expression.inner(x).plusOuter(-stepSize, gradient);
  }

  @Override
  Expression further(
      DeviceMatrix x, DeviceMatrix before, DeviceMatrix gradient, DeviceMatrix gradientBefore) {
    return Expression.inner(x)
        .plusInner(-0.5, before)
        .plusOuter(x)
        .plusOuter(-0.5, before)
        .plusOuter(-stepSize, gradient)
        .plusOuter(stepSize, gradientBefore);
  }

  /** Settings of {@link Extra}. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the weights
     *     change or are not symmetric and doubly stochastic
     */
    public Extra build() {
      LockstepOptimizer.fixedSymmetric("EXTRA", network, MixingMatrix.Kind.DOUBLY_STOCHASTIC);
      return new Extra(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
