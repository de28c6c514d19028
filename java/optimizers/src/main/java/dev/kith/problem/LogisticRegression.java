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
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Logistic regression with two classes and no bias, records a_ij with labels y_ij of -1 or 1:
 *
 * <pre>
 * f_i(w) = (1 / m_i) sum_j log(1 + exp(-y_ij a_ij^T w)) + (lambda / 2) |w|^2
 * gradient:  (1 / m_i) sum_j (s_ij - [y_ij = 1]) a_ij + lambda w,       s_ij = 1 / (1 + exp(-a_ij^T w))
 * Hessian:   (1 / m_i) sum_j s_ij (1 - s_ij) a_ij a_ij^T + lambda I
 * </pre>
 *
 * <p>Strongly convex with a regularization above 0. The Hessian is the Gauss-Newton matrix and,
 * without lambda, the Fisher information. A mini-batch takes samples drawn uniformly with
 * replacement, as in {@link LayeredClassifier}. For a bias give every record a last element of 1.
 *
 * <p>Used by one thread at a time.
 */
public final class LogisticRegression implements Problem, Value, HessianVector, GaussNewtonVector {
  /** Logits that one pass may hold. */
  private static final long MOST_ROWS = 1L << 22;

  private final Queue queue;
  private final Layout layout;
  private final int nodes;
  private final int firstNode;
  private final double lambda;
  private final LocalSamples samples;
  private final LocalBatches batches;

  private LogisticRegression(Builder builder, Queue queue, DType dtype) {
    this.queue = queue;
    this.layout = Layout.flat(builder.records[0][0].length);
    this.nodes = builder.records.length;
    this.firstNode = builder.begin;
    this.lambda = builder.lambda;
    int count = builder.end - builder.begin;
    this.samples =
        LocalSamples.of(queue, dtype, builder.records, builder.classes, builder.begin, count);
    this.batches = new LocalBatches(queue, samples, firstNode, builder.batch, builder.seed);
  }

  /**
   * @param records the vectors a_ij by node and sample, d numbers each; at least one a node
   * @param labels the y_ij by node and sample, -1 or 1
   * @throws IllegalArgumentException when numbers or lengths differ, a node has no record, or a
   *     label is neither
   */
  public static Builder of(double[][][] records, double[][] labels) {
    return new Builder(records, labels);
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
    return samples.nodes();
  }

