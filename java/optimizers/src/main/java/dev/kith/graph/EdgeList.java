package dev.kith.graph;

import java.util.Arrays;

/** Links in the order in which a generator finds them, and their sorting into compressed rows. */
final class EdgeList {
  /** The longest array that common JVMs allocate. */
  static final int MAX_ENTRIES = Integer.MAX_VALUE - 8;

  private final int nodes;
  private int[] from;
  private int[] to;
  private int size;

  /** An empty list for so many nodes, with room for so many links; it grows when needed. */
  EdgeList(int nodes, long expected) {
    this.nodes = nodes;
    int capacity = checkEntries(Math.max(expected, 4));
    this.from = new int[capacity];
    this.to = new int[capacity];
  }

  /** The count as an array length, or the sentence that says why it is none. */
  static int checkEntries(long entries) {
    if (entries > MAX_ENTRIES) {
      throw new IllegalArgumentException(
          "the graph has more than "
              + MAX_ENTRIES
              + " link ends, the limit of an array: take fewer nodes or links");
    }
    return (int) entries;
  }

  void add(int i, int j) {
    if (size == from.length) {
      int capacity = checkEntries(Math.max(size + 1L, Math.min(size * 2L, MAX_ENTRIES)));
      from = Arrays.copyOf(from, capacity);
      to = Arrays.copyOf(to, capacity);
    }
    from[size] = i;
    to[size++] = j;
  }

  int size() {
    return size;
  }

  int from(int e) {
    return from[e];
  }

  int to(int e) {
    return to[e];
  }

  void set(int e, int i, int j) {
    from[e] = i;
    to[e] = j;
  }

  /** The graph of these links; a repeated one counts once. */
  Graph toGraph(boolean directed) {
    int[] offsets = new int[nodes + 1];
    int[] targets = sortedRows(directed, offsets);
    int count = 0;
    int begin = 0;
    for (int i = 0; i < nodes; i++) {
      int end = offsets[i + 1];
      int previous = -1;
      for (int k = begin; k < end; k++) {
        if (targets[k] != previous) {
          previous = targets[k];
          targets[count++] = previous;
        }
      }
      offsets[i + 1] = count;
      begin = end;
    }
    return new Graph(
        directed, offsets, count == targets.length ? targets : Arrays.copyOf(targets, count));
  }

  /** All link ends by row, ascending, repeated ones kept; fills the row offsets. */
  int[] sortedRows(boolean directed, int[] offsets) {
    int[] targets = new int[checkEntries(directed ? size : 2L * size)];
    for (int e = 0; e < size; e++) {
      offsets[from[e] + 1]++;
      if (!directed) {
        offsets[to[e] + 1]++;
      }
    }
    Arrays.parallelPrefix(offsets, Integer::sum);
    int[] next = Arrays.copyOf(offsets, nodes);
    for (int e = 0; e < size; e++) {
      targets[next[from[e]]++] = to[e];
      if (!directed) {
        targets[next[to[e]]++] = from[e];
      }
    }
    for (int i = 0; i < nodes; i++) {
      Arrays.sort(targets, offsets[i], offsets[i + 1]);
    }
    return targets;
  }
}
