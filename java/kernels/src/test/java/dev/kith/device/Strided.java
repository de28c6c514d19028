package dev.kith.device;

import java.util.Optional;

/** Views with any stride, which operations must take and the public methods do not make. */
public final class Strided {
  private Strided() {}

  /** A rows x cols window of a matrix of one row, whose rows lie this many elements apart. */
  public static DeviceMatrix view(DeviceMatrix row, long first, long rows, long cols, long stride) {
    return row.view(row.queue(), 0, first, rows, cols, stride, Optional.empty());
  }
}
