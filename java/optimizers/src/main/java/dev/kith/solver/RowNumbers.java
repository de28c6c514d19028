package dev.kith.solver;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Reduction;
import java.util.ArrayList;
import java.util.List;

/** What solvers of one system a row share: their matrices, and numbers that differ by row. */
final class RowNumbers implements AutoCloseable {
  private final List<DeviceMatrix> owned = new ArrayList<>();
  private final DeviceMatrix sums;
  private final int rows;

  RowNumbers(DeviceMatrix like) {
    this.rows = Math.toIntExact(like.rows());
    this.sums = own(like.like(1, rows, DType.F64));
  }

  int rows() {
    return rows;
  }

  DeviceMatrix own(DeviceMatrix m) {
    owned.add(m);
    return m;
  }

  /** A coefficient for each row. */
  DeviceMatrix perRow() {
    return own(sums.like());
  }

  double[] norms(DeviceMatrix m) {
    Reduction.rows(Reduction.Kind.SQUARES, m, sums);
    double[] values = sums.toDoubles();
    for (int k = 0; k < values.length; k++) {
      values[k] = Math.sqrt(values[k]);
    }
    return values;
  }

  double[] dots(DeviceMatrix a, DeviceMatrix b) {
    Reduction.rows(Reduction.Kind.DOT, a, b, sums);
    return sums.toDoubles();
  }

  /** Refuses right-hand sides that are not finite. */
  static void requireFinite(double[] norms) {
    for (int k = 0; k < norms.length; k++) {
      if (!Double.isFinite(norms[k])) {
        throw new IllegalArgumentException(
            "the norm of b of row " + k + " is " + norms[k] + "; give a finite right-hand side");
      }
    }
  }

  /** Refuses what a product has made. */
  static void requireFinite(int k, String what, double value) {
    if (!Double.isFinite(value)) {
      throw new ArithmeticException(
          what + " of row " + k + " is " + value + ": look at what the operator returns there");
    }
  }

  static double tolerance(double relative) {
    if (!(relative >= 0 && relative < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "tolerance is " + relative + " and must be at least 0 and finite");
    }
    return relative;
  }

  static int iterations(int most) {
    if (most < 1) {
      throw new IllegalArgumentException("maxIterations is " + most + " and must be at least 1");
    }
    return most;
  }

  @Override
  public void close() {
    owned.forEach(DeviceMatrix::close);
  }
}
