package dev.kith.internal;

import java.lang.foreign.MemorySegment;

/** A kith_weights with its lease. Thread-safe. */
public final class NativeWeights extends Lease {
  private final NativeDevice device;
  private final MemorySegment handle;
  private final long rows;
  private final long cols;

  /**
   * Takes a fresh handle over.
   *
   * @param device its device
   * @param handle a kith_weights
   * @param rows its rows, for messages
   * @param cols its columns, for messages
   */
  public NativeWeights(NativeDevice device, MemorySegment handle, long rows, long cols) {
    this.device = device;
    this.handle = handle;
    this.rows = rows;
    this.cols = cols;
  }

  /**
   * Its device.
   *
   * @return the device
   */
  public NativeDevice device() {
    return device;
  }

  /**
   * The native weights.
   *
   * @return a kith_weights
   */
  public MemorySegment handle() {
    return handle;
  }

  /**
   * Releases them. Idempotent.
   *
   * @throws IllegalStateException if an operation of another thread uses them
   */
  public void close() {
    if (markClosed()) {
      try (Call call = new Call()) {
        call.check("close", device.abi().weightsRelease(handle, call.segment()));
      }
    }
  }

  @Override
  protected String what() {
    return rows + " x " + cols + " mixing matrix";
  }

  @Override
  protected long bytes() {
    return 0;
  }
}
