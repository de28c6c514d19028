package dev.kith.graph;

/**
 * Graphs without chance in them. Random ones are made by {@link RandomGraphs}; {@link Topology}
 * names both in text.
 *
 * <p>Where a definition would join a node to itself or join two nodes twice (a ring of two nodes, a
 * torus with a side of two) the link is left out or counts once. Every method throws {@code
 * IllegalArgumentException} when the number of nodes does not suit the topology, and says which
 * numbers do.
 */
public final class Topologies {
  private Topologies() {}

  private static int checkNodes(int nodes) {
    if (nodes < 1) {
      throw new IllegalArgumentException("a graph needs at least one node, not " + nodes);
    }
    return nodes;
  }

  /** Node i is joined to i + 1 modulo n. */
  public static Graph ring(int nodes) {
    EdgeList edges = new EdgeList(checkNodes(nodes), nodes);
    for (int i = 0; i < nodes && nodes > 1; i++) {
      edges.add(i, i + 1 == nodes ? 0 : i + 1);
    }
    return edges.toGraph(false);
  }

  /** Node i is joined to i + 1; the ends are 0 and n - 1. */
  public static Graph path(int nodes) {
    EdgeList edges = new EdgeList(checkNodes(nodes), nodes);
    for (int i = 0; i + 1 < nodes; i++) {
      edges.add(i, i + 1);
    }
    return edges.toGraph(false);
  }

  /** The grid of {@link #grid} closed to rings in both directions. */
  public static Graph torus(int rows, int columns) {
    return lattice("torus", rows, columns, true);
  }

  /**
   * Node r * columns + c stands in row r and column c and is joined to those beside, above and
   * below it.
   */
  public static Graph grid(int rows, int columns) {
    return lattice("grid", rows, columns, false);
  }

