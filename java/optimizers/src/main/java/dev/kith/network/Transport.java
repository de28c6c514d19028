package dev.kith.network;

import dev.kith.kernel.NodeTree;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * Moves rows between the processes of one run. All calls are made in the same order by all
 * processes that take part in them, and every wait has a deadline whose error names the peer and
 * what was waited for.
 *
 * <p>The segments of an exchange stay in use until it has been awaited, and must be accessible from
 * any thread. A transport is used by one thread at a time.
 */
public interface Transport extends AutoCloseable {
  /** Bytes for another process. */
  record Outgoing(int peer, MemorySegment data) {}

  /** Where the bytes of another process go; it must send exactly as many. */
  record Incoming(int peer, MemorySegment data) {}

  /** An exchange under way. */
  interface Pending {
    /**
     * Waits until everything has arrived and the outgoing segments may be changed again.
     *
     * @throws ExchangeException when the deadline passes, a peer has left, or its message does not
     *     fit
     */
    void await();
  }

  /** Number of this process, from 0. */
  int process();

  /** Which process owns which nodes. */
  Membership membership();

  /** Number of processes. */
  default int processes() {
    return membership().processes();
  }

  /** Number of nodes of the whole network. */
  default int nodes() {
    return membership().nodes();
  }

  /** The nodes of this process. */
  default NodeTree.Range range() {
    return membership().ranges().get(process());
  }

  /**
   * Starts an exchange and returns without waiting for any peer.
   *
   * @param sends at most one message a peer
   * @param receives at most one message a peer
   * @param what names the exchange in errors and events; the same at both ends of a message
   * @param deadline how long one wait for one peer may last
   */
  Pending begin(List<Outgoing> sends, List<Incoming> receives, String what, Duration deadline);

  /** {@link #begin} and {@link Pending#await} in one. */
  default void exchange(
      List<Outgoing> sends, List<Incoming> receives, String what, Duration deadline) {
    begin(sends, receives, what, deadline).await();
  }

  /**
   * Every process gives a block and gets the blocks of all.
   *
   * @param mine this process's block
   * @param blocks where the block of process p goes, by process; the own one receives a copy of
   *     {@code mine}
   * @param what as in {@link #begin}
   * @param deadline as in {@link #begin}
   */
  default void gather(
      MemorySegment mine, List<MemorySegment> blocks, String what, Duration deadline) {
    if (blocks.size() != processes()) {
      throw new IllegalArgumentException(
          "A gather over " + processes() + " processes needs as many blocks, not " + blocks.size());
    }
    List<Outgoing> sends = new ArrayList<>();
    List<Incoming> receives = new ArrayList<>();
    for (int peer = 0; peer < blocks.size(); peer++) {
      if (peer == process()) {
        blocks.get(peer).copyFrom(mine);
      } else {
        sends.add(new Outgoing(peer, mine));
        receives.add(new Incoming(peer, blocks.get(peer)));
      }
    }
    exchange(sends, receives, what, deadline);
  }

  /** Leaves: whoever waits for this process is told so at once. Idempotent. */
  @Override
  void close();
}
