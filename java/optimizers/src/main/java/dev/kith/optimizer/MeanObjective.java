package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Memory;
import dev.kith.network.Network;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;

/** The mean F of all nodes' objectives at one point, on the host; not counted by the meter. */
final class MeanObjective implements AutoCloseable {
  private final Problem problem;
  private final HessianVector curvature;
  private final Network network;
  private final DeviceMatrix row;
  private final DeviceMatrix mean;
  private final DeviceMatrix first;
  private final DeviceMatrix points;
  private final DeviceMatrix directions;
  private final DeviceMatrix results;

  /**
   * @param what needs it, for the error
   * @param like 1 x d or n x d: dtype and queue
   */
  MeanObjective(String what, Problem problem, Network network, DeviceMatrix like) {
    if (!(problem instanceof HessianVector products)) {
      throw new IllegalArgumentException(
          what
              + " needs products with the Hessian, and "
              + problem.getClass().getSimpleName()
              + " has none: take a problem that is HessianVector");
    }
    this.problem = problem;
    this.curvature = products;
    this.network = network;
    this.row = like.like(1, problem.layout().size(), like.dtype());
    this.mean = row.like();
    this.points = row.like(problem.localNodes(), row.cols(), row.dtype());
    this.first = row.like(1, points.rows(), DType.I32);
    this.directions = points.like();
    this.results = points.like();
  }

  int size() {
    return Math.toIntExact(row.cols());
  }

  /** How exact differences are: the spacing of numbers just above 1. */
  double spacing() {
    return row.dtype() == DType.F64 ? 0x1p-52 : 0x1p-23;
  }

  private void spread(double[] v, DeviceMatrix to) {
    row.upload(v);
    Memory.gatherRows(row, first, to);
  }

  private double[] average() {
    network.observeAverage(results, mean);
    return mean.toDoubles();
  }

  /** The gradient of F. */
  double[] gradient(double[] w, long round) {
    spread(w, points);
    problem.gradient(points, results, round);
    return average();
  }

  /** The Hessian of F times v. */
  double[] hessianVector(double[] w, double[] v) {
    spread(w, points);
    spread(v, directions);
    curvature.hessianVector(points, directions, results);
    return average();
  }

  @Override
  public void close() {
    row.close();
    mean.close();
    first.close();
    points.close();
    directions.close();
    results.close();
  }
}
