package dev.kith.compress;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.kernel.MixingWeights;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Names, sizes and what every codec promises. */
class CompressorTest {
  private static final Layout LAYOUT =
      Layout.builder()
          .tensor("w", "a", 12, 9)
          .tensor("b", "a", 13)
          .tensor("v", "a", 5, 6, 4)
          .build();

  static List<String> names() {
    return Compressors.all();
  }

  private static void refused(String name, String... parts) {
    String text =
        assertThrows(IllegalArgumentException.class, () -> Compressor.parse(name)).getMessage();
    for (String part : parts) {
      assertTrue(text.contains(part), () -> "\"" + part + "\" is not in: " + text);
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void aNameIsReadBack(String name) {
    assertEquals(name, Compressor.parse(name).name());
    assertEquals(Compressor.parse(name), Compressor.parse(name));
  }

  @Test
  void defaultsAreLeftOutOfNames() {
    assertEquals("qsgd:4", Compressor.parse("qsgd:4:block=512").name());
    assertEquals("top-k:1", Compressor.parse("top-k:1.0").name());
    assertEquals("top-k:0.00001", Compressor.parse("top-k:1e-5").name());
    assertEquals("sampled-top-k:0.001", Compressor.parse("sampled-top-k:0.001:sample=0.01").name());
    assertEquals("scaled-sign", Compressor.parse("scaled-sign:block=row").name());
  }

  @Test
  void whatIsNoNameIsRefusedWithTheRemedy() {
    refused("", "no compressor ''", "top-k:K");
    refused("topk:3", "no compressor 'topk:3'", "top-k:K", "int8");
    refused("qsgd", "levels");
    refused("qsgd:0", "0 levels", "1 to 127");
    refused("qsgd:128", "128 levels");
    refused("qsgd:four", "'four'", "whole number");
    refused("top-k", "k after a colon");
    refused("top-k:0", "k is 0.0", "whole number from 1");
    refused("top-k:-1", "k is -1.0");
    refused("top-k:1.5", "k is 1.5");
    refused("top-k:NaN", "k is NaN");
    refused("top-k:0.1:max", "does not take 'max'");
    refused("top-k:9:block=8", "k is 9", "8 columns");
    refused("top-k:1:block=0", "blocks of 0");
    refused("threshold:0.1", "capacity=");
    refused("threshold:-1:capacity=1", "-1.0");
    refused("threshold:NaN:capacity=1", "NaN");
    refused("sampled-top-k", "k after a colon");
    refused("sampled-top-k:3:sample=0", "k is 0.0");
    refused("natural:block=8", "no scales");
    refused("sign:stochastic", "no choice of rounding");
    refused("int8:max", "only qsgd");
    refused("power-sgd:0", "rank of 0");
    refused("power-sgd:65", "rank of 65");
    refused("power-sgd:2+top-k:3", "only power-sgd can be followed");
    refused("int8+int4", "only power-sgd can be followed");
    refused("power-sgd:2+int8+int4", "int8+int4");
  }

  @ParameterizedTest
  @CsvSource({
    "identity, 1000, 4000",
    "top-k:0.01, 1000, 80",
    "top-k:3:block=32, 100, 96",
    "random-k:0.01, 1000, 40",
    "threshold:1.0:capacity=10, 1000, 84",
    "sampled-top-k:0.01, 1000, 164",
    "sampled-top-k:600, 1000, 8004",
    "qsgd:4, 1000, 508",
    "qsgd:1, 1000, 260",
    "qsgd:8, 1000, 1008",
    "natural, 1000, 1128",
    "terngrad, 1000, 256",
    "sign, 1000, 128",
    "scaled-sign, 1000, 132",
    "one-bit, 1000, 136",
    "int8, 1000, 1016",
    "int4, 1000, 564",
    "affine, 1000, 1008",
    "bf16, 1000, 2000",
    "fp8-e4m3, 1000, 1000"
  })
  void aPayloadHasTheBytesOfItsDefinition(String name, long columns, long bytes) {
    assertEquals(bytes, Compressor.parse(name).payloadBytes(Layout.flat(columns)));
  }

  @Test
  void lowRankKeepsVectorsAndWhatFactorsDoNotShorten() {
    Layout layout =
        Layout.builder()
            .tensor("conv", "a", 8, 4, 3, 3)
            .tensor("bias", "a", 8)
            .tensor("norm", "a", 3)
            .tensor("small", "a", 2, 2)
            .tensor("head", "a", 10, 8)
            .build();
    // Rank 2: 2 (8 + 36) + 2 (10 + 8) of the factors, 8 + 3 + 4 as they are.
    assertEquals(88 + 36 + 15, Compressor.parse("power-sgd:2").words(layout));
    // 124 codes of 4 bits and 2 scales.
    assertEquals(16 + 2 + 15, Compressor.parse("power-sgd:2+int4").words(layout));
    PowerSgd.Parts parts = PowerSgd.ofRank(2).parts(layout);
    assertEquals(2, parts.matrices().size());
    assertEquals(1, parts.dense().size());
    assertArrayEquals(new long[] {288, 303}, parts.dense().getFirst());
  }

  private static DeviceMatrix rows(Queue queue, int n, Layout layout, int seed) {
    DeviceMatrix m = DeviceMatrix.allocate(queue, n, layout, DType.F32);
    int d = Math.toIntExact(layout.size());
    double[] values = new double[n * d];
    for (int r = 0; r < n; r++) {
      SharedRandom random = new SharedRandom(seed, Stream.TEST, r, 0);
      for (int c = 0; c < d; c++) {
        values[r * d + c] = random.normal(c);
      }
    }
    m.upload(values);
    return m;
  }

  @ParameterizedTest
  @MethodSource("names")
  void theResidualIsWhatTheMessageLoses(String name) {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = rows(queue, 3, LAYOUT, 1);
        DeviceMatrix minus = rows(queue, 3, LAYOUT, 2);
        DeviceMatrix e = rows(queue, 3, LAYOUT, 3);
        DeviceMatrix y = x.like();
        Codec codec = Compressor.parse(name).bind(x, new Codec.Sender(5, 9, 1));
        Messages messages = codec.messages()) {
      float[] xs = x.toFloats();
      float[] ms = minus.toFloats();
      float[] before = e.toFloats();
      codec.encode(x, Optional.of(minus), Optional.of(e), messages, 4);
      codec.decode(messages, y);
      float[] decoded = y.toFloats();
      float[] after = e.toFloats();
      for (int k = 0; k < xs.length; k++) {
        float v = before[k] + (xs[k] - ms[k]);
        assertEquals(v - decoded[k], after[k], name + " at " + k);
      }
      assertArrayEquals(new int[3], messages.flags().toInts());
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void aMessageIsAFunctionOfRowNodeRoundSeedAndChannelAlone(String name) {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = rows(queue, 4, LAYOUT, 1);
        DeviceMatrix part = x.rows(2, 3);
        Codec all = Compressor.parse(name).bind(x, new Codec.Sender(5, 9, 1));
        Codec one = Compressor.parse(name).bind(part, new Codec.Sender(7, 9, 1));
        Messages messages = all.messages();
        Messages single = one.messages()) {
      all.encode(x, messages, 4);
      one.encode(part, single, 4);
      int[] whole = messages.words().toInts();
      int words = Math.toIntExact(all.words());
      int[] row = java.util.Arrays.copyOfRange(whole, 2 * words, 3 * words);
      assertArrayEquals(row, single.words().toInts());
    }
  }

  /** Of everything that a codec does on one device: words, residual, sum. */
  private static List<Object> everything(Device device, String name) {
    List<Object> bits = new ArrayList<>();
    try (Queue queue = device.newQueue();
        DeviceMatrix x = rows(queue, 3, LAYOUT, 1);
        DeviceMatrix minus = rows(queue, 3, LAYOUT, 2);
        DeviceMatrix e = rows(queue, 3, LAYOUT, 3);
        DeviceMatrix y = rows(queue, 2, LAYOUT, 4);
        MixingWeights weights =
            MixingWeights.sparse(
                queue,
                2,
                3,
                new long[] {0, 2, 5},
                new int[] {0, 2, 0, 1, 2},
                new double[] {0.5, -0.25, 0.125, 0.75, 0.3});
        Codec codec = Compressor.parse(name).bind(x, new Codec.Sender(5, 9, 1));
        Messages messages = codec.messages()) {
      for (int round = 0; round < 2; round++) {
        codec.encode(x, Optional.of(minus), Optional.of(e), messages, round);
        codec.accumulate(Optional.of(weights), messages, Optional.empty(), round == 1, y);
        for (int word : messages.words().toInts()) {
          bits.add(word);
        }
        for (DeviceMatrix m : List.of(e, y)) {
          for (float value : m.toFloats()) {
            bits.add(Float.floatToIntBits(value));
          }
        }
      }
    }
    return bits;
  }

  @ParameterizedTest
  @MethodSource("names")
  void messagesResidualsAndSumsAreThoseOfTheCpu(String name) {
    assertEquals(everything(Device.cpu(), name), everything(TestDevice.chosen(), name));
  }

  @Test
  void whatIsDrawnDiffersByNodeRoundSeedAndChannel() {
    for (String name : List.of("random-k:0.1", "qsgd:4", "natural", "int4:stochastic")) {
      try (Queue queue = TestDevice.chosen().newQueue();
          DeviceMatrix x = rows(queue, 1, LAYOUT, 1)) {
        Set<List<Integer>> seen = new HashSet<>();
        for (long[] of :
            new long[][] {{5, 9, 1, 4}, {6, 9, 1, 4}, {5, 8, 1, 4}, {5, 9, 2, 4}, {5, 9, 1, 3}}) {
          try (Codec codec =
                  Compressor.parse(name)
                      .bind(x, new Codec.Sender((int) of[0], of[1], (int) of[2]));
              Messages messages = codec.messages()) {
            codec.encode(x, messages, of[3]);
            seen.add(java.util.Arrays.stream(messages.words().toInts()).boxed().toList());
          }
        }
        assertEquals(5, seen.size(), name);
      }
    }
  }

  @Test
  void aCommonSubsetIsThatOfAllNodes() {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = rows(queue, 3, LAYOUT, 1);
        DeviceMatrix y = x.like();
        Codec codec = Compressor.parse("random-k:7:common").bind(x, new Codec.Sender(5, 9, 1));
        Messages messages = codec.messages()) {
      codec.encode(x, messages, 4);
      codec.decode(messages, y);
      float[] decoded = y.toFloats();
      int d = Math.toIntExact(x.cols());
      int kept = 0;
      for (int c = 0; c < d; c++) {
        boolean first = decoded[c] != 0;
        kept += first ? 1 : 0;
        assertEquals(first, decoded[d + c] != 0);
        assertEquals(first, decoded[2 * d + c] != 0);
      }
      assertEquals(7, kept);
    }
  }

  @Test
  void theWarmStartIsKeptUndoneAndSaved() {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = rows(queue, 2, LAYOUT, 1);
        Codec codec = Compressor.parse("power-sgd:2").bind(x, new Codec.Sender(0, 9, 1));
        Codec cold = Compressor.parse("power-sgd:2:cold").bind(x, new Codec.Sender(0, 9, 1));
        Messages messages = codec.messages();
        Messages coldMessages = cold.messages()) {
      codec.encode(x, messages, 0);
      final int[] first = messages.words().toInts();
      codec.encode(x, messages, 1);
      final int[] second = messages.words().toInts();
      codec.undo();
      codec.encode(x, messages, 1);
      assertArrayEquals(second, messages.words().toInts());
      assertEquals(1, codec.state().size());
      cold.encode(x, coldMessages, 0);
      assertArrayEquals(first, coldMessages.words().toInts());
      cold.encode(x, coldMessages, 1);
      assertArrayEquals(first, coldMessages.words().toInts());
      assertTrue(cold.state().isEmpty());
    }
  }

