package dev.kith.optimizer;

import dev.kith.graph.MixingMatrix;

/**
 * I - c Q for a symmetric positive semi-definite Q that vanishes on common values: Q is a Laplacian
 * (a matrix of zero row sums), or I - W of a mixing matrix.
 */
record GossipOperator(MixingMatrix matrix) {
  /** The coefficient under the matrix. */
  double inner(double c) {
    return laplacian() ? -c : c;
  }

  /** The coefficient outside the matrix. */
  double outer(double c) {
    return laplacian() ? 1 : 1 - c;
  }

  /** The smallest eigenvalue of Q on the vectors that sum to zero. */
  double smallest() {
    return laplacian() ? matrix.smallestEigenvalue() : 1 - matrix.secondEigenvalue();
  }

  /** The largest eigenvalue of Q. */
  double largest() {
    return laplacian() ? matrix.secondEigenvalue() : 1 - matrix.smallestEigenvalue();
  }

  private boolean laplacian() {
    return matrix.kind() == MixingMatrix.Kind.ZERO_ROW_SUMS;
  }
}
