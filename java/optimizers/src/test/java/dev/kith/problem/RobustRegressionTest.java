package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class RobustRegressionTest {
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  /** f_i of the formula. */
  private static double value(
      double[][] a, double[] y, double lambda, double beta, double[] z, int size) {
    double value = 0;
    for (int k = 0; k < a.length; k++) {
      double error = -y[k];
      for (int c = 0; c < size; c++) {
        error += z[c] * (a[k][c] + z[size + c]);
      }
      value += error * error / (2 * a.length);
    }
    for (int c = 0; c < size; c++) {
      value += lambda / 2 * z[c] * z[c] - beta / 2 * z[size + c] * z[size + c];
    }
    return value;
  }

  @Test
  void theOperatorIsTheSlopeInTheModelAndTheNegativeSlopeInTheShift() {
    double[][][] a = {{{1, -2}, {0.5, 3}}, {{2, 1}}};
    double[][] y = {{1, -1}, {0.5}};
    double[][] z = {{0.25, -1, 0.5, 0.75}, {1, 2, -0.5, 0.125}};
    double step = 1e-5;
    try (RobustRegression problem = RobustRegression.of(a, y).regularization(0.5, 3).build();
        DeviceMatrix x = DeviceMatrix.of(queue, z);
        DeviceMatrix f = x.like()) {
      problem.gradient(x, f, 0);
      for (int i = 0; i < 2; i++) {
        for (int c = 0; c < 4; c++) {
          double[] up = z[i].clone();
          double[] down = z[i].clone();
          up[c] += step;
          down[c] -= step;
          double slope =
              (value(a[i], y[i], 0.5, 3, up, 2) - value(a[i], y[i], 0.5, 3, down, 2)) / (2 * step);
          // Values below 100 have errors of 1e-14, third derivatives below 100 add 1e-8.
          assertEquals(c < 2 ? slope : -slope, f.get(i, c), 1e-7);
        }
      }
    }
  }

  @Test
  void aPartHoldsTheSameData() {
    RobustRegression.Builder builder = RobustRegression.random(3, 5, 2, 1, 9);
    try (RobustRegression whole = builder.build();
        RobustRegression part = builder.nodes(1, 3).build();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 3, whole.layout(), DType.F64);
        DeviceMatrix f = x.like()) {
      x.fill(0.5);
      whole.gradient(x, f, 0);
      assertEquals(3, whole.localNodes());
      try (DeviceMatrix y = x.rows(1, 3);
          DeviceMatrix g = DeviceMatrix.allocate(queue, 2, part.layout(), DType.F64);
          DeviceMatrix expected = f.rows(1, 3)) {
        part.gradient(y, g, 0);
        assertArrayEquals(expected.toDoubles(), g.toDoubles());
      }
    }
  }

  @Test
  void impossibleDataAreRefused() {
    assertThrows(
        IllegalArgumentException.class,
        () -> RobustRegression.of(new double[][][] {{{1, 2}, {3}}}, new double[][] {{1, 2}}));
    assertThrows(
        IllegalArgumentException.class,
        () -> RobustRegression.of(new double[][][] {{{1, 2}}}, new double[][] {{1, 2}}));
    assertThrows(IllegalArgumentException.class, () -> RobustRegression.random(1, 0, 1, 1, 1));
    assertThrows(
        IllegalArgumentException.class,
        () -> RobustRegression.random(2, 2, 2, 1, 1).regularization(0, 1));
  }
}
