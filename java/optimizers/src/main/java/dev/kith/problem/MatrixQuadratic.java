package dev.kith.problem;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Product;
import dev.kith.kernel.Reduction;
import java.util.Arrays;
import java.util.List;

/**
 * Quadratic functions of one matrix X (d x r) with orthonormal columns,
 *
 * <pre>
 * f_i(X) = 1/2 &lt;X, H_i X&gt; - &lt;X, M_i&gt; + c_i,   gradient H_i X - M_i,   &lt;A, B&gt; = tr(A^T B)
 * </pre>
 *
 * <p>H_i symmetric, d x d, held densely.
 */
abstract class MatrixQuadratic implements Problem, Value, StiefelConstraint, HessianVector {
  private final Layout layout;
  private final int nodes;
  private final int firstNode;
  private final long rows;
  private final long cols;
  private final double[] constants;
  private final DeviceMatrix h;
  private final DeviceMatrix linear;
  private final DeviceMatrix product;

  /**
   * @param name of the tensor X
   * @param h of the local nodes, d x d row-major
   * @param linear M_i of the local nodes, d x r row-major
   * @param constants c_i of the local nodes
   */
  MatrixQuadratic(
      String name,
      int d,
      int r,
      int nodes,
      int firstNode,
      double[][] h,
      double[][] linear,
      double[] constants,
      Queue queue,
      DType dtype) {
    this.layout = Layout.builder().tensor(name, "", d, r).build();
    this.rows = d;
    this.cols = r;
    this.nodes = nodes;
    this.firstNode = firstNode;
    this.constants = constants.clone();
    this.h = DeviceMatrix.allocate(queue, h.length, (long) d * d, dtype);
    this.linear = DeviceMatrix.allocate(queue, h.length, layout, dtype);
    this.product = this.linear.like();
    this.h.upload(flat(h));
    this.linear.upload(flat(linear));
  }

  private static double[] flat(double[][] all) {
    return Arrays.stream(all).flatMapToDouble(Arrays::stream).toArray();
  }

  @Override
  public final Layout layout() {
    return layout;
  }

  @Override
  public final List<Layout.Tensor> orthonormal() {
    return layout.tensors();
  }

  @Override
  public final int nodes() {
    return nodes;
  }

  @Override
  public final int firstNode() {
    return firstNode;
  }

  @Override
  public final int localNodes() {
    return constants.length;
  }

  private Batch matrices(DeviceMatrix m) {
    return Batch.of(m, 0, rows, cols, cols, m.stride());
  }

  @Override
  public final void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
    Product.multiply(
        v.rows(),
        1,
        Batch.of(h, 0, rows, rows, rows, h.stride()),
        false,
        matrices(v),
        false,
        0,
        matrices(out));
  }

  @Override
  public final void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
    hessianVector(x, x, g);
    Mixing.combine(Expression.outer(g).plusOuter(-1, linear), g);
  }

  @Override
  public final void values(DeviceMatrix x, DeviceMatrix out) {
    hessianVector(x, x, product);
    Mixing.combine(Expression.outer(0.5, product).plusOuter(-1, linear), product);
    double[] values = Reduction.dots(x, product);
    Arrays.setAll(values, i -> values[i] + constants[i]);
    out.upload(values);
  }

  @Override
  public final void close() {
    h.close();
    linear.close();
    product.close();
  }
}
