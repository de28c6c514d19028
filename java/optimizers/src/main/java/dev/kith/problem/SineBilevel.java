package dev.kith.problem;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import java.util.Arrays;

/**
 * A bilevel problem whose lower level is not convex:
 *
 * <pre>
 * f(x, y) = cos(4 y + 2) / (1 + e^(2 - 4 x)) + 1/2 ln((4 x - 2)^2 + 1)
 * g(x, y) = (x + y)^2 + x sin^2(x + y)
 * </pre>
 *
 * <p>For 0 &lt;= x &lt;= 3 the lower solutions are y = -x, and f(x, -x) has its minima at x = 0.382
 * (0.443), 1.215 (0.200, the global one) and 2.830. All nodes hold the same objectives. A row holds
 * {@code copies} independent problems, all x before all y, so that many runs are one; a value is
 * the mean over them. It is evaluated in Java and meant for small experiments.
 *
 * <p>Source of the test: Shen, Chen, "On Penalty-based Bilevel Gradient Descent Method", 2023,
 * section 6.1. The published code has df/dx with 1 + (e^(2 - 4 x))^2 for (1 + e^(2 - 4 x))^2; this
 * is the derivative of f. Used by one thread at a time.
 */
public final class SineBilevel
    implements BilevelProblem, Value, LowerGradientInUpper, LowerCurvature, LowerValue {
  private final Layout layout;
  private final int copies;
  private final int nodes;
  private final int begin;
  private final int end;

  /**
   * The objectives of all nodes, in one process.
   *
   * @param nodes number of nodes, 1 or more
   * @param copies independent problems a row, 1 or more
   */
  public SineBilevel(int nodes, int copies) {
    this(nodes, copies, 0, nodes);
  }

  /** The same for the global nodes [begin, end) only. */
  public SineBilevel(int nodes, int copies, int begin, int end) {
    NodesBuilder.requireRange(begin, end, nodes);
    if (copies < 1) {
      throw new IllegalArgumentException(
          "A row cannot hold " + copies + " problems: give 1 or more");
    }
    this.copies = copies;
    this.nodes = nodes;
    this.begin = begin;
    this.end = end;
    this.layout = Layout.builder().tensor("x", "", copies).tensor("y", "", copies).build();
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
    return begin;
  }

  @Override
  public int localNodes() {
    return end - begin;
  }

  @Override
  public long upperSize() {
    return copies;
  }

  /** A function of one pair. */
  private interface Pair {
    double of(double x, double y);
  }

  private static void apply(Pair function, DeviceMatrix x, DeviceMatrix y, DeviceMatrix out) {
    double[] xs = x.toDoubles();
    double[] ys = y.toDoubles();
    Arrays.setAll(xs, k -> function.of(xs[k], ys[k]));
    out.upload(xs);
  }

  private void means(Pair function, DeviceMatrix x, DeviceMatrix y, DeviceMatrix out) {
    double[] xs = x.toDoubles();
    double[] ys = y.toDoubles();
    double[] values = new double[localNodes()];
    for (int k = 0; k < xs.length; k++) {
      values[k / copies] += function.of(xs[k], ys[k]) / copies;
    }
    out.upload(values);
  }

  @Override
  public void gradient(DeviceMatrix z, DeviceMatrix g, long round) {
    try (DeviceMatrix x = z.columns(0, copies);
        DeviceMatrix y = z.columns(copies, 2L * copies);
        DeviceMatrix gx = g.columns(0, copies);
        DeviceMatrix gy = g.columns(copies, 2L * copies)) {
      apply(
          (a, b) -> {
            double e = StrictMath.exp(2 - 4 * a);
            // e / (1 + e)^2 without overflow.
            double slope = 4 / ((1 + e) * (1 + 1 / e));
            double line = 4 * a - 2;
            return StrictMath.cos(4 * b + 2) * slope + 4 * line / (line * line + 1);
          },
          x,
          y,
          gx);
      apply((a, b) -> -4 * StrictMath.sin(4 * b + 2) / (1 + StrictMath.exp(2 - 4 * a)), x, y, gy);
    }
  }

  @Override
  public void values(DeviceMatrix z, DeviceMatrix out) {
    try (DeviceMatrix x = z.columns(0, copies);
        DeviceMatrix y = z.columns(copies, 2L * copies)) {
      means(
          (a, b) -> {
            double line = 4 * a - 2;
            return StrictMath.cos(4 * b + 2) / (1 + StrictMath.exp(2 - 4 * a))
                + StrictMath.log1p(line * line) / 2;
          },
          x,
          y,
          out);
    }
  }

  @Override
  public void lowerGradient(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round) {
    apply((a, b) -> 2 * (a + b) + a * StrictMath.sin(2 * (a + b)), x, y, g);
  }

  @Override
  public void lowerGradientInUpper(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round) {
    apply(
        (a, b) -> {
          double s = StrictMath.sin(a + b);
          return 2 * (a + b) + s * s + a * StrictMath.sin(2 * (a + b));
        },
        x,
        y,
        g);
  }

  @Override
  public void lowerHessianVector(
      DeviceMatrix x, DeviceMatrix y, DeviceMatrix v, DeviceMatrix out, long round) {
    apply((a, b) -> 2 + 2 * a * StrictMath.cos(2 * (a + b)), x, y, out);
    times(v, out);
  }

  @Override
  public void lowerMixedVector(
      DeviceMatrix x, DeviceMatrix y, DeviceMatrix v, DeviceMatrix out, long round) {
    apply(
        (a, b) -> 2 + StrictMath.sin(2 * (a + b)) + 2 * a * StrictMath.cos(2 * (a + b)), x, y, out);
    times(v, out);
  }

  private static void times(DeviceMatrix v, DeviceMatrix out) {
    apply((a, b) -> a * b, v, out, out);
  }

  @Override
  public void lowerValues(DeviceMatrix x, DeviceMatrix y, DeviceMatrix out) {
    means(
        (a, b) -> {
          double s = StrictMath.sin(a + b);
          return (a + b) * (a + b) + a * s * s;
        },
        x,
        y,
        out);
  }

  @Override
  public void close() {}
}
