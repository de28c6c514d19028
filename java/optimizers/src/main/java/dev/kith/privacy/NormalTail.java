package dev.kith.privacy;

/** The standard normal distribution with full relative precision in its tails. */
final class NormalTail {
  private static final double INVERSE_ROOT_TWO_PI = 0.3989422804014327;
  private static final double LOG_ROOT_TWO_PI = 0.9189385332046728;

  /** From here on the continued fraction of {@link #mills}; below it the series. */
  private static final double FAR = 1.5;

  private NormalTail() {}

  /** phi(x): the density, with the rounding of x^2 put back. */
  static double density(double x) {
    double square = x * x;
    double rest = Math.fma(x, x, -square);
    return INVERSE_ROOT_TWO_PI * StrictMath.exp(-0.5 * square) * (1 - 0.5 * rest);
  }

  /** Phi(x). */
  static double below(double x) {
    return above(-x);
  }

  /** 1 - Phi(x). */
  static double above(double x) {
    if (x >= FAR) {
      return x > 40 ? 0 : density(x) * fraction(x);
    }
    return x > -FAR ? 0.5 - middle(x) : 1 - above(-x);
  }

  /** ln(1 - Phi(x)), also where 1 - Phi(x) underflows. */
  static double logAbove(double x) {
    return x >= FAR
        ? -0.5 * x * x - LOG_ROOT_TWO_PI + StrictMath.log(fraction(x))
        : StrictMath.log(above(x));
  }

  /** Mills' ratio (1 - Phi(x)) / phi(x). */
  static double mills(double x) {
    return x >= FAR ? fraction(x) : above(x) / density(x);
  }

  /** Phi(x) - 1/2 for small x: phi(x) (x + x^3/3 + x^5/(3 5) + ...), terms of one sign. */
  private static double middle(double x) {
    double square = x * x;
    double term = x;
    double sum = x;
    for (int k = 3; Math.abs(term) > 0x1p-60 * Math.abs(sum); k += 2) {
      term *= square / k;
      sum += term;
    }
    return density(x) * sum;
  }

  /** Laplace's continued fraction 1/(x + 1/(x + 2/(x + 3/(x + ...)))). */
  private static double fraction(double x) {
    // n terms leave an error of about exp(-2 x sqrt(2 n)): below e^-44 here.
    double tail = x;
    for (int k = (int) (250 / (x * x)) + 6; k >= 1; k--) {
      tail = x + k / tail;
    }
    return 1 / tail;
  }
}
