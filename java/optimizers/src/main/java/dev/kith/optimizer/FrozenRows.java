package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import java.util.Optional;

/** Copies of a few rows, to put them back after an operation on all rows. */
final class FrozenRows implements AutoCloseable {
  private final int[] rows;
  private final Optional<DeviceMatrix> copies;

  private FrozenRows(int[] rows, Optional<DeviceMatrix> copies) {
    this.rows = rows;
    this.copies = copies;
  }

  /** Copies the given rows. */
  static FrozenRows of(DeviceMatrix matrix, int[] rows) {
    if (rows.length == 0) {
      return new FrozenRows(rows, Optional.empty());
    }
    DeviceMatrix copies = matrix.like(rows.length, matrix.cols(), matrix.dtype());
    for (int k = 0; k < rows.length; k++) {
      copyRow(matrix, rows[k], copies, k);
    }
    return new FrozenRows(rows, Optional.of(copies));
  }

  /** Puts the copies into the same rows of a matrix. */
  void restore(DeviceMatrix matrix) {
    for (int k = 0; k < rows.length; k++) {
      copyRow(copies.orElseThrow(), k, matrix, rows[k]);
    }
  }

  private static void copyRow(DeviceMatrix from, long fromRow, DeviceMatrix to, long toRow) {
    try (DeviceMatrix source = from.row(fromRow);
        DeviceMatrix target = to.row(toRow)) {
      target.copyFrom(source);
    }
  }

  @Override
  public void close() {
    copies.ifPresent(DeviceMatrix::close);
  }
}
