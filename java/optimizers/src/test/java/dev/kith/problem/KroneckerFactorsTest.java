package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Kronecker factors are means of outer products over the examples. */
class KroneckerFactorsTest {
  private static final int FEATURES = 4;
  private static final int HIDDEN = 5;
  private static final int CLASSES = 3;
  private static final int SAMPLES = 12;

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private static ClassificationData data() {
    float[] values = new float[SAMPLES * FEATURES];
    int[] labels = new int[SAMPLES];
    for (int k = 0; k < values.length; k++) {
      labels[k / FEATURES] = k / FEATURES % CLASSES;
      values[k] = (float) Math.sin(1.3 * k);
    }
    return ClassificationData.of("waves", FEATURES, CLASSES, values, labels);
  }

  private MultilayerPerceptron problem() {
    int[] mine = {0, 2, 3, 5, 7, 8, 11};
    return MultilayerPerceptron.builder(queue, data(), new int[][] {mine, {}, {1, 4}}, HIDDEN)
        .batch(0)
        .dtype(DType.F64)
        .build();
  }

  /** What a layer sees of an example: its input with a 1, and the gradient behind it. */
  private static double[][][] seen(double[] x, int sample) {
    ClassificationData data = data();
    double[] input = new double[FEATURES + 1];
    for (int j = 0; j < FEATURES; j++) {
      input[j] = data.value(sample, j);
    }
    input[FEATURES] = 1;
    double[] hidden = new double[HIDDEN + 1];
    hidden[HIDDEN] = 1;
    for (int i = 0; i < HIDDEN; i++) {
      double s = x[HIDDEN * FEATURES + i];
      for (int j = 0; j < FEATURES; j++) {
        s += x[i * FEATURES + j] * input[j];
      }
      hidden[i] = Math.max(0, s);
    }
    int at = HIDDEN * (FEATURES + 1);
    double[] p = new double[CLASSES];
    for (int c = 0; c < CLASSES; c++) {
      double s = x[at + CLASSES * HIDDEN + c];
      for (int i = 0; i < HIDDEN; i++) {
        s += x[at + c * HIDDEN + i] * hidden[i];
      }
      p[c] = Math.exp(s);
    }
    double total = Arrays.stream(p).sum();
    for (int c = 0; c < CLASSES; c++) {
      p[c] = p[c] / total - (c == data.label(sample) ? 1 : 0);
    }
    double[] back = new double[HIDDEN];
    for (int i = 0; i < HIDDEN; i++) {
      for (int c = 0; c < CLASSES; c++) {
        back[i] += hidden[i] > 0 ? x[at + c * HIDDEN + i] * p[c] : 0;
      }
    }
    return new double[][][] {{input, back}, {hidden, p}};
  }

  private static double[] expected(double[] x, Layout layout, int... samples) {
    double[] factors = new double[(int) layout.size()];
    for (int sample : samples) {
      double[][][] layers = seen(x, sample);
      for (int t = 0; t < 4; t++) {
        double[] v = layers[t / 2][t % 2];
        int at = (int) layout.tensors().get(t).offset();
        for (int i = 0; i < v.length; i++) {
          for (int j = 0; j < v.length; j++) {
            factors[at + i * v.length + j] += v[i] * v[j] / samples.length;
          }
        }
      }
    }
    return factors;
  }

  @Test
  void factorsAreMeansOfOuterProducts() {
    try (MultilayerPerceptron problem = problem();
        DeviceMatrix x = problem.initialOfEachNode(4);
        DeviceMatrix factors = x.like(3, problem.factorLayout().size(), DType.F64)) {
      factors.fill(7);
      problem.kroneckerFactors(x, factors, false, 0);
      double[] actual = factors.toDoubles();
      double[] at = x.toDoubles();
      int d = (int) x.cols();
      int size = (int) factors.cols();
      Layout layout = problem.factorLayout();
      assertArrayEquals(
          expected(Arrays.copyOf(at, d), layout, 0, 2, 3, 5, 7, 8, 11),
          Arrays.copyOf(actual, size),
          1e-13);
      assertArrayEquals(new double[size], Arrays.copyOfRange(actual, size, 2 * size));
      assertArrayEquals(
          expected(Arrays.copyOfRange(at, 2 * d, 3 * d), layout, 1, 4),
          Arrays.copyOfRange(actual, 2 * size, 3 * size),
          1e-13);
    }
  }

  /** The labels matter to the outputs' factors alone, and are drawn anew in every round. */
  @Test
  void drawnLabelsChangeWhatComesBack() {
    try (MultilayerPerceptron problem = problem();
        DeviceMatrix x = problem.initialOfEachNode(4);
        DeviceMatrix factors = x.like(3, problem.factorLayout().size(), DType.F64)) {
      double[][] runs = new double[4][];
      long[] rounds = {0, 0, 0, 1};
      for (int k = 0; k < 4; k++) {
        problem.kroneckerFactors(x, factors, k > 0, rounds[k]);
        runs[k] = factors.toDoubles();
      }
      assertArrayEquals(runs[1], runs[2]);
      for (Layout.Tensor tensor : problem.factorLayout().tensors()) {
        int at = (int) tensor.offset();
        int end = at + (int) tensor.size();
        double[] given = Arrays.copyOfRange(runs[0], at, end);
        double[] drawn = Arrays.copyOfRange(runs[1], at, end);
        boolean outputs = tensor.name().endsWith(".outputs");
        assertEquals(!outputs, Arrays.equals(given, drawn), tensor.name());
        assertEquals(
            !outputs, Arrays.equals(Arrays.copyOfRange(runs[3], at, end), drawn), tensor.name());
      }
    }
  }

  @Test
  void factorsOfAnotherShapeAreRefused() {
    try (MultilayerPerceptron problem = problem();
        DeviceMatrix x = problem.initialOfEachNode(4);
        DeviceMatrix factors = x.like(3, 7, DType.F64)) {
      assertThrows(
          IllegalArgumentException.class, () -> problem.kroneckerFactors(x, factors, false, 0));
    }
  }
}
