package dev.kith.compress;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.SplittableRandom;
import java.util.zip.CRC32C;

/** A codec that waits for the message of one node and round, to throw bytes at. */
final class MessageTarget implements AutoCloseable {
  static final int NODE = 3;
  static final long ROUND = 7;
  private static final Layout LAYOUT =
      Layout.builder().tensor("w", "a", 7, 6).tensor("b", "a", 5).build();
  private static final ValueLayout.OfInt I32 =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong I64 =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final DeviceMatrix row;
  private final Codec codec;
  private final Messages messages;
  private final byte[] right;

  MessageTarget(String name, Queue queue) {
    row = DeviceMatrix.allocate(queue, 1, LAYOUT, DType.F32);
    float[] values = new float[Math.toIntExact(LAYOUT.size())];
    SplittableRandom random = new SplittableRandom(name.hashCode());
    for (int c = 0; c < values.length; c++) {
      values[c] = (float) random.nextGaussian();
    }
    row.upload(values);
    codec = Compressor.parse(name).bind(row, new Codec.Sender(NODE, 7, 0));
    messages = codec.messages();
    codec.encode(row, messages, ROUND);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment room = arena.allocate(messages.messageBytes(), 8);
      messages.write(new int[] {0}, room);
      right = room.toArray(ValueLayout.JAVA_BYTE);
    }
  }

  /** The message that it waits for; not to be written to. */
  byte[] right() {
    return right;
  }

  /** Makes length and checksum right, so that the checks behind them are reached. */
  static void seal(MemorySegment message) {
    message.set(I64, 24, message.byteSize() - MessageHeader.BYTES);
    CRC32C crc = new CRC32C();
    ByteBuffer bytes = message.asByteBuffer();
    crc.update(bytes.slice(0, 60));
    crc.update(bytes.slice(64, bytes.capacity() - 64));
    message.set(I32, 60, (int) crc.getValue());
  }

  /**
   * Reads any bytes.
   *
   * @throws MessageException when they are refused; everything else is a bug
   */
  void read(MemorySegment message) {
    int node = codec.read(message, NODE, ROUND).node();
    if (node != NODE) {
      throw new AssertionError("a message of node " + node + " was taken for one of node " + NODE);
    }
  }

  /** Takes a message that was read, and decodes it. */
  void use(MemorySegment message) {
    messages.take(ROUND, message, new ReplayGuard(NODE + 1));
    codec.decode(messages, row);
  }

  @Override
  public void close() {
    messages.close();
    codec.close();
    row.close();
  }
}
