package dev.kith.optimizer;

import dev.kith.compress.Compressor;
import dev.kith.compress.Identity;
import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.Objects;

/**
 * Settings of the algorithms that send compressed messages and take plain gradient steps.
 *
 * @param <B> the builder itself
 */
public abstract class CompressedBuilder<B extends CompressedBuilder<B>>
    extends GradientStepBuilder<B> {
  Compressor compressor = new Identity();
  long seed = 1;

  CompressedBuilder(Problem problem, Network network, DeviceMatrix initial) {
    super(problem, network, initial);
  }

  /** What the messages are compressed by. Default: identity, which loses nothing. */
  public final B compressor(Compressor compressor) {
    this.compressor = Objects.requireNonNull(compressor, "compressor");
    return self();
  }

  /** The seed of everything drawn at random, the same in all processes. Default: 1. */
  public final B seed(long seed) {
    this.seed = seed;
    return self();
  }
}
