package dev.kith.problem;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Batch;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The samples of the nodes of one process, on a device: node after node, in the order of the
 * partition.
 */
final class LocalSamples implements AutoCloseable {
  /**
   * Neighbouring nodes with equally many samples, which batched operations take together.
   *
   * @param firstNode local number of the first one
   * @param nodes how many
   * @param count samples of each
   * @param firstSample where their samples begin
   * @param labels I32, nodes x count (1 x 1 and unused when count is 0)
   */
  record Run(int firstNode, int nodes, int count, int firstSample, DeviceMatrix labels) {}

  private final Queue queue;
  private final DeviceMatrix features;
  private final int[] labels;
  private final int[] starts;
  private final List<Run> runs = new ArrayList<>();

  private LocalSamples(Queue queue, DeviceMatrix features, int[] labels, int[] starts) {
    this.queue = queue;
    this.features = features;
    this.labels = labels;
    this.starts = starts;
    int nodes = starts.length - 1;
    int first = 0;
    for (int node = 1; node <= nodes; node++) {
      if (node == nodes || count(node) != count(first)) {
        int count = count(first);
        DeviceMatrix rows =
            DeviceMatrix.allocate(
                queue, count == 0 ? 1 : node - first, Math.max(1, count), DType.I32);
        if (count > 0) {
          int[] own = new int[(node - first) * count];
          System.arraycopy(labels, starts[first], own, 0, own.length);
          rows.upload(own);
        }
        runs.add(new Run(first, node - first, count, starts[first], rows));
        first = node;
      }
    }
  }

  static LocalSamples of(
      Queue queue, DType dtype, ClassificationData data, int[][] parts, int firstNode, int nodes) {
    int[] starts = new int[nodes + 1];
    for (int i = 0; i < nodes; i++) {
      starts[i + 1] = Math.addExact(starts[i], parts[firstNode + i].length);
    }
    int[] labels = new int[starts[nodes]];
    DeviceMatrix features =
        DeviceMatrix.allocate(queue, Math.max(1, starts[nodes]), data.features(), dtype);
    for (int i = 0; i < nodes; i++) {
      int[] part = parts[firstNode + i];
      System.arraycopy(data.labels(part), 0, labels, starts[i], part.length);
      if (part.length > 0) {
        try (DeviceMatrix rows = features.rows(starts[i], starts[i + 1])) {
          rows.upload(data.rows(part));
        }
      }
    }
    return new LocalSamples(queue, features, labels, starts);
  }

  /** All samples in their order, as those of one node. */
  static LocalSamples whole(Queue queue, DType dtype, ClassificationData data) {
    int[] all = new int[data.samples()];
    for (int i = 0; i < all.length; i++) {
      all[i] = i;
    }
    return of(queue, dtype, data, new int[][] {all}, 0, 1);
  }

  /** Records in double precision; of node i those of row firstNode + i. */
  static LocalSamples of(
      Queue queue, DType dtype, double[][][] records, int[][] classes, int firstNode, int nodes) {
    int[] starts = new int[nodes + 1];
    for (int i = 0; i < nodes; i++) {
      starts[i + 1] = Math.addExact(starts[i], records[firstNode + i].length);
    }
    int[] labels = new int[starts[nodes]];
    int d = records[0][0].length;
    DeviceMatrix features = DeviceMatrix.allocate(queue, starts[nodes], d, dtype);
    for (int i = 0; i < nodes; i++) {
      System.arraycopy(classes[firstNode + i], 0, labels, starts[i], starts[i + 1] - starts[i]);
      try (DeviceMatrix rows = features.rows(starts[i], starts[i + 1])) {
        rows.upload(
            Arrays.stream(records[firstNode + i]).flatMapToDouble(Arrays::stream).toArray());
      }
    }
    return new LocalSamples(queue, features, labels, starts);
  }

  DeviceMatrix features() {
    return features;
  }

  List<Run> runs() {
    return runs;
  }

  int nodes() {
    return starts.length - 1;
  }

  int start(int node) {
    return starts[node];
  }

  int count(int node) {
    return starts[node + 1] - starts[node];
  }

  /** The labels of these rows of {@link #features}. */
  int[] labels(int[] rows) {
    int[] picked = new int[rows.length];
    for (int i = 0; i < rows.length; i++) {
      picked[i] = labels.length == 0 ? 0 : labels[rows[i]];
    }
    return picked;
  }

  /** Rows [row, end) of each node of a run from its node {@code from} on. */
  Batch batch(Run run, int from, int row, int end) {
    long stride = features.stride();
    return Batch.of(
        features,
        (run.firstSample + (long) from * run.count + row) * stride,
        end - row,
        features.cols(),
        stride,
        run.count * stride);
  }

  /** Rows [row, end) for every model alike. */
  Batch sharedBatch(int row, int end) {
    long stride = features.stride();
    return Batch.of(features, row * stride, end - row, features.cols(), stride, 0);
  }

  /** The labels of rows [row, end), {@code times} times one above the other. */
  DeviceMatrix repeatedLabels(int row, int end, int times) {
    int[] repeated = new int[times * (end - row)];
    for (int i = 0; i < times; i++) {
      System.arraycopy(labels, row, repeated, i * (end - row), end - row);
    }
    DeviceMatrix matrix = DeviceMatrix.allocate(queue, times, end - row, DType.I32);
    matrix.upload(repeated);
    return matrix;
  }

  @Override
  public void close() {
    features.close();
    runs.forEach(run -> run.labels.close());
  }
}
