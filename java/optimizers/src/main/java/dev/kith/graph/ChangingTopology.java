package dev.kith.graph;

import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/** A topology whose links change from round to round. See {@link MixingSchedule} for the rounds. */
public sealed interface ChangingTopology extends Topology {
  /**
   * The rounds on so many nodes.
   *
   * @throws IllegalArgumentException when the number of nodes does not suit; the message says which
   *     would
   */
  MixingSchedule rounds(int nodes, long seed);

  @Override
  default MixingSchedule schedule(WeightRule weights, int nodes, long seed) {
    MixingSchedule own = weighted(weights, nodes, seed);
    if (own.period() > 0 && !own.union().stronglyConnected()) {
      throw new IllegalArgumentException(
          text()
              + " on "
              + nodes
              + " nodes falls into the components "
              + own.union().describeComponents()
              + " over a whole period, which can never agree: take another number of nodes");
    }
    return own;
  }

  private MixingSchedule weighted(WeightRule weights, int nodes, long seed) {
    return switch (weights) {
      case WeightRule.Metropolis metropolis -> rounds(nodes, seed);
      case WeightRule.Lazy lazy -> weighted(lazy.rule(), nodes, seed).lazy();
      default ->
          throw new IllegalArgumentException(
              text()
                  + " brings its own weights and cannot take "
                  + weights.text()
                  + ": leave them at metropolis or lazy:metropolis");
    };
  }

  /** {@link MixingSchedule#onePeerExponential}. */
  record OnePeerExponential() implements ChangingTopology {
    @Override
    public String text() {
      return "one-peer-exponential";
    }

    @Override
    public MixingSchedule rounds(int nodes, long seed) {
      return MixingSchedule.onePeerExponential(nodes);
    }
  }

  /** {@link MixingSchedule#onePeerExponentialPairs}. */
  record OnePeerExponentialPairs() implements ChangingTopology {
    @Override
    public String text() {
      return "one-peer-exponential-pairs";
    }

    @Override
    public MixingSchedule rounds(int nodes, long seed) {
      return MixingSchedule.onePeerExponentialPairs(nodes);
    }
  }

  /** {@link MixingSchedule#onePeerRing}. */
  record OnePeerRing() implements ChangingTopology {
    @Override
    public String text() {
      return "one-peer-ring";
    }

    @Override
    public MixingSchedule rounds(int nodes, long seed) {
      return MixingSchedule.onePeerRing(nodes);
    }
  }

  /**
   * {@link MixingSchedule#hyperHypercube}.
   *
   * @param factors the factors of n; empty for the prime factors, ascending
   */
  record HyperHypercube(List<Integer> factors) implements ChangingTopology {
    /** Keeps a copy of the factors. */
    public HyperHypercube {
      factors = List.copyOf(factors);
    }

    @Override
    public String text() {
      return factors.isEmpty()
          ? "hyper-hypercube"
          : "hyper-hypercube:"
              + factors.stream().map(String::valueOf).collect(Collectors.joining("x"));
    }

    @Override
    public MixingSchedule rounds(int nodes, long seed) {
      int[] chosen =
          factors.isEmpty() ? primeFactors(nodes) : factors.stream().mapToInt(f -> f).toArray();
      long product = Arrays.stream(chosen).asLongStream().reduce(1, Math::multiplyExact);
      if (product != nodes) {
        throw new IllegalArgumentException(text() + " has " + product + " nodes, not " + nodes);
      }
      return nodes == 1
          ? MixingSchedule.constant(MixingMatrix.identity(1))
          : MixingSchedule.hyperHypercube(chosen);
    }

    private static int[] primeFactors(int nodes) {
      int[] found = new int[Integer.SIZE];
      int count = 0;
      int rest = nodes;
      for (int p = 2; (long) p * p <= rest; p++) {
        for (; rest % p == 0; rest /= p) {
          found[count++] = p;
        }
      }
      if (rest > 1) {
        found[count++] = rest;
      }
      return Arrays.copyOf(found, count);
    }
  }

  /** {@link MixingSchedule#base2}. */
  record Base2() implements ChangingTopology {
    @Override
    public String text() {
      return "base-2";
    }

    @Override
    public MixingSchedule rounds(int nodes, long seed) {
      return MixingSchedule.base2(nodes);
    }
  }

  /** {@link MixingSchedule#alternatingExponentialRing}. */
  record AlternatingExponentialRing(int workers) implements ChangingTopology {
    @Override
    public String text() {
      return "alternating-exponential-ring:" + workers;
    }

    @Override
    public MixingSchedule rounds(int nodes, long seed) {
      return MixingSchedule.alternatingExponentialRing(nodes, workers);
    }
  }

  /** {@link MixingSchedule#sparseGossip}. */
  record SparseGossip(double rate) implements ChangingTopology {
    @Override
    public String text() {
      return "sparse-gossip:" + rate;
    }

    @Override
    public MixingSchedule rounds(int nodes, long seed) {
      return MixingSchedule.sparseGossip(nodes, rate, seed);
    }
  }

  /** {@link MixingSchedule#randomMatching}. */
  record RandomMatching() implements ChangingTopology {
    @Override
    public String text() {
      return "random-matching";
    }

    @Override
    public MixingSchedule rounds(int nodes, long seed) {
      return MixingSchedule.randomMatching(nodes, seed);
    }
  }
}
