package dev.kith.problem;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;

/**
 * The smallest function on which gradient descent settles at the edge of stability: F(x, y) = 1/2 x
 * y^2 + c/2 (x - X)^2.
 *
 * <p>Across the valley y = 0 its curvature is x, which the second term pulls up to X. Descent with
 * a step size eta above 2 / X stops at x = 2 / eta and oscillates there in y, with mean y^2 = 2 c
 * (X - 2 / eta). Hessian ((c, y), (y, x)). All nodes hold the same function. It is evaluated in
 * Java and meant for small experiments.
 *
 * <p>Source of the test: Cohen, Damian, Talwalkar, Kolter, Lee, "Understanding Optimization in Deep
 * Learning with Central Flows", 2025. Used by one thread at a time.
 */
public final class EdgeOfStability implements Problem, Value, HessianVector {
  private final Layout layout = Layout.flat(2);
  private final int nodes;
  private final double pull;
  private final double target;

  /**
   * The function, at all nodes in one process.
   *
   * @param nodes number of nodes, 1 or more
   * @param pull c, positive and finite
   * @param target X, finite
   */
  public EdgeOfStability(int nodes, double pull, double target) {
    if (nodes < 1 || !(pull > 0 && pull < Double.POSITIVE_INFINITY) || !Double.isFinite(target)) {
      throw new IllegalArgumentException(
          "%d nodes with c = %s and X = %s are impossible: give at least one node, a positive c and a finite X"
              .formatted(nodes, pull, target));
    }
    this.nodes = nodes;
    this.pull = pull;
    this.target = target;
  }

  @Override
  public Layout layout() {
    return layout;
  }

  @Override
  public int nodes() {
    return nodes;
  }

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
    double[] z = x.toDoubles();
    for (int k = 0; k < z.length; k += 2) {
      double slope = z[k + 1] * z[k + 1] / 2 + pull * (z[k] - target);
      z[k + 1] *= z[k];
      z[k] = slope;
    }
    g.upload(z);
  }

  @Override
  public void values(DeviceMatrix x, DeviceMatrix out) {
    double[] z = x.toDoubles();
    double[] values = new double[nodes];
    for (int k = 0; k < z.length; k += 2) {
      double apart = z[k] - target;
      values[k / 2] = z[k] * z[k + 1] * z[k + 1] / 2 + pull * apart * apart / 2;
    }
    out.upload(values);
  }

  @Override
  public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
    double[] z = x.toDoubles();
    double[] along = v.toDoubles();
    double[] product = new double[z.length];
    for (int k = 0; k < z.length; k += 2) {
      product[k] = pull * along[k] + z[k + 1] * along[k + 1];
      product[k + 1] = z[k + 1] * along[k] + z[k] * along[k + 1];
    }
    out.upload(product);
  }

  @Override
  public void close() {}
}
