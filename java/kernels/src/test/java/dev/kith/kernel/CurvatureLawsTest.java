package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.random.Stream;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** What the rules and estimates of curvature are to others, whatever the kernel does. */
class CurvatureLawsTest {
  private static final NoiseField.Distribution SIGNS = NoiseField.Distribution.RADEMACHER;

  private static double[][] values(int rows, int cols, long seed) {
    return Samples.matrix(Samples.Kind.ORDINARY, DType.F64, rows, cols, seed);
  }

  private static double[] filled(int n, double value) {
    double[] v = new double[n];
    Arrays.fill(v, value);
    return v;
  }

  /** z Hz of a diagonal H is its diagonal for every z, without any error. */
  @Test
  void aDiagonalIsEstimatedExactly() {
    int cols = 4099;
    double[][] h = values(2, cols, 5);
    try (Rig.Session session = Rig.best().open()) {
      for (int round = 0; round < 3; round++) {
        NoiseField probe = NoiseField.shared(SIGNS, Stream.PERTURBATION, 77, round, 0, 2);
        Operand hz = session.operand(DType.F64, new double[2][cols], cols);
        Noise.draw(probe, 1, hz.matrix());
        double[][] product = hz.values();
        assertTrue(Arrays.stream(product[0]).anyMatch(z -> z < 0), "some signs are negative");
        for (int r = 0; r < 2; r++) {
          for (int c = 0; c < cols; c++) {
            product[r][c] *= h[r][c];
          }
        }
        Operand d = session.operand(DType.F64, new double[2][cols], cols);
        Curvature.hutchinson(probe, 0, session.matrix(DType.F64, product, cols), d.matrix());
        d.expect(h);
      }
      session.release();
    }
  }

