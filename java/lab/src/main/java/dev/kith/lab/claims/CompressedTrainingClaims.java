package dev.kith.lab.claims;

import dev.kith.compress.Compressor;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.StepRule;
import dev.kith.lab.data.DataSets;
import dev.kith.lab.data.Scaling;
import dev.kith.network.Network;
import dev.kith.optimizer.ChocoSgd;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.NonFiniteException;
import dev.kith.optimizer.Optimizer;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.MultilayerPerceptron;
import dev.kith.problem.Partition;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.LongToDoubleFunction;

/** Experiments on models that are trained with compressed messages. */
final class CompressedTrainingClaims {
  private static final long SEED = 1;
  private static final int NODES = 8;
  private static final double[] STEP_SIZES = {0.01, 0.03, 0.1, 0.3, 1};
  private static final double[] CONSENSUS_STEP_SIZES = {0.02, 0.04, 0.08, 0.16};

  /** What the grid gives at scale ci, where it is not searched anew. */
  private static final Tuned ALONE = new Tuned(0.1, OptionalDouble.empty());

  private static final Tuned FULL = new Tuned(0.3, OptionalDouble.empty());
  private static final Tuned COMPRESSED = new Tuned(0.3, OptionalDouble.of(0.08));

  private CompressedTrainingClaims() {}

  /** How a training run ended, and what its messages weighed. */
  private record Trained(double accuracy, double bytes) {}

  /**
   * What is tuned for every method by itself.
   *
   * @param consensusStepSize of CHOCO-SGD; empty: D-SGD
   */
  private record Tuned(double stepSize, OptionalDouble consensusStepSize) {
    @Override
    public String toString() {
      return "step "
          + stepSize
          + (consensusStepSize.isPresent() ? ", gamma " + consensusStepSize.getAsDouble() : "");
    }
  }

  /** The model, and what it is trained on. */
  private record Task(
      Setting setting, ClassificationData train, ClassificationData test, int hidden, int rounds) {
    int[][] parts() {
      return Partition.iid().split(train, NODES, SEED);
    }
  }

  /**
   * CHOCO-SGD with 1 % of the numbers against D-SGD with all of them, and nodes alone, by the
   * protocol of the source: a ring of 8, samples dealt at random, Nesterov momentum 0.9, the step
   * size divided by 10 after 1/2 and 3/4 of the training, and step size and consensus step size
   * tuned for every method by itself, here on a fifth of the training samples.
   */
  static Measurement chocoTraining(Setting setting) {
    int rounds = setting.pick(1000, 3000);
    int hidden = setting.pick(64, 128);
    DataSets data =
        DataSets.load(
            setting.scale() == Setting.Scale.CI ? "digits" : "mnist",
            Optional.empty(),
            "last",
            Scaling.UNIT,
            SEED);
    MixingSchedule ring = MixingSchedule.parse("ring", "metropolis", NODES, SEED);
    MixingSchedule silent = MixingSchedule.constant(MixingMatrix.identity(NODES));
    ClassificationData.Split held = data.train().split(data.train().samples() / 5, SEED);
    Task tuning = new Task(setting, held.train(), held.test(), hidden, rounds);
    Task task = new Task(setting, data.train(), data.test(), hidden, rounds);
    boolean tune = setting.scale() == Setting.Scale.FULL;
    Tuned alone = tune ? best(tuning, silent, false) : ALONE;
    Tuned full = tune ? best(tuning, ring, false) : FULL;
    Tuned compressed = tune ? best(tuning, ring, true) : COMPRESSED;
    Trained aloneRun = train(task, silent, alone);
    Trained fullRun = train(task, ring, full);
    Trained chocoRun =
        train(
            task,
            ring,
            setting.sabotaged()
                ? new Tuned(compressed.stepSize(), OptionalDouble.of(1e-9))
                : compressed);
    return Measurement.under(
            "%s iid, ring of 8, mlp:%d, batch 32, Nesterov 0.9, %d rounds, a tenth of the step after 1/2 and 3/4, top-k:0.01; tuned on a fifth of the training samples: D-SGD %s, CHOCO-SGD %s, alone %s"
                .formatted(data.train().name(), hidden, rounds, full, compressed, alone))
        .with("accuracyLost", fullRun.accuracy() - chocoRun.accuracy())
        .with(
            "gainKept",
            (chocoRun.accuracy() - aloneRun.accuracy())
                / (fullRun.accuracy() - aloneRun.accuracy()))
        .with("bytesRatio", fullRun.bytes() / chocoRun.bytes())
        .with("dsgdAccuracy", fullRun.accuracy())
        .with("chocoAccuracy", chocoRun.accuracy())
        .with("aloneAccuracy", aloneRun.accuracy());
  }

  /** The settings of the grid with the highest accuracy on the samples that were held back. */
  private static Tuned best(Task task, MixingSchedule schedule, boolean compressed) {
    double highest = -1;
    Tuned best = new Tuned(0, OptionalDouble.empty());
    for (double stepSize : STEP_SIZES) {
      for (double gamma : compressed ? CONSENSUS_STEP_SIZES : new double[] {0}) {
        Tuned tuned =
            new Tuned(stepSize, compressed ? OptionalDouble.of(gamma) : OptionalDouble.empty());
        double accuracy = train(task, schedule, tuned).accuracy();
        if (accuracy > highest) {
          highest = accuracy;
          best = tuned;
        }
      }
    }
    return best;
  }

  private static Trained train(Task task, MixingSchedule schedule, Tuned tuned) {
    LongToDoubleFunction decay =
        t -> t < task.rounds() / 2 ? 1 : t < task.rounds() * 3L / 4 ? 0.1 : 0.01;
    StepRule rule = new StepRule.Nesterov(tuned.stepSize(), 0.9);
    try (MultilayerPerceptron problem =
            MultilayerPerceptron.builder(
                    task.setting().queue(), task.train(), task.parts(), task.hidden())
                .test(task.test())
                .batch(32)
                .seed(SEED)
                .build();
        Network network = Network.builder(schedule).build();
        DeviceMatrix start = problem.initial(SEED);
        Optimizer optimizer =
            tuned.consensusStepSize().isEmpty()
                ? DecentralizedSgd.builder(problem, network, start)
                    .rule(rule)
                    .schedule(decay)
                    .build()
                : ChocoSgd.builder(problem, network, start)
                    .rule(rule)
                    .schedule(decay)
                    .compressor(Compressor.parse("top-k:0.01"))
                    .consensusStepSize(tuned.consensusStepSize().getAsDouble())
                    .build()) {
      for (int round = 0; round < task.rounds(); round++) {
        optimizer.step();
      }
      return new Trained(
          problem.evaluate(optimizer.parameters()).meanAccuracy(), network.meter().bytes());
    } catch (NonFiniteException e) {
      return new Trained(0, Double.NaN);
    }
  }
}
