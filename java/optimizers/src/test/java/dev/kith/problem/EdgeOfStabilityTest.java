package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import org.junit.jupiter.api.Test;

class EdgeOfStabilityTest {
  @Test
  void gradientAndHessianAreThoseOfTheValue() {
    try (Queue queue = Device.cpu().newQueue();
        EdgeOfStability problem = new EdgeOfStability(2, 0.3, 7);
        DeviceMatrix x = DeviceMatrix.of(queue, new double[][] {{2, -1.5}, {0.5, 3}});
        DeviceMatrix v = DeviceMatrix.of(queue, new double[][] {{0.7, 1}, {-2, 0.25}});
        DeviceMatrix g = x.like();
        DeviceMatrix hv = x.like();
        DeviceMatrix values = x.like(1, 2, DType.F64)) {
      double[] at = x.toDoubles();
      double[] along = v.toDoubles();
      problem.gradient(x, g, 0);
      problem.hessianVector(x, v, hv);
      double[] slope = g.toDoubles();
      double[] product = hv.toDoubles();
      double h = 1e-5;
      double[][] up = at(problem, x, at, along, h, g, values);
      double[][] down = at(problem, x, at, along, -h, g, values);
      for (int i = 0; i < 2; i++) {
        assertEquals(
            slope[2 * i] * along[2 * i] + slope[2 * i + 1] * along[2 * i + 1],
            (up[0][i] - down[0][i]) / (2 * h),
            1e-8);
        for (int c = 2 * i; c < 2 * i + 2; c++) {
          assertEquals(product[c], (up[1][c] - down[1][c]) / (2 * h), 1e-8);
        }
      }
    }
    assertThrows(IllegalArgumentException.class, () -> new EdgeOfStability(1, 0, 1));
    assertThrows(IllegalArgumentException.class, () -> new EdgeOfStability(1, 1, Double.NaN));
  }

  private static double[][] at(
      EdgeOfStability problem,
      DeviceMatrix x,
      double[] at,
      double[] along,
      double h,
      DeviceMatrix g,
      DeviceMatrix values) {
    double[] moved = at.clone();
    for (int k = 0; k < moved.length; k++) {
      moved[k] += h * along[k];
    }
    x.upload(moved);
    problem.values(x, values);
    problem.gradient(x, g, 0);
    x.upload(at);
    return new double[][] {values.toDoubles(), g.toDoubles()};
  }
}
