package dev.kith.privacy;

import java.math.BigInteger;

/**
 * The discrete Laplace distribution on -bound to bound, P(x) proportional to e^(-|x| step) there
 * and 0 elsewhere, sampled exactly in integer arithmetic. Added to an integer of sensitivity 1 it
 * gives (step, delta)-DP, delta the probability of the end point: P(bound).
 *
 * <p>Not safe for use by several threads, since words are consumed. How long a draw takes depends
 * on its value.
 */
public final class TruncatedDiscreteLaplace {
  private final ExactBernoulli random;
  private final BigInteger numerator;
  private final BigInteger denominator;
  private final long bound;

  /**
   * The sampler for step = numerator / denominator, 1 / scale.
   *
   * @param numerator positive
   * @param denominator positive
   * @param bound the largest size of a draw, 0 or more
   * @param words what it draws from
   * @throws IllegalArgumentException when the step is not positive or the bound negative
   */
  public TruncatedDiscreteLaplace(long numerator, long denominator, long bound, RandomWords words) {
    if (numerator < 1 || denominator < 1) {
      throw new IllegalArgumentException(
          "the step is "
              + numerator
              + "/"
              + denominator
              + ": give a fraction of two positive numbers");
    }
    if (bound < 0) {
      throw new IllegalArgumentException(
          "the bound is " + bound + ": draws lie from -bound to bound, give 0 or more");
    }
    this.random = new ExactBernoulli(words);
    this.numerator = BigInteger.valueOf(numerator);
    this.denominator = BigInteger.valueOf(denominator);
    this.bound = bound;
  }

  /** The next draw. */
  public long next() {
    BigInteger most = BigInteger.valueOf(bound);
    while (true) {
      BigInteger size = random.geometric(numerator, denominator);
      boolean negative = random.coin();
      if (size.compareTo(most) <= 0 && !(negative && size.signum() == 0)) {
        return negative ? -size.longValueExact() : size.longValueExact();
      }
    }
  }

  /**
   * P(bound), the delta of an integer of sensitivity 1: (1 - e^-s) e^(-s bound) / (1 + e^-s - 2
   * e^(-s (bound + 1))).
   */
  public double delta() {
    double step = numerator.doubleValue() / denominator.doubleValue();
    double ratio = Math.exp(-step);
    return -Math.expm1(-step)
        * Math.exp(-step * bound)
        / (1 + ratio - 2 * Math.exp(-step * (bound + 1.0)));
  }
}
