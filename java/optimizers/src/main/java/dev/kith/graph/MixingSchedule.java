package dev.kith.graph;

import java.util.List;

/**
 * The mixing matrix of every round. Implementations are immutable and safe for use by several
 * threads, and give the same matrix for the same round, whatever was asked before.
 */
public interface MixingSchedule {
  /** The number of nodes. */
  int nodes();

  /**
   * The matrix in force in a round.
   *
   * @throws IllegalArgumentException when the round is negative
   */
  MixingMatrix at(long round);

  /**
   * After how many rounds the matrices repeat: 1 when they never change, 0 when they do not repeat.
   */
  long period();

  /** Whether a node takes part in a round; one that does not has weight 1 for itself. */
  default boolean isAlive(long round, int node) {
    return true;
  }

  /**
   * Who sends to whom in one period, all rounds together.
   *
   * @throws IllegalStateException when the schedule has no period
   */
  default Graph union() {
    if (period() == 0) {
      throw new IllegalStateException(
          "a random schedule has no period over which to join its graphs");
    }
    if (period() == 1) {
      return at(0).graph();
    }
    boolean directed = false;
    EdgeList arcs = new EdgeList(nodes(), nodes());
    for (long round = 0; round < period(); round++) {
      Graph graph = at(round).graph();
      directed |= graph.directed();
      for (int i = 0; i < graph.nodes(); i++) {
        for (int k = 0; k < graph.degree(i); k++) {
          arcs.add(i, graph.neighbour(i, k));
        }
      }
    }
    return arcs.toGraph(directed);
  }

  /** The same rounds with (I + W) / 2 in the place of W: {@link MixingMatrix#lazy}. */
  default MixingSchedule lazy() {
    return new DerivedSchedule(this, period(), MixingMatrix::lazy);
  }

  /**
   * The rounds of this schedule, but those of another one in the window begin &lt;= round &lt; end:
   * the dense window of "A single merging suffices", with J in the window. Without a period.
   *
   * @throws IllegalArgumentException when the window is negative or empty, or the numbers of nodes
   *     differ
   */
  default MixingSchedule during(long begin, long end, MixingSchedule other) {
    return new WindowSchedule(this, begin, end, other);
  }

  /**
   * The same matrix in every round.
   *
   * @param w any matrix, also one that does not connect the nodes
   */
  static MixingSchedule constant(MixingMatrix w) {
    return new PeriodicSchedule(List.of(w));
  }

  /**
   * Matrix k in the rounds k, k + p, k + 2p, ... for p matrices; they need not connect the nodes.
   *
   * @throws IllegalArgumentException when there is none, or their numbers of nodes differ
   */
  static MixingSchedule periodic(List<MixingMatrix> matrices) {
    return new PeriodicSchedule(List.copyOf(matrices));
  }

  /**
   * One-peer exponential graph, directed: in round k node i receives from i + 2^(k mod tau) modulo
   * n with weight 1/2, tau = ceil(log2 n). Doubly stochastic; for n = 2^tau the product of tau
   * matrices in a row is J (B. Ying et al., "Exponential graph is provably efficient for
   * decentralized deep training", 2021).
   */
  static MixingSchedule onePeerExponential(int nodes) {
    return periodic(PeerRounds.exponential(nodes));
  }

  /**
   * One-peer hypercube: in round k the nodes i and i XOR 2^(k mod log2 n) average. Symmetric; the
   * product of log2 n matrices in a row is J. This is what the one-peer exponential topology of
   * Decent-DP does.
   *
   * @throws IllegalArgumentException when n is not a power of two
   */
  static MixingSchedule onePeerExponentialPairs(int nodes) {
    return periodic(PeerRounds.exponentialPairs(nodes));
  }

  /**
   * One-peer ring: the pairs (0, 1), (2, 3), ... average in even rounds, (1, 2), ..., (n - 1, 0) in
   * odd ones. The product is not J.
   *
   * @throws IllegalArgumentException when n is odd
   */
  static MixingSchedule onePeerRing(int nodes) {
    return periodic(PeerRounds.ring(nodes));
  }

  /**
   * Hyper-hypercube on n = n_1 n_2 ... n_L nodes: with node numbers written in mixed radix, lowest
   * digit n_1, the nodes that differ only in digit l average in round l - 1. The product of the L
   * matrices is J (Y. Takezawa et al., "Beyond exponential graph", 2023).
   *
   * @throws IllegalArgumentException when there is no factor or one is below 2
   */
  static MixingSchedule hyperHypercube(int... factors) {
    return periodic(PeerRounds.hyperHypercube(factors));
  }

  /**
   * Base-2 graph on any number of nodes, at most one peer a round; the product over the period is
   * J.
   *
   * <p>n is cut into parts V_1, V_2, ... with the powers of two of its binary digits, largest
   * first. (A) One-peer hypercube in every part. (B) For l = 1, 2, ... every node of the parts
   * after V_l meets one of V_l, and both take x &lt;- (1 - w) x + w x_peer with w = |V_l| / (|V_l|
   * + |V_{l+1}| + ...). (C) One-peer hypercube in all parts but the last. A longer sequence of the
   * kind of the base-(k+1) graph of Y. Takezawa et al., 2023, with k = 1.
   */
  static MixingSchedule base2(int nodes) {
    return periodic(PeerRounds.base2(nodes));
  }

  /**
   * Alternating exponential ring on machines of g workers: each machine averages its own workers in
   * one round and those of itself and of its partner at distance 2^k in the other; which comes
   * first alternates between the pairs of machines, so that half of them use the network at a time.
   * The distances take turns (Decent-DP, topology "alternating-exp-ring").
   *
   * @throws IllegalArgumentException when n / g is not a power of two from 2 up
   */
  static MixingSchedule alternatingExponentialRing(int nodes, int workers) {
    return periodic(PeerRounds.alternatingExponentialRing(nodes, workers));
  }

  /**
   * Sparse gossip: each node averages, with equal weights, its own value and those of r other nodes
   * on average, drawn uniformly: floor(r) of them, and one more with probability r - floor(r). Rows
   * sum to 1, columns do not. The default of the paper is r = 0.2 ("A single merging suffices:
   * recovering server-based learning performance in decentralized learning", official generator).
   *
   * @throws IllegalArgumentException when there is no node or r is outside [0, n - 1]
   */
  static MixingSchedule sparseGossip(int nodes, double rate, long seed) {
    return RandomSchedule.sparseGossip(nodes, rate, seed);
  }

  /**
   * Random matching: in every round the nodes are paired uniformly at random and pairs average; of
   * an odd number one stays alone. Doubly stochastic and symmetric.
   *
   * @throws IllegalArgumentException when there is no node
   */
  static MixingSchedule randomMatching(int nodes, long seed) {
    return RandomSchedule.matching(nodes, seed);
  }

  /**
   * The schedule that two names stand for: {@link Topology#parse}, {@link WeightRule#parse} and
   * {@link Topology#schedule}.
   *
   * @throws IllegalArgumentException when a name is not known, does not suit the number of nodes,
   *     or the links of one period do not connect all nodes; the message says what would
   */
  static MixingSchedule parse(String topology, String weights, int nodes, long seed) {
    return Topology.parse(topology).schedule(WeightRule.parse(weights), nodes, seed);
  }
}
