package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.Laplacian;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.problem.Quadratic;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What must hold exactly, or up to the rounding of a derived bound: reductions to simpler
 * algorithms, and fixed points.
 */
class ExactTest {
  private static final int N = 8;
  private static final int D = 3;

  private final Queue queue = Device.cpu().newQueue();
  private final Quadratic.Builder objectives = Quadratic.random(N, D, 4, 1, 1);

  @AfterEach
  void close() {
    queue.close();
  }

  /** Makes an optimizer. */
  private interface Factory {
    Optimizer create(Quadratic problem, Network network, DeviceMatrix initial);
  }

  /** The parameters after some rounds, by node. */
  private double[][] run(
      Quadratic.Builder f,
      MixingSchedule schedule,
      DeviceMatrix start,
      int rounds,
      Factory factory) {
    try (Quadratic problem = f.build(queue, DType.F64);
        Network network = Network.builder(schedule).build();
        Optimizer optimizer = factory.create(problem, network, start)) {
      for (int k = 0; k < rounds; k++) {
        optimizer.step();
      }
      assertEquals(rounds, optimizer.round());
      return rows(optimizer.parameters());
    }
  }

  private double[][] run(MixingMatrix w, int rounds, Factory factory) {
    try (DeviceMatrix start = start()) {
      return run(objectives, MixingSchedule.constant(w), start, rounds, factory);
    }
  }

  /** A start that differs from node to node. */
  private DeviceMatrix start() {
    double[][] rows = new double[N][D];
    for (int i = 0; i < N; i++) {
      Arrays.setAll(rows[i], c -> 0.25 * c - 1);
      rows[i][0] += i / 8.0;
    }
    return DeviceMatrix.of(queue, rows);
  }

  private DeviceMatrix common() {
    return DeviceMatrix.of(queue, new double[][] {{-1, -0.75, 0.5}});
  }

  private static double[][] rows(DeviceMatrix m) {
    double[] flat = m.toDoubles();
    int cols = Math.toIntExact(m.cols());
    double[][] rows = new double[Math.toIntExact(m.rows())][];
    Arrays.setAll(rows, r -> Arrays.copyOfRange(flat, r * cols, (r + 1) * cols));
    return rows;
  }

  private static double[] mean(double[][] rows) {
    double[] mean = new double[rows[0].length];
    for (double[] row : rows) {
      for (int c = 0; c < mean.length; c++) {
        mean[c] += row[c] / rows.length;
      }
    }
    return mean;
  }

  private static void assertClose(double[][] expected, double[][] actual, double tolerance) {
    assertEquals(expected.length, actual.length);
    for (int i = 0; i < expected.length; i++) {
      assertArrayEquals(expected[i], actual[i], tolerance);
    }
  }

  /** The gradient of node i at x, in plain arithmetic. */
  private double[] gradient(int i, double[] x) {
    double[] h = objectives.curvatures()[i];
    double[] b = objectives.minimisers()[i];
    double[] g = new double[D];
    for (int r = 0; r < D; r++) {
      for (int c = 0; c < D; c++) {
        g[r] += h[r * D + c] * (x[c] - b[c]);
      }
    }
    return g;
  }

  /** The largest distance of a node to the optimum, in the maximum norm. */
  private double error(double[][] x) {
    double[] optimum = objectives.optimum();
    double worst = 0;
    for (double[] row : x) {
      for (int c = 0; c < D; c++) {
        worst = Math.max(worst, Math.abs(row[c] - optimum[c]));
      }
    }
    return worst;
  }

  private static final MixingMatrix RING = Algorithm.ring(N);

  @ParameterizedTest
  @EnumSource(DecentralizedSgd.Form.class)
  void withoutNeighboursEveryNodeRunsAlone(DecentralizedSgd.Form form) {
    double[][] together =
        run(
            MixingMatrix.identity(N),
            30,
            (p, w, x) -> DecentralizedSgd.builder(p, w, x).stepSize(0.05).form(form).build());
    double[][] x = rows(start());
    for (int k = 0; k < 30; k++) {
      for (int i = 0; i < N; i++) {
        double[] g = gradient(i, x[i]);
        for (int c = 0; c < D; c++) {
          x[i][c] -= 0.05 * g[c];
        }
      }
    }
    // A contraction by at most 1 per round: rounding errors of some ulps of numbers below 16 add up
    // over 30 rounds.
    assertClose(x, together, 30 * 64 * 0x1p-52);
  }

