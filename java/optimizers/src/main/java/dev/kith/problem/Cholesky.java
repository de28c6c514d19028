package dev.kith.problem;

/** Solves small systems with a symmetric positive definite matrix, A = L L^T. */
final class Cholesky {
  private final double[][] lower;

  /**
   * @param a d x d, symmetric
   * @throws IllegalArgumentException when A is not positive definite
   */
  Cholesky(double[][] a) {
    int d = a.length;
    this.lower = new double[d][d];
    for (int c = 0; c < d; c++) {
      for (int r = c; r < d; r++) {
        double sum = a[r][c];
        for (int k = 0; k < c; k++) {
          sum -= lower[r][k] * lower[c][k];
        }
        if (r > c) {
          lower[r][c] = sum / lower[c][c];
        } else if (sum > 0) {
          lower[c][c] = Math.sqrt(sum);
        } else {
          throw new IllegalArgumentException(
              "the matrix is not positive definite: pivot " + c + " is " + sum);
        }
      }
    }
  }

  /** A^-1 b. */
  double[] solve(double[] b) {
    int d = lower.length;
    double[] x = b.clone();
    for (int r = 0; r < d; r++) {
      for (int k = 0; k < r; k++) {
        x[r] -= lower[r][k] * x[k];
      }
      x[r] /= lower[r][r];
    }
    for (int r = d - 1; r >= 0; r--) {
      for (int k = r + 1; k < d; k++) {
        x[r] -= lower[k][r] * x[k];
      }
      x[r] /= lower[r][r];
    }
    return x;
  }
}
