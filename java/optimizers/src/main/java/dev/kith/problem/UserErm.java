package dev.kith.problem;

import java.util.BitSet;

/**
 * Empirical risk over users who hold several items each, near a centre:
 *
 * <pre>
 * xhat(S) = argmin_x (1/|S|) sum over users i in S of (1/m_i) sum_j loss(x; item j of i)
 *           + (mu / 2) |x - centre|^2
 * </pre>
 *
 * <p>Evaluated in Java, in double precision.
 */
public interface UserErm {
  /** Number of users. */
  int users();

  /** Number of parameters d. */
  int dimension();

  /**
   * xhat(S), d numbers.
   *
   * @param kept S, at least one user
   * @param centre d numbers
   * @param strength mu, positive and finite
   * @throws IllegalArgumentException when nobody is kept, or another argument does not fit
   */
  double[] minimiser(BitSet kept, double[] centre, double strength);

  /**
   * How far xhat moves when one user more is left out, |xhat(S without i) - xhat(S)|, by user; 0
   * for users who are not in S.
   *
   * @param kept S, at least two users
   * @param centre d numbers
   * @param strength mu, positive and finite
   * @throws IllegalArgumentException when fewer than two are kept
   */
  default double[] displacements(BitSet kept, double[] centre, double strength) {
    if (kept.cardinality() < 2) {
      throw new IllegalArgumentException(
          "leaving one of " + kept.cardinality() + " users out leaves nobody: keep at least two");
    }
    double[] whole = minimiser(kept, centre, strength);
    double[] moved = new double[users()];
    BitSet fewer = (BitSet) kept.clone();
    for (int i = kept.nextSetBit(0); i >= 0; i = kept.nextSetBit(i + 1)) {
      fewer.clear(i);
      double[] without = minimiser(fewer, centre, strength);
      double square = 0;
      for (int c = 0; c < whole.length; c++) {
        square += (without[c] - whole[c]) * (without[c] - whole[c]);
      }
      moved[i] = Math.sqrt(square);
      fewer.set(i);
    }
    return moved;
  }
}
