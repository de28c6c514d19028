package dev.kith.graph;

import dev.kith.graph.MixingMatrix.Kind;
import java.util.List;

/**
 * How a graph gets its mixing weights. In the formulas d_i is the number of neighbours of node i,
 * and self weights are 1 minus the sum of the others in the row.
 *
 * <p>Isolated nodes get the weight 1, and a graph in several parts gets a block for each: rules
 * never refuse a graph for being disconnected. All rules but {@link OutDegree} and {@link InDegree}
 * give symmetric, doubly stochastic matrices.
 */
public sealed interface WeightRule {
  /** The name that {@link #parse} understands. */
  String text();

  /**
   * The weights for a graph.
   *
   * @throws IllegalArgumentException when the rule does not suit the graph
   */
  MixingMatrix weights(Graph graph);

  /** The names that {@link #parse} knows. */
  static List<String> names() {
    return List.of(
        "metropolis",
        "max-degree",
        "best-constant",
        "fastest-mixing",
        "fastest-mixing-markov",
        "out-degree",
        "in-degree",
        "lazy:RULE");
  }

  /**
   * The rule with a name, for example {@code metropolis} or {@code lazy:metropolis}.
   *
   * @throws IllegalArgumentException when the name is not known; the message lists those that are
   */
  static WeightRule parse(String text) {
    return switch (text) {
      case "metropolis" -> new Metropolis();
      case "max-degree" -> new MaxDegree();
      case "best-constant" -> new BestConstant();
      case "fastest-mixing" -> new FastestMixing();
      case "fastest-mixing-markov" -> new FastestMixingMarkov();
      case "out-degree" -> new OutDegree();
      case "in-degree" -> new InDegree();
      default -> {
        if (text.startsWith("lazy:")) {
          yield new Lazy(parse(text.substring(5)));
        }
        throw new IllegalArgumentException(
            "unknown weight rule '" + text + "': the known ones are " + String.join(", ", names()));
      }
    };
  }

  /**
   * Metropolis-Hastings: w_ij = 1 / (1 + max(d_i, d_j)). A node needs to know the degrees of its
   * neighbours only.
   *
   * <p>On a directed graph in which all nodes send to d and receive from d others it is w_ij = 1 /
   * (1 + d), doubly stochastic; other directed graphs are refused.
   */
  record Metropolis() implements WeightRule {
    @Override
    public String text() {
      return "metropolis";
    }

    @Override
    public MixingMatrix weights(Graph graph) {
      requireRegular(text(), graph);
      return Rows.stochastic(
          Kind.DOUBLY_STOCHASTIC,
          graph,
          (i, j) -> 1.0 / (1 + Math.max(graph.degree(i), graph.degree(j))));
    }
  }

  /** w_ij = 1 / (1 + d_max), W = I - L / (1 + d_max). Directed graphs as {@link Metropolis}. */
  record MaxDegree() implements WeightRule {
    @Override
    public String text() {
      return "max-degree";
    }

    @Override
    public MixingMatrix weights(Graph graph) {
      requireRegular(text(), graph);
      double weight = 1.0 / (1 + graph.maxDegree());
      return Rows.stochastic(Kind.DOUBLY_STOCHASTIC, graph, (i, j) -> weight);
    }
  }

  /**
   * w_ij = 2 / (l_2 + l_n) with the smallest positive and the largest eigenvalue of the {@link
   * Laplacian}: the constant weight with the smallest rho = (l_n - l_2) / (l_n + l_2). Self weights
   * may be negative. Each component of a graph in several parts has its own constant (L. Xiao, S.
   * Boyd, "Fast linear iterations for distributed averaging", 2004).
   */
  record BestConstant() implements WeightRule {
    @Override
    public String text() {
      return "best-constant";
    }

    @Override
    public MixingMatrix weights(Graph graph) {
      requireUndirected(text(), graph);
      int[] of = graph.componentOf();
      double[] constants = new double[graph.components()];
      for (int c = 0; c < constants.length; c++) {
        constants[c] = constant(constants.length == 1 ? graph : graph.induced(graph.component(c)));
      }
      return Rows.stochastic(Kind.DOUBLY_STOCHASTIC, graph, (i, j) -> constants[of[i]]);
    }

