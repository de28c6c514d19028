package dev.kith.compress;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Compressors that take every tensor by itself. */
class PerTensorTest {
  private static final Layout LAYOUT =
      Layout.builder()
          .tensor("w1", "weight", 6, 7)
          .tensor("b1", "bias", 6)
          .tensor("scale", "norm", 1)
          .tensor("w2", "weight", 5, 6)
          .tensor("b2", "bias", 37)
          .build();

  private static float[] values(int rows, long columns) {
    float[] values = new float[rows * Math.toIntExact(columns)];
    SharedRandom random = new SharedRandom(3, Stream.TEST, 0, 0);
    for (int k = 0; k < values.length; k++) {
      values[k] = (float) random.normal(k);
    }
    return values;
  }

  private static String refusal(Runnable call) {
    return assertThrows(IllegalArgumentException.class, call::run).getMessage();
  }

  @Test
  void namesAreReadBackAndOthersRefused() {
    for (String name :
        List.of(
            "int8@tensors",
            "top-k:0.01@tensors:dense=bias",
            "power-sgd:4+int4@tensors:dense=a,b")) {
      assertEquals(name, Compressor.parse(name).name());
    }
    assertEquals(
        new PerTensor(Quantizer.int8(), List.of("bias", "norm")),
        Compressor.parse("int8@tensors:dense=bias,norm"));
    assertTrue(refusal(() -> Compressor.parse("int8@rows")).contains("only @tensors"));
    assertTrue(refusal(() -> Compressor.parse("int8@tensors:dense=")).contains("group ''"));
    assertTrue(refusal(() -> Compressor.parse("int8@tensors:max")).contains("'max'"));
    assertTrue(refusal(() -> Compressor.parse("int8@tensors@tensors")).contains("only @tensors"));
    assertTrue(refusal(() -> PerTensor.of(PerTensor.of(Quantizer.int8()))).contains("say so once"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "top-k:0.2",
        "top-k:1:block=4",
        "random-k:0.3",
        "random-k:0.2:common",
        "threshold:1.0:capacity=0.2",
        "qsgd:4:block=16",
        "natural",
        "scaled-sign",
        "one-bit",
        "int8:block=16",
        "int4:stochastic",
        "affine",
        "bf16",
        "power-sgd:1",
        "power-sgd:1+int4"
      })
  void everyTensorIsEncodedAsIfItWereARow(String name) {
    Compressor each = Compressor.parse(name);
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 3, LAYOUT, DType.F32);
        DeviceMatrix y = x.like();
        Codec codec = PerTensor.of(each).bind(x, new Codec.Sender(4, 9, 1));
        Messages messages = codec.messages()) {
      x.upload(values(3, LAYOUT.size()));
      codec.encode(x, messages, 2);
      codec.decode(messages, y);
      int at = 0;
      for (int t = 0; t < LAYOUT.tensors().size(); t++) {
        Layout.Tensor tensor = LAYOUT.tensors().get(t);
        Layout alone =
            Layout.builder().tensor(tensor.name(), tensor.group(), tensor.shape()).build();
        try (DeviceMatrix view = x.columns(tensor.offset(), tensor.offset() + tensor.size());
            DeviceMatrix decoded = y.columns(tensor.offset(), tensor.offset() + tensor.size());
            DeviceMatrix part = DeviceMatrix.allocate(queue, 3, alone, DType.F32);
            DeviceMatrix expected = part.like();
            Codec own = each.bind(part, new Codec.Sender(4, 9 ^ (long) t << 32, 1));
            Messages single = own.messages()) {
          part.copyFrom(view);
          if (own.words() >= tensor.size()) {
            // No shorter encoded: as it is.
            assertArrayEquals(part.toFloats(), decoded.toFloats(), tensor.name());
            at += Math.toIntExact(tensor.size());
            continue;
          }
          own.encode(part, single, 2);
          own.decode(single, expected);
          assertArrayEquals(expected.toFloats(), decoded.toFloats(), tensor.name());
          try (DeviceMatrix words = messages.words().columns(at, at + own.words())) {
            assertArrayEquals(single.words().toInts(), words.toInts(), tensor.name());
          }
          at += Math.toIntExact(own.words());
        }
      }
      assertEquals(codec.words(), at);
    }
  }

  @Test
  void denseGroupsAndWhatWouldNotBeShorterTravelAsTheyAre() {
    Compressor compressor = Compressor.parse("int8:block=8@tensors:dense=bias");
    // 6 + 11 words and 4 + 8 of the weights; 6 + 1 and 37 as they are.
    assertEquals(17 + 7 + 12 + 37, compressor.words(LAYOUT));
    assertEquals(17 + 3 + 1 + 12 + 15, Compressor.parse("int8:block=8@tensors").words(LAYOUT));
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 2, LAYOUT, DType.F32);
        DeviceMatrix y = x.like();
        Codec codec = compressor.bind(x, new Codec.Sender(0, 9, 0));
        Messages messages = codec.messages()) {
      float[] values = values(2, LAYOUT.size());
      x.upload(values);
      codec.encode(x, messages, 0);
      codec.decode(messages, y);
      float[] decoded = y.toFloats();
      int d = Math.toIntExact(LAYOUT.size());
      for (Layout.Tensor tensor : LAYOUT.tensors()) {
        boolean dense = !tensor.group().equals("weight");
        int differ = 0;
        for (int r = 0; r < 2; r++) {
          for (int c = (int) tensor.offset(); c < tensor.offset() + tensor.size(); c++) {
            differ += values[r * d + c] == decoded[r * d + c] ? 0 : 1;
          }
        }
        assertEquals(dense, differ == 0, tensor.name());
      }
    }
  }

  @Test
  void aGroupThatTheLayoutLacksAndATensorBelowKAreRefused() {
    assertTrue(
        refusal(() -> Compressor.parse("int8@tensors:dense=biases").words(LAYOUT))
            .contains("no group 'biases', it has [weight, bias, norm]"));
    assertTrue(
        refusal(() -> Compressor.parse("top-k:7@tensors").words(LAYOUT)).contains("6 columns"));
    assertEquals(
        14 + 7 + 14 + 37, Compressor.parse("top-k:7@tensors:dense=bias,norm").words(LAYOUT));
  }

  @Test
  void constantsAreThoseOfTheWorstTensor() {
    // k is 2 of 42, 1 of 6, 1 of 30 and 1 of 37; one number travels as it is. Of the row it were 5
    // of
    // 116, which is better than it is.
    Compressor compressor = Compressor.parse("top-k:0.05@tensors");
    assertEquals(Constants.contractive(1.0 / 37), compressor.constants(LAYOUT));
    assertEquals(
        Constants.contractive(1.0 / 30),
        Compressor.parse("top-k:0.05@tensors:dense=bias").constants(LAYOUT));
    assertEquals(
        Constants.unbiased(42 / 64.0),
        Compressor.parse("qsgd:4:block=row@tensors").constants(LAYOUT));
    assertEquals(
        new Identity().constants(116),
        Compressor.parse("sign@tensors:dense=weight,bias,norm").constants(LAYOUT));
  }

  @Test
  void equalTensorsDrawDifferentNumbers() {
    Layout twice = Layout.builder().tensor("a", "g", 64).tensor("b", "g", 64).build();
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 1, twice, DType.F32);
        DeviceMatrix y = x.like()) {
      float[] half = values(1, 64);
      float[] both = Arrays.copyOf(half, 128);
      System.arraycopy(half, 0, both, 64, 64);
      x.upload(both);
      for (String name : List.of("qsgd:4", "natural", "random-k:0.2", "int4:stochastic")) {
        try (Codec codec = PerTensor.of(Compressor.parse(name)).bind(x, new Codec.Sender(0, 9, 0));
            Messages messages = codec.messages()) {
          codec.encode(x, messages, 0);
          codec.decode(messages, y);
          float[] decoded = y.toFloats();
          assertNotEquals(
              Arrays.toString(Arrays.copyOf(decoded, 64)),
              Arrays.toString(Arrays.copyOfRange(decoded, 64, 128)),
              name);
        }
      }
    }
  }

  @Test
  void whatTensorsKeepIsSavedAndUndoneTogether() {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 2, LAYOUT, DType.F32);
        Codec codec = Compressor.parse("power-sgd:1@tensors").bind(x, new Codec.Sender(0, 9, 0));
        Messages messages = codec.messages()) {
      x.upload(values(2, LAYOUT.size()));
      assertEquals(Set.of("w1.start", "w2.start"), codec.state().keySet());
      codec.encode(x, messages, 0);
      codec.encode(x, messages, 1);
      int[] second = messages.words().toInts();
      codec.undo();
      codec.encode(x, messages, 1);
      assertArrayEquals(second, messages.words().toInts());
    }
  }
}
