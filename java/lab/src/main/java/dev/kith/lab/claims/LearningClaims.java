package dev.kith.lab.claims;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.FailingSchedule;
import dev.kith.graph.Failures;
import dev.kith.graph.Graph;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.RandomGraphs;
import dev.kith.graph.WeightRule;
import dev.kith.lab.data.DataSets;
import dev.kith.lab.data.Scaling;
import dev.kith.network.Network;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.SingleMerge;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.MultilayerPerceptron;
import dev.kith.problem.Partition;
import java.util.Arrays;
import java.util.Optional;

/** Experiments on trained networks: one merge at the end, and nodes that disappear. */
final class LearningClaims {
  private static final long SEED = 1;

  private LearningClaims() {}

  private static DataSets data(Setting setting) {
    String name = setting.scale() == Setting.Scale.CI ? "digits" : "mnist";
    return DataSets.load(name, Optional.empty(), "last", Scaling.UNIT, SEED);
  }

  // ---- single-merge ----

  /** What one run of the merging experiment ended with. */
  private record Merge(double local, double merged) {}

  /** How one run of the merging experiment talks. */
  private record Talk(MixingSchedule schedule, boolean commonStart, int denseBegin, int denseEnd) {}

  static Measurement singleMerge(Setting setting) {
    int nodes = 16;
    int rounds = 200;
    int window = rounds / 20;
    DataSets data = data(setting);
    int hidden = setting.pick(64, 128);
    MixingSchedule sparse = MixingSchedule.sparseGossip(nodes, 0.2, SEED);
    MixingSchedule silent = MixingSchedule.constant(MixingMatrix.identity(nodes));
    MixingSchedule server = MixingSchedule.constant(MixingMatrix.uniform(nodes));
    Talk strangers = new Talk(silent, false, 0, 0);
    Merge gossip =
        merge(
            setting,
            data,
            hidden,
            rounds,
            setting.sabotaged() ? strangers : new Talk(sparse, true, 0, 0));
    Merge fedAvg = merge(setting, data, hidden, rounds, new Talk(server, true, 0, 0));
    Merge apart = merge(setting, data, hidden, rounds, strangers);
    Merge early = merge(setting, data, hidden, rounds, new Talk(sparse, true, 0, window));
    Merge late =
        merge(setting, data, hidden, rounds, new Talk(sparse, true, rounds - window, rounds));
    return Measurement.under(
            "%s, 16 nodes, dirichlet:0.1, mlp:%d, batch 32, step 0.1, %d rounds x 10 local steps, R = 0.2, dense windows are the first and the last twentieth"
                .formatted(data.train().name(), hidden, rounds))
        .with("mergedMinusLocal", gossip.merged() - gossip.local())
        .with("mergedMinusFedAvg", gossip.merged() - fedAvg.merged())
        .with("differentStartMerged", apart.merged())
        .with("lateMinusEarlyWindow", late.local() - early.local())
        .with("localAccuracy", gossip.local())
        .with("mergedAccuracy", gossip.merged());
  }

  private static Merge merge(Setting setting, DataSets data, int hidden, int rounds, Talk talk) {
    int nodes = talk.schedule().nodes();
    int[][] parts = Partition.dirichlet(0.1).split(data.train(), nodes, SEED);
    try (MultilayerPerceptron problem = model(setting, data, parts, hidden, 32);
        Network network = Network.builder(talk.schedule()).build();
        DeviceMatrix start =
            talk.commonStart() ? problem.initial(SEED) : problem.initialOfEachNode(SEED);
        SingleMerge optimizer =
            SingleMerge.builder(problem, network, start)
                .stepSize(0.1)
                .localSteps(10)
                .denseWindow(talk.denseBegin(), talk.denseEnd())
                .build()) {
      for (int round = 0; round < rounds; round++) {
        optimizer.step();
      }
      double local = problem.evaluate(optimizer.parameters()).meanAccuracy();
      optimizer.merge();
      return new Merge(local, problem.evaluate(optimizer.parameters()).meanAccuracy());
    }
  }

  private static MultilayerPerceptron model(
      Setting setting, DataSets data, int[][] parts, int hidden, int batch) {
    return MultilayerPerceptron.builder(setting.queue(), data.train(), parts, hidden)
        .test(data.test())
        .batch(batch)
        .seed(SEED)
        .build();
  }

  // ---- disaster ----

  static Measurement disaster(Setting setting) {
    int nodes = 50;
    int rounds = setting.pick(40, 100);
    int hidden = setting.pick(64, 128);
    DataSets data = data(setting);
    Graph graph = RandomGraphs.barabasiAlbert(nodes, 2, SEED);
    int[] lost = Failures.highestDegree(graph, 0.2);
    Failures disaster = Failures.builder().removeNodes(5, lost).build();
    Failures none = Failures.builder().build();
    int[][] everywhere = Partition.iid().split(data.train(), nodes, SEED);
    int[][] survivorsOnly = amongSurvivors(data.train(), nodes, lost);
    double baseline = survive(setting, data, graph, none, everywhere, new int[0], hidden, rounds);
    double dataLost = survive(setting, data, graph, disaster, everywhere, lost, hidden, rounds);
    double relaysLost =
        survive(
            setting,
            data,
            graph,
            setting.sabotaged() ? none : disaster,
            survivorsOnly,
            lost,
            hidden,
            rounds);
    return Measurement.under(
            "%s iid, Barabasi-Albert 50 nodes m = 2, mlp:%d, the 20 %% of highest degree gone from round 5 of %d, 5 local steps of batch 32, step 0.1"
                .formatted(data.train().name(), hidden, rounds))
        .with("connectivityExcess", (baseline - relaysLost) - 0.5 * (baseline - dataLost))
        .with("keptShare", Math.min(dataLost, relaysLost) / baseline)
        .with("connectivityShare", (baseline - relaysLost) / (baseline - dataLost))
        .with("baselineAccuracy", baseline)
        .with("dataLostAccuracy", dataLost)
        .with("relaysLostAccuracy", relaysLost);
  }

  /** All samples dealt to the nodes that stay; the others hold none and only relay. */
  private static int[][] amongSurvivors(ClassificationData data, int nodes, int[] lost) {
    int[][] dealt = Partition.iid().split(data, nodes - lost.length, SEED);
    int[][] parts = new int[nodes][0];
    int next = 0;
    for (int node = 0; node < nodes; node++) {
      if (Arrays.binarySearch(lost, node) < 0) {
        parts[node] = dealt[next++];
      }
    }
    return parts;
  }

  /** Mean test accuracy of the nodes outside {@code lost} after a run. */
  private static double survive(
      Setting setting,
      DataSets data,
      Graph graph,
      Failures failures,
      int[][] parts,
      int[] lost,
      int hidden,
      int rounds) {
    MixingSchedule schedule = FailingSchedule.of(graph, WeightRule.parse("metropolis"), failures);
    try (MultilayerPerceptron problem = model(setting, data, parts, hidden, 32);
        Network network = Network.builder(schedule).build();
        DeviceMatrix start = problem.initial(SEED);
        DecentralizedSgd optimizer =
            DecentralizedSgd.builder(problem, network, start).stepSize(0.1).localSteps(5).build()) {
      for (int round = 0; round < rounds; round++) {
        optimizer.step();
      }
      double[] accuracy = problem.evaluate(optimizer.parameters()).accuracy();
      double sum = 0;
      for (int node = 0; node < accuracy.length; node++) {
        sum += Arrays.binarySearch(lost, node) < 0 ? accuracy[node] : 0;
      }
      return sum / (accuracy.length - lost.length);
    }
  }
}