  @Test
  void withAllWeightsEqualAndACommonStartItIsMiniBatchDescent() {
    try (DeviceMatrix start = common()) {
      double[] x = rows(start)[0];
      for (int k = 0; k < 30; k++) {
        double[][] g = new double[N][];
        for (int i = 0; i < N; i++) {
          g[i] = gradient(i, x);
        }
        for (int c = 0; c < D; c++) {
          x[c] -= 0.05 * mean(g)[c];
        }
      }
      double[][] expected = new double[N][];
      Arrays.fill(expected, x);
      MixingSchedule j = MixingSchedule.constant(MixingMatrix.uniform(N));
      double tolerance = 30 * 64 * 0x1p-52;
      assertClose(
          expected,
          run(
              objectives,
              j,
              start,
              30,
              (p, w, y) -> DecentralizedSgd.builder(p, w, y).stepSize(0.05).build()),
          tolerance);
      MixingSchedule any = MixingSchedule.constant(RING);
      assertClose(
          expected,
          run(
              objectives,
              any,
              start,
              30,
              (p, w, y) -> CentralSgd.builder(p, w, y).stepSize(0.05).build()),
          tolerance);
      // The corrected methods reach the same orbit with W = J: all messages are means.
      assertClose(
          expected,
          run(
              objectives,
              j,
              start,
              30,
              (p, w, y) -> DSquared.builder(p, w, y).stepSize(0.05).build()),
          tolerance);
      assertClose(
          expected,
          run(
              objectives,
              j,
              start,
              30,
              (p, w, y) -> GradientTracking.builder(p, w, y).stepSize(0.05).build()),
          tolerance);
    }
  }

  @Test
  void fedAvgIsTheAverageOfTheLocalRuns() {
    try (DeviceMatrix start = common()) {
      double[][] central =
          run(
              objectives,
              MixingSchedule.constant(RING),
              start,
              5,
              (p, w, x) -> CentralSgd.builder(p, w, x).localSteps(6).stepSize(0.05).build());
      double[][] uniform =
          run(
              objectives,
              MixingSchedule.constant(MixingMatrix.uniform(N)),
              start,
              5,
              (p, w, x) -> DecentralizedSgd.builder(p, w, x).localSteps(6).stepSize(0.05).build());
      double[] x = rows(start)[0];
      for (int round = 0; round < 5; round++) {
        double[][] local = new double[N][];
        for (int i = 0; i < N; i++) {
          local[i] = x.clone();
          for (int s = 0; s < 6; s++) {
            double[] g = gradient(i, local[i]);
            for (int c = 0; c < D; c++) {
              local[i][c] -= 0.05 * g[c];
            }
          }
        }
        x = mean(local);
      }
      double[][] expected = new double[N][];
      Arrays.fill(expected, x);
      assertClose(expected, central, 30 * 64 * 0x1p-52);
      assertClose(expected, uniform, 30 * 64 * 0x1p-52);
    }
  }