  @Test
  void repeatedLowRankEncodingFindsTheBestApproximation() {
    // The rank-1 part of M = u v^T + small: with a warm start the error goes to that of the SVD.
    Layout layout = Layout.builder().tensor("m", "a", 6, 8).build();
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 1, layout, DType.F32);
        DeviceMatrix y = x.like();
        Codec codec = Compressor.parse("power-sgd:1").bind(x, new Codec.Sender(0, 9, 1));
        Messages messages = codec.messages()) {
      float[] m = new float[48];
      for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 8; j++) {
          m[i * 8 + j] = (i + 1) * (j - 3);
        }
      }
      x.upload(m);
      for (int round = 0; round < 2; round++) {
        codec.encode(x, messages, round);
      }
      codec.decode(messages, y);
      float[] decoded = y.toFloats();
      for (int k = 0; k < 48; k++) {
        // Of rank 1: sums of 6 and 8 products, a normalisation and the product back.
        assertEquals(m[k], decoded[k], 64 * 0x1p-24 * 30);
      }
    }
  }

  @Test
  void rowsThatDoNotFitAreRefused() {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = rows(queue, 3, LAYOUT, 1);
        DeviceMatrix wide = DeviceMatrix.allocate(queue, 3, 300, DType.F32);
        DeviceMatrix narrow = wide.columns(0, 30);
        DeviceMatrix doubles = DeviceMatrix.allocate(queue, 3, 30, DType.F64);
        Codec codec = Compressor.parse("int8").bind(x, new Codec.Sender(0, 9, 1));
        Codec other = Compressor.parse("int8").bind(x, new Codec.Sender(0, 9, 1));
        Messages messages = codec.messages();
        Messages strange = other.messages()) {
      assertTrue(
          assertThrows(
                  IllegalArgumentException.class,
                  () -> Compressor.parse("int8").bind(doubles, new Codec.Sender(0, 9, 1)))
              .getMessage()
              .contains("F64"));
      assertTrue(
          assertThrows(
                  IllegalArgumentException.class,
                  () -> Compressor.parse("top-k:31").bind(narrow, new Codec.Sender(0, 9, 1)))
              .getMessage()
              .contains("30 columns"));
      assertThrows(IllegalArgumentException.class, () -> codec.encode(wide, messages, 0));
      assertTrue(
          assertThrows(
                  IllegalArgumentException.class,
                  () -> codec.encode(x, Optional.empty(), Optional.of(wide), messages, 0))
              .getMessage()
              .contains("start with a new one"));
      assertThrows(IllegalArgumentException.class, () -> codec.encode(x, strange, 0));
      assertThrows(IllegalStateException.class, () -> codec.decode(messages, x));
      assertThrows(IllegalArgumentException.class, () -> codec.encode(x, messages, 1L << 40));
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void aRowThatIsNotFiniteRaisesItsFlagAlone(String name) {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = rows(queue, 3, LAYOUT, 1);
        Codec codec = Compressor.parse(name).bind(x, new Codec.Sender(5, 9, 1));
        Messages messages = codec.messages()) {
      for (double bad : new double[] {Double.NaN, Double.NEGATIVE_INFINITY}) {
        for (int column : new int[] {0, 110, 240}) {
          double old = x.get(1, column);
          x.set(1, column, bad);
          codec.encode(x, messages, 4);
          assertArrayEquals(new int[] {0, 1, 0}, flags(messages), name + " at " + column);
          x.set(1, column, old);
          codec.undo();
        }
      }
      codec.encode(x, messages, 5);
      assertArrayEquals(new int[3], flags(messages));
    }
  }

  /** v - decode(C(v)) is kept, nothing is flagged, and the message passes its own check. */
  private static void lawHolds(String name, Layout layout, double value) {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 2, layout, DType.F32);
        DeviceMatrix e = x.like();
        DeviceMatrix y = x.like();
        Codec codec = Compressor.parse(name).bind(x, new Codec.Sender(0, 9, 0));
        Messages messages = codec.messages();
        Arena arena = Arena.ofConfined()) {
      x.fill(value);
      codec.encode(x, Optional.empty(), Optional.of(e), messages, 0);
      MemorySegment sent = arena.allocate(2 * messages.messageBytes(), 8);
      messages.write(new int[] {0, 1}, sent);
      messages.take(0, sent, new ReplayGuard(2));
      codec.decode(messages, y);
      float[] xs = x.toFloats();
      float[] es = e.toFloats();
      float[] ys = y.toFloats();
      for (int k = 0; k < xs.length; k++) {
        assertTrue(Float.isFinite(ys[k]), () -> name + " of " + value);
        assertEquals(0f + xs[k] - ys[k], es[k], () -> name + " of " + value); // v = 0 + x
      }
      assertArrayEquals(new int[2], flags(messages), () -> name + " of " + value);
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void rowsOfZerosOfEqualNumbersAndOfOneNumberAreEncoded(String name) {
    for (double value : new double[] {0, -0.0, 2.5, -3, 0x1p-140, 1e15}) {
      lawHolds(name, LAYOUT, value);
      if (name.equals("random-k:5:unscaled")) {
        assertThrows(IllegalArgumentException.class, () -> lawHolds(name, Layout.flat(1), value));
      } else {
        lawHolds(name, Layout.flat(1), value);
      }
    }
  }

  @Test
  void whatDoesNotFitIntoAMessageStaysInTheResidual() {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.row(queue, 1f, 0.1f, 2f, 3f);
        DeviceMatrix e = x.like();
        DeviceMatrix y = x.like();
        Codec codec =
            Compressor.parse("threshold:0.5:capacity=2").bind(x, new Codec.Sender(0, 9, 0));
        Messages messages = codec.messages()) {
      codec.encode(x, Optional.empty(), Optional.of(e), messages, 0);
      codec.decode(messages, y);
      assertArrayEquals(new float[] {1, 0, 2, 0}, y.toFloats());
      assertArrayEquals(new float[] {0, 0.1f, 0, 3}, e.toFloats());
      assertArrayEquals(new int[] {4}, messages.flags().toInts());
      assertTrue(messages.nonFiniteNode().isEmpty());
      x.fill(0);
      codec.encode(x, Optional.empty(), Optional.of(e), messages, 1);
      codec.decode(messages, y);
      assertArrayEquals(new float[] {0, 0, 0, 3}, y.toFloats());
      assertArrayEquals(new int[1], messages.flags().toInts());
    }
    assertTrue(
        assertThrows(
                IllegalArgumentException.class,
                () -> Compressor.parse("threshold:0.5:capacity=5").words(Layout.flat(4)))
            .getMessage()
            .contains("there are 4 columns"));
  }

  private static int[] flags(Messages messages) {
    return java.util.Arrays.stream(messages.flags().toInts()).map(f -> f & 1).toArray();
  }
}
