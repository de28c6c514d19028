package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** What factorizations must be, in f64 with obvious loops. */
class FactorizationLawsTest {
  private static final double ULP = 0x1p-52;

  private static double[][] random(int rows, int cols, long seed) {
    return Samples.matrix(Samples.Kind.ORDINARY, DType.F64, rows, cols, seed);
  }

  private static double[][] product(double[][] a, double[][] b) {
    double[][] c = new double[a.length][b[0].length];
    for (int i = 0; i < a.length; i++) {
      for (int k = 0; k < b.length; k++) {
        for (int j = 0; j < b[0].length; j++) {
          c[i][j] += a[i][k] * b[k][j];
        }
      }
    }
    return c;
  }

  private static double[][] transpose(double[][] a) {
    double[][] t = new double[a[0].length][a.length];
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a[0].length; j++) {
        t[j][i] = a[i][j];
      }
    }
    return t;
  }

  private static double norm(double[][] a) {
    return Math.sqrt(Arrays.stream(a).flatMapToDouble(Arrays::stream).map(x -> x * x).sum());
  }

  private static double distance(double[][] a, double[][] b) {
    double[][] d = new double[a.length][];
    for (int i = 0; i < a.length; i++) {
      d[i] = a[i].clone();
      for (int j = 0; j < d[i].length; j++) {
        d[i][j] -= b[i][j];
      }
    }
    return norm(d);
  }

  private static double[][] identity(int n) {
    double[][] e = new double[n][n];
    for (int i = 0; i < n; i++) {
      e[i][i] = 1;
    }
    return e;
  }

  private static double departure(double[][] q) {
    return distance(product(transpose(q), q), identity(q[0].length));
  }

  private static double[][] scaled(double[][] a, double by) {
    return Arrays.stream(a)
        .map(row -> Arrays.stream(row).map(x -> x * by).toArray())
        .toArray(double[][]::new);
  }

  /** Values, vectors and the number of sweeps. */
  private static List<double[][]> eigen(double[][] a) {
    int n = a.length;
    return FactorizationTest.plainly(
        List.of(DType.F64, DType.F64, DType.F64, DType.I32),
        List.of(a, new double[1][n], new double[n][n], new double[1][1]),
        m ->
            Factorization.eigen(
                1,
                Batch.of(m.get(0)),
                Batch.of(m.get(1)),
                Optional.of(Batch.of(m.get(2))),
                Optional.of(m.get(3))));
  }

  private static double[][][] qr(double[][] a) {
    int n = a[0].length;
    List<double[][]> results =
        FactorizationTest.plainly(
            List.of(DType.F64, DType.F64, DType.F64),
            List.of(a, new double[a.length][n], new double[n][n]),
            m ->
                Factorization.qr(
                    1, Batch.of(m.get(0)), Batch.of(m.get(1)), Optional.of(Batch.of(m.get(2)))));
    return new double[][][] {results.get(1), results.get(2)};
  }

  private static double[][] symmetric(int n, double[] values, long seed) {
    double[][] q = qr(random(n, n, seed))[0];
    double[][] right = transpose(q);
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        right[i][j] *= values[i];
      }
    }
    return product(q, right);
  }

  @Test
  void vectorsAreOrthonormalAndBelongToTheirValues() {
    for (int n : new int[] {1, 2, 3, 7, 8, 20, 65, 130}) {
      double[][] a = random(n, n, n);
      for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) {
          a[j][i] = a[i][j];
        }
      }
      List<double[][]> e = eigen(a);
      double[] values = e.get(1)[0];
      double[][] vectors = e.get(2);
      double[][] moved = product(a, vectors);
      for (double[] row : moved) {
        for (int k = 0; k < n; k++) {
          row[k] /= values[k];
        }
      }
      // Rotations: at most 10 sweeps of n - 1 rounds, each of a few roundings of an element.
      double bound = 10 * n * ULP * norm(a);
      double least = Arrays.stream(values).map(Math::abs).min().orElseThrow();
      assertTrue(distance(moved, vectors) * least <= bound, "residual of " + n);
      assertTrue(departure(vectors) <= 10 * n * ULP * Math.sqrt(n), "departure of " + n);
      for (int k = 1; k < n; k++) {
        assertTrue(values[k - 1] <= values[k], "order of " + n);
      }
      double trace = 0;
      for (int i = 0; i < n; i++) {
        trace += a[i][i];
      }
      assertEquals(trace, Arrays.stream(values).sum(), bound);
      assertTrue(e.get(3)[0][0] >= 0 && e.get(3)[0][0] <= 10, "sweeps of " + n);
    }
  }

  @Test
  void knownEigenvaluesAreFound() {
    double[][] spectra = {
      {-3, -1, 0, 2, 5, 5, 5, 100},
      {1e-12, 1e-9, 1e-6, 1e-3, 1},
      {1, 1, 1, 1, 1, 1 + 1e-13},
      {-1e-300, 0, 1e-300},
      {-4e300, 1, 8e300}
    };
    for (double[] values : spectra) {
      double[] found = eigen(symmetric(values.length, values, 3)).get(1)[0];
      double largest = Math.max(Math.abs(values[0]), Math.abs(values[values.length - 1]));
      for (int k = 0; k < values.length; k++) {
        assertEquals(values[k], found[k], 40 * values.length * ULP * largest);
      }
    }
  }

  @Test
  void diagonalMatricesTakeNoSweepAndKeepTheirBits() {
    double[][] a = new double[4][4];
    a[0][0] = 3;
    a[1][1] = -0.1;
    a[2][2] = 7e-200;
    a[3][3] = 3;
    List<double[][]> e = eigen(a);
    assertEquals("[-0.1, 7.0E-200, 3.0, 3.0]", Arrays.toString(e.get(1)[0]));
    assertEquals(0, e.get(3)[0][0]);
    // Equal values in the order of their rows.
    assertEquals(1, e.get(2)[0][2]);
    assertEquals(1, e.get(2)[3][3]);
  }

  @Test
  void whatIsNotFiniteGivesNaNAndEnds() {
    for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
      double[][] a = identity(5);
      a[3][1] = bad;
      List<double[][]> e = eigen(a);
      assertTrue(Arrays.stream(e.get(1)[0]).allMatch(Double::isNaN));
      assertTrue(Arrays.stream(e.get(2)).allMatch(r -> Arrays.stream(r).allMatch(Double::isNaN)));
      assertEquals(-1, e.get(3)[0][0]);
      for (double[][] factor : qr(a)) {
        assertTrue(Arrays.stream(factor).allMatch(r -> Arrays.stream(r).allMatch(Double::isNaN)));
      }
    }
  }

  @Test
  void factorsOfQrMultiplyBackAndAreOrthonormalAndTriangular() {
    int[][] shapes = {{1, 1}, {5, 5}, {64, 8}, {100, 33}, {300, 70}, {33, 32}};
    for (int[] s : shapes) {
      for (double scale : new double[] {1, 1e-300, 1e300}) {
        double[][] a = scaled(random(s[0], s[1], s[0]), scale);
        double[][][] f = qr(a);
        // A reflection rounds a few times in each of m + 2 terms; the terms of a sum are four
        // chains.
        double bound = 4 * s[1] * Math.sqrt(s[0]) * ULP;
        assertTrue(departure(f[0]) <= bound, "departure");
        double[][] back = product(scaled(f[0], 0x1p-20), scaled(f[1], 0x1p-20 / scale));
        double[][] plain = scaled(scaled(a, 1 / scale), 0x1p-40);
        assertTrue(distance(back, plain) <= bound * norm(plain), "product");
        for (int i = 0; i < s[1]; i++) {
          assertTrue(f[1][i][i] > 0, "sign");
          for (int j = 0; j < i; j++) {
            assertEquals(0, f[1][i][j]);
          }
        }
      }
    }
  }

  @Test
  void dependentColumnsGiveAnOrthonormalBasisAllTheSame() {
    double[][] a = new double[9][4];
    double[][] line = random(9, 1, 2);
    for (int i = 0; i < 9; i++) {
      a[i][1] = line[i][0];
      a[i][2] = -2 * line[i][0];
    }
    double[][][] f = qr(a);
    assertTrue(departure(f[0]) <= 100 * ULP);
    assertTrue(distance(product(f[0], f[1]), a) <= 100 * ULP);
    assertEquals(0, f[1][0][0]);
    assertEquals(0, f[1][3][3]);
  }
}
