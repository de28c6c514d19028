package dev.kith.random;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.function.DoubleUnaryOperator;
import java.util.function.LongToDoubleFunction;
import org.junit.jupiter.api.Test;

/**
 * Sanity of the distributions. The seeds are fixed, so each test gives the same answer for ever;
 * the limits are the four-sigma ones of an honest generator, and a wrong word order, shift or
 * coefficient misses them by far.
 */
class SharedRandomStatisticsTest {
  private static final int N = 1_000_000;

  private static double[] sample(LongToDoubleFunction f) {
    double[] x = new double[N];
    Arrays.setAll(x, f::applyAsDouble);
    return x;
  }

  private static double mean(double[] x) {
    return Arrays.stream(x).sum() / x.length;
  }

  /** The Kolmogorov-Smirnov statistic times sqrt(N): above 2.23 with probability 1e-4. */
  private static double kolmogorovSmirnov(double[] x, DoubleUnaryOperator cdf) {
    double[] sorted = x.clone();
    Arrays.sort(sorted);
    double worst = 0;
    for (int i = 0; i < sorted.length; i++) {
      double f = cdf.applyAsDouble(sorted[i]);
      worst = Math.max(worst, Math.max(f - (double) i / N, (i + 1.0) / N - f));
    }
    return worst * Math.sqrt(N);
  }

  private static void assertUniform(double[] x) {
    assertEquals(0.5, mean(x), 4 * Math.sqrt(1.0 / 12 / N));
    double variance = mean(sampleOf(x, u -> (u - 0.5) * (u - 0.5)));
    // The variance of (u - 1/2)^2 is 1/180.
    assertEquals(1.0 / 12, variance, 4 * Math.sqrt(1.0 / 180 / N));
    assertTrue(kolmogorovSmirnov(x, u -> u) < 2.23);
    assertEquals(0, lagOne(x, 0.5) * 12, 4 / Math.sqrt(N));
  }

  private static double[] sampleOf(double[] x, DoubleUnaryOperator f) {
    return Arrays.stream(x).map(f).toArray();
  }

  private static double lagOne(double[] x, double mean) {
    double sum = 0;
    for (int i = 1; i < x.length; i++) {
      sum += (x[i - 1] - mean) * (x[i] - mean);
    }
    return sum / x.length;
  }

  @Test
  void floatUniformsAreUniform() {
    SharedRandom r = new SharedRandom(1, Stream.TEST, 0, 0);
    assertUniform(sample(r::uniformFloat));
  }

  @Test
  void doubleUniformsAreUniform() {
    SharedRandom r = new SharedRandom(2, Stream.TEST, 0, 0);
    assertUniform(sample(r::uniform));
  }

  /**
   * One number from each node, and one from each round: neighbours in the counter are not
   * neighbours in value.
   */
  @Test
  void nodesAndRoundsAreIndependent() {
    assertUniform(sample(i -> new SharedRandom(3, Stream.TEST, (int) i, 7).uniform(0)));
    assertUniform(sample(i -> new SharedRandom(3, Stream.TEST, 7, i).uniform(0)));
    assertUniform(sample(i -> new SharedRandom(i, Stream.TEST, 0, 0).uniform(0)));
  }

  @Test
  void normalsAreNormal() {
    double[] z = sample(new SharedRandom(4, Stream.NORMAL_F64_JAVA, 0, 0)::normal);
    assertEquals(0, mean(z), 4 / Math.sqrt(N));
    assertEquals(1, mean(sampleOf(z, v -> v * v)), 4 * Math.sqrt(2.0 / N));
    assertEquals(3, mean(sampleOf(z, v -> v * v * v * v)), 4 * Math.sqrt(96.0 / N));
    assertEquals(0, lagOne(z, 0), 4 / Math.sqrt(N));
    assertTrue(kolmogorovSmirnov(z, SharedRandomStatisticsTest::normalCdf) < 2.23);
  }

  /**
   * Abramowitz and Stegun 26.2.17, error below 7.5e-8: far below the 2e-3 that the statistic
   * resolves.
   */
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

  /**
   * With this bound 2^64 / bound = 8 / 3: without rejection two residues of three would appear 3
   * times in 8 each, and the third 2 times.
   */
  @Test
  void boundedIntegersAreUnbiased() {
    SharedRandom r = new SharedRandom(5, Stream.TEST, 0, 0);
    long bound = (1L << 62) + (1L << 61);
    int[] thirds = new int[3];
    for (int i = 0; i < N; i++) {
      long x = r.below(i, bound);
      assertTrue(x >= 0 && x < bound);
      thirds[(int) (x % 3)]++;
    }
    for (int count : thirds) {
      assertEquals(N / 3.0, count, 4 * Math.sqrt(N * 2.0 / 9));
    }
    int[] faces = new int[6];
    for (int i = 0; i < N; i++) {
      faces[(int) r.below(i, 6)]++;
    }
    for (int count : faces) {
      assertEquals(N / 6.0, count, 4 * Math.sqrt(N * 5.0 / 36));
    }
    assertEquals(0, r.below(3, 1));
  }

  @Test
  void permutationsAreUniform() {
    int trials = 240_000;
    int[] counts = new int[256];
    for (int t = 0; t < trials; t++) {
      int[] p = new SharedRandom(6, Stream.TEST, 0, t).permutation(4);
      counts[p[0] << 6 | p[1] << 4 | p[2] << 2 | p[3]]++;
    }
    int seen = 0;
    for (int count : counts) {
      if (count > 0) {
        seen++;
        assertEquals(10_000, count, 4.5 * Math.sqrt(10_000));
      }
    }
    assertEquals(24, seen);
  }

  @Test
  void permutationsArePermutations() {
    for (int n : new int[] {0, 1, 2, 31, 1000}) {
      int[] p = new SharedRandom(7, Stream.TEST, 1, 2).permutation(n);
      int[] sorted = p.clone();
      Arrays.sort(sorted);
      for (int i = 0; i < n; i++) {
        assertEquals(i, sorted[i]);
      }
    }
  }
}
