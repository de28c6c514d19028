package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Factorization;
import dev.kith.kernel.Product;
import java.util.Arrays;
import java.util.Optional;

/** Powers of symmetric positive matrices, one in every row, by their eigenvalues. */
final class Spectrum implements AutoCloseable {
  /** What an eigenvalue, at least 0, of the matrix in a row becomes; 0 or larger. */
  interface Change {
    double at(int row, double eigenvalue);
  }

  private final int side;
  private final DeviceMatrix vectors;
  private final DeviceMatrix values;
  private double[] eigenvalues = new double[0];

  /**
   * @param side of the matrices
   * @param like gives rows, dtype and queue
   */
  Spectrum(int side, DeviceMatrix like) {
    this.side = side;
    vectors = like.like(like.rows(), (long) side * side, like.dtype());
    values = like.like(like.rows(), side, like.dtype());
  }

  private Batch squares(DeviceMatrix m, long column) {
    return Batch.of(m, column, side, side, side, m.stride());
  }

  /** Takes the matrices at a column of the rows of {@code from}. */
  void decompose(DeviceMatrix from, long column) {
    Factorization.eigen(
        from.rows(),
        squares(from, column),
        Batch.of(values, 0, 1, side, side, values.stride()),
        Optional.of(squares(vectors, 0)),
        Optional.empty());
    eigenvalues = values.toDoubles();
  }

  /** The mean of the eigenvalues of the matrix in a row. */
  double mean(int row) {
    return Arrays.stream(eigenvalues, row * side, (row + 1) * side).sum() / side;
  }

  /**
   * Writes V diag(change(l)) V' = (V d) (V d)' with d = sqrt(change(l)); once after a
   * decomposition.
   */
  void write(Change change, DeviceMatrix to, long column) {
    double[] v = vectors.toDoubles();
    for (int r = 0; r < vectors.rows(); r++) {
      for (int j = 0; j < side; j++) {
        double d = Math.sqrt(change.at(r, Math.max(eigenvalues[r * side + j], 0)));
        for (int i = 0; i < side; i++) {
          v[(r * side + i) * side + j] *= d;
        }
      }
    }
    vectors.upload(v);
    Product.multiplySymmetric(
        to.rows(), 1, squares(vectors, 0), false, 0, Optional.empty(), 0, squares(to, column));
  }

  @Override
  public void close() {
    vectors.close();
    values.close();
  }
}
