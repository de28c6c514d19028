package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Memory;

/**
 * Gives every node that takes part in the present round the average over those nodes; the others
 * keep their rows. The average is a sum on the node tree, so it has the same bits in every process.
 */
final class GlobalAverage implements AutoCloseable {
  private final LockstepOptimizer optimizer;
  private final DeviceMatrix mean;
  private final DeviceMatrix firstRow;

  /** For matrices of the shape of {@code x}. */
  GlobalAverage(LockstepOptimizer optimizer, DeviceMatrix x) {
    this.optimizer = optimizer;
    this.mean = x.like(1, x.cols(), x.dtype());
    this.firstRow = x.like(1, x.rows(), DType.I32);
  }

  /**
   * Averages the rows of all nodes.
   *
   * @param from localNodes x d; unchanged unless it is {@code to}
   * @param to localNodes x d, {@code from} or another matrix; unchanged when the average is not
   *     finite
   */
  void apply(DeviceMatrix from, DeviceMatrix to) {
    optimizer.network().average(from, mean);
    optimizer.requireFiniteAverage(from, mean);
    try (FrozenRows kept = FrozenRows.of(from, optimizer.absentRows())) {
      Memory.gatherRows(mean, firstRow, to);
      kept.restore(to);
    }
  }

  @Override
  public void close() {
    mean.close();
    firstRow.close();
  }
}
