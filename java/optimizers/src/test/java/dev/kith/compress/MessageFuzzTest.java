package dev.kith.compress;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The decoder is a total function: any bytes are a message or one clear refusal. Mutated messages
 * of every compressor, {@code -Dkith.fuzz.count=N} of them in all (default 400,000), from {@code
 * -Dkith.fuzz.seed}; and the corpus of what once mattered.
 */
class MessageFuzzTest {
  private static final long COUNT = Long.getLong("kith.fuzz.count", 400_000);
  private static final long SEED = Long.getLong("kith.fuzz.seed", 1);
  private static final int NODE = 3;
  private static final long ROUND = 7;
  private static final int LONGEST = 1 << 12;
  private static final Layout LAYOUT =
      Layout.builder().tensor("w", "a", 7, 6).tensor("b", "a", 5).build();

  private static final ValueLayout.OfInt I32 =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong I64 =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final long[] TEMPTING = {
    0,
    1,
    -1,
    2,
    46,
    47,
    48,
    63,
    64,
    65,
    127,
    128,
    255,
    256,
    65535,
    65536,
    Integer.MAX_VALUE,
    Integer.MIN_VALUE,
    1L << 31,
    1L << 32,
    1L << 40,
    (1L << 40) - 1,
    1L << 62,
    Long.MAX_VALUE,
    Long.MIN_VALUE,
    0x7f800000,
    0x7fc00000,
    0xff800000L,
    0x80000000L
  };

