package dev.kith.device;

import dev.kith.internal.Access;
import dev.kith.internal.NativeEvent;
import dev.kith.internal.NativeQueue;
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
