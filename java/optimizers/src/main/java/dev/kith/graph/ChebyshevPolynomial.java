package dev.kith.graph;

/**
 * The polynomial of degree K in a symmetric positive semidefinite gossip matrix Lw (kernel: the
 * constant vectors; other eigenvalues between l_2 and l_n) that is 1 at 0 and smallest on [l_2,
 * l_n]: P_K(x) = T_K(c_2 (1 - c_3 x)) / T_K(c_2) with the Chebyshev polynomial T_K. K rounds of
 * gossip so weighted shrink the distance from the mean by 1 / T_K(c_2).
 *
 * <p>With gamma = l_2 / l_n: c_2 = (1 + gamma) / (1 - gamma), c_3 = 2 / ((1 + gamma) l_n), a_0 = 1,
 * a_1 = c_2, a_{k+1} = 2 c_2 a_k - a_{k-1}. The recursion without growing numbers, for z_k =
 * P_k(Lw) z_0 and M = I - c_3 Lw, is
 *
 * <pre>
 * z_1 = M z_0,   z_{k+1} = omega_{k+1} (M z_k - z_{k-1}) + z_{k-1},   omega_{k+1} = 2 c_2 a_k / a_{k+1}
 * </pre>
 *
 * <p>Source: K. Scaman, F. Bach, S. Bubeck, Y. T. Lee, L. Massoulie, "Optimal algorithms for smooth
 * and strongly convex distributed optimization in networks", 2017, section 4; the second form is
 * that of G. Golub, R. Varga, 1961.
 *
 * @param l2 the smallest positive eigenvalue
 * @param ln the largest eigenvalue
 */
public record ChebyshevPolynomial(double l2, double ln) {
  /**
   * Checks the interval.
   *
   * @throws IllegalArgumentException when it is not 0 &lt; l_2 &lt;= l_n &lt; infinity
   */
  public ChebyshevPolynomial {
    if (!(l2 > 0 && l2 <= ln && ln < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "the eigenvalues l_2 = "
              + l2
              + " and l_n = "
              + ln
              + " are not 0 < l_2 <= l_n: the graph must be connected and have two nodes or more");
    }
  }

  /** For the Laplacian of a connected graph. */
  public static ChebyshevPolynomial of(Laplacian laplacian) {
    return new ChebyshevPolynomial(laplacian.l2(), laplacian.ln());
  }

  /** For I - W with a symmetric W whose rows sum to 1: l_2 = 1 - lambda_2, l_n = 1 - lambda_n. */
  public static ChebyshevPolynomial of(MixingMatrix w) {
    return new ChebyshevPolynomial(1 - w.secondEigenvalue(), 1 - w.smallestEigenvalue());
  }

  /** l_2 / l_n. */
  public double gamma() {
    return l2 / ln;
  }

  /** (1 + gamma) / (1 - gamma); infinite where all eigenvalues are equal. */
  public double c2() {
    return (ln + l2) / (ln - l2);
  }

  /** 2 / (l_2 + l_n), the constant of the best constant weights. */
  public double c3() {
    return 2 / (l2 + ln);
  }

  /**
   * floor(1 / sqrt(gamma)): the number of rounds K that makes one accelerated round of MSDA
   * cheapest.
   */
  public int recommendedDegree() {
    return (int) Math.floor(1 / Math.sqrt(gamma()));
  }

  /** a_k = T_k(c_2), which grows like ((1 + sqrt(gamma)) / (1 - sqrt(gamma)))^k, without bound. */
  public double a(int k) {
    return 1 / contraction(k);
  }

  /** omega_k for k = 1, 2, ...; omega_1 = 1, because z_1 = M z_0 has no earlier term. */
  public double omega(int k) {
    checkDegree(k, 1);
    if (k == 1) {
      return 1;
    }
    double s = 1 / c2();
    double omega = 2;
    for (int j = 2; j <= k; j++) {
      omega = 1 / (1 - s * s * omega / 4);
    }
    return omega;
  }

  /** 1 / T_K(c_2) = 2 c^K / (1 + c^{2K}) with c = (1 - sqrt(gamma)) / (1 + sqrt(gamma)). */
  public double contraction(int k) {
    checkDegree(k, 0);
    double root = Math.sqrt(gamma());
    double power = Math.pow((1 - root) / (1 + root), k);
    return 2 * power / (1 + power * power);
  }

  private static void checkDegree(int k, int least) {
    if (k < least) {
      throw new IllegalArgumentException("degree " + k + " is below " + least);
    }
  }
}
