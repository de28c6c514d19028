package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Memory;
import dev.kith.kernel.Mixing;
import java.util.Arrays;

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
    Participants present = optimizer.participants();
    int[] absent = present.absentRows();
    if (present.count() == present.nodes()) {
      optimizer.network().average(from, mean);
    } else {
      double[] weights = new double[Math.toIntExact(from.rows())];
      Arrays.fill(weights, 1);
      for (int row : absent) {
        weights[row] = 0;
      }
      try (DeviceMatrix masked = from.like();
          DeviceMatrix mask = from.like(1, from.rows(), DType.F64)) {
        mask.upload(weights);
        Mixing.combine(Expression.outer(1, mask, from), masked);
        optimizer.network().average(masked, mean);
      }
      Mixing.combine(Expression.outer((double) present.nodes() / present.count(), mean), mean);
    }
    optimizer.requireFiniteAverage(from, mean);
    try (FrozenRows kept = FrozenRows.of(from, absent)) {
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
