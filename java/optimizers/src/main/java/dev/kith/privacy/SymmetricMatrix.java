package dev.kith.privacy;

import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.factory.DecompositionFactory_DDRM;
import org.ejml.interfaces.decomposition.EigenDecomposition_F64;

/** Eigenvalues and eigenvectors of a symmetric matrix, A = U diag(d) U^T. */
final class SymmetricMatrix {
  private final double[] eigenvalues;

  /** Row k is eigenvector k. */
  private final double[][] eigenvectors;

  private SymmetricMatrix(double[] eigenvalues, double[][] eigenvectors) {
    this.eigenvalues = eigenvalues;
    this.eigenvectors = eigenvectors;
  }

  static SymmetricMatrix of(double[][] a) {
    int n = a.length;
    EigenDecomposition_F64<DMatrixRMaj> found = DecompositionFactory_DDRM.eig(n, true, true);
    if (!found.decompose(new DMatrixRMaj(a))) {
      throw new ArithmeticException(
          "the eigenvalues of a matrix of order " + n + " did not settle");
    }
    double[] values = new double[n];
    double[][] vectors = new double[n][];
    for (int k = 0; k < n; k++) {
      values[k] = found.getEigenvalue(k).getReal();
      vectors[k] = found.getEigenVector(k).getData();
    }
    return new SymmetricMatrix(values, vectors);
  }

  double[] eigenvalues() {
    return eigenvalues;
  }

  double smallest() {
    double smallest = Double.POSITIVE_INFINITY;
    for (double value : eigenvalues) {
      smallest = Math.min(smallest, value);
    }
    return smallest;
  }

  double largest() {
    double largest = Double.NEGATIVE_INFINITY;
    for (double value : eigenvalues) {
      largest = Math.max(largest, value);
    }
    return largest;
  }

  /** diag(U f U^T): the diagonal of a function of the matrix, given at the eigenvalues. */
  double[] diagonal(double[] f) {
    int n = f.length;
    double[] diagonal = new double[n];
    for (int k = 0; k < n; k++) {
      for (int i = 0; i < n; i++) {
        diagonal[i] += f[k] * eigenvectors[k][i] * eigenvectors[k][i];
      }
    }
    return diagonal;
  }

  /** U f U^T, exactly symmetric. */
  double[][] function(double[] f) {
    int n = f.length;
    double[][] result = new double[n][n];
    for (int k = 0; k < n; k++) {
      double[] v = eigenvectors[k];
      for (int i = 0; i < n; i++) {
        double scaled = f[k] * v[i];
        double[] row = result[i];
        for (int j = 0; j <= i; j++) {
          row[j] += scaled * v[j];
        }
      }
    }
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < i; j++) {
        result[j][i] = result[i][j];
      }
    }
    return result;
  }
}
