package dev.kith.compress;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Memory;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;

/**
 * Encoded rows of some nodes: a row of 32-bit words each, on the device of the codec, which is the
 * payload of the wire format as it stands. {@link Codec#encode} fills those of the own nodes, and
 * {@link #take} those that came from elsewhere. Used by one thread at a time.
 */
public final class Messages implements AutoCloseable {
  private static final int NON_FINITE = 1;

  private final Codec codec;
  private final int[] nodes;
  private final DeviceMatrix words;
  private final DeviceMatrix flags;
  private final Optional<DeviceMatrix> indices;
  private final List<Messages> parts;
  private long round = -1;

  /** For rows of the given nodes; {@code indices} are the columns that the nodes drew in common. */
  Messages(Codec codec, DeviceMatrix like, int[] nodes, Optional<DeviceMatrix> indices) {
    this(
        codec,
        nodes.clone(),
        like.like(nodes.length, codec.words(), DType.I32),
        like.like(1, nodes.length, DType.I32),
        indices);
  }

  private Messages(
      Codec codec,
      int[] nodes,
      DeviceMatrix words,
      DeviceMatrix flags,
      Optional<DeviceMatrix> indices) {
    this.codec = codec;
    this.nodes = nodes;
    this.words = words;
    this.flags = flags;
    this.indices = indices;
    this.parts = codec.parts(this);
  }

  /** Some words of these as the messages of another codec; closed with these. */
  Messages part(Codec other, long from, long to) {
    return new Messages(
        other, nodes, words.columns(from, to), flags.rows(0, 1), other.drawn(nodes.length));
  }

  /** Those of which these are made, where the codec is made of others. */
  List<Messages> parts() {
    return parts;
  }

  /** What encoded them. */
  public Codec codec() {
    return codec;
  }

  /** Number of rows. */
  public int rows() {
    return nodes.length;
  }

  /** The global number of the node of a row. */
  public int node(int row) {
    return nodes[row];
  }

  /** The nodes of all rows. */
  int[] nodes() {
    return nodes;
  }

  /** The payloads: I32, rows x {@link Codec#words}. */
  public DeviceMatrix words() {
    return words;
  }

  /**
   * I32, 1 x rows: not 0 where the row that was encoded is not finite (1), or had more numbers
   * above a threshold than the message takes (4).
   */
  public DeviceMatrix flags() {
    return flags;
  }

  /** The lowest node of these whose row was not finite, if any. Waits. */
  public OptionalInt nonFiniteNode() {
    int[] raised = flags.toInts();
    return IntStream.range(0, nodes.length)
        .filter(r -> (raised[r] & NON_FINITE) != 0)
        .map(r -> nodes[r])
        .min();
  }

  /** The columns that the values stand for, where they are drawn and not sent. */
  Optional<DeviceMatrix> indices() {
    return indices;
  }

  /**
   * The round that was encoded.
   *
   * @throws IllegalStateException when nothing was encoded
   */
  public long round() {
    if (round < 0) {
      throw new IllegalStateException("there is no message yet: encode rows first");
    }
    return round;
  }

  /** Sets the round, and draws what its messages have in common. */
  void round(long round) {
    this.round = round;
    codec.draw(this);
  }

  /** Bytes of one message on the wire, with its header. */
  public long messageBytes() {
    return MessageHeader.BYTES + codec.payloadBytes();
  }

  /** The header of the message of a row, finite or not. */
  private MessageHeader header(int node, boolean nonFinite) {
    return codec.header(node, round(), nonFinite);
  }

  /**
   * Writes messages as they travel, one after the other, and waits for it.
   *
   * @param rows which ones
   * @param target rows.length messages
   */
  public void write(int[] rows, MemorySegment target) {
    if (rows.length == 0) {
      return;
    }
    if (isAll(rows)) {
      words.download(payloads(target), messageBytes() / 4);
    } else {
      try (DeviceMatrix index = words.like(1, rows.length, DType.I32);
          DeviceMatrix picked = words.like(rows.length, words.cols(), DType.I32)) {
        index.upload(rows);
        Memory.gatherRows(words, index, picked);
        picked.download(payloads(target), messageBytes() / 4);
      }
    }
    int[] raised = flags.toInts();
    for (int k = 0; k < rows.length; k++) {
      MemorySegment message = message(target, k);
      swap(message);
      header(nodes[rows[k]], (raised[rows[k]] & NON_FINITE) != 0).write(message);
    }
  }

  private boolean isAll(int[] rows) {
    return Arrays.equals(IntStream.range(0, nodes.length).toArray(), rows);
  }

  private MemorySegment message(MemorySegment all, int k) {
    return all.asSlice(k * messageBytes(), messageBytes());
  }

  /** From the first payload on: the headers are the gaps between the rows. */
  private static MemorySegment payloads(MemorySegment all) {
    return all.asSlice(MessageHeader.BYTES);
  }

  /** Words travel little-endian. */
  private static void swap(MemorySegment message) {
    if (ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN) {
      return;
    }
    for (long at = MessageHeader.BYTES; at < message.byteSize(); at += 4) {
      int word = message.get(ValueLayout.JAVA_INT_UNALIGNED, at);
      message.set(ValueLayout.JAVA_INT_UNALIGNED, at, Integer.reverseBytes(word));
    }
  }

  /**
   * Takes the messages of the nodes of all rows for a round. All of them are checked before one of
   * them is used: header, checksum, sender, round, settings and payload.
   *
   * @param round the round that they have to be of
   * @param source as many messages as there are rows, one after the other; any bytes
   * @param guard refuses what was taken before
   * @throws MessageException when one of them is not what is expected; nothing is taken then
   */
  public void take(long round, MemorySegment source, ReplayGuard guard) {
    if (source.byteSize() != nodes.length * messageBytes()) {
      throw new MessageException(
          nodes.length
              + " messages have "
              + nodes.length * messageBytes()
              + " bytes and "
              + source.byteSize()
              + " came: give all nodes the same compressor");
    }
    int[] raised = new int[nodes.length];
    MessageHeader[] headers = new MessageHeader[nodes.length];
    for (int k = 0; k < nodes.length; k++) {
      MemorySegment message = message(source, k);
      headers[k] = codec.read(message, nodes[k], round);
      raised[k] = headers[k].nonFinite() ? NON_FINITE : 0;
    }
    for (MessageHeader header : headers) {
      guard.accept(header);
    }
    if (nodes.length > 0) {
      for (int k = 0; k < nodes.length; k++) {
        swap(message(source, k));
      }
      words.upload(payloads(source), messageBytes() / 4);
      words.queue().sync();
      flags.upload(raised);
    }
    round(round);
  }

  /** Releases the rows; idempotent. */
  @Override
  public void close() {
    parts.forEach(Messages::close);
    words.close();
    flags.close();
    indices.ifPresent(DeviceMatrix::close);
  }
}
