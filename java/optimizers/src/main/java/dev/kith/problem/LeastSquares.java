package dev.kith.problem;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Memory;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import java.util.Arrays;

/**
 * Linear regression with one record a node, as where every user holds one: f_i(x) = 1/2 (a_i^T x -
 * y_i)^2, with gradient (a_i^T x - y_i) a_i and
 *
 * <pre>prox_{t f_i}(v) = v - t (a_i^T v - y_i) / (1 + t |a_i|^2) a_i</pre>
 *
 * <p>Its Hessian a_i a_i^T is its Gauss-Newton matrix too. Used by one thread at a time.
 */
public final class LeastSquares
    implements Problem, Value, Proximal, HessianVector, GaussNewtonVector {
  private final Layout layout;
  private final int nodes;
  private final int firstNode;
  private final double[] targets;
  private final double[] squares;
  private final DeviceMatrix records;

  private LeastSquares(Builder builder, Queue queue, DType dtype) {
    int d = builder.records[0].length;
    this.layout = Layout.flat(d);
    this.nodes = builder.records.length;
    this.firstNode = builder.begin;
    int rows = builder.end - builder.begin;
    this.targets = Arrays.copyOfRange(builder.targets, builder.begin, builder.end);
    this.records = DeviceMatrix.allocate(queue, rows, d, dtype);
    double[] flat = new double[Math.multiplyExact(rows, d)];
    for (int r = 0; r < rows; r++) {
      System.arraycopy(builder.records[builder.begin + r], 0, flat, r * d, d);
    }
    records.upload(flat);
    this.squares = Reduction.squares(records);
  }

  /**
   * @param records a_i by node, d numbers each
   * @param targets y_i by node
   * @throws IllegalArgumentException when their numbers or lengths differ, or there is none
   */
  public static Builder of(double[][] records, double[] targets) {
    return new Builder(records, targets);
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
    return firstNode;
  }

  @Override
  public int localNodes() {
    return targets.length;
  }

  @Override
  public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
    try (DeviceMatrix residuals = DeviceMatrix.row(x.queue(), residuals(x, records, targets))) {
      Mixing.combine(Expression.outer(1, residuals, records), g);
    }
  }

  @Override
  public void values(DeviceMatrix x, DeviceMatrix out) {
    double[] residuals = residuals(x, records, targets);
    Arrays.setAll(residuals, r -> residuals[r] * residuals[r] / 2);
    out.upload(residuals);
  }

  @Override
  public void proximal(int[] rows, DeviceMatrix v, double t, DeviceMatrix out) {
    if (!(t > 0 && t < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException("A proximal step of " + t + " is not positive and finite");
    }
    try (DeviceMatrix index = DeviceMatrix.rowOf(v.queue(), rows);
        DeviceMatrix picked = v.like()) {
      Memory.gatherRows(records, index, picked);
      double[] scales =
          residuals(v, picked, Arrays.stream(rows).mapToDouble(r -> targets[r]).toArray());
      Arrays.setAll(scales, k -> -t * scales[k] / (1 + t * squares[rows[k]]));
      try (DeviceMatrix coefficients = DeviceMatrix.row(v.queue(), scales)) {
        Mixing.combine(Expression.outer(v).plusOuter(1, coefficients, picked), out);
      }
    }
  }

  @Override
  public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
    try (DeviceMatrix slopes = DeviceMatrix.row(v.queue(), Reduction.dots(v, records))) {
      Mixing.combine(Expression.outer(1, slopes, records), out);
    }
  }

  @Override
  public void gaussNewtonVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
    hessianVector(x, v, out);
  }

  /** a_i^T x_i - y_i. */
  private static double[] residuals(DeviceMatrix x, DeviceMatrix records, double[] targets) {
    double[] dots = Reduction.dots(x, records);
    Arrays.setAll(dots, r -> dots[r] - targets[r]);
    return dots;
  }

  @Override
  public void close() {
    records.close();
  }

  /** What a regression is made of. */
  public static final class Builder extends NodesBuilder<Builder> {
    private final double[][] records;
    private final double[] targets;

    private Builder(double[][] records, double[] targets) {
      super(records.length);
      if (records.length == 0 || records.length != targets.length) {
        throw new IllegalArgumentException(
            "There are "
                + records.length
                + " records and "
                + targets.length
                + " targets: give one of each a node");
      }
      for (int i = 0; i < records.length; i++) {
        if (records[i].length != records[0].length) {
          throw new IllegalArgumentException(
              "The record of node "
                  + i
                  + " has "
                  + records[i].length
                  + " numbers where that of node 0 has "
                  + records[0].length
                  + ": give all the same");
        }
      }
      this.records = Arrays.stream(records).map(double[]::clone).toArray(double[][]::new);
      this.targets = targets.clone();
    }

    @Override
    Builder self() {
      return this;
    }

    /**
     * Places the records on a device.
     *
     * @param dtype f32 or f64
     */
    public LeastSquares build(Queue queue, DType dtype) {
      return new LeastSquares(this, queue, dtype);
    }
  }
}
