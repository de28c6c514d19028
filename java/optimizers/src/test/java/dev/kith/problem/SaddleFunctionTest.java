package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import org.junit.jupiter.api.Test;

class SaddleFunctionTest {
  @Test
  void gradientsAndValuesAreThoseOfTheFormula() {
    try (Queue queue = Device.cpu().newQueue();
        SaddleFunction problem =
            new SaddleFunction(queue, DType.F64, new double[] {0.5, -0.5}, 2, 0, 1);
        DeviceMatrix x = DeviceMatrix.of(queue, new double[][] {{0, 0, 1, 2}, {-1, 3, 2, 0}});
        DeviceMatrix g = x.like();
        DeviceMatrix values = x.like(1, 2, DType.F64)) {
      problem.gradient(x, g, 0);
      assertArrayEquals(new double[] {0.5, 0, 0.5, 2, -0.5, 3, 5.5, 0}, g.toDoubles());
      problem.values(x, values);
      assertArrayEquals(
          new double[] {(0.25 + (2 + 0.5)) / 2, ((4.5 + 0.5) + (2.25 - 1)) / 2},
          values.toDoubles());
      assertEquals(4, problem.layout().size());
    }
  }

  @Test
  void theNoiseHasTheStatedDeviation() {
    int copies = 2000;
    try (Queue queue = Device.cpu().newQueue();
        SaddleFunction problem =
            new SaddleFunction(queue, DType.F64, new double[2], copies, 0.1, 1);
        DeviceMatrix x = DeviceMatrix.allocate(queue, 2, problem.layout(), DType.F64);
        DeviceMatrix g = x.like()) {
      problem.gradient(x, g, 3);
      double squares = 0;
      for (double v : g.toDoubles()) {
        squares += v * v;
      }
      // 8000 draws: the relative error of a variance estimate has deviation sqrt(2 / 8000) = 0.016;
      // five of them.
      assertEquals(0.01, squares / (4 * copies), 0.01 * 0.08);
    }
  }

  @Test
  void impossibleShapesAreRefused() {
    try (Queue queue = Device.cpu().newQueue()) {
      assertThrows(
          IllegalArgumentException.class,
          () -> new SaddleFunction(queue, DType.F64, new double[2], 0, 0, 1));
      assertThrows(
          IllegalArgumentException.class,
          () -> new SaddleFunction(queue, DType.F64, new double[2], 1, 0, 1, 1, 1));
    }
  }
}
