package dev.kith.privacy;

import java.util.List;

/**
 * A factor F with F F^T = R in compressed sparse rows: node i adds row i of F Z, where row c of Z
 * is drawn from the secret of column c by all who hold it, and by nobody else.
 *
 * @param offsets n + 1 row offsets
 * @param columns the columns of all entries by row, ascending within a row
 * @param values the entries
 * @param secrets who holds the secret of each column
 */
public record NoiseFactor(int[] offsets, int[] columns, double[] values, List<Secret> secrets) {
  /** Who draws a row of Z. */
  public sealed interface Secret {
    /**
     * One node; the secret never leaves it.
     *
     * @param node the node
     */
    record OfNode(int node) implements Secret {}

    /**
     * The two ends of an edge, which enter it with opposite signs: + at the first.
     *
     * @param first the lower node
     * @param second the higher node
     */
    record OfEdge(int first, int second) implements Secret {}

    /** Every participant: it protects against outsiders only. */
    record OfGroup() implements Secret {}

    /** A trusted server, which adds the noise to the mean; no node holds it. */
    record OfServer() implements Secret {}
  }

  /** The factor as rows of n by columns numbers. */
  public double[][] toDense() {
    double[][] dense = new double[offsets.length - 1][secrets.size()];
    for (int i = 0; i < dense.length; i++) {
      for (int k = offsets[i]; k < offsets[i + 1]; k++) {
        dense[i][columns[k]] = values[k];
      }
    }
    return dense;
  }
}
