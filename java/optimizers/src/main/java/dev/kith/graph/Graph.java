package dev.kith.graph;

import java.util.Arrays;
import java.util.BitSet;
import org.jgrapht.graph.DefaultEdge;
import org.jgrapht.graph.SimpleDirectedGraph;
import org.jgrapht.graph.SimpleGraph;

/**
 * A simple graph on the nodes 0 to n - 1, undirected or directed, stored as compressed sparse rows.
 *
 * <p>In a directed graph an arc (i, j) means that <b>i sends to j</b>; the neighbours of i are
 * those that it sends to. There are no self-loops (a mixing matrix adds self weights itself) and no
 * parallel links. Memory: 4 bytes a node and 4 bytes a link end. Up to 10^7 nodes are intended;
 * link ends are limited to 2^31 - 9, the longest array of Java.
 *
 * <p>Immutable and safe for use by several threads.
 */
public final class Graph {
  private final boolean directed;
  private final int[] offsets;
  private final int[] targets;

  /** Weak components, found on first use; racing threads compute equal arrays. */
  private volatile Components components;

  /** Adopts the arrays: rows strictly ascending, symmetric when undirected. */
  Graph(boolean directed, int[] offsets, int[] targets) {
    this.directed = directed;
    this.offsets = offsets;
    this.targets = targets;
  }

  /**
   * The undirected graph with the links {from[e], to[e]}. A link given twice, or in both
   * directions, counts once.
   *
   * @throws IllegalArgumentException when an end is not a node, a link joins a node to itself, or
   *     the arrays differ in length
   */
  public static Graph undirected(int nodes, int[] from, int[] to) {
    return checkedEdges(nodes, from, to).toGraph(false);
  }

  /**
   * The directed graph with the arcs from[e] to to[e]: from sends to to. An arc given twice counts
   * once.
   *
   * @throws IllegalArgumentException when an end is not a node, an arc joins a node to itself, or
   *     the arrays differ in length
   */
  public static Graph directed(int nodes, int[] from, int[] to) {
    return checkedEdges(nodes, from, to).toGraph(true);
  }

  /**
   * The undirected graph with the links {edge[0], edge[1]}; see {@link #undirected(int, int[],
   * int[])}.
   */
  public static Graph fromEdges(int nodes, int[]... edges) {
    int[] from = new int[edges.length];
    int[] to = new int[edges.length];
    for (int e = 0; e < edges.length; e++) {
      if (edges[e].length != 2) {
        throw new IllegalArgumentException(
            "edge " + e + " has " + edges[e].length + " ends: give two nodes");
      }
      from[e] = edges[e][0];
      to[e] = edges[e][1];
    }
    return undirected(nodes, from, to);
  }

  private static EdgeList checkedEdges(int nodes, int[] from, int[] to) {
    if (nodes < 1) {
      throw new IllegalArgumentException("a graph needs at least one node, not " + nodes);
    }
    if (from.length != to.length) {
      throw new IllegalArgumentException(
          "there are "
              + from.length
              + " starts and "
              + to.length
              + " ends of edges: give as many of each");
    }
    EdgeList edges = new EdgeList(nodes, from.length);
    for (int e = 0; e < from.length; e++) {
      int i = from[e];
      int j = to[e];
      if (i < 0 || i >= nodes || j < 0 || j >= nodes) {
        throw new IllegalArgumentException(
            "edge " + e + " joins " + i + " and " + j + ", but the nodes are 0 to " + (nodes - 1));
      }
      if (i == j) {
        throw new IllegalArgumentException(
            "edge "
                + e
                + " joins node "
                + i
                + " to itself: leave it out, weight rules add self weights");
      }
      edges.add(i, j);
    }
    return edges;
  }

  /** The number of nodes n. */
  public int nodes() {
    return offsets.length - 1;
  }

  /** Whether links have a direction. */
  public boolean directed() {
    return directed;
  }

  /** The number of links: undirected ones count once. */
  public long edges() {
    return directed ? targets.length : targets.length / 2;
  }

