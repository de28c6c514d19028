package dev.kith.privacy;

import java.util.Arrays;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/** Renyi divergences of single mechanisms, and what they say about epsilon and delta. */
final class RenyiDivergence {
  /** Where the alternating series is cut: its rest is smaller than the first term left out. */
  private static final double SMALL = -34;

  /**
   * The orders that are tried: 1.1 to 10.9 by tenths and 12 to 63, as in the published reference
   * values, and powers of two above them for small budgets.
   */
  private static final double[] ORDERS =
      DoubleStream.concat(
              IntStream.rangeClosed(11, 109).mapToDouble(k -> k / 10.0),
              DoubleStream.concat(
                  IntStream.rangeClosed(12, 63).asDoubleStream(),
                  DoubleStream.of(64, 128, 256, 512, 1024, 2048)))
          .toArray();

  private RenyiDivergence() {}

  static double[] orders() {
    return ORDERS.clone();
  }

  /** The Gaussian mechanism: alpha mu^2 / 2. */
  static double gaussian(double order, double mu) {
    return order * mu * mu / 2;
  }

  /**
   * The Gaussian of a Poisson sample, standard deviation sigma for sensitivity 1: 1/(alpha - 1) ln
   * E_(z ~ N(0, sigma^2)) (1 - q + q e^((2z - 1)/(2 sigma^2)))^alpha, the larger of both directions
   * (Mironov, Talwar, Zhang, theorem 5).
   */
  static double poisson(double order, double sigma, double rate) {
    if (rate == 1) {
      return gaussian(order, 1 / sigma);
    }
    double log =
        order == Math.rint(order)
            ? wholeOrder((int) order, sigma, rate)
            : fractionalOrder(order, sigma, rate);
    return Math.max(0, log / (order - 1));
  }

  /** ln sum_k binom(alpha, k) (1 - q)^(alpha - k) q^k e^((k^2 - k)/(2 sigma^2)). */
  private static double wholeOrder(int order, double sigma, double rate) {
    double in = Math.log(rate);
    double out = Math.log1p(-rate);
    double binomial = 0;
    double[] terms = new double[order + 1];
    for (int k = 0; k <= order; k++) {
      terms[k] = binomial + (order - k) * out + k * in + k * (k - 1.0) / (2 * sigma * sigma);
      binomial += Math.log((order - k) / (k + 1.0));
    }
    return logSum(terms);
  }

  /** The two series of section 3.3 of the same paper, split at z0 where both parts are equal. */
  private static double fractionalOrder(double order, double sigma, double rate) {
    double in = Math.log(rate);
    double out = Math.log1p(-rate);
    double split = sigma * sigma * (out - in) + 0.5;
    double binomial = 0;
    boolean negative = false;
    double sum = 0;
    for (int i = 0; ; i++) {
      double j = order - i;
      double low =
          binomial
              + i * in
              + j * out
              + i * (i - 1.0) / (2 * sigma * sigma)
              + NormalTail.logAbove((i - split) / sigma);
      double high =
          binomial
              + j * in
              + i * out
              + j * (j - 1) / (2 * sigma * sigma)
              + NormalTail.logAbove((split - j) / sigma);
      double both = Math.exp(low) + Math.exp(high);
      if (both == Double.POSITIVE_INFINITY) {
        return Double.POSITIVE_INFINITY;
      }
      sum += negative ? -both : both;
      if (i > order && Math.max(low, high) < SMALL) {
        return Math.log(sum + 2 * Math.exp(SMALL));
      }
      binomial += Math.log(Math.abs(j) / (i + 1.0));
      negative ^= j < 0;
    }
  }

  /**
   * The Gaussian of a batch without replacement, mu for the whole data: theorem 9 of Wang, Balle
   * and Kasiviswanathan at whole orders. Between them (alpha - 1) epsilon(alpha), which is convex
   * and 0 at 1, lies below its chord.
   */
  static double batch(double order, double mu, double rate) {
    if (rate == 1) {
      return gaussian(order, mu);
    }
    int below = (int) Math.floor(order);
    double left = batchLog(below, mu, rate);
    return below == order
        ? left / (order - 1)
        : (left + (order - below) * (batchLog(below + 1, mu, rate) - left)) / (order - 1);
  }

  private static double batchLog(int order, double mu, double rate) {
    if (order < 2) {
      return 0;
    }
    double square = mu * mu;
    double[] terms = new double[order];
    double log = Math.log(rate);
    double binomial = Math.log(order);
    for (int j = 2; j <= order; j++) {
      binomial += Math.log((order - j + 1.0) / j);
      // e^((j - 1) j mu^2 / 2); the term of j = 2 may use 4 (e^(mu^2) - 1) where that is less.
      double gain =
          Math.log(2)
              + (j == 2
                  ? Math.min(Math.log(2) + Math.log(Math.expm1(square)), square)
                  : (j - 1) * (j * square / 2));
      terms[j - 1] = j * log + binomial + gain;
    }
    return logSum(terms);
  }

  private static double logSum(double[] logs) {
    double largest = Arrays.stream(logs).max().orElseThrow();
    if (Double.isInfinite(largest)) {
      return largest;
    }
    double sum = 0;
    for (double log : logs) {
      sum += Math.exp(log - largest);
    }
    return largest + Math.log(sum);
  }

  /** Epsilon of Renyi divergence {@code value} at one order. */
  static double epsilon(double order, double value, double delta, boolean tight) {
    double log = Math.log(delta);
    double epsilon =
        tight
            ? value - (log + Math.log(order)) / (order - 1) + Math.log1p(-1 / order)
            : value - log / (order - 1);
    return Math.max(0, epsilon);
  }

  /** Delta of Renyi divergence {@code value} at one order: {@link #epsilon} solved for it. */
  static double delta(double order, double value, double epsilon, boolean tight) {
    double log =
        tight
            ? (order - 1) * (value - epsilon + Math.log1p(-1 / order)) - Math.log(order)
            : (order - 1) * (value - epsilon);
    return Math.min(1, Math.exp(log));
  }
}
