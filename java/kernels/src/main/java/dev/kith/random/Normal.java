package dev.kith.random;

/**
 * The inverse of the standard normal distribution function, as a rational approximation.
 *
 * <p>Algorithm AS 241, routine PPND16, of M. J. Wichura, "The percentage points of the normal
 * distribution", Applied Statistics 37 (1988): relative error about 1e-16. Only IEEE operations and
 * {@link StrictMath} are used, so the bits are the same everywhere.
 */
// The coefficients keep the digits of the paper.
@SuppressWarnings("FloatingPointLiteralPrecision")
final class Normal {
  /** Numerators and denominators in descending powers: |z| small, the near tail, the far tail. */
  private static final double[] A = {
    2.5090809287301226727e+3, 3.3430575583588128105e+4, 6.7265770927008700853e+4,
    4.5921953931549871457e+4, 1.3731693765509461125e+4, 1.9715909503065514427e+3,
    1.3314166789178437745e+2, 3.3871328727963666080e+0
  };

  private static final double[] B = {
    5.2264952788528545610e+3, 2.8729085735721942674e+4, 3.9307895800092710610e+4,
    2.1213794301586595867e+4, 5.3941960214247511077e+3, 6.8718700749205790830e+2,
    4.2313330701600911252e+1, 1.0
  };

  private static final double[] C = {
    7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
    1.27045825245236838258e+0, 3.64784832476320460504e+0, 5.76949722146069140550e+0,
    4.63033784615654529590e+0, 1.42343711074968357734e+0
  };

  private static final double[] D = {
    1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
    1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e+0,
    2.05319162663775882187e+0, 1.0
  };

  private static final double[] E = {
    2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
    2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e+0,
    5.46378491116411436990e+0, 6.65790464350110377720e+0
  };

  private static final double[] F = {
    2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
    7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
    5.99832206555887937690e-1, 1.0
  };

  private Normal() {}

  /**
   * The normal whose distribution function is (m + 1/2) 2^-53, for m the upper 53 bits of two
   * words. The upper half is the mirror image of the lower one, so that both tails have full
   * precision and infinity never appears.
   */
  static double fromBits(long m) {
    boolean upper = (m >>> 52) != 0;
    long mirrored = upper ? ~m & ((1L << 53) - 1) : m;
    // Below one half m + 1/2 has at most 53 significant bits: exact.
    double p = (mirrored + 0.5) * 0x1p-53;
    double z = lower(p);
    return upper ? -z : z;
  }

  /** The quantile of p in (0, 1/2): negative. */
  static double lower(double p) {
    double q = p - 0.5;
    if (q >= -0.425) {
      double r = 0.180625 - q * q;
      return q * polynomial(A, r) / polynomial(B, r);
    }
    double r = StrictMath.sqrt(-StrictMath.log(p));
    if (r <= 5.0) {
      r -= 1.6;
      return -(polynomial(C, r) / polynomial(D, r));
    }
    r -= 5.0;
    return -(polynomial(E, r) / polynomial(F, r));
  }

  private static double polynomial(double[] descending, double x) {
    double sum = descending[0];
    for (int i = 1; i < descending.length; i++) {
      sum = sum * x + descending[i];
    }
    return sum;
  }
}
