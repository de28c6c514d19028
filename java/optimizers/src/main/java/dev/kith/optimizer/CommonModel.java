package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Memory;
import dev.kith.kernel.Mixing;

/**
 * One vector that all nodes hold alike: kept as one row, and as one row a node where the gradients
 * are taken. A round forms its successor beside it and takes it over at the end.
 */
final class CommonModel implements AutoCloseable {
  private final DeviceMatrix rows;
  private final DeviceMatrix firstRow;
  private DeviceMatrix row;
  private DeviceMatrix next;

  /**
   * @param rows localNodes x d, all rows alike; stays the caller's to close
   */
  CommonModel(DeviceMatrix rows) {
    this.rows = rows;
    this.firstRow = rows.like(1, rows.rows(), DType.I32);
    this.row = rows.like(1, rows.cols(), rows.dtype());
    this.next = row.like();
    try (DeviceMatrix first = rows.row(0)) {
      row.copyFrom(first);
    }
  }

  /** 1 x d. */
  DeviceMatrix row() {
    return row;
  }

  /** localNodes x d, all rows alike. */
  DeviceMatrix rows() {
    return rows;
  }

  /** Forms the successor and gives it, 1 x d; the present value stays. */
  DeviceMatrix propose(Expression successor) {
    Mixing.combine(successor, next);
    return next;
  }

  /** Where {@link #accept} expects the successor, 1 x d. */
  DeviceMatrix next() {
    return next;
  }

  /** Takes over the successor that was formed last. */
  void accept() {
    DeviceMatrix old = row;
    row = next;
    next = old;
    spread(row, rows);
  }

  /** Writes a row into all rows of a matrix of localNodes rows. */
  void spread(DeviceMatrix from, DeviceMatrix to) {
    Memory.gatherRows(from, firstRow, to);
  }

  @Override
  public void close() {
    firstRow.close();
    row.close();
    next.close();
  }
}
