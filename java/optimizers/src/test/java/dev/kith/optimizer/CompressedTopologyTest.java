package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.Compressor;
import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.FailingSchedule;
import dev.kith.graph.Failures;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Under which graphs the compressed algorithms run, and which they refuse. */
class CompressedTopologyTest {
  private static final int N = 8;
  private static final int D = 6;
  private static final Compressor TOP = Compressor.parse("top-k:2");

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  /** Symmetric and fixed. */
  private static List<MixingSchedule> fixed() {
    List<MixingSchedule> all = new ArrayList<>();
    for (String name :
        List.of("ring", "path", "star", "complete", "hypercube", "torus:2x4", "erdos-renyi:0.5")) {
      for (String weights : List.of("metropolis", "lazy:metropolis", "best-constant")) {
        all.add(MixingSchedule.parse(name, weights, N, 1));
      }
    }
    return all;
  }

  /** Doubly stochastic, directed or changing from round to round. */
  private static List<MixingSchedule> others() {
    return List.of(
        MixingSchedule.parse("exponential", "metropolis", N, 1),
        MixingSchedule.onePeerExponential(N),
        MixingSchedule.parse("one-peer-ring", "metropolis", N, 1),
        MixingSchedule.parse("base-2", "metropolis", N, 1),
        MixingSchedule.parse("random-matching", "metropolis", N, 1));
  }

  private static MixingSchedule failing(Failures.Builder failures) {
    return FailingSchedule.of(Topologies.ring(N), new WeightRule.Metropolis(), failures.build());
  }

  private static Map<String, Algorithm.Factory> averaging() {
    Map<String, Algorithm.Factory> all = new LinkedHashMap<>();
    Compressor random = Compressor.parse("random-k:2");
    all.put("ef-sgd", (p, w, x) -> EfSgd.builder(p, w, x).compressor(TOP).build());
    all.put("ef21", (p, w, x) -> Ef21Sgd.builder(p, w, x).compressor(TOP).build());
    all.put("diana", (p, w, x) -> DianaSgd.builder(p, w, x).compressor(random).build());
    all.put("dgc", (p, w, x) -> DeepGradientCompression.builder(p, w, x).compressor(TOP).build());
    all.put(
        "power-sgd", (p, w, x) -> DataParallelPowerSgd.builder(Shaped.of(p, 2, 2), w, x).build());
    all.put("sign-sgd", (p, w, x) -> SignSgd.builder(p, w, x).build());
    all.put("masha1", (p, w, x) -> Masha1.builder(p, w, x).compressor(random).build());
    all.put("masha2", (p, w, x) -> Masha2.builder(p, w, x).compressor(TOP).build());
    all.put("extragradient", (p, w, x) -> Extragradient.builder(p, w, x).build());
    return all;
  }

  private static Map<String, Algorithm.Factory> gossip() {
    Map<String, Algorithm.Factory> all = new LinkedHashMap<>();
    all.put(
        "CHOCO",
        (p, w, x) -> ChocoSgd.builder(p, w, x).compressor(TOP).consensusStepSize(0.1).build());
    all.put(
        "C-GT",
        (p, w, x) ->
            CompressedGradientTracking.builder(p, w, x)
                .compressor(TOP)
                .stepSize(0.02)
                .consensusStepSize(0.1)
                .build());
    return all;
  }

  private static final Algorithm.Factory SQUEEZE =
      (p, w, x) -> DeepSqueeze.builder(p, w, x).compressor(TOP).build();

  private double[] run(Problem problem, MixingSchedule schedule, Algorithm.Factory factory) {
    try (problem;
        Network network = Network.builder(schedule).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        Optimizer optimizer = factory.create(problem, network, zero)) {
      for (int k = 0; k < 12; k++) {
        optimizer.step();
      }
      return optimizer.parameters().toDoubles();
    }
  }

  private Problem quadratic() {
    return Quadratic.random(N, D, 2, 1, 1).build(queue, DType.F32);
  }

