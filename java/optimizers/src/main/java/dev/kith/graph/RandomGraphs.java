package dev.kith.graph;

import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.function.LongUnaryOperator;

/**
 * Random graphs, each a function of its arguments and the seed alone, at any size: they read {@link
 * SharedRandom} in the stream {@link Stream#TOPOLOGY} and use no other source of chance and no
 * platform's logarithm.
 *
 * <p>They may be disconnected; {@link Graph#connected} tells.
 */
public final class RandomGraphs {
  private RandomGraphs() {}

  private static SharedRandom random(long seed, int part, long attempt) {
    return new SharedRandom(seed, Stream.TOPOLOGY, part, attempt);
  }

  private static void checkNodes(int nodes) {
    if (nodes < 1) {
      throw new IllegalArgumentException("a graph needs at least one node, not " + nodes);
    }
  }

  /**
   * G(n, p): every pair of nodes is joined with probability p, independently.
   *
   * <p>Takes time in proportion to the links: the number of pairs passed over between two links is
   * geometric (V. Batagelj, U. Brandes, "Efficient generation of large random networks", 2005).
   *
   * @throws IllegalArgumentException when there is no node or p is outside [0, 1]
   */
  public static Graph erdosRenyi(int nodes, double probability, long seed) {
    checkNodes(nodes);
    if (!(probability >= 0 && probability <= 1)) {
      throw new IllegalArgumentException(
          "erdos-renyi:" + probability + " has no probability: give one in [0, 1]");
    }
    if (probability == 1) {
      return Topologies.complete(nodes);
    }
    double expected = probability * nodes * (nodes - 1.0) / 2;
    EdgeList edges = new EdgeList(nodes, (long) (expected + 4 * Math.sqrt(expected)));
    SharedRandom random = random(seed, 0, 0);
    double scale = StrictMath.log1p(-probability);
    // Pair number j of row i; a number beyond the row, infinite for p = 0, is one of a later row.
    int i = 1;
    double j = -1;
    for (long draw = 0; i < nodes; draw++) {
      j += 1 + Math.floor(StrictMath.log(random.uniform(draw)) / scale);
      while (j >= i && i < nodes) {
        j -= i++;
      }
      if (i < nodes) {
        edges.add((int) j, i);
      }
    }
    return edges.toGraph(false);
  }

  /**
   * Preferential attachment: the nodes 0 to m are all joined; each later node joins m different
   * earlier ones, chosen with probability in proportion to their degree (A.-L. Barabasi, R. Albert,
   * "Emergence of scaling in random networks", 1999). It is connected and has m (m + 1) / 2 + (n -
   * m - 1) m links.
   *
   * @throws IllegalArgumentException when m is below 1 or there are not more than m nodes
   */
  public static Graph barabasiAlbert(int nodes, int links, long seed) {
    checkNodes(nodes);
    if (links < 1 || links >= nodes) {
      throw new IllegalArgumentException(
          "barabasi-albert:"
              + links
              + " does not suit "
              + nodes
              + " nodes: give from 1 to "
              + (nodes - 1)
              + " links");
    }
    long total = links * (links + 1L) / 2 + (nodes - links - 1L) * links;
    EdgeList edges = new EdgeList(nodes, total);
    for (int i = 0; i <= links; i++) {
      for (int j = 0; j < i; j++) {
        edges.add(j, i);
      }
    }
    SharedRandom random = random(seed, 0, 0);
    int[] chosen = new int[links];
    long draw = 0;
    for (int i = links + 1; i < nodes; i++) {
      // A uniform end of a uniform earlier link is a node with probability in proportion to its
      // degree.
      long ends = 2L * edges.size();
      for (int k = 0; k < links; ) {
        long end = random.below(draw++, ends);
        int node = (end & 1) == 0 ? edges.from((int) (end >> 1)) : edges.to((int) (end >> 1));
        if (!contains(chosen, k, node)) {
          chosen[k++] = node;
        }
      }
      for (int node : chosen) {
        edges.add(node, i);
      }
    }
    return edges.toGraph(false);
  }

  private static boolean contains(int[] values, int count, int value) {
    for (int k = 0; k < count; k++) {
      if (values[k] == value) {
        return true;
      }
    }
    return false;
  }

  /**
   * Random geometric graph: node i lies at {@link #position position(i, seed)} in the unit square,
   * and nodes at distance at most the radius are joined.
   *
   * @throws IllegalArgumentException when there is no node or the radius is not positive
   */
  public static Graph geometric(int nodes, double radius, long seed) {
    checkNodes(nodes);
    if (!(radius > 0)) {
      throw new IllegalArgumentException(
          "geometric:" + radius + " has no radius: give a positive one");
    }
    // Square cells with sides a little above the radius: neighbours lie in the same or a touching
    // cell.
    int side = (int) Math.max(1, Math.min(Math.floor((1 - 1e-9) / radius), Math.sqrt(nodes)));
    double[] x = new double[nodes];
    double[] y = new double[nodes];
    int[] next = new int[nodes];
    int[] first = new int[side * side];
    Arrays.fill(first, -1);
    EdgeList edges = new EdgeList(nodes, nodes);
    for (int i = 0; i < nodes; i++) {
      double[] position = position(i, seed);
      x[i] = position[0];
      y[i] = position[1];
      int column = (int) (x[i] * side);
      int row = (int) (y[i] * side);
      for (int r = Math.max(row - 1, 0); r <= Math.min(row + 1, side - 1); r++) {
        for (int c = Math.max(column - 1, 0); c <= Math.min(column + 1, side - 1); c++) {
          for (int j = first[r * side + c]; j >= 0; j = next[j]) {
            double dx = x[i] - x[j];
            double dy = y[i] - y[j];
            if (dx * dx + dy * dy <= radius * radius) {
              edges.add(j, i);
            }
          }
        }
      }
      next[i] = first[row * side + column];
      first[row * side + column] = i;
    }
    return edges.toGraph(false);
  }

