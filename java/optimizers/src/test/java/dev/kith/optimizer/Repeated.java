package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.problem.Problem;

/** The same problem several times side by side: enough numbers for a matrix that gets shorter. */
record Repeated(Problem problem, int times, Layout layout) implements Problem {
  Repeated(Problem problem, int times) {
    this(problem, times, Layout.flat(times * problem.layout().size()));
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
    long size = problem.layout().size();
    for (int k = 0; k < times; k++) {
      try (DeviceMatrix from = x.columns(k * size, (k + 1) * size);
          DeviceMatrix to = g.columns(k * size, (k + 1) * size)) {
        problem.gradient(from, to, round);
      }
    }
  }

  @Override
  public void close() {
    problem.close();
  }
}
