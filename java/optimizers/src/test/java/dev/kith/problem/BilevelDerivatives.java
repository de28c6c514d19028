package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.function.Consumer;

/** Compares the derivatives of a bilevel problem with central differences of what is below them. */
public final class BilevelDerivatives {
  private static final double H = 1e-5;

  private BilevelDerivatives() {}

  private static double[] normal(int count, int stream, double scale) {
    SharedRandom random = new SharedRandom(7, Stream.TEST, stream, 0);
    double[] values = new double[count];
    Arrays.setAll(values, k -> scale * random.normal(k));
    return values;
  }

  /** A number a node. */
  private interface Values {
    void at(DeviceMatrix z, DeviceMatrix out);
  }

  /** A vector a node. */
  private interface Vectors {
    void at(DeviceMatrix x, DeviceMatrix y, DeviceMatrix out);
  }

  /**
   * Checks everything that a problem without noise can do, at a random point.
   *
   * @param scale of the point
   * @param tolerance of the largest difference, absolute
   */
  public static void check(Queue queue, BilevelProblem problem, double scale, double tolerance) {
    int n = problem.localNodes();
    int p = (int) problem.upperSize();
    int q = (int) problem.lowerSize();
    double[] at = normal(n * (p + q), 0, scale);
    double[] along = normal(n * (p + q), 1, 1);
    double[] direction = normal(n * q, 2, 1);
    try (DeviceMatrix z = DeviceMatrix.allocate(queue, n, problem.layout(), DType.F64);
        DeviceMatrix g = z.like();
        DeviceMatrix gx = DeviceMatrix.allocate(queue, n, p, DType.F64);
        DeviceMatrix gy = DeviceMatrix.allocate(queue, n, q, DType.F64);
        DeviceMatrix v = gy.like();
        DeviceMatrix x = z.columns(0, p);
        DeviceMatrix y = z.columns(p, p + q)) {
      z.upload(at);
      v.upload(direction);
      if (problem instanceof Value values) {
        problem.gradient(z, g, 0);
        slopes(z, at, along, g.toDoubles(), (m, out) -> values.values(m, out), tolerance, "f");
      }
      if (problem instanceof LowerValue values) {
        problem.lowerGradient(x, y, gy, 0);
        double[] expected = new double[n * (p + q)];
        double[] path = along.clone();
        double[] lower = gy.toDoubles();
        double[] upper = new double[n * p];
        boolean both = problem instanceof LowerGradientInUpper;
        if (problem instanceof LowerGradientInUpper whole) {
          whole.lowerGradientInUpper(x, y, gx, 0);
          upper = gx.toDoubles();
        }
        for (int i = 0; i < n; i++) {
          for (int c = 0; c < p; c++) {
            expected[i * (p + q) + c] = upper[i * p + c];
            path[i * (p + q) + c] *= both ? 1 : 0;
          }
          System.arraycopy(lower, i * q, expected, i * (p + q) + p, q);
        }
        slopes(z, at, path, expected, (m, out) -> values.lowerValues(x, y, out), tolerance, "g");
      }
      if (problem instanceof LowerCurvature curvature) {
        curvature.lowerHessianVector(x, y, v, gy, 0);
        double[] product = gy.toDoubles();
        curvature.lowerMixedVector(x, y, v, gx, 0);
        double[] mixed = gx.toDoubles();
        Vectors lower = (a, b, out) -> problem.lowerGradient(a, b, out, 0);
        // v . d/dt dg/dy along (u, w) = u . (d2g/dxdy) v + w . (d2g/dy2) v.
        double[] plus = shifted(z, at, along, H, m -> lower.at(x, y, gy), gy);
        double[] minus = shifted(z, at, along, -H, m -> lower.at(x, y, gy), gy);
        for (int i = 0; i < n; i++) {
          double difference = 0;
          double expected = 0;
          for (int c = 0; c < q; c++) {
            difference += direction[i * q + c] * (plus[i * q + c] - minus[i * q + c]) / (2 * H);
            expected += along[i * (p + q) + p + c] * product[i * q + c];
          }
          for (int c = 0; c < p; c++) {
            expected += along[i * (p + q) + c] * mixed[i * p + c];
          }
          assertEquals(expected, difference, tolerance, "second derivatives of g of node " + i);
        }
      }
    }
  }

  private static void slopes(
      DeviceMatrix z,
      double[] at,
      double[] along,
      double[] gradient,
      Values values,
      double tolerance,
      String what) {
    int n = (int) z.rows();
    int d = (int) z.cols();
    try (DeviceMatrix out = z.like(1, n, DType.F64)) {
      double[] plus = shifted(z, at, along, H, m -> values.at(m, out), out);
      double[] minus = shifted(z, at, along, -H, m -> values.at(m, out), out);
      for (int i = 0; i < n; i++) {
        double expected = 0;
        for (int c = 0; c < d; c++) {
          expected += gradient[i * d + c] * along[i * d + c];
        }
        assertEquals(expected, (plus[i] - minus[i]) / (2 * H), tolerance, what + " of node " + i);
      }
    }
  }

  private static double[] shifted(
      DeviceMatrix z,
      double[] at,
      double[] along,
      double h,
      Consumer<DeviceMatrix> evaluate,
      DeviceMatrix out) {
    double[] moved = at.clone();
    Arrays.setAll(moved, k -> at[k] + h * along[k]);
    z.upload(moved);
    evaluate.accept(z);
    z.upload(at);
    return out.toDoubles();
  }
}
