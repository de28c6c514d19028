package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.kernel.NewtonSchulz.Polynomial;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What Newton-Schulz does to singular values, and to matrices of many shapes at once. */
class NewtonSchulzTest {
  private Queue queue;

  @BeforeEach
  void open() {
    queue = Rig.chosen().newQueue();
  }

  @AfterEach
  void close() {
    queue.close();
  }

  private static Layout of(int rows, int cols) {
    return Layout.builder().tensor("w", "weight", rows, cols).build();
  }

  private double[] run(Polynomial polynomial, int times, Layout layout, DType t, double... g) {
    long rows = g.length / layout.size();
    List<Layout.Tensor> matrices =
        layout.tensors().stream().filter(tensor -> tensor.shape().length > 1).toList();
    try (DeviceMatrix from = DeviceMatrix.allocate(queue, rows, layout, t);
        DeviceMatrix to = from.like();
        NewtonSchulz schulz = new NewtonSchulz(polynomial, times, matrices, from)) {
      from.upload(g);
      to.fill(7);
      schulz.apply(from, to);
      assertArrayEquals(
          Arrays.stream(g).map(v -> t == DType.F32 ? (float) v : v).toArray(), from.toDoubles());
      return to.toDoubles();
    }
  }

  /** A product of two reflections: orthogonal to the last bits of f64. */
  private static double[][] orthogonal(int n, long seed) {
    double[][] q = new double[n][n];
    for (int i = 0; i < n; i++) {
      q[i][i] = 1;
    }
    for (int k = 0; k < 2; k++) {
      double[] v = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, 1, n, seed + k)[0];
      double square = Arrays.stream(v).map(a -> a * a).sum();
      for (double[] row : q) {
        double dot = 0;
        for (int i = 0; i < n; i++) {
          dot += row[i] * v[i];
        }
        for (int i = 0; i < n; i++) {
          row[i] -= 2 * dot / square * v[i];
        }
      }
    }
    return q;
  }

  /** U diag(s) V', p x q, row by row. */
  private static double[] withSingularValues(int p, int q, double[] s) {
    double[][] u = orthogonal(p, 11);
    double[][] v = orthogonal(q, 23);
    double[] g = new double[p * q];
    for (int i = 0; i < p; i++) {
      for (int j = 0; j < q; j++) {
        for (int k = 0; k < s.length; k++) {
          g[i * q + j] += u[i][k] * s[k] * v[j][k];
        }
      }
    }
    return g;
  }

  private static double[] transposed(double[] g, int p, int q) {
    double[] t = new double[p * q];
    for (int i = 0; i < p; i++) {
      for (int j = 0; j < q; j++) {
        t[j * p + i] = g[i * q + j];
      }
    }
    return t;
  }

  private static double through(Polynomial polynomial, int times, double s) {
    double value = s;
    for (int i = 0; i < times; i++) {
      value = polynomial.at(value);
    }
    return value;
  }

  /**
   * An iteration forms sums of at most k products, k the longer side, and three of them: a rounding
   * of (k + 4) u each, on factors of norm at most 5 (B of Muon's polynomial). What follows
   * stretches it by the slope at 0, 3.4445, an iteration.
   */
  private static double tolerance(DType t, int longer, int times) {
    double unit = t == DType.F32 ? 0x1p-24 : 0x1p-53;
    return 3 * 5 * (longer + 4) * unit * Math.pow(3.4445, Math.max(1, times - 1));
  }

  /** Jordan et al. 2024 for Muon's; the others are the expansions of the sign of x about 1. */
  @Test
  void coefficientsAreThePublishedOnes() {
    for (double s : new double[] {0.3, 0.9}) {
      double square = s * s;
      assertEquals(
          s * (3.4445 + square * (-4.7750 + square * 2.0315)), Polynomial.MUON.at(s), 1e-15);
      assertEquals(
          s * (15 - 10 * square + 3 * square * square) / 8, Polynomial.QUINTIC.at(s), 1e-15);
      assertEquals(s * (3 - square) / 2, Polynomial.CUBIC.at(s), 1e-15);
    }
  }

  @Test
  void singularValuesGoThroughThePolynomial() {
    double[] s = {3, 1, 0.5, 0.1, 0.05, 0.01, 0.002, 0};
    double norm = Math.sqrt(Arrays.stream(s).map(v -> v * v).sum()) + NewtonSchulz.EPSILON;
    for (int[] shape : new int[][] {{8, 40}, {40, 8}, {8, 8}, {33, 31}}) {
      int p = shape[0];
      int q = shape[1];
      for (Polynomial polynomial : List.of(Polynomial.MUON, Polynomial.QUINTIC, Polynomial.CUBIC)) {
        for (int times = 0; times < 6; times++) {
          int k = times;
          double[] expected =
              withSingularValues(
                  p, q, Arrays.stream(s).map(v -> through(polynomial, k, v / norm)).toArray());
          for (DType t : List.of(DType.F32, DType.F64)) {
            double[] actual = run(polynomial, times, of(p, q), t, withSingularValues(p, q, s));
            assertArrayEquals(
                expected,
                actual,
                tolerance(t, Math.max(p, q), times),
                "%d x %d %s, %s %d times".formatted(p, q, t, polynomial, times));
          }
        }
      }
    }
  }

  /** All singular values of an orthogonal matrix of n rows begin at 1 / sqrt(n). */
  @Test
  void anOrthogonalMatrixFollowsTheScalarIteration() {
    int n = 24;
    double[] ones = new double[n];
    Arrays.fill(ones, 1);
    double[] g = withSingularValues(n, n, ones);
    double scale = through(Polynomial.MUON, 5, 1 / (Math.sqrt(n) + NewtonSchulz.EPSILON));
    double[] expected = Arrays.stream(g).map(v -> scale * v).toArray();
    assertArrayEquals(
        expected, run(Polynomial.MUON, 5, of(n, n), DType.F64, g), tolerance(DType.F64, n, 5));
  }

  /** Thirty iterations bring 0.001 to 1 within a millionth, as the table of the method says. */
  @Test
  void theConvergingPolynomialsMakeMatricesOrthogonal() {
    double[] s = {Math.sqrt(1 - 0.001 * 0.001), 0.001};
    double[] expected = withSingularValues(2, 5, new double[] {1, 1});
    for (Polynomial polynomial : List.of(Polynomial.CUBIC, Polynomial.QUINTIC)) {
      double[] actual = run(polynomial, 30, of(2, 5), DType.F64, withSingularValues(2, 5, s));
      assertArrayEquals(expected, actual, 1e-6);
    }
  }

  @Test
  void rotationsAndScalesPassThrough() {
    int p = 12;
    int q = 20;
    double[] g = Samples.row(Samples.Kind.ORDINARY, DType.F32, p * q, 5);
    double[] once = run(Polynomial.MUON, 5, of(p, q), DType.F32, g);
    double bound = tolerance(DType.F32, q, 5);
    double[] larger = Arrays.stream(g).map(v -> 64 * v).toArray();
    // The epsilon beside the norm counts 64 times as much.
    double relative = 64 * NewtonSchulz.EPSILON;
    assertArrayEquals(
        once, run(Polynomial.MUON, 5, of(p, q), DType.F32, larger), bound + 485 * relative);
    double[] other = run(Polynomial.MUON, 5, of(q, p), DType.F32, transposed(g, p, q));
    assertArrayEquals(once, transposed(other, q, p), bound);

    double[][] left = orthogonal(p, 31);
    double[][] right = orthogonal(q, 37);
    double[] turned = rotate(left, g, right);
    double[] result = run(Polynomial.MUON, 5, of(p, q), DType.F32, turned);
    assertArrayEquals(rotate(left, once, right), result, (p + q) * bound);
  }

  private static double[] rotate(double[][] left, double[] g, double[][] right) {
    int p = left.length;
    int q = right.length;
    double[] turned = new double[p * q];
    for (int i = 0; i < p; i++) {
      for (int j = 0; j < q; j++) {
        for (int k = 0; k < p; k++) {
          for (int l = 0; l < q; l++) {
            turned[i * q + j] += left[i][k] * g[k * q + l] * right[l][j];
          }
        }
      }
    }
    return turned;
  }

  @Test
  void zerosStayAndNumbersThatAreNoneSpoilTheirMatrixAlone() {
    Layout two = Layout.builder().tensor("a", "weight", 2, 3).tensor("b", "weight", 2, 3).build();
    double[] g = new double[2 * 12];
    g[12] = Double.NaN;
    g[18] = 1;
    double[] actual = run(Polynomial.MUON, 5, two, DType.F32, g);
    for (int i = 0; i < 12; i++) {
      assertEquals(0.0, actual[i]);
      assertEquals(i < 6, Double.isNaN(actual[12 + i]), "element " + i);
    }
    g[12] = Double.POSITIVE_INFINITY;
    assertTrue(Double.isNaN(run(Polynomial.MUON, 0, two, DType.F32, g)[12]));
    // Squares beyond the range of f32 do not make the norm infinite.
    g[12] = 0x1p100;
    assertEquals(1, run(Polynomial.MUON, 0, two, DType.F32, g)[12]);
  }

  /** Neighbours of one shape, others, a vector between them: as each matrix alone, bit for bit. */
  @Test
  void matricesTogetherAreEachAlone() {
    Layout layout =
        Layout.builder()
            .tensor("a", "weight", 6, 10)
            .tensor("b", "weight", 6, 10)
            .tensor("c", "weight", 6, 10)
            .tensor("bias", "bias", 9)
            .tensor("d", "weight", 6, 10)
            .tensor("e", "weight", 10, 3, 2)
            .tensor("none", "weight", 0, 4)
            .tensor("f", "weight", 10, 6)
            .build();
    int d = (int) layout.size();
    for (int times : new int[] {4, 5}) {
      for (int rows : new int[] {1, 2, 5}) {
        double[] g = Samples.row(Samples.Kind.ORDINARY, DType.F32, rows * d, 50 + rows);
        double[] together = run(Polynomial.MUON, times, layout, DType.F32, g);
        for (int r = 0; r < rows; r++) {
          for (Layout.Tensor tensor : layout.tensors()) {
            int begin = r * d + (int) tensor.offset();
            int end = begin + (int) tensor.size();
            double[] actual = Arrays.copyOfRange(together, begin, end);
            double[] expected = new double[actual.length];
            Arrays.fill(expected, 7);
            if (tensor.shape().length > 1 && tensor.size() > 0) {
              expected =
                  run(
                      Polynomial.MUON,
                      times,
                      of((int) tensor.rows(), (int) tensor.cols()),
                      DType.F32,
                      Arrays.copyOfRange(g, begin, end));
            }
            assertArrayEquals(expected, actual, tensor + " in row " + r + " of " + rows);
          }
        }
        try (DeviceMatrix x = DeviceMatrix.allocate(queue, rows, layout, DType.F32);
            NewtonSchulz schulz =
                new NewtonSchulz(Polynomial.MUON, times, layout.tensors().subList(0, 3), x)) {
          x.upload(g);
          schulz.apply(x, x);
          double[] inPlace = x.toDoubles();
          for (int r = 0; r < rows; r++) {
            assertArrayEquals(
                Arrays.copyOfRange(together, r * d, r * d + 180),
                Arrays.copyOfRange(inPlace, r * d, r * d + 180));
            assertEquals(g[r * d + 180], inPlace[r * d + 180]);
          }
        }
      }
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    Layout layout = of(4, 6);
    List<Layout.Tensor> one = layout.tensors();
    try (DeviceMatrix x = DeviceMatrix.allocate(queue, 2, layout, DType.F32);
        DeviceMatrix wide = DeviceMatrix.allocate(queue, 2, 25, DType.F32);
        DeviceMatrix half = DeviceMatrix.allocate(queue, 2, layout, DType.BF16);
        Queue another = Rig.chosen().newQueue();
        DeviceMatrix elsewhere = x.on(another);
        NewtonSchulz schulz = new NewtonSchulz(Polynomial.MUON, 5, one, x)) {
      Contract.refused("-1 iter", () -> new NewtonSchulz(Polynomial.MUON, -1, one, x));
      Contract.refused("BF16", () -> new NewtonSchulz(Polynomial.MUON, 1, one, half));
      Contract.refused("NaN", () -> new Polynomial(1, Double.NaN, 1));
      Contract.refused(
          "column 40", () -> new NewtonSchulz(Polynomial.MUON, 1, of(4, 10).tensors(), x));
      Contract.refused(
          "\"w\" begins at column 0",
          () ->
              new NewtonSchulz(Polynomial.MUON, 1, List.of(one.getFirst(), one.getFirst()), wide));
      Contract.refused("from is 2 x 25", () -> schulz.apply(wide, x));
      Contract.refused("to is 2 x 25", () -> schulz.apply(x, wide));
      Contract.refused("another queue", () -> schulz.apply(x, elsewhere));
      Contract.refused("0 matrices", () -> new MatrixRun(0, 1, 1, 0));
      Contract.refused("too many", () -> new MatrixRun(0, 1L << 40, 1L << 40, 1));
    }
  }
}
