package dev.kith.random;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.NoiseField.Distribution;
import dev.kith.kernel.Secret;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;

/**
 * Moments, distribution functions and correlations of what the noise kernels draw: 10^7 numbers of
 * a row, 10^8 with {@code -Dkith.test.words=all}. Keys are fixed, so each test gives the same
 * answer for ever; limits are those of four standard deviations of an honest generator.
 */
class NoiseStatisticsTest {
  private static final int N =
      "all".equals(System.getProperty("kith.test.words")) ? 100_000_000 : 10_000_000;

  private static NoiseField field(boolean secret, Distribution d) {
    byte[] bytes = new byte[Secret.BYTES];
    Arrays.fill(bytes, (byte) 7);
    return secret
        ? NoiseField.secret(
            d, Stream.NODE_NOISE, List.of(new NoiseField.SecretRow(Secret.of(bytes), 1, 2)))
        : NoiseField.shared(d, Stream.NODE_NOISE, 5, 1, 2, 1);
  }

  private static float[] sample(boolean secret, Distribution d) {
    try (Queue queue = Device.named("cpu").newQueue();
        DeviceMatrix y = DeviceMatrix.allocate(queue, 1, N, DType.F32)) {
      Noise.draw(field(secret, d), 1, y);
      return y.toFloats();
    }
  }

  /** Mean and variance, fourth moment (central), and how far the distribution function is off. */
  private static void check(
      float[] z, double mean, double variance, double fourth, DoubleUnaryOperator cdf) {
    double sum = 0;
    double squares = 0;
    double neighbours = 0;
    for (int i = 0; i < N; i++) {
      double centred = z[i] - mean;
      sum += centred;
      squares += centred * centred;
      neighbours += i == 0 ? 0 : centred * (z[i - 1] - mean);
    }
    assertEquals(0, sum / N, 4 * Math.sqrt(variance / N), "mean");
    double ofSquares = Math.sqrt((fourth - variance * variance) / N);
    assertEquals(variance, squares / N, 4 * ofSquares, "variance");
    assertEquals(0, neighbours / N / variance, 4 / Math.sqrt(N), "correlation of neighbours");
    Arrays.parallelSort(z);
    double worst = 0;
    for (int i = 0; i < N; i++) {
      double f = cdf.applyAsDouble(z[i]);
      worst = Math.max(worst, Math.max(f - (double) i / N, (i + 1.0) / N - f));
    }
    // Kolmogorov: above 2.23 with probability 1e-4.
    assertTrue(worst * Math.sqrt(N) < 2.23, "distribution function: " + worst * Math.sqrt(N));
  }

  @Test
  void normalsAreNormal() {
    for (boolean secret : new boolean[] {false, true}) {
      check(sample(secret, Distribution.NORMAL), 0, 1, 3, NoiseStatisticsTest::normalCdf);
    }
  }

  @Test
  void laplaceNumbersAreLaplace() {
    for (boolean secret : new boolean[] {false, true}) {
      check(
          sample(secret, Distribution.LAPLACE),
          0,
          2,
          24,
          x -> x < 0 ? Math.exp(x) / 2 : 1 - Math.exp(-x) / 2);
    }
  }

  @Test
  void uniformsAreUniform() {
    for (boolean secret : new boolean[] {false, true}) {
      check(sample(secret, Distribution.UNIFORM), 0.5, 1.0 / 12, 1.0 / 80, x -> x);
    }
  }

  @Test
  void signsAreFair() {
    for (boolean secret : new boolean[] {false, true}) {
      double sum = 0;
      double neighbours = 0;
      float[] z = sample(secret, Distribution.RADEMACHER);
      for (int i = 0; i < N; i++) {
        assertEquals(1, Math.abs(z[i]));
        sum += z[i];
        neighbours += i == 0 ? 0 : z[i] * z[i - 1];
      }
      assertEquals(0, sum / N, 4 / Math.sqrt(N));
      assertEquals(0, neighbours / N, 4 / Math.sqrt(N));
    }
  }

  /** The mass beyond 4 and 5 standard deviations, which moments hardly see. */
  @Test
  void bothTailsHaveTheirMass() {
    float[] z = sample(false, Distribution.NORMAL);
    double[][] bounds = {{4, 3.16712418331199e-5}, {5, 2.86651571879194e-7}};
    for (double[] bound : bounds) {
      int below = 0;
      int above = 0;
      for (float v : z) {
        below += v < -bound[0] ? 1 : 0;
        above += v > bound[0] ? 1 : 0;
      }
      double expected = N * bound[1];
      assertEquals(expected, below, 4 * Math.sqrt(expected) + 1, "below " + -bound[0]);
      assertEquals(expected, above, 4 * Math.sqrt(expected) + 1, "above " + bound[0]);
    }
  }

  /** Nodes, rounds, streams, seeds, secrets and generators: rows of any two are uncorrelated. */
  @Test
  void rowsOfDifferentAddressesAreUncorrelated() {
    int n = N / 10;
    byte[] bytes = new byte[Secret.BYTES];
    Distribution d = Distribution.NORMAL;
    List<NoiseField> fields = new ArrayList<>();
    fields.add(NoiseField.shared(d, Stream.NODE_NOISE, 1, 0, 0, 2));
    fields.add(NoiseField.shared(d, Stream.NODE_NOISE, 1, 1, 0, 1));
    fields.add(NoiseField.shared(d, Stream.NODE_NOISE, 1, 1L << 32, 0, 1));
    fields.add(NoiseField.shared(d, Stream.EDGE_NOISE, 1, 0, 0, 1));
    fields.add(NoiseField.shared(d, Stream.NODE_NOISE, 2, 0, 0, 1));
    for (byte last : new byte[] {0, 1}) {
      bytes[31] = last;
      Secret secret = Secret.of(bytes);
      fields.add(
          NoiseField.secret(
              d,
              Stream.NODE_NOISE,
              List.of(
                  new NoiseField.SecretRow(secret, 0, 0),
                  new NoiseField.SecretRow(secret, 0, 1),
                  new NoiseField.SecretRow(secret, 1, 0))));
    }
    List<float[]> rows = new ArrayList<>();
    try (Queue queue = Device.named("cpu").newQueue()) {
      for (NoiseField field : fields) {
        try (DeviceMatrix y = DeviceMatrix.allocate(queue, field.count(), n, DType.F32)) {
          Noise.draw(field, 1, y);
          float[] all = y.toFloats();
          for (int k = 0; k < field.count(); k++) {
            rows.add(Arrays.copyOfRange(all, k * n, (k + 1) * n));
          }
        }
      }
    }
    assertEquals(12, rows.size());
    for (int i = 0; i < rows.size(); i++) {
      for (int j = 0; j < i; j++) {
        double sum = 0;
        for (int c = 0; c < n; c++) {
          sum += (double) rows.get(i)[c] * rows.get(j)[c];
        }
        // Of 66 pairs one is beyond 5 standard deviations with probability 4e-5.
        assertEquals(0, sum / n, 5 / Math.sqrt(n), "rows " + i + " and " + j);
      }
    }
  }

  /** Abramowitz and Stegun 26.2.17, error below 7.5e-8. */
  private static double normalCdf(double x) {
    double t = 1 / (1 + 0.2316419 * Math.abs(x));
    double tail =
        Math.exp(-x * x / 2)
            / Math.sqrt(2 * Math.PI)
            * t
            * (0.319381530
                + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
    return x < 0 ? tail : 1 - tail;
  }
}
