package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import java.util.function.BiConsumer;

/** Cuts a matrix into windows that fit a block of memory, in the order of its dense rows. */
final class MatrixBlocks {
  private MatrixBlocks() {}

  /**
   * Hands each window and its length in bytes to {@code action}: whole rows where they fit, else
   * parts of one row.
   *
   * @param limit the largest length of a window, at least one element
   */
  static void forEach(DeviceMatrix matrix, long limit, BiConsumer<DeviceMatrix, Long> action) {
    int size = matrix.dtype().bytes();
    long rowBytes = matrix.cols() * size;
    if (matrix.rows() == 0 || rowBytes == 0) {
      return;
    }
    long rows = Math.max(1, limit / rowBytes);
    long cols = Math.min(matrix.cols(), limit / size);
    for (long r = 0; r < matrix.rows(); r += rows) {
      long end = Math.min(matrix.rows(), r + rows);
      try (DeviceMatrix band = matrix.rows(r, end)) {
        for (long c = 0; c < matrix.cols(); c += cols) {
          try (DeviceMatrix window = band.columns(c, Math.min(matrix.cols(), c + cols))) {
            action.accept(window, window.rows() * window.cols() * size);
          }
        }
      }
    }
  }
}
