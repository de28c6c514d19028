package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.Objects;

/**
 * Settings of the algorithms that take plain gradient steps of a fixed size.
 *
 * @param <B> the builder itself
 */
public abstract class GradientStepBuilder<B extends GradientStepBuilder<B>> {
  final Problem problem;
  final Network network;
  final DeviceMatrix initial;
  double stepSize = 0.1;

  GradientStepBuilder(Problem problem, Network network, DeviceMatrix initial) {
    this.problem = Objects.requireNonNull(problem, "problem");
    this.network = Objects.requireNonNull(network, "network");
    this.initial = Objects.requireNonNull(initial, "initial");
  }

  abstract B self();

  /** The step size eta, 0 or larger. Default: 0.1, a common first try for scaled data. */
  public final B stepSize(double stepSize) {
    if (!(stepSize >= 0 && stepSize < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "a step size of " + stepSize + " is not a finite number from 0 up");
    }
    this.stepSize = stepSize;
    return self();
  }
}