  private static Graph lattice(String name, int rows, int columns, boolean closed) {
    if (rows < 2 || columns < 2) {
      throw new IllegalArgumentException(
          name
              + ":"
              + rows
              + "x"
              + columns
              + " has a side below 2: take ring or path for a single row");
    }
    int nodes = EdgeList.checkEntries((long) rows * columns);
    EdgeList edges = new EdgeList(nodes, 2L * nodes);
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < columns; c++) {
        int i = r * columns + c;
        if (closed || c + 1 < columns) {
          edges.add(i, r * columns + (c + 1) % columns);
        }
        if (closed || r + 1 < rows) {
          edges.add(i, (r + 1) % rows * columns + c);
        }
      }
    }
    return edges.toGraph(false);
  }

  /** Nodes whose numbers differ in one binary digit are joined; n is a power of two. */
  public static Graph hypercube(int nodes) {
    if (Integer.bitCount(checkNodes(nodes)) != 1) {
      throw new IllegalArgumentException(
          "a hypercube needs a power of two nodes, not "
              + nodes
              + ": take "
              + nearestPowers(nodes));
    }
    int dimensions = Integer.numberOfTrailingZeros(nodes);
    EdgeList edges = new EdgeList(nodes, (long) nodes * dimensions / 2);
    for (int i = 0; i < nodes; i++) {
      for (int bit = 1; bit < nodes; bit <<= 1) {
        if ((i & bit) == 0) {
          edges.add(i, i | bit);
        }
      }
    }
    return edges.toGraph(false);
  }

  /** The powers of two on both sides, in words. */
  static String nearestPowers(int nodes) {
    int below = Integer.highestOneBit(nodes);
    return below + " or " + 2L * below;
  }

  /** Node 0, the centre, is joined to all others. */
  public static Graph star(int nodes) {
    EdgeList edges = new EdgeList(checkNodes(nodes), nodes);
    for (int i = 1; i < nodes; i++) {
      edges.add(0, i);
    }
    return edges.toGraph(false);
  }

  /** All pairs of nodes are joined. */
  public static Graph complete(int nodes) {
    EdgeList.checkEntries((long) checkNodes(nodes) * (nodes - 1));
    int[] offsets = new int[nodes + 1];
    int[] targets = new int[nodes * (nodes - 1)];
    int k = 0;
    for (int i = 0; i < nodes; i++) {
      for (int j = 0; j < nodes; j++) {
        if (j != i) {
          targets[k++] = j;
        }
      }
      offsets[i + 1] = k;
    }
    return new Graph(false, offsets, targets);
  }

  /**
   * Two complete graphs of n / 2 nodes, joined by the one link between n / 2 - 1 and n / 2; n is
   * even.
   */
  public static Graph barbell(int nodes) {
    if (checkNodes(nodes) % 2 != 0) {
      throw new IllegalArgumentException(
          "a barbell needs an even number of nodes, not "
              + nodes
              + ": take "
              + (nodes - 1)
              + " or "
              + (nodes + 1));
    }
    int half = nodes / 2;
    EdgeList edges = new EdgeList(nodes, (long) half * (half - 1) + 1);
    for (int i = 0; i < half; i++) {
      for (int j = i + 1; j < half; j++) {
        edges.add(i, j);
        edges.add(half + i, half + j);
      }
    }
    edges.add(half - 1, half);
    return edges.toGraph(false);
  }

  /**
   * The static exponential graph, directed: node i receives from i + 2^j modulo n for j = 0 to
   * ceil(log2 n) - 1. With equal weights its mixing matrix is doubly stochastic and not symmetric.
   */
  public static Graph exponential(int nodes) {
    int degree = binaryDigits(checkNodes(nodes));
    EdgeList edges = new EdgeList(nodes, (long) nodes * degree);
    for (int i = 0; i < nodes; i++) {
      for (int j = 0; j < degree; j++) {
        edges.add((int) ((i + (1L << j)) % nodes), i);
      }
    }
    return edges.toGraph(true);
  }

  /** ceil(log2 n), the number of binary digits of n - 1. */
  static int binaryDigits(int nodes) {
    return Integer.SIZE - Integer.numberOfLeadingZeros(nodes - 1);
  }

  /**
   * The Petersen graph: 10 nodes of degree 3, an outer ring 0 to 4, an inner star polygon 5 to 9,
   * and spokes.
   */
  public static Graph petersen() {
    EdgeList edges = new EdgeList(10, 15);
    for (int i = 0; i < 5; i++) {
      edges.add(i, (i + 1) % 5);
      edges.add(i, i + 5);
      edges.add(i + 5, (i + 2) % 5 + 5);
    }
    return edges.toGraph(false);
  }

  /** For each member of the karate club its friends with a higher number. */
  private static final int[][] KARATE_CLUB = {
    {1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31},
    {2, 3, 7, 13, 17, 19, 21, 30},
    {3, 7, 8, 9, 13, 27, 28, 32},
    {7, 12, 13},
    {6, 10},
    {6, 10, 16},
    {16},
    {},
    {30, 32, 33},
    {33},
    {},
    {},
    {},
    {33},
    {32, 33},
    {32, 33},
    {},
    {},
    {32, 33},
    {33},
    {32, 33},
    {},
    {32, 33},
    {25, 27, 29, 32, 33},
    {25, 27, 31},
    {31},
    {29, 33},
    {33},
    {31, 33},
    {32, 33},
    {32, 33},
    {32, 33},
    {33},
    {}
  };

  /**
   * Who met whom outside a university karate club: 34 nodes, 78 links, unweighted (W. W. Zachary,
   * "An Information Flow Model for Conflict and Fission in Small Groups", 1977).
   */
  public static Graph karateClub() {
    EdgeList edges = new EdgeList(KARATE_CLUB.length, 78);
    for (int i = 0; i < KARATE_CLUB.length; i++) {
      for (int j : KARATE_CLUB[i]) {
        edges.add(i, j);
      }
    }
    return edges.toGraph(false);
  }
}
