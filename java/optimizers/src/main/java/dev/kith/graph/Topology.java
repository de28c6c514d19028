package dev.kith.graph;

import java.util.List;

/**
 * Who may talk to whom, as a name with parameters: {@code ring}, {@code torus:4x4}, {@code
 * erdos-renyi:0.3}, {@code base-2}. The number of nodes, the seed and, for a fixed graph, the
 * weight rule come with {@link #schedule}.
 */
public sealed interface Topology permits FixedTopology, ChangingTopology {
  /** The canonical text: {@code parse(text())} equals this. */
  String text();

  /**
   * The mixing matrices of all rounds.
   *
   * @param weights the rule for a fixed graph. Changing topologies bring weights of their own
   *     (those of Metropolis in all but base-2 and sparse gossip), and accept {@code metropolis}
   *     and {@code lazy:metropolis} only
   * @param seed what random graphs and random rounds are a function of; others ignore it
   * @throws IllegalArgumentException when the number of nodes or the rule does not suit, or the
   *     links of one period do not connect all nodes; the message says what would
   */
  MixingSchedule schedule(WeightRule weights, int nodes, long seed);

  /** The names that {@link #parse} knows, with their parameters. */
  static List<String> names() {
    return TopologyNames.usages();
  }

  /**
   * The topology with a name.
   *
   * @throws IllegalArgumentException when the name is not known (the message lists those that are)
   *     or a parameter is missing or wrong
   */
  static Topology parse(String text) {
    return TopologyNames.parse(text);
  }
}
