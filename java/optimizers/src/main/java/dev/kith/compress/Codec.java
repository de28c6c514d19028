package dev.kith.compress;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.MixingWeights;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A {@link Compressor} bound to the rows of one process: it encodes them into {@link Messages} and
 * adds decoded messages to rows, on the queue of the rows it was made for.
 *
 * <p>Rows are F32. A message is never expanded in memory: {@link #accumulate} decodes while it
 * adds. What is drawn at random is a function of (seed, channel, node, round): the same in every
 * process and on every device.
 *
 * <p>Used by one thread at a time. Errors of all methods: {@link IllegalArgumentException} when
 * shapes, types or devices do not fit; {@link IllegalStateException} when something is closed.
 */
public abstract class Codec implements AutoCloseable {
  /**
   * Which rows a codec encodes.
   *
   * @param firstNode global number of the node of row 0
   * @param seed of everything drawn at random; the same in all processes
   * @param channel which of the quantities that an algorithm sends it is, 0 to 65535: two codecs of
   *     a run have different ones
   */
  public record Sender(int firstNode, long seed, int channel) {
    /** Checks the ranges. */
    public Sender {
      if (firstNode < 0 || channel < 0 || channel > 0xFFFF) {
        throw new IllegalArgumentException(
            "node "
                + firstNode
                + " and channel "
                + channel
                + " are no sender: nodes count from 0, channels run from 0 to 65535");
      }
    }

    /** The seed of this channel; channel 0 has the seed itself. */
    long drawSeed() {
      return seed ^ (long) channel << 48;
    }
  }

  private final Compressor compressor;
  private final Layout layout;
  private final DeviceMatrix like;
  private final Sender sender;
  private final int rows;
  private final long words;
  private final MessageHeader template;

  /**
   * @param like the rows that are to be encoded, or others of their shape and queue
   */
  Codec(Compressor compressor, DeviceMatrix like, Sender sender) {
    if (like.dtype() != DType.F32) {
      throw new IllegalArgumentException(
          "rows of type "
              + like.dtype()
              + " are not compressed: keep the state that is sent in F32");
    }
    this.compressor = compressor;
    this.layout = like.layout().orElseGet(() -> Layout.flat(like.cols()));
    this.sender = sender;
    this.rows = Math.toIntExact(like.rows());
    this.words = compressor.words(layout);
    this.like = like.rows(0, 0);
    this.template =
        new MessageHeader(
            compressor.kind(),
            sender.channel(),
            false,
            sender.firstNode(),
            0,
            layout.size(),
            compressor.parameter(layout),
            settings(compressor.settings(layout, sender.drawSeed())),
            4 * words);
  }

  /** The first eight bytes of the SHA-256 of the UTF-8 text, as a little-endian number. */
  static long settings(String text) {
    try {
      byte[] hash =
          MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
      return ByteBuffer.wrap(hash).order(ByteOrder.LITTLE_ENDIAN).getLong();
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
  }

  /** What it does. */
  public final Compressor compressor() {
    return compressor;
  }

  /** What the columns of a row mean. */
  public final Layout layout() {
    return layout;
  }

  /** Which rows it encodes. */
  public final Sender sender() {
    return sender;
  }

  /** How many rows it encodes. */
  public final int rows() {
    return rows;
  }

  /** 32-bit words of the payload of a message, whatever the numbers are. */
  public final long words() {
    return words;
  }

  /** Bytes of the payload of a message. */
  public final long payloadBytes() {
    return 4 * words;
  }

  /** Bytes of a row in f32 divided by those of the payload of its message. */
  public final double ratio() {
    return compressor.ratio(layout);
  }

  /** Room for the messages of the rows that it encodes; close it. */
  public final Messages messages() {
    int[] nodes = new int[rows];
    Arrays.setAll(nodes, r -> sender.firstNode() + r);
    return messages(nodes);
  }

  /** Room for the messages of other nodes; close it. */
  public final Messages messages(int[] nodes) {
    return new Messages(this, like, nodes, drawn(nodes.length));
  }

  /** Room for what the messages of some nodes have in common without sending it. */
  Optional<DeviceMatrix> drawn(int nodes) {
    return Optional.empty();
  }

  /** Draws what the messages of a round have in common without sending it. */
  void draw(Messages messages) {}

  /** The messages that some consist of, views of theirs. */
  List<Messages> parts(Messages whole) {
    return List.of();
  }

  /** A matrix on the queue of the rows. */
  final DeviceMatrix room(long height, long width, DType dtype) {
    return like.like(height, width, dtype);
  }

  /** The layout of the rows. */
  final DeviceMatrix like() {
    return like;
  }

  /**
   * Encodes v = x, x - minus, e + x or e + (x - minus), each sum and difference rounded to f32, and
   * writes what the message loses: e' = v - decode(C(v)).
   *
   * @param x rows x d, F32
   * @param minus of the shape of x: only the difference is sent
   * @param residual e, of the shape of x; e' takes its place
   * @param messages of this codec's own rows
   * @param round the round, 0 to 2^40 - 1, larger than that of the encoding before
   */
  public final void encode(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      Messages messages,
      long round) {
    requireOwn(messages, "the messages to be encoded");
    if (messages.rows() != rows || x.rows() != rows || x.cols() != layout.size()) {
      throw new IllegalArgumentException(
          "the codec encodes "
              + rows
              + " x "
              + layout.size()
              + " and was given "
              + x.rows()
              + " x "
              + x.cols()
              + " for "
              + messages.rows()
              + " messages: use the rows that it was made for");
    }
    if (minus.isPresent()) {
      requireShape("minus", minus.get());
    }
    if (residual.isPresent()) {
      requireShape("the residual", residual.get());
    }
    if (round < 0 || round >= MessageHeader.MAX_ROUNDS) {
      throw new IllegalArgumentException(
          "round " + round + " is not in 0 to 2^40 - 1: number the messages of a run from 0");
    }
    messages.flags().fill(0);
    messages.round(round);
    encodeRows(x, minus, residual, messages);
  }

  /** {@link #encode} of x alone. */
  public final void encode(DeviceMatrix x, Messages messages, long round) {
    encode(x, Optional.empty(), Optional.empty(), messages, round);
  }

  private void requireShape(String name, DeviceMatrix m) {
    if (m.rows() != rows || m.cols() != layout.size()) {
      throw new IllegalArgumentException(
          name
              + " is "
              + m.rows()
              + " x "
              + m.cols()
              + " where the rows are "
              + rows
              + " x "
              + layout.size()
              + ": start with a new one when the shape changes");
    }
  }

  abstract void encodeRows(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      Messages messages);

  /**
   * y(i) = [y(i) +] sum over j of w_ij decode(m_j), in the stored order of the entries of row i.
   * Rows of y that no row of W names stay as they are.
   *
   * @param weights sparse; a column below the rows of {@code messages} names one of these, others a
   *     row of {@code halo}. Without it W is the identity
   * @param messages of this codec
   * @param halo messages that came from elsewhere, of the same round
   * @param add whether the sum is added to y; else y is overwritten
   * @param y F32, d columns
   */
  public final void accumulate(
      Optional<MixingWeights> weights,
      Messages messages,
      Optional<Messages> halo,
      boolean add,
      DeviceMatrix y) {
    requireOwn(messages, "the messages");
    if (halo.isPresent()) {
      requireOwn(halo.get(), "the halo");
      if (halo.get().round() != messages.round()) {
        throw new IllegalArgumentException(
            "the messages are of round "
                + messages.round()
                + " and the halo of round "
                + halo.get().round()
                + ": take messages of one round");
      }
    }
    messages.round();
    accumulateRows(weights, messages, halo, add, y);
  }

  /** y = decode(messages), row by row. */
  public final void decode(Messages messages, DeviceMatrix y) {
    accumulate(Optional.empty(), messages, Optional.empty(), false, y);
  }

  abstract void accumulateRows(
      Optional<MixingWeights> weights,
      Messages messages,
      Optional<Messages> halo,
      boolean add,
      DeviceMatrix y);

  private void requireOwn(Messages messages, String what) {
    if (messages.codec() != this) {
      throw new IllegalArgumentException(
          what + " belong to another codec: make them with messages() of this one");
    }
  }

  /** The header of the message of a node. */
  final MessageHeader header(int node, long round, boolean nonFinite) {
    return new MessageHeader(
        template.kind(),
        template.channel(),
        nonFinite,
        node,
        round,
        template.columns(),
        template.parameter(),
        template.settings(),
        template.payloadBytes());
  }

  /**
   * Reads one message and checks all of it, in the memory where it lies: a total function.
   *
   * @param message any bytes
   * @param node the sender that is expected
   * @param round the round that is expected
   * @throws MessageException when it is not the message of that node for that round
   */
  public final MessageHeader read(MemorySegment message, int node, long round) {
    MessageHeader header = MessageHeader.read(message);
    header.require(header(node, round, false));
    check(message.asSlice(MessageHeader.BYTES));
    return header;
  }

  /**
   * Checks that bytes can be decoded: indices in range and ascending, counts within capacity,
   * unused bits zero.
   *
   * @param payload any bytes, in host memory
   * @throws MessageException when they are no payload of this codec
   */
  public final void check(MemorySegment payload) {
    if (payload.byteSize() != payloadBytes()) {
      throw new MessageException(
          "a payload of "
              + compressor.name()
              + " for "
              + layout.size()
              + " columns has "
              + payloadBytes()
              + " bytes and this one "
              + payload.byteSize()
              + ": give all nodes the same compressor and model");
    }
    if (payload.isNative() && payload.address() % 4 == 0) {
      checkPayload(payload);
      return;
    }
    try (Arena arena = Arena.ofConfined()) {
      checkPayload(arena.allocate(payloadBytes(), 4).copyFrom(payload));
    }
  }

  /** What a payload is that its check refuses. */
  final MessageException forged(IllegalArgumentException why) {
    return new MessageException(
        "the payload of a message of "
            + compressor.name()
            + " is damaged or forged, see who sent it: "
            + why.getMessage());
  }

  /** Checks as many bytes as a payload has, aligned in native memory. */
  abstract void checkPayload(MemorySegment payload);

  /** What it keeps from round to round, by name, for a snapshot; empty for most. */
  public Map<String, DeviceMatrix> state() {
    return Map.of();
  }

  /** Puts back the {@link #state} from before the last {@link #encode}, when a round has failed. */
  public void undo() {}

  /** Releases what it keeps, not its messages; idempotent. */
  @Override
  public void close() {
    like.close();
  }
}
