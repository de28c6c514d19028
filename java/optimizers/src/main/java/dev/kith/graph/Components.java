package dev.kith.graph;

import java.util.Arrays;

/** The parts into which a graph falls, numbered in the order of their smallest node. */
final class Components {
  private static final int SHOWN = 8;

  private final int[] of;
  private final int[] sizes;

  private Components(int[] of, int[] sizes) {
    this.of = of;
    this.sizes = sizes;
  }

  /** The components of a graph, the direction of arcs ignored. */
  static Components of(Graph graph) {
    int n = graph.nodes();
    Graph[] ways = graph.directed() ? new Graph[] {graph, graph.reversed()} : new Graph[] {graph};
    int[] of = new int[n];
    Arrays.fill(of, -1);
    int[] queue = new int[n];
    int[] sizes = new int[n];
    int count = 0;
    for (int i = 0; i < n; i++) {
      if (of[i] < 0) {
        sizes[count] = flood(i, count, of, queue, ways);
        count++;
      }
    }
    return new Components(of, Arrays.copyOf(sizes, count));
  }

  /** The number of nodes that a message from node 0 reaches along the arcs. */
  static int reachedFromZero(Graph graph) {
    int[] of = new int[graph.nodes()];
    Arrays.fill(of, -1);
    return flood(0, 0, of, new int[graph.nodes()], graph);
  }

  /** Marks what is reached from a node along the arcs of any of the graphs, and counts it. */
  private static int flood(int start, int mark, int[] of, int[] queue, Graph... ways) {
    of[start] = mark;
    queue[0] = start;
    int end = 1;
    for (int begin = 0; begin < end; begin++) {
      int i = queue[begin];
      for (Graph way : ways) {
        for (int k = 0; k < way.degree(i); k++) {
          int j = way.neighbour(i, k);
          if (of[j] < 0) {
            of[j] = mark;
            queue[end++] = j;
          }
        }
      }
    }
    return end;
  }

  int count() {
    return sizes.length;
  }

  int[] ofNodes() {
    return of.clone();
  }

  int[] sizes() {
    return sizes.clone();
  }

  /** The number of a largest component, the first of equal ones. */
  int giant() {
    int giant = 0;
    for (int c = 1; c < sizes.length; c++) {
      giant = sizes[c] > sizes[giant] ? c : giant;
    }
    return giant;
  }

  int size(int component) {
    return sizes[component];
  }

  /** The nodes of a component, ascending, no more than the limit. */
  int[] members(int component, int limit) {
    int[] members = new int[Math.min(sizes[component], limit)];
    int count = 0;
    for (int i = 0; count < members.length; i++) {
      if (of[i] == component) {
        members[count++] = i;
      }
    }
    return members;
  }

  /** In words: at most eight components with at most eight nodes each. */
  String describe() {
    StringBuilder text = new StringBuilder();
    for (int c = 0; c < Math.min(sizes.length, SHOWN); c++) {
      String members = Arrays.toString(members(c, SHOWN));
      text.append(c == 0 ? "{" : ", {").append(members, 1, members.length() - 1);
      text.append(sizes[c] > SHOWN ? ", ... (" + sizes[c] + " nodes)}" : "}");
    }
    if (sizes.length > SHOWN) {
      text.append(" and ").append(sizes.length - SHOWN).append(" more");
    }
    return text.toString();
  }
}
