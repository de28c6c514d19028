package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.optimizer.DataParallelPowerSgd;
import dev.kith.optimizer.DataParallelPowerSgd.Errors;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.MultilayerPerceptron;
import dev.kith.problem.Partition;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.stream.IntStream;

/** Experiments on what error feedback is worth to PowerSGD. */
final class PowerSgdClaims {
  private static final int NODES = 4;
  private static final int FEATURES = 32;
  private static final int CLASSES = 10;
  private static final int TRAIN = 3200;
  private static final int TEST = 800;
  private static final int STEPS = 1500;

  private PowerSgdClaims() {}

  /** How a run ended: mean training loss and test accuracy. */
  private record Trained(double loss, double accuracy) {
    static Trained mean(Trained... runs) {
      return new Trained(
          Arrays.stream(runs).mapToDouble(Trained::loss).average().orElseThrow(),
          Arrays.stream(runs).mapToDouble(Trained::accuracy).average().orElseThrow());
    }
  }

  /** SGD, PowerSGD of rank 2 with error feedback, and without. */
  static Measurement errorFeedback(Setting setting) {
    int seeds = setting.pick(1, 3);
    Errors feedback = setting.sabotaged() ? Errors.NONE : Errors.AGGREGATED;
    // A rank above all sides loses nothing: plain SGD, with the same momentum.
    Trained sgd = train(setting, seeds, FEATURES, Errors.NONE);
    Trained with = train(setting, seeds, 2, feedback);
    Trained without = train(setting, seeds, 2, Errors.NONE);
    return Measurement.under(
            ("%d Gaussian clusters in %d dimensions, centres 0.6 N(0, 1), %d samples, mlp:64, %d nodes,"
                    + " batch 32, rank 2, momentum 0.9, step 0.1 for %d steps and 0.01 for %d, where"
                    + " momentum and errors begin anew; mean over seeds 1 to %d")
                .formatted(
                    CLASSES, FEATURES, TRAIN, NODES, STEPS * 7 / 10, STEPS - STEPS * 7 / 10, seeds))
        .with("efOverSgd", with.loss() / sgd.loss())
        .with("accuracyLost", sgd.accuracy() - with.accuracy())
        .with("noneOverEf", without.loss() / with.loss())
        .with("sgdLoss", sgd.loss())
        .with("efLoss", with.loss())
        .with("noneLoss", without.loss());
  }

  private static Trained train(Setting setting, int seeds, int rank, Errors errors) {
    return Trained.mean(
        IntStream.rangeClosed(1, seeds)
            .mapToObj(seed -> train(setting, (long) seed, rank, errors))
            .toArray(Trained[]::new));
  }

  private static Trained train(Setting setting, long seed, int rank, Errors errors) {
    ClassificationData.Split data = clusters(seed).split(TEST, seed);
    int[][] parts = Partition.iid().split(data.train(), NODES, seed);
    try (MultilayerPerceptron problem =
            MultilayerPerceptron.builder(setting.queue(), data.train(), parts, 64)
                .test(data.test())
                .batch(32)
                .seed(seed)
                .build();
        Network network =
            Network.builder(MixingSchedule.parse("complete", "metropolis", NODES, seed)).build();
        DeviceMatrix start = problem.initial(seed);
        DeviceMatrix x = start.like(NODES, start.cols(), DType.F32);
        DeviceMatrix losses = start.like(1, NODES, DType.F64)) {
      int first = STEPS * 7 / 10;
      try (DataParallelPowerSgd optimizer =
          optimizer(problem, network, start, rank, errors, 0.1, seed)) {
        for (int step = 0; step < first; step++) {
          optimizer.step();
        }
        x.copyFrom(optimizer.parameters());
      }
      try (DeviceMatrix middle = x.row(0);
          DataParallelPowerSgd optimizer =
              optimizer(problem, network, middle, rank, errors, 0.01, seed)) {
        for (int step = first; step < STEPS; step++) {
          optimizer.step();
        }
        problem.values(optimizer.parameters(), losses);
        return new Trained(
            Arrays.stream(losses.toDoubles()).average().orElseThrow(),
            problem.evaluate(optimizer.parameters()).meanAccuracy());
      }
    }
  }

  private static DataParallelPowerSgd optimizer(
      MultilayerPerceptron problem,
      Network network,
      DeviceMatrix start,
      int rank,
      Errors errors,
      double stepSize,
      long seed) {
    return DataParallelPowerSgd.builder(problem, network, start)
        .rank(rank)
        .errors(errors)
        .momentum(0.9)
        .stepSize(stepSize)
        .seed(seed)
        .build();
  }

  /** As many samples of every class: its centre plus N(0, 1). */
  private static ClassificationData clusters(long seed) {
    float[] centres = new float[CLASSES * FEATURES];
    SharedRandom random = new SharedRandom(seed, Stream.DATA, 0, 0);
    for (int c = 0; c < centres.length; c++) {
      centres[c] = (float) (0.6 * random.normal(c));
    }
    int samples = TRAIN + TEST;
    float[] values = new float[samples * FEATURES];
    int[] labels = new int[samples];
    SharedRandom noise = new SharedRandom(seed, Stream.DATA, 0, 1);
    for (int k = 0; k < values.length; k++) {
      int sample = k / FEATURES;
      labels[sample] = sample % CLASSES;
      values[k] = centres[labels[sample] * FEATURES + k % FEATURES] + (float) noise.normal(k);
    }
    return ClassificationData.of("clusters", FEATURES, CLASSES, values, labels);
  }
}
