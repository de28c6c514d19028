package dev.kith.problem;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;

/**
 * Robust linear regression, a saddle problem: an adversary shifts all samples by the same r.
 *
 * <pre>
 * min_w max_r (1/n) sum_i (1 / (2 s)) sum_k (w^T (a_ik + r) - y_ik)^2 + lambda/2 |w|^2 - beta/2 |r|^2
 * </pre>
 *
 * <p>A row is z = (w, r), and {@link #gradient} gives the operator F_i = (df_i/dw, -df_i/dr). It is
 * monotone as long as |w|^2 is below beta, so beta is chosen large. At the solution r = rho w /
 * beta, where rho is the mean of w^T (a + r) - y over all samples. It is evaluated in Java and
 * meant for small experiments. Nodes have the same number of samples, or weigh the same all the
 * same.
 *
 * <p>Source of the test: Beznosikov et al., "Distributed Methods with Compressed Communication for
 * Solving Variational Inequalities, with Theoretical Guarantees", 2022, section 5.2. Used by one
 * thread at a time.
 */
public final class RobustRegression implements Problem {
  private final Builder data;
  private final Layout layout;
  private final int size;

  private RobustRegression(Builder builder) {
    this.data = builder;
    this.size = builder.samples[0][0].length;
    this.layout = Layout.builder().tensor("w", "", size).tensor("r", "", size).build();
  }

  /**
   * Samples given in full.
   *
   * @param samples the vectors a_ik by node and sample
   * @param targets the y_ik by node and sample
   */
  public static Builder of(double[][][] samples, double[][] targets) {
    return new Builder(samples, targets);
  }

  /**
   * Random samples: a standard normal plus the node's own standard normal centre times {@code
   * heterogeneity}, y = a^T u + 0.1 e with u the same normal vector of length about 1 at all nodes,
   * and e standard normal.
   *
   * @param nodes number of nodes
   * @param samples samples a node
   * @param size elements of w
   * @param heterogeneity how far the centres of the nodes lie apart
   * @param seed of the stream {@code DATA}
   */
  public static Builder random(int nodes, int samples, int size, double heterogeneity, long seed) {
    if (nodes < 1 || samples < 1 || size < 1) {
      throw new IllegalArgumentException(
          "A random regression needs at least one node, sample and element, not "
              + nodes
              + ", "
              + samples
              + " and "
              + size);
    }
    SharedRandom common = new SharedRandom(seed, Stream.DATA, 0, 1);
    double[] u = new double[size];
    Arrays.setAll(u, c -> common.normal(c) / Math.sqrt(size));
    double[][][] a = new double[nodes][samples][size];
    double[][] y = new double[nodes][samples];
    for (int i = 0; i < nodes; i++) {
      SharedRandom random = new SharedRandom(seed, Stream.DATA, i, 0);
      long index = size;
      for (int k = 0; k < samples; k++) {
        for (int c = 0; c < size; c++) {
          a[i][k][c] = heterogeneity * random.normal(c) + random.normal(index++);
          y[i][k] += a[i][k][c] * u[c];
        }
        y[i][k] += 0.1 * random.normal(index++);
      }
    }
    return new Builder(a, y);
  }

  @Override
  public Layout layout() {
    return layout;
  }

  @Override
  public int nodes() {
    return data.samples.length;
  }

  @Override
  public int firstNode() {
    return data.begin;
  }

  @Override
  public int localNodes() {
    return data.end - data.begin;
  }

  /** {@inheritDoc} Here the operator (df_i/dw, -df_i/dr). */
  @Override
  public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
    double[] z = x.toDoubles();
    double[] f = new double[z.length];
    for (int row = 0; row < localNodes(); row++) {
      operator(data.begin + row, z, f, row * 2 * size);
    }
    g.upload(f);
  }

  private void operator(int node, double[] z, double[] f, int at) {
    double[][] a = data.samples[node];
    double mean = 0;
    for (int k = 0; k < a.length; k++) {
      double error = -data.targets[node][k];
      for (int c = 0; c < size; c++) {
        error += z[at + c] * (a[k][c] + z[at + size + c]);
      }
      for (int c = 0; c < size; c++) {
        f[at + c] += error * (a[k][c] + z[at + size + c]) / a.length;
      }
      mean += error / a.length;
    }
    for (int c = 0; c < size; c++) {
      f[at + c] += data.lambda * z[at + c];
      f[at + size + c] = data.beta * z[at + size + c] - mean * z[at + c];
    }
  }

  @Override
  public void close() {}

  /** What a robust regression is made of. */
  public static final class Builder extends NodesBuilder<Builder> {
    private final double[][][] samples;
    private final double[][] targets;
    private double lambda = 0.1;
    private double beta = 10;

    private Builder(double[][][] samples, double[][] targets) {
      super(samples.length);
      if (samples.length == 0 || samples.length != targets.length || samples[0].length == 0) {
        throw new IllegalArgumentException(
            "There are samples of "
                + samples.length
                + " nodes and targets of "
                + targets.length
                + ": give both for each node, at least one sample");
      }
      int size = samples[0][0].length;
      for (int i = 0; i < samples.length; i++) {
        if (samples[i].length == 0 || samples[i].length != targets[i].length) {
          throw new IllegalArgumentException(
              "Node "
                  + i
                  + " has "
                  + samples[i].length
                  + " samples and "
                  + targets[i].length
                  + " targets: give one of each, and at least one");
        }
        for (double[] sample : samples[i]) {
          if (sample.length != size) {
            throw new IllegalArgumentException(
                "Node "
                    + i
                    + " has a sample of "
                    + sample.length
                    + " numbers where others have "
                    + size
                    + ": give all the same");
          }
        }
      }
      this.samples =
          Arrays.stream(samples)
              .map(s -> Arrays.stream(s).map(double[]::clone).toArray(double[][]::new))
              .toArray(double[][][]::new);
      this.targets = Arrays.stream(targets).map(double[]::clone).toArray(double[][]::new);
    }

    private Builder(Builder other) {
      super(other.samples.length);
      this.samples = other.samples;
      this.targets = other.targets;
      this.begin = other.begin;
      this.end = other.end;
      this.lambda = other.lambda;
      this.beta = other.beta;
    }

    @Override
    Builder self() {
      return this;
    }

    /**
     * lambda of the model and beta of the adversary, both positive. Default: 0.1 and 10, for models
     * of length about 1.
     */
    public Builder regularization(double lambda, double beta) {
      if (!(lambda > 0) || !(beta > 0)) {
        throw new IllegalArgumentException(
            "regularizations of " + lambda + " and " + beta + " are not both positive");
      }
      this.lambda = lambda;
      this.beta = beta;
      return this;
    }

    /**
     * The problem. It is evaluated in Java: queue and type are those of the matrices that it is
     * given.
     */
    public RobustRegression build() {
      return new RobustRegression(new Builder(this));
    }
  }
}
