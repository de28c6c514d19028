package dev.kith.problem;

/**
 * Settings of the problems that are given for all nodes and held for a range of them.
 *
 * @param <B> the builder itself
 */
public abstract class NodesBuilder<B extends NodesBuilder<B>> {
  private final int nodes;
  int begin;
  int end;

  NodesBuilder(int nodes) {
    this.nodes = nodes;
    this.end = nodes;
  }

  abstract B self();

  /** Holds the global nodes [begin, end) only. Default: all. */
  public final B nodes(int begin, int end) {
    requireRange(begin, end, nodes);
    this.begin = begin;
    this.end = end;
    return self();
  }

  /** Refuses what is no range of the nodes, or an empty one. */
  static void requireRange(int begin, int end, int nodes) {
    if (begin < 0 || begin >= end || end > nodes) {
      throw new IllegalArgumentException(
          "The nodes [" + begin + ", " + end + ") are not a range of the " + nodes + " nodes");
    }
  }
}
