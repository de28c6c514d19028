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

  /** Factor, distance and rank. */
  private static List<double[][]> polar(double[][] y) {
    return FactorizationTest.plainly(
        List.of(DType.F64, DType.F64, DType.F64, DType.I32),
        List.of(y, new double[y.length][y[0].length], new double[1][1], new double[1][1]),
        m ->
            Factorization.polar(
                1,
                Batch.of(m.get(0)),
                Batch.of(m.get(1)),
                Optional.of(m.get(2)),
                Optional.of(m.get(3))));
  }

  private static double[][] tangent(double[][] x, double[][] z) {
    return FactorizationTest.plainly(
            List.of(DType.F64, DType.F64, DType.F64),
            List.of(x, z, new double[x.length][x[0].length]),
            m ->
                Factorization.tangent(
                    1, Batch.of(m.get(0)), Batch.of(m.get(1)), Batch.of(m.get(2))))
        .get(2);
  }

  private static double[][] sum(double[][] a, double by, double[][] b) {
    double[][] c = new double[a.length][];
    for (int i = 0; i < a.length; i++) {
      c[i] = a[i].clone();
      for (int j = 0; j < c[i].length; j++) {
        c[i][j] += by * b[i][j];
      }
    }
    return c;
  }

  /** u diag(s) v' with singular values from 1 down to 1 / condition. */
  private static double[][] conditioned(double[][] u, double[][] v, double condition) {
    int n = v.length;
    double[][] us = new double[u.length][n];
    for (int i = 0; i < u.length; i++) {
      for (int k = 0; k < n; k++) {
        us[i][k] = u[i][k] * Math.pow(condition, -k / Math.max(1.0, n - 1));
      }
    }
    return product(us, transpose(v));
  }

  @Test
  void polarFactorsAreOrthonormalAndRightAtAnyCondition() {
    for (int[] s : new int[][] {{3, 3}, {64, 8}, {100, 33}, {70, 64}}) {
      double[][] u = qr(random(s[0], s[1], 1))[0];
      double[][] v = qr(random(s[1], s[1], 2))[0];
      for (double condition : new double[] {1, 1e3, 1e6, 1e12}) {
        List<double[][]> p = polar(conditioned(u, v, condition));
        assertTrue(departure(p.get(1)) < 1e-12, "departure at " + condition);
        // The factor itself moves by the rounding of y over its two smallest singular values.
        double bound = 40 * s[1] * ULP * condition;
        assertTrue(distance(p.get(1), product(u, transpose(v))) < bound, "error at " + condition);
        double away = 0;
        for (int k = 0; k < s[1]; k++) {
          double gap = Math.pow(condition, -k / Math.max(1.0, s[1] - 1)) - 1;
          away += gap * gap;
        }
        assertEquals(Math.sqrt(away), p.get(2)[0][0], 1e-12);
        assertEquals(s[1], p.get(3)[0][0]);
      }
    }
  }

  @Test
  void noMatrixWithOrthonormalColumnsIsNearerThanThePolarFactor() {
    double[][] y = random(9, 4, 11);
    List<double[][]> p = polar(y);
    double least = distance(y, p.get(1));
    assertEquals(least, p.get(2)[0][0], 1e-14);
    for (int k = 0; k < 1000; k++) {
      double size = Math.pow(10, -6.0 * k / 1000);
      double[][] other = polar(sum(p.get(1), size, random(9, 4, 100 + k))).get(1);
      assertTrue(distance(y, other) >= least, "perturbation " + k);
    }
  }

  @Test
  void pointsOfTheManifoldStayAndProjectionsRepeat() {
    double[][] x = qr(random(30, 6, 4))[0];
    List<double[][]> p = polar(x);
    assertTrue(distance(p.get(1), x) < 30 * ULP, "a point moved");
    assertTrue(p.get(2)[0][0] < 30 * ULP, "a point is away");
    double[][] z = random(30, 6, 5);
    double[][] once = tangent(x, z);
    double[][] share = product(transpose(x), z);
    double[][] even = scaled(sum(share, 1, transpose(share)), 0.5);
    assertTrue(distance(once, sum(z, -1, product(x, even))) < 100 * ULP, "projection");
    assertTrue(distance(tangent(x, once), once) < 100 * ULP, "idempotent");
    double[][] skew = product(transpose(x), once);
    assertTrue(norm(sum(skew, 1, transpose(skew))) < 100 * ULP, "tangent");
    // |R(t e) - x - t e| = O(t^2): a hundredth of the step, a ten thousandth of the error.
    double far = distance(polar(sum(x, 1e-2, once)).get(1), sum(x, 1e-2, once));
    double near = distance(polar(sum(x, 1e-4, once)).get(1), sum(x, 1e-4, once));
    assertTrue(near < 1.1e-4 * far && near > 0.9e-4 * far, near / far + " is not 1e-4");
  }

  @Test
  void dependentColumnsGiveSomeNearestMatrix() {
    double[][] y = random(7, 4, 21);
    for (double[] row : y) {
      row[3] = row[0] - 2 * row[1];
      row[2] = 0;
    }
    List<double[][]> p = polar(y);
    assertTrue(departure(p.get(1)) < 1e-14, "departure");
    assertEquals(2, p.get(3)[0][0]);
    assertEquals(distance(y, p.get(1)), p.get(2)[0][0], 1e-14);
    List<double[][]> zero = polar(new double[5][3]);
    assertTrue(departure(zero.get(1)) < 1e-14, "departure of zero");
    assertEquals(0, zero.get(3)[0][0]);
    assertEquals(Math.sqrt(3), zero.get(2)[0][0], 1e-15);
  }

  @Test
  void aPointThatIsNotFiniteIsNoneOfTheManifold() {
    double[][] y = random(4, 2, 1);
    y[2][1] = Double.POSITIVE_INFINITY;
    List<double[][]> p = polar(y);
    assertTrue(Arrays.stream(p.get(1)).allMatch(r -> Arrays.stream(r).allMatch(Double::isNaN)));
    assertTrue(Double.isNaN(p.get(2)[0][0]));
    assertEquals(-1, p.get(3)[0][0]);
  }

  private static List<double[][]> cholesky(double[][] a, double[][] v, double[][] b) {
    return FactorizationTest.plainly(
        List.of(
            DType.F64, DType.F64, DType.F64, DType.F64, DType.F64, DType.F64, DType.I32, DType.I32,
            DType.I32),
        List.of(
            a,
            new double[a.length][a.length],
            v,
            b,
            new double[a.length][a.length],
            new double[a.length][a.length],
            new double[1][1],
            new double[1][1],
            new double[1][1]),
        m -> {
          Batch l = Batch.of(m.get(1));
          Factorization.cholesky(1, Batch.of(m.get(0)), l, m.get(6));
          Factorization.choleskySolve(1, l, Batch.of(m.get(3)), Batch.of(m.get(3)));
          m.get(4).copyFrom(m.get(1));
          Factorization.choleskyUpdate(1, Batch.of(m.get(4)), Batch.of(m.get(2)), m.get(7));
          m.get(5).copyFrom(m.get(4));
          Factorization.choleskyDowndate(1, Batch.of(m.get(5)), Batch.of(m.get(2)), m.get(8));
        });
  }

  @Test
  void choleskyFactorsMultiplyBackSolveAndFollowUpdates() {
    for (int n : new int[] {1, 2, 5, 33, 70}) {
      double[][] g = random(2 * n + 3, n, n);
      double[][] a = sum(product(transpose(g), g), 1, identity(n));
      double[][] v = random(3, n, 7);
      double[][] b = random(n, 4, 8);
      List<double[][]> r = cholesky(a, v, b);
      double[][] l = r.get(1);
      double bound = 4 * n * ULP * norm(a);
      assertTrue(distance(product(l, transpose(l)), a) <= bound, "factor");
      for (int i = 0; i < n; i++) {
        for (int j = i + 1; j < n; j++) {
          assertEquals(0, l[i][j]);
        }
      }
      double[][] back = product(a, r.get(3));
      assertTrue(distance(back, b) <= bound * norm(r.get(3)), "solve");
      double[][] more = sum(a, 1, product(transpose(v), v));
      assertTrue(distance(product(r.get(4), transpose(r.get(4))), more) <= 4 * bound, "update");
      assertTrue(distance(product(r.get(5), transpose(r.get(5))), a) <= 40 * bound, "downdate");
      for (int k = 6; k < 9; k++) {
        assertEquals(0, r.get(k)[0][0]);
      }
    }
  }

  @Test
  void whatIsNotPositiveDefiniteIsSaid() {
    double[][] a = identity(4);
    a[2][2] = -1;
    List<double[][]> r = cholesky(a, random(1, 4, 1), random(4, 1, 2));
    assertEquals(3, r.get(6)[0][0]);
    assertTrue(Arrays.stream(r.get(1)).allMatch(x -> Arrays.stream(x).allMatch(Double::isNaN)));
    // The second of two vectors takes too much away: the factor is as it was before the first.
    double[][] v = new double[2][4];
    v[0][1] = 0.5;
    v[1][3] = 1;
    List<double[][]> down =
        FactorizationTest.plainly(
            List.of(DType.F64, DType.F64, DType.I32),
            List.of(identity(4), v, new double[1][1]),
            m ->
                Factorization.choleskyDowndate(
                    1, Batch.of(m.get(0)), Batch.of(m.get(1)), m.get(2)));
    assertEquals(2, down.get(2)[0][0]);
    assertEquals(0, distance(down.get(0), identity(4)));
  }
}
