package dev.kith.graph;

import dev.kith.graph.MixingMatrix.Kind;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntToDoubleFunction;

/** The matrices of the periodic schedules in which a node meets one peer, or one group, a round. */
final class PeerRounds {
  private PeerRounds() {}

  static List<MixingMatrix> exponential(int nodes) {
    checkNodes(nodes);
    List<MixingMatrix> rounds = new ArrayList<>();
    for (int k = 0; k < Topologies.binaryDigits(nodes); k++) {
      EdgeList arcs = new EdgeList(nodes, nodes);
      for (int i = 0; i < nodes; i++) {
        arcs.add((int) ((i + (1L << k)) % nodes), i);
      }
      rounds.add(Rows.stochastic(Kind.DOUBLY_STOCHASTIC, arcs.toGraph(true), (i, j) -> 0.5));
    }
    return orIdentity(rounds, nodes);
  }

  static List<MixingMatrix> exponentialPairs(int nodes) {
    checkNodes(nodes);
    if (Integer.bitCount(nodes) != 1) {
      throw new IllegalArgumentException(
          "one-peer-exponential-pairs needs a power of two nodes, not "
              + nodes
              + ": take "
              + Topologies.nearestPowers(nodes)
              + ", or base-2, which takes any number");
    }
    List<MixingMatrix> rounds = new ArrayList<>();
    for (int bit = 1; bit < nodes; bit <<= 1) {
      int[] peer = alone(nodes);
      for (int i = 0; i < nodes; i++) {
        peer[i] = i ^ bit;
      }
      rounds.add(pairs(peer, i -> 0.5));
    }
    return orIdentity(rounds, nodes);
  }

  static List<MixingMatrix> ring(int nodes) {
    checkNodes(nodes);
    if (nodes % 2 != 0) {
      throw new IllegalArgumentException(
          "one-peer-ring needs an even number of nodes, not "
              + nodes
              + ": take "
              + (nodes + 1)
              + ", or base-2, which takes any number");
    }
    int[] even = new int[nodes];
    int[] odd = new int[nodes];
    for (int i = 0; i < nodes; i++) {
      even[i] = i ^ 1;
      odd[i] = (i % 2 == 0 ? i + nodes - 1 : i + 1) % nodes;
    }
    return List.of(pairs(even, i -> 0.5), pairs(odd, i -> 0.5));
  }

  static List<MixingMatrix> hyperHypercube(int... factors) {
    long nodes = 1;
    for (int factor : factors) {
      if (factor < 2) {
        throw new IllegalArgumentException(
            "hyper-hypercube has a factor " + factor + ": give factors from 2 up");
      }
      nodes = EdgeList.checkEntries(nodes * factor);
    }
    if (factors.length == 0) {
      throw new IllegalArgumentException("hyper-hypercube needs at least one factor");
    }
    int n = (int) nodes;
    List<MixingMatrix> rounds = new ArrayList<>();
    int stride = 1;
    for (int factor : factors) {
      int[] group = new int[n];
      for (int i = 0; i < n; i++) {
        // The number of the node without the digit of this round.
        group[i] = i / (stride * factor) * stride + i % stride;
      }
      rounds.add(groups(group, n / factor));
      stride *= factor;
    }
    return rounds;
  }

  static List<MixingMatrix> base2(int nodes) {
    checkNodes(nodes);
    List<int[]> parts = new ArrayList<>();
    int start = 0;
    for (int size = Integer.highestOneBit(nodes); size > 0; size >>= 1) {
      if ((nodes & size) != 0) {
        parts.add(new int[] {start, size});
        start += size;
      }
    }
    List<MixingMatrix> rounds = new ArrayList<>(hypercubes(nodes, parts));
    for (int[] part : parts.subList(0, parts.size() - 1)) {
      int rest = part[0] + part[1];
      int[] peer = alone(nodes);
      for (int i = rest; i < nodes; i++) {
        peer[i] = part[0] + i - rest;
        peer[part[0] + i - rest] = i;
      }
      double weight = part[1] / (double) (nodes - part[0]);
      rounds.add(pairs(peer, i -> weight));
    }
    rounds.addAll(hypercubes(nodes, parts.subList(0, parts.size() - 1)));
    return orIdentity(rounds, nodes);
  }

