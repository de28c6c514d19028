package dev.kith.privacy;

import java.math.BigInteger;

/**
 * The discrete Gaussian on the integers, P(x) proportional to e^(-x^2 / (2 sigma^2)), sampled
 * exactly: every decision is made in integer arithmetic, so that no low bits of a floating-point
 * number tell what was hidden. For integer queries of L2 sensitivity Delta it is rho-zCDP with rho
 * = Delta^2 / (2 sigma^2).
 *
 * <p>A discrete Laplace candidate Y of scale t = floor(sigma) + 1 is kept with probability
 * exp(-(|Y| - sigma^2/t)^2 / (2 sigma^2)).
 *
 * <p>How long a draw takes depends on its value: who can time single draws learns about them. Not
 * safe for use by several threads, since words are consumed.
 *
 * <p>Source: C. Canonne, G. Kamath, T. Steinke, "The discrete Gaussian for differential privacy"
 * (NeurIPS 2020), algorithm 3.
 */
public final class DiscreteGaussian {
  private final ExactBernoulli random;
  private final BigInteger numerator;
  private final BigInteger denominator;
  private final BigInteger scale;

  /**
   * The sampler for sigma^2 = numerator / denominator.
   *
   * @param numerator positive
   * @param denominator positive
   * @param words what it draws from
   * @throws IllegalArgumentException when a part of the fraction is not positive
   */
  public DiscreteGaussian(long numerator, long denominator, RandomWords words) {
    if (numerator < 1 || denominator < 1) {
      throw new IllegalArgumentException(
          "the variance is "
              + numerator
              + "/"
              + denominator
              + ": give a fraction of two positive numbers");
    }
    this.random = new ExactBernoulli(words);
    this.numerator = BigInteger.valueOf(numerator);
    this.denominator = BigInteger.valueOf(denominator);
    this.scale = this.numerator.divide(this.denominator).sqrt().add(BigInteger.ONE);
  }

  /** The next draw. Beyond 2^63, which has probability 0 for all practical purposes, it throws. */
  public long next() {
    // (|y| - n/(d t))^2 d / (2 n) = (|y| d t - n)^2 / (2 n d t^2)
    BigInteger below = numerator.multiply(denominator).multiply(scale).multiply(scale).shiftLeft(1);
    while (true) {
      BigInteger size = random.geometric(BigInteger.ONE, scale);
      boolean negative = random.coin();
      if (negative && size.signum() == 0) {
        continue;
      }
      BigInteger off = size.multiply(denominator).multiply(scale).subtract(numerator);
      if (random.exponential(off.multiply(off), below)) {
        return (negative ? size.negate() : size).longValueExact();
      }
    }
  }
}
