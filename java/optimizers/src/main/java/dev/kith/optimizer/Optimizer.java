package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import java.util.Optional;

/**
 * A decentralized optimization algorithm. {@link #step} does one round: local work, and the
 * exchange with the neighbours in the {@link Network}. Used by one thread at a time; on a cluster
 * all processes make the same calls.
 */
public interface Optimizer extends AutoCloseable {
  /** The algorithm, as the command line names it. */
  String name();

  /**
   * Does one round.
   *
   * <p>A round that fails is not done: the parameters are those of the round before. Where the
   * nodes take several local steps, or steps of a rule with a state, they may already have taken
   * some, each of them from a finite gradient.
   *
   * @throws NonFiniteException when a gradient or a result is not finite
   * @throws dev.kith.network.ExchangeException when a message does not come in time
   */
  void step();

  /** Rounds done so far. */
  long round();

  /**
   * The parameters of the own nodes after the last round, localNodes x d. The optimizer keeps it
   * and changes it: it is valid until the next step, ask anew after each.
   */
  DeviceMatrix parameters();

  /** The network it runs on. */
  Network network();

  /**
   * How the messages are compressed and what they owe, after the last round. Waits.
   *
   * @return empty for an algorithm that sends its rows as they are
   */
  default Optional<Compression> compression() {
    return Optional.empty();
  }

  /** Writes the whole state: what {@link #load} reads continues with the same bits. */
  void save(Snapshot.Writer writer);

  /**
   * Takes over a saved state.
   *
   * @throws IllegalArgumentException when it belongs to another algorithm, other nodes or another
   *     layout; the state is then unchanged
   */
  void load(Snapshot.Reader reader);

  /** Releases the state, not the problem and not the network; idempotent. */
  @Override
  void close();
}
