package dev.kith.privacy;

import dev.kith.graph.MixingMatrix;

/**
 * What noise with covariance R costs after mixing: tr(A R) for a matrix A over the nodes. Noise V
 * enters as X &lt;- W (X - step (G + V)).
 */
public final class MixingObjective {
  private MixingObjective() {}

  /** A = W^T W: the noise that is left after one round, the objective of CorN-DSGD and DECOR. */
  public static double[][] oneRound(MixingMatrix weights) {
    double[][] w = weights.toDense();
    int n = w.length;
    double[][] a = new double[n][n];
    for (int k = 0; k < n; k++) {
      for (int i = 0; i < n; i++) {
        if (w[k][i] != 0) {
          for (int j = 0; j < n; j++) {
            a[i][j] += w[k][i] * w[k][j];
          }
        }
      }
    }
    return a;
  }

  /**
   * A = sum_(k &gt;= 0) c^(2 k) (W^(k+1))^T W^(k+1): the noise that all rounds leave behind in the
   * limit, when a step shrinks errors by c = 1 - step mu for curvature mu. With step^2 tr(A R) it
   * is the stationary variance per parameter, summed over the nodes, on f_i = (mu/2)|x|^2.
   *
   * <p>Noise that a single round leaves on neighbours is averaged away by later ones, while noise
   * of the mean stays: tuned for one round only, correlated noise keeps too much of the latter. The
   * sum is formed by doubling, A_2k = A_k + c^(2 k) (W^k)^T A_k W^k.
   *
   * @param weights W, whose powers must not grow
   * @param contraction c in [0, 1)
   * @throws IllegalArgumentException when c is outside its range, or the sum does not settle
   */
  public static double[][] horizonAware(MixingMatrix weights, double contraction) {
    if (!(contraction >= 0 && contraction < 1)) {
      throw new IllegalArgumentException(
          "the contraction is "
              + contraction
              + ": give 1 - stepSize * curvature, from 0 to below 1");
    }
    double[][] sum = oneRound(weights);
    double[][] power = weights.toDense();
    int n = power.length;
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        power[i][j] *= contraction;
      }
    }
    for (int doubling = 0; doubling < 64; doubling++) {
      double[][] more = product(transposed(power), product(sum, power));
      double largest = 0;
      double change = 0;
      for (int i = 0; i < n; i++) {
        for (int j = 0; j <= i; j++) {
          double added = (more[i][j] + more[j][i]) / 2;
          sum[i][j] += added;
          sum[j][i] = sum[i][j];
          change = Math.max(change, Math.abs(added));
          largest = Math.max(largest, Math.abs(sum[i][j]));
        }
      }
      if (change <= 0x1p-54 * largest) {
        return sum;
      }
      power = product(power, power);
    }
    throw new IllegalArgumentException(
        "the noise does not settle under these weights: the powers of W grow");
  }

  /** tr(A R) = sum_ij A_ij R_ij for symmetric matrices. */
  public static double value(double[][] objective, double[][] covariance) {
    if (objective.length != covariance.length) {
      throw new IllegalArgumentException(
          "the objective is over "
              + objective.length
              + " nodes and the covariance over "
              + covariance.length
              + ": they must agree");
    }
    double sum = 0;
    for (int i = 0; i < objective.length; i++) {
      for (int j = 0; j < objective.length; j++) {
        sum += objective[i][j] * covariance[i][j];
      }
    }
    return sum;
  }

  private static double[][] transposed(double[][] a) {
    double[][] t = new double[a.length][a.length];
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a.length; j++) {
        t[j][i] = a[i][j];
      }
    }
    return t;
  }

  private static double[][] product(double[][] a, double[][] b) {
    int n = a.length;
    double[][] c = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int k = 0; k < n; k++) {
        double factor = a[i][k];
        for (int j = 0; j < n; j++) {
          c[i][j] += factor * b[k][j];
        }
      }
    }
    return c;
  }
}
