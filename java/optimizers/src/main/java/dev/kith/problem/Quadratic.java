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
 * Quadratic objectives with a known optimum: f_i(x) = 1/2 (x - b_i)^T H_i (x - b_i), H_i symmetric.
 *
 * <p>Gradient H_i (x - b_i), optionally with independent normal noise on every element. The
 * minimiser of the sum solves (sum_i H_i) x = sum_i H_i b_i. Where the b_i differ, plain
 * decentralized SGD with a fixed step size stops beside it and the corrected methods do not, which
 * is what this problem is for. H_i is held densely: meant for up to some hundreds of parameters.
 *
 * <p>Used by one thread at a time.
 */
public final class Quadratic implements Problem, Value, HessianVector, Proximal {
  private final Layout layout;
  private final int nodes;
  private final int firstNode;
  private final double[] optimum;
  private final double[][] curvatures;
  private final double[][] minimisers;
  private final DeviceMatrix h;
  private final DeviceMatrix b;
  private final DeviceMatrix difference;
  private final DeviceMatrix product;
  private final GradientNoise noise;

  private Quadratic(Builder builder, Queue queue, DType dtype) {
    int d = builder.minimisers[0].length;
    this.layout = Layout.flat(d);
    this.nodes = builder.minimisers.length;
    this.firstNode = builder.begin;
    this.optimum = builder.optimum();
    this.curvatures = Arrays.copyOfRange(builder.curvatures, builder.begin, builder.end);
    this.minimisers = Arrays.copyOfRange(builder.minimisers, builder.begin, builder.end);
    int rows = builder.end - builder.begin;
    this.h = DeviceMatrix.allocate(queue, rows, (long) d * d, dtype);
    this.b = DeviceMatrix.allocate(queue, rows, layout, dtype);
    this.difference = b.like();
    this.product = b.like();
    this.noise = new GradientNoise(builder.deviation, builder.seed, firstNode, b);
    h.upload(flat(curvatures));
    b.upload(flat(minimisers));
  }

  /**
   * Objectives given in full.
   *
   * @param curvatures row i holds H_i, d x d row-major, symmetric
   * @param minimisers row i holds b_i, d elements
   */
  public static Builder of(double[][] curvatures, double[][] minimisers) {
    return new Builder(curvatures, minimisers);
  }

  /**
   * Random objectives: H_i has the eigenvalues {@code condition^(k / (d - 1))}, k = 0 .. d - 1 (so
   * L = condition, mu = 1), in a random orthogonal basis of its own, and b_i = heterogeneity times
   * a standard normal vector.
   *
   * @param nodes number of nodes
   * @param dimension d
   * @param condition L / mu, 1 or larger
   * @param heterogeneity scale of the b_i; 0 gives all nodes the optimum 0
   * @param seed of the stream {@code DATA}
   */
  public static Builder random(
      int nodes, int dimension, double condition, double heterogeneity, long seed) {
    if (nodes < 1 || dimension < 1 || !(condition >= 1)) {
      throw new IllegalArgumentException(
          "A random quadratic needs at least one node, one dimension and a condition of 1, not "
              + nodes
              + ", "
              + dimension
              + " and "
              + condition);
    }
    double[][] curvatures = new double[nodes][];
    double[][] minimisers = new double[nodes][dimension];
    for (int i = 0; i < nodes; i++) {
      SharedRandom random = new SharedRandom(seed, Stream.DATA, i, 0);
      curvatures[i] = curvature(random, dimension, condition);
      for (int c = 0; c < dimension; c++) {
        minimisers[i][c] = heterogeneity * random.normal((long) dimension * dimension + c);
      }
    }
    return new Builder(curvatures, minimisers);
  }

  private static double[] curvature(SharedRandom random, int d, double condition) {
    double[][] basis = new double[d][d];
    for (int k = 0; k < d; k++) {
      for (int c = 0; c < d; c++) {
        basis[k][c] = random.normal((long) k * d + c);
      }
      // Gram-Schmidt twice, which is enough for full orthogonality in double precision.
      for (int j = 0; j < 2 * k; j++) {
        double dot = dot(basis[k], basis[j % k]);
        for (int c = 0; c < d; c++) {
          basis[k][c] -= dot * basis[j % k][c];
        }
      }
      double norm = Math.sqrt(dot(basis[k], basis[k]));
      for (int c = 0; c < d; c++) {
        basis[k][c] /= norm;
      }
    }
    double[] h = new double[d * d];
    for (int k = 0; k < d; k++) {
      double eigenvalue = d == 1 ? condition : StrictMath.pow(condition, k / (double) (d - 1));
      for (int r = 0; r < d; r++) {
        for (int c = 0; c < d; c++) {
          // The parentheses keep H exactly symmetric.
          h[r * d + c] += eigenvalue * (basis[k][r] * basis[k][c]);
        }
      }
    }
    return h;
  }

  private static double dot(double[] u, double[] v) {
    double sum = 0;
    for (int c = 0; c < u.length; c++) {
      sum += u[c] * v[c];
    }
    return sum;
  }

  private static double[] flat(double[][] rows) {
    return Arrays.stream(rows).flatMapToDouble(Arrays::stream).toArray();
  }

  /** The minimiser of the sum over all nodes, d elements. */
  public double[] optimum() {
    return optimum.clone();
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

  @Override
  public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
    Mixing.combine(Expression.outer(x).plusOuter(-1, b), difference);
    multiply(difference, h, g);
    noise.addTo(g, round);
  }

