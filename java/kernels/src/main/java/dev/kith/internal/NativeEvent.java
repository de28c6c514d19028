package dev.kith.internal;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** A kith_event with its lease. Thread-safe. */
public final class NativeEvent extends Lease {
  private final NativeDevice device;
  private final MemorySegment handle;

  /**
   * Creates an event that was not recorded yet.
   *
   * @param device its device
   */
  public NativeEvent(NativeDevice device) {
    this.device = device;
    try (Call call = new Call();
        Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
      call.check("record", device.abi().eventCreate(device.handle(), out, call.segment()));
      handle = out.get(ValueLayout.ADDRESS, 0);
    }
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
   * The native event.
   *
   * @return a kith_event
   */
  public MemorySegment handle() {
    return handle;
  }

  /**
   * Asks whether the queue has passed it.
   *
   * @return true if so
   * @throws IllegalStateException if it is closed
   */
  public boolean isDone() {
    acquire("isDone");
    try (Call call = new Call();
        Arena arena = Arena.ofConfined()) {
      MemorySegment done = arena.allocate(ValueLayout.JAVA_INT);
      call.check("isDone", device.abi().eventQuery(handle, done, call.segment()));
      return done.get(ValueLayout.JAVA_INT, 0) != 0;
    } finally {
      release();
    }
  }

  /** Destroys it. Idempotent. */
  public void close() {
    if (markClosed()) {
      try (Call call = new Call()) {
        call.check("close", device.abi().eventDestroy(handle, call.segment()));
      }
    }
  }

  @Override
  protected String what() {
    return "event";
  }

  @Override
  protected long bytes() {
    return 0;
  }
}
