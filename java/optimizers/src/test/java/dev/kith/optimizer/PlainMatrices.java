package dev.kith.optimizer;

/** Small matrices in obvious loops in f64: the oracle of rules that work on matrices. */
final class PlainMatrices {
  private PlainMatrices() {}

  static double[][] zeros(int rows, int cols) {
    return new double[rows][cols];
  }

  static double[][] of(double[] row, int offset, int rows, int cols) {
    double[][] m = zeros(rows, cols);
    for (int i = 0; i < rows; i++) {
      System.arraycopy(row, offset + i * cols, m[i], 0, cols);
    }
    return m;
  }

  static double[][] times(double[][] a, double[][] b) {
    double[][] c = zeros(a.length, b[0].length);
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < b[0].length; j++) {
        for (int k = 0; k < b.length; k++) {
          c[i][j] += a[i][k] * b[k][j];
        }
      }
    }
    return c;
  }

  static double[][] transposed(double[][] a) {
    double[][] t = zeros(a[0].length, a.length);
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a[0].length; j++) {
        t[j][i] = a[i][j];
      }
    }
    return t;
  }

  /** alpha a + beta b. */
  static double[][] sum(double alpha, double[][] a, double beta, double[][] b) {
    double[][] c = zeros(a.length, a[0].length);
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a[0].length; j++) {
        c[i][j] = alpha * a[i][j] + beta * b[i][j];
      }
    }
    return c;
  }

  static double trace(double[][] a) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i][i];
    }
    return sum;
  }

  /** Eigenvectors in columns, by Jacobi's rotations; the diagonal of v' s v has the values. */
  static double[][] eigenvectors(double[][] s) {
    int n = s.length;
    double[][] a = sum(1, s, 0, s);
    double[][] v = zeros(n, n);
    for (int i = 0; i < n; i++) {
      v[i][i] = 1;
    }
    for (int sweep = 0; sweep < 40; sweep++) {
      for (int p = 0; p < n; p++) {
        for (int q = p + 1; q < n; q++) {
          double angle = 0.5 * Math.atan2(2 * a[p][q], a[q][q] - a[p][p]);
          double[][] r = zeros(n, n);
          for (int i = 0; i < n; i++) {
            r[i][i] = 1;
          }
          r[p][p] = Math.cos(angle);
          r[q][q] = Math.cos(angle);
          r[p][q] = Math.sin(angle);
          r[q][p] = -Math.sin(angle);
          a = times(transposed(r), times(a, r));
          v = times(v, r);
        }
      }
    }
    return v;
  }

  /** (s + shift I)^exponent. */
  static double[][] power(double[][] s, double shift, double exponent) {
    double[][] v = eigenvectors(s);
    double[][] d = times(transposed(v), times(s, v));
    for (int i = 0; i < d.length; i++) {
      for (int j = 0; j < d.length; j++) {
        d[i][j] = i == j ? Math.pow(Math.max(d[i][i], 0) + shift, exponent) : 0;
      }
    }
    return times(v, times(d, transposed(v)));
  }

  /** Orthonormal columns by Gram and Schmidt, twice. */
  static double[][] orthonormal(double[][] a) {
    double[][] q = sum(1, a, 0, a);
    int n = q.length;
    for (int j = 0; j < q[0].length; j++) {
      for (int again = 0; again < 2; again++) {
        for (int k = 0; k < j; k++) {
          double dot = 0;
          for (int i = 0; i < n; i++) {
            dot += q[i][j] * q[i][k];
          }
          for (int i = 0; i < n; i++) {
            q[i][j] -= dot * q[i][k];
          }
        }
      }
      double square = 0;
      for (int i = 0; i < n; i++) {
        square += q[i][j] * q[i][j];
      }
      for (int i = 0; i < n; i++) {
        q[i][j] /= Math.sqrt(square);
      }
    }
    return q;
  }
}
