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
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
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
  private static final int LONGEST = 1 << 12;
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
    return lines("corpus.txt");
  }

  private static List<String> lines(String resource) throws IOException {
    try (var in = MessageFuzzTest.class.getResourceAsStream(resource)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8).lines().toList();
    }
  }

  /** What {@code ci/fuzz messages} found to reach something new. */
  @Test
  void theCorpusOfGuidedFuzzingIsTakenOrRefusedAndNothingElse() throws IOException {
    List<String> corpus = lines("fuzz-corpus.txt");
    long taken =
        corpus.stream().filter(line -> MessageFuzzer.taken(HexFormat.of().parseHex(line))).count();
    assertTrue(0 < taken && taken < corpus.size(), taken + " of " + corpus.size());
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
        Codec codec =
            Compressor.parse(parts[0]).bind(x, new Codec.Sender(MessageTarget.NODE, 7, 0));
        Messages messages = codec.messages()) {
      // On the heap and in native memory alike.
      MemorySegment heap = MemorySegment.ofArray(bytes);
      if (parts[2].equals("taken")) {
        codec.read(heap, MessageTarget.NODE, MessageTarget.ROUND);
        messages.take(MessageTarget.ROUND, heap, new ReplayGuard(4));
        codec.decode(messages, x);
        return;
      }
      String text =
          assertThrows(
                  MessageException.class,
                  () -> codec.read(heap, MessageTarget.NODE, MessageTarget.ROUND))
              .getMessage();
      assertTrue(text.contains(parts[2]), text);
      assertThrows(
          MessageException.class,
          () -> messages.take(MessageTarget.ROUND, heap, new ReplayGuard(4)));
      assertThrows(IllegalStateException.class, messages::round);
    }
  }

  private static void noise(SplittableRandom random, MemorySegment buffer, int from, int to) {
    for (int i = from; i < to; i += 8) {
      buffer.set(I64, i, random.nextLong()); // The room is longer than any message.
    }
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
          noise(random, buffer, length, length + more);
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
        case 7 -> noise(random, buffer, MessageHeader.BYTES, length);
        default -> {
          long at = 4L * random.nextInt(Math.max(1, length / 4));
          buffer.set(I32, at, buffer.get(I32, at) + random.nextInt(5) - 2);
        }
      }
    }
    return length;
  }

  @Test
  void mutatedMessagesAreTakenOrRefusedAndNothingElse(TestReporter reporter) {
    SplittableRandom random = new SplittableRandom(SEED);
    long refused = 0;
    long taken = 0;
    try (Queue queue = Device.cpu().newQueue();
        Arena arena = Arena.ofConfined()) {
      List<MessageTarget> targets =
          Compressors.all().stream().map(name -> new MessageTarget(name, queue)).toList();
      MemorySegment buffer = arena.allocate(2 * LONGEST, 8);
      for (long k = 0; k < COUNT; k++) {
        MessageTarget target = targets.get((int) (k % targets.size()));
        byte[] other = targets.get(random.nextInt(targets.size())).right();
        int length = mutate(random, target.right(), other, buffer);
        MemorySegment message = buffer.asSlice(0, length);
        if (length >= MessageHeader.BYTES && random.nextInt(4) != 0) {
          MessageTarget.seal(message);
        }
        try {
          target.read(message);
          taken++;
          if (taken % 64 == 0) {
            target.use(message);
          }
        } catch (MessageException e) {
          refused++;
          assertTrue(e.getMessage().contains(": "), e::getMessage);
        }
      }
      queue.sync();
      targets.forEach(MessageTarget::close);
    }
    reporter.publishEntry(
        "fuzz", COUNT + " messages, " + taken + " taken, " + refused + " refused");
    assertEquals(COUNT, taken + refused);
    assertTrue(taken > COUNT / 50, "the mutations reach the payloads: " + taken);
  }
}
