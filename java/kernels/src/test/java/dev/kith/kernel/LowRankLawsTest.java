package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What PowerSGD promises of its factors, and the numbers of a worked iteration of the paper's. */
class LowRankLawsTest {
  private static final Optional<DeviceMatrix> NONE = Optional.empty();

  /** Two roundings of a factor and of a coefficient to F32, and one of the first column's norm. */
  private static final double ORTHONORMAL = 4 * 0x1p-24;

  private Queue queue;

  @BeforeEach
  void open() {
    queue = Rig.chosen().newQueue();
  }

  @AfterEach
  void close() {
    queue.close();
  }

  private DeviceMatrix matrix(double[][] values) {
    DeviceMatrix m = DeviceMatrix.allocate(queue, values.length, values[0].length, DType.F32);
    for (int r = 0; r < values.length; r++) {
      for (int c = 0; c < values[r].length; c++) {
        m.set(r, c, values[r][c]);
      }
    }
    return m;
  }

  private DeviceMatrix zeros(long rows, long cols) {
    return DeviceMatrix.allocate(queue, rows, cols, DType.F32);
  }

  private static double[] mean(double[] stacked, int nodes) {
    int n = stacked.length / nodes;
    double[] m = new double[n];
    for (int i = 0; i < stacked.length; i++) {
      m[i % n] += stacked[i] / nodes;
    }
    return m;
  }

  private static LowRank one(long rows, long cols, int rank) {
    return LowRank.of(List.of(new LowRank.Shape(0, rows, cols, rank)));
  }

  /** Two workers and rank 1: two warm-started iterations, worked by hand. */
  @Test
  void aWorkedExampleOfPowerSgd() {
    LowRank lowRank = one(3, 2, 1);
    try (DeviceMatrix m = matrix(new double[][] {{1, 2, 3, 4, 5, 6}, {2, 0, 1, -1, 0, 3}});
        DeviceMatrix p = zeros(2, 3);
        DeviceMatrix q = zeros(2, 2);
        DeviceMatrix delta = zeros(1, 6)) {
      double[] start = {1, 1};
      double[] left = iterate(lowRank, m, p, q, start);
      assertArrayEquals(new double[] {0.304290310, 0.426006434, 0.852012867}, left, 2e-7);
      assertArrayEquals(
          new double[] {5.842373947, 7.424683557, 1.034587053, 2.130032168}, q.toDoubles(), 2e-6);
      double[] right = mean(q.toDoubles(), 2);
      assertArrayEquals(new double[] {3.4384805, 4.777357863}, right, 2e-6);
      try (DeviceMatrix common = matrix(new double[][] {left});
          DeviceMatrix average = matrix(new double[][] {right})) {
        lowRank.accumulate(common, average, false, delta);
      }
      assertArrayEquals(
          new double[] {
            1.046296296, 1.453703704, 1.464814815, 2.035185185, 2.929629630, 4.070370370
          },
          delta.toDoubles(),
          2e-6);
      double[] next = iterate(lowRank, m, p, q, right);
      assertArrayEquals(new double[] {0.286612491, 0.405119952, 0.868176886}, next, 2e-7);
      double[] nextRight = mean(q.toDoubles(), 2);
      assertArrayEquals(new double[] {3.410600854, 4.801088404}, nextRight, 2e-6);
      assertEquals(5.889197572, Math.hypot(nextRight[0], nextRight[1]), 2e-6);
    }
  }

  /** One iteration: q becomes the right factors of the nodes; returns the common left one. */
  private double[] iterate(
      LowRank lowRank, DeviceMatrix m, DeviceMatrix p, DeviceMatrix q, double[] warm) {
    try (DeviceMatrix start = matrix(new double[][] {warm})) {
      lowRank.left(m, NONE, NONE, start, p, NONE);
      try (DeviceMatrix common = matrix(new double[][] {mean(p.toDoubles(), 2)})) {
        lowRank.orthonormaliseLeft(common);
        lowRank.right(m, NONE, NONE, common, q);
        return common.toDoubles();
      }
    }
  }

