package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;

/**
 * Settings of the methods on Stiefel manifolds.
 *
 * @param <B> the builder itself
 */
public abstract class RiemannianBuilder<B extends RiemannianBuilder<B>>
    extends GradientStepBuilder<B> {
  int gossipSteps = 1;

  RiemannianBuilder(Problem problem, Network network, DeviceMatrix initial) {
    super(problem, network, initial);
  }

  /**
   * The number t of gossip steps by which every matrix is mixed in a round, at least 1. Default: 1;
   * the experiments of the DRCGD paper take 1 and 10.
   */
  public final B gossipSteps(int steps) {
    if (steps < 1) {
      throw new IllegalArgumentException(steps + " gossip steps are too few: take at least 1");
    }
    this.gossipSteps = steps;
    return self();
  }
}
