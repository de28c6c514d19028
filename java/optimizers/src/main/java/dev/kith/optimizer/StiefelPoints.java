package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Factorization;
import dev.kith.problem.Problem;
import dev.kith.problem.StiefelConstraint;
import java.util.List;
import java.util.Optional;

/**
 * The tensors of a row that are points of Stiefel manifolds; what is not among them is free, so
 * that projections leave it alone.
 */
final class StiefelPoints {
  private final List<Layout.Tensor> tensors;

  StiefelPoints(String algorithm, Problem problem) {
    if (!(problem instanceof StiefelConstraint constraint)) {
      throw new IllegalArgumentException(
          algorithm
              + " needs a problem with tensors of orthonormal columns, one that implements"
              + " StiefelConstraint, and "
              + problem.getClass().getSimpleName()
              + " does not");
    }
    this.tensors = List.copyOf(constraint.orthonormal());
    for (Layout.Tensor tensor : tensors) {
      if (tensor.shape().length != 2 || tensor.rows() < tensor.cols()) {
        throw new IllegalArgumentException(
            tensor
                + " cannot have orthonormal columns: it needs two dimensions and at least as many"
                + " rows as columns");
      }
    }
  }

  private static Batch batch(Layout.Tensor tensor, DeviceMatrix m) {
    return Batch.of(m, tensor.offset(), tensor.rows(), tensor.cols(), tensor.cols(), m.stride());
  }

  /** Every row of x goes to the nearest point of the manifold. */
  void project(DeviceMatrix x) {
    for (Layout.Tensor tensor : tensors) {
      Batch points = batch(tensor, x);
      Factorization.polar(x.rows(), points, points, Optional.empty(), Optional.empty());
    }
  }

  /** Every row of z is projected on the tangent space at the same row of x. */
  void tangent(DeviceMatrix x, DeviceMatrix z) {
    for (Layout.Tensor tensor : tensors) {
      Batch vectors = batch(tensor, z);
      Factorization.tangent(x.rows(), batch(tensor, x), vectors, vectors);
    }
  }

  /** Refuses rows further from the manifold than rounding takes them, then projects. */
  void start(DeviceMatrix x, int firstNode) {
    double most = x.dtype() == DType.F64 ? 1e-8 : 1e-3;
    for (Layout.Tensor tensor : tensors) {
      try (DeviceMatrix distance = x.like(1, x.rows(), DType.F64)) {
        Factorization.distance(x.rows(), batch(tensor, x), distance);
        double[] far = distance.toDoubles();
        for (int r = 0; r < far.length; r++) {
          if (!(far[r] <= most)) {
            throw new IllegalArgumentException(
                "the start of node "
                    + (firstNode + r)
                    + " is "
                    + far[r]
                    + " away from orthonormal columns in "
                    + tensor.name()
                    + ": start with at most "
                    + most
                    + ", for instance from what Factorization.polar or qr gives");
          }
        }
      }
    }
    project(x);
  }
}
