package dev.kith.kernel;

import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;
import java.util.Optional;

/**
 * Public random numbers of a matrix: row r is node firstNode + r, and element c of it takes {@link
 * SharedRandom#uniformFloat uniformFloat(c)} of (seed, stream, node, round) where codes round at
 * random, {@link SharedRandom#word word(c)} where columns are sampled. Immutable.
 *
 * @param seed the seed of the experiment
 * @param stream what they are for
 * @param round the round, 0 to 2^40 - 1
 * @param firstNode the node of row 0
 * @param uniforms takes the place of the generator: F32 of the shape of x, numbers in [0, 1)
 */
public record Draw(
    long seed, Stream stream, long round, int firstNode, Optional<DeviceMatrix> uniforms) {
  /**
   * Checks the ranges.
   *
   * @throws IllegalArgumentException when the round or the node is outside
   */
  public Draw {
    Objects.requireNonNull(stream, "stream");
    if (round < 0 || round >= SharedRandom.MAX_ROUNDS || firstNode < 0) {
      throw new IllegalArgumentException(
          "round "
              + round
              + " and node "
              + firstNode
              + " draw nothing: rounds are in [0, 2^40) and nodes count from 0");
    }
  }

  /**
   * Numbers of the stream ROUNDING.
   *
   * @param seed the seed of the experiment
   * @param round the round
   * @param firstNode the node of row 0
   * @return the numbers
   */
  public static Draw of(long seed, long round, int firstNode) {
    return new Draw(seed, Stream.ROUNDING, round, firstNode, Optional.empty());
  }

  /**
   * Numbers of the stream SAMPLE.
   *
   * @param seed the seed of the experiment
   * @param round the round
   * @param firstNode the node of row 0
   * @return the numbers
   */
  public static Draw ofSample(long seed, long round, int firstNode) {
    return new Draw(seed, Stream.SAMPLE, round, firstNode, Optional.empty());
  }

  /**
   * Numbers given one by one.
   *
   * @param uniforms F32 of the shape of x
   * @return the numbers
   */
  public static Draw of(DeviceMatrix uniforms) {
    return new Draw(0, Stream.ROUNDING, 0, 0, Optional.of(uniforms));
  }

  /** kith_draw; the uniforms are NULL or the descriptor of what takes the generator's place. */
  MemorySegment describe(Arena arena, MemorySegment given) {
    MemorySegment d = arena.allocate(Abi.DRAW);
    d.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.DRAW, "seed"), seed);
    d.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.DRAW, "round"), round);
    d.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.DRAW, "first_node"), firstNode);
    d.set(ValueLayout.JAVA_INT, Abi.offset(Abi.DRAW, "stream"), stream.tag());
    d.set(ValueLayout.ADDRESS, Abi.offset(Abi.DRAW, "uniforms"), given);
    return d;
  }
}