  /** The number of neighbours of a node; in a directed graph of those that it sends to. */
  public int degree(int node) {
    return offsets[node + 1] - offsets[node];
  }

  /** The largest {@link #degree}. */
  public int maxDegree() {
    int max = 0;
    for (int i = 0; i < nodes(); i++) {
      max = Math.max(max, degree(i));
    }
    return max;
  }

  /**
   * The neighbours of a node in ascending order (a copy); in a directed graph those that it sends
   * to.
   */
  public int[] neighbours(int node) {
    return Arrays.copyOfRange(targets, offsets[node], offsets[node + 1]);
  }

  /** Neighbour number k of a node, in ascending order, without a copy. */
  public int neighbour(int node, int k) {
    return targets[offsets[node] + java.util.Objects.checkIndex(k, degree(node))];
  }

  /** Whether there is a link between i and j, or an arc from i to j. */
  public boolean hasEdge(int i, int j) {
    return Arrays.binarySearch(targets, offsets[i], offsets[i + 1], j) >= 0;
  }

  /** The graph with all arcs turned round; an undirected graph is its own reverse. */
  public Graph reversed() {
    if (!directed) {
      return this;
    }
    int n = nodes();
    int[] start = new int[n + 1];
    for (int target : targets) {
      start[target + 1]++;
    }
    Arrays.parallelPrefix(start, Integer::sum);
    int[] next = Arrays.copyOf(start, n);
    int[] sources = new int[targets.length];
    for (int i = 0; i < n; i++) {
      for (int k = offsets[i]; k < offsets[i + 1]; k++) {
        sources[next[targets[k]]++] = i;
      }
    }
    return new Graph(true, start, sources);
  }

  /**
   * The graph on the same nodes without any link that touches the given ones, which stay as
   * isolated nodes: numbering and the rows of a stacked state do not move.
   *
   * @throws IllegalArgumentException when one is not a node
   */
  public Graph without(int... removed) {
    BitSet gone = new BitSet(nodes());
    for (int node : removed) {
      gone.set(checkNode(node));
    }
    return keeping((i, j) -> !gone.get(i) && !gone.get(j));
  }

  /**
   * Which links stay; asked once per link end, so it must not depend on the order of i and j if
   * undirected.
   */
  @FunctionalInterface
  interface LinkPredicate {
    boolean test(int i, int j);
  }

  /** The graph on the same nodes with those links for which the predicate holds. */
  Graph keeping(LinkPredicate keep) {
    int n = nodes();
    int[] start = new int[n + 1];
    int[] kept = new int[targets.length];
    int count = 0;
    for (int i = 0; i < n; i++) {
      for (int k = offsets[i]; k < offsets[i + 1]; k++) {
        if (keep.test(i, targets[k])) {
          kept[count++] = targets[k];
        }
      }
      start[i + 1] = count;
    }
    return new Graph(directed, start, Arrays.copyOf(kept, count));
  }

  /**
   * The subgraph on the given nodes, renumbered in the order given.
   *
   * @throws IllegalArgumentException when one is not a node, or is given twice
   */
  public Graph induced(int... chosen) {
    int[] number = new int[nodes()];
    Arrays.fill(number, -1);
    for (int k = 0; k < chosen.length; k++) {
      if (number[checkNode(chosen[k])] >= 0) {
        throw new IllegalArgumentException("node " + chosen[k] + " is given twice");
      }
      number[chosen[k]] = k;
    }
    EdgeList edges = new EdgeList(chosen.length, 16);
    for (int i : chosen) {
      for (int k = offsets[i]; k < offsets[i + 1]; k++) {
        int j = targets[k];
        if (number[j] >= 0 && (directed || i < j)) {
          edges.add(number[i], number[j]);
        }
      }
    }
    return edges.toGraph(directed);
  }

