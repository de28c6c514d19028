package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class SineBilevelTest {
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  @Test
  void derivativesAreThoseOfTheValues() {
    try (SineBilevel problem = new SineBilevel(3, 1)) {
      BilevelDerivatives.check(queue, problem, 0.7, 1e-7);
    }
  }

  @Test
  void theSlopeIsNotThatOfThePublishedCode() {
    try (SineBilevel problem = new SineBilevel(1, 1);
        DeviceMatrix z = DeviceMatrix.row(queue, 0.3, 1);
        DeviceMatrix g = z.like()) {
      problem.gradient(z, g, 0);
      // The code's precedence slip gives -0.515.
      assertEquals(-1.130, g.get(0, 0), 5e-4);
    }
  }

  @Test
  void theMinimaOnTheLowerSolutionsAreWhereTheyAreSaidToBe() {
    double[] at = {0.382, 1.215, 2.830};
    double[] value = {0.443, 0.1999, Double.NaN};
    try (SineBilevel problem = new SineBilevel(1, 1)) {
      for (int k = 0; k < 3; k++) {
        double here = value(problem, at[k]);
        if (k < 2) {
          assertEquals(value[k], here, 5e-4);
        }
        assertEquals(
            true, value(problem, at[k] - 0.01) > here && value(problem, at[k] + 0.01) > here);
      }
    }
  }

  private double value(SineBilevel problem, double x) {
    try (DeviceMatrix z = DeviceMatrix.row(queue, x, -x);
        DeviceMatrix out = DeviceMatrix.allocate(queue, 1, 1, DType.F64)) {
      problem.values(z, out);
      return out.get(0, 0);
    }
  }

  @Test
  void farAwayNothingOverflows() {
    try (SineBilevel problem = new SineBilevel(1, 2);
        DeviceMatrix z = DeviceMatrix.row(queue, -400.0, 400, 1, 2);
        DeviceMatrix g = z.like()) {
      problem.gradient(z, g, 0);
      double[] slopes = g.toDoubles();
      // f is ln |4 x - 2| out there, plus cos(4 y + 2) on the right.
      assertEquals(4.0 / -1602, slopes[0], 1e-5);
      assertEquals(4.0 / 1598, slopes[1], 1e-5);
      assertEquals(0, slopes[2]);
      assertEquals(-4 * Math.sin(10), slopes[3], 1e-12);
    }
    assertThrows(IllegalArgumentException.class, () -> new SineBilevel(1, 0));
  }
}
