package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import java.util.Optional;

/** A view of some columns of a matrix that may be absent. */
record Columns(Optional<DeviceMatrix> view) implements AutoCloseable {
  Columns(Optional<DeviceMatrix> whole, long from, long to) {
    this(whole.map(m -> m.columns(from, to)));
  }

  /** The view of a matrix that is not absent. */
  DeviceMatrix present() {
    return view.orElseThrow();
  }

  @Override
  public void close() {
    view.ifPresent(DeviceMatrix::close);
  }
}
