package dev.kith.problem;

/**
 * Settings of the problems whose gradients can be noisy.
 *
 * @param <B> the builder itself
 */
public abstract class NoisyNodesBuilder<B extends NoisyNodesBuilder<B>> extends NodesBuilder<B> {
  double deviation;
  long seed;

  NoisyNodesBuilder(int nodes) {
    super(nodes);
  }

  /** Adds independent N(0, deviation^2) noise to every element of a gradient. Default: none. */
  public final B noise(double deviation, long seed) {
    this.deviation = deviation;
    this.seed = seed;
    return self();
  }
}
