package dev.kith.privacy;

/**
 * The exact privacy curve of the Gaussian mechanism. A query of L2 sensitivity Delta with noise
 * N(0, sigma^2 I) has, with mu = Delta / sigma,
 *
 * <pre>delta(epsilon) = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu),</pre>
 *
 * and mechanisms with mu_1, mu_2, ... compose to one with mu^2 = mu_1^2 + mu_2^2 + ..., also when
 * each is chosen after seeing the earlier results.
 *
 * <p>Source: B. Balle, Y.-X. Wang, "Improving the Gaussian mechanism for differential privacy"
 * (ICML 2018), theorem 8; J. Dong, A. Roth, W. Su, "Gaussian differential privacy" (2022).
 */
public final class AnalyticGaussian {
  private AnalyticGaussian() {}

  /**
   * delta(epsilon).
   *
   * @param mu sensitivity over standard deviation, positive; 0 gives 0
   * @param epsilon 0 or more
   * @throws IllegalArgumentException when an argument is outside its range
   */
  public static double delta(double mu, double epsilon) {
    Checks.ratio(mu);
    Checks.epsilon(epsilon);
    return curve(mu, epsilon);
  }

  private static double curve(double mu, double epsilon) {
    if (mu == 0) {
      return 0;
    }
    double near = epsilon / mu - mu / 2;
    double far = epsilon / mu + mu / 2;
    // e^epsilon phi(far) = phi(near): no exponential can overflow.
    double density = NormalTail.density(near);
    double delta =
        near > 0
            ? density * (NormalTail.mills(near) - NormalTail.mills(far))
            : NormalTail.above(near) - density * NormalTail.mills(far);
    return Math.min(1, Math.max(0, delta));
  }

  /**
   * The least epsilon with delta(epsilon) &lt;= delta, from above to one part in 10^15.
   *
   * @param mu sensitivity over standard deviation, 0 or more
   * @param delta in (0, 1)
   * @throws IllegalArgumentException when an argument is outside its range
   */
  public static double epsilon(double mu, double delta) {
    Checks.ratio(mu);
    Checks.delta(delta);
    if (curve(mu, 0) <= delta) {
      return 0;
    }
    return Bisection.leastWhere(epsilon -> curve(mu, epsilon) <= delta, 1);
  }

  /**
   * The least standard deviation for sensitivity 1 that gives (epsilon, delta), from above to one
   * part in 10^15. The classic sqrt(2 ln(1.25/delta))/epsilon is larger for small epsilon, and too
   * small, hence wrong, for large.
   *
   * @param epsilon positive
   * @param delta in (0, 1)
   * @throws IllegalArgumentException when an argument is outside its range
   */
  public static double standardDeviation(double epsilon, double delta) {
    Checks.targetEpsilon(epsilon);
    Checks.delta(delta);
    return Bisection.leastWhere(sigma -> curve(1 / sigma, epsilon) <= delta, 1);
  }
}
