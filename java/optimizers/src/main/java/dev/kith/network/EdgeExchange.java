package dev.kith.network;

import dev.kith.compress.Messages;
import dev.kith.compress.ReplayGuard;
import dev.kith.graph.MixingMatrix;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;

/**
 * Several sets of messages that travel in one exchange, each to the neighbours under a matrix of
 * its own: where the matrices are matchings, a node sends something else to each of its neighbours.
 * A message is known by its sender and its channel, so that one of another edge is refused.
 *
 * <p>{@link Network#edges} makes it for the messages of the own nodes, and {@link
 * Network#exchange(EdgeExchange)} runs it. Used by one thread at a time.
 */
public final class EdgeExchange implements AutoCloseable {
  /** One set of messages; {@code received} holds those that came in, one after the other. */
  private record Part(
      MixingPlan plan, Messages own, Messages halo, MemorySegment received, MessageMixing mixing) {
    long messageBytes() {
      return own.messageBytes();
    }
  }

  private final Network network;
  private final Transport transport;
  private final Arena arena;
  private final List<Part> parts = new ArrayList<>();
  private final List<AutoCloseable> owned = new ArrayList<>();
  private final MemorySegment[] sent;
  private final MemorySegment[] received;

  EdgeExchange(
      Network network, Transport transport, List<MixingMatrix> weights, List<Messages> messages) {
    if (weights.size() != messages.size()) {
      throw new IllegalArgumentException(
          "there are "
              + weights.size()
              + " matrices and "
              + messages.size()
              + " sets of messages: give every set its matrix");
    }
    Set<Integer> channels = new HashSet<>();
    for (Messages own : messages) {
      int channel = own.codec().sender().channel();
      if (!channels.add(channel)) {
        throw new IllegalArgumentException(
            "two sets of messages have the channel "
                + channel
                + ": bind every codec to a channel of its own");
      }
    }
    this.network = network;
    this.transport = transport;
    this.arena = Arena.ofShared();
    long[] out = new long[transport.processes()];
    long[] in = new long[transport.processes()];
    try {
      for (int k = 0; k < weights.size(); k++) {
        Part part = part(weights.get(k), messages.get(k));
        parts.add(part);
        part.plan().sends().forEach(b -> out[b.peer()] += b.rows() * part.messageBytes());
        part.plan().receives().forEach(b -> in[b.peer()] += b.rows() * part.messageBytes());
      }
    } catch (RuntimeException e) {
      release();
      throw e;
    }
    this.sent = Arrays.stream(out).mapToObj(this::room).toArray(MemorySegment[]::new);
    this.received = Arrays.stream(in).mapToObj(this::room).toArray(MemorySegment[]::new);
  }

  private Part part(MixingMatrix w, Messages own) {
    MixingPlan plan =
        new MixingPlan(
            w,
            transport.membership(),
            transport.process(),
            own.words().queue(),
            MixingPlan.Form.SPARSE);
    owned.add(plan);
    Messages halo = own.codec().messages(plan.haloNodes());
    owned.add(halo);
    return new Part(
        plan,
        own,
        halo,
        room(plan.haloNodes().length * own.messageBytes()),
        new MessageMixing(plan, own, halo, network.localNodes()));
  }

  private MemorySegment room(long bytes) {
    return arena.allocate(bytes, 64);
  }

  /** The network that it belongs to. */
  Network network() {
    return network;
  }

  /** Counts one exchange with the messages of all sets. */
  void count(Meter meter) {
    meter.round(new int[network.nodes()], 0);
    for (Part part : parts) {
      meter.more(part.plan().sentByNode(), part.messageBytes());
    }
  }

  /** The round of all messages. */
  long round() {
    long round = parts.isEmpty() ? network.round() : parts.getFirst().own().round();
    for (Part part : parts) {
      if (part.own().round() != round) {
        throw new IllegalArgumentException(
            "messages of round "
                + part.own().round()
                + " and of round "
                + round
                + " cannot travel together: encode all sets for the same round");
      }
    }
    return round;
  }

  /**
   * Sends, receives, and checks all that came before any of it is used.
   *
   * @throws dev.kith.compress.MessageException when a message is not the one that is expected
   */
  void run(String what, Duration deadline, Meter meter, ReplayGuard guard) {
    long round = round();
    long[] out = new long[sent.length];
    for (Part part : parts) {
      int[] rows = part.plan().sentRows();
      for (MixingPlan.Block block : part.plan().sends()) {
        long bytes = block.rows() * part.messageBytes();
        part.own()
            .write(
                Arrays.copyOfRange(rows, block.first(), block.first() + block.rows()),
                sent[block.peer()].asSlice(out[block.peer()], bytes));
        out[block.peer()] += bytes;
      }
    }
    List<Transport.Outgoing> sends = new ArrayList<>();
    List<Transport.Incoming> receives = new ArrayList<>();
    for (int peer = 0; peer < sent.length; peer++) {
      if (sent[peer].byteSize() > 0) {
        sends.add(new Transport.Outgoing(peer, sent[peer]));
        meter.transported(sent[peer].byteSize());
      }
      if (received[peer].byteSize() > 0) {
        receives.add(new Transport.Incoming(peer, received[peer]));
      }
    }
    transport.exchange(sends, receives, what, deadline);
    long[] in = new long[received.length];
    for (Part part : parts) {
      for (MixingPlan.Block block : part.plan().receives()) {
        long bytes = block.rows() * part.messageBytes();
        MemorySegment.copy(
            received[block.peer()],
            in[block.peer()],
            part.received(),
            block.first() * part.messageBytes(),
            bytes);
        in[block.peer()] += bytes;
      }
      part.halo().take(round, part.received(), guard);
    }
  }

  /** What can be accumulated after an exchange, by set. */
  List<MessageMixing> mixings() {
    return parts.stream().map(Part::mixing).toList();
  }

  /** The lowest node known here whose row was not finite in any of the sets. */
  OptionalInt nonFiniteNode() {
    return parts.stream()
        .flatMap(part -> List.of(part.own().nonFiniteNode(), part.halo().nonFiniteNode()).stream())
        .filter(OptionalInt::isPresent)
        .mapToInt(OptionalInt::getAsInt)
        .min();
  }

  private void release() {
    for (AutoCloseable resource : owned.reversed()) {
      try {
        resource.close();
      } catch (Exception e) {
        throw new IllegalStateException("an exchange could not be released: " + e.getMessage(), e);
      }
    }
    owned.clear();
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }

  /** Releases what it received, not the own messages; idempotent. */
  @Override
  public void close() {
    release();
  }
}
