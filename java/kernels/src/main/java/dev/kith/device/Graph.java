package dev.kith.device;

import dev.kith.internal.NativeGraph;
import dev.kith.internal.NativeQueue;

/**
 * Work that was recorded once by {@link Queue#capture} and is queued again by one call: a round of
 * many small operations then costs its launch once. Each launch runs the operations with the same
 * arguments on the same matrices, numbers like a step size included. The matrices' memory stays
 * while the graph is open. Thread-safe; launches on one queue are for one thread at a time, as all
 * its operations.
 */
public final class Graph implements AutoCloseable {
  private final Queue queue;
  private final NativeGraph graph;

  Graph(Queue queue, NativeGraph graph) {
    this.queue = queue;
    this.graph = graph;
  }

  /**
   * Queues the work on the queue that it was recorded on.
   *
   * @throws IllegalStateException if the graph or the queue is closed, or the queue in use by
   *     another thread
   * @throws KithException if the device failed
   */
  public void launch() {
    launch(queue);
  }

  /**
   * Queues the work.
   *
   * @param target a queue of the same device
   * @throws IllegalArgumentException if the queue belongs to another device
   * @throws IllegalStateException if the graph or the queue is closed, or the queue in use by
   *     another thread
   * @throws KithException if the device failed
   */
  public void launch(Queue target) {
    NativeQueue behind = target.behind();
    if (behind.device() != graph.device()) {
      throw new IllegalArgumentException(
          "launch: the queue belongs to device "
              + target.device().name()
              + " and the graph to "
              + graph.device().name());
    }
    int mark = behind.begin("launch");
    try {
      graph.launch(behind);
    } finally {
      behind.end(mark);
    }
  }

  /**
   * Closes the graph; launches that are queued still run. Idempotent.
   *
   * @throws IllegalStateException if another thread is launching it
   */
  @Override
  public void close() {
    graph.close();
  }

  @Override
  public String toString() {
    return "Graph[" + graph.device().name() + "]";
  }
}
