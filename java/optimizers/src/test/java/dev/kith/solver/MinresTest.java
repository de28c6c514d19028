package dev.kith.solver;

import static dev.kith.solver.SymmetricSystems.norm;
import static dev.kith.solver.SymmetricSystems.operator;
import static dev.kith.solver.SymmetricSystems.pseudoInverse;
import static dev.kith.solver.SymmetricSystems.right;
import static dev.kith.solver.SymmetricSystems.row;
import static dev.kith.solver.SymmetricSystems.symmetric;
import static dev.kith.solver.SymmetricSystems.times;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.solver.Minres.Outcome;
import dev.kith.solver.Minres.Row;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class MinresTest {
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private record Solved(List<Row> rows, double[][] x) {}

  private Solved solve(Minres.Builder options, LinearOperator operator, double[]... b) {
    try (DeviceMatrix right = DeviceMatrix.of(queue, b);
        DeviceMatrix x = right.like();
        Minres solver = options.build(right)) {
      x.fill(7);
      List<Row> rows = solver.solve(operator, right, x);
      double[][] each = new double[b.length][];
      for (int k = 0; k < b.length; k++) {
        each[k] = row(x, k);
      }
      return new Solved(rows, each);
    }
  }

  private static Minres.Builder tight() {
    return Minres.builder().tolerance(1e-12);
  }

  /** Indefinite systems take an iteration for each distinct eigenvalue. */
  @Test
  void indefiniteSystemsAreSolved() {
    double[] want = right(9, 4);
    double[] spectrum = {3, -1, 5, 3, -1, 5, -1, 3, 5};
    double[][] a = symmetric(spectrum, 1);
    Solved solved = solve(tight(), operator(a), times(a, want));
    assertEquals(Outcome.CONVERGED, solved.rows().getFirst().outcome());
    assertEquals(3, solved.rows().getFirst().iterations());
    // A residual of 1e-12 |b| and a least |eigenvalue| of 1.
    assertArrayEquals(want, solved.x()[0], 1e-10);
  }

  /** The residual falls in every iteration, and is the one that is told. */
  @Test
  void theResidualFallsAndIsTheOneThatIsTold() {
    double[] spectrum = new double[24];
    for (int i = 0; i < 24; i++) {
      spectrum[i] = i % 3 == 0 ? -1 - i / 4.0 : 1 + i / 2.0;
    }
    double[][] a = symmetric(spectrum, 3);
    double[] b = right(24, 2);
    double before = 1;
    for (int t = 1; t <= 20; t++) {
      Solved solved = solve(Minres.builder().tolerance(0).maxIterations(t), operator(a), b);
      double[] r = b.clone();
      double[] image = times(a, solved.x()[0]);
      for (int i = 0; i < 24; i++) {
        r[i] -= image[i];
      }
      double residual = norm(r) / norm(b);
      assertEquals(residual, solved.rows().getFirst().relativeResidual(), 1e-10, "after " + t);
      assertTrue(residual <= before * (1 + 1e-12), "after " + t);
      assertEquals(Outcome.NOT_CONVERGED, solved.rows().getFirst().outcome());
      before = residual;
    }
  }

  /** Of singular systems the shortest least-squares solution, consistent or not. */
  @Test
  void singularSystemsGiveThePseudoInverse() {
    double[] spectrum = {2, -3, 0, 4, 0, -3, 2};
    double[][] a = symmetric(spectrum, 2);
    double[] b = right(7, 1);
    double[] want = times(pseudoInverse(spectrum, 2), b);
    Solved solved = solve(tight(), operator(a), b);
    assertEquals(Outcome.LEAST_SQUARES, solved.rows().getFirst().outcome());
    // The residual is exact to its square root where |A r| is what ends it: 1e-12 of |A| |r|.
    assertArrayEquals(want, solved.x()[0], 1e-9);

    Solved consistent = solve(tight(), operator(a), times(a, b));
    assertEquals(Outcome.CONVERGED, consistent.rows().getFirst().outcome());
    assertArrayEquals(times(pseudoInverse(spectrum, 2), times(a, b)), consistent.x()[0], 1e-10);

    double[][] nothing = symmetric(new double[7], 2);
    Solved zero = solve(tight(), operator(nothing), b);
    assertEquals(Outcome.LEAST_SQUARES, zero.rows().getFirst().outcome());
    assertArrayEquals(new double[7], zero.x()[0]);
  }

  @Test
  void eachRowEndsAsItDoesAlone() {
    double[][][] a = {
      symmetric(new double[] {4, 4, 4, 4, 4, 4}, 1),
      symmetric(new double[] {1, -6, 13, 1, -6, 13}, 2),
      symmetric(new double[] {1, 0, -2, 3, 0, 5}, 3),
      symmetric(new double[] {1, 2, 3, 4, 5, 6}, 4)
    };
    double[][] b = {right(6, 1), right(6, 2), right(6, 3), new double[6]};
    Solved together = solve(tight(), operator(a), b);
    assertTrue(
        together.rows().stream().mapToInt(Row::iterations).distinct().count() > 2,
        "rows end at different times: " + together.rows());
    for (int k = 0; k < b.length; k++) {
      Solved alone = solve(tight(), operator(a[k]), b[k]);
      assertEquals(alone.rows().getFirst(), together.rows().get(k));
      assertArrayEquals(alone.x()[0], together.x()[k]);
    }
    assertEquals(new Row(Outcome.CONVERGED, 0, 0), together.rows().get(3));
  }

  @Test
  void badInputIsNamed() {
    double[][] a = symmetric(new double[] {1, 2, 3, 4}, 1);
    double[] b = right(4, 1);
    NotConvergedException e =
        assertThrows(
            NotConvergedException.class,
            () -> solve(tight().maxIterations(2).failWhenNotConverged(true), operator(a), b));
    assertEquals(2, e.iterations());
    double[][] broken = symmetric(new double[] {1, 2, 3, 4}, 1);
    broken[1][1] = Double.NaN;
    var nan =
        assertThrows(ArithmeticException.class, () -> solve(tight(), operator(a, broken), b, b));
    assertTrue(nan.getMessage().contains("row 1 is NaN"), nan.getMessage());
    double[] infinite = {1, Double.POSITIVE_INFINITY, 0, 0};
    assertThrows(IllegalArgumentException.class, () -> solve(tight(), operator(a), infinite));
    assertThrows(IllegalArgumentException.class, () -> Minres.builder().tolerance(-1));
    assertThrows(IllegalArgumentException.class, () -> Minres.builder().maxIterations(0));
  }
}
