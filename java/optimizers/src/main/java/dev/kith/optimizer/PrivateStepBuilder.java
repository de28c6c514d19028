package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.privacy.NodeNoise;
import dev.kith.problem.Problem;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * Settings of the algorithms that clip gradients and add noise to them.
 *
 * @param <B> the builder itself
 */
public abstract class PrivateStepBuilder<B extends PrivateStepBuilder<B>>
    extends GradientStepBuilder<B> {
  OptionalDouble clipNorm = OptionalDouble.empty();
  OptionalDouble recordNorm = OptionalDouble.empty();
  Optional<NodeNoise> noise = Optional.empty();
  double momentum;
  double decay;

  PrivateStepBuilder(Problem problem, Network network, DeviceMatrix initial) {
    super(problem, network, initial);
  }

  /**
   * C: the gradient of every node is scaled to at most this norm. Default: none, and then no
   * guarantee for nodes either; the papers take 0.01 to 0.1 for a node, 1 to 5 for a record.
   *
   * @param clipNorm positive and finite
   */
  public final B clipNorm(double clipNorm) {
    this.clipNorm = OptionalDouble.of(positive("clipping norm", clipNorm));
    return self();
  }

  /**
   * How far one record, there or not, moves the gradient of its node: C / batch where the problem
   * gives the mean of a batch of gradients each clipped to C. Clipping the node's gradient does not
   * increase it. Default: none, and then no guarantee for records: clipping a node's gradient as a
   * whole bounds what its records do only as if all of them changed.
   *
   * @param recordNorm positive and finite
   */
  public final B recordNorm(double recordNorm) {
    this.recordNorm = OptionalDouble.of(positive("record norm", recordNorm));
    return self();
  }

  private static double positive(String what, double value) {
    if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "a " + what + " of " + value + " is not a finite number above 0");
    }
    return value;
  }

  /**
   * The noise V, in the units of the clipped gradients; for the same network, and for this
   * optimizer alone, with which it is closed. Default: none.
   */
  public final B noise(NodeNoise noise) {
    if (noise.network() != network) {
      throw new IllegalArgumentException(
          "the noise is for another network: make both for the same one");
    }
    this.noise = Optional.of(noise);
    return self();
  }

  /** beta, 0 or larger and below 1. Default: 0, as in the papers' code. */
  public final B momentum(double momentum) {
    if (!(momentum >= 0 && momentum < 1)) {
      throw new IllegalArgumentException("a momentum of " + momentum + " is not in [0, 1)");
    }
    this.momentum = momentum;
    return self();
  }

  /** wd, 0 or larger: parameters shrink by 1 - gamma wd a round. Default: 0. */
  public final B weightDecay(double decay) {
    if (!(decay >= 0 && decay < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "a weight decay of " + decay + " is not a finite number from 0 up");
    }
    this.decay = decay;
    return self();
  }

  /** What snapshots of the same run have in common. */
  final String variant() {
    return "clip norm "
        + (clipNorm.isPresent() ? clipNorm.getAsDouble() : "none")
        + ", momentum "
        + momentum
        + ", weight decay "
        + decay
        + ", noise "
        + noise.map(NodeNoise::id).orElse("none");
  }
}
