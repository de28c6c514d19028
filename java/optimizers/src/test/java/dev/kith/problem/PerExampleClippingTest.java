package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.TestDevice;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Sums of clipped gradients, against gradients of single examples in obvious loops. */
class PerExampleClippingTest {
  private static final int FEATURES = 7;
  private static final int CLASSES = 4;
  private static final int[][] PARTS = {
    {0, 3, 5, 8}, {}, {1, 2, 4, 6, 7}, {9, 10, 11, 12, 13}, {14}
  };
  private static final long SEED = 12;

  private final ClassificationData data = random();
  private Queue queue;

  @BeforeEach
  void open() {
    queue = TestDevice.chosen().newQueue();
  }

  @AfterEach
  void close() {
    queue.close();
  }

  /** Examples of very different sizes, so that some gradients are longer than the bound. */
  private static ClassificationData random() {
    SharedRandom random = new SharedRandom(SEED, Stream.TEST, 1, 0);
    float[] values = new float[15 * FEATURES];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (random.normal(i) * (1 + i / FEATURES % 4));
    }
    int[] labels = new int[15];
    Arrays.setAll(labels, i -> (int) random.below(i, CLASSES));
    return ClassificationData.of("random", FEATURES, CLASSES, values, labels);
  }

  private static int[] widths(String hidden) {
    return hidden.isEmpty()
        ? new int[0]
        : Arrays.stream(hidden.split("x")).mapToInt(Integer::parseInt).toArray();
  }

  private LayeredClassifier problem(
      String hidden, DType dtype, double regularization, int first, int count) {
    return hidden.isEmpty()
        ? SoftmaxRegression.builder(queue, data, PARTS)
            .dtype(dtype)
            .batch(0)
            .regularization(regularization)
            .nodes(first, count)
            .build()
        : MultilayerPerceptron.builder(queue, data, PARTS, widths(hidden))
            .dtype(dtype)
            .batch(0)
            .regularization(regularization)
            .nodes(first, count)
            .build();
  }

  private DeviceMatrix parameters(LayeredClassifier problem, DType dtype) {
    DeviceMatrix x = DeviceMatrix.allocate(queue, PARTS.length, problem.layout(), dtype);
    double[] values = new double[PARTS.length * (int) problem.layout().size()];
    SharedRandom random = new SharedRandom(SEED, Stream.TEST, 9, 0);
    Arrays.setAll(values, i -> 0.5 * random.normal(i));
    x.upload(values);
    return x;
  }

  private static double[] row(DeviceMatrix m, int i) {
    int cols = (int) m.cols();
    return Arrays.copyOfRange(m.toDoubles(), i * cols, (i + 1) * cols);
  }

  private static double norm(double[] v) {
    return Math.sqrt(Arrays.stream(v).map(a -> a * a).sum());
  }

  private static int[][] all() {
    return Arrays.stream(PARTS)
        .map(part -> IntStream.range(0, part.length).toArray())
        .toArray(int[][]::new);
  }

  private static double[] sizes() {
    return Arrays.stream(PARTS).mapToDouble(part -> Math.max(1, part.length)).toArray();
  }

  /** The norms of all gradients of single examples at the parameters, over all nodes. */
  private double[] norms(PlainClassifier plain, DeviceMatrix x) {
    return IntStream.range(0, PARTS.length)
        .boxed()
        .flatMapToDouble(
            node ->
                Arrays.stream(PARTS[node])
                    .mapToDouble(e -> norm(plain.gradient(row(x, node), data, e))))
        .sorted()
        .toArray();
  }

  /**
   * With norms from the deltas and inputs of the layers the sum is that of gradients which were
   * formed one by one: for bounds below all norms, in the middle of them, and above.
   */
  @ParameterizedTest
  @CsvSource({
    "'', F64, 1e-12",
    "'5', F64, 1e-12",
    "'6x3', F64, 1e-12",
    "'', F32, 1e-5",
    "'6x3', F32, 1e-5"
  })
  void normsOfLayersAreThoseOfExplicitGradients(String hidden, DType dtype, double tolerance) {
    PlainClassifier plain = new PlainClassifier(FEATURES, widths(hidden), CLASSES);
    double[] divisors = {3, 1, 0.5, 10, 2};
    int[][] picked = {{0, 1, 3}, {}, {4}, {}, {0}};
    try (LayeredClassifier problem = problem(hidden, dtype, 0, 0, PARTS.length);
        DeviceMatrix x = parameters(problem, dtype);
        DeviceMatrix g = x.like()) {
      double[] norms = norms(plain, x);
      double middle = 0.5 * (norms[6] + norms[7]);
      for (double clip : new double[] {0.9 * norms[0], middle, 2 * norms[14]}) {
        g.fill(Double.NaN);
        problem.clippedGradient(x, g, picked, clip, divisors);
        for (int node = 0; node < PARTS.length; node++) {
          double[] expected = new double[(int) g.cols()];
          for (int e : picked[node]) {
            double[] one = plain.gradient(row(x, node), data, PARTS[node][e]);
            double factor = Math.min(1, clip / norm(one)) / divisors[node];
            Arrays.setAll(expected, k -> expected[k] + factor * one[k]);
          }
          // 2^-18 is the margin of the bound.
          double allowed = (tolerance + 0x1p-18) * Math.max(1, norm(expected));
          assertArrayEquals(expected, row(g, node), allowed, "node " + node + ", clip " + clip);
        }
      }
    }
  }

  /** What one example can add is at most C, in the floating-point numbers that are added. */
  @ParameterizedTest
  @ValueSource(strings = {"", "6x3"})
  void noExampleAddsMoreThanTheBound(String hidden) {
    try (LayeredClassifier problem = problem(hidden, DType.F32, 0, 0, PARTS.length);
        DeviceMatrix x = parameters(problem, DType.F32);
        DeviceMatrix g = x.like()) {
      for (double clip : new double[] {1e-3, 0.7, 3}) {
        for (int e = 0; e < 5; e++) {
          int[][] one = {{Math.min(e, 3)}, {}, {e}, {e}, {0}};
          problem.clippedGradient(x, g, one, clip, new double[] {1, 1, 1, 1, 1});
          for (int node = 0; node < PARTS.length; node++) {
            assertTrue(norm(row(g, node)) <= clip, "node " + node + ", clip " + clip);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"'', F64", "'6x3', F64", "'', F32", "'5', F32"})
  void withoutABoundItIsTheFullGradientBitForBit(String hidden, DType dtype) {
    try (LayeredClassifier problem = problem(hidden, dtype, 0.25, 0, PARTS.length);
        DeviceMatrix x = parameters(problem, dtype);
        DeviceMatrix full = x.like();
        DeviceMatrix g = x.like()) {
      problem.gradient(x, full, 0);
      problem.clippedGradient(x, g, all(), Double.POSITIVE_INFINITY, sizes());
      // Adding 0 makes both zeros the same.
      assertArrayEquals(
          Arrays.stream(full.toDoubles()).map(v -> v + 0.0).toArray(),
          Arrays.stream(g.toDoubles()).map(v -> v + 0.0).toArray());
    }
  }

  @Test
  void theRegularizationIsNeitherClippedNorDivided() {
    double lambda = 0.5;
    try (LayeredClassifier problem = problem("5", DType.F64, lambda, 0, PARTS.length);
        DeviceMatrix x = parameters(problem, DType.F64);
        DeviceMatrix g = x.like()) {
      problem.clippedGradient(x, g, new int[PARTS.length][0], 1e-9, sizes());
      double[] expected = Arrays.stream(x.toDoubles()).map(v -> lambda * v).toArray();
      assertArrayEquals(expected, g.toDoubles());
    }
  }

  @Test
  void aProcessWithAPartOfTheNodesComputesTheSameBits() {
    int[][] picked = {{0, 2}, {}, {0, 1, 4}, {1, 2, 3}, {0}};
    double[] divisors = {2, 1, 2.5, 2.5, 0.5};
    try (LayeredClassifier whole = problem("6x3", DType.F32, 0.1, 0, PARTS.length);
        LayeredClassifier part = problem("6x3", DType.F32, 0.1, 2, 2);
        DeviceMatrix x = parameters(whole, DType.F32);
        DeviceMatrix rows = x.rows(2, 4);
        DeviceMatrix g = x.like();
        DeviceMatrix own = x.like(2, x.cols(), DType.F32)) {
      whole.clippedGradient(x, g, picked, 0.8, divisors);
      part.clippedGradient(
          rows, own, Arrays.copyOfRange(picked, 2, 4), 0.8, Arrays.copyOfRange(divisors, 2, 4));
      for (int i = 0; i < 2; i++) {
        assertArrayEquals(row(g, i + 2), row(own, i));
      }
    }
  }

  /** A gradient without a finite norm must show, and not be clipped to nothing. */
  @Test
  void aNodeWhoseNumbersAreNotFiniteShowsIt() {
    try (LayeredClassifier problem = problem("5", DType.F32, 0, 0, PARTS.length);
        DeviceMatrix x = parameters(problem, DType.F32);
        DeviceMatrix g = x.like()) {
      x.set(2, 3, Double.NaN);
      problem.clippedGradient(x, g, all(), 0.5, sizes());
      for (int node : new int[] {0, 3, 4}) {
        assertTrue(Arrays.stream(row(g, node)).allMatch(Double::isFinite), "node " + node);
      }
      assertTrue(Arrays.stream(row(g, 2)).anyMatch(Double::isNaN));
    }
  }

  /**
   * 3e19 squared is not in the range of f32: no bound needs no norm, and a bound must not hide it.
   */
  @Test
  void gradientsWithoutAFiniteNormStayWhereNothingBoundsThem() {
    ClassificationData huge =
        ClassificationData.of("huge", 1, 2, new float[] {3e19f, 1}, new int[] {0, 1});
    int[][] parts = {{0, 1}};
    try (LayeredClassifier problem =
            SoftmaxRegression.builder(queue, huge, parts).batch(0).build();
        DeviceMatrix x = problem.initial(1);
        DeviceMatrix full = x.like();
        DeviceMatrix g = x.like()) {
      problem.gradient(x, full, 0);
      int[][] both = {{0, 1}};
      problem.clippedGradient(x, g, both, Double.POSITIVE_INFINITY, new double[] {2});
      assertTrue(Arrays.stream(full.toDoubles()).allMatch(Double::isFinite));
      assertArrayEquals(full.toDoubles(), g.toDoubles());
      problem.clippedGradient(x, g, both, 1, new double[] {2});
      assertTrue(Arrays.stream(g.toDoubles()).anyMatch(Double::isNaN));
    }
  }

  private static String refusal(Runnable call) {
    return assertThrows(IllegalArgumentException.class, call::run).getMessage();
  }

  @Test
  void wrongUseIsNamed() {
    try (LayeredClassifier problem = problem("", DType.F32, 0, 0, PARTS.length);
        DeviceMatrix x = parameters(problem, DType.F32);
        DeviceMatrix g = x.like()) {
      assertEquals(
          "the clip norm is 0.0: give a number above 0, or infinity for none",
          refusal(() -> problem.clippedGradient(x, g, all(), 0, sizes())));
      assertEquals(
          "the clip norm is NaN: give a number above 0, or infinity for none",
          refusal(() -> problem.clippedGradient(x, g, all(), Double.NaN, sizes())));
      assertEquals(
          "examples are picked for 1 rows and there are 5 divisors; this process has 5 nodes",
          refusal(() -> problem.clippedGradient(x, g, new int[1][0], 1, sizes())));
      int[][] twice = all();
      twice[2] = new int[] {0, 3, 3};
      assertEquals(
          "example 3 cannot be picked for row 2: give numbers below 5, each once, ascending",
          refusal(() -> problem.clippedGradient(x, g, twice, 1, sizes())));
      twice[2] = new int[] {5};
      assertEquals(
          "example 5 cannot be picked for row 2: give numbers below 5, each once, ascending",
          refusal(() -> problem.clippedGradient(x, g, twice, 1, sizes())));
      assertEquals(
          "the divisor of row 0 is 0.0: give a finite number above 0",
          refusal(() -> problem.clippedGradient(x, g, all(), 1, new double[5])));
    }
  }
}
