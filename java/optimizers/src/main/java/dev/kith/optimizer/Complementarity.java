package dev.kith.optimizer;

import java.util.Arrays;
import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.factory.DecompositionFactory_DDRM;
import org.ejml.interfaces.decomposition.EigenDecomposition_F64;

/**
 * Finds a symmetric m x m matrix X with X &gt;= 0, C + K X &gt;= 0 and &lt;X, C + K X&gt; = 0,
 * where K maps symmetric matrices to symmetric ones and is positive definite, by extragradient
 * steps with projection.
 */
final class Complementarity {
  private static final double TOLERANCE = 1e-10;

  private Complementarity() {}

  /**
   * @param m rows of X
   * @param c C, m x m row-major
   * @param k K, m^2 x m^2
   * @param maxIterations how many steps at most
   * @return X, m x m row-major
   * @throws ArithmeticException when none is found, as where K is 0 and C is not positive
   */
  static double[] solve(int m, double[] c, double[][] k, int maxIterations) {
    double[] x = new double[m * m];
    if (m == 1) {
      x[0] = c[0] >= 0 ? 0 : -c[0] / k[0][0];
      require(x[0] >= 0 && x[0] < Double.POSITIVE_INFINITY, 0);
      return x;
    }
    if (smallest(m, c) >= 0) {
      return x;
    }
    double norm = 0;
    for (double[] row : k) {
      norm += Arrays.stream(row).map(v -> v * v).sum();
    }
    norm = Math.sqrt(norm);
    require(norm > 0 && norm < Double.POSITIVE_INFINITY, norm);
    double step = 0.9 / norm;
    double scale = Math.sqrt(Arrays.stream(c).map(v -> v * v).sum());
    double apart = Double.POSITIVE_INFINITY;
    for (int t = 0; t < maxIterations; t++) {
      double[] half = moved(m, x, x, c, k, step);
      double[] next = moved(m, x, half, c, k, step);
      apart = 0;
      for (int i = 0; i < x.length; i++) {
        apart += (next[i] - x[i]) * (next[i] - x[i]);
      }
      apart = Math.sqrt(apart) / step / scale;
      x = next;
      if (apart <= TOLERANCE) {
        return x;
      }
    }
    throw new ArithmeticException(
        "no oscillation was found that keeps the sharpness down in %d steps, what is left is %s of the start: take more directions or substeps, or a smaller step size"
            .formatted(maxIterations, apart));
  }

  private static void require(boolean good, double norm) {
    if (!good) {
      throw new ArithmeticException(
          "no oscillation keeps the sharpness down, whose slope is "
              + norm
              + ": the optimizer diverges with this step size");
    }
  }

  /** The projection of x - step (C + K at). */
  private static double[] moved(
      int m, double[] x, double[] at, double[] c, double[][] k, double step) {
    double[] to = new double[m * m];
    for (int r = 0; r < to.length; r++) {
      double sum = c[r];
      for (int i = 0; i < at.length; i++) {
        sum += k[r][i] * at[i];
      }
      to[r] = x[r] - step * sum;
    }
    EigenDecomposition_F64<DMatrixRMaj> eigen = eigen(m, to);
    double[] projected = new double[m * m];
    for (int e = 0; e < m; e++) {
      double value = eigen.getEigenvalue(e).getReal();
      if (value > 0) {
        DMatrixRMaj u = eigen.getEigenVector(e);
        for (int a = 0; a < m; a++) {
          for (int b = 0; b < m; b++) {
            projected[a * m + b] += value * (u.get(a) * u.get(b));
          }
        }
      }
    }
    return projected;
  }

  private static double smallest(int m, double[] c) {
    EigenDecomposition_F64<DMatrixRMaj> eigen = eigen(m, c);
    double least = Double.POSITIVE_INFINITY;
    for (int e = 0; e < m; e++) {
      least = Math.min(least, eigen.getEigenvalue(e).getReal());
    }
    return least;
  }

  private static EigenDecomposition_F64<DMatrixRMaj> eigen(int m, double[] matrix) {
    DMatrixRMaj symmetric = new DMatrixRMaj(m, m);
    for (int a = 0; a < m; a++) {
      for (int b = 0; b < m; b++) {
        symmetric.set(a, b, (matrix[a * m + b] + matrix[b * m + a]) / 2);
      }
    }
    EigenDecomposition_F64<DMatrixRMaj> eigen = DecompositionFactory_DDRM.eig(m, true, true);
    if (!eigen.decompose(symmetric)) {
      throw new ArithmeticException("the eigenvalues of a small matrix did not converge");
    }
    return eigen;
  }
}
