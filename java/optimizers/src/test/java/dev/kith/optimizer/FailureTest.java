package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.graph.FailingSchedule;
import dev.kith.graph.Failures;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.CurvatureRule;
import dev.kith.kernel.StepRule;
import dev.kith.network.ExchangeException;
import dev.kith.network.LocalTransport;
import dev.kith.network.Network;
import dev.kith.network.Processes;
import dev.kith.network.Transport;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import dev.kith.problem.Value;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Nodes and links that fail, gradients that are not finite, peers that fall silent. */
class FailureTest {
  private static final int N = 6;

  /** Another problem with one bad number in the gradient of one node and draw. */
  private record Spoiled(Problem problem, int node, long draw, double value)
      implements Problem, Value, HessianVector {
    @Override
    public Layout layout() {
      return problem.layout();
    }

    @Override
    public int nodes() {
      return problem.nodes();
    }

    @Override
    public int firstNode() {
      return problem.firstNode();
    }

    @Override
    public int localNodes() {
      return problem.localNodes();
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      problem.gradient(x, g, round);
      int row = node - firstNode();
      if (round == draw && row >= 0 && row < localNodes()) {
        g.set(row, 1, value);
      }
    }

    @Override
    public void values(DeviceMatrix x, DeviceMatrix out) {
      ((Value) problem).values(x, out);
    }

    @Override
    public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
      ((HessianVector) problem).hessianVector(x, v, out);
    }

