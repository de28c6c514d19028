package dev.kith.problem;

import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;

/** See {@link Partition#iid()}. */
record IidPartition() implements Partition {
  @Override
  public int[][] split(ClassificationData data, int nodes, long seed) {
    checkNodes(data, nodes);
    int[] order = new SharedRandom(seed, Stream.PARTITION, 0, 0).permutation(data.samples());
    int[][] parts = new int[nodes][];
    for (int node = 0; node < nodes; node++) {
      int from = (int) ((long) node * data.samples() / nodes);
      int to = (int) ((long) (node + 1) * data.samples() / nodes);
      parts[node] = Arrays.copyOfRange(order, from, to);
      Arrays.sort(parts[node]);
    }
    return parts;
  }

  @Override
  public String name() {
    return "iid";
  }

  static void checkNodes(ClassificationData data, int nodes) {
    if (nodes < 1 || nodes > data.samples()) {
      throw new IllegalArgumentException(
          "cannot deal %d samples to %d nodes: every node needs one"
              .formatted(data.samples(), nodes));
    }
  }
}
