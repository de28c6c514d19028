package dev.kith.problem;

/** Solves small systems by Gaussian elimination with row exchanges. */
final class Elimination {
  private Elimination() {}

  /**
   * A^-1 b.
   *
   * @param a d x d; overwritten
   * @param b d elements; overwritten
   * @throws IllegalArgumentException when a pivot is 0 or not finite
   */
  static double[] solve(double[][] a, double[] b) {
    int d = b.length;
    for (int c = 0; c < d; c++) {
      int pivot = c;
      for (int r = c + 1; r < d; r++) {
        if (Math.abs(a[r][c]) > Math.abs(a[pivot][c])) {
          pivot = r;
        }
      }
      double[] row = a[pivot];
      a[pivot] = a[c];
      a[c] = row;
      double right = b[pivot];
      b[pivot] = b[c];
      b[c] = right;
      if (a[c][c] == 0 || !Double.isFinite(a[c][c])) {
        throw new IllegalArgumentException("the matrix is singular: pivot " + c + " is " + a[c][c]);
      }
      for (int r = c + 1; r < d; r++) {
        double factor = a[r][c] / a[c][c];
        for (int k = c; k < d; k++) {
          a[r][k] -= factor * a[c][k];
        }
        b[r] -= factor * b[c];
      }
    }
    for (int r = d - 1; r >= 0; r--) {
      for (int k = r + 1; k < d; k++) {
        b[r] -= a[r][k] * b[k];
      }
      b[r] /= a[r][r];
    }
    return b;
  }
}