    @Override
    public void close() {
      problem.close();
    }
  }

  private static double[] row(DeviceMatrix m, int r) {
    int cols = Math.toIntExact(m.cols());
    return Arrays.copyOfRange(m.toDoubles(), r * cols, (r + 1) * cols);
  }

  private static List<Algorithm> all() {
    List<Algorithm> all = new ArrayList<>(Algorithm.all());
    all.addAll(Algorithm.compressed());
    return all;
  }

  @Test
  void aBadGradientNamesNodeAndRoundAndTheStateStays() {
    for (Algorithm algorithm : all()) {
      boolean tracking = algorithm.label().startsWith("dsgt");
      for (int k = 0; k < algorithm.draws(); k++) {
        badGradient(algorithm, 3L * algorithm.draws() + k + (tracking ? 1 : 0));
      }
    }
  }

  private static void badGradient(Algorithm algorithm, long draw) {
    try (Queue queue = Device.cpu().newQueue();
        Transport transport = LocalTransport.single(N);
        Problem problem =
            new Spoiled(Algorithm.problem(N, transport, queue, DType.F32), 4, draw, Double.NaN);
        Network network =
            Network.builder(algorithm.schedule().apply(N)).transport(transport).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        Optimizer optimizer = algorithm.factory().create(problem, network, zero)) {
      for (int k = 0; k < 3; k++) {
        optimizer.step();
      }
      List<double[]> good = state(optimizer);
      var e = assertThrows(NonFiniteException.class, optimizer::step, algorithm.label());
      assertEquals(4, e.node(), algorithm.label());
      assertEquals(3, e.round(), algorithm.label());
      assertTrue(
          e.getMessage().contains("node 4") && e.getMessage().contains("round 3"), e.getMessage());
      assertEquals(3, optimizer.round(), algorithm.label());
      assertSame(good, state(optimizer), algorithm.label());
    }
  }

  /** Everything that a snapshot holds, and the parameters. */
  private static List<double[]> state(Optimizer optimizer) {
    LockstepOptimizer lockstep = (LockstepOptimizer) optimizer;
    List<double[]> state = new ArrayList<>();
    lockstep.state().values().forEach(m -> state.add(m.toDoubles()));
    state.add(Arrays.stream(lockstep.counters()).asDoubleStream().toArray());
    state.add(optimizer.parameters().toDoubles());
    return state;
  }

  private static void assertSame(List<double[]> expected, List<double[]> actual, String label) {
    assertEquals(expected.size(), actual.size(), label);
    for (int k = 0; k < expected.size(); k++) {
      assertArrayEquals(expected.get(k), actual.get(k), label);
    }
  }

  @Test
  void anExchangeThatFailsAfterTheLocalStepsUndoesThem() {
    for (Algorithm.Factory factory :
        List.<Algorithm.Factory>of(
            (p, w, x) -> DecentralizedSgd.builder(p, w, x).localSteps(3).build(),
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x)
                    .form(DecentralizedSgd.Form.CTA)
                    .rule(StepRule.Adam.withDefaults())
                    .build(),
            (p, w, x) ->
                PushSum.builder(p, w, x).rule(StepRule.Adam.withDefaults()).localSteps(2).build(),
            (p, w, x) -> ChocoSgd.builder(p, w, x).rule(StepRule.Adam.withDefaults()).build(),
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x)
                    .rule(LocalCurvature.of(CurvatureRule.SophiaH.withDefaults()))
                    .build(),
            (p, w, x) -> ScaledLocalSgd.builder(p, w, x).build(),
            (p, w, x) -> Oasis.builder(p, w, x).build(),
            (p, w, x) ->
                PowerGossipSgd.builder(p, w, x).rule(StepRule.Adam.withDefaults()).build())) {
      List<Transport> group = LocalTransport.group(N, 2);
      try (Queue queue = Device.cpu().newQueue();
          Problem problem = Algorithm.problem(N, group.get(0), queue, DType.F32);
          Network network =
              Network.builder(MixingSchedule.constant(Algorithm.ring(N)))
                  .transport(group.get(0))
                  .deadline(Duration.ofMillis(50))
                  .build();
          DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
          Optimizer optimizer = factory.create(problem, network, zero)) {
        List<double[]> before = state(optimizer);
        assertThrows(ExchangeException.class, optimizer::step);
        assertSame(before, state(optimizer), optimizer.name());
      }
    }
  }

  @Test
  void everyProcessThatLearnsOfABadGradientNamesTheSameNodeAndTheOthersEnd() {
    for (Algorithm algorithm : all()) {
      boolean tracking = algorithm.label().startsWith("dsgt");
      List<Processes.Outcome<Object>> outcomes =
          Processes.outcomes(
              N,
              3,
              (transport, queue) -> {
                try (Problem problem =
                        new Spoiled(
                            Algorithm.problem(N, transport, queue, DType.F32),
                            3,
                            2L * algorithm.draws() + (tracking ? 1 : 0),
                            Double.POSITIVE_INFINITY);
                    Network network =
                        Network.builder(algorithm.schedule().apply(N))
                            .transport(transport)
                            .build();
                    DeviceMatrix zero =
                        DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
                    Optimizer optimizer = algorithm.factory().create(problem, network, zero)) {
                  for (int k = 0; k < 8; k++) {
                    optimizer.step();
                  }
                  return null;
                }
              });
      var owner =
          assertInstanceOf(NonFiniteException.class, outcomes.get(1).failure(), algorithm.label());
      assertEquals(3, owner.node(), algorithm.label());
      for (Processes.Outcome<Object> outcome : outcomes) {
        if (outcome.failure() instanceof NonFiniteException e) {
          assertEquals(3, e.node(), algorithm.label());
          assertEquals(2, e.round(), algorithm.label());
        } else if (!algorithm.label().equals("single-merge")) {
          // Sparse gossip may never need the lost process again before its merge.
          var e = assertInstanceOf(ExchangeException.class, outcome.failure(), algorithm.label());
          assertTrue(e.getMessage().contains("has left"), e.getMessage());
        }
      }
    }
  }

  @Test
  void theLastGoodSnapshotSurvivesABadGradient(@TempDir Path folder) {
    Path file = folder.resolve("run");
    try (Queue queue = Device.cpu().newQueue();
        Transport transport = LocalTransport.single(N);
        Problem problem =
            new Spoiled(
                Algorithm.problem(N, transport, queue, DType.F32), 4, 5, Double.NEGATIVE_INFINITY);
        Network network =
            Network.builder(MixingSchedule.constant(Algorithm.ring(N)))
                .transport(transport)
                .build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        Optimizer optimizer = DecentralizedSgd.builder(problem, network, zero).build()) {
      assertThrows(
          NonFiniteException.class,
          () -> {
            for (int k = 0; k < 10; k++) {
              Snapshot.write(file, optimizer);
              optimizer.step();
            }
          });
      double[] good = optimizer.parameters().toDoubles();
      Snapshot.read(file, optimizer);
      assertEquals(5, optimizer.round());
      assertArrayEquals(good, optimizer.parameters().toDoubles());
    }
  }

  @Test
  void aPeerThatFallsSilentIsNamedWithTheRound() {
    List<Transport> group = LocalTransport.group(N, 2);
    try (Queue queue = Device.cpu().newQueue();
        Problem problem = Algorithm.problem(N, group.get(0), queue, DType.F32);
        Network network =
            Network.builder(MixingSchedule.constant(Algorithm.ring(N)))
                .transport(group.get(0))
                .deadline(Duration.ofMillis(50))
                .build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        Optimizer optimizer = DecentralizedSgd.builder(problem, network, zero).build()) {
      var e = assertThrows(ExchangeException.class, optimizer::step);
      assertTrue(e.getMessage().contains("process 1 (nodes 3 to 5)"), e.getMessage());
      assertTrue(
          e.getMessage().contains("round 0") && e.getMessage().contains("5 F32"), e.getMessage());
      assertEquals(0, optimizer.round());
      assertArrayEquals(new double[15], optimizer.parameters().toDoubles());
    }
  }

  @Test
  void aNodeThatIsGoneKeepsItsRowAndTheOthersGoOnWithoutIt() {
    MixingSchedule schedule =
        FailingSchedule.of(
            Topologies.ring(N),
            new WeightRule.Metropolis(),
            Failures.builder().removeNodes(3, 2).build());
    for (Algorithm.Factory factory :
        Arrays.<Algorithm.Factory>asList(
            (p, w, x) -> DecentralizedSgd.builder(p, w, x).build(),
            (p, w, x) -> DecentralizedSgd.builder(p, w, x).form(DecentralizedSgd.Form.CTA).build(),
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x)
                    .rule(StepRule.Adam.withDefaults())
                    .localSteps(2)
                    .build(),
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x)
                    .rule(new StepRule.HeavyBall(0.05, 0.9))
                    .form(DecentralizedSgd.Form.CTA)
                    .build(),
            (p, w, x) -> PushSum.builder(p, w, x).build(),
            (p, w, x) -> SingleMerge.builder(p, w, x).mergeAfter(6).build(),
            (p, w, x) -> GradientTracking.builder(p, w, x).stepSize(0.05).build(),
            (p, w, x) ->
                GradientTracking.builder(p, w, x)
                    .form(DecentralizedSgd.Form.CTA)
                    .stepSize(0.05)
                    .build(),
            (p, w, x) -> CentralSgd.builder(p, w, x).build())) {
      new Algorithm("failing", 1, n -> schedule, factory)
          .run(
              N,
              LocalTransport.single(N),
              Device.cpu().newQueue(),
              DType.F64,
              Optional.empty(),
              optimizer -> {
                for (int k = 0; k < 3; k++) {
                  optimizer.step();
                }
                double[] lost = row(optimizer.parameters(), 2);
                double[] other = row(optimizer.parameters(), 3);
                for (int k = 0; k < 4; k++) {
                  optimizer.step();
                }
                assertArrayEquals(lost, row(optimizer.parameters(), 2));
                assertFalse(Arrays.equals(other, row(optimizer.parameters(), 3)));
                return null;
              });
    }
  }

  @Test
  void gradientTrackingFindsTheOptimumOfTheNodesThatAreLeft() {
    MixingSchedule schedule =
        FailingSchedule.of(
            Topologies.ring(N),
            new WeightRule.Metropolis(),
            Failures.builder().removeNodes(7, 2).build());
    for (DecentralizedSgd.Form form : DecentralizedSgd.Form.values()) {
      try (Queue queue = Device.cpu().newQueue();
          // What a lost node computes, finite or not, reaches nobody.
          Problem problem =
              new Spoiled(
                  Quadratic.random(N, 3, 2, 1, 3).build(queue, DType.F64), 2, 9, Double.NaN);
          Network network = Network.builder(schedule).build();
          DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F64);
          GradientTracking optimizer =
              GradientTracking.builder(problem, network, zero).form(form).stepSize(0.05).build()) {
        for (int k = 0; k < 4000; k++) {
          optimizer.step();
        }
        double[] x = row(optimizer.parameters(), 3);
        double[] sum = new double[3];
        for (int i : new int[] {0, 1, 3, 4, 5}) {
          assertArrayEquals(x, row(optimizer.parameters(), i), 1e-10);
          double[] g = row(optimizer.gradient(), i);
          Arrays.setAll(sum, c -> sum[c] + g[c]);
        }
        assertArrayEquals(new double[3], sum, 1e-9);
      }
    }
  }

  @Test
  void averagesAreCountedForTheNodesThatAreLeft() {
    MixingSchedule schedule =
        FailingSchedule.of(
            Topologies.ring(4),
            new WeightRule.Metropolis(),
            Failures.builder().removeNodes(1, 0, 1).build());
    try (Queue queue = Device.cpu().newQueue();
        Quadratic problem = Quadratic.random(4, 5, 1, 1, 1).build(queue, DType.F32);
        Network network = Network.builder(schedule).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        Optimizer optimizer = CentralSgd.builder(problem, network, zero).build()) {
      for (int k = 0; k < 10; k++) {
        optimizer.step();
      }
      assertEquals((2 * 3 + 9 * 2 * 1) * 5 * 4, network.meter().bytes());
      assertEquals(2 + 9, network.meter().messages(2));
      assertEquals(1, network.meter().messages(1));
    }
  }

  @Test
  void theAverageIsThatOfTheNodesThatAreLeft() {
    MixingSchedule schedule =
        FailingSchedule.of(
            Topologies.ring(4),
            new WeightRule.Metropolis(),
            Failures.builder().removeNodes(0, 1).build());
    try (Queue queue = Device.cpu().newQueue();
        Quadratic problem = Quadratic.random(4, 1, 1, 1, 1).build(queue, DType.F64);
        Network network = Network.builder(schedule).build();
        DeviceMatrix start = DeviceMatrix.of(queue, new double[][] {{3}, {100}, {6}, {0}});
        SingleMerge optimizer = SingleMerge.builder(problem, network, start).stepSize(0).build()) {
      optimizer.merge();
      // (3 + 6 + 0) / 4 * (4 / 3), two roundings.
      assertArrayEquals(
          new double[] {3, 100, 3, 3}, optimizer.parameters().toDoubles(), 8 * 0x1p-52);
    }
  }
}
