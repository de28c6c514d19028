package dev.kith.network;

import dev.kith.kernel.NodeTree;
import java.util.ArrayList;
import java.util.List;

/**
 * Who takes part: process p owns the contiguous range {@code ranges.get(p)} of the global nodes.
 *
 * @param view number of the membership, larger after each change; 0 where it never changes
 * @param ranges one non-empty range a process, ascending from node 0 without gaps
 */
public record Membership(long view, List<NodeTree.Range> ranges) {
  /** Checks that the ranges tile the nodes. */
  public Membership {
    ranges = List.copyOf(ranges);
    if (ranges.isEmpty()) {
      throw new IllegalArgumentException("A membership needs at least one process");
    }
    int next = 0;
    for (NodeTree.Range range : ranges) {
      if (range.begin() != next || range.end() <= next) {
        throw new IllegalArgumentException(
            "The ranges "
                + ranges
                + " do not tile the nodes: after node "
                + next
                + " comes "
                + range);
      }
      next = range.end();
    }
  }

  /**
   * A fixed membership that cuts the nodes as evenly as possible: process p owns [p n / k, (p + 1)
   * n / k).
   *
   * @throws IllegalArgumentException when there are more processes than nodes
   */
  public static Membership even(int nodes, int processes) {
    if (processes < 1 || nodes < processes) {
      throw new IllegalArgumentException(
          nodes
              + " nodes cannot be cut over "
              + processes
              + " processes: every process needs a node");
    }
    List<NodeTree.Range> ranges = new ArrayList<>();
    for (int p = 0; p < processes; p++) {
      ranges.add(
          new NodeTree.Range(
              (int) ((long) p * nodes / processes), (int) ((p + 1L) * nodes / processes)));
    }
    return new Membership(0, ranges);
  }

  /** Number of processes. */
  public int processes() {
    return ranges.size();
  }

  /** Number of nodes of the whole network. */
  public int nodes() {
    return ranges.getLast().end();
  }

  /** The process that owns a node. */
  public int processOf(int node) {
    if (node < 0 || node >= nodes()) {
      throw new IllegalArgumentException(
          "Node " + node + " is not one of the " + nodes() + " nodes");
    }
    int low = 0;
    int high = ranges.size() - 1;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (node < ranges.get(middle).end()) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }
}