    /** 2 / (l_2 + l_n) of a connected graph; any value serves a single node. */
    static double constant(Graph connected) {
      Laplacian laplacian = Laplacian.of(connected);
      return connected.nodes() == 1 ? 0 : 2 / (laplacian.l2() + laplacian.ln());
    }
  }

  /**
   * The symmetric weights with the smallest rho, negative ones allowed (FDLA), to about 10^-5 of
   * it: see {@link FastestWeights}. To {@value FastestWeights#MAX_NODES} nodes.
   */
  record FastestMixing() implements WeightRule {
    @Override
    public String text() {
      return "fastest-mixing";
    }

    @Override
    public MixingMatrix weights(Graph graph) {
      requireUndirected(text(), graph);
      return FastestWeights.weights(graph, false);
    }
  }

  /** As {@link FastestMixing} with no negative weight, self weights included (FMMC). */
  record FastestMixingMarkov() implements WeightRule {
    @Override
    public String text() {
      return "fastest-mixing-markov";
    }

    @Override
    public MixingMatrix weights(Graph graph) {
      requireUndirected(text(), graph);
      return FastestWeights.weights(graph, true);
    }
  }

  /**
   * For push-sum: each node cuts what it has into equal parts for itself and those that it sends
   * to, W_ji = 1 / (1 + d_i) for i = j and for every arc from i to j. Column-stochastic, on
   * directed and undirected graphs.
   */
  record OutDegree() implements WeightRule {
    @Override
    public String text() {
      return "out-degree";
    }

    @Override
    public MixingMatrix weights(Graph graph) {
      return Rows.build(
          Kind.COLUMN_STOCHASTIC,
          graph,
          (i, j) -> 1.0 / (1 + graph.degree(j)),
          (i, sum) -> 1.0 / (1 + graph.degree(i)));
    }
  }

  /**
   * Each node takes the plain mean of what it receives and what it has: W_ij = 1 / (1 + r_i) for i
   * = j and for each of the r_i nodes j that send to i. Row-stochastic, on directed and undirected
   * graphs.
   */
  record InDegree() implements WeightRule {
    @Override
    public String text() {
      return "in-degree";
    }

    @Override
    public MixingMatrix weights(Graph graph) {
      Graph receive = graph.reversed();
      return Rows.build(
          Kind.ROW_STOCHASTIC,
          graph,
          (i, j) -> 1.0 / (1 + receive.degree(i)),
          (i, sum) -> 1.0 / (1 + receive.degree(i)));
    }
  }

  /**
   * (I + W) / 2 of another rule: all eigenvalues in [0, 1] where W is symmetric and nonnegative.
   *
   * @param rule the rule that gives W
   */
  record Lazy(WeightRule rule) implements WeightRule {
    @Override
    public String text() {
      return "lazy:" + rule.text();
    }

    @Override
    public MixingMatrix weights(Graph graph) {
      return rule.weights(graph).lazy();
    }
  }

  private static void requireUndirected(String rule, Graph graph) {
    if (graph.directed()) {
      throw new IllegalArgumentException(
          rule
              + " weights need an undirected graph: take out-degree weights and push-sum on a directed one");
    }
  }

  private static void requireRegular(String rule, Graph graph) {
    if (!graph.directed()) {
      return;
    }
    Graph receive = graph.reversed();
    for (int i = 0; i < graph.nodes(); i++) {
      if (graph.degree(i) != graph.degree(0) || receive.degree(i) != graph.degree(0)) {
        throw new IllegalArgumentException(
            rule
                + " weights need an undirected graph, or a directed one with equal degrees, and node "
                + i
                + " sends to "
                + graph.degree(i)
                + " and receives from "
                + receive.degree(i)
                + " where node 0 sends to "
                + graph.degree(0)
                + ": take out-degree weights and push-sum");
      }
    }
  }
}
