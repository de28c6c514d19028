package dev.kith.bench;

/**
 * {@link Operation#POLAR} in f64 by the iteration of Newton and Schulz, X = X (3 - X' X) / 2, on
 * the matrix over its norm: singular values below the square root of 3 go to 1, and the singular
 * vectors stay (N. J. Higham, "Functions of Matrices", 2008, section 8.3).
 */
final class PolarReference {
  /** Of the matrix in a row. */
  static final int COLS = 8;

  private static final int MOST = 200;

  private final Workload workload;
  private int present = -1;
  private double[] x;

  PolarReference(Workload workload) {
    if (workload.cols() % COLS != 0 || workload.cols() < COLS * COLS) {
      throw new IllegalArgumentException(
          "%s: rows must be matrices of %d columns and as many rows or more"
              .formatted(workload.name(), COLS));
    }
    this.workload = workload;
  }

  /** The element of the result. */
  double at(int row, long col) {
    if (row != present) {
      x = factor(row);
      present = row;
    }
    return x[(int) col];
  }

  private double[] factor(int row) {
    double[] y = new double[(int) workload.cols()];
    double squares = 0;
    for (int k = 0; k < y.length; k++) {
      y[k] = TestData.at(TestData.X, row * workload.cols() + k);
      squares += y[k] * y[k];
    }
    for (int k = 0; k < y.length; k++) {
      y[k] /= Math.sqrt(squares);
    }
    for (int i = 0; i < MOST; i++) {
      double[] next = step(y);
      double change = 0;
      for (int k = 0; k < y.length; k++) {
        change = Math.max(change, Math.abs(next[k] - y[k]));
      }
      y = next;
      if (change < 1e-14) {
        return y;
      }
    }
    throw new IllegalStateException(
        "%s: row %d is not of full rank".formatted(workload.name(), row));
  }

  private static double[] step(double[] y) {
    int rows = y.length / COLS;
    double[] gram = new double[COLS * COLS];
    for (int i = 0; i < rows; i++) {
      for (int a = 0; a < COLS; a++) {
        for (int b = 0; b < COLS; b++) {
          gram[a * COLS + b] += y[i * COLS + a] * y[i * COLS + b];
        }
      }
    }
    double[] next = new double[y.length];
    for (int i = 0; i < rows; i++) {
      for (int b = 0; b < COLS; b++) {
        double sum = 3 * y[i * COLS + b];
        for (int a = 0; a < COLS; a++) {
          sum -= y[i * COLS + a] * gram[a * COLS + b];
        }
        next[i * COLS + b] = sum / 2;
      }
    }
    return next;
  }
}
