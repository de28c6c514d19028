package dev.kith.problem;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import java.util.Arrays;
import java.util.function.DoubleBinaryOperator;

/**
 * Tuning the weight penalties of a linear model on validation data: x holds the logarithms of the
 * penalties, y the model.
 *
 * <pre>
 * g_i(x, y) = (1/m_i)  sum_k l(a_ik . y, b_ik) + 1/2 sum_c e^{x_c} y_c^2       training samples
 * f_i(x, y) = (1/m_i') sum_k l(a'_ik . y, b'_ik)                               validation samples
 * </pre>
 *
 * <p>with l(s, b) = 1/2 (s - b)^2 (ridge) or log(1 + e^(-b s)), b = -1 or 1 (logistic regression).
 * There is one x for each feature, or one for all. The lower problem is strongly convex with
 * modulus min e^{x_c}. Every sample is used in every draw. It is evaluated in Java and meant for
 * small experiments. Used by one thread at a time.
 */
public final class PenaltyTuning
    implements BilevelProblem, Value, LowerGradientInUpper, LowerCurvature, LowerValue {
  /** l. */
  public enum Loss {
    /** 1/2 (s - b)^2: ridge regression. */
    SQUARED,
    /** log(1 + e^(-b s)): logistic regression. */
    LOGISTIC;

    double value(double s, double b) {
      // log(1 + e^-t) without overflow.
      double t = b * s;
      return this == SQUARED
          ? (s - b) * (s - b) / 2
          : Math.max(-t, 0) + StrictMath.log1p(StrictMath.exp(-Math.abs(t)));
    }

    double slope(double s, double b) {
      return this == SQUARED ? s - b : -b / (1 + StrictMath.exp(b * s));
    }

    double curvature(double s, double b) {
      if (this == SQUARED) {
        return 1;
      }
      double e = StrictMath.exp(-Math.abs(s));
      return e / ((1 + e) * (1 + e));
    }
  }

  private final Builder data;
  private final Layout layout;
  private final int q;
  private final int p;

  private PenaltyTuning(Builder builder) {
    this.data = builder;
    this.q = builder.train.samples[0][0].length;
    this.p = builder.shared ? 1 : q;
    this.layout = Layout.builder().tensor("log-penalty", "", p).tensor("model", "", q).build();
  }

  /**
   * Samples given in full, by node and sample.
   *
   * @param loss squared or logistic; labels of the second are -1 and 1
   * @param trainSamples a_ik
   * @param trainTargets b_ik
   * @param validationSamples a'_ik, of as many numbers
   * @param validationTargets b'_ik
   */
  public static Builder of(
      Loss loss,
      double[][][] trainSamples,
      double[][] trainTargets,
      double[][][] validationSamples,
      double[][] validationTargets) {
    return new Builder(
        loss,
        Samples.of("training", loss, trainSamples, trainTargets),
        Samples.of("validation", loss, validationSamples, validationTargets));
  }

  /** Samples and targets of all nodes. */
  private record Samples(double[][][] samples, double[][] targets) {
    static Samples of(String what, Loss loss, double[][][] samples, double[][] targets) {
      if (samples.length == 0 || samples.length != targets.length) {
        throw new IllegalArgumentException(
            "There are %s samples of %d nodes and targets of %d: give both for each node, at least one"
                .formatted(what, samples.length, targets.length));
      }
      int size = samples[0].length == 0 ? 0 : samples[0][0].length;
      for (int i = 0; i < samples.length; i++) {
        if (samples[i].length == 0 || samples[i].length != targets[i].length) {
          throw new IllegalArgumentException(
              "Node %d has %d %s samples and %d targets: give one of each, and at least one"
                  .formatted(i, samples[i].length, what, targets[i].length));
        }
        for (int k = 0; k < samples[i].length; k++) {
          if (samples[i][k].length != size || size == 0) {
            throw new IllegalArgumentException(
                "Node %d has a %s sample of %d numbers where others have %d: give all the same, at least one"
                    .formatted(i, what, samples[i][k].length, size));
          }
          if (loss == Loss.LOGISTIC && Math.abs(targets[i][k]) != 1) {
            throw new IllegalArgumentException(
                "Node %d has a %s label of %s: logistic regression takes -1 and 1"
                    .formatted(i, what, targets[i][k]));
          }
        }
      }
      return new Samples(
          Arrays.stream(samples)
              .map(s -> Arrays.stream(s).map(double[]::clone).toArray(double[][]::new))
              .toArray(double[][][]::new),
          Arrays.stream(targets).map(double[]::clone).toArray(double[][]::new));
    }
  }

  @Override
  public Layout layout() {
    return layout;
  }

  @Override
  public int nodes() {
    return data.train.samples.length;
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

  private static double dot(double[] a, double[] rows, int at) {
    double sum = 0;
    for (int c = 0; c < a.length; c++) {
      sum += a[c] * rows[at + c];
    }
    return sum;
  }

  /** Mean over the samples of the loss at row r of y. */
  private double loss(Samples of, double[] y, int at, int r) {
    double[][] a = of.samples[data.begin + r];
    double[] b = of.targets[data.begin + r];
    double sum = 0;
    for (int k = 0; k < a.length; k++) {
      sum += data.loss.value(dot(a[k], y, at), b[k]) / a.length;
    }
    return sum;
  }

  /** to += the mean over the samples of weight(a . y, b) a. */
  private void addSamples(
      Samples of, DoubleBinaryOperator weight, double[] y, int at, int r, double[] to, int out) {
    double[][] a = of.samples[data.begin + r];
    double[] b = of.targets[data.begin + r];
    for (int k = 0; k < a.length; k++) {
      double w = weight.applyAsDouble(dot(a[k], y, at), b[k]) / a.length;
      for (int c = 0; c < q; c++) {
        to[out + c] += w * a[k][c];
      }
    }
  }

  private double penalty(double[] x, int r, int c) {
    return StrictMath.exp(x[r * p + (p == 1 ? 0 : c)]);
  }

  @Override
  public void gradient(DeviceMatrix z, DeviceMatrix g, long round) {
    double[] rows = z.toDoubles();
    double[] slopes = new double[rows.length];
    for (int r = 0; r < localNodes(); r++) {
      int at = r * (p + q) + p;
      addSamples(data.validation, data.loss::slope, rows, at, r, slopes, at);
    }
    g.upload(slopes);
  }

  @Override
  public void values(DeviceMatrix z, DeviceMatrix out) {
    double[] rows = z.toDoubles();
    double[] values = new double[localNodes()];
    Arrays.setAll(values, r -> loss(data.validation, rows, r * (p + q) + p, r));
    out.upload(values);
  }

  @Override
  public void lowerGradient(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round) {
    double[] logs = x.toDoubles();
    double[] model = y.toDoubles();
    double[] slopes = new double[model.length];
    for (int r = 0; r < localNodes(); r++) {
      addSamples(data.train, data.loss::slope, model, r * q, r, slopes, r * q);
      for (int c = 0; c < q; c++) {
        slopes[r * q + c] += penalty(logs, r, c) * model[r * q + c];
      }
    }
    g.upload(slopes);
  }

  @Override
  public void lowerGradientInUpper(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round) {
    double[] model = y.toDoubles();
    inUpper(x, (at, c) -> model[at] * model[at] / 2, g);
  }

  /** A number of one weight. */
  private interface Weight {
    double of(int at, int c);
  }

  /** e^{x_c} times a number of every weight, summed over those that share x_c. */
  private void inUpper(DeviceMatrix x, Weight weight, DeviceMatrix out) {
    double[] logs = x.toDoubles();
    double[] sums = new double[logs.length];
    for (int r = 0; r < localNodes(); r++) {
      for (int c = 0; c < q; c++) {
        sums[r * p + (p == 1 ? 0 : c)] += penalty(logs, r, c) * weight.of(r * q + c, c);
      }
    }
    out.upload(sums);
  }

  @Override
  public void lowerHessianVector(
      DeviceMatrix x, DeviceMatrix y, DeviceMatrix v, DeviceMatrix out, long round) {
    double[] logs = x.toDoubles();
    double[] model = y.toDoubles();
    double[] along = v.toDoubles();
    double[] product = new double[along.length];
    for (int r = 0; r < localNodes(); r++) {
      double[][] a = data.train.samples[data.begin + r];
      double[] b = data.train.targets[data.begin + r];
      for (int k = 0; k < a.length; k++) {
        double w =
            data.loss.curvature(dot(a[k], model, r * q), b[k]) * dot(a[k], along, r * q) / a.length;
        for (int c = 0; c < q; c++) {
          product[r * q + c] += w * a[k][c];
        }
      }
      for (int c = 0; c < q; c++) {
        product[r * q + c] += penalty(logs, r, c) * along[r * q + c];
      }
    }
    out.upload(product);
  }

  @Override
  public void lowerMixedVector(
      DeviceMatrix x, DeviceMatrix y, DeviceMatrix v, DeviceMatrix out, long round) {
    double[] model = y.toDoubles();
    double[] along = v.toDoubles();
    inUpper(x, (at, c) -> model[at] * along[at], out);
  }

  @Override
  public void lowerValues(DeviceMatrix x, DeviceMatrix y, DeviceMatrix out) {
    double[] logs = x.toDoubles();
    double[] model = y.toDoubles();
    double[] values = new double[localNodes()];
    for (int r = 0; r < values.length; r++) {
      values[r] = loss(data.train, model, r * q, r);
      for (int c = 0; c < q; c++) {
        values[r] += penalty(logs, r, c) * model[r * q + c] * model[r * q + c] / 2;
      }
    }
    out.upload(values);
  }

  @Override
  public void close() {}

  /** What the tuning of penalties is made of. */
  public static final class Builder extends NodesBuilder<Builder> {
    private final Loss loss;
    private final Samples train;
    private final Samples validation;
    private boolean shared;

    private Builder(Loss loss, Samples train, Samples validation) {
      super(train.samples.length);
      if (train.samples.length != validation.samples.length
          || train.samples[0][0].length != validation.samples[0][0].length) {
        throw new IllegalArgumentException(
            "Training samples are of %d nodes and %d features, validation samples of %d and %d: give both alike"
                .formatted(
                    train.samples.length,
                    train.samples[0][0].length,
                    validation.samples.length,
                    validation.samples[0][0].length));
      }
      this.loss = loss;
      this.train = train;
      this.validation = validation;
    }

    @Override
    Builder self() {
      return this;
    }

    /** One penalty for all features. Default: one for each. */
    public Builder shared() {
      this.shared = true;
      return this;
    }

    /** The problem; queue and type are those of the matrices that it is given. */
    public PenaltyTuning build() {
      Builder copy = new Builder(loss, train, validation);
      copy.shared = shared;
      return new PenaltyTuning(copy.nodes(begin, end));
    }
  }
}