  @Override
  public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
    batches.drawn(
        round,
        LogisticRegression::chunk,
        (models, rows, labels, node) -> {
          try (DeviceMatrix logits = scores(models, rows, x, node)) {
            Batch z = both(logits, rows);
            Product.softmaxCrossEntropy(
                models, z, labels, Optional.of(z), Optional.empty(), Optional.empty());
            back(models, rows, logits, g, node);
          }
        });
    regularize(x, g);
  }

  @Override
  public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
    product(x, v, out, pass -> batches.all(LogisticRegression::chunk, pass));
  }

  @Override
  public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out, long round) {
    product(x, v, out, pass -> batches.drawn(round, LogisticRegression::chunk, pass));
  }

  @Override
  public void gaussNewtonVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
    hessianVector(x, v, out);
  }

  @Override
  public void gaussNewtonVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out, long round) {
    hessianVector(x, v, out, round);
  }

  @Override
  public void values(DeviceMatrix x, DeviceMatrix out) {
    double[] values = Reduction.squares(x);
    Arrays.setAll(values, i -> lambda / 2 * values[i]);
    batches.all(
        LogisticRegression::chunk,
        (models, rows, labels, node) -> {
          try (DeviceMatrix logits = scores(models, rows, x, node);
              DeviceMatrix loss = DeviceMatrix.allocate(queue, 1, models, DType.F64)) {
            Product.softmaxCrossEntropy(
                models,
                both(logits, rows),
                labels,
                Optional.empty(),
                Optional.of(loss),
                Optional.empty());
            double[] means = loss.toDoubles();
            for (int i = 0; i < models; i++) {
              values[node + i] += means[i];
            }
          }
        });
    out.upload(values);
  }

  private static int chunk(int rows, int models) {
    return Math.clamp(MOST_ROWS / rows, 1, models);
  }

  private void product(
      DeviceMatrix x, DeviceMatrix v, DeviceMatrix out, Consumer<LocalBatches.Pass> over) {
    over.accept(
        (models, rows, labels, node) -> {
          try (DeviceMatrix logits = scores(models, rows, x, node);
              DeviceMatrix slopes = scores(models, rows, v, node)) {
            Product.softmaxCurvature(models, both(logits, rows), both(slopes, rows));
            back(models, rows, slopes, out, node);
          }
        });
    regularize(v, out);
  }

  /** Of every row the logits of both classes, 0 and a^T x: x is the row of the row's node. */
  private DeviceMatrix scores(int models, Batch rows, DeviceMatrix x, int node) {
    DeviceMatrix scores =
        DeviceMatrix.allocate(queue, models * rows.rows(), 2, samples.features().dtype());
    try {
      scores.fill(0);
      Product.multiply(models, 1, rows, false, row(x, node), true, 0, second(scores, rows));
      return scores;
    } catch (RuntimeException e) {
      scores.close();
      throw e;
    }
  }

  /** Sums the records, each times what its second column holds, into the rows of g. */
  private void back(int models, Batch rows, DeviceMatrix columns, DeviceMatrix g, int node) {
    Product.multiply(models, 1, second(columns, rows), true, rows, false, 0, row(g, node));
  }

  private Batch row(DeviceMatrix m, int node) {
    return Batch.of(m, node * m.stride(), 1, layout.size(), m.stride(), m.stride());
  }

  private static Batch both(DeviceMatrix scores, Batch rows) {
    return Batch.of(scores, 0, rows.rows(), 2, scores.stride(), rows.rows() * scores.stride());
  }

  private static Batch second(DeviceMatrix scores, Batch rows) {
    return Batch.of(scores, 1, rows.rows(), 1, scores.stride(), rows.rows() * scores.stride());
  }

  private void regularize(DeviceMatrix x, DeviceMatrix g) {
    if (lambda != 0) {
      Mixing.combine(Expression.outer(g).plusOuter(lambda, x), g);
    }
  }

  @Override
  public void close() {
    batches.close();
    samples.close();
  }

  /** What a logistic regression is made of. */
  public static final class Builder extends NodesBuilder<Builder> {
    private final double[][][] records;
    private final int[][] classes;
    private double lambda;
    private int batch;
    private long seed = 1;

    private Builder(double[][][] records, double[][] labels) {
      super(records.length);
      if (records.length == 0 || records.length != labels.length || records[0].length == 0) {
        throw new IllegalArgumentException(
            "there are records of "
                + records.length
                + " nodes and labels of "
                + labels.length
                + ": give both for each node, at least one record");
      }
      int d = records[0][0].length;
      for (int i = 0; i < records.length; i++) {
        if (records[i].length == 0 || records[i].length != labels[i].length) {
          throw new IllegalArgumentException(
              "node "
                  + i
                  + " has "
                  + records[i].length
                  + " records and "
                  + labels[i].length
                  + " labels: give one of each, and at least one");
        }
        for (int j = 0; j < records[i].length; j++) {
          if (records[i][j].length != d || d == 0) {
            throw new IllegalArgumentException(
                "a record of node "
                    + i
                    + " has "
                    + records[i][j].length
                    + " numbers where the first has "
                    + d
                    + ": give all the same, at least one");
          }
          if (labels[i][j] != 1 && labels[i][j] != -1) {
            throw new IllegalArgumentException(
                "a label of node " + i + " is " + labels[i][j] + ": labels are -1 or 1");
          }
        }
      }
      this.records =
          Arrays.stream(records)
              .map(s -> Arrays.stream(s).map(double[]::clone).toArray(double[][]::new))
              .toArray(double[][][]::new);
      this.classes =
          Arrays.stream(labels)
              .map(s -> Arrays.stream(s).mapToInt(y -> y > 0 ? 1 : 0).toArray())
              .toArray(int[][]::new);
    }

    @Override
    Builder self() {
      return this;
    }

    /** lambda of (lambda / 2) |w|^2. Default: 0. */
    public Builder regularization(double lambda) {
      if (!(lambda >= 0 && lambda < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "the regularization " + lambda + " is not a finite number from 0 up");
      }
      this.lambda = lambda;
      return this;
    }

    /** Samples of a mini-batch at each node, by this seed; 0 takes all. Default: all. */
    public Builder batch(int size, long seed) {
      if (size < 0) {
        throw new IllegalArgumentException(
            "a batch of " + size + " samples is impossible: give 1 or more, or 0 for all");
      }
      this.batch = size;
      this.seed = seed;
      return this;
    }

    /**
     * Places the records on a device.
     *
     * @param dtype f32 or f64
     */
    public LogisticRegression build(Queue queue, DType dtype) {
      return new LogisticRegression(this, queue, dtype);
    }
  }
}
