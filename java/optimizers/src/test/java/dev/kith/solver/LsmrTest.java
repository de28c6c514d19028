package dev.kith.solver;

import static dev.kith.solver.SymmetricSystems.operator;
import static dev.kith.solver.SymmetricSystems.pseudoInverse;
import static dev.kith.solver.SymmetricSystems.right;
import static dev.kith.solver.SymmetricSystems.row;
import static dev.kith.solver.SymmetricSystems.symmetric;
import static dev.kith.solver.SymmetricSystems.times;
import static dev.kith.solver.SymmetricSystems.transposed;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.solver.Lsmr.Row;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class LsmrTest {
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private record Solved(List<Row> rows, double[][] x) {}

  private Solved solve(Lsmr.Builder options, double[][][] a, double[]... b) {
    double[][][] adjoint = new double[a.length][][];
    for (int k = 0; k < a.length; k++) {
      adjoint[k] = transposed(a[k]);
    }
    try (DeviceMatrix right = DeviceMatrix.of(queue, b);
        DeviceMatrix x = right.like(b.length, a[0][0].length, DType.F64);
        Lsmr solver = options.build(right, x)) {
      x.fill(7);
      List<Row> rows = solver.solve(operator(a), operator(adjoint), right, x);
      double[][] each = new double[b.length][];
      for (int k = 0; k < b.length; k++) {
        each[k] = row(x, k);
      }
      return new Solved(rows, each);
    }
  }

  private static Lsmr.Builder tight() {
    return Lsmr.builder().tolerance(1e-13);
  }

  /** A'(b - Ax) - phi^2 x. */
  private static double[] gradient(double[][] a, double[] b, double phi, double[] x) {
    double[] r = b.clone();
    double[] image = times(a, x);
    for (int i = 0; i < r.length; i++) {
      r[i] -= image[i];
    }
    double[] g = times(transposed(a), r);
    for (int i = 0; i < g.length; i++) {
      g[i] -= phi * phi * x[i];
    }
    return g;
  }

  /** Tall: more equations than unknowns. */
  private static double[][] tall(int rows, int cols, int seed) {
    double[][] a = new double[rows][cols];
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < cols; j++) {
        a[i][j] = Math.sin(1.3 * i * (j + 1) + seed) + (i == j ? 2 : 0);
      }
    }
    return a;
  }

  @Test
  void theGradientVanishesAndIsTheOneThatIsTold() {
    double[][] a = tall(11, 6, 1);
    double[] b = right(11, 2);
    double start = SymmetricSystems.norm(times(transposed(a), b));
    for (double phi : new double[] {0, 0.3, 5}) {
      Solved solved = solve(tight().damping(phi), new double[][][] {a}, b);
      assertTrue(solved.rows().getFirst().converged(), "phi " + phi);
      assertArrayEquals(new double[6], gradient(a, b, phi, solved.x()[0]), 1e-11 * start);
      double before = 1;
      for (int t = 1; t < 5; t++) {
        Solved some =
            solve(
                Lsmr.builder().tolerance(0).damping(phi).maxIterations(t), new double[][][] {a}, b);
        double told = some.rows().getFirst().relativeGradient();
        double is = SymmetricSystems.norm(gradient(a, b, phi, some.x()[0])) / start;
        assertEquals(is, told, 1e-11, "phi " + phi + ", after " + t);
        assertTrue(told <= before, "phi " + phi + ", after " + t);
        assertFalse(some.rows().getFirst().converged());
        before = told;
      }
    }
  }

  /**
   * With a symmetric matrix and a tiny phi nearly its pseudo-inverse; that of the stack exactly.
   */
  @Test
  void theStackedSystemOfASymmetricMatrixIsSolved() {
    double[] spectrum = {2, -3, 0, 4, 1};
    double phi = 0.5;
    double[] inverse = new double[5];
    for (int i = 0; i < 5; i++) {
      inverse[i] = spectrum[i] / (spectrum[i] * spectrum[i] + phi * phi);
    }
    double[][] a = symmetric(spectrum, 3);
    double[] b = right(5, 1);
    Solved solved = solve(tight().damping(phi), new double[][][] {a}, b);
    assertArrayEquals(times(symmetric(inverse, 3), b), solved.x()[0], 1e-12);
    Solved exact = solve(tight(), new double[][][] {a}, b);
    assertArrayEquals(times(pseudoInverse(spectrum, 3), b), exact.x()[0], 1e-11);
  }

  @Test
  void eachRowEndsAsItDoesAlone() {
    double[][][] a = {tall(8, 5, 1), symmetricTall(8, 5), tall(8, 5, 3), tall(8, 5, 4)};
    double[][] b = {right(8, 1), right(8, 2), new double[8], right(8, 4)};
    Solved together = solve(tight().damping(0.2), a, b);
    assertTrue(
        together.rows().stream().mapToInt(Row::iterations).distinct().count() > 2,
        "rows end at different times: " + together.rows());
    for (int k = 0; k < b.length; k++) {
      Solved alone = solve(tight().damping(0.2), new double[][][] {a[k]}, b[k]);
      assertEquals(alone.rows().getFirst(), together.rows().get(k));
      assertArrayEquals(alone.x()[0], together.x()[k]);
    }
    assertEquals(new Row(true, 0, 0), together.rows().get(2));
    assertArrayEquals(new double[5], together.x()[2]);
  }

  /** Columns of equal length at right angles: one iteration. */
  private static double[][] symmetricTall(int rows, int cols) {
    double[][] a = new double[rows][cols];
    for (int j = 0; j < cols; j++) {
      a[j][j] = 3;
    }
    return a;
  }

  @Test
  void badInputIsNamed() {
    double[][] a = tall(6, 4, 1);
    double[] b = right(6, 1);
    NotConvergedException e =
        assertThrows(
            NotConvergedException.class,
            () ->
                solve(
                    tight().maxIterations(2).failWhenNotConverged(true), new double[][][] {a}, b));
    assertEquals(2, e.iterations());
    double[][] broken = tall(6, 4, 1);
    broken[1][1] = Double.NaN;
    var nan =
        assertThrows(
            ArithmeticException.class, () -> solve(tight(), new double[][][] {a, broken}, b, b));
    assertTrue(nan.getMessage().contains("row 1 is NaN"), nan.getMessage());
    assertThrows(IllegalArgumentException.class, () -> Lsmr.builder().damping(-1));
    assertThrows(IllegalArgumentException.class, () -> Lsmr.builder().tolerance(Double.NaN));
    try (DeviceMatrix right = DeviceMatrix.allocate(queue, 2, 6, DType.F64);
        DeviceMatrix x = DeviceMatrix.allocate(queue, 3, 4, DType.F64)) {
      assertThrows(IllegalArgumentException.class, () -> Lsmr.builder().build(right, x));
    }
  }
}