  private int checkNode(int node) {
    if (node < 0 || node >= nodes()) {
      throw new IllegalArgumentException(
          "node " + node + " does not exist: the nodes are 0 to " + (nodes() - 1));
    }
    return node;
  }

  private Components found() {
    Components found = components;
    if (found == null) {
      found = Components.of(this);
      components = found;
    }
    return found;
  }

  /**
   * The component of every node (a copy). Components are numbered from 0 in the order of their
   * smallest node; the direction of arcs is ignored.
   */
  public int[] componentOf() {
    return found().ofNodes();
  }

  /** The number of nodes in every component (a copy), in the order of {@link #componentOf}. */
  public int[] componentSizes() {
    return found().sizes();
  }

  /** The number of components, the direction of arcs ignored. */
  public int components() {
    return found().count();
  }

  /** The nodes of a component in ascending order. */
  public int[] component(int number) {
    return found().members(number, nodes());
  }

  /** The nodes of the largest component in ascending order; of equal ones the first. */
  public int[] giantComponent() {
    return component(found().giant());
  }

  /** The number of nodes in the largest component. */
  public int giantComponentSize() {
    return found().size(found().giant());
  }

  /**
   * The components in words, at most eight of them with at most eight nodes each: {@code {0, 1, 2},
   * {3} and 2 more}.
   */
  public String describeComponents() {
    return found().describe();
  }

  /** Whether every node is reached from every other, the direction of arcs ignored. */
  public boolean connected() {
    return components() == 1;
  }

  /** Whether every node is reached from every other along the arcs. */
  public boolean stronglyConnected() {
    if (!directed) {
      return connected();
    }
    return Components.reachedFromZero(this) == nodes()
        && Components.reachedFromZero(reversed()) == nodes();
  }

  /**
   * The same graph for the algorithms of JGraphT. It takes some 300 bytes a link, so it is meant
   * for graphs to 10^5 nodes.
   */
  public org.jgrapht.Graph<Integer, DefaultEdge> toJGraphT() {
    org.jgrapht.Graph<Integer, DefaultEdge> copy =
        directed
            ? new SimpleDirectedGraph<>(DefaultEdge.class)
            : new SimpleGraph<>(DefaultEdge.class);
    for (int i = 0; i < nodes(); i++) {
      copy.addVertex(i);
    }
    for (int i = 0; i < nodes(); i++) {
      for (int k = offsets[i]; k < offsets[i + 1]; k++) {
        if (directed || i < targets[k]) {
          copy.addEdge(i, targets[k]);
        }
      }
    }
    return copy;
  }

  /**
   * The graph of JGraphT's vertices 0 to n - 1; weights are ignored and parallel links count once.
   *
   * @throws IllegalArgumentException when a vertex is not one of 0 to n - 1, or a link joins a node
   *     to itself
   */
  public static <E> Graph fromJGraphT(org.jgrapht.Graph<Integer, E> source) {
    int nodes = source.vertexSet().size();
    for (int vertex : source.vertexSet()) {
      if (vertex < 0 || vertex >= nodes) {
        throw new IllegalArgumentException(
            "vertex "
                + vertex
                + " is not one of 0 to "
                + (nodes - 1)
                + ": number the vertices from 0");
      }
    }
    int[] from = new int[source.edgeSet().size()];
    int[] to = new int[from.length];
    int e = 0;
    for (E edge : source.edgeSet()) {
      from[e] = source.getEdgeSource(edge);
      to[e++] = source.getEdgeTarget(edge);
    }
    return source.getType().isDirected() ? directed(nodes, from, to) : undirected(nodes, from, to);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Graph that
        && directed == that.directed
        && Arrays.equals(offsets, that.offsets)
        && Arrays.equals(targets, that.targets);
  }

  @Override
  public int hashCode() {
    return 31 * Arrays.hashCode(targets) + Arrays.hashCode(offsets);
  }

  @Override
  public String toString() {
    return (directed ? "directed graph with " : "graph with ")
        + nodes()
        + " nodes and "
        + edges()
        + " edges";
  }
}
