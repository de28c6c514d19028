package dev.kith.internal;

import java.lang.foreign.MemorySegment;
import java.util.Set;

/** A kith_graph with its lease. Thread-safe. */
public final class NativeGraph extends Lease {
  private final NativeDevice device;
  private final MemorySegment handle;

  /** Foreign memory that the recorded work uses, kept reachable. */
  private final Set<MemorySegment> foreign;

  /**
   * Takes a fresh handle over.
   *
   * @param device its device
   * @param handle a kith_graph
   * @param foreign wrapped memory that it works on
   */
  NativeGraph(NativeDevice device, MemorySegment handle, Set<MemorySegment> foreign) {
    this.device = device;
    this.handle = handle;
    this.foreign = foreign;
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
   * Queues the recorded work once more. Only inside of an operation of the queue.
   *
   * @param queue a queue of the device, which borrows the graph
   */
  public void launch(NativeQueue queue) {
    queue.use(this);
    queue.retain(foreign);
    int status;
    // Two threads may have borrowed it for queues of their own; the library takes one at a time.
    synchronized (this) {
      status = device.abi().graphLaunch(handle, queue.handle(), queue.call());
    }
    queue.check(status);
  }

  /**
   * Releases it; queued work still runs. Idempotent.
   *
   * @throws IllegalStateException if an operation of another thread uses it
   */
  public void close() {
    if (markClosed()) {
      try (Call call = new Call()) {
        call.check("close", device.abi().graphRelease(handle, call.segment()));
      }
    }
  }

  @Override
  protected String what() {
    return "graph";
  }

  @Override
  protected long bytes() {
    return 0;
  }
}
