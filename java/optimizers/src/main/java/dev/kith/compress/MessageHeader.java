package dev.kith.compress;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.HexFormat;
import java.util.zip.CRC32C;

/**
 * The first 64 bytes of a message; {@code docs/wire-format.md} gives them byte by byte.
 *
 * <p>{@link #read} is a total function: any bytes give a header or a {@link MessageException}. It
 * works in the bytes that are given, allocates nothing by a length that they declare, and a
 * receiver that reads from a stream asks {@link #payloadBytes(MemorySegment, long)} first, with the
 * most that it is willing to hold. The checksum finds corruption only: authenticity and secrecy are
 * the transport's.
 *
 * <p>Immutable and thread-safe.
 *
 * @param kind what the payload is, {@link Compressor#kind}
 * @param channel which of the quantities that an algorithm sends it is, 0 to 65535
 * @param nonFinite whether the row that was encoded had a NaN or an infinity
 * @param node the global number of the sender, from 0
 * @param round the round, 0 to 2^40 - 1
 * @param columns numbers in the row that was encoded
 * @param parameter the main number of the compressor (k, levels or rank), 0 where it has none
 * @param settings the first eight bytes of the SHA-256 of all settings of the compressor
 * @param payloadBytes bytes behind the header, a multiple of 4
 */