  /** Where {@link #geometric} puts a node: x and y, uniform in (0, 1). */
  public static double[] position(int node, long seed) {
    SharedRandom random = random(seed, node, 0);
    return new double[] {random.uniform(0), random.uniform(1)};
  }

  /**
   * A random graph in which every node has k neighbours, asymptotically uniform.
   *
   * <p>The k n link ends are paired at random (configuration model, B. Bollobas, 1980); each
   * self-loop and each repeated link is then exchanged against a random link: {u, v}, {x, y} become
   * {u, x}, {v, y} (B. McKay, N. Wormald, "Uniform generation of random regular graphs of moderate
   * degree", 1990, without its rejection step). On average only (k - 1) / 2 + (k - 1)^2 / 4 links
   * need that. Above k = (n - 1) / 2 the complement is drawn instead.
   *
   * @throws IllegalArgumentException when k is not one of 0 to n - 1, or k n is odd
   */
  public static Graph regular(int nodes, int degree, long seed) {
    checkNodes(nodes);
    if (degree < 0 || degree >= nodes) {
      throw new IllegalArgumentException(
          "regular:"
              + degree
              + " does not suit "
              + nodes
              + " nodes: give from 0 to "
              + (nodes - 1)
              + " neighbours");
    }
    if ((long) nodes * degree % 2 != 0) {
      throw new IllegalArgumentException(
          "regular:"
              + degree
              + " needs an even number of nodes, not "
              + nodes
              + ": the link ends come in pairs");
    }
    if (degree > (nodes - 1) / 2) {
      Graph complement = regular(nodes, nodes - 1 - degree, seed);
      return Topologies.complete(nodes).keeping((i, j) -> !complement.hasEdge(i, j));
    }
    EdgeList.checkEntries((long) nodes * degree);
    for (long attempt = 0; ; attempt++) {
      int[] ends = random(seed, 0, attempt).permutation(nodes * degree);
      EdgeList edges = new EdgeList(nodes, ends.length / 2);
      for (int e = 0; e < ends.length; e += 2) {
        edges.add(ends[e] / degree, ends[e + 1] / degree);
      }
      SharedRandom random = random(seed, 1, attempt);
      if (new SimpleLinks(nodes, edges).make(draw -> random.below(draw, edges.size()))) {
        return edges.toGraph(false);
      }
    }
  }

  /** Turns a multigraph into a simple graph with the same degrees by exchanging link ends. */
  private static final class SimpleLinks {
    private final int nodes;
    private final EdgeList edges;
    private final int[] offsets;
    private final int[] targets;

    /** How many links between two nodes came or went since the rows were sorted. */
    private final Map<Long, Integer> changes = new HashMap<>();

    SimpleLinks(int nodes, EdgeList edges) {
      this.nodes = nodes;
      this.edges = edges;
      this.offsets = new int[nodes + 1];
      this.targets = edges.sortedRows(false, offsets);
    }

    /**
     * Whether it came to an end: a few small multigraphs cannot be repaired, and a new pairing is
     * due.
     */
    boolean make(LongUnaryOperator drawEdge) {
      Deque<Integer> bad = new ArrayDeque<>();
      for (int e = 0; e < edges.size(); e++) {
        if (isBad(e)) {
          bad.add(e);
        }
      }
      long limit = 1000 + 100L * bad.size();
      for (long draw = 0; !bad.isEmpty(); draw++) {
        int e = bad.peek();
        if (!isBad(e)) {
          bad.remove();
        } else if (draw < limit) {
          exchange(e, (int) drawEdge.applyAsLong(draw));
        } else {
          return false;
        }
      }
      return true;
    }

    private boolean isBad(int e) {
      return edges.from(e) == edges.to(e) || count(edges.from(e), edges.to(e)) > 1;
    }

    private void exchange(int e, int f) {
      int u = edges.from(e);
      int v = edges.to(e);
      int x = edges.from(f);
      int y = edges.to(f);
      boolean same = (u == y && x == v) || (u == v && x == y);
      if (u == x || v == y || same || count(u, x) > 0 || count(v, y) > 0) {
        return;
      }
      change(u, v, -1);
      change(x, y, -1);
      change(u, x, 1);
      change(v, y, 1);
      edges.set(e, u, x);
      edges.set(f, v, y);
    }

    private long key(int i, int j) {
      return (long) Math.min(i, j) * nodes + Math.max(i, j);
    }

    private void change(int i, int j, int by) {
      changes.merge(key(i, j), by, Integer::sum);
    }

    /** The number of links between two different nodes. */
    private int count(int i, int j) {
      int first = lowerBound(i, j);
      int count = changes.getOrDefault(key(i, j), 0);
      for (int k = first; k < offsets[i + 1] && targets[k] == j; k++) {
        count++;
      }
      return count;
    }

    private int lowerBound(int i, int j) {
      int low = offsets[i];
      int high = offsets[i + 1];
      while (low < high) {
        int middle = (low + high) >>> 1;
        if (targets[middle] < j) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      return low;
    }
  }
}
