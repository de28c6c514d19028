package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.problem.Problem;

/** Another problem whose numbers are taken for tensors of a certain shape. */
record Shaped(Problem problem, Layout layout) implements Problem {
  /** The first numbers as a matrix, the others as a vector. */
  static Shaped of(Problem problem, long rows, long cols) {
    Layout.Builder layout = Layout.builder().tensor("matrix", "", rows, cols);
    long rest = problem.layout().size() - rows * cols;
    if (rest > 0) {
      layout.tensor("vector", "", rest);
    }
    return new Shaped(problem, layout.build());
  }

  @Override
  public int nodes() {
    return problem.nodes();
  }

  @Override
  public int firstNode() {
    return problem.firstNode();
  }

  @Override
  public int localNodes() {
    return problem.localNodes();
  }

  @Override
  public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
    problem.gradient(x, g, round);
  }

  @Override
  public void close() {
    problem.close();
  }
}
