package dev.kith.problem;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Memory;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Optional;
import java.util.function.IntBinaryOperator;

/**
 * What a gradient or a product with a Hessian is taken over: all samples of the own nodes, or a
 * mini-batch of each. Nodes without data are left out of the full passes; in a mini-batch they have
 * sample 0, and the result is for the caller to overwrite.
 */
final class LocalBatches implements AutoCloseable {
  /** Work on the samples of several nodes at a time. */
  interface Pass {
    /**
     * @param models how many nodes
     * @param rows equally many samples of each
     * @param labels I32, models x samples
     * @param node local number of the first
     */
    void run(int models, Batch rows, DeviceMatrix labels, int node);
  }

  private final Queue queue;
  private final LocalSamples samples;
  private final int firstNode;
  private final int size;
  private final long seed;
  private Optional<DeviceMatrix> inputs = Optional.empty();

  /**
   * @param size samples of a mini-batch, drawn with replacement; 0 takes all
   */
  LocalBatches(Queue queue, LocalSamples samples, int firstNode, int size, long seed) {
    this.queue = queue;
    this.samples = samples;
    this.firstNode = firstNode;
    this.size = size;
    this.seed = seed;
  }

  /** A matrix for gathered samples, rows x features; its content is lost at the next call. */
  DeviceMatrix inputs(long rows) {
    if (inputs.isEmpty() || inputs.get().rows() != rows) {
      DType dtype = samples.features().dtype();
      long features = samples.features().cols();
      inputs.ifPresent(DeviceMatrix::close);
      inputs = Optional.of(DeviceMatrix.allocate(queue, rows, features, dtype));
    }
    return inputs.get();
  }

  /**
   * The samples of a round: those of the mini-batch, or all where batches take all.
   *
   * @param chunk how many of some nodes with some samples each go together
   */
  void drawn(long round, IntBinaryOperator chunk, Pass pass) {
    if (size == 0) {
      all(chunk, pass);
      return;
    }
    int nodes = samples.nodes();
    int together = chunk.applyAsInt(size, nodes);
    for (int first = 0; first < nodes; first += together) {
      gathered(round, first, Math.min(together, nodes - first), pass);
    }
  }

  private void gathered(long round, int first, int count, Pass pass) {
    int[] index = new int[count * size];
    for (int i = 0; i < count; i++) {
      int of = samples.count(first + i);
      if (of > 0) {
        SharedRandom random = new SharedRandom(seed, Stream.BATCH, firstNode + first + i, round);
        for (int k = 0; k < size; k++) {
          index[i * size + k] = samples.start(first + i) + (int) random.below(k, of);
        }
      }
    }
    try (DeviceMatrix picked = DeviceMatrix.allocate(queue, 1, index.length, DType.I32);
        DeviceMatrix labels = DeviceMatrix.allocate(queue, count, size, DType.I32)) {
      picked.upload(index);
      labels.upload(samples.labels(index));
      DeviceMatrix rows = inputs((long) count * size);
      Memory.gatherRows(samples.features(), picked, rows);
      Batch batch = Batch.of(rows, 0, size, rows.cols(), rows.stride(), size * rows.stride());
      pass.run(count, batch, labels, first);
    }
  }

  /** All samples: nodes with equally many go together; no node's samples are copied. */
  void all(IntBinaryOperator chunk, Pass pass) {
    for (LocalSamples.Run run : samples.runs()) {
      if (run.count() == 0) {
        continue;
      }
      int together = chunk.applyAsInt(run.count(), run.nodes());
      for (int from = 0; from < run.nodes(); from += together) {
        int count = Math.min(together, run.nodes() - from);
        try (DeviceMatrix labels = run.labels().rows(from, from + count)) {
          Batch batch = samples.batch(run, from, 0, run.count());
          pass.run(count, batch, labels, run.firstNode() + from);
        }
      }
    }
  }

  /** Writes zeros into the rows of nodes without data, whose sum over samples is empty. */
  void clearEmpty(DeviceMatrix g) {
    for (int i = 0; i < samples.nodes(); i++) {
      if (samples.count(i) == 0) {
        try (DeviceMatrix row = g.row(i)) {
          row.fill(0);
        }
      }
    }
  }

  @Override
  public void close() {
    inputs.ifPresent(DeviceMatrix::close);
  }
}
