package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class RegularizerTest {
  private static final double INFINITY = Double.POSITIVE_INFINITY;

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  /** prox_{t h} of the rows of a matrix of three columns, in both types: both are exact here. */
  private void expect(Regularizer h, double t, double[] v, double... expected) {
    for (DType dtype : List.of(DType.F32, DType.F64)) {
      try (DeviceMatrix in = DeviceMatrix.allocate(queue, v.length / 3, 3, dtype);
          DeviceMatrix out = in.like()) {
        in.upload(v);
        out.fill(77);
        h.proximal(in, t, out);
        assertArrayEquals(expected, out.toDoubles(), h.name() + " of " + dtype);
        assertArrayEquals(v, in.toDoubles());
      }
    }
  }

  @Test
  void l1PullsEveryNumberTowardsZero() {
    // t lambda = 1/2.
    expect(
        Regularizer.l1(0.25),
        2,
        new double[] {-3, -0.5, -0.25, 0, 0.5, 0.75, INFINITY, -INFINITY, Double.NaN},
        -2.5,
        0,
        0,
        0,
        0,
        0.25,
        INFINITY,
        -INFINITY,
        Double.NaN);
    expect(Regularizer.l1(0), 1, new double[] {-3, 0, 2}, -3, 0, 2);
    expect(Regularizer.l1(3), 0, new double[] {-3, 0, 2}, -3, 0, 2);
  }

  @Test
  void theSquaredNormScales() {
    expect(Regularizer.squaredNorm(1.5), 2, new double[] {-4, 0, Double.NaN}, -1, 0, Double.NaN);
  }

  @Test
  void nonNegativeNumbersStay() {
    expect(
        Regularizer.nonNegative(),
        0.5,
        new double[] {-3, -0.0, 2, -INFINITY, INFINITY, Double.NaN},
        0,
        0,
        2,
        0,
        INFINITY,
        Double.NaN);
  }

  @Test
  void theBoxKeepsWhatLiesInsideToTheBit() {
    expect(
        Regularizer.box(-0.25, 0.75),
        0.5,
        new double[] {-3, -0.25, 0.125, 0.5, 0.75, 2, Double.NaN, INFINITY, -INFINITY},
        -0.25,
        -0.25,
        0.125,
        0.5,
        0.75,
        0.75,
        Double.NaN,
        Double.NaN,
        Double.NaN);
    for (double wrong : new double[] {Double.NaN, INFINITY, -1}) {
      assertThrows(IllegalArgumentException.class, () -> Regularizer.box(0, wrong));
    }
  }

  @Test
  void weightsAndStepsThatAreNoneAreRefused() {
    for (double wrong : new double[] {-1, Double.NaN, INFINITY}) {
      for (Runnable made :
          List.<Runnable>of(
              () -> Regularizer.l1(wrong),
              () -> Regularizer.squaredNorm(wrong),
              () -> expect(Regularizer.l1(1), wrong, new double[3]),
              () -> expect(Regularizer.squaredNorm(1), wrong, new double[3]),
              () -> expect(Regularizer.nonNegative(), wrong, new double[3]))) {
        var e = assertThrows(IllegalArgumentException.class, made::run);
        assertTrue(e.getMessage().contains(Double.toString(wrong)), e.getMessage());
      }
    }
  }

  @Test
  void namesAreReadBack() {
    for (String name : List.of("l1:0.5", "squared-norm:0.25", "non-negative")) {
      assertEquals(name, Regularizer.parse(name).name());
    }
    for (String wrong : List.of("", "l1", "l1:", "l1:much", "l2:1", "non-negative:1", "l1:-1")) {
      assertThrows(IllegalArgumentException.class, () -> Regularizer.parse(wrong), wrong);
    }
  }
}
