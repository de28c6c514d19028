package dev.kith.internal;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * One piece of memory on a device. It lives while a window on it is open, and a little longer: the
 * library frees it when the queues that used it have passed that work. Thread-safe.
 */
public final class Allocation {
  private final NativeDevice device;
  private final MemorySegment handle;
  private final long address;
  private final boolean host;
  private final Optional<MemorySegment> foreign;
  private final AtomicInteger windows = new AtomicInteger();

  /**
   * Takes a fresh handle over; the first window has still to {@link #retain} it.
   *
   * @param device its device
   * @param handle a kith_memory
   * @param foreign the memory that was wrapped, kept reachable
   */
  Allocation(NativeDevice device, MemorySegment handle, Optional<MemorySegment> foreign) {
    this.device = device;
    this.handle = handle;
    this.foreign = foreign;
    try (Call call = new Call();
        Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
      MemorySegment isHost = arena.allocate(ValueLayout.JAVA_INT);
      call.check("allocate", device.abi().memoryAddress(handle, out, isHost, call.segment()));
      address = out.get(ValueLayout.ADDRESS, 0).address();
      host = isHost.get(ValueLayout.JAVA_INT, 0) != 0;
    }
  }

  NativeDevice device() {
    return device;
  }

  MemorySegment handle() {
    return handle;
  }

  /** The address on the device; on the CPU that of the host. */
  long address() {
    return address;
  }

  /** Whether the host can address it. */
  boolean host() {
    return host;
  }

  Optional<MemorySegment> foreign() {
    return foreign;
  }

  /** Counts a window; the caller knows that it is open. */
  void retain() {
    windows.incrementAndGet();
  }

  /** Counts a window out; the last one frees. */
  void drop() {
    if (windows.decrementAndGet() > 0) {
      return;
    }
    try (Call call = new Call()) {
      call.check("close", device.abi().memoryRelease(handle, call.segment()));
    }
  }
}
