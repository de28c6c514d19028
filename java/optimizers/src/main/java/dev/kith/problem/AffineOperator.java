package dev.kith.problem;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Product;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;

/**
 * A variational inequality with a known solution: F_i(z) = A_i z + b_i, find z with (1/n) sum_i
 * F_i(z) = 0.
 *
 * <p>{@link #gradient} gives the operator, optionally with independent normal noise on every
 * element. A_i need not be symmetric, so there is no function to minimise: a saddle problem min_x
 * max_y f(x, y) has z = (x, y) and F = (df/dx, -df/dy), whose matrix has a skew part. It is
 * monotone where A + A^T is positive semidefinite. The solution solves (sum_i A_i) z = -sum_i b_i.
 * A_i is held densely: meant for up to some hundreds of parameters.
 *
 * <p>Used by one thread at a time.
 */
public final class AffineOperator implements Problem {
  private static final int POWER_ITERATIONS = 300;

  private final Layout layout;
  private final int nodes;
  private final int firstNode;
  private final double[] solution;
  private final DeviceMatrix a;
  private final DeviceMatrix b;
  private final DeviceMatrix product;
  private final GradientNoise noise;

  private AffineOperator(Builder builder, Queue queue, DType dtype) {
    int d = builder.offsets[0].length;
    this.layout = Layout.flat(d);
    this.nodes = builder.offsets.length;
    this.firstNode = builder.begin;
    this.solution = builder.solution();
    int rows = builder.end - builder.begin;
    this.a = DeviceMatrix.allocate(queue, rows, (long) d * d, dtype);
    this.b = DeviceMatrix.allocate(queue, rows, layout, dtype);
    this.product = b.like();
    this.noise = new GradientNoise(builder.deviation, builder.seed, firstNode, b);
    a.upload(flat(Arrays.copyOfRange(builder.matrices, builder.begin, builder.end)));
    b.upload(flat(Arrays.copyOfRange(builder.offsets, builder.begin, builder.end)));
  }

  /**
   * Operators given in full.
   *
   * @param matrices row i holds A_i, d x d row-major
   * @param offsets row i holds b_i, d elements
   */
  public static Builder of(double[][] matrices, double[][] offsets) {
    return new Builder(matrices, offsets);
  }

  /**
   * Random strongly monotone operators: A_i = S_i + 0.1 I + D_i with S_i skew, from standard normal
   * entries scaled to spectral norm 1, and D_i diagonal, uniform in [0, 0.3]; b_i standard normal.
   * So mu is at least 0.1, and L below 1.4.
   *
   * @param nodes number of nodes
   * @param dimension d, 2 or larger
   * @param seed of the stream {@code DATA}
   */
  public static Builder random(int nodes, int dimension, long seed) {
    if (nodes < 1 || dimension < 2) {
      throw new IllegalArgumentException(
          "A random operator needs at least one node and two dimensions, not "
              + nodes
              + " and "
              + dimension);
    }
    int d = dimension;
    double[][] matrices = new double[nodes][d * d];
    double[][] offsets = new double[nodes][d];
    for (int i = 0; i < nodes; i++) {
      SharedRandom random = new SharedRandom(seed, Stream.DATA, i, 0);
      double[] skew = new double[d * d];
      for (int r = 0; r < d; r++) {
        for (int c = 0; c < r; c++) {
          skew[r * d + c] = random.normal((long) r * d + c);
          skew[c * d + r] = -skew[r * d + c];
        }
      }
      double norm = spectralNorm(skew, d);
      for (int k = 0; k < d * d; k++) {
        matrices[i][k] = skew[k] / norm;
      }
      SharedRandom rest = new SharedRandom(seed, Stream.DATA, i, 1);
      for (int r = 0; r < d; r++) {
        matrices[i][r * d + r] = 0.1 + 0.3 * rest.uniform(r);
      }
      SharedRandom shift = new SharedRandom(seed, Stream.DATA, i, 2);
      for (int r = 0; r < d; r++) {
        offsets[i][r] = shift.normal(r);
      }
    }
    return new Builder(matrices, offsets);
  }

  /**
   * Random bilinear saddle problems min_x max_y f_i(x, y) = x^T B_i y + p_i^T x + q_i^T y +
   * lambda/2 |x|^2 - lambda/2 |y|^2, with z = (x, y). The entries of B_i are N(0, 1 / (4 m)), so
   * that its spectral norm is about 1; those of p_i and q_i are standard normal.
   *
   * <p>Source of the test: Beznosikov, Richtarik, Diskin, Ryabinin, Gasnikov, "Distributed Methods
   * with Compressed Communication for Solving Variational Inequalities, with Theoretical
   * Guarantees", 2022, section 5.1.
   *
   * @param nodes number of nodes
   * @param size m, elements of x and of y, 1 or larger
   * @param regularization lambda, the modulus of strong monotonicity; positive
   * @param seed of the stream {@code DATA}
   */
  public static Builder bilinear(int nodes, int size, double regularization, long seed) {
    if (nodes < 1 || size < 1 || !(regularization > 0)) {
      throw new IllegalArgumentException(
          "A bilinear problem needs at least one node, one element and a positive regularization,"
              + " not "
              + nodes
              + ", "
              + size
              + " and "
              + regularization);
    }
    int d = 2 * size;
    double[][] matrices = new double[nodes][d * d];
    double[][] offsets = new double[nodes][d];
    for (int i = 0; i < nodes; i++) {
      SharedRandom random = new SharedRandom(seed, Stream.DATA, i, 0);
      for (int r = 0; r < size; r++) {
        for (int c = 0; c < size; c++) {
          double entry = random.normal((long) r * size + c) / (2 * Math.sqrt(size));
          matrices[i][r * d + size + c] = entry;
          matrices[i][(size + c) * d + r] = -entry;
        }
      }
      for (int k = 0; k < d; k++) {
        matrices[i][k * d + k] = regularization;
        double entry = random.normal((long) size * size + k);
        offsets[i][k] = k < size ? entry : -entry;
      }
    }
    return new Builder(matrices, offsets);
  }

