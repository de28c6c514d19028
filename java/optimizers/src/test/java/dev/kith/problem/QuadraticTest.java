package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class QuadraticTest {
  private static final int N = 5;
  private static final int D = 4;

  private final Queue queue = Device.cpu().newQueue();
  private final Quadratic.Builder objectives = Quadratic.random(N, D, 10, 2, 7);

  @AfterEach
  void close() {
    queue.close();
  }

  private DeviceMatrix points() {
    double[][] rows = new double[N][D];
    for (int i = 0; i < N; i++) {
      for (int c = 0; c < D; c++) {
        rows[i][c] = Math.sin(3 * i + c);
      }
    }
    return DeviceMatrix.of(queue, rows);
  }

  @Test
  void theGradientIsTheSlopeOfTheValue() {
    double step = 1e-5;
    try (Quadratic problem = objectives.build(queue, DType.F64);
        DeviceMatrix x = points();
        DeviceMatrix g = x.like();
        DeviceMatrix up = x.like(1, N, DType.F64);
        DeviceMatrix down = up.like()) {
      problem.gradient(x, g, 0);
      for (int c = 0; c < D; c++) {
        for (int i = 0; i < N; i++) {
          x.set(i, c, x.get(i, c) + step);
        }
        problem.values(x, up);
        for (int i = 0; i < N; i++) {
          x.set(i, c, x.get(i, c) - 2 * step);
        }
        problem.values(x, down);
        for (int i = 0; i < N; i++) {
          x.set(i, c, x.get(i, c) + step);
          // Central differences are exact for quadratics; values below 1000 have errors of 1e-13.
          assertEquals(g.get(i, c), (up.get(0, i) - down.get(0, i)) / (2 * step), 1e-7);
        }
      }
    }
  }

  @Test
  void theCurvatureHasTheStatedEigenvalues() {
    for (double[] h : objectives.curvatures()) {
      double trace = 0;
      double squares = 0;
      for (int r = 0; r < D; r++) {
        trace += h[r * D + r];
        for (int c = 0; c < D; c++) {
          squares += h[r * D + c] * h[r * D + c];
        }
      }
      double a = Math.cbrt(10);
      assertEquals(1 + a + a * a + 10, trace, 1e-12);
      assertEquals(1 + a * a + Math.pow(a, 4) + 100, squares, 1e-11);
    }
  }

  @Test
  void atTheOptimumTheGradientsCancel() {
    try (Quadratic problem = objectives.build(queue, DType.F64);
        DeviceMatrix x = points();
        DeviceMatrix g = x.like()) {
      for (int i = 0; i < N; i++) {
        for (int c = 0; c < D; c++) {
          x.set(i, c, problem.optimum()[c]);
        }
      }
      problem.gradient(x, g, 0);
      double[] sum = new double[D];
      double[] flat = g.toDoubles();
      for (int k = 0; k < flat.length; k++) {
        sum[k % D] += flat[k];
      }
      assertArrayEquals(new double[D], sum, 1e-12);
    }
  }

  @Test
  void theHessianIsTheDifferenceOfGradients() {
    try (Quadratic problem = objectives.build(queue, DType.F64);
        DeviceMatrix x = points();
        DeviceMatrix zero = x.like();
        DeviceMatrix hx = x.like();
        DeviceMatrix g = x.like();
        DeviceMatrix g0 = x.like()) {
      problem.hessianVector(zero, x, hx);
      problem.gradient(x, g, 0);
      problem.gradient(zero, g0, 0);
      double[] expected = g.toDoubles();
      double[] base = g0.toDoubles();
      Arrays.setAll(expected, k -> expected[k] - base[k]);
      assertArrayEquals(expected, hx.toDoubles(), 1e-13 * 100);
    }
  }

  @Test
  void theProximalPointBalancesGradientAndDistance() {
    double t = 0.7;
    try (Quadratic problem = objectives.build(queue, DType.F64);
        DeviceMatrix v = points();
        DeviceMatrix p = v.like();
        DeviceMatrix g = v.like()) {
      problem.proximal(v, t, p);
      problem.gradient(p, g, 0);
      double[] start = v.toDoubles();
      double[] end = p.toDoubles();
      double[] slope = g.toDoubles();
      for (int k = 0; k < start.length; k++) {
        assertEquals(0, slope[k] + (end[k] - start[k]) / t, 1e-12);
      }
      assertThrows(IllegalArgumentException.class, () -> problem.proximal(v, 0, p));
    }
  }

  @Test
  void aPartOfTheNodesGivesItsRowsOfTheWholeWithNoise() {
    try (Quadratic whole = objectives.noise(0.5, 3).build(queue, DType.F32);
        Quadratic part = objectives.nodes(1, 3).build(queue, DType.F32);
        DeviceMatrix points = points();
        DeviceMatrix x = DeviceMatrix.allocate(queue, N, D, DType.F32);
        DeviceMatrix g = x.like();
        DeviceMatrix some = x.rows(1, 3);
        DeviceMatrix partial = some.like()) {
      x.copyFrom(points);
      whole.gradient(x, g, 5);
      part.gradient(some, partial, 5);
      double[] all = g.toDoubles();
      assertArrayEquals(Arrays.copyOfRange(all, D, 3 * D), partial.toDoubles());
      assertEquals(1, part.firstNode());
      assertEquals(2, part.localNodes());
      assertEquals(N, part.nodes());
      whole.gradient(x, g, 6);
      assertTrue(!Arrays.equals(all, g.toDoubles()), "another round, another noise");
    }
  }

  @Test
  void impossibleObjectivesAreRefused() {
    double[][] b = {{1, 2}};
    assertThrows(
        IllegalArgumentException.class, () -> Quadratic.of(new double[0][], new double[0][]));
    assertThrows(IllegalArgumentException.class, () -> Quadratic.of(new double[][] {{1, 2, 3}}, b));
    var e =
        assertThrows(
            IllegalArgumentException.class, () -> Quadratic.of(new double[][] {{1, 2, 3, 1}}, b));
    assertTrue(e.getMessage().contains("not symmetric"), e.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () -> Quadratic.of(new double[][] {{1, 1, 1, 1}}, b).optimum());
    assertThrows(IllegalArgumentException.class, () -> objectives.nodes(3, 3));
    assertThrows(
        IllegalArgumentException.class, () -> objectives.noise(-1, 1).build(queue, DType.F32));
    assertThrows(IllegalArgumentException.class, () -> Quadratic.random(3, 2, 0.5, 1, 1));
  }
}
