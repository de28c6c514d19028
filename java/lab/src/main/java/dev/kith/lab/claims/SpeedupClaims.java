package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.Partition;
import dev.kith.problem.Problem;
import dev.kith.problem.SoftmaxRegression;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;

/** Experiments on noise that averages out: n nodes do the work of a batch n times as large. */
final class SpeedupClaims {
  private static final int FEATURES = 50;
  private static final int SAMPLES = 8000;
  private static final double REGULARIZATION = 0.01;
  private static final long SEED = 1;

  /** Points of the second half of a run over which a plateau is averaged. */
  private static final int POINTS = 100;

  private SpeedupClaims() {}

  static Measurement linearSpeedup(Setting setting) {
    int steps = setting.pick(10_000, 20_000);
    ClassificationData data = logisticData();
    // Two columns of softmax: the Hessian of a sample is (diag(p) - p p^T) (x) a a^T, at most 1/2.
    double smoothness = 0.5 * largestEigenvalue(data) + REGULARIZATION;
    double stepSize = Math.sqrt(16.0 / steps) / smoothness;
    double optimum = optimum(setting, data, smoothness);
    MixingMatrix ring16 = WeightRule.parse("metropolis").weights(Topologies.ring(16));
    MixingMatrix ring8 = WeightRule.parse("metropolis").weights(Topologies.ring(8));
    double ring = plateau(setting, data, ring16, stepSize, steps) - optimum;
    double complete = plateau(setting, data, MixingMatrix.uniform(16), stepSize, steps) - optimum;
    double half = plateau(setting, data, ring8, stepSize, steps) - optimum;
    return Measurement.under(
            "logistic regression, p = 50, iid, batch 1, T = %d, eta = sqrt(16 / T) / L, gap of the mean model averaged over the second half, f64"
                .formatted(steps))
        .with("ringOverComplete", ring / complete)
        .with("plateauRatio8to16", half / ring)
        .with("ringGap", ring)
        .with("completeGap", complete);
  }

  /** Labels drawn from a logistic model over normal features. */
  private static ClassificationData logisticData() {
    float[] values = new float[SAMPLES * FEATURES];
    int[] labels = new int[SAMPLES];
    SharedRandom truth = new SharedRandom(SEED, Stream.DATA, 0, 1);
    for (int i = 0; i < SAMPLES; i++) {
      SharedRandom sample = new SharedRandom(SEED, Stream.DATA, i, 0);
      double score = 0;
      for (int c = 0; c < FEATURES; c++) {
        float value = (float) sample.normal(c);
        values[i * FEATURES + c] = value;
        score += value * truth.normal(c) * 3 / Math.sqrt(FEATURES);
      }
      labels[i] = sample.uniform(FEATURES) < 1 / (1 + Math.exp(-score)) ? 1 : 0;
    }
    return ClassificationData.of("logistic", FEATURES, 2, values, labels);
  }

  /** Of A^T A / N with a column of ones for the bias, by power iteration. */
  private static double largestEigenvalue(ClassificationData data) {
    double[] v = new double[FEATURES + 1];
    Arrays.fill(v, 1);
    double eigenvalue = 0;
    for (int iteration = 0; iteration < 100; iteration++) {
      double[] next = new double[FEATURES + 1];
      for (int i = 0; i < SAMPLES; i++) {
        double dot = v[FEATURES];
        for (int c = 0; c < FEATURES; c++) {
          dot += data.value(i, c) * v[c];
        }
        for (int c = 0; c < FEATURES; c++) {
          next[c] += dot * data.value(i, c) / SAMPLES;
        }
        next[FEATURES] += dot / SAMPLES;
      }
      eigenvalue = Math.sqrt(Arrays.stream(next).map(a -> a * a).sum());
      for (int c = 0; c <= FEATURES; c++) {
        v[c] = next[c] / eigenvalue;
      }
    }
    return eigenvalue;
  }

  /** The minimum of F, by full gradients with Nesterov's momentum on one node. */
  private static double optimum(Setting setting, ClassificationData data, double smoothness) {
    try (SoftmaxRegression problem = problem(setting, data, 1, 0);
        Network alone = Network.builder(MixingSchedule.constant(MixingMatrix.identity(1))).build();
        DeviceMatrix start = problem.initial(SEED);
        DecentralizedSgd optimizer =
            DecentralizedSgd.builder(problem, alone, start)
                .rule(new StepRule.Nesterov(1 / smoothness, 0.9))
                .build()) {
      for (int step = 0; step < 600; step++) {
        optimizer.step();
      }
      return value(problem, optimizer.parameters());
    }
  }

  private static double plateau(
      Setting setting, ClassificationData data, MixingMatrix w, double stepSize, int steps) {
    try (SoftmaxRegression honest = problem(setting, data, w.nodes(), 1);
        SoftmaxRegression whole = problem(setting, data, 1, 0);
        Network network = Network.builder(MixingSchedule.constant(w)).build();
        DeviceMatrix start = honest.initial(SEED);
        DeviceMatrix mean = start.like();
        DecentralizedSgd optimizer =
            DecentralizedSgd.builder(
                    setting.sabotaged() ? new SameSample(honest) : honest, network, start)
                .stepSize(stepSize)
                .build()) {
      double sum = 0;
      int every = steps / 2 / POINTS;
      for (int step = 1; step <= steps; step++) {
        optimizer.step();
        if (step > steps / 2 && step % every == 0) {
          network.observeAverage(optimizer.parameters(), mean);
          sum += value(whole, mean) / POINTS;
        }
      }
      return sum;
    }
  }

  private static SoftmaxRegression problem(
      Setting setting, ClassificationData data, int nodes, int batch) {
    return SoftmaxRegression.builder(
            setting.queue(), data, Partition.iid().split(data, nodes, SEED))
        .dtype(DType.F64)
        .batch(batch)
        .regularization(REGULARIZATION)
        .seed(SEED)
        .build();
  }

  private static double value(SoftmaxRegression whole, DeviceMatrix x) {
    try (DeviceMatrix out = x.like(1, 1, DType.F64)) {
      whole.values(x, out);
      return out.get(0, 0);
    }
  }

  /** The sabotage: every node follows the sample of node 0, so that nothing averages out. */
  private record SameSample(Problem honest) implements Problem {
    @Override
    public Layout layout() {
      return honest.layout();
    }

    @Override
    public int nodes() {
      return honest.nodes();
    }

    @Override
    public int firstNode() {
      return honest.firstNode();
    }

    @Override
    public int localNodes() {
      return honest.localNodes();
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      honest.gradient(x, g, round);
      try (DeviceMatrix first = g.row(0)) {
        for (int i = 1; i < g.rows(); i++) {
          try (DeviceMatrix row = g.row(i)) {
            row.copyFrom(first);
          }
        }
      }
    }

    @Override
    public void close() {
      honest.close();
    }
  }
}
