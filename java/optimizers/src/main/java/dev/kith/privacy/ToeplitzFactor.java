package dev.kith.privacy;

import java.util.Arrays;
import java.util.Locale;

/**
 * A lower-triangular Toeplitz matrix C with first column c_0 = 1, c_1, ..., c_(k-1) and zeros
 * below: the strategy of a matrix mechanism over time. The optimizer takes the gradients of each
 * step plus row t of C^-1 Z, and has the privacy of C G + Z, while what it sums up has the error of
 * B Z with B = A C^-1 for the workload A.
 *
 * <p>The noise needs the last k - 1 rows only: w_t = z_t - sum_(j = 1)^(min(t, k - 1)) c_j w_(t-j).
 *
 * <p>Sources: B. Kairouz et al., "Practical and private (deep) learning without sampling or
 * shuffling" (ICML 2021); C. A. Choquette-Choo et al., "(Amplified) banded matrix factorization"
 * (NeurIPS 2023); N. P. Kalinin, C. Lampert, "Banded square root matrix factorization for
 * differentially private model training" (NeurIPS 2024).
 */
public final class ToeplitzFactor {
  private final double[] coefficients;

  private ToeplitzFactor(double[] coefficients) {
    this.coefficients = coefficients;
  }

  /**
   * The factor with the coefficients c_0 = 1, c_1, ...; c_j must not be negative and not grow with
   * j, since the sensitivity under repeated participation is known for those only.
   *
   * @throws IllegalArgumentException when they do not; the message names the first
   */
  public static ToeplitzFactor of(double... coefficients) {
    if (coefficients.length == 0 || coefficients[0] != 1) {
      throw new IllegalArgumentException(
          "the first coefficient of "
              + Arrays.toString(coefficients)
              + " is not 1: divide all of them by it");
    }
    for (int j = 1; j < coefficients.length; j++) {
      if (!(coefficients[j] >= 0 && coefficients[j] <= coefficients[j - 1])) {
        throw new IllegalArgumentException(
            "coefficient "
                + j
                + " is "
                + coefficients[j]
                + ": each must lie between 0 and the one before it, "
                + coefficients[j - 1]);
      }
    }
    return new ToeplitzFactor(coefficients.clone());
  }

  /** C = I: independent noise in every step, as in DP-SGD. */
  public static ToeplitzFactor identity() {
    return new ToeplitzFactor(new double[] {1});
  }

  /**
   * The square root of the prefix sums, cut to its first bands: c_j = binom(2j, j) / 4^j, that is
   * c_j = c_(j-1) (2j - 1)/(2j).
   *
   * @param bands k, 1 or more; as many as there are steps for the whole root
   * @throws IllegalArgumentException when there is no band
   */
  public static ToeplitzFactor squareRoot(int bands) {
    if (bands < 1) {
      throw new IllegalArgumentException("a factor has at least one band, not " + bands);
    }
    double[] c = new double[bands];
    c[0] = 1;
    for (int j = 1; j < bands; j++) {
      c[j] = c[j - 1] * (2.0 * j - 1) / (2.0 * j);
    }
    return new ToeplitzFactor(c);
  }

  /** The number of bands k. */
  public int bands() {
    return coefficients.length;
  }

  /** c_0 to c_(k-1) (a copy). */
  public double[] coefficients() {
    return coefficients.clone();
  }

  /**
   * The first column of C^-1, as long as asked: d_0 = 1, d_t = - sum_(j = 1) c_j d_(t-j). For the
   * square root 1, -1/2, -1/8, -1/16, ...
   */
  public double[] inverse(int length) {
    double[] impulse = new double[length];
    if (length > 0) {
      impulse[0] = 1;
    }
    return correlate(impulse);
  }

  /**
   * w = C^-1 z for one parameter over time, by the recursion w_t = z_t - sum_(j = 1)^(min(t, k -
   * 1)) c_j w_(t-j).
   */
  public double[] correlate(double[] z) {
    double[] w = z.clone();
    for (int t = 0; t < w.length; t++) {
      for (int j = 1; j < Math.min(t + 1, coefficients.length); j++) {
        w[t] -= coefficients[j] * w[t - j];
      }
    }
    return w;
  }

  /**
   * How far C G moves, in the Frobenius norm, when one unit's part of norm 1 comes or goes.
   *
   * <p>The parts of a unit in different steps may point anywhere. For coefficients that are not
   * negative and do not grow the worst case is the same direction in steps 0, s, 2 s, ... (Kalinin
   * and Lampert, theorem 2): |sum_p C e_(p s)|. With at least as many steps between participations
   * as bands that is sqrt(P) |c|, and for one participation |c|.
   *
   * @param participation the pattern; its steps cut the columns of C
   */
  public double sensitivity(Participation participation) {
    double[] sum = new double[participation.steps()];
    for (int p = 0; p < participation.most(); p++) {
      int start = p * participation.separation();
      for (int j = 0; j < coefficients.length && start + j < sum.length; j++) {
        sum[start + j] += coefficients[j];
      }
    }
    double square = 0;
    for (double value : sum) {
      square += value * value;
    }
    return Math.sqrt(square);
  }

  /**
   * The error of the prefix sums of n steps at a sensitivity of 1: row t of B = A C^-1, A the lower
   * triangle of ones, has norm |(b_0, ..., b_t)|, b the prefix sums of the {@link #inverse}.
   *
   * @param rootMeanSquare sensitivity for one participation times sqrt(mean over t of |B_t|^2)
   * @param largest the same times max over t of |B_t|
   */
  public record PrefixError(double rootMeanSquare, double largest) {}

  /**
   * {@link PrefixError} for noise of standard deviation 1.
   *
   * @param steps n, 1 or more
   */
  public PrefixError prefixError(int steps) {
    double[] inverse = inverse(steps);
    double sensitivity = sensitivity(Participation.once(steps));
    double prefix = 0;
    double row = 0;
    double rows = 0;
    for (double value : inverse) {
      prefix += value;
      row += prefix * prefix;
      rows += row;
    }
    return new PrefixError(sensitivity * Math.sqrt(rows / steps), sensitivity * Math.sqrt(row));
  }

  /**
   * What a run costs when each step takes a Poisson sample from one of k blocks of users in turn, k
   * the number of bands: ceil(T / k) releases of a Gaussian at rate k q, where q is the expected
   * share of all users in a step, if Z has standard deviation noiseMultiplier |c| C.
   * (Choquette-Choo et al., theorem 4; with one band it is DP-SGD.)
   *
   * @param noiseMultiplier standard deviation of Z over |c| times the clip norm
   * @param rate q, at most 1 / k
   * @param steps T
   * @param accountant what was spent before; for add-remove adjacency
   * @return the accountant after the run
   * @throws IllegalArgumentException when k q exceeds 1
   */
  public Accountant cyclic(double noiseMultiplier, double rate, int steps, Accountant accountant) {
    Checks.rate(rate);
    double amplified = bands() * rate;
    if (amplified > 1 + 1e-12) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "%d bands at rate %s need more than all users of a block: the rate is at most %s",
              bands(),
              rate,
              1.0 / bands()));
    }
    long releases = (steps + bands() - 1L) / bands();
    return accountant.plus(
        new Mechanism.PoissonGaussian(noiseMultiplier, Math.min(1, amplified)), releases);
  }

  @Override
  public String toString() {
    return "Toeplitz factor of " + bands() + " bands";
  }
}