  /** The error of one probe has the variance of the card: the squares beside the diagonal. */
  @Test
  void theVarianceOfAProbeIsThatOffTheDiagonal() {
    int n = 8;
    int probes = 20_000;
    double[][] a = values(n, n, 6);
    double[][] h = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        h[i][j] = a[i][j] + a[j][i];
      }
    }
    try (Rig.Session session = Rig.best().open()) {
      NoiseField probe = NoiseField.shared(SIGNS, Stream.PERTURBATION, 3, 0, 0, probes);
      Operand z = session.operand(DType.F64, new double[probes][n], n);
      Noise.draw(probe, 1, z.matrix());
      double[][] signs = z.values();
      double[][] product = new double[probes][n];
      for (int k = 0; k < probes; k++) {
        for (int i = 0; i < n; i++) {
          for (int j = 0; j < n; j++) {
            product[k][i] += h[i][j] * signs[k][j];
          }
        }
      }
      Operand d = session.operand(DType.F64, new double[probes][n], n);
      Curvature.hutchinson(probe, 0, session.matrix(DType.F64, product, n), d.matrix());
      double[][] estimates = d.values();
      double measured = 0;
      double expected = 0;
      for (int i = 0; i < n; i++) {
        for (int k = 0; k < probes; k++) {
          measured += Math.pow(estimates[k][i] - h[i][i], 2) / probes;
        }
        for (int j = 0; j < n; j++) {
          expected += i == j ? 0 : h[i][j] * h[i][j];
        }
      }
      // Each of 20,000 terms has a relative deviation of at most sqrt(2); 5 deviations of the mean.
      assertEquals(1, measured / expected, 5 * Math.sqrt(2.0 / probes));
      session.release();
    }
  }

  /** With |g| for the curvature AdaHessian is Adam, bit for bit. */
  @Test
  void adaHessianOfTheGradientIsAdam() {
    int cols = 1003;
    double[][] x = values(3, cols, 1);
    try (Rig.Session session = Rig.best().open()) {
      Operand ours = session.operand(DType.F64, x, cols);
      Operand theirs = session.operand(DType.F64, x, cols);
      StepOptions options = StepOptions.builder().weightDecay(0.01).decoupled(true).build();
      try (CurvatureStep step =
              new CurvatureStep(
                  new CurvatureRule.AdaHessian(0.1, 0.9, 0.99, 1e-6), options, ours.matrix());
          Step adam = new Step(new StepRule.Adam(0.1, 0.9, 0.99, 1e-6), options, theirs.matrix())) {
        for (int t = 1; t <= 3; t++) {
          double[][] g = values(3, cols, 10 + t);
          double[][] h =
              Arrays.stream(g)
                  .map(row -> Arrays.stream(row).map(Math::abs).toArray())
                  .toArray(double[][]::new);
          DeviceMatrix gradient = session.matrix(DType.F64, g, cols);
          step.apply(ours.matrix(), gradient, session.matrix(DType.F64, h, cols));
          adam.apply(theirs.matrix(), gradient);
        }
      }
      ours.expect(theirs.values());
      session.release();
    }
  }

  /** Without curvature, or where it is negative, Sophia steps by the sign of m. */
  @Test
  void sophiaWithoutCurvatureIsTheSignOfTheMomentum() {
    int cols = 70;
    double[][] g = values(1, cols, 2);
    g[0][3] = 0;
    double[] expected = Arrays.stream(g[0]).map(v -> 0.0 - 0.25 * Math.signum(v)).toArray();
    CurvatureRule[] rules = {
      new CurvatureRule.SophiaG(0.25, 0, 1, 4, 1e-12), new CurvatureRule.SophiaH(0.25, 0, 10, 1e-12)
    };
    try (Rig.Session session = Rig.best().open()) {
      for (CurvatureRule rule : rules) {
        for (double h : new double[] {0, -3}) {
          Operand x = session.operand(DType.F64, new double[1][cols], cols);
          try (CurvatureStep step = new CurvatureStep(rule, StepOptions.none(), x.matrix())) {
            step.apply(
                x.matrix(),
                session.matrix(DType.F64, g, cols),
                session.matrix(DType.F64, new double[][] {filled(cols, h)}, cols));
          }
          assertArrayEquals(expected, x.values()[0], rule.name());
        }
      }
      session.release();
    }
  }

  /** Where nothing clips Sophia-H is a damped Newton step on the diagonal. */
  @Test
  void sophiaThatDoesNotClipIsNewton() {
    int cols = 70;
    double[][] g = values(1, cols, 3);
    double[][] h = {Arrays.stream(values(1, cols, 4)[0]).map(v -> 0.5 + Math.abs(v)).toArray()};
    double gamma = 1000;
    double[] expected = new double[cols];
    for (int c = 0; c < cols; c++) {
      expected[c] = -0.25 * g[0][c] / (gamma * h[0][c]);
    }
    try (Rig.Session session = Rig.best().open()) {
      Operand x = session.operand(DType.F64, new double[1][cols], cols);
      try (CurvatureStep step =
          new CurvatureStep(
              new CurvatureRule.SophiaH(0.25, 0, gamma, 1e-12), StepOptions.none(), x.matrix())) {
        step.apply(
            x.matrix(), session.matrix(DType.F64, g, cols), session.matrix(DType.F64, h, cols));
      }
      // epsilon is 2e-15 of the divisor and less; |x'| stays below 1e-3.
      assertArrayEquals(expected, x.values()[0], 1e-3 * 4e-15);
      session.release();
    }
  }

  /** The iterations to a relative gap of 1e-10 on a diagonal quadratic do not see its condition. */
  @Test
  void theConditionDoesNotMatterToAdaHessian() {
    assertEquals(157, iterations(10), 1);
    assertEquals(157, iterations(100), 1);
    assertEquals(157, iterations(1e4), 1);
  }

  private static int iterations(double condition) {
    int d = 50;
    double[] h = new double[d];
    for (int i = 0; i < d; i++) {
      h[i] = Math.pow(condition, i / (d - 1.0));
    }
    NoiseField probe = NoiseField.shared(SIGNS, Stream.PERTURBATION, 1, 0, 0, 1);
    try (Rig.Session session = Rig.best().open()) {
      Operand x = session.operand(DType.F64, new double[][] {filled(d, 1)}, d);
      Operand z = session.operand(DType.F64, new double[1][d], d);
      Noise.draw(probe, 1, z.matrix());
      double[] hz = z.values()[0];
      Arrays.setAll(hz, i -> hz[i] * h[i]);
      DeviceMatrix curvature = session.matrix(DType.F64, new double[][] {hz}, d);
      double start = gap(h, filled(d, 1));
      try (CurvatureStep step =
              new CurvatureStep(
                  new CurvatureRule.AdaHessian(0.1, 0.9, 0.999, 1e-8),
                  StepOptions.none(),
                  x.matrix());
          DeviceMatrix g = DeviceMatrix.allocate(session.queue(), 1, d, DType.F64)) {
        for (int t = 1; t < 1000; t++) {
          double[] present = x.values()[0];
          double[] gradient = new double[d];
          Arrays.setAll(gradient, i -> h[i] * present[i]);
          g.upload(gradient);
          step.apply(x.matrix(), g, curvature);
          if (gap(h, x.values()[0]) < 1e-10 * start) {
            return t;
          }
        }
      }
    }
    return 1000;
  }

  private static double gap(double[] h, double[] x) {
    double sum = 0;
    for (int i = 0; i < h.length; i++) {
      sum += 0.5 * h[i] * x[i] * x[i];
    }
    return sum;
  }

  /**
   * On a diagonal quadratic with an average that forgets, both norms of OASIS are equal: the second
   * branch of its step size is exactly one half.
   */
  @Test
  void theNormsOfOasisAgreeOnADiagonalQuadratic() {
    int cols = 200;
    double[][] x = values(1, cols, 8);
    double[][] before = values(1, cols, 9);
    // Powers of two: gradients, and their quotients, without rounding.
    double[] h = new double[cols];
    Arrays.setAll(h, i -> Math.scalb(1.0, i % 9 - 4));
    NoiseField probe = NoiseField.shared(SIGNS, Stream.PERTURBATION, 5, 2, 0, 1);
    try (Rig.Session session = Rig.best().open()) {
      Operand hz = session.operand(DType.F64, new double[1][cols], cols);
      Noise.draw(probe, 1, hz.matrix());
      double[][] product = hz.values();
      Arrays.setAll(product[0], i -> product[0][i] * h[i]);
      double[][] g = new double[1][cols];
      double[][] gBefore = new double[1][cols];
      Arrays.setAll(g[0], i -> h[i] * x[0][i]);
      Arrays.setAll(gBefore[0], i -> h[i] * before[0][i]);
      Operand norms = session.operand(DType.F64, new double[2][1], 1);
      Curvature.oasisStatistics(
          probe,
          0,
          1e-5,
          session.matrix(DType.F64, product, cols),
          session.matrix(DType.F64, new double[1][cols], cols),
          session.matrix(DType.F64, x, cols),
          session.matrix(DType.F64, before, cols),
          session.matrix(DType.F64, g, cols),
          session.matrix(DType.F64, gBefore, cols),
          norms.matrix());
      double[][] both = norms.values();
      assertTrue(both[0][0] > 0);
      // fma(h s, s) and fma((h s) / h, h s) round alike but for the place of h.
      assertEquals(both[0][0], both[1][0], 1e-13 * both[0][0]);
      session.release();
    }
  }
}
