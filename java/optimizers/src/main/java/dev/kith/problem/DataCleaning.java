package dev.kith.problem;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import java.util.Arrays;

/**
 * Data hyper-cleaning: which training samples to trust, some of whose labels are wrong, is learnt
 * from a few clean ones. x has a number for every training sample, its trust being sigma(x_k) = 1 /
 * (1 + e^{-x_k}); y is a linear classifier with biases.
 *
 * <pre>
 * g_i(x, y) = (n / N) sum_{k at node i} sigma(x_k) CE_k(y)        N training samples in all
 * f_i(x, y) = (1 / m_i) sum_k CE'_k(y)                            clean samples
 * </pre>
 *
 * <p>CE is the cross-entropy of softmax. The lower problem is convex, not strongly: methods with a
 * penalty take it, those that invert its Hessian do not, and it has no second derivatives here. It
 * is evaluated in Java and meant for small experiments. Used by one thread at a time.
 *
 * <p>Source of the experiment: Shen, Chen, "On Penalty-based Bilevel Gradient Descent Method",
 * 2023, section 6.2; Franceschi et al., "Forward and Reverse Gradient-Based Hyperparameter
 * Optimization", 2017.
 */
public final class DataCleaning implements BilevelProblem, Value, LowerGradientInUpper, LowerValue {
  private final ClassificationData train;
  private final ClassificationData clean;
  private final int[][] trainParts;
  private final int[][] cleanParts;
  private final int classes;
  private final int features;
  private final Layout layout;

  /**
   * The problem of all nodes, in one process.
   *
   * @param train samples some of whose labels are wrong
   * @param clean samples whose labels are right, of the same features and classes
   * @param nodes sample k of both belongs to node k mod nodes; each has at least one
   */
  public DataCleaning(ClassificationData train, ClassificationData clean, int nodes) {
    if (train.features() != clean.features() || train.classes() != clean.classes()) {
      throw new IllegalArgumentException(
          "samples of %d features and %d classes cannot be cleaned by those of %d and %d: give data of one kind"
              .formatted(train.features(), train.classes(), clean.features(), clean.classes()));
    }
    if (nodes < 1 || train.samples() < nodes || clean.samples() < nodes) {
      throw new IllegalArgumentException(
          "%d training and %d clean samples cannot be dealt to %d nodes: give each at least one"
              .formatted(train.samples(), clean.samples(), nodes));
    }
    this.train = train;
    this.clean = clean;
    this.trainParts = deal(train.samples(), nodes);
    this.cleanParts = deal(clean.samples(), nodes);
    this.classes = train.classes();
    this.features = train.features();
    this.layout =
        Layout.builder()
            .tensor("trust", "", train.samples())
            .tensor("weight", "", features, classes)
            .tensor("bias", "", classes)
            .build();
  }

  private static int[][] deal(int samples, int nodes) {
    int[][] parts = new int[nodes][];
    for (int i = 0; i < nodes; i++) {
      int first = i;
      parts[i] = new int[(samples - i + nodes - 1) / nodes];
      Arrays.setAll(parts[i], k -> first + k * nodes);
    }
    return parts;
  }

  @Override
  public Layout layout() {
    return layout;
  }

  @Override
  public int nodes() {
    return trainParts.length;
  }

  @Override
  public int firstNode() {
    return 0;
  }

  @Override
  public int localNodes() {
    return trainParts.length;
  }

  @Override
  public long upperSize() {
    return train.samples();
  }

  private static double sigmoid(double x) {
    return 1 / (1 + StrictMath.exp(-x));
  }

  /** Puts the probabilities of the classes into p and gives the cross-entropy. */
  private double predict(ClassificationData data, int sample, double[] y, int at, double[] p) {
    for (int c = 0; c < classes; c++) {
      p[c] = y[at + features * classes + c];
    }
    for (int j = 0; j < features; j++) {
      double value = data.value(sample, j);
      if (value != 0) {
        for (int c = 0; c < classes; c++) {
          p[c] += value * y[at + j * classes + c];
        }
      }
    }
    double largest = Arrays.stream(p).max().orElseThrow();
    double sum = 0;
    double own = p[data.label(sample)];
    for (int c = 0; c < classes; c++) {
      p[c] = StrictMath.exp(p[c] - largest);
      sum += p[c];
    }
    for (int c = 0; c < classes; c++) {
      p[c] /= sum;
    }
    return largest + StrictMath.log(sum) - own;
  }

