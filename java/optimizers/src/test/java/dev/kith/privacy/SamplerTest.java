package dev.kith.privacy;

import static dev.kith.privacy.Messages.messageOf;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.math.BigInteger;
import java.util.function.LongSupplier;
import java.util.function.LongToDoubleFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@link DiscreteGaussian} and {@link TruncatedDiscreteLaplace} against their distributions. */
class SamplerTest {
  private static final int DRAWS = 100_000;

  private static RandomWords words(long seed) {
    return RandomWords.shared(new SharedRandom(seed, Stream.TEST, 0, 0));
  }

  /**
   * Pearson's chi-square over the values of -reach to reach and all others as one cell; with f
   * degrees of freedom it stays below f + 4 sqrt(2 f) + 8 except once in some ten thousand, and the
   * seed is fixed.
   */
  private static void assertFollows(LongSupplier draws, LongToDoubleFunction law, int reach) {
    long[] seen = new long[2 * reach + 2];
    for (int k = 0; k < DRAWS; k++) {
      long x = draws.getAsLong();
      seen[Math.abs(x) <= reach ? (int) (x + reach) : seen.length - 1]++;
    }
    double chi = 0;
    double rest = 1;
    for (int x = -reach; x <= reach; x++) {
      double p = law.applyAsDouble(x);
      double expected = DRAWS * p;
      assertTrue(expected >= 5, "too few draws of " + x);
      chi += (seen[x + reach] - expected) * (seen[x + reach] - expected) / expected;
      rest -= p;
    }
    double beyond = DRAWS * Math.max(0, rest);
    if (beyond >= 5) {
      double off = seen[seen.length - 1] - beyond;
      chi += off * off / beyond;
    } else {
      assertTrue(seen[seen.length - 1] < 30, "too many draws beyond " + reach);
    }
    double freedom = 2 * reach + 1;
    double limit = freedom + 4 * Math.sqrt(2 * freedom) + 8;
    double found = chi;
    assertTrue(found < limit, () -> "chi-square " + found + " over " + limit);
  }

  private static double weight(long x, double square) {
    return Math.exp(-x * x / (2 * square));
  }

  private static double gaussian(long x, double square) {
    double sum = 0;
    for (long k = -200; k <= 200; k++) {
      sum += weight(k, square);
    }
    return weight(x, square) / sum;
  }

  @ParameterizedTest
  @CsvSource({
    "1, 4, 0.786570707042, 0.106450769423, 0.215012675088, 2",
    "1, 1, 0.398942278267, 0.241970723224, 0.999999788768, 3",
    "4, 1, 0.199471140201, 0.176032663382, 4.000000000000, 7"
  })
  void discreteGaussianIsTheReference(
      long numerator, long denominator, double zero, double one, double variance, int reach) {
    double square = (double) numerator / denominator;
    assertEquals(zero, gaussian(0, square), 0.5e-12);
    assertEquals(one, gaussian(1, square), 0.5e-12);
    DiscreteGaussian sampler = new DiscreteGaussian(numerator, denominator, words(1));
    double[] moments = new double[2];
    assertFollows(
        () -> {
          long x = sampler.next();
          moments[0] += x;
          moments[1] += (double) x * x;
          return x;
        },
        x -> gaussian(x, square),
        reach);
    double deviation = Math.sqrt(variance);
    assertEquals(0, moments[0] / DRAWS, 4 * deviation / Math.sqrt(DRAWS));
    // The fourth moment is at most that of a normal with this parameter, and at least the second.
    double spread = Math.sqrt(Math.max(3 * square * square, variance));
    assertEquals(variance, moments[1] / DRAWS, 4 * spread / Math.sqrt(DRAWS));
  }

  @ParameterizedTest
  @CsvSource({"1, 2, 6", "3, 2, 2", "1, 7, 3", "1, 1, 0"})
  void truncatedDiscreteLaplaceFollowsItsLaw(long numerator, long denominator, int bound) {
    TruncatedDiscreteLaplace sampler =
        new TruncatedDiscreteLaplace(numerator, denominator, bound, words(2));
    double step = (double) numerator / denominator;
    double sum = 0;
    for (int k = -bound; k <= bound; k++) {
      sum += Math.exp(-Math.abs(k) * step);
    }
    double all = sum;
    assertFollows(
        () -> {
          long x = sampler.next();
          assertTrue(Math.abs(x) <= bound, () -> x + " is beyond the bound");
          return x;
        },
        x -> Math.exp(-Math.abs(x) * step) / all,
        bound);
    assertEquals(Math.exp(-bound * step) / all, sampler.delta(), 1e-14);
  }

  /** Every word may be anything: uniform draws below a bound use all bits of all their words. */
  @Test
  void uniformDrawsBelowLargeBoundsAreUniform() {
    BigInteger bound = BigInteger.ONE.shiftLeft(70).subtract(BigInteger.valueOf(12345));
    ExactBernoulli random = new ExactBernoulli(words(3));
    double mean = 0;
    int[] parity = new int[2];
    for (int k = 0; k < 10_000; k++) {
      BigInteger x = random.below(bound);
      assertTrue(x.signum() >= 0 && x.compareTo(bound) < 0);
      mean += x.doubleValue() / bound.doubleValue() / 10_000;
      parity[x.testBit(0) ? 1 : 0]++;
    }
    assertEquals(0.5, mean, 4 / Math.sqrt(12 * 10_000));
    assertEquals(5000, parity[0], 4 * 50);
    assertEquals(BigInteger.ZERO, random.below(BigInteger.ONE));
  }

  @Test
  void theSameWordsGiveTheSameDraws() {
    DiscreteGaussian one = new DiscreteGaussian(7, 3, words(4));
    DiscreteGaussian other = new DiscreteGaussian(7, 3, words(4));
    for (int k = 0; k < 100; k++) {
      assertEquals(one.next(), other.next());
    }
    assertEquals(NoiseOrigin.SIMULATED, words(4).origin());
  }

  @Test
  void badParametersAreRefusedInOneSentence() {
    assertEquals(
        "the variance is 0/1: give a fraction of two positive numbers",
        messageOf(() -> new DiscreteGaussian(0, 1, words(1))));
    assertEquals(
        "the step is 1/-2: give a fraction of two positive numbers",
        messageOf(() -> new TruncatedDiscreteLaplace(1, -2, 3, words(1))));
    assertEquals(
        "the bound is -1: draws lie from -bound to bound, give 0 or more",
        messageOf(() -> new TruncatedDiscreteLaplace(1, 1, -1, words(1))));
  }
}
