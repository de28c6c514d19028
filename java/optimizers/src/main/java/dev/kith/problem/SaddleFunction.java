package dev.kith.problem;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import java.util.Arrays;

/**
 * A function whose average has a saddle between two minima: f_i(x, y) = (x^2 - 1)^2 / 4 + y^2 / 2 +
 * b_i x.
 *
 * <p>With sum_i b_i = 0 the average has its minima at (-1, 0) and (1, 0), value 0, and a saddle at
 * (0, 0), value 1/4. Gradient (x^3 - x + b_i, y) plus independent normal noise. A row holds {@code
 * copies} independent pairs, x in the even and y in the odd columns, so that many runs are one. It
 * is evaluated in Java and meant for small experiments.
 *
 * <p>Source of the test: Swenson, Murray, Poor, Kar, "Distributed Stochastic Gradient Descent:
 * Nonconvexity, Nonsmoothness, and Convergence to Local Minima", 2022. Used by one thread at a
 * time.
 */
public final class SaddleFunction implements Problem, Value {
  private final Layout layout;
  private final double[] tilts;
  private final int begin;
  private final int end;
  private final GradientNoise noise;

  /**
   * The objectives of all nodes, in one process.
   *
   * @param queue where the gradients will be
   * @param dtype f32 or f64
   * @param tilts b_i, one a node
   * @param copies independent pairs a row, 1 or more
   * @param deviation standard deviation of the gradient noise, 0 for none
   * @param seed of the noise
   */
  public SaddleFunction(
      Queue queue, DType dtype, double[] tilts, int copies, double deviation, long seed) {
    this(queue, dtype, tilts, copies, deviation, seed, 0, tilts.length);
  }

  /** The same with the data of the global nodes [begin, end) only. */
  public SaddleFunction(
      Queue queue,
      DType dtype,
      double[] tilts,
      int copies,
      double deviation,
      long seed,
      int begin,
      int end) {
    NodesBuilder.requireRange(begin, end, tilts.length);
    if (copies < 1) {
      throw new IllegalArgumentException("A row cannot hold " + copies + " pairs: give 1 or more");
    }
    this.layout = Layout.flat(2L * copies);
    this.tilts = tilts.clone();
    this.begin = begin;
    this.end = end;
    try (DeviceMatrix shape = DeviceMatrix.allocate(queue, end - begin, layout, dtype)) {
      this.noise = new GradientNoise(deviation, seed, begin, shape);
    }
  }

  @Override
  public Layout layout() {
    return layout;
  }

  @Override
  public int nodes() {
    return tilts.length;
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
  public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
    double[] z = x.toDoubles();
    int d = Math.toIntExact(layout.size());
    for (int k = 0; k < z.length; k += 2) {
      z[k] = z[k] * z[k] * z[k] - z[k] + tilts[begin + k / d];
    }
    g.upload(z);
    noise.addTo(g, round);
  }

  /** {@inheritDoc} The mean over the pairs of the row. */
  @Override
  public void values(DeviceMatrix x, DeviceMatrix out) {
    double[] z = x.toDoubles();
    int d = Math.toIntExact(layout.size());
    double[] values = new double[end - begin];
    for (int k = 0; k < z.length; k += 2) {
      double well = z[k] * z[k] - 1;
      values[k / d] += well * well / 4 + z[k + 1] * z[k + 1] / 2 + tilts[begin + k / d] * z[k];
    }
    out.upload(Arrays.stream(values).map(v -> v * 2 / d).toArray());
  }

  @Override
  public void close() {
    noise.close();
  }
}
