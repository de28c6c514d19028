package dev.kith.graph;

/** Mixing matrices from a function of the links. */
final class Rows {
  private Rows() {}

  /** The weight with which i receives from j. */
  @FunctionalInterface
  interface LinkWeight {
    double of(int i, int j);
  }

  /** The self weight of i, given the sum of its other weights. */
  @FunctionalInterface
  interface SelfWeight {
    double of(int i, double sum);
  }

  /**
   * The matrix with weights for those that each node receives from, and on the diagonal; its kind
   * is checked.
   */
  static MixingMatrix build(
      MixingMatrix.Kind kind, Graph graph, LinkWeight weight, SelfWeight self) {
    Graph receive = graph.reversed();
    int n = graph.nodes();
    int entries = EdgeList.checkEntries((graph.directed() ? 1L : 2L) * graph.edges() + n);
    int[] offsets = new int[n + 1];
    int[] columns = new int[entries];
    double[] values = new double[entries];
    int count = 0;
    for (int i = 0; i < n; i++) {
      int degree = receive.degree(i);
      int own = -1;
      double sum = 0;
      for (int k = 0; k < degree; k++) {
        int j = receive.neighbour(i, k);
        if (j > i && own < 0) {
          own = count++;
        }
        columns[count] = j;
        values[count] = weight.of(i, j);
        sum += values[count++];
      }
      own = own < 0 ? count++ : own;
      columns[own] = i;
      values[own] = self.of(i, sum);
      offsets[i + 1] = count;
    }
    return MixingMatrix.checked(kind, offsets, columns, values);
  }

  /** As {@link #build} with self weights that make each row sum to 1. */
  static MixingMatrix stochastic(MixingMatrix.Kind kind, Graph graph, LinkWeight weight) {
    return build(kind, graph, weight, (i, sum) -> 1 - sum);
  }
}
