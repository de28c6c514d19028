package dev.kith.graph;

import dev.kith.graph.MixingMatrix.Kind;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.function.LongFunction;

/**
 * A function from rounds to matrices; the last result is kept, since a round is asked for more than
 * once.
 */
final class RandomSchedule implements MixingSchedule {
  private record Round(long number, MixingMatrix matrix) {}

  private final int nodes;
  private final LongFunction<MixingMatrix> matrices;
  private volatile Round last;

  RandomSchedule(int nodes, LongFunction<MixingMatrix> matrices) {
    this.nodes = nodes;
    this.matrices = matrices;
  }

  @Override
  public int nodes() {
    return nodes;
  }

  @Override
  public MixingMatrix at(long round) {
    checkRound(round);
    Round found = last;
    if (found == null || found.number != round) {
      found = new Round(round, matrices.apply(round));
      last = found;
    }
    return found.matrix;
  }

  @Override
  public long period() {
    return 0;
  }

  static void checkRound(long round) {
    if (round < 0) {
      throw new IllegalArgumentException("round " + round + " is negative: rounds count from 0");
    }
  }

  static MixingSchedule matching(int nodes, long seed) {
    checkNodes(nodes);
    return new RandomSchedule(
        nodes,
        round -> {
          int[] order = new SharedRandom(seed, Stream.SCHEDULE, 0, round).permutation(nodes);
          int[] peer = PeerRounds.alone(nodes);
          for (int k = 0; k + 1 < nodes; k += 2) {
            peer[order[k]] = order[k + 1];
            peer[order[k + 1]] = order[k];
          }
          return PeerRounds.pairs(peer, i -> 0.5);
        });
  }

  static MixingSchedule sparseGossip(int nodes, double rate, long seed) {
    checkNodes(nodes);
    if (!(rate >= 0 && rate <= nodes - 1)) {
      throw new IllegalArgumentException(
          "sparse-gossip:"
              + rate
              + " does not suit "
              + nodes
              + " nodes: give from 0 to "
              + (nodes - 1)
              + " peers a round");
    }
    return new RandomSchedule(nodes, round -> gossip(nodes, rate, seed, round));
  }

  private static MixingMatrix gossip(int nodes, double rate, long seed, long round) {
    int sure = (int) rate;
    int[] offsets = new int[nodes + 1];
    int[] columns = new int[EdgeList.checkEntries(nodes * (sure + 2L))];
    double[] values = new double[columns.length];
    boolean[] chosen = new boolean[nodes];
    int count = 0;
    for (int i = 0; i < nodes; i++) {
      SharedRandom random = new SharedRandom(seed, Stream.SCHEDULE, i, round);
      int peers = sure + (random.uniform(0) < rate - sure ? 1 : 0);
      int begin = count;
      columns[count++] = i;
      chosen[i] = true;
      // Floyd's sampling of a set: number t of the others, or the last one where t is taken.
      for (int m = nodes - 1 - peers; m < nodes - 1; m++) {
        int t = other((int) random.below(m, m + 1L), i);
        columns[count] = chosen[t] ? other(m, i) : t;
        chosen[columns[count++]] = true;
      }
      for (int k = begin; k < count; k++) {
        chosen[columns[k]] = false;
      }
      Arrays.sort(columns, begin, count);
      Arrays.fill(values, begin, count, 1.0 / (count - begin));
      offsets[i + 1] = count;
    }
    return MixingMatrix.checked(
        Kind.ROW_STOCHASTIC, offsets, Arrays.copyOf(columns, count), Arrays.copyOf(values, count));
  }

  /** Number k of the nodes other than i. */
  private static int other(int k, int i) {
    return k < i ? k : k + 1;
  }

  private static void checkNodes(int nodes) {
    if (nodes < 1) {
      throw new IllegalArgumentException("a schedule needs at least one node, not " + nodes);
    }
  }
}
