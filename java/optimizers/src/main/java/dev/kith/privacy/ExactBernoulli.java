package dev.kith.privacy;

import java.math.BigInteger;

/**
 * Exact decisions from uniform words, in integer arithmetic: no rounding can favour an outcome.
 *
 * <p>Source: C. Canonne, G. Kamath, T. Steinke, "The discrete Gaussian for differential privacy"
 * (NeurIPS 2020), algorithms 1 and 2.
 */
final class ExactBernoulli {
  private final RandomWords words;

  ExactBernoulli(RandomWords words) {
    this.words = words;
  }

  /** Uniform in [0, bound), by rejection. */
  BigInteger below(BigInteger bound) {
    int bits = bound.subtract(BigInteger.ONE).bitLength();
    while (true) {
      BigInteger drawn = BigInteger.ZERO;
      for (int taken = 0; taken < bits; taken += Integer.SIZE) {
        int word = words.next() >>> Math.max(0, Integer.SIZE - (bits - taken));
        if (bits - taken >= Integer.SIZE) {
          drawn = drawn.shiftLeft(Integer.SIZE);
        } else {
          drawn = drawn.shiftLeft(bits - taken);
        }
        drawn = drawn.add(BigInteger.valueOf(Integer.toUnsignedLong(word)));
      }
      if (drawn.compareTo(bound) < 0) {
        return drawn;
      }
    }
  }

  /** True with probability numerator / denominator, which is at most 1. */
  boolean ratio(BigInteger numerator, BigInteger denominator) {
    return below(denominator).compareTo(numerator) < 0;
  }

  boolean coin() {
    return words.next() < 0;
  }

  /** True with probability e^-(numerator / denominator), numerator 0 or more. */
  boolean exponential(BigInteger numerator, BigInteger denominator) {
    BigInteger rest = numerator;
    while (rest.compareTo(denominator) > 0) {
      if (!fraction(denominator, denominator)) {
        return false;
      }
      rest = rest.subtract(denominator);
    }
    return fraction(rest, denominator);
  }

  /**
   * The same for at most 1: von Neumann's method, the parity of how often x/1, x/2, ... succeed.
   */
  private boolean fraction(BigInteger numerator, BigInteger denominator) {
    boolean odd = true;
    BigInteger scaled = denominator;
    while (ratio(numerator, scaled)) {
      odd = !odd;
      scaled = scaled.add(denominator);
    }
    return odd;
  }

  /**
   * X in 0, 1, 2, ... with probability proportional to e^(-x step), step = numerator / denominator.
   */
  BigInteger geometric(BigInteger numerator, BigInteger denominator) {
    // x = u + denominator v with P(u) ~ e^(-u/denominator), P(v) ~ e^-v has P(x) ~
    // e^(-x/denominator);
    // floor(x / numerator) is the result.
    while (true) {
      BigInteger low = below(denominator);
      if (exponential(low, denominator)) {
        BigInteger high = BigInteger.ZERO;
        while (exponential(BigInteger.ONE, BigInteger.ONE)) {
          high = high.add(BigInteger.ONE);
        }
        return low.add(denominator.multiply(high)).divide(numerator);
      }
    }
  }
}