  /** Whatever the factor: of full rank, nearly dependent, of huge and tiny columns, zeros. */
  @Test
  void columnsBecomeOrthonormalWhateverTheirRank() {
    int n = 1500;
    int rank = 9;
    double[] p = Samples.row(Samples.Kind.ORDINARY, DType.F32, rank * n, 77);
    for (int i = 0; i < n; i++) {
      p[2 * n + i] = 0;
      p[3 * n + i] = (float) (p[i] - 2 * p[n + i]);
      p[4 * n + i] = (float) (p[i] * (1 + 1e-6 * (i % 3)));
      p[5 * n + i] = (float) (p[5 * n + i] * 1e38);
      p[6 * n + i] = (float) (p[6 * n + i] * 1e-44);
    }
    p[5 * n] = Float.MAX_VALUE;
    try (DeviceMatrix factor = matrix(new double[][] {p})) {
      LowRank lowRank = one(n, 20, rank);
      lowRank.orthonormaliseLeft(factor);
      orthonormal(factor.toDoubles(), n, rank);
    }
    // As many columns as rows, none of them anything.
    try (DeviceMatrix factor = zeros(1, 64 * 64)) {
      one(64, 64, 64).orthonormaliseRight(factor);
      double[] columns = factor.toDoubles();
      for (int i = 0; i < columns.length; i++) {
        assertEquals(i % 65 == 0 ? 1 : 0, columns[i]);
      }
    }
  }

  private static void orthonormal(double[] p, int n, int rank) {
    for (int a = 0; a < rank; a++) {
      for (int b = 0; b <= a; b++) {
        double dot = 0;
        for (int i = 0; i < n; i++) {
          dot += p[a * n + i] * p[b * n + i];
        }
        assertEquals(a == b ? 1 : 0, dot, ORTHONORMAL, "columns " + a + " and " + b);
      }
    }
  }

