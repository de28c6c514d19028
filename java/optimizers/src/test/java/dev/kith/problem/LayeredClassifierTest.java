package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Softmax regression and perceptrons against {@link PlainClassifier}, and against differences of
 * their own values.
 */
class LayeredClassifierTest {
  private static final int FEATURES = 7;
  private static final int CLASSES = 4;
  private static final int[][] PARTS = {
    {0, 3, 5, 8}, {}, {1, 2, 4, 6, 7}, {9, 10, 11, 12, 13}, {14}
  };
  private static final long SEED = 11;

  private final ClassificationData data = random("train", 15, 1);
  private Queue queue;

  @BeforeEach
  void open() {
    queue = Device.cpu().newQueue();
  }

  @AfterEach
  void close() {
    queue.close();
    Device.cpu().threads(Math.min(2, Runtime.getRuntime().availableProcessors()));
  }

  private static ClassificationData random(String name, int samples, int node) {
    SharedRandom random = new SharedRandom(SEED, Stream.TEST, node, 0);
    float[] values = new float[samples * FEATURES];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.normal(i);
    }
    int[] labels = new int[samples];
    Arrays.setAll(labels, i -> (int) random.below(i, CLASSES));
    return ClassificationData.of(name, FEATURES, CLASSES, values, labels);
  }

  private LayeredClassifier problem(
      String hidden, DType dtype, int batch, ClassificationData test) {
    return settings(hidden, PARTS, dtype, batch, 0, test, 0, PARTS.length);
  }

  private LayeredClassifier settings(
      String hidden,
      int[][] parts,
      DType dtype,
      int batch,
      double regularization,
      ClassificationData test,
      int first,
      int count) {
    if (hidden.isEmpty()) {
      return SoftmaxRegression.builder(queue, data, parts)
          .dtype(dtype)
          .batch(batch)
          .seed(SEED)
          .regularization(regularization)
          .test(test)
          .nodes(first, count)
          .build();
    }
    return MultilayerPerceptron.builder(queue, data, parts, widths(hidden))
        .dtype(dtype)
        .batch(batch)
        .seed(SEED)
        .regularization(regularization)
        .test(test)
        .nodes(first, count)
        .build();
  }

  private static int[] widths(String hidden) {
    return hidden.isEmpty()
        ? new int[0]
        : Arrays.stream(hidden.split("x")).mapToInt(Integer::parseInt).toArray();
  }

  /** Different parameters at every node. */
  private DeviceMatrix parameters(LayeredClassifier problem, int rows, DType dtype) {
    DeviceMatrix x = DeviceMatrix.allocate(queue, rows, problem.layout(), dtype);
    double[] values = new double[rows * (int) problem.layout().size()];
    SharedRandom random = new SharedRandom(SEED, Stream.TEST, 9, 0);
    Arrays.setAll(values, i -> 0.5 * random.normal(i));
    x.upload(values);
    return x;
  }

  private static double[] row(DeviceMatrix m, int i) {
    int cols = (int) m.cols();
    return Arrays.copyOfRange(m.toDoubles(), i * cols, (i + 1) * cols);
  }

  /**
   * Samples that node i takes in a round, as the documentation of {@link LayeredClassifier} says.
   */
  private static int[] drawn(int node, long round, int batch) {
    SharedRandom random = new SharedRandom(SEED, Stream.BATCH, node, round);
    int[] samples = new int[batch];
    Arrays.setAll(samples, k -> PARTS[node][(int) random.below(k, PARTS[node].length)]);
    return samples;
  }

  @ParameterizedTest
  @CsvSource({
    "'', F64, 1e-13",
    "'5', F64, 1e-13",
    "'6x3', F64, 1e-13",
    "'', F32, 2e-5",
    "'6x3', F32, 2e-5"
  })
  void miniBatchGradientsEqualThePlainLoops(String hidden, DType dtype, double tolerance) {
    // F32: sums of at most 7 products of numbers below 10, each rounded to 2^-24 of its size,
    // through three layers.
    PlainClassifier plain = new PlainClassifier(FEATURES, widths(hidden), CLASSES);
    try (LayeredClassifier problem = problem(hidden, dtype, 3, data);
        DeviceMatrix x = parameters(problem, PARTS.length, dtype);
        DeviceMatrix g = x.like()) {
      for (long round = 0; round < 3; round++) {
        g.fill(Double.NaN);
        problem.gradient(x, g, round);
        for (int node = 0; node < PARTS.length; node++) {
          double[] expected =
              PARTS[node].length == 0
                  ? new double[(int) g.cols()]
                  : plain.gradient(row(x, node), data, drawn(node, round, 3));
          assertArrayEquals(expected, row(g, node), tolerance, "node " + node);
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"'', F64, 1e-13", "'6x3', F64, 1e-13", "'5', F32, 2e-5"})
  void fullGradientsAndValuesEqualThePlainLoops(String hidden, DType dtype, double tolerance) {
    PlainClassifier plain = new PlainClassifier(FEATURES, widths(hidden), CLASSES);
    double lambda = 0.25;
    try (LayeredClassifier problem =
            settings(hidden, PARTS, dtype, 0, lambda, data, 0, PARTS.length);
        DeviceMatrix x = parameters(problem, PARTS.length, dtype);
        DeviceMatrix g = x.like();
        DeviceMatrix out = x.like(1, PARTS.length, DType.F64)) {
      problem.gradient(x, g, 0);
      problem.values(x, out);
      for (int node = 0; node < PARTS.length; node++) {
        double[] at = row(x, node);
        double[] expected = new double[at.length];
        double value = 0;
        if (PARTS[node].length > 0) {
          expected = plain.gradient(at, data, PARTS[node]);
          value = plain.loss(at, data, PARTS[node]);
        }
        // A node without data has the regulariser too.
        value += 0.5 * lambda * Arrays.stream(at).map(v -> v * v).sum();
        for (int k = 0; k < at.length; k++) {
          expected[k] += lambda * at[k];
        }
        assertArrayEquals(expected, row(g, node), tolerance, "node " + node);
        assertEquals(value, out.toDoubles()[node], Math.max(1, value) * tolerance);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "5", "6x3"})
  void gradientsAreTheDifferencesOfValues(String hidden) {
    try (LayeredClassifier problem =
            settings(hidden, PARTS, DType.F64, 0, 0.1, data, 0, PARTS.length);
        DeviceMatrix x = parameters(problem, PARTS.length, DType.F64);
        DeviceMatrix g = x.like();
        DeviceMatrix out = x.like(1, PARTS.length, DType.F64)) {
      problem.gradient(x, g, 0);
      double h = 1e-6;
      for (int k = 0; k < x.cols(); k++) {
        double[][] values = new double[2][];
        for (int side = 0; side < 2; side++) {
          for (int node = 0; node < PARTS.length; node++) {
            x.set(node, k, x.get(node, k) + (side == 0 ? h : -2 * h));
          }
          problem.values(x, out);
          values[side] = out.toDoubles();
        }
        for (int node = 0; node < PARTS.length; node++) {
          x.set(node, k, x.get(node, k) + h);
          // Central differences: h^2 from the third derivative, 1e-16 / h from rounding.
          double expected = (values[0][node] - values[1][node]) / (2 * h);
          assertEquals(expected, g.get(node, k), 1e-8, "node " + node + ", parameter " + k);
        }
      }
    }
  }

  @Test
  void oneRowStandsForEveryNode() {
    try (LayeredClassifier problem = problem("5", DType.F64, 2, data);
        DeviceMatrix x = parameters(problem, 1, DType.F64);
        DeviceMatrix all = x.like(PARTS.length, x.cols(), DType.F64);
        DeviceMatrix shared = x.like(1, PARTS.length, DType.F64);
        DeviceMatrix each = shared.like()) {
      for (int node = 0; node < PARTS.length; node++) {
        try (DeviceMatrix row = all.row(node)) {
          row.copyFrom(x);
        }
      }
      problem.values(x, shared);
      problem.values(all, each);
      assertArrayEquals(each.toDoubles(), shared.toDoubles(), 1e-14);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "'', F64, 3, 1e-12",
    "'6x3', F64, 3, 1e-12",
    "'5', F32, 4, 1e-5",
    "'5', F64, 1, 1e-12"
  })
  void evaluationEqualsThePlainLoopsOverSeveralBlocks(
      String hidden, DType dtype, int models, double tolerance) {
    ClassificationData test = random("test", 2500, 2);
    int[] all = new int[2500];
    Arrays.setAll(all, i -> i);
    PlainClassifier plain = new PlainClassifier(FEATURES, widths(hidden), CLASSES);
    try (LayeredClassifier problem = problem(hidden, dtype, 2, test);
        DeviceMatrix x = parameters(problem, models, dtype)) {
      Evaluation evaluation = problem.evaluate(x);
      for (int i = 0; i < models; i++) {
        assertEquals(plain.loss(row(x, i), test, all), evaluation.loss()[i], tolerance);
        // In F32 a logit that ties with another to the last bit may fall on either side: one sample
        // in 2,500.
        assertEquals(
            plain.accuracy(row(x, i), test, all),
            evaluation.accuracy()[i],
            dtype == DType.F64 ? 0 : 1.0 / 2500);
      }
    }
  }

  @Test
  void bitsDoNotDependOnTheNumberOfThreads() {
    ClassificationData test = random("test", 1200, 2);
    double[][] gradients = new double[3][];
    double[][] values = new double[3][];
    Evaluation[] evaluations = new Evaluation[3];
    for (int threads = 1; threads <= 3; threads++) {
      Device.cpu().threads(threads);
      try (LayeredClassifier problem = problem("32x16", DType.F32, 8, test);
          DeviceMatrix x = parameters(problem, PARTS.length, DType.F32);
          DeviceMatrix g = x.like();
          DeviceMatrix out = x.like(1, PARTS.length, DType.F64)) {
        problem.gradient(x, g, 4);
        problem.values(x, out);
        gradients[threads - 1] = g.toDoubles();
        values[threads - 1] = out.toDoubles();
        evaluations[threads - 1] = problem.evaluate(x);
      }
    }
    for (int other = 1; other < 3; other++) {
      assertArrayEquals(gradients[0], gradients[other]);
      assertArrayEquals(values[0], values[other]);
      assertEquals(evaluations[0], evaluations[other]);
    }
  }

  @Test
  void aProcessWithAPartOfTheNodesComputesTheSameBits() {
    try (LayeredClassifier whole = problem("5", DType.F32, 3, data);
        LayeredClassifier part = settings("5", PARTS, DType.F32, 3, 0, data, 2, 3);
        DeviceMatrix x = parameters(whole, PARTS.length, DType.F32);
        DeviceMatrix rows = x.rows(2, 5);
        DeviceMatrix g = x.like();
        DeviceMatrix own = x.like(3, x.cols(), DType.F32);
        DeviceMatrix values = x.like(1, PARTS.length, DType.F64);
        DeviceMatrix ownValues = x.like(1, 3, DType.F64)) {
      whole.gradient(x, g, 7);
      part.gradient(rows, own, 7);
      whole.values(x, values);
      part.values(rows, ownValues);
      for (int i = 0; i < 3; i++) {
        assertArrayEquals(row(g, i + 2), row(own, i));
        assertEquals(values.toDoubles()[i + 2], ownValues.toDoubles()[i]);
      }
    }
  }

  @Test
  void startsHaveTheVariancesOfHeAndGlorot() {
    int[][] parts = {{0}, {1}};
    try (LayeredClassifier problem =
            MultilayerPerceptron.builder(queue, data, parts, 400, 300).build();
        DeviceMatrix start = problem.initial(5);
        DeviceMatrix again = problem.initial(5);
        DeviceMatrix each = problem.initialOfEachNode(5)) {
      assertEquals(1, start.rows());
      assertArrayEquals(start.toDoubles(), again.toDoubles());
      assertArrayEquals(start.toDoubles(), row(each, 0));
      assertTrue(!Arrays.equals(row(each, 0), row(each, 1)), "nodes start apart");
      double[] x = start.toDoubles();
      double[] expected = {2.0 / FEATURES, 2.0 / 400, 2.0 / (300 + CLASSES)};
      for (int layer = 0; layer < 3; layer++) {
        Layout.Tensor weight = problem.layout().tensor("layer" + layer + ".weight");
        double squares = 0;
        for (long k = weight.offset(); k < weight.offset() + weight.size(); k++) {
          squares += x[(int) k] * x[(int) k];
        }
        double variance = squares / weight.size();
        // The sample variance of s normals has standard deviation variance sqrt(2 / s); five of
        // those.
        assertEquals(
            expected[layer], variance, expected[layer] * 5 * Math.sqrt(2.0 / weight.size()));
        Layout.Tensor bias = problem.layout().tensor("layer" + layer + ".bias");
        for (long k = bias.offset(); k < bias.offset() + bias.size(); k++) {
          assertEquals(0, x[(int) k]);
        }
      }
    }
    try (LayeredClassifier problem = SoftmaxRegression.builder(queue, data, parts).build();
        DeviceMatrix start = problem.initial(5)) {
      assertEquals(0, Arrays.stream(start.toDoubles()).map(Math::abs).sum());
    }
  }

  @Test
  void wrongUseIsNamed() {
    try (LayeredClassifier problem = problem("5", DType.F32, 3, data);
        DeviceMatrix wrong = DeviceMatrix.allocate(queue, PARTS.length, 3, DType.F32);
        DeviceMatrix f64 = parameters(problem, PARTS.length, DType.F64)) {
      assertThrows(IllegalArgumentException.class, () -> problem.gradient(wrong, wrong, 0));
      assertThrows(IllegalArgumentException.class, () -> problem.gradient(f64, f64, 0));
    }
    try (LayeredClassifier untested = SoftmaxRegression.builder(queue, data, PARTS).build();
        DeviceMatrix x = untested.initial(1)) {
      assertThrows(IllegalStateException.class, () -> untested.evaluate(x));
    }
    SoftmaxRegression.Builder builder = SoftmaxRegression.builder(queue, data, PARTS);
    assertThrows(IllegalArgumentException.class, () -> builder.batch(-1));
    assertThrows(IllegalArgumentException.class, () -> builder.dtype(DType.BF16));
    assertThrows(IllegalArgumentException.class, () -> builder.nodes(3, 3));
    assertThrows(IllegalArgumentException.class, () -> builder.regularization(Double.NaN));
    assertThrows(
        IllegalArgumentException.class,
        () -> builder.test(ClassificationData.of("t", 2, CLASSES, new float[2], new int[1])));
    assertEquals(
        "sample 15 of node 1 does not exist: the data have 15",
        assertThrows(
                IllegalArgumentException.class,
                () -> SoftmaxRegression.builder(queue, data, new int[][] {{0}, {15}}))
            .getMessage());
    assertThrows(
        IllegalArgumentException.class, () -> MultilayerPerceptron.builder(queue, data, PARTS));
  }
}