  @Override
  public void values(DeviceMatrix x, DeviceMatrix out) {
    Mixing.combine(Expression.outer(x).plusOuter(-1, b), difference);
    multiply(difference, h, product);
    Reduction.rows(Reduction.Kind.DOT, difference, product, out);
    Mixing.combine(Expression.outer(0.5, out), out);
  }

  @Override
  public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
    multiply(v, h, out);
  }

  /** {@inheritDoc} Here (I + t H_i)^{-1} (v_i + t H_i b_i), solved in Java on every call. */
  @Override
  public void proximal(int[] rows, DeviceMatrix v, double t, DeviceMatrix out) {
    if (!(t > 0 && t < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException("A proximal step of " + t + " is not positive and finite");
    }
    int d = Math.toIntExact(layout.size());
    double[] points = v.toDoubles();
    for (int k = 0; k < rows.length; k++) {
      double[][] shifted = square(curvatures[rows[k]], d);
      double[] right = Arrays.copyOfRange(points, k * d, (k + 1) * d);
      for (int r = 0; r < d; r++) {
        right[r] += t * dot(shifted[r], minimisers[rows[k]]);
      }
      for (int r = 0; r < d; r++) {
        double[] row = shifted[r];
        Arrays.setAll(row, c -> t * row[c]);
        row[r] += 1;
      }
      System.arraycopy(new Cholesky(shifted).solve(right), 0, points, k * d, d);
    }
    out.upload(points);
  }

  /** out_i = v_i A_i with row i of {@code a} as a d x d matrix. */
  private void multiply(DeviceMatrix v, DeviceMatrix a, DeviceMatrix out) {
    long d = layout.size();
    Product.multiply(
        v.rows(),
        1,
        Batch.of(v, 0, 1, d, v.stride(), v.stride()),
        false,
        Batch.of(a, 0, d, d, d, a.stride()),
        false,
        0,
        Batch.of(out, 0, 1, d, out.stride(), out.stride()));
  }

  private static double[][] square(double[] rowMajor, int d) {
    double[][] rows = new double[d][];
    Arrays.setAll(rows, r -> Arrays.copyOfRange(rowMajor, r * d, (r + 1) * d));
    return rows;
  }

  @Override
  public void close() {
    h.close();
    b.close();
    difference.close();
    product.close();
    noise.close();
  }

  /** What a quadratic problem is made of. */
  public static final class Builder extends NoisyNodesBuilder<Builder> {
    private final double[][] curvatures;
    private final double[][] minimisers;

    private Builder(double[][] curvatures, double[][] minimisers) {
      super(minimisers.length);
      if (curvatures.length == 0 || curvatures.length != minimisers.length) {
        throw new IllegalArgumentException(
            "There are "
                + curvatures.length
                + " curvatures and "
                + minimisers.length
                + " minimisers: give one of each a node");
      }
      int d = minimisers[0].length;
      for (int i = 0; i < minimisers.length; i++) {
        if (minimisers[i].length != d || curvatures[i].length != d * d) {
          throw new IllegalArgumentException(
              "Node "
                  + i
                  + " has "
                  + curvatures[i].length
                  + " curvature entries and a minimiser of "
                  + minimisers[i].length
                  + ": with d = "
                  + d
                  + " they are d * d and d");
        }
        for (int r = 0; r < d; r++) {
          for (int c = 0; c < r; c++) {
            if (curvatures[i][r * d + c] != curvatures[i][c * d + r]) {
              throw new IllegalArgumentException(
                  "H of node "
                      + i
                      + " is not symmetric at ("
                      + r
                      + ", "
                      + c
                      + "): "
                      + curvatures[i][r * d + c]
                      + " and "
                      + curvatures[i][c * d + r]);
            }
          }
        }
      }
      this.curvatures = Arrays.stream(curvatures).map(double[]::clone).toArray(double[][]::new);
      this.minimisers = Arrays.stream(minimisers).map(double[]::clone).toArray(double[][]::new);
    }

    @Override
    Builder self() {
      return this;
    }

    /** H_i of every node, d x d row-major. */
    public double[][] curvatures() {
      return Arrays.stream(curvatures).map(double[]::clone).toArray(double[][]::new);
    }

    /** b_i of every node. */
    public double[][] minimisers() {
      return Arrays.stream(minimisers).map(double[]::clone).toArray(double[][]::new);
    }

    /**
     * The minimiser of the sum over all nodes.
     *
     * @throws IllegalArgumentException when the sum of the H_i is not positive definite
     */
    public double[] optimum() {
      int d = minimisers[0].length;
      double[][] sum = new double[d][d];
      double[] right = new double[d];
      for (int i = 0; i < minimisers.length; i++) {
        double[][] rows = square(curvatures[i], d);
        for (int r = 0; r < d; r++) {
          for (int c = 0; c < d; c++) {
            sum[r][c] += rows[r][c];
          }
          right[r] += dot(rows[r], minimisers[i]);
        }
      }
      return new Cholesky(sum).solve(right);
    }

    /**
     * Places the data on a device.
     *
     * @param dtype f32 or f64
     */
    public Quadratic build(Queue queue, DType dtype) {
      return new Quadratic(this, queue, dtype);
    }
  }
}