  @Test
  void nonFiniteFactorsAreNotHidden() {
    for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
      double[] p = Samples.row(Samples.Kind.ORDINARY, DType.F32, 3 * 40, 5);
      p[40 + 7] = bad;
      try (DeviceMatrix factor = matrix(new double[][] {p})) {
        one(40, 4, 3).orthonormaliseLeft(factor);
        double[] columns = factor.toDoubles();
        for (int i = 0; i < columns.length; i++) {
          assertEquals(i >= 40, Double.isNaN(columns[i]), "element " + i);
        }
      }
    }
  }

  /** The factors of a matrix of no higher rank give it back, and nothing is left over. */
  @Test
  void lowRankMatricesAreReproduced() {
    int n = 130;
    int m = 70;
    double[][] a = Samples.matrix(Samples.Kind.INTEGERS, DType.F32, 3, n, 11);
    double[][] b = Samples.matrix(Samples.Kind.INTEGERS, DType.F32, 3, m, 12);
    double[] v = new double[n * m];
    double square = 0;
    for (int i = 0; i < v.length; i++) {
      for (int k = 0; k < 3; k++) {
        v[i] += a[k][i / m] * b[k][i % m];
      }
      square += v[i] * v[i];
    }
    for (int rank : new int[] {3, 5, 64}) {
      LowRank lowRank = one(n, m, rank);
      try (DeviceMatrix x = matrix(new double[][] {v});
          DeviceMatrix q =
              matrix(Samples.matrix(Samples.Kind.ORDINARY, DType.F32, 1, rank * m, 13));
          DeviceMatrix p = zeros(1, lowRank.leftSize());
          DeviceMatrix rest = zeros(1, v.length)) {
        lowRank.left(x, NONE, NONE, q, p, NONE);
        lowRank.orthonormaliseLeft(p);
        lowRank.right(x, NONE, NONE, p, q);
        lowRank.residual(x, NONE, NONE, p, q, rest);
        double norm = Reduction.norms(rest)[0];
        // Chains of up to 256 roundings in each of the three products.
        assertTrue(
            norm <= 3 * 256 * 0x1p-24 * Math.sqrt(square), norm + " of " + Math.sqrt(square));
      }
    }
  }

  /** Nothing is lost: what is sent and what stays are the tensor, whether factors are shared. */
  @Test
  void theResidualAndTheReconstructionAreTheWhole() {
    List<LowRank.Shape> shapes =
        List.of(new LowRank.Shape(1, 33, 20, 2), new LowRank.Shape(700, 5, 9, 4));
    LowRank lowRank = LowRank.of(shapes);
    double[][] values = Samples.matrix(Samples.Kind.ORDINARY, DType.F32, 3, 760, 21);
    try (DeviceMatrix x = matrix(values);
        DeviceMatrix q =
            matrix(
                Samples.matrix(
                    Samples.Kind.ORDINARY, DType.F32, 1, (int) lowRank.rightSize(), 22));
        DeviceMatrix p = zeros(3, lowRank.leftSize());
        DeviceMatrix right = zeros(3, lowRank.rightSize());
        DeviceMatrix rest = matrix(values)) {
      lowRank.left(x, NONE, NONE, q, p, NONE);
      lowRank.orthonormaliseLeft(p);
      lowRank.right(x, NONE, NONE, p, right);
      lowRank.residual(x, NONE, NONE, p, right, rest);
      lowRank.accumulate(p, right, true, rest);
      double[] whole = rest.toDoubles();
      for (int i = 0; i < whole.length; i++) {
        double value = values[i / 760][i % 760];
        // Values are below 2 and so is what approximates them, or nearly: two roundings.
        assertEquals(value, whole[i], 2 * 4 * 0x1p-24, "element " + i);
      }
    }
  }

  /** A warm start turns towards the largest singular values: here 8, 4, and then 0.5. */
  @Test
  void warmStartsConvergeToTheBestApproximation() {
    int n = 24;
    double[] singular = {8, 4, 0.5, 0.25};
    double[] v = new double[n * n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        for (int k = 0; k < singular.length; k++) {
          // Columns of the cosine transform are orthonormal.
          double u = Math.sqrt(2.0 / n) * Math.cos(Math.PI * (i + 0.5) * (k + 1) / n);
          double w = Math.sqrt(2.0 / n) * Math.cos(Math.PI * (j + 0.5) * (k + 3) / n);
          v[i * n + j] += singular[k] * u * w;
        }
      }
    }
    LowRank lowRank = one(n, n, 2);
    try (DeviceMatrix x = matrix(new double[][] {v});
        DeviceMatrix q = matrix(Samples.matrix(Samples.Kind.ORDINARY, DType.F32, 1, 2 * n, 31));
        DeviceMatrix p = zeros(1, 2L * n);
        DeviceMatrix rest = zeros(1, v.length)) {
      for (int step = 0; step < 12; step++) {
        lowRank.left(x, NONE, NONE, q, p, NONE);
        lowRank.orthonormaliseLeft(p);
        lowRank.right(x, NONE, NONE, p, q);
      }
      lowRank.residual(x, NONE, NONE, p, q, rest);
      assertEquals(Math.hypot(0.5, 0.25), Reduction.norms(rest)[0], 1e-5);
    }
  }

  /** A direction that a zero tensor loses comes back with the next tensor. */
  @Test
  void aWarmStartSurvivesAZeroTensor() {
    LowRank lowRank = one(6, 5, 2);
    try (DeviceMatrix x = zeros(1, 30);
        DeviceMatrix q = matrix(new double[][] {{1, 2, 3, 4, 5, 5, 4, 3, 2, 1}});
        DeviceMatrix p = zeros(1, 12);
        DeviceMatrix rest = zeros(1, 30)) {
      for (int step = 0; step < 40; step++) {
        lowRank.left(x, NONE, NONE, q, p, NONE);
        lowRank.orthonormaliseLeft(p);
        lowRank.right(x, NONE, NONE, p, q);
        if (step == 0) {
          assertEquals(0, Reduction.squares(q)[0]);
          for (int i = 0; i < 30; i++) {
            int row = i / 5;
            x.set(0, i, (row + 1.0) * (i % 5 + 1.0) + (i % 3 == 0 ? 1 : 0));
          }
        }
      }
      lowRank.residual(x, NONE, NONE, p, q, rest);
      double whole = Reduction.norms(x)[0];
      double left = Reduction.norms(rest)[0];
      assertTrue(left < 0.05 * whole, left + " of " + whole);
    }
  }

  @Test
  void matricesOfALayoutAreItsTensorsOfTwoDimensions() {
    Layout layout =
        Layout.builder()
            .tensor("kernel", "all", 8, 3, 3, 3)
            .tensor("bias", "all", 8)
            .tensor("nothing", "all", 0, 4)
            .tensor("dense", "all", 10, 2)
            .build();
    LowRank lowRank = LowRank.of(layout, 4);
    assertEquals(
        List.of(new LowRank.Shape(0, 8, 27, 4), new LowRank.Shape(224, 10, 2, 2)),
        lowRank.shapes());
    assertEquals(8 * 4 + 10 * 2, lowRank.leftSize());
    assertEquals(27 * 4 + 2 * 2, lowRank.rightSize());
  }
}