  @Test
  void oneNodeIsGradientDescent() {
    Quadratic.Builder one =
        Quadratic.of(new double[][] {{2, 0.5, 0.5, 1}}, new double[][] {{1, -1}});
    double[] x = {3, 4};
    for (int k = 0; k < 20; k++) {
      double u = x[0] - 1;
      double v = x[1] + 1;
      x[0] -= 0.1 * (2 * u + 0.5 * v);
      x[1] -= 0.1 * (0.5 * u + v);
    }
    MixingSchedule alone = MixingSchedule.constant(MixingMatrix.identity(1));
    MixingSchedule laplacian =
        MixingSchedule.constant(Laplacian.of(Topologies.complete(1)).matrix());
    try (DeviceMatrix start = DeviceMatrix.of(queue, new double[][] {{3, 4}})) {
      for (Factory factory :
          Arrays.<Factory>asList(
              (p, w, y) -> DecentralizedSgd.builder(p, w, y).stepSize(0.1).build(),
              (p, w, y) ->
                  DecentralizedSgd.builder(p, w, y)
                      .stepSize(0.1)
                      .form(DecentralizedSgd.Form.CTA)
                      .build(),
              (p, w, y) -> DSquared.builder(p, w, y).stepSize(0.1).build(),
              (p, w, y) -> Extra.builder(p, w, y).stepSize(0.1).build(),
              (p, w, y) -> GradientTracking.builder(p, w, y).stepSize(0.1).build(),
              (p, w, y) -> ChebyshevSgd.builder(p, w, y).stepSize(0.1).gossipRounds(3).build(),
              (p, w, y) -> PushSum.builder(p, w, y).stepSize(0.1).build(),
              (p, w, y) -> SingleMerge.builder(p, w, y).stepSize(0.1).mergeAfter(4).build(),
              (p, w, y) -> CentralSgd.builder(p, w, y).stepSize(0.1).build())) {
        assertArrayEquals(x, run(one, alone, start, 20, factory)[0], 20 * 64 * 0x1p-52);
      }
      assertArrayEquals(
          x,
          run(
              one,
              laplacian,
              start,
              20,
              (p, w, y) ->
                  ConsensusGainSgd.builder(p, w, y)
                      .gradientGain(0.1, 0)
                      .consensusGain(0.5, 0)
                      .build())[0],
          20 * 64 * 0x1p-52);
    }
  }

  @Test
  void withoutAStepItIsGossipBitForBit() {
    double[][] expected;
    try (DeviceMatrix x = start();
        DeviceMatrix y = x.like();
        Network network = Network.builder(MixingSchedule.constant(RING)).build()) {
      for (int k = 0; k < 10; k++) {
        network.mix(Expression.inner(x), y);
        x.copyFrom(y);
      }
      expected = rows(x);
    }
    for (DecentralizedSgd.Form form : DecentralizedSgd.Form.values()) {
      assertClose(
          expected,
          run(
              RING,
              10,
              (p, w, x) -> DecentralizedSgd.builder(p, w, x).stepSize(0).form(form).build()),
          0);
      assertClose(
          expected,
          run(
              RING,
              10,
              (p, w, x) -> GradientTracking.builder(p, w, x).stepSize(0).form(form).build()),
          0);
    }
  }

  @Test
  void theMeanMovesAsInCentralDescentForAnyDoublyStochasticWeights() {
    MixingMatrix w = MixingSchedule.onePeerExponential(N).at(1);
    try (DeviceMatrix start = start();
        Quadratic problem = objectives.build(queue, DType.F64);
        DeviceMatrix g = start.like()) {
      problem.gradient(start, g, 0);
      double[] x = mean(rows(start));
      double[] step = mean(rows(g));
      for (DecentralizedSgd.Form form : DecentralizedSgd.Form.values()) {
        double[] moved =
            mean(
                run(
                    w,
                    1,
                    (p, net, y) ->
                        DecentralizedSgd.builder(p, net, y).stepSize(0.05).form(form).build()));
        for (int c = 0; c < D; c++) {
          assertEquals(x[c] - 0.05 * step[c], moved[c], 1e-12);
        }
      }
    }
  }

  @Test
  void combineThenAdaptStopsWhereItsFixedPointEquationSays() {
    double eta = 0.025;
    double[][] x =
        run(
            RING,
            4000,
            (p, w, y) ->
                DecentralizedSgd.builder(p, w, y)
                    .stepSize(eta)
                    .form(DecentralizedSgd.Form.CTA)
                    .build());
    // [(I - W) (x) I + eta blkdiag(H)] x = eta blkdiag(H) b, row by row.
    double[][] w = RING.toDense();
    for (int i = 0; i < N; i++) {
      double[] g = gradient(i, x[i]);
      for (int c = 0; c < D; c++) {
        double residual = x[i][c] + eta * g[c];
        for (int j = 0; j < N; j++) {
          residual -= w[i][j] * x[j][c];
        }
        assertEquals(0, residual, 1e-14);
      }
    }
    assertTrue(error(x) > 1e-3, "a fixed step size leaves a bias");
  }

