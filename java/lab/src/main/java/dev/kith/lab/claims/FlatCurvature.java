package dev.kith.lab.claims;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import dev.kith.problem.Value;

/** A problem that claims to have the identity as its Hessian: no curvature to scale by. */
record FlatCurvature<P extends Problem & Value>(P problem)
    implements Problem, Value, HessianVector {
  @Override
  public Layout layout() {
    return problem.layout();
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
  public void values(DeviceMatrix x, DeviceMatrix out) {
    problem.values(x, out);
  }

  @Override
  public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
    out.copyFrom(v);
  }

  @Override
  public void close() {
    problem.close();
  }
}