  /** Gradients that differ from node to node and are 1 in the mean: so is -x / (rounds step). */
  private static Problem slope() {
    double[][] g = new double[N][D];
    for (int i = 0; i < N; i++) {
      for (int c = 0; c < D; c++) {
        g[i][c] = 1 + (i - 3.5) * (1 + c % 3);
      }
    }
    return new FixedGradient(g);
  }

  private static void expectMean(double mean, double[] x, String what) {
    for (int c = 0; c < D; c++) {
      double sum = 0;
      for (int i = 0; i < N; i++) {
        sum += x[i * D + c];
      }
      // Some 20 roundings to f32 a round of numbers below 32.
      assertEquals(mean, sum / N, 12 * 20 * 32 * 0x1p-24, what);
    }
  }

  @Test
  void averagesDoNotDependOnTheGraph() {
    averaging()
        .forEach(
            (name, factory) -> {
              double[] expected =
                  run(quadratic(), MixingSchedule.parse("ring", "metropolis", N, 1), factory);
              List<MixingSchedule> graphs = new ArrayList<>(others());
              graphs.add(MixingSchedule.parse("star", "metropolis", N, 1));
              graphs.add(failing(Failures.builder().linkFailure(0.5, 3)));
              for (MixingSchedule graph : graphs) {
                assertArrayEquals(expected, run(quadratic(), graph, factory), name);
              }
            });
  }

  @Test
  void nodesThatFailAreRefusedWhereAllAreNeeded() {
    Map<String, Algorithm.Factory> all = averaging();
    all.put("deepsqueeze", SQUEEZE);
    all.forEach(
        (name, factory) -> {
          var e =
              assertThrows(
                  IllegalArgumentException.class,
                  () -> run(quadratic(), failing(Failures.builder().removeNodes(4, 2)), factory),
                  name);
          assertTrue(
              e.getMessage().contains(name + " needs all nodes in every round, and node 2"),
              e.getMessage());
        });
  }

  @Test
  void gossipOfDifferencesKeepsTheMeanUnderEverySymmetricGraph() {
    for (MixingSchedule graph : fixed()) {
      expectMean(-1.2, run(slope(), graph, gossip().get("CHOCO")), "CHOCO");
      expectMean(-0.24, run(slope(), graph, gossip().get("C-GT")), "C-GT");
    }
  }

  @Test
  void gossipOfDifferencesRefusesGraphsThatChangeOrAreDirected() {
    List<MixingSchedule> wrong = new ArrayList<>(others());
    wrong.add(failing(Failures.builder().linkFailure(0.1, 3)));
    wrong.add(failing(Failures.builder().removeNodes(4, 2)));
    wrong.add(MixingSchedule.constant(Algorithm.pushWeights(N)));
    gossip()
        .forEach(
            (name, factory) -> {
              for (MixingSchedule graph : wrong) {
                var e =
                    assertThrows(
                        IllegalArgumentException.class, () -> run(slope(), graph, factory), name);
                assertTrue(
                    e.getMessage().startsWith(name + " needs")
                        && (e.getMessage().contains("fixed mixing matrix")
                            || e.getMessage().contains("symmetric mixing matrix")),
                    e.getMessage());
              }
            });
  }

  @Test
  void deepSqueezeKeepsTheMeanUnderEveryDoublyStochasticGraph() {
    List<MixingSchedule> graphs = new ArrayList<>(fixed());
    graphs.addAll(others());
    graphs.add(failing(Failures.builder().linkFailure(0.5, 3)));
    for (MixingSchedule graph : graphs) {
      expectMean(-1.2, run(slope(), graph, SQUEEZE), "DeepSqueeze");
    }
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () -> run(slope(), MixingSchedule.constant(Algorithm.pushWeights(N)), SQUEEZE));
    assertTrue(e.getMessage().contains("doubly stochastic"), e.getMessage());
  }
}