  @Test
  void correctedMethodsReachTheOptimumWherePlainOnesStop() {
    double eta = 0.1 / 4;
    for (DecentralizedSgd.Form form : DecentralizedSgd.Form.values()) {
      double plain =
          error(
              run(
                  RING,
                  3000,
                  (p, w, x) -> DecentralizedSgd.builder(p, w, x).stepSize(eta).form(form).build()));
      assertTrue(plain > 1e-3, form + " stops at " + plain);
      double tracking =
          error(
              run(
                  RING,
                  3000,
                  (p, w, x) -> GradientTracking.builder(p, w, x).stepSize(eta).form(form).build()));
      assertTrue(tracking < 1e-9, "tracking " + form + " reaches " + tracking);
    }
    double extra =
        error(run(RING, 3000, (p, w, x) -> Extra.builder(p, w, x).stepSize(eta).build()));
    assertTrue(extra < 1e-9, "EXTRA reaches " + extra);
    double squared =
        error(run(RING.lazy(), 3000, (p, w, x) -> DSquared.builder(p, w, x).stepSize(eta).build()));
    assertTrue(squared < 1e-9, "D^2 reaches " + squared);
  }

  @ParameterizedTest
  @EnumSource(DecentralizedSgd.Form.class)
  void theTrackersMeanIsTheMeanGradientAlsoWithNoise(DecentralizedSgd.Form form) {
    try (DeviceMatrix start = start();
        Quadratic problem = Quadratic.random(N, D, 4, 1, 1).noise(0.5, 3).build(queue, DType.F64);
        Network network = Network.builder(MixingSchedule.onePeerExponential(N)).build();
        GradientTracking optimizer =
            GradientTracking.builder(problem, network, start).stepSize(0.02).form(form).build()) {
      for (int k = 0; k < 50; k++) {
        optimizer.step();
        assertArrayEquals(mean(rows(optimizer.gradient())), mean(rows(optimizer.tracker())), 1e-12);
      }
    }
  }

  @Test
  void theIncrementsOfExtraTelescope() {
    double eta = 0.05;
    double[][] w = RING.toDense();
    try (DeviceMatrix start = start();
        Quadratic problem = objectives.build(queue, DType.F64);
        Network network = Network.builder(MixingSchedule.constant(RING)).build();
        Extra optimizer = Extra.builder(problem, network, start).stepSize(eta).build()) {
      double[][] sum = new double[N][D];
      for (int k = 0; k < 40; k++) {
        double[][] x = rows(optimizer.parameters());
        optimizer.step();
        double[][] next = rows(optimizer.parameters());
        for (int i = 0; i < N; i++) {
          double[] g = gradient(i, x[i]);
          for (int c = 0; c < D; c++) {
            double identity = next[i][c] + eta * g[c] + sum[i][c];
            double correction = 0;
            for (int j = 0; j < N; j++) {
              identity -= w[i][j] * x[j][c];
              correction += ((i == j ? 1 : 0) - w[i][j]) / 2 * x[j][c];
            }
            // X^(k+1) - W X^k + eta G^k + sum over t < k of ((I + W) / 2 - W) X^t = 0
            assertEquals(0, identity, 1e-12);
            sum[i][c] += correction;
          }
        }
      }
    }
  }

  @Test
  void nodesThatAgreeMakeTheCorrectedMethodsPlainOnes() {
    Quadratic.Builder same = Quadratic.random(N, D, 4, 0, 1);
    double[][] h = same.curvatures();
    double[][] b = same.minimisers();
    Arrays.fill(h, h[0]);
    Arrays.fill(b, new double[] {1, 2, 3});
    Quadratic.Builder f = Quadratic.of(h, b);
    MixingSchedule ring = MixingSchedule.constant(RING.lazy());
    try (DeviceMatrix start = common()) {
      double[][] plain =
          run(
              f,
              ring,
              start,
              25,
              (p, w, x) -> DecentralizedSgd.builder(p, w, x).stepSize(0.05).build());
      for (Factory factory :
          Arrays.<Factory>asList(
              (p, w, x) -> DSquared.builder(p, w, x).stepSize(0.05).build(),
              (p, w, x) -> Extra.builder(p, w, x).stepSize(0.05).build(),
              (p, w, x) -> GradientTracking.builder(p, w, x).stepSize(0.05).build(),
              (p, w, x) -> PushSum.builder(p, w, x).stepSize(0.05).build(),
              (p, w, x) -> ChebyshevSgd.builder(p, w, x).stepSize(0.05).build())) {
        assertClose(plain, run(f, ring, start, 25, factory), 25 * 256 * 0x1p-52);
      }
    }
  }

