package dev.kith.device;

import dev.kith.internal.Access;
import dev.kith.internal.NativeEvent;
import dev.kith.internal.NativeQueue;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.Objects;

/**
 * An ordered stream of work on a device. Operations run in the order they were called in, and may
 * still be running when the call returns; {@link #sync}, events and reads of a matrix wait. Work on
 * different queues is ordered by events only.
 *
 * <p>Used by one thread at a time: an operation on a queue that another thread is in fails with
 * {@link IllegalStateException}. A queue may be handed from thread to thread.
 */
public final class Queue implements AutoCloseable {
  private final Device device;
  private final NativeQueue queue;

  Queue(Device device, NativeQueue queue) {
    this.device = device;
    this.queue = queue;
  }

  NativeQueue behind() {
    return queue;
  }

  /**
   * A stream that belongs to someone else as a queue. Work that both call on it runs in the order
   * it was called in.
   *
   * @param device the CUDA device that the stream is of
   * @param stream a {@code cudaStream_t} of the device's primary context; it stays its maker's, who
   *     keeps it until the queue is closed
   * @return the queue; closing it waits for its work and leaves the stream open
   * @throws UnsupportedOperationException if the device has no streams, as the CPU
   * @throws IllegalArgumentException if the stream is none of the device's
   */
  public static Queue wrap(Device device, long stream) {
    return new Queue(
        device, NativeQueue.wrap(Access.device(device), MemorySegment.ofAddress(stream)));
  }

  /**
   * The stream behind the queue, for other libraries that work on it.
   *
   * @return a {@code cudaStream_t}, good until the queue is closed, and not to be destroyed
   * @throws UnsupportedOperationException if the device has no streams, as the CPU
   * @throws IllegalStateException if the queue is closed or in use by another thread
   */
  public long stream() {
    int mark = queue.begin("stream");
    try {
      return queue.stream();
    } finally {
      queue.end(mark);
    }
  }

  /**
   * Records operations instead of running them, so that they can be queued again and again by one
   * call: see {@link Graph}. Nothing runs before {@link Graph#launch}.
   *
   * @param work calls operations on this queue. What waits, copies to or from the host or allocates
   *     cannot be recorded, so matrices are made before, and clipping, which waits, is left out. An
   *     operation is recorded with its numbers as they are: {@code Step.apply} counts one step and
   *     repeats that one's bias correction, and a view may be opened and closed
   * @return the graph; close it
   * @throws UnsupportedOperationException if the device has no graphs, as the CPU
   * @throws IllegalArgumentException if the work calls what cannot be recorded; names it
   * @throws IllegalStateException if the queue is closed, in use by another thread or recording
   */
  public Graph capture(Runnable work) {
    Objects.requireNonNull(work, "work");
    int mark = queue.begin("capture");
    try {
      return new Graph(this, queue.capture(work));
    } finally {
      queue.end(mark);
    }
  }

  /**
   * Its device.
   *
   * @return the device
   */
  public Device device() {
    return device;
  }

  /**
   * Waits until all work is done, and reports what failed in it.
   *
   * @throws KithException if earlier work failed
   * @throws IllegalStateException if the queue is closed or in use by another thread
   */
  public void sync() {
    int mark = queue.begin("sync");
    try {
      queue.await();
    } finally {
      queue.end(mark);
    }
  }

  /**
   * Waits until all work is done, but not for ever.
   *
   * @param timeout how long at most
   * @return false when the time passed before the work was done
   * @throws KithException if earlier work failed
   * @throws IllegalStateException if the queue is closed or in use by another thread
   */
  public boolean sync(Duration timeout) {
    Objects.requireNonNull(timeout, "timeout");
    int mark = queue.begin("sync");
    try {
      return queue.await(saturated(timeout));
    } finally {
      queue.end(mark);
    }
  }

  private static long saturated(Duration timeout) {
    return timeout.compareTo(Duration.ofNanos(Long.MAX_VALUE)) >= 0
        ? Long.MAX_VALUE
        : Math.max(0, timeout.toNanos());
  }

  /**
   * Marks the present end of the queue.
   *
   * @return an event that is passed when all work called so far is done; close it
   * @throws IllegalStateException if the queue is closed or in use by another thread
   */
  public Event record() {
    int mark = queue.begin("record");
    try {
      NativeEvent event = new NativeEvent(queue.device());
      try {
        queue.check(queue.abi().eventRecord(event.handle(), queue.handle(), queue.call()));
      } catch (RuntimeException e) {
        event.close();
        throw e;
      }
      return new Event(event);
    } finally {
      queue.end(mark);
    }
  }

  /**
   * Lets work that is called later start only after an event. Does not wait itself.
   *
   * @param event an event of a queue of the same device
   * @throws IllegalArgumentException if the event belongs to another device
   * @throws IllegalStateException if the queue or the event is closed, or the queue in use by
   *     another thread
   */
  public void await(Event event) {
    NativeEvent awaited = event.behind();
    if (awaited.device() != Access.device(device)) {
      throw new IllegalArgumentException(
          "await: the event belongs to device "
              + awaited.device().name()
              + " and the queue to "
              + device.name());
    }
    int mark = queue.begin("await");
    try {
      queue.use(awaited);
      queue.check(queue.abi().eventWait(awaited.handle(), queue.handle(), queue.call()));
    } finally {
      queue.end(mark);
    }
  }

  /**
   * Waits for the work and closes the queue. Idempotent. Matrices bound to it stay readable through
   * views on other queues ({@link DeviceMatrix#on}), and can be closed.
   *
   * @throws KithException if earlier work failed; the queue is closed all the same
   * @throws IllegalStateException if an operation is running on it
   */
  @Override
  public void close() {
    queue.close();
  }

  @Override
  public String toString() {
    return "Queue[" + device.name() + (queue.isClosed() ? ", closed]" : "]");
  }
}