  /** g += weight d CE / dy, with the probabilities p. */
  private void addSlope(
      ClassificationData data, int sample, double weight, double[] p, double[] g, int at) {
    p[data.label(sample)] -= 1;
    for (int j = 0; j < features; j++) {
      double value = weight * data.value(sample, j);
      if (value != 0) {
        for (int c = 0; c < classes; c++) {
          g[at + j * classes + c] += value * p[c];
        }
      }
    }
    for (int c = 0; c < classes; c++) {
      g[at + features * classes + c] += weight * p[c];
    }
  }

  private int lower() {
    return (features + 1) * classes;
  }

  @Override
  public void gradient(DeviceMatrix z, DeviceMatrix g, long round) {
    double[] rows = z.toDoubles();
    double[] slopes = new double[rows.length];
    double[] p = new double[classes];
    int width = train.samples() + lower();
    for (int r = 0; r < localNodes(); r++) {
      int at = r * width + train.samples();
      for (int k : cleanParts[r]) {
        predict(clean, k, rows, at, p);
        addSlope(clean, k, 1.0 / cleanParts[r].length, p, slopes, at);
      }
    }
    g.upload(slopes);
  }

  @Override
  public void values(DeviceMatrix z, DeviceMatrix out) {
    double[] rows = z.toDoubles();
    double[] p = new double[classes];
    double[] values = new double[localNodes()];
    int width = train.samples() + lower();
    for (int r = 0; r < values.length; r++) {
      for (int k : cleanParts[r]) {
        values[r] += predict(clean, k, rows, r * width + train.samples(), p) / cleanParts[r].length;
      }
    }
    out.upload(values);
  }

  private double share() {
    return (double) localNodes() / train.samples();
  }

  @Override
  public void lowerGradient(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round) {
    double[] trust = x.toDoubles();
    double[] model = y.toDoubles();
    double[] slopes = new double[model.length];
    double[] p = new double[classes];
    for (int r = 0; r < localNodes(); r++) {
      for (int k : trainParts[r]) {
        predict(train, k, model, r * lower(), p);
        double weight = share() * sigmoid(trust[r * train.samples() + k]);
        addSlope(train, k, weight, p, slopes, r * lower());
      }
    }
    g.upload(slopes);
  }

  @Override
  public void lowerGradientInUpper(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round) {
    double[] trust = x.toDoubles();
    double[] model = y.toDoubles();
    double[] slopes = new double[trust.length];
    double[] p = new double[classes];
    for (int r = 0; r < localNodes(); r++) {
      for (int k : trainParts[r]) {
        int at = r * train.samples() + k;
        double s = sigmoid(trust[at]);
        slopes[at] = share() * s * (1 - s) * predict(train, k, model, r * lower(), p);
      }
    }
    g.upload(slopes);
  }

  @Override
  public void lowerValues(DeviceMatrix x, DeviceMatrix y, DeviceMatrix out) {
    double[] trust = x.toDoubles();
    double[] model = y.toDoubles();
    double[] values = new double[localNodes()];
    double[] p = new double[classes];
    for (int r = 0; r < values.length; r++) {
      for (int k : trainParts[r]) {
        values[r] +=
            share()
                * sigmoid(trust[r * train.samples() + k])
                * predict(train, k, model, r * lower(), p);
      }
    }
    out.upload(values);
  }

  /**
   * The share of samples that a classifier gets right.
   *
   * @param z one row (x, y), or y alone
   * @param data of the same features and classes
   */
  public double accuracy(double[] z, ClassificationData data) {
    double[] p = new double[classes];
    int right = 0;
    for (int k = 0; k < data.samples(); k++) {
      predict(data, k, z, z.length - lower(), p);
      int best = 0;
      for (int c = 1; c < classes; c++) {
        best = p[c] > p[best] ? c : best;
      }
      right += best == data.label(k) ? 1 : 0;
    }
    return (double) right / data.samples();
  }

  @Override
  public void close() {}
}
