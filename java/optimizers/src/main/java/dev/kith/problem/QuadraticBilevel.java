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
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;

/**
 * A bilevel problem with a known gradient, quadratic at both levels:
 *
 * <pre>
 * f_i(x, y) = 1/2 |y - a_i|^2 + rho/2 |x|^2
 * g_i(x, y) = 1/2 y^T H_i y - y^T (B_i x + c_i)          H_i symmetric positive definite, B_i q x p
 * y*(x)     = H^{-1} (B x + c)                           with the means H, B, c, a over the nodes
 * grad(x)   = rho x + B^T H^{-1} (y*(x) - a)
 * </pre>
 *
 * <p>Where the H_i differ, the gradients of the nodes' own bilevel problems do not average to this
 * one, which is what the problem is for. All derivatives optionally carry independent normal noise
 * on every element, the products with second derivatives too. Matrices are held densely: meant for
 * up to some hundreds of parameters.
 *
 * <p>Used by one thread at a time.
 */
public final class QuadraticBilevel
    implements BilevelProblem, LowerGradientInUpper, LowerCurvature, LowerValue {
  /** What draws of its own. */
  private enum Draw {
    UPPER,
    LOWER,
    LOWER_IN_UPPER,
    HESSIAN,
    MIXED
  }

  private final Layout layout;
  private final Builder data;
  private final int p;
  private final int q;
  private final DeviceMatrix h;
  private final DeviceMatrix b;
  private final DeviceMatrix a;
  private final DeviceMatrix c;
  private final DeviceMatrix product;
  private final GradientNoise rowNoise;
  private final GradientNoise upperNoise;
  private final GradientNoise lowerNoise;

  private QuadraticBilevel(Builder builder, Queue queue, DType dtype) {
    this.data = builder;
    this.p = builder.mixed[0].length / builder.targets[0].length;
    this.q = builder.targets[0].length;
    this.layout = Layout.builder().tensor("x", "", p).tensor("y", "", q).build();
    int rows = builder.end - builder.begin;
    this.h = DeviceMatrix.allocate(queue, rows, (long) q * q, dtype);
    this.b = DeviceMatrix.allocate(queue, rows, (long) q * p, dtype);
    this.a = DeviceMatrix.allocate(queue, rows, q, dtype);
    this.c = a.like();
    this.product = a.like();
    h.upload(local(builder.curvatures));
    b.upload(local(builder.mixed));
    a.upload(local(builder.targets));
    c.upload(local(builder.offsets));
    try (DeviceMatrix row = DeviceMatrix.allocate(queue, rows, layout, dtype);
        DeviceMatrix x = DeviceMatrix.allocate(queue, rows, p, dtype)) {
      this.rowNoise = new GradientNoise(builder.deviation, builder.seed, builder.begin, row);
      this.upperNoise = new GradientNoise(builder.deviation, builder.seed, builder.begin, x);
      this.lowerNoise = new GradientNoise(builder.deviation, builder.seed, builder.begin, a);
    }
  }

  /**
   * Objectives given in full, by node.
   *
   * @param curvatures H_i, q x q row-major, symmetric positive definite
   * @param mixed B_i, q x p row-major
   * @param targets a_i, q elements
   * @param offsets c_i, q elements
   */
  public static Builder of(
      double[][] curvatures, double[][] mixed, double[][] targets, double[][] offsets) {
    return new Builder(curvatures, mixed, targets, offsets);
  }

  /**
   * Random objectives: H_i = modulus I + G_i G_i^T / q, and the entries of G_i, B_i, a_i and c_i
   * are standard normal. So the H_i differ by their small eigenvalues, which lie near {@code
   * modulus}, and their mean has none near it.
   *
   * @param nodes number of nodes
   * @param upper p
   * @param lower q
   * @param modulus of strong convexity of each g_i, positive
   * @param seed of the stream {@code DATA}
   */
  public static Builder random(int nodes, int upper, int lower, double modulus, long seed) {
    if (nodes < 1 || upper < 1 || lower < 1 || !(modulus > 0)) {
      throw new IllegalArgumentException(
          "A random bilevel problem needs at least one node, one number x, one number y and a positive modulus, not %d, %d, %d and %s"
              .formatted(nodes, upper, lower, modulus));
    }
    int q = lower;
    double[][] curvatures = new double[nodes][q * q];
    double[][] mixed = new double[nodes][q * upper];
    double[][] targets = new double[nodes][q];
    double[][] offsets = new double[nodes][q];
    for (int i = 0; i < nodes; i++) {
      SharedRandom random = new SharedRandom(seed, Stream.DATA, i, 0);
      for (int r = 0; r < q; r++) {
        for (int s = 0; s <= r; s++) {
          double sum = r == s ? modulus : 0;
          for (int k = 0; k < q; k++) {
            sum += random.normal((long) r * q + k) * random.normal((long) s * q + k) / q;
          }
          curvatures[i][r * q + s] = sum;
          curvatures[i][s * q + r] = sum;
        }
      }
      SharedRandom rest = new SharedRandom(seed, Stream.DATA, i, 1);
      Arrays.setAll(mixed[i], rest::normal);
      Arrays.setAll(targets[i], k -> rest.normal((long) q * upper + k));
      Arrays.setAll(offsets[i], k -> rest.normal((long) q * (upper + 1) + k));
    }
    return new Builder(curvatures, mixed, targets, offsets);
  }

  private double[] local(double[][] rows) {
    return Arrays.stream(rows, data.begin, data.end).flatMapToDouble(Arrays::stream).toArray();
  }

  @Override
  public Layout layout() {
    return layout;
  }

  @Override
  public int nodes() {
    return data.targets.length;
  }

  @Override
  public int firstNode() {
    return data.begin;
  }

  @Override
  public int localNodes() {
    return data.end - data.begin;
  }

  @Override
  public long upperSize() {
    return p;
  }

  private static long draw(Draw what, long round) {
    return Draw.values().length * round + what.ordinal();
  }

  @Override
  public void gradient(DeviceMatrix z, DeviceMatrix g, long round) {
    try (DeviceMatrix x = z.columns(0, p);
        DeviceMatrix y = z.columns(p, p + q);
        DeviceMatrix gx = g.columns(0, p);
        DeviceMatrix gy = g.columns(p, p + q)) {
      Mixing.combine(Expression.outer(data.rho, x), gx);
      Mixing.combine(Expression.outer(y).plusOuter(-1, a), gy);
    }
    rowNoise.addTo(g, draw(Draw.UPPER, round));
  }

  @Override
  public void lowerGradient(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round) {
    multiply(x, b, p, true, product);
    multiply(y, h, q, false, g);
    Mixing.combine(Expression.outer(g).plusOuter(-1, product).plusOuter(-1, c), g);
    lowerNoise.addTo(g, draw(Draw.LOWER, round));
  }

  @Override
  public void lowerGradientInUpper(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round) {
    multiply(y, b, p, false, g);
    Mixing.combine(Expression.outer(-1, g), g);
    upperNoise.addTo(g, draw(Draw.LOWER_IN_UPPER, round));
  }

  @Override
  public void lowerHessianVector(
      DeviceMatrix x, DeviceMatrix y, DeviceMatrix v, DeviceMatrix out, long round) {
    multiply(v, h, q, false, out);
    lowerNoise.addTo(out, draw(Draw.HESSIAN, round));
  }

  @Override
  public void lowerMixedVector(
      DeviceMatrix x, DeviceMatrix y, DeviceMatrix v, DeviceMatrix out, long round) {
    multiply(v, b, p, false, out);
    Mixing.combine(Expression.outer(-1, out), out);
    upperNoise.addTo(out, draw(Draw.MIXED, round));
  }

  @Override
  public void lowerValues(DeviceMatrix x, DeviceMatrix y, DeviceMatrix out) {
    try (DeviceMatrix half = y.like()) {
      multiply(y, h, q, false, half);
      multiply(x, b, p, true, product);
      Mixing.combine(Expression.outer(0.5, half).plusOuter(-1, product).plusOuter(-1, c), half);
      Reduction.rows(Reduction.Kind.DOT, y, half, out);
    }
  }

  /** out_i = v_i A_i, or v_i A_i^T, with row i of {@code matrices} as A_i of so many columns. */
  private static void multiply(
      DeviceMatrix v, DeviceMatrix matrices, int columns, boolean transposed, DeviceMatrix out) {
    Product.multiply(
        v.rows(),
        1,
        Batch.of(v, 0, 1, v.cols(), v.stride(), v.stride()),
        false,
        Batch.of(matrices, 0, matrices.cols() / columns, columns, columns, matrices.stride()),
        transposed,
        0,
        Batch.of(out, 0, 1, out.cols(), out.stride(), out.stride()));
  }

  @Override
  public void close() {
    h.close();
    b.close();
    a.close();
    c.close();
    product.close();
    rowNoise.close();
    upperNoise.close();
    lowerNoise.close();
  }

  /** What a quadratic bilevel problem is made of. */
  public static final class Builder extends NoisyNodesBuilder<Builder> {
    private final double[][] curvatures;
    private final double[][] mixed;
    private final double[][] targets;
    private final double[][] offsets;
    private double rho = 0.1;

    private Builder(
        double[][] curvatures, double[][] mixed, double[][] targets, double[][] offsets) {
      super(targets.length);
      int n = targets.length;
      if (n == 0 || curvatures.length != n || mixed.length != n || offsets.length != n) {
        throw new IllegalArgumentException(
            "There are %d curvatures, %d mixed matrices, %d targets and %d offsets: give one of each a node"
                .formatted(curvatures.length, mixed.length, n, offsets.length));
      }
      int q = targets[0].length;
      int p = q == 0 ? 0 : mixed[0].length / q;
      if (p == 0) {
        throw new IllegalArgumentException(
            "Node 0 has %d numbers y and a mixed matrix of %d: both levels need at least one number"
                .formatted(q, mixed[0].length));
      }
      for (int i = 0; i < n; i++) {
        if (curvatures[i].length != q * q
            || mixed[i].length != q * p
            || targets[i].length != q
            || offsets[i].length != q) {
          throw new IllegalArgumentException(
              "Node %d has %d, %d, %d and %d numbers of H, B, a and c: with p = %d and q = %d they are %d, %d, %d and %d"
                  .formatted(
                      i,
                      curvatures[i].length,
                      mixed[i].length,
                      targets[i].length,
                      offsets[i].length,
                      p,
                      q,
                      q * q,
                      q * p,
                      q,
                      q));
        }
        requirePositive(i, curvatures[i], q);
      }
      this.curvatures = copy(curvatures);
      this.mixed = copy(mixed);
      this.targets = copy(targets);
      this.offsets = copy(offsets);
    }

    private Builder(Builder other) {
      super(other.targets.length);
      this.curvatures = other.curvatures;
      this.mixed = other.mixed;
      this.targets = other.targets;
      this.offsets = other.offsets;
      this.rho = other.rho;
      this.begin = other.begin;
      this.end = other.end;
      this.deviation = other.deviation;
      this.seed = other.seed;
    }

    private static void requirePositive(int node, double[] h, int q) {
      for (int r = 0; r < q; r++) {
        for (int s = 0; s < r; s++) {
          if (h[r * q + s] != h[s * q + r]) {
            throw new IllegalArgumentException(
                "H of node %d is not symmetric at (%d, %d): %s and %s"
                    .formatted(node, r, s, h[r * q + s], h[s * q + r]));
          }
        }
      }
      try {
        new Cholesky(square(h, q));
      } catch (IllegalArgumentException e) {
        throw new IllegalArgumentException(
            "H of node " + node + " gives no lower minimum: " + e.getMessage(), e);
      }
    }

    private static double[][] square(double[] rowMajor, int q) {
      double[][] rows = new double[q][];
      Arrays.setAll(rows, r -> Arrays.copyOfRange(rowMajor, r * q, (r + 1) * q));
      return rows;
    }

    private static double[][] copy(double[][] rows) {
      return Arrays.stream(rows).map(double[]::clone).toArray(double[][]::new);
    }

    @Override
    Builder self() {
      return this;
    }

    /** rho, the weight of |x|^2 / 2, not negative. Default: 0.1. */
    public Builder regularization(double rho) {
      if (!(rho >= 0 && rho < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException("a rho of " + rho + " is not a finite number from 0 up");
      }
      this.rho = rho;
      return this;
    }

    private static double[] mean(double[][] rows) {
      double[] mean = new double[rows[0].length];
      for (double[] row : rows) {
        for (int k = 0; k < mean.length; k++) {
          mean[k] += row[k] / rows.length;
        }
      }
      return mean;
    }

    /** y*(x), q elements: the lower solution over all nodes. */
    public double[] lowerSolution(double[] x) {
      int q = targets[0].length;
      return new Cholesky(square(mean(curvatures), q)).solve(lowerRight(x));
    }

    /** B x + c, of the means. */
    private double[] lowerRight(double[] x) {
      double[] right = mean(offsets);
      double[] b = mean(mixed);
      for (int r = 0; r < right.length; r++) {
        for (int k = 0; k < x.length; k++) {
          right[r] += b[r * x.length + k] * x[k];
        }
      }
      return right;
    }

    /** The gradient of the whole at x, p elements, over all nodes. */
    public double[] hypergradient(double[] x) {
      int q = targets[0].length;
      Cholesky h = new Cholesky(square(mean(curvatures), q));
      double[] y = h.solve(lowerRight(x));
      double[] a = mean(targets);
      Arrays.setAll(y, r -> y[r] - a[r]);
      double[] z = h.solve(y);
      double[] b = mean(mixed);
      double[] gradient = new double[x.length];
      for (int k = 0; k < x.length; k++) {
        gradient[k] = rho * x[k];
        for (int r = 0; r < q; r++) {
          gradient[k] += b[r * x.length + k] * z[r];
        }
      }
      return gradient;
    }

    /**
     * Places the data on a device.
     *
     * @param dtype f32 or f64
     */
    public QuadraticBilevel build(Queue queue, DType dtype) {
      return new QuadraticBilevel(new Builder(this), queue, dtype);
    }
  }
}
