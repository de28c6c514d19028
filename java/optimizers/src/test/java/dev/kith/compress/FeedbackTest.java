package dev.kith.compress;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.optimizer.Snapshot;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Error feedback, EF21 and DIANA: the sequences and invariants of their definitions. */
class FeedbackTest {
  private static final Layout MATRIX =
      Layout.builder().tensor("w", "a", 6, 10).tensor("b", "a", 4).build();
  private static final Codec.Sender FIRST = new Codec.Sender(0, 7, 0);

  static java.util.List<String> names() {
    return Compressors.all();
  }

  private static float[] decoded(Codec codec, Messages messages, DeviceMatrix like) {
    try (DeviceMatrix y = like.like()) {
      codec.decode(messages, y);
      return y.toFloats();
    }
  }

  private static float[] sparse(int index, float value) {
    float[] row = new float[4];
    row[index] = value;
    return row;
  }

  @Test
  void topOneOfAConstantGradientVisitsEveryCoordinate() {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix g = DeviceMatrix.row(queue, 4f, 3f, 2f, 1f);
        Codec codec = Compressor.parse("top-k:1").bind(g, FIRST);
        ErrorFeedback feedback = new ErrorFeedback(codec, g)) {
      int[] indices = {0, 1, 0, 2, 1, 0};
      float[] values = {4, 6, 8, 8, 9, 12};
      for (int t = 0; t < 6; t++) {
        Messages sent = feedback.encode(g, t);
        assertArrayEquals(sparse(indices[t], values[t]), decoded(codec, sent, g), "message " + t);
      }
      assertArrayEquals(new float[] {0, 3, 4, 6}, feedback.residual().toFloats());
      assertArrayEquals(new double[] {Math.sqrt(61)}, feedback.residualNorms());
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void messagesAndResidualAddUpToWhatWasGiven(String name) {
    int d = 64;
    int rounds = 20;
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 2, MATRIX, DType.F32);
        DeviceMatrix y = x.like();
        Codec codec = Compressor.parse(name).bind(x, FIRST);
        ErrorFeedback feedback = new ErrorFeedback(codec, x)) {
      double[] given = new double[2 * d];
      double[] sent = new double[2 * d];
      double[] size = new double[2 * d];
      for (int t = 0; t < rounds; t++) {
        double[] values = new double[2 * d];
        for (int k = 0; k < values.length; k++) {
          values[k] = (float) new SharedRandom(3, Stream.TEST, k, t).normal(0);
        }
        x.upload(values);
        codec.decode(feedback.encode(x, t), y);
        float[] message = y.toFloats();
        float[] e = feedback.residual().toFloats();
        for (int k = 0; k < values.length; k++) {
          given[k] += values[k];
          sent[k] += message[k];
          size[k] += Math.abs(values[k]) + Math.abs(message[k]) + Math.abs(e[k]);
        }
      }
      float[] e = feedback.residual().toFloats();
      for (int k = 0; k < given.length; k++) {
        // An addition and a subtraction a round, each of half an ulp of what it adds.
        assertEquals(given[k], sent[k] + e[k], 2 * 0x1p-24 * size[k], name + " at " + k);
      }
    }
  }

  @Test
  void theIdentityLeavesNoResidual() {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix g = DeviceMatrix.row(queue, 4f, -3f, 0.1f, 1e-30f);
        Codec codec = Compressor.parse("identity").bind(g, FIRST);
        ErrorFeedback feedback = new ErrorFeedback(codec, g)) {
      for (int t = 0; t < 3; t++) {
        assertArrayEquals(g.toFloats(), decoded(codec, feedback.encode(g, t), g));
        assertArrayEquals(new float[4], feedback.residual().toFloats());
      }
    }
  }

  /** e' = v - decode(C(v)) for v = e + (x - minus), as the codec alone computes it in place. */
  @ParameterizedTest
  @MethodSource("names")
  void feedbackIsTheCodecWithItsResidualBitForBit(String name) {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 2, MATRIX, DType.F32);
        DeviceMatrix minus = x.like();
        DeviceMatrix e = x.like();
        Codec codec = Compressor.parse(name).bind(x, FIRST);
        Messages messages = codec.messages();
        Codec own = Compressor.parse(name).bind(x, FIRST);
        ErrorFeedback feedback = new ErrorFeedback(own, x)) {
      for (int t = 0; t < 6; t++) {
        int round = t;
        x.upload(
            IntStream.range(0, 128)
                .mapToDouble(k -> new SharedRandom(4, Stream.TEST, k, round).normal(0))
                .toArray());
        minus.upload(
            IntStream.range(0, 128)
                .mapToDouble(k -> new SharedRandom(5, Stream.TEST, k, round).normal(0))
                .toArray());
        Optional<DeviceMatrix> subtracted = t % 3 == 2 ? Optional.of(minus) : Optional.empty();
        codec.encode(x, subtracted, Optional.of(e), messages, t);
        Messages sent;
        if (t % 3 == 0) {
          feedback.input().copyFrom(x);
          sent = feedback.encode(t);
        } else {
          sent = feedback.encode(x, subtracted, t);
        }
        assertArrayEquals(messages.words().toInts(), sent.words().toInts(), "round " + t);
        assertArrayEquals(e.toFloats(), feedback.residual().toFloats(), "round " + t);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void aRoundThatFailedIsUndone(String name) {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 2, MATRIX, DType.F32);
        Codec codec = Compressor.parse(name).bind(x, FIRST);
        ErrorFeedback feedback = new ErrorFeedback(codec, x)) {
      x.upload(
          IntStream.range(0, 128)
              .mapToDouble(k -> new SharedRandom(3, Stream.TEST, k, 0).normal(0))
              .toArray());
      feedback.encode(x, 0);
      final float[] before = feedback.residual().toFloats();
      final int[] first = feedback.encode(x, 1).words().toInts();
      feedback.undo();
      assertArrayEquals(before, feedback.residual().toFloats());
      feedback.undo();
      assertArrayEquals(before, feedback.residual().toFloats());
      assertArrayEquals(first, feedback.encode(x, 1).words().toInts());
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void aSavedStateContinuesWithTheSameBits(String name, @TempDir Path folder) {
    Path file = folder.resolve("state");
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 2, MATRIX, DType.F32);
        Codec codec = Compressor.parse(name).bind(x, FIRST);
        ErrorFeedback feedback = new ErrorFeedback(codec, x);
        Codec codec2 = Compressor.parse(name).bind(x, FIRST);
        ErrorFeedback resumed = new ErrorFeedback(codec2, x)) {
      x.upload(
          IntStream.range(0, 128)
              .mapToDouble(k -> new SharedRandom(3, Stream.TEST, k, 0).normal(0))
              .toArray());
      feedback.encode(x, 0);
      feedback.encode(x, 1);
      Map<String, DeviceMatrix> state = feedback.state();
      Snapshot.write(file, (Snapshot.Writer writer) -> state.forEach(writer::matrix));
      Snapshot.read(file, (Snapshot.Reader reader) -> resumed.state().forEach(reader::matrix));
      assertArrayEquals(
          feedback.encode(x, 2).words().toInts(), resumed.encode(x, 2).words().toInts());
      assertArrayEquals(feedback.residual().toFloats(), resumed.residual().toFloats());
    }
  }

  @Test
  void aResidualOfAnotherShapeIsRefused() {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 2, 8, DType.F32);
        DeviceMatrix wide = DeviceMatrix.allocate(queue, 2, 9, DType.F32);
        Codec codec = Compressor.parse("top-k:1").bind(x, FIRST);
        ErrorFeedback feedback = new ErrorFeedback(codec, x)) {
      String text =
          assertThrows(IllegalArgumentException.class, () -> feedback.encode(wide, 0)).getMessage();
      assertTrue(text.contains("2 x 8") && text.contains("2 x 9"), text);
    }
  }

  @Test
  void ef21KnowsAConstantGradientAfterFourMessages() {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix g = DeviceMatrix.row(queue, 4f, 3f, 2f, 1f);
        DeviceMatrix mean = g.like();
        Codec codec = Compressor.parse("top-k:1").bind(g, FIRST);
        Ef21 ef = new Ef21(codec, g)) {
      float[] values = {4, 3, 2, 1};
      for (int t = 0; t < 5; t++) {
        Messages sent = ef.encode(g, t);
        codec.decode(sent, mean);
        assertArrayEquals(t < 4 ? sparse(t, values[t]) : new float[4], mean.toFloats());
        ef.absorb(mean);
      }
      assertArrayEquals(g.toFloats(), ef.estimates().toFloats());
      assertArrayEquals(g.toFloats(), ef.mean().toFloats());
      assertArrayEquals(new double[] {0}, ef.residualNorms(g));
    }
  }

  @Test
  void ef21WithTheIdentityIsTheGradientItself() {
    try (Queue queue = TestDevice.chosen().newQueue();
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(2))).build();
        DeviceMatrix g = DeviceMatrix.of(queue, new float[][] {{4, 3, 2}, {-2, 5, 8}});
        DeviceMatrix mean = g.like(1, 3, DType.F32);
        Codec codec = Compressor.parse("identity").bind(g, FIRST);
        Ef21 ef = new Ef21(codec, g)) {
      for (int t = 0; t < 3; t++) {
        g.set(0, 0, t);
        network.round(t);
        network.average(ef.encode(g, t), mean);
        ef.absorb(mean);
        assertArrayEquals(g.toFloats(), ef.estimates().toFloats());
        assertArrayEquals(new float[] {(t - 2) / 2f, 4, 5}, ef.mean().toFloats());
      }
    }
  }

  private static Codec oneAfterTheOther(DeviceMatrix g) {
    return SparseCodec.of(
        new RandomK(new Amount(1), true, false),
        g,
        FIRST,
        (node, round) -> new int[] {(int) (round % 4)});
  }

  @Test
  void dianaLearnsAFixedGradientInFourSteps() {
    float[][] expected = {
      {16, 0, 0, 0}, {4, 12, 0, 0}, {4, 3, 8, 0}, {4, 3, 2, 4}, {4, 3, 2, 1}, {4, 3, 2, 1}
    };
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix g = DeviceMatrix.row(queue, 4f, 3f, 2f, 1f);
        DeviceMatrix mean = g.like();
        DeviceMatrix estimate = g.like();
        Codec codec = oneAfterTheOther(g);
        Diana diana = new Diana(codec, g)) {
      assertEquals(0.25, diana.alpha());
      for (int t = 0; t < expected.length; t++) {
        codec.decode(diana.encode(g, t), mean);
        diana.estimate(mean, estimate);
        assertArrayEquals(expected[t], estimate.toFloats(), "step " + t);
        diana.absorb(mean);
      }
      assertArrayEquals(g.toFloats(), diana.shifts().toFloats());
      assertArrayEquals(g.toFloats(), diana.mean().toFloats());
    }
  }

  @Test
  void dianaWithoutLearningSendsTheCompressedGradient() {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix g = DeviceMatrix.row(queue, 4f, 3f, 2f, 1f);
        DeviceMatrix mean = g.like();
        DeviceMatrix estimate = g.like();
        Codec codec = oneAfterTheOther(g);
        Diana diana = new Diana(codec, g, OptionalDouble.of(0));
        Codec same = Compressor.parse("identity").bind(g, FIRST);
        Diana plain = new Diana(same, g)) {
      float[] values = {16, 12, 8, 4};
      for (int t = 0; t < 4; t++) {
        codec.decode(diana.encode(g, t), mean);
        diana.estimate(mean, estimate);
        assertArrayEquals(sparse(t, values[t]), estimate.toFloats());
        diana.absorb(mean);
      }
      assertEquals(1, plain.alpha());
      same.decode(plain.encode(g, 0), mean);
      plain.estimate(mean, estimate);
      assertArrayEquals(g.toFloats(), estimate.toFloats());
    }
  }

  @Test
  void dianaRefusesWhatIsNotUnbiased() {
    try (Queue queue = TestDevice.chosen().newQueue();
        DeviceMatrix g = DeviceMatrix.row(queue, 4f, 3f, 2f, 1f);
        Codec top = Compressor.parse("top-k:1").bind(g, FIRST);
        Codec random = Compressor.parse("random-k:1").bind(g, FIRST)) {
      assertTrue(
          assertThrows(IllegalArgumentException.class, () -> new Diana(top, g))
              .getMessage()
              .contains("top-k:1 is not unbiased"));
      assertTrue(
          assertThrows(
                  IllegalArgumentException.class,
                  () -> new Diana(random, g, OptionalDouble.of(1.5)))
              .getMessage()
              .contains("1.5"));
    }
  }

  /** grad f_i(x) of f_i(x) = (a_i x)^2 + |x|^2 / 4, at one x for all nodes. */
  private static float[] gradients(float[] x, double factor) {
    double[][] a = {{-3, 2, 2}, {2, -3, 2}, {2, 2, -3}};
    float[] g = new float[9];
    for (int i = 0; i < 3; i++) {
      double dot = a[i][0] * x[0] + a[i][1] * x[1] + a[i][2] * x[2];
      for (int c = 0; c < 3; c++) {
        g[3 * i + c] = (float) (factor * (2 * dot * a[i][c] + x[c] / 2));
      }
    }
    return g;
  }

  private static double norm(float[] x) {
    return Math.sqrt((double) x[0] * x[0] + (double) x[1] * x[1] + (double) x[2] * x[2]);
  }

  @Test
  void topOneDivergesWithoutFeedbackAndConvergesWithIt() {
    try (Queue queue = TestDevice.chosen().newQueue();
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(3))).build();
        DeviceMatrix g = DeviceMatrix.allocate(queue, 3, 3, DType.F32);
        DeviceMatrix mean = g.like(1, 3, DType.F32);
        DeviceMatrix x = DeviceMatrix.row(queue, 1f, 1f, 1f);
        Codec codec = Compressor.parse("top-k:1").bind(g, FIRST);
        Messages messages = codec.messages();
        ErrorFeedback feedback = new ErrorFeedback(codec, g);
        Ef21 ef = new Ef21(codec, g)) {
      for (int t = 0; t < 5; t++) {
        g.upload(gradients(x.toFloats(), 1));
        codec.encode(g, messages, t);
        network.average(messages, mean);
        Mixing.combine(Expression.outer(x).plusOuter(-0.1, mean), x);
      }
      // (1 + 11 eta / 6)^5 in five steps of three roundings each.
      assertEquals(2.3202537950, x.toFloats()[0], 2.4 * 15 * 0x1p-24);
      x.upload(new float[] {1, 1, 1});
      for (int t = 0; t < 2000; t++) {
        g.upload(gradients(x.toFloats(), 0.02));
        network.average(feedback.encode(g, t), mean);
        Mixing.combine(Expression.outer(x).plusOuter(-1, mean), x);
      }
      assertTrue(norm(x.toFloats()) < 1e-6, "EF: " + norm(x.toFloats()));
      x.upload(new float[] {1, 1, 1});
      for (int t = 0; t < 2000; t++) {
        Mixing.combine(Expression.outer(x).plusOuter(-0.005, ef.mean()), x);
        g.upload(gradients(x.toFloats(), 1));
        network.average(ef.encode(g, t), mean);
        ef.absorb(mean);
      }
      assertTrue(norm(x.toFloats()) < 1e-3, "EF21: " + norm(x.toFloats()));
    }
  }

  @Test
  void theVirtualIterateOfErrorFeedbackMovesAsSgdDoes() {
    // Small integers and powers of two: every sum is exact.
    try (Queue queue = TestDevice.chosen().newQueue();
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(2))).build();
        DeviceMatrix g = DeviceMatrix.allocate(queue, 2, 8, DType.F32);
        DeviceMatrix mean = g.like(1, 8, DType.F32);
        Codec codec = Compressor.parse("top-k:2").bind(g, FIRST);
        ErrorFeedback feedback = new ErrorFeedback(codec, g)) {
      double[] moved = new double[8];
      double[] sgd = new double[8];
      for (int t = 0; t < 30; t++) {
        double[] values = new double[16];
        for (int k = 0; k < 16; k++) {
          values[k] = new SharedRandom(5, Stream.TEST, k, t).below(0, 65) - 32;
          sgd[k % 8] += values[k] / 2;
        }
        g.upload(values);
        network.round(t);
        network.average(feedback.encode(g, Optional.empty(), t), mean);
        double[] step = mean.toDoubles();
        double[] e = feedback.residual().toDoubles();
        for (int c = 0; c < 8; c++) {
          moved[c] += step[c];
          assertEquals(sgd[c], moved[c] + (e[c] + e[8 + c]) / 2);
        }
      }
    }
  }
}
