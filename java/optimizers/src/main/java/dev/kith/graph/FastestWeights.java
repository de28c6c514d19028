package dev.kith.graph;

import java.util.Arrays;

/**
 * The weights w_e of the links that make rho(W) smallest for W = I - sum_e w_e a_e a_e^T, a_e = e_i
 * - e_j, by projected subgradient steps. rho is convex in w. With v a unit eigenvector of the
 * eigenvalue on the vectors with sum zero that is largest in modulus, the subgradient has the
 * component -(v_i - v_j)^2 where that is lambda_2, and (v_i - v_j)^2 where it is lambda_n.
 *
 * <p>The length of the steps along the normalised subgradient starts at a third of |w_0|, w_0 the
 * best constant, and shrinks by a quarter after every {@value #PHASE} steps, when the search goes
 * on from the best weights so far. (Steps in proportion to 1 / sqrt(k), as in the sources, end ten
 * times farther from the optimum.) The result is never worse than the best constant, and exact
 * where that is optimal, as on graphs whose links are all alike. Markov chains (FMMC) also need w_e
 * &gt;= 0 and a sum of at most 1 at every node; node after node whose sum is larger is projected
 * onto that, which only lowers weights.
 *
 * <p>Sources: L. Xiao, S. Boyd, "Fast linear iterations for distributed averaging", 2004, section
 * 5; S. Boyd, P. Diaconis, L. Xiao, "Fastest mixing Markov chain on a graph", 2004, section 4.
 */
final class FastestWeights {
  static final int STEPS = 2000;
  private static final int PHASE = 50;
  static final int MAX_NODES = 256;

  private final Graph graph;
  private final int[] from;
  private final int[] to;
  private final int[][] linksOf;
  private final boolean markov;

  private FastestWeights(Graph connected, boolean markov) {
    this.graph = connected;
    this.markov = markov;
    this.from = new int[(int) connected.edges()];
    this.to = new int[from.length];
    this.linksOf = new int[connected.nodes()][];
    int[] filled = new int[connected.nodes()];
    int e = 0;
    for (int i = 0; i < connected.nodes(); i++) {
      linksOf[i] = new int[connected.degree(i)];
    }
    for (int i = 0; i < connected.nodes(); i++) {
      for (int j : connected.neighbours(i)) {
        if (i < j) {
          from[e] = i;
          to[e] = j;
          linksOf[i][filled[i]++] = e;
          linksOf[j][filled[j]++] = e++;
        }
      }
    }
  }

  /** The weights of an undirected graph, each component for itself. */
  static MixingMatrix weights(Graph graph, boolean markov) {
    if (graph.giantComponentSize() > MAX_NODES) {
      throw new IllegalArgumentException(
          "fastest-mixing weights solve "
              + STEPS
              + " eigenproblems and are limited to "
              + MAX_NODES
              + " nodes, not "
              + graph.giantComponentSize()
              + ": take best-constant");
    }
    double[][] dense = new double[graph.nodes()][];
    int[] place = new int[graph.nodes()];
    for (int c = 0; c < graph.components(); c++) {
      int[] members = graph.component(c);
      FastestWeights part = new FastestWeights(graph.induced(members), markov);
      double[][] rows = part.dense(part.solve());
      for (int k = 0; k < members.length; k++) {
        dense[members[k]] = rows[k];
        place[members[k]] = k;
      }
    }
    return Rows.stochastic(
        MixingMatrix.Kind.DOUBLY_STOCHASTIC, graph, (i, j) -> dense[i][place[j]]);
  }

  private double[] solve() {
    double[] w = new double[from.length];
    Arrays.fill(w, WeightRule.BestConstant.constant(graph));
    double[] best = w.clone();
    if (w.length == 0) {
      return best;
    }
    project(w);
    double stepSize = norm(w) / 3;
    double bestRho = Double.POSITIVE_INFINITY;
    for (int k = 1; k <= STEPS; k++) {
      if (k % PHASE == 0) {
        w = best.clone();
        stepSize *= 0.75;
      }
      MixingMatrix matrix = matrix(w);
      TridiagonalForm form = new TridiagonalForm(Spectrum.centredRows(matrix));
      double largest = form.eigenvalue(form.size() - 1);
      double smallest = form.eigenvalue(0);
      double rho = Math.max(largest, -smallest);
      // A gain below the rounding of eigenvalues is none: ties keep the earlier, simpler weights.
      if (rho < bestRho - graph.nodes() * 0x1p-50) {
        bestRho = rho;
        best = w.clone();
      }
      boolean top = largest >= -smallest;
      double[] v = Spectrum.expand(form.eigenvector(top ? largest : smallest));
      double[] gradient = new double[w.length];
      for (int e = 0; e < w.length; e++) {
        double difference = v[from[e]] - v[to[e]];
        gradient[e] = (top ? -1 : 1) * difference * difference;
      }
      double length = stepSize / norm(gradient);
      for (int e = 0; e < w.length; e++) {
        w[e] -= length * gradient[e];
      }
      project(w);
    }
    return best;
  }

  /**
   * The w_e &gt;= 0 with a sum of at most 1 at every node that is reached by lowering weights node
   * after node.
   */
  private void project(double[] w) {
    if (!markov) {
      return;
    }
    for (int e = 0; e < w.length; e++) {
      w[e] = Math.max(w[e], 0);
    }
    for (int[] links : linksOf) {
      double shift = shiftToSimplex(Arrays.stream(links).mapToDouble(e -> w[e]).sorted().toArray());
      for (int e : links) {
        w[e] = Math.max(w[e] - shift, 0);
      }
    }
  }

  /** The smallest t &gt;= 0 for which the positive parts of x - t sum to at most 1; x ascends. */
  private static double shiftToSimplex(double[] x) {
    double sum = 0;
    double shift = 0;
    for (int k = x.length - 1; k >= 0; k--) {
      sum += x[k];
      double candidate = (sum - 1) / (x.length - k);
      if (candidate < x[k]) {
        shift = candidate;
      }
    }
    return Math.max(shift, 0);
  }

  private double[][] dense(double[] w) {
    double[][] rows = new double[graph.nodes()][graph.nodes()];
    for (int e = 0; e < w.length; e++) {
      rows[from[e]][to[e]] = w[e];
      rows[to[e]][from[e]] = w[e];
    }
    return rows;
  }

  private MixingMatrix matrix(double[] w) {
    double[][] rows = dense(w);
    return Rows.stochastic(MixingMatrix.Kind.DOUBLY_STOCHASTIC, graph, (i, j) -> rows[i][j]);
  }

  private static double norm(double[] x) {
    double squares = 0;
    for (double value : x) {
      squares += value * value;
    }
    return Math.sqrt(squares);
  }
}
