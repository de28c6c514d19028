package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.Reduction;
import dev.kith.kernel.StepRule;
import dev.kith.lab.data.DataSets;
import dev.kith.lab.data.Scaling;
import dev.kith.network.ChannelNoise;
import dev.kith.network.Network;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.GradientTracking;
import dev.kith.optimizer.Optimizer;
import dev.kith.optimizer.VraGradientTracking;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.Partition;
import dev.kith.problem.SoftmaxRegression;
import java.util.Optional;

/** Experiments on gradient tracking over channels that disturb what they carry. */
final class InexactClaims {
  private static final int NODES = 10;
  private static final int SAMPLES = 200;
  private static final double REGULARIZATION = 0.1;
  private static final double NOISE = 0.1;
  private static final double STEP_SIZE = 0.2;
  private static final double DAMPING_ROUNDS = 100;
  private static final long SEED = 1;

  private InexactClaims() {}

  /** Mean squared error against rounds, of VRA-DGT, VRA-DSGT and plain tracking. */
  static Measurement rate(Setting setting) {
    int first = 1000;
    int last = setting.pick(4000, 20_000);
    ClassificationData data = data();
    double[] optimum = optimum(setting, data);
    double dampingRounds = setting.sabotaged() ? Double.POSITIVE_INFINITY : DAMPING_ROUNDS;
    double[] dgt;
    double[] dsgt;
    double[] plain;
    double exact;
    try (SoftmaxRegression full = problem(setting, data, NODES, 0);
        SoftmaxRegression sampled = problem(setting, data, NODES, 4);
        DeviceMatrix start = full.initial(SEED)) {
      dgt =
          curve(
              network ->
                  VraGradientTracking.builder(full, network, start)
                      .stepSize(STEP_SIZE)
                      .dampingRounds(dampingRounds)
                      .build(),
              optimum,
              first,
              last);
      dsgt =
          curve(
              network ->
                  VraGradientTracking.builder(sampled, network, start)
                      .hybrid(true)
                      .stepSize(STEP_SIZE)
                      .dampingRounds(dampingRounds)
                      .build(),
              optimum,
              first,
              last);
      plain =
          curve(
              network -> GradientTracking.builder(full, network, start).stepSize(STEP_SIZE).build(),
              optimum,
              first / 4,
              first);
      try (Network quiet = network().build();
          Optimizer tracking =
              GradientTracking.builder(full, quiet, start).stepSize(STEP_SIZE).build()) {
        for (int k = 0; k < first / 4; k++) {
          tracking.step();
        }
        exact = error(tracking.parameters(), optimum);
      }
    }
    return Measurement.under(
            "two-class logistic regression of "
                + SAMPLES
                + " digits (below 5 or not), lambda "
                + REGULARIZATION
                + ", ring of "
                + NODES
                + ", noise of standard deviation "
                + NOISE
                + " on every number of every link, a_0 = "
                + STEP_SIZE
                + ", k0 = "
                + DAMPING_ROUNDS
                + ", DSGT with batches of 4, rounds "
                + first
                + " to "
                + last
                + ", plain tracking "
                + first / 4
                + " to "
                + first
                + ", f64")
        .with("dgtSlope", dgt[0])
        .with("dsgtSlope", dsgt[0])
        .with("plainGrowth", plain[1])
        .with("dgtError", dgt[2])
        .with("dsgtError", dsgt[2])
        .with("plainError", plain[2])
        .with("plainErrorWithoutNoise", exact);
  }

  private static Network.Builder network() {
    MixingMatrix w = WeightRule.parse("metropolis").weights(Topologies.ring(NODES));
    return Network.builder(MixingSchedule.constant(w));
  }

  private interface Factory {
    Optimizer create(Network network);
  }

  /**
   * The slope of log error against log round, the last error over the first, and the last error;
   * each error is the mean over a fifth of the rounds up to it.
   */
  private static double[] curve(Factory factory, double[] optimum, int first, int last) {
    int points = 8;
    double[] logRound = new double[points];
    double[] logError = new double[points];
    try (Network network =
            network().channelNoise(new ChannelNoise(ChannelNoise.Kind.LINK, NOISE, SEED)).build();
        Optimizer optimizer = factory.create(network)) {
      for (int p = 0; p < points; p++) {
        double round = first * Math.pow((double) last / first, p / (points - 1.0));
        double sum = 0;
        int count = 0;
        int end = (int) Math.round(round);
        for (long from = optimizer.round(); from < end; from++) {
          optimizer.step();
          if (from >= 0.8 * end && from % 10 == 0) {
            sum += error(optimizer.parameters(), optimum);
            count++;
          }
        }
        logRound[p] = Math.log(end);
        logError[p] = Math.log(sum / count);
      }
    }
    double slope = slope(logRound, logError);
    return new double[] {
      slope, Math.exp(logError[points - 1] - logError[0]), Math.exp(logError[points - 1])
    };
  }

  /** Of the line of least squares. */
  static double slope(double[] x, double[] y) {
    double meanX = 0;
    double meanY = 0;
    for (int k = 0; k < x.length; k++) {
      meanX += x[k] / x.length;
      meanY += y[k] / x.length;
    }
    double product = 0;
    double square = 0;
    for (int k = 0; k < x.length; k++) {
      product += (x[k] - meanX) * (y[k] - meanY);
      square += (x[k] - meanX) * (x[k] - meanX);
    }
    return product / square;
  }

  /** (1/n) sum_i |x_i - x*|^2. */
  private static double error(DeviceMatrix x, double[] optimum) {
    try (DeviceMatrix target = DeviceMatrix.row(x.queue(), optimum);
        DeviceMatrix squares = x.like(1, x.rows(), DType.F64)) {
      Reduction.rows(Reduction.Kind.DISTANCE, x, target, squares);
      double sum = 0;
      for (double square : squares.toDoubles()) {
        sum += square / x.rows();
      }
      return sum;
    }
  }

  /** Digits 0 to 4 against 5 to 9. */
  private static ClassificationData data() {
    ClassificationData digits =
        DataSets.load("digits", Optional.empty(), "last", Scaling.UNIT, SEED).train();
    float[] values = new float[SAMPLES * digits.features()];
    int[] labels = new int[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
      for (int c = 0; c < digits.features(); c++) {
        values[i * digits.features() + c] = digits.value(i, c);
      }
      labels[i] = digits.label(i) < 5 ? 0 : 1;
    }
    return ClassificationData.of("low-digits", digits.features(), 2, values, labels);
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

  /** By full gradients with Nesterov's momentum on one node. */
  private static double[] optimum(Setting setting, ClassificationData data) {
    try (SoftmaxRegression problem = problem(setting, data, 1, 0);
        Network alone = Network.builder(MixingSchedule.constant(MixingMatrix.identity(1))).build();
        DeviceMatrix start = problem.initial(SEED);
        DecentralizedSgd optimizer =
            DecentralizedSgd.builder(problem, alone, start)
                .rule(new StepRule.Nesterov(STEP_SIZE, 0.8))
                .build()) {
      for (int step = 0; step < 1500; step++) {
        optimizer.step();
      }
      return optimizer.parameters().toDoubles();
    }
  }
}
