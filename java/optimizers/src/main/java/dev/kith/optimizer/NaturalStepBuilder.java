package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;

/**
 * Settings of the algorithms that follow the natural gradient.
 *
 * @param <B> the builder itself
 */
public abstract class NaturalStepBuilder<B extends NaturalStepBuilder<B>>
    extends GradientStepBuilder<B> {
  double damping = 0.1;
  int iterations = 10;

  NaturalStepBuilder(Problem problem, Network network, DeviceMatrix initial) {
    super(problem, network, initial);
  }

  /**
   * What is added to the diagonal of the matrix, positive: it is singular where parameters do not
   * matter. Default: 0.1, the largest of the usual values down to 1e-3.
   */
  public final B damping(double damping) {
    if (!(damping > 0 && damping < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "a damping of " + damping + " is not a finite number above 0");
    }
    this.damping = damping;
    return self();
  }

  /**
   * Iterations of conjugate gradient a round, which ends sooner at a residual of 1e-10. Default:
   * 10, those of TRPO.
   */
  public final B iterations(int most) {
    if (most < 1) {
      throw new IllegalArgumentException(
          most + " iterations of conjugate gradient are too few: take at least 1");
    }
    this.iterations = most;
    return self();
  }
}
