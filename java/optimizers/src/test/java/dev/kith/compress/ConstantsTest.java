package dev.kith.compress;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntToDoubleFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The constants that compressors state, measured: E |C(x) - x|^2 / |x|^2 over many draws, and |E
 * C(x) - x| for the unbiased ones, on vectors of very different shapes.
 */
class ConstantsTest {
  private static final int D = 192;
  private static final int SAMPLES = 1024;
  private static final Layout LAYOUT = Layout.builder().tensor("w", "a", 12, 16).build();

  static List<String> names() {
    return Compressors.all();
  }

  private static float[] vector(IntToDoubleFunction value) {
    float[] x = new float[D];
    for (int c = 0; c < D; c++) {
      x[c] = (float) value.applyAsDouble(c);
    }
    return x;
  }

  private static Map<String, float[]> vectors() {
    SharedRandom random = new SharedRandom(11, Stream.TEST, 0, 0);
    Map<String, float[]> vectors = new LinkedHashMap<>();
    vectors.put("normal", vector(random::normal));
    vectors.put("heavy tails", vector(c -> Math.pow(random.normal(c), 5)));
    vectors.put("all equal", vector(c -> 3));
    vectors.put("alternating", vector(c -> c % 2 == 0 ? 1.5 : -1.5));
    vectors.put("one spike", vector(c -> c == 100 ? 1000 : 0.5 + random.uniform(c)));
    vectors.put("one number", vector(c -> c == 17 ? -3 : 0));
    vectors.put("geometric", vector(c -> Math.pow(0.9, c)));
    vectors.put("small", vector(c -> 1e-20 * random.normal(c)));
    return vectors;
  }

  /**
   * @param error mean of |C(x) - x|^2 / |x|^2
   * @param spread its standard error
   * @param bias |mean C(x) - x|^2 / |x|^2
   */
  private record Measured(double error, double spread, double bias) {}

  private static Measured measure(String name, float[] x) {
    // Nodes that draw in common are one sample a round.
    int nodes = name.endsWith(":common") ? 1 : 64;
    double[] ratios = new double[SAMPLES];
    double[] mean = new double[D];
    double size = 0;
    for (float value : x) {
      size += (double) value * value;
    }
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix rows = DeviceMatrix.allocate(queue, nodes, LAYOUT, DType.F32);
        DeviceMatrix y = rows.like();
        Codec codec = Compressor.parse(name).bind(rows, new Codec.Sender(0, 21, 0));
        Messages messages = codec.messages()) {
      for (int r = 0; r < nodes; r++) {
        try (DeviceMatrix row = rows.row(r)) {
          row.upload(x);
        }
      }
      for (int round = 0; round < SAMPLES / nodes; round++) {
        codec.encode(rows, messages, round);
        codec.decode(messages, y);
        float[] out = y.toFloats();
        for (int r = 0; r < nodes; r++) {
          double error = 0;
          for (int c = 0; c < D; c++) {
            double difference = (double) out[r * D + c] - x[c];
            error += difference * difference;
            mean[c] += out[r * D + c] / (double) SAMPLES;
          }
          ratios[round * nodes + r] = error / size;
        }
      }
    }
    double error = Arrays.stream(ratios).average().orElseThrow();
    double variance =
        Arrays.stream(ratios).map(e -> (e - error) * (e - error)).sum() / (SAMPLES - 1);
    double bias = 0;
    for (int c = 0; c < D; c++) {
      bias += (mean[c] - x[c]) * (mean[c] - x[c]) / size;
    }
    return new Measured(error, Math.sqrt(variance / SAMPLES), bias);
  }

  @ParameterizedTest
  @MethodSource("names")
  void whatIsLostIsAtMostWhatIsStated(String name, TestReporter reporter) {
    Constants constants = Compressor.parse(name).constants(D);
    List<String> report = new ArrayList<>();
    vectors()
        .forEach(
            (label, x) -> {
              Measured m = measure(name, x);
              report.add("%s %.3g".formatted(label, m.error()));
              // Five standard errors of the mean, and the roundings of f32.
              assertTrue(
                  m.error() <= constants.worstError() + 5 * m.spread() + 0x1p-22,
                  name + " on " + label + ": " + m + " against " + constants);
              if (constants.kind() == Constants.Kind.UNBIASED) {
                // The mean of N draws is off by sqrt(error / N); 5 times that in the norm is far
                // beyond chance for a sum of many coordinates, and certain for a biased one.
                assertTrue(
                    m.bias() <= 25 * m.error() / SAMPLES + 0x1p-40,
                    name + " is biased on " + label + ": " + m);
              }
            });
    reporter.publishEntry(name, constants + ": " + String.join(", ", report));
  }

  @Test
  void theBoundsThatAreReachedAreReached() {
    Map<String, float[]> vectors = vectors();
    // Equality for every x.
    for (float[] x : vectors.values()) {
      Measured m = measure("random-k:0.25", x);
      assertEquals(3, m.error(), 5 * m.spread() + 0x1p-20);
    }
    float[] equal = vectors.get("all equal");
    assertEquals(1 - 19.0 / D, measure("top-k:0.1", equal).error(), 0x1p-20);
    // Numbers of 1.5 become 1 or 2: a third of themselves is lost either way.
    assertEquals(0.125 * 8 / 9, measure("natural", vectors.get("alternating")).error(), 0x1p-20);
    // s = 1: E |C(x)|^2 = |x|_2 |x|_1.
    Measured one = measure("qsgd:1:block=row", equal);
    assertEquals(Math.sqrt(D) - 1, one.error(), 5 * one.spread() + 0x1p-20);
    assertEquals(
        1 - 1.0 / D, measure("scaled-sign:block=row", vectors.get("one number")).error(), 0x1p-20);
  }

  @Test
  void lowRankLosesAtMostTheRowAndNothingOfRankOne() {
    vectors()
        .forEach(
            (label, x) -> {
              // P P^T is a projection, up to the roundings of two sums of 12 and 16 products.
              assertTrue(measure("power-sgd:2", x).error() <= 1 + 64 * 0x1p-24, label);
              assertTrue(measure("power-sgd:2:cold", x).error() <= 1 + 64 * 0x1p-24, label);
            });
    Map<String, float[]> vectors = vectors();
    for (String label : List.of("all equal", "alternating", "one number")) {
      assertEquals(0, measure("power-sgd:2", vectors.get(label)).error(), 0x1p-36, label);
    }
    assertTrue(measure("power-sgd:2", vectors.get("normal")).error() > 0.1);
  }

  @Test
  void shortFloatsKeepTheirRelativeErrorWithinTheirRange() {
    float[] x = vector(c -> (c % 2 == 0 ? 1 : -1) * Math.pow(2, c / 16.0 - 5.5));
    assertTrue(measure("fp8-e4m3", x).error() <= 0x1p-8);
    assertTrue(measure("fp8-e5m2", x).error() <= 0x1p-6);
    assertTrue(measure("fp8-e4m3", x).error() > 0x1p-14, "and it is not exact");
  }
}
