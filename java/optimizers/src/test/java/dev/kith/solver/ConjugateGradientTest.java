package dev.kith.solver;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.solver.ConjugateGradient.Outcome;
import dev.kith.solver.ConjugateGradient.Row;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ConjugateGradientTest {
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  /** I - 2 v v' of a unit vector v: a symmetric orthogonal basis. */
  private static double[][] basis(int d, int seed) {
    double[] v = new double[d];
    double squares = 0;
    for (int i = 0; i < d; i++) {
      v[i] = Math.sin(1.7 * i + seed) + 0.1;
      squares += v[i] * v[i];
    }
    double[][] q = new double[d][d];
    for (int i = 0; i < d; i++) {
      for (int j = 0; j < d; j++) {
        q[i][j] = (i == j ? 1 : 0) - 2 * v[i] * v[j] / squares;
      }
    }
    return q;
  }

  /** Q diag(eigenvalues) Q'. */
  private static double[][] symmetric(double[] eigenvalues, int seed) {
    int d = eigenvalues.length;
    double[][] q = basis(d, seed);
    double[][] a = new double[d][d];
    for (int i = 0; i < d; i++) {
      for (int j = 0; j < d; j++) {
        for (int k = 0; k < d; k++) {
          a[i][j] += q[i][k] * eigenvalues[k] * q[j][k];
        }
      }
    }
    return a;
  }

  private static double[] times(double[][] a, double[] x) {
    double[] y = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      for (int j = 0; j < x.length; j++) {
        y[i] += a[i][j] * x[j];
      }
    }
    return y;
  }

  private static LinearOperator operator(double[][]... a) {
    return (x, product) -> {
      double[] flat = x.toDoubles();
      int d = Math.toIntExact(x.cols());
      for (int k = 0; k < a.length; k++) {
        double[] row = new double[d];
        System.arraycopy(flat, k * d, row, 0, d);
        System.arraycopy(times(a[k], row), 0, flat, k * d, d);
      }
      product.upload(flat);
    };
  }

  private static double[] right(int d, int seed) {
    double[] b = new double[d];
    for (int i = 0; i < d; i++) {
      b[i] = Math.cos(2.3 * i + seed);
    }
    return b;
  }

  private static double[] eigenvalues(int d, double... distinct) {
    double[] all = new double[d];
    for (int i = 0; i < d; i++) {
      all[i] = distinct[i % distinct.length];
    }
    return all;
  }

  private static double norm(double[] v) {
    return Math.sqrt(dot(v, v));
  }

  private record Solved(List<Row> rows, double[][] x) {}

  private Solved solve(ConjugateGradient.Builder options, LinearOperator operator, double[]... b) {
    try (DeviceMatrix right = DeviceMatrix.of(queue, b);
        DeviceMatrix x = right.like();
        ConjugateGradient solver = options.build(right)) {
      x.fill(7);
      List<Row> rows = solver.solve(operator, right, x);
      double[] flat = x.toDoubles();
      double[][] each = new double[b.length][b[0].length];
      for (int k = 0; k < b.length; k++) {
        System.arraycopy(flat, k * b[k].length, each[k], 0, b[k].length);
      }
      return new Solved(rows, each);
    }
  }

  private static ConjugateGradient.Builder tight() {
    return ConjugateGradient.builder().tolerance(1e-12);
  }

  /** As many iterations as distinct eigenvalues, and the solution. */
  @Test
  void distinctEigenvaluesTakeAnIterationEach() {
    double[] want = right(12, 5);
    for (double[] distinct : new double[][] {{3}, {1, 5}, {0.5, 2, 7, 11}}) {
      double[][] a = symmetric(eigenvalues(12, distinct), 1);
      Solved solved = solve(tight(), operator(a), times(a, want));
      assertEquals(
          new Row(Outcome.CONVERGED, distinct.length, solved.rows().getFirst().relativeResidual()),
          solved.rows().getFirst());
      // The condition is 22 at most, the residual 1e-12 of |b| < 11 |x|.
      assertArrayEquals(want, solved.x()[0], 1e-10);
    }
  }

  /** Rows that need one, three and no iterations end with the bits that they have alone. */
  @Test
  void eachRowEndsAsItDoesAlone() {
    double[][][] a = {
      symmetric(eigenvalues(9, 4), 1),
      symmetric(eigenvalues(9, 1, 6, 13), 2),
      symmetric(eigenvalues(9, 1, -2), 3),
      symmetric(eigenvalues(9, 2, 3, 4), 4)
    };
    double[][] b = {right(9, 1), right(9, 2), right(9, 3), new double[9]};
    Solved together = solve(tight().radius(1.5), operator(a), b);
    assertTrue(
        together.rows().stream().mapToInt(Row::iterations).distinct().count() > 2,
        "rows end at different times: " + together.rows());
    for (int k = 0; k < b.length; k++) {
      Solved alone = solve(tight().radius(1.5), operator(a[k]), b[k]);
      assertEquals(alone.rows().getFirst(), together.rows().get(k));
      assertArrayEquals(alone.x()[0], together.x()[k]);
    }
    assertEquals(new Row(Outcome.CONVERGED, 0, 0), together.rows().get(3));
    assertArrayEquals(new double[9], together.x()[3]);
  }

  /** The two-reduction form of the textbook, M. Hestenes and E. Stiefel, 1952. */
  private static double[] textbook(double[][] a, double[] b, int iterations) {
    int d = b.length;
    double[] x = new double[d];
    double[] r = b.clone();
    double[] p = b.clone();
    for (int t = 0; t < iterations; t++) {
      double[] image = times(a, p);
      double before = dot(r, r);
      double alpha = before / dot(p, image);
      for (int i = 0; i < d; i++) {
        x[i] += alpha * p[i];
        r[i] -= alpha * image[i];
      }
      double beta = dot(r, r) / before;
      for (int i = 0; i < d; i++) {
        p[i] = r[i] + beta * p[i];
      }
    }
    return x;
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  /** The iterates are those of the textbook, and their error in the norm of A falls. */
  @Test
  void theIteratesAreThoseOfTheTextbook() {
    double[] spectrum = new double[30];
    for (int i = 0; i < 30; i++) {
      spectrum[i] = 1 + 13 * i / 29.0;
    }
    double[][] a = symmetric(spectrum, 2);
    double[] want = right(30, 1);
    double[] b = times(a, want);
    double before = Double.POSITIVE_INFINITY;
    for (int t = 1; t <= 20; t++) {
      Solved solved =
          solve(ConjugateGradient.builder().tolerance(0).maxIterations(t), operator(a), b);
      assertEquals(t, solved.rows().getFirst().iterations());
      // Directions lose orthogonality by roundings that grow with the condition and the iterations.
      assertArrayEquals(textbook(a, b, t), solved.x()[0], 1e-9, "iteration " + t);
      double[] e = new double[30];
      for (int i = 0; i < 30; i++) {
        e[i] = solved.x()[0][i] - want[i];
      }
      double error = dot(e, times(a, e));
      assertTrue(error < before, error + " after " + t + " iterations, before " + before);
      before = error;
    }
  }

  @Test
  void negativeCurvatureEndsTheRow() {
    double[][] falling = symmetric(eigenvalues(6, -1), 1);
    double[] b = right(6, 1);
    Solved first = solve(tight(), operator(falling), b);
    assertEquals(Outcome.NEGATIVE_CURVATURE, first.rows().getFirst().outcome());
    assertArrayEquals(b, first.x()[0], "the first direction is b");

    // One step along b, which has positive curvature, and then none.
    double[][] mixed = symmetric(new double[] {5, 5, 5, 5, 5, -1}, 3);
    Solved later = solve(tight(), operator(mixed), b);
    double curvature = dot(b, times(mixed, b));
    assertTrue(curvature > 0);
    assertEquals(Outcome.NEGATIVE_CURVATURE, later.rows().getFirst().outcome());
    assertEquals(1, later.rows().getFirst().iterations());
    double step = dot(b, b) / curvature;
    for (int i = 0; i < 6; i++) {
      assertEquals(step * b[i], later.x()[0][i], 1e-14 * step);
    }

    Solved border = solve(tight().radius(2.5), operator(mixed), b);
    assertEquals(Outcome.NEGATIVE_CURVATURE, border.rows().getFirst().outcome());
    assertEquals(2.5, norm(border.x()[0]), 1e-12);
  }

  @Test
  void theTrustRegionIsKept() {
    double[][] a = symmetric(eigenvalues(10, 1, 2, 4, 8), 2);
    double[] b = right(10, 4);
    Solved free = solve(tight(), operator(a), b);
    double length = norm(free.x()[0]);
    Solved wide = solve(tight().radius(1.01 * length), operator(a), b);
    assertEquals(free.rows(), wide.rows());
    assertArrayEquals(free.x()[0], wide.x()[0]);

    Solved inside = solve(tight().radius(0.9 * length), operator(a), b);
    assertEquals(Outcome.BORDER, inside.rows().getFirst().outcome());
    assertEquals(0.9 * length, norm(inside.x()[0]), 1e-12 * length);

    Solved short1 = solve(tight().radius(1e-3 * length), operator(a), b);
    assertEquals(1, short1.rows().getFirst().iterations());
    for (int i = 0; i < 10; i++) {
      assertEquals(1e-3 * length * b[i] / norm(b), short1.x()[0][i], 1e-15 * length);
    }
  }

  @Test
  void tooFewIterationsAreSaid() {
    double[][] a = symmetric(eigenvalues(8, 1, 2, 4, 8), 2);
    double[] b = right(8, 1);
    Solved solved = solve(tight().maxIterations(2), operator(a), b);
    assertEquals(Outcome.NOT_CONVERGED, solved.rows().getFirst().outcome());
    assertEquals(2, solved.rows().getFirst().iterations());
    NotConvergedException e =
        assertThrows(
            NotConvergedException.class,
            () -> solve(tight().maxIterations(2).failWhenNotConverged(true), operator(a), b));
    assertEquals(0, e.row());
    assertEquals(2, e.iterations());
    assertEquals(solved.rows().getFirst().relativeResidual(), e.relativeResidual());
    assertTrue(e.getMessage().contains("2 iterations"), e.getMessage());
  }

  @Test
  void badOperatorsAreNamed() {
    double[][] a = symmetric(eigenvalues(5, 1, 3), 2);
    double[][] skew = symmetric(eigenvalues(5, 1, 3), 2);
    skew[0][4] += 0.5;
    double[] b = right(5, 1);
    IllegalArgumentException unsymmetric =
        assertThrows(
            IllegalArgumentException.class,
            () -> solve(tight().probeSymmetry(1e-10, 3), operator(a, skew), b, b));
    assertTrue(
        unsymmetric.getMessage().contains("row 1 is not symmetric"), unsymmetric.getMessage());
    assertArrayEquals(
        solve(tight(), operator(a), b).x()[0],
        solve(tight().probeSymmetry(1e-10, 3), operator(a), b).x()[0]);

    a[2][2] = Double.NaN;
    ArithmeticException broken =
        assertThrows(ArithmeticException.class, () -> solve(tight(), operator(skew, a), b, b));
    assertTrue(broken.getMessage().contains("row 1 is NaN"), broken.getMessage());
    b[3] = Double.POSITIVE_INFINITY;
    IllegalArgumentException infinite =
        assertThrows(IllegalArgumentException.class, () -> solve(tight(), operator(skew), b));
    assertTrue(infinite.getMessage().contains("finite right-hand side"), infinite.getMessage());
  }

  @Test
  void numbersOutOfRangeAreRefused() {
    ConjugateGradient.Builder builder = ConjugateGradient.builder();
    assertThrows(IllegalArgumentException.class, () -> builder.tolerance(-1));
    assertThrows(IllegalArgumentException.class, () -> builder.tolerance(Double.NaN));
    assertThrows(IllegalArgumentException.class, () -> builder.maxIterations(0));
    assertThrows(IllegalArgumentException.class, () -> builder.radius(0));
    assertThrows(IllegalArgumentException.class, () -> builder.probeSymmetry(Double.NaN, 1));
  }

  /** In f32 too the default tolerance is reached. */
  @Test
  void singlePrecisionReachesTheDefault() {
    double[][] a = symmetric(eigenvalues(16, 1, 2, 3, 5, 8), 2);
    double[] want = right(16, 2);
    double[] b = times(a, want);
    float[][] single = new float[1][16];
    for (int i = 0; i < 16; i++) {
      single[0][i] = (float) b[i];
    }
    try (DeviceMatrix right = DeviceMatrix.of(queue, single);
        DeviceMatrix x = right.like();
        ConjugateGradient solver = ConjugateGradient.builder().build(right)) {
      assertEquals(DType.F32, x.dtype());
      List<Row> rows = solver.solve(operator(a), right, x);
      assertEquals(Outcome.CONVERGED, rows.getFirst().outcome());
      // A residual of 1e-6 |b| and the roundings of a recurrence of a few steps.
      assertArrayEquals(want, x.toDoubles(), 5e-5);
    }
  }
}
