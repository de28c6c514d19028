package dev.kith.compress;

import java.util.HashMap;
import java.util.Map;

/**
 * Remembers which message of each sender was taken last: a (node, round) that was taken already, or
 * an older one, is refused. It holds one number for each pair of channel and node of a network of
 * fixed size, whatever comes. Used by one thread at a time.
 */
public final class ReplayGuard {
  private final int nodes;
  private final Map<Long, Long> last = new HashMap<>();

  /**
   * @param nodes how many senders there are
   */
  public ReplayGuard(int nodes) {
    this.nodes = nodes;
  }

  /**
   * Takes a message that passed all other checks.
   *
   * @throws MessageException when a message of this or a later round was taken from its node, or
   *     there is no such node
   */
  public void accept(MessageHeader header) {
    if (header.node() >= nodes) {
      throw new MessageException(
          "node "
              + header.node()
              + " is none of the "
              + nodes
              + " nodes: see who sends on this connection");
    }
    long key = (long) header.channel() << 32 | header.node();
    long before = last.getOrDefault(key, -1L);
    if (header.round() <= before) {
      throw new MessageException(
          "the message of node "
              + header.node()
              + " of round "
              + header.round()
              + " comes after that of round "
              + before
              + ": it is replayed and refused");
    }
    last.put(key, header.round());
  }

  /** Goes back to the beginning of a round, as a run does that resumes from a snapshot. */
  public void rewind(long round) {
    last.replaceAll((key, taken) -> Math.min(taken, round - 1));
  }
}