  /** The largest singular value, from power iteration on A^T A. */
  private static double spectralNorm(double[] matrix, int d) {
    double[] v = new double[d];
    Arrays.fill(v, 1);
    v[0] = 2;
    double norm = 0;
    for (int k = 0; k < POWER_ITERATIONS; k++) {
      double[] image = new double[d];
      for (int r = 0; r < d; r++) {
        for (int c = 0; c < d; c++) {
          image[r] += matrix[r * d + c] * v[c];
        }
      }
      double length = length(v);
      norm = length(image) / length;
      for (int c = 0; c < d; c++) {
        v[c] = 0;
        for (int r = 0; r < d; r++) {
          v[c] += matrix[r * d + c] * image[r] / length;
        }
      }
    }
    return norm;
  }

  private static double length(double[] v) {
    return Math.sqrt(Arrays.stream(v).map(e -> e * e).sum());
  }

  private static double[] flat(double[][] rows) {
    return Arrays.stream(rows).flatMapToDouble(Arrays::stream).toArray();
  }

  /** The z at which the sum over all nodes is 0, d elements. */
  public double[] solution() {
    return solution.clone();
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
    return Math.toIntExact(b.rows());
  }

  /** {@inheritDoc} Here the operator A_i z + b_i. */
  @Override
  public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
    long d = layout.size();
    Product.multiply(
        x.rows(),
        1,
        Batch.of(x, 0, 1, d, x.stride(), x.stride()),
        false,
        Batch.of(a, 0, d, d, d, a.stride()),
        true,
        0,
        Batch.of(product, 0, 1, d, product.stride(), product.stride()));
    Mixing.combine(Expression.outer(product).plusOuter(b), g);
    noise.addTo(g, round);
  }

  @Override
  public void close() {
    a.close();
    b.close();
    product.close();
    noise.close();
  }

  /** What a problem with affine operators is made of. */
  public static final class Builder extends NoisyNodesBuilder<Builder> {
    private final double[][] matrices;
    private final double[][] offsets;

    private Builder(double[][] matrices, double[][] offsets) {
      super(offsets.length);
      if (matrices.length == 0 || matrices.length != offsets.length) {
        throw new IllegalArgumentException(
            "There are "
                + matrices.length
                + " matrices and "
                + offsets.length
                + " offsets: give one of each a node");
      }
      int d = offsets[0].length;
      for (int i = 0; i < offsets.length; i++) {
        if (offsets[i].length != d || matrices[i].length != d * d) {
          throw new IllegalArgumentException(
              "Node "
                  + i
                  + " has "
                  + matrices[i].length
                  + " matrix entries and an offset of "
                  + offsets[i].length
                  + ": with d = "
                  + d
                  + " they are d * d and d");
        }
      }
      this.matrices = Arrays.stream(matrices).map(double[]::clone).toArray(double[][]::new);
      this.offsets = Arrays.stream(offsets).map(double[]::clone).toArray(double[][]::new);
    }

    @Override
    Builder self() {
      return this;
    }

    /** A_i of every node, d x d row-major. */
    public double[][] matrices() {
      return Arrays.stream(matrices).map(double[]::clone).toArray(double[][]::new);
    }

    /** b_i of every node. */
    public double[][] offsets() {
      return Arrays.stream(offsets).map(double[]::clone).toArray(double[][]::new);
    }

    /**
     * The z at which the sum over all nodes is 0.
     *
     * @throws IllegalArgumentException when the sum of the A_i is singular
     */
    public double[] solution() {
      int d = offsets[0].length;
      double[][] sum = new double[d][d];
      double[] right = new double[d];
      for (int i = 0; i < offsets.length; i++) {
        for (int r = 0; r < d; r++) {
          for (int c = 0; c < d; c++) {
            sum[r][c] += matrices[i][r * d + c];
          }
          right[r] -= offsets[i][r];
        }
      }
      return Elimination.solve(sum, right);
    }

    /**
     * Places the data on a device.
     *
     * @param dtype f32 or f64
     */
    public AffineOperator build(Queue queue, DType dtype) {
      return new AffineOperator(this, queue, dtype);
    }
  }
}
