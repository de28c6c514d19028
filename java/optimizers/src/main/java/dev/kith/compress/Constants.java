package dev.kith.compress;

/**
 * How much a compressor C loses, for every row x of d numbers that its mean over the randomness is
 * taken for.
 *
 * <pre>
 * unbiased(omega):     E C(x) = x   and   E |C(x) - x|^2 &lt;= omega |x|^2
 * contractive(delta):  E |C(x) - x|^2 &lt;= (1 - delta) |x|^2,   0 &lt; delta &lt;= 1
 * </pre>
 *
 * <p>An unbiased C divided by 1 + omega is contractive with delta = 1 / (1 + omega). Bounds are for
 * the exact definition; rounding to f32 adds a few 2^-24 of |x|.
 *
 * @param kind which of the two it is
 * @param value omega or delta; for {@link Kind#NONE} nothing is promised and it is NaN
 */
public record Constants(Kind kind, double value) {
  /** What is promised. */
  public enum Kind {
    /** The mean is x. */
    UNBIASED,
    /** The result is nearer to x than 0 is. */
    CONTRACTIVE,
    /** Nothing that holds for every x. */
    NONE
  }

  static Constants unbiased(double omega) {
    return new Constants(Kind.UNBIASED, omega);
  }

  static Constants contractive(double delta) {
    return new Constants(Kind.CONTRACTIVE, delta);
  }

  static Constants none() {
    return new Constants(Kind.NONE, Double.NaN);
  }

  /**
   * The most that E |C(x) - x|^2 / |x|^2 can be.
   *
   * @return omega, 1 - delta, or infinity where nothing is promised
   */
  public double worstError() {
    return switch (kind) {
      case UNBIASED -> value;
      case CONTRACTIVE -> 1 - value;
      case NONE -> Double.POSITIVE_INFINITY;
    };
  }
}
