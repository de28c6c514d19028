package dev.kith.privacy;

/**
 * A pair of distributions P and Q, through the law of the privacy loss L = ln(dP/dQ) under both.
 */
interface LossPair {
  /** P(L &gt; loss), with full relative precision. */
  double above(double loss);

  /** P(L &lt;= loss), with full relative precision. */
  double below(double loss);

  /** Q(L &gt; loss). */
  double otherAbove(double loss);

  /** Q(L &lt;= loss). */
  double otherBelow(double loss);

  /**
   * The Gaussian of a Poisson sample where the record is in P only: P = (1 - q) N(0, sigma^2) + q
   * N(1, sigma^2), Q = N(0, sigma^2).
   */
  record Removed(double sigma, double rate) implements LossPair {
    /** Where the loss is reached: ln(1 - q + q e^((z - 1/2)/sigma^2)) = loss, over sigma. */
    static double point(double loss, double sigma, double rate) {
      double grown = Math.expm1(loss) + rate;
      if (grown <= 0 && rate < 1) {
        return Double.NEGATIVE_INFINITY;
      }
      // ln((e^loss - 1 + q)/q), without overflow, and exact for q = 1.
      double log =
          loss > 1 || rate == 1
              ? loss + Math.log1p((rate - 1) * Math.exp(-loss)) - Math.log(rate)
              : Math.log(grown / rate);
      return sigma * log + 0.5 / sigma;
    }

    @Override
    public double above(double loss) {
      double z = point(loss, sigma, rate);
      return (1 - rate) * NormalTail.above(z) + rate * NormalTail.above(z - 1 / sigma);
    }

    @Override
    public double below(double loss) {
      double z = point(loss, sigma, rate);
      return (1 - rate) * NormalTail.below(z) + rate * NormalTail.below(z - 1 / sigma);
    }

    @Override
    public double otherAbove(double loss) {
      return NormalTail.above(point(loss, sigma, rate));
    }

    @Override
    public double otherBelow(double loss) {
      return NormalTail.below(point(loss, sigma, rate));
    }
  }

  /** The same two with P and Q exchanged: L is the negative of the other's. */
  record Exchanged(LossPair pair) implements LossPair {
    @Override
    public double above(double loss) {
      return pair.otherBelow(-loss);
    }

    @Override
    public double below(double loss) {
      return pair.otherAbove(-loss);
    }

    @Override
    public double otherAbove(double loss) {
      return pair.below(-loss);
    }

    @Override
    public double otherBelow(double loss) {
      return pair.above(-loss);
    }
  }
}
