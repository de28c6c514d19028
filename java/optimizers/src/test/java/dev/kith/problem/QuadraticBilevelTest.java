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

class QuadraticBilevelTest {
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  @Test
  void derivativesAreThoseOfTheValues() {
    try (QuadraticBilevel problem =
        QuadraticBilevel.random(3, 4, 5, 0.5, 1).build(queue, DType.F64)) {
      BilevelDerivatives.check(queue, problem, 1, 1e-7);
    }
  }

  @Test
  void theGradientIsThatOfTheUpperValueAtTheLowerSolution() {
    int p = 3;
    int q = 4;
    QuadraticBilevel.Builder builder = QuadraticBilevel.random(5, p, q, 0.5, 2).regularization(0.3);
    double[] x = {0.3, -1, 0.5};
    double[] gradient = builder.hypergradient(x);
    double h = 1e-5;
    for (int c = 0; c < p; c++) {
      double[] up = x.clone();
      double[] down = x.clone();
      up[c] += h;
      down[c] -= h;
      assertEquals((whole(builder, up) - whole(builder, down)) / (2 * h), gradient[c], 1e-8);
    }
  }

  /** Mean over the nodes of f_i(x, y*(x)), by integrating its gradient in y from 0: exact. */
  private double whole(QuadraticBilevel.Builder builder, double[] x) {
    double[] y = builder.lowerSolution(x);
    try (QuadraticBilevel problem = builder.build(queue, DType.F64);
        DeviceMatrix z = DeviceMatrix.allocate(queue, 5, problem.layout(), DType.F64);
        DeviceMatrix g = z.like()) {
      double[] half = new double[(x.length + y.length) * 5];
      for (int i = 0; i < 5; i++) {
        for (int c = 0; c < x.length; c++) {
          half[i * (x.length + y.length) + c] = x[c] / 2;
        }
        for (int c = 0; c < y.length; c++) {
          half[i * (x.length + y.length) + x.length + c] = y[c] / 2;
        }
      }
      z.upload(half);
      problem.gradient(z, g, 0);
      // f is quadratic: f(z) - f(0) = z . grad f(z / 2).
      double[] slope = g.toDoubles();
      double sum = 0;
      for (int k = 0; k < slope.length; k++) {
        sum += 2 * half[k] * slope[k] / 5;
      }
      return sum;
    }
  }

  @Test
  void theLowerSolutionEndsTheMeanLowerGradient() {
    QuadraticBilevel.Builder builder = QuadraticBilevel.random(4, 2, 3, 0.5, 3);
    double[] x = {1, -2};
    double[] y = builder.lowerSolution(x);
    try (QuadraticBilevel problem = builder.build(queue, DType.F64);
        DeviceMatrix xs = DeviceMatrix.of(queue, new double[][] {x, x, x, x});
        DeviceMatrix ys = DeviceMatrix.of(queue, new double[][] {y, y, y, y});
        DeviceMatrix g = ys.like()) {
      problem.lowerGradient(xs, ys, g, 0);
      double[] mean = new double[3];
      double[] all = g.toDoubles();
      for (int k = 0; k < all.length; k++) {
        mean[k % 3] += all[k] / 4;
      }
      assertArrayEquals(new double[3], mean, 1e-13);
      assertTrue(Arrays.stream(all).anyMatch(v -> Math.abs(v) > 0.1), "the nodes differ");
    }
  }

  @Test
  void noiseOfDifferentDerivativesIsIndependentAndRepeats() {
    try (QuadraticBilevel problem =
            QuadraticBilevel.random(2, 3, 3, 0.5, 1).noise(1, 5).build(queue, DType.F64);
        QuadraticBilevel exact = QuadraticBilevel.random(2, 3, 3, 0.5, 1).build(queue, DType.F64);
        DeviceMatrix x = DeviceMatrix.allocate(queue, 2, 3, DType.F64);
        DeviceMatrix noisy = x.like();
        DeviceMatrix clean = x.like()) {
      double[][] noise = new double[4][6];
      for (int kind = 0; kind < 3; kind++) {
        evaluate(problem, kind, x, noisy, 3);
        evaluate(exact, kind, x, clean, 3);
        double[] a = noisy.toDoubles();
        double[] b = clean.toDoubles();
        for (int k = 0; k < 6; k++) {
          noise[kind][k] = a[k] - b[k];
        }
        evaluate(problem, kind, x, noisy, 3);
        assertArrayEquals(a, noisy.toDoubles());
        for (int other = 0; other < kind; other++) {
          assertTrue(Math.abs(noise[kind][0] - noise[other][0]) > 1e-6, kind + " and " + other);
        }
      }
    }
  }

  private static void evaluate(
      QuadraticBilevel problem, int kind, DeviceMatrix x, DeviceMatrix out, long round) {
    switch (kind) {
      case 0 -> problem.lowerGradient(x, x, out, round);
      case 1 -> problem.lowerHessianVector(x, x, x, out, round);
      default -> problem.lowerMixedVector(x, x, x, out, round);
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    double[][] h = {{1, 0.5, 0, 1}};
    double[][] b = {{1, 1}};
    double[][] a = {{0, 0}};
    var skew = assertThrows(IllegalArgumentException.class, () -> QuadraticBilevel.of(h, b, a, a));
    assertTrue(skew.getMessage().contains("not symmetric at (1, 0)"), skew.getMessage());
    var flat =
        assertThrows(
            IllegalArgumentException.class,
            () -> QuadraticBilevel.of(new double[][] {{1, 1, 1, 1}}, b, a, a));
    assertTrue(flat.getMessage().contains("no lower minimum"), flat.getMessage());
    var few =
        assertThrows(
            IllegalArgumentException.class, () -> QuadraticBilevel.of(new double[0][], b, a, a));
    assertTrue(few.getMessage().contains("0 curvatures"), few.getMessage());
    var size =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                QuadraticBilevel.of(
                    new double[][] {{1, 0, 0, 1}}, b, a, new double[][] {{0, 0, 0}}));
    assertTrue(size.getMessage().contains("with p = 1 and q = 2"), size.getMessage());
  }
}
