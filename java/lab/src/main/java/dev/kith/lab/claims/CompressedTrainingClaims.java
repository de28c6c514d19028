package dev.kith.lab.claims;

import dev.kith.compress.Compressor;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.lab.data.DataSets;
import dev.kith.lab.data.Scaling;
import dev.kith.network.Network;
import dev.kith.optimizer.ChocoSgd;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.Optimizer;
import dev.kith.problem.MultilayerPerceptron;
import dev.kith.problem.Partition;
import java.util.Optional;
import java.util.OptionalDouble;

/** Experiments on models that are trained with compressed messages. */
final class CompressedTrainingClaims {
  private static final long SEED = 1;
  private static final int NODES = 8;

  private CompressedTrainingClaims() {}

  /** How a training run ended, and what its messages weighed. */
  private record Trained(double accuracy, double bytes) {}

  /** CHOCO-SGD with 1 % of the numbers against D-SGD with all of them, and nodes alone. */
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
    double gamma = setting.sabotaged() ? 1e-9 : 0.04;
    Trained alone = train(setting, data, hidden, rounds, silent, OptionalDouble.empty());
    Trained full = train(setting, data, hidden, rounds, ring, OptionalDouble.empty());
    Trained choco = train(setting, data, hidden, rounds, ring, OptionalDouble.of(gamma));
    return Measurement.under(
            "%s, ring of 8, dirichlet:0.5, mlp:%d, batch 32, step 0.1, %d rounds, top-k:0.01, gamma 0.04"
                .formatted(data.train().name(), hidden, rounds))
        .with("accuracyLost", full.accuracy() - choco.accuracy())
        .with(
            "gainKept",
            (choco.accuracy() - alone.accuracy()) / (full.accuracy() - alone.accuracy()))
        .with("bytesRatio", full.bytes() / choco.bytes())
        .with("dsgdAccuracy", full.accuracy())
        .with("chocoAccuracy", choco.accuracy())
        .with("aloneAccuracy", alone.accuracy());
  }

  /** D-SGD, or CHOCO-SGD with a consensus step size. */
  private static Trained train(
      Setting setting,
      DataSets data,
      int hidden,
      int rounds,
      MixingSchedule schedule,
      OptionalDouble gamma) {
    int[][] parts = Partition.dirichlet(0.5).split(data.train(), NODES, SEED);
    try (MultilayerPerceptron problem =
            MultilayerPerceptron.builder(setting.queue(), data.train(), parts, hidden)
                .test(data.test())
                .batch(32)
                .seed(SEED)
                .build();
        Network network = Network.builder(schedule).build();
        DeviceMatrix start = problem.initial(SEED);
        Optimizer optimizer =
            gamma.isEmpty()
                ? DecentralizedSgd.builder(problem, network, start).stepSize(0.1).build()
                : ChocoSgd.builder(problem, network, start)
                    .stepSize(0.1)
                    .compressor(Compressor.parse("top-k:0.01"))
                    .consensusStepSize(gamma.getAsDouble())
                    .build()) {
      for (int round = 0; round < rounds; round++) {
        optimizer.step();
      }
      return new Trained(
          problem.evaluate(optimizer.parameters()).meanAccuracy(), network.meter().bytes());
    }
  }
}