public record MessageHeader(
    int kind,
    int channel,
    boolean nonFinite,
    int node,
    long round,
    long columns,
    int parameter,
    long settings,
    long payloadBytes) {
  /** Bytes of a header. */
  public static final int BYTES = 64;

  /** The version of the wire format; another one is refused. */
  public static final int VERSION = 1;

  private static final int MAGIC = 0x47534D4B; // "KMSG" read as a little-endian number
  static final long MAX_ROUNDS = 1L << 40;
  private static final int NON_FINITE = 1;
  private static final int CHECKSUM = 60;
  private static final int RESERVED = 52;
  private static final long CRC_STEP = 1L << 30;

  private static final ValueLayout.OfShort I16 =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt I32 =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong I64 =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /** Checks the ranges. */
  public MessageHeader {
    if (kind < 1
        || kind > 0xFFFF
        || channel < 0
        || channel > 0xFFFF
        || node < 0
        || round < 0
        || round >= MAX_ROUNDS
        || columns < 0
        || payloadBytes < 0
        || payloadBytes % 4 != 0) {
      throw new IllegalArgumentException(
          "no message has kind "
              + kind
              + ", channel "
              + channel
              + ", node "
              + node
              + ", round "
              + round
              + ", "
              + columns
              + " columns and "
              + payloadBytes
              + " bytes: give numbers in their ranges");
    }
  }

  /** Bytes of the whole message. */
  public long messageBytes() {
    return BYTES + payloadBytes;
  }

  /**
   * Writes the header, with the checksum over it and the payload, which stands behind it already.
   *
   * @param message {@link #messageBytes} bytes
   * @throws IllegalArgumentException when the segment has another size
   */
  public void write(MemorySegment message) {
    if (message.byteSize() != messageBytes()) {
      throw new IllegalArgumentException(
          "the message takes " + messageBytes() + " bytes and the segment " + message.byteSize());
    }
    message.asSlice(0, BYTES).fill((byte) 0);
    message.set(I32, 0, MAGIC);
    message.set(I16, 4, (short) VERSION);
    message.set(I16, 6, (short) kind);
    message.set(I32, 8, node);
    message.set(I16, 12, (short) channel);
    message.set(I16, 14, (short) (nonFinite ? NON_FINITE : 0));
    message.set(I64, 16, round);
    message.set(I64, 24, payloadBytes);
    message.set(I64, 32, columns);
    message.set(I64, 40, settings);
    message.set(I32, 48, parameter);
    message.set(I32, CHECKSUM, checksum(message));
  }

  /**
   * Reads and checks a whole message: magic, version, ranges, length and checksum.
   *
   * @param message any bytes
   * @throws MessageException when they are not one whole message of this version
   */
  public static MessageHeader read(MemorySegment message) {
    long payload = payloadBytes(message, Math.max(0, message.byteSize() - BYTES));
    if (payload != message.byteSize() - BYTES) {
      throw new MessageException(
          "the message declares "
              + payload
              + " bytes of payload and "
              + (message.byteSize() - BYTES)
              + " follow the header: it was cut or joined with another, send it again");
    }
    int stored = message.get(I32, CHECKSUM);
    int actual = checksum(message);
    if (stored != actual) {
      throw new MessageException(
          "the checksum is "
              + HexFormat.of().toHexDigits(stored)
              + " and the bytes give "
              + HexFormat.of().toHexDigits(actual)
              + ": the message was damaged, send it again");
    }
    return new MessageHeader(
        Short.toUnsignedInt(message.get(I16, 6)),
        Short.toUnsignedInt(message.get(I16, 12)),
        message.get(I16, 14) == NON_FINITE,
        message.get(I32, 8),
        message.get(I64, 16),
        message.get(I64, 32),
        message.get(I32, 48),
        message.get(I64, 40),
        payload);
  }

  /**
   * How many bytes follow the header, for a receiver that reads a stream: it reads 64 bytes, asks,
   * and only then makes room. The checksum is not looked at.
   *
   * @param header at least the 64 bytes of a header
   * @param limit the most that the receiver is willing to hold
   * @throws MessageException when they are no header of this version, or declare more than the
   *     limit
   */
  public static long payloadBytes(MemorySegment header, long limit) {
    if (header.byteSize() < BYTES) {
      throw new MessageException(
          "there are "
              + header.byteSize()
              + " bytes and a header has 64: the message was cut, send it again");
    }
    int magic = header.get(I32, 0);
    if (magic != MAGIC) {
      throw new MessageException(
          "the first bytes are "
              + HexFormat.of().toHexDigits(Integer.reverseBytes(magic))
              + " and a message begins with "
              + HexFormat.of().toHexDigits(Integer.reverseBytes(MAGIC))
              + ": what came is no message");
    }
    int version = Short.toUnsignedInt(header.get(I16, 4));
    if (version != VERSION) {
      throw new MessageException(
          "the message has version "
              + version
              + " and this program reads version "
              + VERSION
              + ": run the same program on all nodes");
    }
    int flags = Short.toUnsignedInt(header.get(I16, 14));
    if (header.get(I16, 6) == 0
        || (flags & ~NON_FINITE) != 0
        || header.get(I32, RESERVED) != 0
        || header.get(I32, RESERVED + 4) != 0) {
      throw new MessageException(
          "the header has kind %d, flags %04x, or bytes 52 to 59 that are not zero: the message was damaged, send it again"
              .formatted(Short.toUnsignedInt(header.get(I16, 6)), flags));
    }
    requireRange("node", header.get(I32, 8), Integer.MAX_VALUE);
    requireRange("round", header.get(I64, 16), MAX_ROUNDS - 1);
    requireRange("number of columns", header.get(I64, 32), Long.MAX_VALUE);
    long payload = header.get(I64, 24);
    requireRange("length", payload, limit);
    if (payload % 4 != 0) {
      throw new MessageException(
          "the length " + payload + " is no multiple of 4: the message was damaged, send it again");
    }
    return payload;
  }

  private static void requireRange(String what, long value, long most) {
    if (value < 0 || value > most) {
      throw new MessageException(
          "the "
              + what
              + " "
              + value
              + " is not in 0 to "
              + most
              + ": the message was damaged or is larger than allowed, see who sent it");
    }
  }

  /**
   * Checks that this is the message that was waited for, whether it is finite or not.
   *
   * @throws MessageException when something else differs; names the first difference
   */
  public void require(MessageHeader expected) {
    require("node", node, expected.node, "see who sends on this connection");
    require("channel", channel, expected.channel, "run the same program on all nodes");
    if (round != expected.round) {
      throw new MessageException(
          "the message of node "
              + node
              + " is of round "
              + round
              + " and round "
              + expected.round
              + " is expected: "
              + (round < expected.round
                  ? "it is replayed and refused"
                  : "the nodes are not in the same round"));
    }
    require("kind", kind, expected.kind, "give all nodes the same compressor");
    require("number of columns", columns, expected.columns, "give all nodes the same model");
    require("parameter", parameter, expected.parameter, "give all nodes the same compressor");
    require(
        "payload length",
        payloadBytes,
        expected.payloadBytes,
        "give all nodes the same compressor");
    if (settings != expected.settings) {
      throw new MessageException(
          "the message of node %d was made with other settings (%016x, here %016x): give all nodes the same compressor, layout and seed"
              .formatted(node, settings, expected.settings));
    }
  }

  private void require(String what, long value, long expected, String remedy) {
    if (value != expected) {
      throw new MessageException(
          "the message of node "
              + node
              + " has "
              + what
              + " "
              + value
              + " and "
              + expected
              + " is expected: "
              + remedy);
    }
  }

  /** CRC32C of the header without its last four bytes, then of the payload. */
  private static int checksum(MemorySegment message) {
    CRC32C crc = new CRC32C();
    crc.update(message.asSlice(0, CHECKSUM).asByteBuffer());
    for (long at = BYTES; at < message.byteSize(); at += CRC_STEP) {
      crc.update(message.asSlice(at, Math.min(CRC_STEP, message.byteSize() - at)).asByteBuffer());
    }
    return (int) crc.getValue();
  }
}
