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
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class AffineOperatorTest {
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  @Test
  void theOperatorIsAffineAndNotTransposed() {
    double[][] matrices = {{1, 2, -3, 4}, {0, 1, -1, 0}};
    double[][] offsets = {{0.5, -0.5}, {10, 20}};
    try (AffineOperator problem = AffineOperator.of(matrices, offsets).build(queue, DType.F64);
        DeviceMatrix z = DeviceMatrix.of(queue, new double[][] {{1, 2}, {3, 5}});
        DeviceMatrix f = z.like()) {
      problem.gradient(z, f, 0);
      assertArrayEquals(new double[] {5.5, 4.5, 15, 17}, f.toDoubles());
    }
  }

  @Test
  void theSumOfTheOperatorsVanishesAtTheSolution() {
    for (AffineOperator.Builder builder :
        List.of(
            AffineOperator.random(10, 20, 3),
            AffineOperator.bilinear(4, 7, 0.1, 3),
            AffineOperator.of(new double[][] {{0, 1, -1, 0}}, new double[][] {{3, 4}}))) {
      double[] z = builder.solution();
      int d = z.length;
      double[] sum = new double[d];
      for (int i = 0; i < builder.offsets().length; i++) {
        double[] a = builder.matrices()[i];
        for (int r = 0; r < d; r++) {
          sum[r] += builder.offsets()[i][r];
          for (int c = 0; c < d; c++) {
            sum[r] += a[r * d + c] * z[c];
          }
        }
      }
      // d products of numbers below 100 for each of the nodes, and a condition number below 100.
      assertArrayEquals(new double[d], sum, 100 * 100 * 200 * 0x1p-52);
    }
  }

  @Test
  void randomOperatorsHaveASkewPartOfNormOneAndAShift() {
    double[] a = AffineOperator.random(1, 20, 5).matrices()[0];
    double[] v = new double[20];
    Arrays.fill(v, 1);
    double norm = 0;
    for (int k = 0; k < 2000; k++) {
      double[] image = new double[20];
      for (int r = 0; r < 20; r++) {
        for (int c = 0; c < 20; c++) {
          image[r] += r == c ? 0 : a[r * 20 + c] * v[c];
        }
      }
      norm = Math.sqrt(Arrays.stream(image).map(e -> e * e).sum());
      double length = norm;
      v = Arrays.stream(image).map(e -> e / length).toArray();
    }
    assertEquals(1, norm, 1e-3);
    for (int r = 0; r < 20; r++) {
      assertTrue(a[r * 21] >= 0.1 && a[r * 21] <= 0.4);
      for (int c = 0; c < r; c++) {
        assertEquals(a[r * 20 + c], -a[c * 20 + r]);
      }
    }
  }

  @Test
  void aPartHoldsTheSameOperators() {
    AffineOperator.Builder builder = AffineOperator.bilinear(5, 3, 0.5, 2).noise(0.1, 4);
    try (AffineOperator whole = builder.build(queue, DType.F64);
        AffineOperator part = builder.nodes(2, 4).build(queue, DType.F64);
        DeviceMatrix z = DeviceMatrix.allocate(queue, 5, whole.layout(), DType.F64);
        DeviceMatrix f = z.like();
        DeviceMatrix y = DeviceMatrix.allocate(queue, 2, whole.layout(), DType.F64);
        DeviceMatrix g = y.like()) {
      z.fill(0.25);
      y.fill(0.25);
      whole.gradient(z, f, 3);
      part.gradient(y, g, 3);
      assertEquals(2, part.firstNode());
      assertArrayEquals(Arrays.copyOfRange(f.toDoubles(), 12, 24), g.toDoubles());
    }
  }

  @Test
  void impossibleProblemsAreRefused() {
    for (org.junit.jupiter.api.function.Executable wrong :
        List.<org.junit.jupiter.api.function.Executable>of(
            () -> AffineOperator.random(0, 3, 1),
            () -> AffineOperator.bilinear(2, 2, 0, 1),
            () -> AffineOperator.of(new double[2][4], new double[1][2]),
            () -> AffineOperator.of(new double[2][3], new double[2][2]),
            () -> AffineOperator.of(new double[1][4], new double[1][2]).solution(),
            () -> AffineOperator.random(3, 3, 1).nodes(2, 4))) {
      assertThrows(IllegalArgumentException.class, wrong);
    }
  }
}
