package dev.kith.privacy;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class BandedNoiseTest {
  private static final int COLS = 1031;

  private static NoiseField field(long step, int firstNode, int rows) {
    return NoiseField.shared(
        NoiseField.Distribution.NORMAL, Stream.NODE_NOISE, 11, step, firstNode, rows);
  }

  private static double[] drawn(Queue queue, DType dtype, long step, int firstNode, int rows) {
    try (DeviceMatrix z = DeviceMatrix.allocate(queue, rows, COLS, dtype)) {
      Noise.draw(field(step, firstNode, rows), 1, z);
      return z.toDoubles();
    }
  }

  @Test
  void oneBandIsThePlainNoiseBitForBit() {
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix shape = DeviceMatrix.allocate(queue, 3, COLS, DType.F32);
        BandedNoise noise = new BandedNoise(ToeplitzFactor.identity(), shape)) {
      for (int t = 0; t < 4; t++) {
        assertArrayEquals(drawn(queue, DType.F32, t, 5, 3), noise.next(field(t, 5, 3)).toDoubles());
      }
    }
  }

  /** From the oldest output to the newest, each product in one rounding. */
  @Test
  void stepsFollowTheRecursionBitForBit() {
    for (DType dtype : List.of(DType.F32, DType.F64)) {
      for (int bands : new int[] {2, 3, 5, 6, 8, 9, 13}) {
        ToeplitzFactor factor = ToeplitzFactor.squareRoot(bands);
        double[] c = factor.coefficients();
        int steps = 2 * bands + 3;
        double[][] w = new double[steps][];
        try (Queue queue = Device.cpu().newQueue();
            DeviceMatrix shape = DeviceMatrix.allocate(queue, 2, COLS, dtype);
            BandedNoise noise = new BandedNoise(factor, shape)) {
          for (int t = 0; t < steps; t++) {
            w[t] = drawn(queue, dtype, t, 0, 2);
            for (int j = Math.min(t, bands - 1); j > 0; j--) {
              for (int i = 0; i < w[t].length; i++) {
                w[t][i] =
                    dtype == DType.F64
                        ? Math.fma(-c[j], w[t - j][i], w[t][i])
                        : Math.fma((float) -c[j], (float) w[t - j][i], (float) w[t][i]);
              }
            }
            assertArrayEquals(w[t], noise.next(field(t, 0, 2)).toDoubles(), bands + " " + t);
          }
          assertEquals(steps, noise.step());
        }
      }
    }
  }

  @Test
  void multipliedByTheFactorItIsTheNoiseOfTheSteps() {
    int bands = 8;
    double[] c = ToeplitzFactor.squareRoot(bands).coefficients();
    int steps = 40;
    double[][] w = new double[steps][];
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix shape = DeviceMatrix.allocate(queue, 1, COLS, DType.F32);
        BandedNoise noise = new BandedNoise(ToeplitzFactor.squareRoot(bands), shape)) {
      for (int t = 0; t < steps; t++) {
        w[t] = noise.next(field(t, 0, 1)).toDoubles();
        double[] z = drawn(queue, DType.F32, t, 0, 1);
        for (int i = 0; i < COLS; i++) {
          double sum = 0;
          double size = 0;
          for (int j = 0; j <= Math.min(t, bands - 1); j++) {
            sum += c[j] * w[t - j][i];
            size += Math.abs(c[j] * w[t - j][i]);
          }
          // Each of at most seven terms: its coefficient rounded, and the sum rounded.
          assertEquals(z[i], sum, 14 * 0x1p-24 * (size + Math.abs(z[i])));
        }
      }
    }
  }

  /** Card of noise over time: n = 1024 steps of 8 bands; the prefix sums have the error of B. */
  @Test
  void prefixSumsHaveTheErrorOfTheFactor() {
    int steps = 1024;
    int cols = 2000;
    ToeplitzFactor factor = ToeplitzFactor.squareRoot(8);
    double[] prefix = new double[cols];
    double squares = 0;
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix shape = DeviceMatrix.allocate(queue, 1, cols, DType.F32);
        BandedNoise noise = new BandedNoise(factor, shape)) {
      for (int t = 0; t < steps; t++) {
        double[] w = noise.next(field(t, 0, 1)).toDoubles();
        for (int i = 0; i < cols; i++) {
          prefix[i] += w[i];
          squares += prefix[i] * prefix[i];
        }
      }
    }
    double error =
        factor.sensitivity(Participation.once(steps)) * Math.sqrt(squares / steps / cols);
    // The card's pass rule: within 3 percent of 9.536374.
    assertEquals(9.536374, error, 0.03 * 9.536374);
  }

  @Test
  void rowsOfAnyProcessAndStepsAfterARestartAreTheSame() {
    ToeplitzFactor factor = ToeplitzFactor.squareRoot(6);
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix five = DeviceMatrix.allocate(queue, 5, COLS, DType.F32);
        DeviceMatrix two = DeviceMatrix.allocate(queue, 2, COLS, DType.F32);
        BandedNoise whole = new BandedNoise(factor, five);
        BandedNoise part = new BandedNoise(factor, two);
        BandedNoise resumed = new BandedNoise(factor, two)) {
      for (int t = 0; t < 12; t++) {
        if (t == 7) {
          for (int j = 0; j < part.ring().size(); j++) {
            resumed.ring().get(j).copyFrom(part.ring().get(j));
          }
          resumed.step(part.step());
        }
        double[] all = whole.next(field(t, 0, 5)).toDoubles();
        double[] own = part.next(field(t, 3, 2)).toDoubles();
        assertArrayEquals(Arrays.copyOfRange(all, 3 * COLS, 5 * COLS), own);
        if (t >= 7) {
          assertArrayEquals(own, resumed.next(field(t, 3, 2)).toDoubles());
        }
      }
    }
  }

  @Test
  void badInputIsRefusedAndChangesNothing() {
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix half = DeviceMatrix.allocate(queue, 1, COLS, DType.BF16);
        DeviceMatrix shape = DeviceMatrix.allocate(queue, 1, COLS, DType.F32);
        BandedNoise noise = new BandedNoise(ToeplitzFactor.squareRoot(3), shape)) {
      refused("BF16", () -> new BandedNoise(ToeplitzFactor.identity(), half));
      refused("-1", () -> noise.step(-1));
      refused("2 rows", () -> noise.next(field(0, 0, 2)));
      assertEquals(0, noise.step());
    }
  }

  private static void refused(String what, Runnable call) {
    String text = assertThrows(IllegalArgumentException.class, call::run).getMessage();
    assertTrue(text.contains(what), text);
  }
}