  static List<String> corpus() throws IOException {
    try (var in = MessageFuzzTest.class.getResourceAsStream("corpus.txt")) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8).lines().toList();
    }
  }

  private static Layout layout(String text) {
    Layout.Builder builder = Layout.builder();
    for (String shape : text.split(" ", -1)) {
      builder.tensor(
          shape, "a", Arrays.stream(shape.split("x", -1)).mapToLong(Long::parseLong).toArray());
    }
    return builder.build();
  }

  @ParameterizedTest
  @MethodSource("corpus")
  void theCorpusIsTakenOrRefusedAsItSays(String line) {
    String[] parts = line.split(" \\| ", -1);
    byte[] bytes = HexFormat.of().parseHex(parts[3]);
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 1, layout(parts[1]), DType.F32);
        Codec codec = Compressor.parse(parts[0]).bind(x, new Codec.Sender(NODE, 7, 0));
        Messages messages = codec.messages()) {
      // On the heap and in native memory alike.
      MemorySegment heap = MemorySegment.ofArray(bytes);
      if (parts[2].equals("taken")) {
        codec.read(heap, NODE, ROUND);
        messages.take(ROUND, heap, new ReplayGuard(4));
        codec.decode(messages, x);
        return;
      }
      String text =
          assertThrows(MessageException.class, () -> codec.read(heap, NODE, ROUND)).getMessage();
      assertTrue(text.contains(parts[2]), text);
      assertThrows(MessageException.class, () -> messages.take(ROUND, heap, new ReplayGuard(4)));
      assertThrows(IllegalStateException.class, messages::round);
    }
  }

  /** A codec with what it needs to decode. */
  private record Target(
      Codec codec, Messages messages, DeviceMatrix y, byte[] message, MemorySegment room) {}

  private static List<Target> targets(Queue queue, Arena arena) {
    List<Target> targets = new ArrayList<>();
    for (String name : Compressors.all()) {
      DeviceMatrix x = DeviceMatrix.allocate(queue, 1, LAYOUT, DType.F32);
      float[] values = new float[Math.toIntExact(LAYOUT.size())];
      SplittableRandom random = new SplittableRandom(name.hashCode());
      for (int c = 0; c < values.length; c++) {
        values[c] = (float) random.nextGaussian();
      }
      x.upload(values);
      Codec codec = Compressor.parse(name).bind(x, new Codec.Sender(NODE, 7, 0));
      Messages messages = codec.messages();
      codec.encode(x, messages, ROUND);
      MemorySegment room = arena.allocate(messages.messageBytes(), 8);
      messages.write(new int[] {0}, room);
      targets.add(new Target(codec, messages, x, room.toArray(ValueLayout.JAVA_BYTE), room));
    }
    return targets;
  }

  /** Changes a copy of a message in {@code buffer}; returns the length. */
  private static int mutate(
      SplittableRandom random, byte[] message, byte[] other, MemorySegment buffer) {
    MemorySegment.copy(message, 0, buffer, ValueLayout.JAVA_BYTE, 0, message.length);
    int length = message.length;
    int changes = 1 + random.nextInt(3);
    for (int k = 0; k < changes; k++) {
      switch (random.nextInt(9)) {
        case 0 -> {
          int bit = random.nextInt(8 * Math.max(1, length));
          byte old = buffer.get(ValueLayout.JAVA_BYTE, bit / 8);
          buffer.set(ValueLayout.JAVA_BYTE, bit / 8, (byte) (old ^ (1 << bit % 8)));
        }
        case 1 ->
            buffer.set(
                ValueLayout.JAVA_BYTE,
                random.nextInt(Math.max(1, length)),
                (byte) random.nextInt());
        case 2 -> length = random.nextInt(length + 1);
        case 3 -> {
          int more = Math.min(LONGEST - length, random.nextInt(80));
          for (int i = 0; i < more; i++) {
            buffer.set(ValueLayout.JAVA_BYTE, length + i, (byte) random.nextInt());
          }
          length += more;
        }
        case 4 -> {
          long value = TEMPTING[random.nextInt(TEMPTING.length)];
          if (random.nextBoolean()) {
            buffer.set(I32, 4L * random.nextInt(Math.max(1, length / 4)), (int) value);
          } else {
            buffer.set(I64, 8L * random.nextInt(8), value);
          }
        }
        case 5 -> {
          int words = Math.max(1, length / 4);
          long from = 4L * random.nextInt(words);
          long to = 4L * random.nextInt(words);
          int word = buffer.get(I32, from);
          buffer.set(I32, from, buffer.get(I32, to));
          buffer.set(I32, to, word);
        }
        case 6 -> {
          int cut = random.nextInt(Math.min(length, other.length) + 1);
          MemorySegment.copy(other, cut, buffer, ValueLayout.JAVA_BYTE, cut, other.length - cut);
          length = other.length;
        }
        case 7 -> {
          for (int i = MessageHeader.BYTES; i < length; i++) {
            buffer.set(ValueLayout.JAVA_BYTE, i, (byte) random.nextInt());
          }
        }
        default -> {
          long at = 4L * random.nextInt(Math.max(1, length / 4));
          buffer.set(I32, at, buffer.get(I32, at) + random.nextInt(5) - 2);
        }
      }
    }
    return length;
  }

  /** Makes length and checksum right, so that the checks behind them are reached. */
  private static void seal(MemorySegment message) {
    message.set(I64, 24, message.byteSize() - MessageHeader.BYTES);
    CRC32C crc = new CRC32C();
    ByteBuffer bytes = message.asByteBuffer();
    crc.update(bytes.slice(0, 60));
    crc.update(bytes.slice(64, bytes.capacity() - 64));
    message.set(I32, 60, (int) crc.getValue());
  }

  @Test
  void mutatedMessagesAreTakenOrRefusedAndNothingElse(TestReporter reporter) {
    SplittableRandom random = new SplittableRandom(SEED);
    long refused = 0;
    long taken = 0;
    try (Queue queue = Device.cpu().newQueue();
        Arena arena = Arena.ofConfined()) {
      List<Target> targets = targets(queue, arena);
      MemorySegment buffer = arena.allocate(2 * LONGEST, 8);
      for (long k = 0; k < COUNT; k++) {
        Target target = targets.get((int) (k % targets.size()));
        byte[] other = targets.get(random.nextInt(targets.size())).message();
        int length = mutate(random, target.message(), other, buffer);
        MemorySegment message = buffer.asSlice(0, length);
        if (length >= MessageHeader.BYTES && random.nextInt(4) != 0) {
          seal(message);
        }
        try {
          MessageHeader header = target.codec().read(message, NODE, ROUND);
          assertEquals(NODE, header.node());
          taken++;
          if (taken % 64 == 0) {
            target.messages().take(ROUND, message, new ReplayGuard(NODE + 1));
            target.codec().decode(target.messages(), target.y());
          }
        } catch (MessageException e) {
          refused++;
          assertTrue(e.getMessage().contains(": "), e::getMessage);
        }
      }
      queue.sync();
      for (Target target : targets) {
        target.messages().close();
        target.codec().close();
        target.y().close();
      }
    }
    reporter.publishEntry(
        "fuzz", COUNT + " messages, " + taken + " taken, " + refused + " refused");
    assertEquals(COUNT, taken + refused);
    assertTrue(taken > COUNT / 50, "the mutations reach the payloads: " + taken);
  }
}