  /**
   * One-peer hypercubes side by side in parts {start, size} with sizes that are powers of two, the
   * largest first.
   */
  private static List<MixingMatrix> hypercubes(int nodes, List<int[]> parts) {
    List<MixingMatrix> rounds = new ArrayList<>();
    for (int bit = 1; !parts.isEmpty() && bit < parts.get(0)[1]; bit <<= 1) {
      int[] peer = alone(nodes);
      for (int[] part : parts) {
        for (int k = 0; k < part[1] && bit < part[1]; k++) {
          peer[part[0] + k] = part[0] + (k ^ bit);
        }
      }
      rounds.add(pairs(peer, i -> 0.5));
    }
    return rounds;
  }

  static List<MixingMatrix> alternatingExponentialRing(int nodes, int workers) {
    checkNodes(nodes);
    int machines = workers < 1 || nodes % workers != 0 ? 0 : nodes / workers;
    if (machines < 2 || Integer.bitCount(machines) != 1) {
      throw new IllegalArgumentException(
          "alternating-exponential-ring:"
              + workers
              + " does not suit "
              + nodes
              + " nodes: there must be 2, 4, 8, ... machines of "
              + workers
              + " workers");
    }
    List<MixingMatrix> rounds = new ArrayList<>();
    int pairsSoFar = 0;
    for (int distance = 1; distance < machines; distance <<= 1) {
      int[][] group = new int[2][nodes];
      boolean[] met = new boolean[machines];
      for (int machine = 0; machine < machines; machine++) {
        if (met[machine]) {
          continue;
        }
        int partner = (machine + distance) % machines;
        met[machine] = true;
        met[partner] = true;
        int joint = 1 - pairsSoFar++ % 2;
        for (int w = 0; w < workers; w++) {
          group[joint][machine * workers + w] = machine;
          group[joint][partner * workers + w] = machine;
          group[1 - joint][machine * workers + w] = machine;
          group[1 - joint][partner * workers + w] = partner;
        }
      }
      rounds.add(groups(group[0], machines));
      rounds.add(groups(group[1], machines));
    }
    return rounds;
  }

  /** Everybody without a peer: each node is its own. */
  static int[] alone(int nodes) {
    int[] peer = new int[nodes];
    Arrays.setAll(peer, i -> i);
    return peer;
  }

  /**
   * x_i &lt;- (1 - w) x_i + w x_peer, with the same w at both ends; a node that is its own peer
   * keeps its value.
   */
  static MixingMatrix pairs(int[] peer, IntToDoubleFunction weight) {
    int n = peer.length;
    int[] offsets = new int[n + 1];
    int[] columns = new int[EdgeList.checkEntries(2L * n)];
    double[] values = new double[columns.length];
    int count = 0;
    for (int i = 0; i < n; i++) {
      double w = peer[i] == i ? 0 : weight.applyAsDouble(i);
      int own = peer[i] < i ? count + 1 : count;
      columns[own] = i;
      values[own] = 1 - w;
      if (peer[i] != i) {
        int theirs = 2 * count + 1 - own;
        columns[theirs] = peer[i];
        values[theirs] = w;
        count++;
      }
      offsets[i + 1] = ++count;
    }
    return MixingMatrix.checked(
        Kind.DOUBLY_STOCHASTIC,
        offsets,
        Arrays.copyOf(columns, count),
        Arrays.copyOf(values, count));
  }

  /** Nodes with the same group number, 0 to count - 1, take the mean of their group. */
  private static MixingMatrix groups(int[] group, int count) {
    int[][] members = new int[count][];
    int[] sizes = new int[count];
    for (int g : group) {
      sizes[g]++;
    }
    Arrays.setAll(members, g -> new int[sizes[g]]);
    int[] filled = new int[count];
    long entries = 0;
    for (int i = 0; i < group.length; i++) {
      members[group[i]][filled[group[i]]++] = i;
      entries += sizes[group[i]];
    }
    int[] offsets = new int[group.length + 1];
    int[] columns = new int[EdgeList.checkEntries(entries)];
    double[] values = new double[columns.length];
    for (int i = 0; i < group.length; i++) {
      int size = sizes[group[i]];
      offsets[i + 1] = offsets[i] + size;
      System.arraycopy(members[group[i]], 0, columns, offsets[i], size);
      Arrays.fill(values, offsets[i], offsets[i + 1], 1.0 / size);
    }
    return MixingMatrix.checked(Kind.DOUBLY_STOCHASTIC, offsets, columns, values);
  }

  private static List<MixingMatrix> orIdentity(List<MixingMatrix> rounds, int nodes) {
    return rounds.isEmpty() ? List.of(MixingMatrix.identity(nodes)) : rounds;
  }

  private static void checkNodes(int nodes) {
    if (nodes < 1) {
      throw new IllegalArgumentException("a schedule needs at least one node, not " + nodes);
    }
  }
}
