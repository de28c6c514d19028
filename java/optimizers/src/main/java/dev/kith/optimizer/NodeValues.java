package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.problem.Value;

/** The mean over all nodes of their objectives, at one or at several points. */
final class NodeValues implements AutoCloseable {
  private final LockstepOptimizer optimizer;
  private final Value values;
  private final DeviceMatrix each;

  NodeValues(LockstepOptimizer optimizer, Value values) {
    this.optimizer = optimizer;
    this.values = values;
    DeviceMatrix x = optimizer.parameters();
    this.each = x.like(1, x.rows(), DType.F64);
  }

  /** f_i(x_i) of the own nodes. */
  double[] own(DeviceMatrix x) {
    values.values(x, each);
    return each.toDoubles();
  }

  /** (1/n) sum_i f_i(x_i): a node sends one number. */
  double mean(DeviceMatrix x) {
    return means(new double[][] {own(x)})[0];
  }

  /**
   * The means of several numbers a node, which travel in one message.
   *
   * @param own row k holds number k of every own node
   */
  double[] means(double[][] own) {
    int rows = own[0].length;
    double[] byNode = new double[rows * own.length];
    for (int k = 0; k < own.length; k++) {
      for (int r = 0; r < rows; r++) {
        byNode[r * own.length + k] = own[k][r];
      }
    }
    try (DeviceMatrix all = each.like(rows, own.length, DType.F64);
        DeviceMatrix mean = each.like(1, own.length, DType.F64)) {
      all.upload(byNode);
      optimizer.network().average(all, mean);
      return mean.toDoubles();
    }
  }

  @Override
  public void close() {
    each.close();
  }
}
