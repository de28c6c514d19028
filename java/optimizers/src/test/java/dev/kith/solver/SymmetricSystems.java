package dev.kith.solver;

import dev.kith.device.DeviceMatrix;

/** Small dense systems with known eigenvalues, one a row. */
final class SymmetricSystems {
  private SymmetricSystems() {}

  /** I - 2 v v' of a unit vector v: a symmetric orthogonal basis. */
  private static double[][] basis(int d, int seed) {
    double[] v = new double[d];
    double squares = 0;
    for (int i = 0; i < d; i++) {
      v[i] = Math.sin(1.7 * i + seed) + 0.1;
      squares += v[i] * v[i];
    }
    double[][] q = new double[d][d];
    for (int i = 0; i < d; i++) {
      for (int j = 0; j < d; j++) {
        q[i][j] = (i == j ? 1 : 0) - 2 * v[i] * v[j] / squares;
      }
    }
    return q;
  }

  /** Q diag(eigenvalues) Q'. */
  static double[][] symmetric(double[] eigenvalues, int seed) {
    int d = eigenvalues.length;
    double[][] q = basis(d, seed);
    double[][] a = new double[d][d];
    for (int i = 0; i < d; i++) {
      for (int j = 0; j < d; j++) {
        for (int k = 0; k < d; k++) {
          a[i][j] += q[i][k] * eigenvalues[k] * q[j][k];
        }
      }
    }
    return a;
  }

  /** Q diag(1 / eigenvalues) Q', 0 for 0. */
  static double[][] pseudoInverse(double[] eigenvalues, int seed) {
    double[] inverse = new double[eigenvalues.length];
    for (int i = 0; i < inverse.length; i++) {
      inverse[i] = eigenvalues[i] == 0 ? 0 : 1 / eigenvalues[i];
    }
    return symmetric(inverse, seed);
  }

  static double[] times(double[][] a, double[] x) {
    double[] y = new double[a.length];
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < x.length; j++) {
        y[i] += a[i][j] * x[j];
      }
    }
    return y;
  }

  static double[][] transposed(double[][] a) {
    double[][] t = new double[a[0].length][a.length];
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a[0].length; j++) {
        t[j][i] = a[i][j];
      }
    }
    return t;
  }

  /** Row k times the k-th matrix. */
  static LinearOperator operator(double[][]... a) {
    return (x, product) -> {
      double[] flat = x.toDoubles();
      int columns = a[0][0].length;
      int rows = a[0].length;
      double[] out = new double[a.length * rows];
      for (int k = 0; k < a.length; k++) {
        double[] row = new double[columns];
        System.arraycopy(flat, k * columns, row, 0, columns);
        System.arraycopy(times(a[k], row), 0, out, k * rows, rows);
      }
      product.upload(out);
    };
  }

  static double[] right(int d, int seed) {
    double[] b = new double[d];
    for (int i = 0; i < d; i++) {
      b[i] = Math.cos(2.3 * i + seed);
    }
    return b;
  }

  static double[] row(DeviceMatrix m, int k) {
    double[] row = new double[Math.toIntExact(m.cols())];
    System.arraycopy(m.toDoubles(), k * row.length, row, 0, row.length);
    return row;
  }

  static double norm(double[] v) {
    double squares = 0;
    for (double x : v) {
      squares += x * x;
    }
    return Math.sqrt(squares);
  }
}