  @Test
  void dSquaredRefusesWeightsThatMakeItDiverge() {
    // The even ring with Metropolis weights has the eigenvalue -1/3 exactly.
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () -> run(RING, 1, (p, w, x) -> DSquared.builder(p, w, x).build()));
    assertTrue(
        e.getMessage().contains("-0.333") && e.getMessage().contains("lazy"), e.getMessage());
    MixingMatrix torus = new WeightRule.Metropolis().weights(Topologies.torus(4, 2));
    assertThrows(
        IllegalArgumentException.class,
        () -> run(torus, 1, (p, w, x) -> DSquared.builder(p, w, x).build()));
    run(RING.lazy(), 1, (p, w, x) -> DSquared.builder(p, w, x).build());
    MixingSchedule changing = MixingSchedule.onePeerExponential(N);
    try (DeviceMatrix start = start()) {
      for (Factory factory :
          Arrays.<Factory>asList(
              (p, w, x) -> DSquared.builder(p, w, x).build(),
              (p, w, x) -> Extra.builder(p, w, x).build(),
              (p, w, x) -> ChebyshevSgd.builder(p, w, x).build())) {
        e =
            assertThrows(
                IllegalArgumentException.class, () -> run(objectives, changing, start, 1, factory));
        assertTrue(e.getMessage().contains("fixed"), e.getMessage());
      }
    }
  }

  @Test
  void kindsOfWeightsThatDoNotFitAreRefused() {
    MixingMatrix push = Algorithm.pushWeights(N);
    MixingMatrix gossip = MixingSchedule.sparseGossip(N, 0.5, 1).at(0);
    assertThrows(
        IllegalArgumentException.class,
        () -> run(push, 1, (p, w, x) -> DecentralizedSgd.builder(p, w, x).build()));
    assertThrows(
        IllegalArgumentException.class,
        () -> run(push, 1, (p, w, x) -> SingleMerge.builder(p, w, x).build()));
    assertThrows(
        IllegalArgumentException.class,
        () -> run(gossip, 1, (p, w, x) -> PushSum.builder(p, w, x).build()));
    assertThrows(
        IllegalArgumentException.class,
        () -> run(gossip, 1, (p, w, x) -> GradientTracking.builder(p, w, x).build()));
    assertThrows(
        IllegalArgumentException.class,
        () -> run(gossip, 1, (p, w, x) -> Extra.builder(p, w, x).build()));
  }

  @Test
  void startsAndPartsThatDoNotFitAreRefused() {
    try (DeviceMatrix wide = DeviceMatrix.allocate(queue, N, D + 1, DType.F64);
        DeviceMatrix few = DeviceMatrix.allocate(queue, 2, D, DType.F64);
        DeviceMatrix narrow = DeviceMatrix.allocate(queue, N, D, DType.BF16);
        DeviceMatrix start = start();
        Quadratic problem = objectives.build(queue, DType.F64);
        Quadratic part = objectives.nodes(2, 5).build(queue, DType.F64);
        Network network = Network.builder(MixingSchedule.constant(RING)).build()) {
      for (DeviceMatrix bad : new DeviceMatrix[] {wide, few, narrow}) {
        assertThrows(
            IllegalArgumentException.class,
            () -> DecentralizedSgd.builder(problem, network, bad).build());
      }
      var e =
          assertThrows(
              IllegalArgumentException.class,
              () -> DecentralizedSgd.builder(part, network, start).build());
      assertTrue(e.getMessage().contains("nodes 2 to 4 of 8"), e.getMessage());
    }
  }
}
