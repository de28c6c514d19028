package dev.kith.device;

import dev.kith.internal.NativeEvent;

/** A point in a queue, made by {@link Queue#record}. Thread-safe. */
public final class Event implements AutoCloseable {
  private final NativeEvent event;

  Event(NativeEvent event) {
    this.event = event;
  }

  NativeEvent behind() {
    return event;
  }

  /**
   * Asks without waiting.
   *
   * @return true if all work before the event is done
   * @throws IllegalStateException if the event is closed
   */
  public boolean isDone() {
    return event.isDone();
  }

  /**
   * Closes the event; queues that wait for it still do. Idempotent.
   *
   * @throws IllegalStateException if an operation of another thread uses it
   */
  @Override
  public void close() {
    event.close();
  }
}
