package dev.kith.graph;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;

/**
 * Edges of a graph of which no two share a node: every node has at most one partner. Whoever sends
 * something else to each neighbour sends one message a matching.
 *
 * <p>Immutable and safe for use by several threads.
 */
public final class Matching {
  private final int[] partners;
  private final double[] weights;
  private final MixingMatrix differences;

  private Matching(int[] partners, double[] weights) {
    this.partners = partners;
    this.weights = weights;
    int n = partners.length;
    long[] offsets = new long[n + 1];
    int[] columns = new int[2 * n];
    double[] values = new double[2 * n];
    int count = 0;
    for (int i = 0; i < n; i++) {
      if (partners[i] != i) {
        columns[count] = Math.min(i, partners[i]);
        values[count++] = 1;
        columns[count] = Math.max(i, partners[i]);
        values[count++] = -1;
      }
      offsets[i + 1] = count;
    }
    this.differences =
        MixingMatrix.of(
            MixingMatrix.Kind.ZERO_ROW_SUMS,
            n,
            offsets,
            Arrays.copyOf(columns, count),
            Arrays.copyOf(values, count));
  }

  /**
   * Cuts the edges {i, j}, w_ij != 0, of a symmetric matrix into matchings: every edge, in
   * ascending order of its lower and then its higher node, joins the first matching that has
   * neither of the two. There are at most 2 D - 1 of them when no node has more than D neighbours;
   * the result depends on the edges alone.
   *
   * @return the matchings, none of them empty
   * @throws IllegalArgumentException when the matrix is not symmetric
   */
  public static List<Matching> of(MixingMatrix w) {
    if (!w.symmetric()) {
      throw new IllegalArgumentException(
          "the mixing matrix is not symmetric: an edge needs the same weight at both of its nodes");
    }
    int n = w.nodes();
    BitSet[] taken = new BitSet[n];
    Arrays.setAll(taken, i -> new BitSet());
    List<int[]> partners = new ArrayList<>();
    List<double[]> weights = new ArrayList<>();
    for (int i = 0; i < n; i++) {
      for (int k = w.rowBegin(i); k < w.rowBegin(i + 1); k++) {
        int j = w.column(k);
        if (j > i && w.value(k) != 0) {
          BitSet both = (BitSet) taken[i].clone();
          both.or(taken[j]);
          int m = both.nextClearBit(0);
          if (m == partners.size()) {
            int[] alone = new int[n];
            Arrays.setAll(alone, node -> node);
            partners.add(alone);
            weights.add(new double[n]);
          }
          taken[i].set(m);
          taken[j].set(m);
          partners.get(m)[i] = j;
          partners.get(m)[j] = i;
          weights.get(m)[i] = w.value(k);
          weights.get(m)[j] = w.value(k);
        }
      }
    }
    List<Matching> matchings = new ArrayList<>();
    for (int m = 0; m < partners.size(); m++) {
      matchings.add(new Matching(partners.get(m), weights.get(m)));
    }
    return List.copyOf(matchings);
  }

  /** The number of nodes of the graph. */
  public int nodes() {
    return partners.length;
  }

  /** The neighbour of a node in this matching; the node itself where it has none. */
  public int partner(int node) {
    return partners[node];
  }

  /** w_ij of the edge of a node, 0 where it has none. */
  public double weight(int node) {
    return weights[node];
  }

  /**
   * The matrix that gives both ends of an edge {i, j}, i &lt; j, the same difference z_i - z_j,
   * with the same bits, and other nodes 0.
   */
  public MixingMatrix differences() {
    return differences;
  }
}
