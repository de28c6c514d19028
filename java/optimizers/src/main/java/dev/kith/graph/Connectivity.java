package dev.kith.graph;

import java.util.OptionalDouble;
import java.util.stream.IntStream;

/**
 * How well the nodes that are alive hang together under one mixing matrix: reported, never refused.
 *
 * <p>Immutable and safe for use by several threads.
 */
public final class Connectivity {
  private final MixingMatrix survivors;
  private final Graph graph;

  private Connectivity(MixingMatrix survivors) {
    this.survivors = survivors;
    this.graph = survivors.graph();
  }

  /**
   * The connectivity in one round of a schedule; nodes that are gone do not count.
   *
   * @throws IllegalArgumentException when no node is alive
   */
  public static Connectivity of(MixingSchedule schedule, long round) {
    int[] alive =
        IntStream.range(0, schedule.nodes()).filter(i -> schedule.isAlive(round, i)).toArray();
    MixingMatrix w = schedule.at(round);
    return new Connectivity(alive.length == w.nodes() ? w : w.restrictedTo(alive));
  }

  /** The connectivity under a matrix, all nodes alive. */
  public static Connectivity of(MixingMatrix w) {
    return new Connectivity(w);
  }

  /** The number of nodes alive. */
  public int aliveNodes() {
    return survivors.nodes();
  }

  /** The number of parts into which they fall, the direction of messages ignored. */
  public int components() {
    return graph.components();
  }

  /** The number of nodes in the largest part. */
  public int giantComponentSize() {
    return graph.giantComponentSize();
  }

  /**
   * lambda_2 of the matrix on the nodes alive: 1 when they fall apart. Empty when the matrix is not
   * symmetric.
   *
   * @throws IllegalStateException as {@link MixingMatrix#secondEigenvalue}
   */
  public OptionalDouble secondEigenvalue() {
    if (!survivors.symmetric()) {
      return OptionalDouble.empty();
    }
    return OptionalDouble.of(components() > 1 ? 1 : survivors.secondEigenvalue());
  }

  /**
   * lambda_2 of the matrix on the largest part. Empty when the matrix is not symmetric.
   *
   * @throws IllegalStateException as {@link MixingMatrix#secondEigenvalue}
   */
  public OptionalDouble giantSecondEigenvalue() {
    if (!survivors.symmetric()) {
      return OptionalDouble.empty();
    }
    return OptionalDouble.of(survivors.restrictedTo(graph.giantComponent()).secondEigenvalue());
  }

  /** One line for a report. */
  @Override
  public String toString() {
    return aliveNodes()
        + " nodes alive in "
        + components()
        + (components() == 1 ? " component" : " components")
        + ", the largest with "
        + giantComponentSize();
  }
}
