package dev.kith.graph;

/**
 * The Laplacian L = D - A of an undirected graph: degrees on the diagonal, -1 for every link. Its
 * eigenvalues are 0 = l_1 &lt;= l_2 &lt;= ... &lt;= l_n, and l_2 &gt; 0 exactly when the graph is
 * connected.
 *
 * <p>Immutable and safe for use by several threads.
 */
public final class Laplacian {
  private final MixingMatrix matrix;

  private Laplacian(MixingMatrix matrix) {
    this.matrix = matrix;
  }

  /**
   * The Laplacian of a graph.
   *
   * @throws IllegalArgumentException when the graph is directed
   */
  public static Laplacian of(Graph graph) {
    if (graph.directed()) {
      throw new IllegalArgumentException(
          "the Laplacian is that of an undirected graph, and this is a " + graph);
    }
    return new Laplacian(
        Rows.build(
            MixingMatrix.Kind.ZERO_ROW_SUMS, graph, (i, j) -> -1, (i, sum) -> graph.degree(i)));
  }

  /** L in compressed sparse rows, of the kind {@link MixingMatrix.Kind#ZERO_ROW_SUMS}. */
  public MixingMatrix matrix() {
    return matrix;
  }

  /**
   * l_2, the algebraic connectivity; 0 for one node. Precision and errors as {@link
   * MixingMatrix#secondEigenvalue}.
   */
  public double l2() {
    return matrix.nodes() == 1 ? 0 : matrix.smallestEigenvalue();
  }

  /**
   * l_n, the largest eigenvalue; 0 for one node. Precision and errors as {@link
   * MixingMatrix#secondEigenvalue}.
   */
  public double ln() {
    return matrix.nodes() == 1 ? 0 : matrix.secondEigenvalue();
  }

  /**
   * All eigenvalues in ascending order, the first exactly 0.
   *
   * @throws IllegalArgumentException above {@value Spectrum#DENSE_LIMIT} nodes
   */
  public double[] eigenvalues() {
    int n = matrix.nodes();
    if (n > Spectrum.DENSE_LIMIT) {
      throw new IllegalArgumentException(
          "all eigenvalues are computed to "
              + Spectrum.DENSE_LIMIT
              + " nodes, not "
              + n
              + ": take l2() and ln()");
    }
    double[] all = new double[n];
    if (n > 1) {
      System.arraycopy(
          new TridiagonalForm(Spectrum.centredRows(matrix)).eigenvalues(), 0, all, 1, n - 1);
    }
    return all;
  }
}
