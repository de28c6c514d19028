package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Reduction;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Products with Hessians and Gauss-Newton matrices: against differences of gradients, and against
 * dense matrices made in plain loops.
 */
class HessianVectorTest {
  private static final int FEATURES = 6;
  private static final int CLASSES = 4;
  private static final double LAMBDA = 0.25;
  private static final long SEED = 5;
  private static final int[][] PARTS = {{0, 3, 5}, {}, {1, 2, 4, 6}, {7, 8, 9, 10}, {11}};

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
    Device.cpu().threads(Math.min(2, Runtime.getRuntime().availableProcessors()));
  }

  private static ClassificationData data() {
    SharedRandom random = new SharedRandom(SEED, Stream.TEST, 1, 0);
    float[] values = new float[12 * FEATURES];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.normal(i);
    }
    int[] labels = new int[12];
    Arrays.setAll(labels, i -> (int) random.below(i, CLASSES));
    return ClassificationData.of("train", FEATURES, CLASSES, values, labels);
  }

  /** Nodes with 3, 1, 4, 4 and 2 records. */
  private static LogisticRegression.Builder logistic() {
    SharedRandom random = new SharedRandom(SEED, Stream.TEST, 2, 0);
    int[] counts = {3, 1, 4, 4, 2};
    double[][][] records = new double[5][][];
    double[][] labels = new double[5][];
    long index = 0;
    for (int i = 0; i < 5; i++) {
      records[i] = new double[counts[i]][FEATURES];
      labels[i] = new double[counts[i]];
      for (int j = 0; j < counts[i]; j++) {
        for (int c = 0; c < FEATURES; c++) {
          records[i][j][c] = random.normal(index++);
        }
        labels[i][j] = random.below(index, 2) == 0 ? -1 : 1;
      }
    }
    return LogisticRegression.of(records, labels).regularization(LAMBDA);
  }

  /** A problem of five nodes by name, or the nodes [from, to) of it. */
  private Problem problem(String name, DType dtype, int batch, int from, int to) {
    return switch (name) {
      case "logistic" -> logistic().batch(batch, SEED).nodes(from, to).build(queue, dtype);
      case "least-squares" -> {
        double[][] records = new double[5][FEATURES];
        for (int i = 0; i < 5; i++) {
          for (int c = 0; c < FEATURES; c++) {
            records[i][c] = Math.cos(i + 2.3 * c);
          }
        }
        yield LeastSquares.of(records, new double[] {1, 2, 3, 4, 5})
            .nodes(from, to)
            .build(queue, dtype);
      }
      case "softmax" ->
          SoftmaxRegression.builder(queue, data(), PARTS)
              .dtype(dtype)
              .batch(batch)
              .seed(SEED)
              .regularization(LAMBDA)
              .nodes(from, to - from)
              .build();
      default ->
          MultilayerPerceptron.builder(
                  queue,
                  data(),
                  PARTS,
                  Arrays.stream(name.split("x")).mapToInt(Integer::parseInt).toArray())
              .dtype(dtype)
              .batch(batch)
              .seed(SEED)
              .regularization(LAMBDA)
              .nodes(from, to - from)
              .build();
    };
  }

  private DeviceMatrix random(Problem problem, int rows, DType dtype, int which, double scale) {
    DeviceMatrix m = DeviceMatrix.allocate(queue, rows, problem.layout(), dtype);
    SharedRandom random = new SharedRandom(SEED, Stream.TEST, 10 + which, 0);
    double[] values = new double[Math.toIntExact(rows * m.cols())];
    Arrays.setAll(values, i -> scale * random.normal(i));
    m.upload(values);
    return m;
  }

  private static double[] row(DeviceMatrix m, int i) {
    int cols = (int) m.cols();
    return Arrays.copyOfRange(m.toDoubles(), i * cols, (i + 1) * cols);
  }

  @ParameterizedTest
  @ValueSource(strings = {"logistic", "least-squares", "softmax", "5", "6x3"})
  void productsAreDifferencesOfGradients(String name) {
    for (int batch : new int[] {0, 3}) {
      try (Problem problem = problem(name, DType.F64, batch, 0, 5);
          DeviceMatrix x = random(problem, 5, DType.F64, 0, 0.5);
          DeviceMatrix v = random(problem, 5, DType.F64, 1, 1);
          DeviceMatrix exact = x.like();
          DeviceMatrix differenced = x.like()) {
        HessianVector curvature = (HessianVector) problem;
        for (long round = 0; round < 3; round++) {
          exact.fill(Double.NaN);
          curvature.hessianVector(x, v, exact, round);
          DifferencedHessian.of(problem).hessianVector(x, v, differenced, round);
          // h = 6e-6 (1 + |x|) / |v| is near 3e-6: h^2 / 6 times a third derivative below 1000
          // |v|^3, and eps |g| / h with |g| below 20.
          assertArrayEquals(differenced.toDoubles(), exact.toDoubles(), 1e-8, name + " " + batch);
        }
        if (batch == 0) {
          DeviceMatrix full = differenced;
          curvature.hessianVector(x, v, full);
          assertArrayEquals(exact.toDoubles(), full.toDoubles(), "a batch of 0 is all samples");
        }
      }
    }
  }

  @Test
  void theLogisticHessianEqualsItsDenseMatrix() {
    LogisticRegression.Builder builder = logistic();
    try (LogisticRegression problem = builder.build(queue, DType.F64);
        DeviceMatrix x = random(problem, 5, DType.F64, 0, 1);
        DeviceMatrix v = random(problem, 5, DType.F64, 1, 1);
        DeviceMatrix out = x.like();
        DeviceMatrix g = x.like();
        DeviceMatrix values = x.like(1, 5, DType.F64)) {
      problem.hessianVector(x, v, out);
      problem.gradient(x, g, 0);
      problem.values(x, values);
      for (int node = 0; node < 5; node++) {
        double[] w = row(x, node);
        double[] u = row(v, node);
        double[] product = Arrays.stream(u).map(c -> LAMBDA * c).toArray();
        double[] gradient = Arrays.stream(w).map(c -> LAMBDA * c).toArray();
        double value = LAMBDA / 2 * dot(w, w);
        double[][] records = records(node);
        double[] labels = labels(node);
        for (int j = 0; j < records.length; j++) {
          double[] a = records[j];
          double s = 1 / (1 + Math.exp(-dot(a, w)));
          for (int c = 0; c < FEATURES; c++) {
            product[c] += s * (1 - s) * dot(a, u) * a[c] / records.length;
            gradient[c] += (s - (labels[j] > 0 ? 1 : 0)) * a[c] / records.length;
          }
          value += Math.log1p(Math.exp(-labels[j] * dot(a, w))) / records.length;
        }
        // Sums of at most six products of numbers below 10, exponentials off by two ulp.
        assertArrayEquals(product, row(out, node), 1e-13);
        assertArrayEquals(gradient, row(g, node), 1e-13);
        assertEquals(value, values.get(0, node), 1e-13);
      }
    }
  }

  /** What {@link #logistic} made. */
  private static double[][] records(int node) {
    int[] counts = {3, 1, 4, 4, 2};
    SharedRandom random = new SharedRandom(SEED, Stream.TEST, 2, 0);
    long index = 0;
    for (int i = 0; i < node; i++) {
      index += (long) counts[i] * FEATURES;
    }
    double[][] records = new double[counts[node]][FEATURES];
    for (double[] record : records) {
      for (int c = 0; c < FEATURES; c++) {
        record[c] = random.normal(index++);
      }
    }
    return records;
  }

  private static double[] labels(int node) {
    int[] counts = {3, 1, 4, 4, 2};
    SharedRandom random = new SharedRandom(SEED, Stream.TEST, 2, 0);
    long before = 0;
    for (int i = 0; i < node; i++) {
      before += counts[i];
    }
    double[] labels = new double[counts[node]];
    for (int j = 0; j < labels.length; j++) {
      labels[j] = random.below((before + j + 1) * FEATURES, 2) == 0 ? -1 : 1;
    }
    return labels;
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int c = 0; c < a.length; c++) {
      sum += a[c] * b[c];
    }
    return sum;
  }

  @ParameterizedTest
  @ValueSource(strings = {"softmax", "5", "6x3"})
  void gaussNewtonIsJacobianTimesSoftmaxCurvatureTimesJacobian(String name) {
    ClassificationData data = data();
    int[] widths =
        name.equals("softmax")
            ? new int[0]
            : Arrays.stream(name.split("x")).mapToInt(Integer::parseInt).toArray();
    PlainClassifier plain = new PlainClassifier(FEATURES, widths, CLASSES);
    try (Problem problem = problem(name, DType.F64, 0, 0, 5);
        DeviceMatrix x = random(problem, 5, DType.F64, 0, 0.5);
        DeviceMatrix v = random(problem, 5, DType.F64, 1, 1);
        DeviceMatrix out = x.like()) {
      ((GaussNewtonVector) problem).gaussNewtonVector(x, v, out);
      for (int node = 0; node < 5; node++) {
        double[] expected = new double[(int) x.cols()];
        if (PARTS[node].length > 0) {
          expected = plain.gaussNewton(row(x, node), row(v, node), data, PARTS[node]);
        }
        for (int k = 0; k < expected.length; k++) {
          expected[k] += LAMBDA * row(v, node)[k];
        }
        // Three layers of at most seven products of numbers below 10.
        assertArrayEquals(expected, row(out, node), 1e-12, "node " + node);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"logistic", "least-squares", "softmax"})
  void withoutHiddenLayersGaussNewtonIsTheHessian(String name) {
    try (Problem problem = problem(name, DType.F64, 3, 0, 5);
        DeviceMatrix x = random(problem, 5, DType.F64, 0, 0.5);
        DeviceMatrix v = random(problem, 5, DType.F64, 1, 1);
        DeviceMatrix a = x.like();
        DeviceMatrix b = x.like()) {
      ((HessianVector) problem).hessianVector(x, v, a, 4);
      ((GaussNewtonVector) problem).gaussNewtonVector(x, v, b, 4);
      assertArrayEquals(a.toDoubles(), b.toDoubles());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"logistic", "least-squares", "softmax", "5", "6x3"})
  void productsAreSymmetricAndGaussNewtonIsNotNegative(String name) {
    try (Problem problem = problem(name, DType.F64, 0, 0, 5);
        DeviceMatrix x = random(problem, 5, DType.F64, 0, 0.5);
        DeviceMatrix u = random(problem, 5, DType.F64, 1, 1);
        DeviceMatrix v = random(problem, 5, DType.F64, 2, 1);
        DeviceMatrix hu = x.like();
        DeviceMatrix hv = x.like()) {
      HessianVector h = (HessianVector) problem;
      h.hessianVector(x, u, hu);
      h.hessianVector(x, v, hv);
      // Sums of up to 70 products of numbers below 30.
      assertArrayEquals(Reduction.dots(v, hu), Reduction.dots(u, hv), 1e-11);
      ((GaussNewtonVector) problem).gaussNewtonVector(x, u, hu);
      for (double curvature : Reduction.dots(u, hu)) {
        assertTrue(curvature >= 0, "curvature " + curvature);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"logistic", "least-squares", "softmax", "5", "6x3"})
  void singlePrecisionStaysNearDouble(String name) {
    try (Problem wide = problem(name, DType.F64, 3, 0, 5);
        Problem narrow = problem(name, DType.F32, 3, 0, 5);
        DeviceMatrix x = random(wide, 5, DType.F64, 0, 0.5);
        DeviceMatrix v = random(wide, 5, DType.F64, 1, 1);
        DeviceMatrix out = x.like();
        DeviceMatrix x32 = random(narrow, 5, DType.F32, 0, 0.5);
        DeviceMatrix v32 = random(narrow, 5, DType.F32, 1, 1);
        DeviceMatrix out32 = x32.like()) {
      ((HessianVector) wide).hessianVector(x, v, out, 2);
      ((HessianVector) narrow).hessianVector(x32, v32, out32, 2);
      // Some tens of roundings of 2^-24 of numbers below 30, through three layers twice.
      assertArrayEquals(out.toDoubles(), out32.toDoubles(), 2e-4);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"logistic", "least-squares", "softmax", "6x3"})
  void aPartOfTheNodesAndAnyNumberOfThreadsGiveTheSameBits(String name) {
    double[] expected = null;
    for (int threads = 1; threads <= 3; threads++) {
      Device.cpu().threads(threads);
      try (Problem whole = problem(name, DType.F32, 3, 0, 5);
          Problem part = problem(name, DType.F32, 3, 2, 5);
          DeviceMatrix x = random(whole, 5, DType.F32, 0, 0.5);
          DeviceMatrix v = random(whole, 5, DType.F32, 1, 1);
          DeviceMatrix out = x.like();
          DeviceMatrix someX = x.rows(2, 5);
          DeviceMatrix someV = v.rows(2, 5);
          DeviceMatrix some = someX.like()) {
        ((HessianVector) whole).hessianVector(x, v, out, 7);
        ((HessianVector) part).hessianVector(someX, someV, some, 7);
        double[] all = out.toDoubles();
        expected = expected == null ? all : expected;
        assertArrayEquals(expected, all);
        assertArrayEquals(
            Arrays.copyOfRange(all, 2 * (int) x.cols(), all.length), some.toDoubles());
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"logistic", "softmax", "6x3"})
  void aDirectionThatIsNotANumberSpoilsItsNodeAlone(String name) {
    try (Problem problem = problem(name, DType.F64, 0, 0, 5);
        DeviceMatrix x = random(problem, 5, DType.F64, 0, 0.5);
        DeviceMatrix v = random(problem, 5, DType.F64, 1, 1);
        DeviceMatrix out = x.like()) {
      ((HessianVector) problem).hessianVector(x, v, out);
      double[] before = out.toDoubles();
      v.set(2, 1, Double.NaN);
      ((HessianVector) problem).hessianVector(x, v, out);
      for (int node = 0; node < 5; node++) {
        int d = (int) x.cols();
        double[] expected = Arrays.copyOfRange(before, node * d, (node + 1) * d);
        if (node == 2) {
          assertTrue(Arrays.stream(row(out, 2)).anyMatch(Double::isNaN));
        } else {
          assertArrayEquals(expected, row(out, node));
        }
      }
    }
  }

  /**
   * B g^2 with drawn labels has the diagonal of the Gauss-Newton matrix as its mean: over 4,000
   * draws within six standard errors, which are measured.
   */
  @ParameterizedTest
  @ValueSource(strings = {"softmax", "5"})
  void squaresOfGradientsWithDrawnLabelsEstimateTheGaussNewtonDiagonal(String name) {
    int draws = 4000;
    try (Problem problem = problem(name, DType.F64, 0, 2, 3);
        DeviceMatrix x = random(problem, 1, DType.F64, 0, 0.5);
        DeviceMatrix g = x.like();
        DeviceMatrix unit = x.like();
        DeviceMatrix column = x.like()) {
      int d = (int) x.cols();
      int batch = PARTS[2].length;
      double[] sum = new double[d];
      double[] squares = new double[d];
      for (int draw = 0; draw < draws; draw++) {
        ((SampledLabelGradient) problem).sampledLabelGradient(x, g, draw);
        double[] slopes = g.toDoubles();
        for (int k = 0; k < d; k++) {
          double estimate = batch * slopes[k] * slopes[k];
          sum[k] += estimate / draws;
          squares[k] += estimate * estimate / draws;
        }
      }
      for (int k = 0; k < d; k++) {
        unit.fill(0);
        unit.set(0, k, 1);
        ((GaussNewtonVector) problem).gaussNewtonVector(x, unit, column);
        double expected = column.get(0, k) - LAMBDA;
        double error = Math.sqrt((squares[k] - sum[k] * sum[k]) / draws);
        assertEquals(expected, sum[k], 6 * error + 1e-12, "parameter " + k);
      }
    }
  }

  @Test
  void drawnLabelsDependOnNodeAndRoundAloneAndEmptyNodesHaveNoGradient() {
    try (Problem whole = problem("5", DType.F64, 3, 0, 5);
        Problem part = problem("5", DType.F64, 3, 2, 5);
        DeviceMatrix x = random(whole, 5, DType.F64, 0, 0.5);
        DeviceMatrix some = x.rows(2, 5);
        DeviceMatrix all = x.like();
        DeviceMatrix other = x.like();
        DeviceMatrix own = some.like()) {
      ((SampledLabelGradient) whole).sampledLabelGradient(x, all, 7);
      ((SampledLabelGradient) part).sampledLabelGradient(some, own, 7);
      ((SampledLabelGradient) whole).sampledLabelGradient(x, other, 8);
      int d = (int) x.cols();
      assertArrayEquals(Arrays.copyOfRange(all.toDoubles(), 2 * d, 5 * d), own.toDoubles());
      assertArrayEquals(new double[d], row(all, 1));
      assertTrue(!Arrays.equals(row(all, 2), row(other, 2)), "another round, other labels");
    }
  }

  @Test
  void noDirectionHasNoDifference() {
    try (Problem problem = problem("softmax", DType.F64, 0, 0, 5);
        DeviceMatrix x = random(problem, 5, DType.F64, 0, 0.5);
        DeviceMatrix v = x.like();
        DeviceMatrix out = x.like()) {
      out.fill(1);
      DifferencedHessian.of(problem).hessianVector(x, v, out);
      assertArrayEquals(new double[5 * (int) x.cols()], out.toDoubles());
    }
  }

  @Test
  void badRecordsAreNamed() {
    double[][][] one = {{{1, 2}}};
    double[][] y = {{1}};
    refused("at least one record", () -> LogisticRegression.of(new double[0][][], y));
    refused("give one of each", () -> LogisticRegression.of(one, new double[][] {{1, 1}}));
    refused("labels are -1 or 1", () -> LogisticRegression.of(one, new double[][] {{0}}));
    refused("labels are -1 or 1", () -> LogisticRegression.of(one, new double[][] {{Double.NaN}}));
    refused(
        "give all the same",
        () -> LogisticRegression.of(new double[][][] {{{1, 2}, {1}}}, new double[][] {{1, 1}}));
    refused("NaN", () -> LogisticRegression.of(one, y).regularization(Double.NaN));
    refused("-1", () -> LogisticRegression.of(one, y).batch(-1, 1));
    refused("range", () -> LogisticRegression.of(one, y).nodes(0, 2));
  }

  private static void refused(String part, org.junit.jupiter.api.function.Executable call) {
    String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.contains(part), message);
  }
}
