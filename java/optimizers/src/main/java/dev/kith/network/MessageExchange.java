package dev.kith.network;

import dev.kith.compress.Codec;
import dev.kith.compress.Messages;
import dev.kith.compress.ReplayGuard;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/** The messages that a process sends and receives in one mixing of encoded rows. */
final class MessageExchange implements AutoCloseable {
  private final MixingPlan plan;
  private final long messageBytes;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment sent;
  private final MemorySegment received;
  private final Messages halo;

  MessageExchange(Codec codec, MixingPlan plan) {
    this.plan = plan;
    this.halo = codec.messages(plan.haloNodes());
    this.messageBytes = halo.messageBytes();
    this.sent = arena.allocate(plan.sentRows().length * messageBytes, 64);
    this.received = arena.allocate(plan.haloNodes().length * messageBytes, 64);
  }

  /**
   * Sends, receives, and checks what came before any of it is used.
   *
   * @throws dev.kith.compress.MessageException when a message is not the one that is expected
   */
  void run(
      Messages messages,
      Transport transport,
      String what,
      Duration deadline,
      Meter meter,
      ReplayGuard guard) {
    List<Transport.Outgoing> sends = new ArrayList<>();
    messages.write(plan.sentRows(), sent);
    for (MixingPlan.Block block : plan.sends()) {
      sends.add(new Transport.Outgoing(block.peer(), part(sent, block)));
      meter.transported(block.rows() * messageBytes);
    }
    List<Transport.Incoming> receives = new ArrayList<>();
    for (MixingPlan.Block block : plan.receives()) {
      receives.add(new Transport.Incoming(block.peer(), part(received, block)));
    }
    transport.exchange(sends, receives, what, deadline);
    halo.take(messages.round(), received, guard);
  }

  private MemorySegment part(MemorySegment all, MixingPlan.Block block) {
    return all.asSlice(block.first() * messageBytes, block.rows() * messageBytes);
  }

  /** The messages that came in. */
  Messages halo() {
    return halo;
  }

  /** The lowest node whose row was not finite among the own ones and those that came in. */
  OptionalInt nonFiniteNode(Messages own) {
    OptionalInt mine = own.nonFiniteNode();
    OptionalInt theirs = halo.nonFiniteNode();
    if (mine.isPresent() && theirs.isPresent()) {
      return OptionalInt.of(Math.min(mine.getAsInt(), theirs.getAsInt()));
    }
    return mine.isPresent() ? mine : theirs;
  }

  @Override
  public void close() {
    halo.close();
    arena.close();
  }
}
