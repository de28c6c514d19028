package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.problem.Problem;

/** Gradients of a quadratic whose minimum moves from round to round, another at every node. */
record MovingGradient(int nodes, Layout layout) implements Problem {
  @Override
  public int firstNode() {
    return 0;
  }

  @Override
  public int localNodes() {
    return nodes;
  }

  @Override
  public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
    double[] at = x.toDoubles();
    int d = Math.toIntExact(layout.size());
    double[] values = new double[at.length];
    for (int k = 0; k < at.length; k++) {
      values[k] = gradient(k / d, k % d, at[k], round);
    }
    g.upload(values);
  }

  static double gradient(int node, int element, double x, long round) {
    return (1 + 0.1 * element) * x
        + Math.sin(1 + 7 * element + 3 * node)
        + 0.3 * Math.cos(element * (1.0 + round) + node);
  }

  @Override
  public void close() {}
}
