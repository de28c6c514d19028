package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.Compressor;
import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.problem.AffineOperator;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import dev.kith.problem.Regularizer;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Numbers worked out by hand, invariants, and fixed points of the compressed algorithms. */
class CompressedVectorTest {
  private static final Compressor TOP_1 = Compressor.parse("top-k:1");

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  /** Makes an optimizer of a certain class. */
  private interface Factory<T extends Optimizer> {
    T create(Problem problem, Network network, DeviceMatrix initial);
  }

  private <T extends Optimizer> void with(
      Problem problem, DeviceMatrix start, Factory<T> factory, Consumer<T> body) {
    MixingMatrix w =
        problem.nodes() < 3
            ? MixingMatrix.uniform(problem.nodes())
            : Algorithm.ring(problem.nodes());
    try (problem;
        start;
        Network network = Network.builder(MixingSchedule.constant(w)).build();
        T optimizer = factory.create(problem, network, start)) {
      body.accept(optimizer);
    }
  }

  private DeviceMatrix zero(int d) {
    return DeviceMatrix.allocate(queue, 1, d, DType.F32);
  }

  private static double[] firstRow(DeviceMatrix m) {
    return Arrays.copyOf(m.toDoubles(), Math.toIntExact(m.cols()));
  }

  private static double length(double[] v) {
    return Math.sqrt(Arrays.stream(v).map(e -> e * e).sum());
  }

  private static double distance(double[] a, double[] b) {
    double[] difference = new double[a.length];
    Arrays.setAll(difference, c -> a[c] - b[c]);
    return length(difference);
  }

  @Test
  void errorFeedbackSendsEveryElementInItsTurn() {
    int[] columns = {0, 1, 0, 2, 1, 0};
    double[] values = {4, 6, 8, 8, 9, 12};
    with(
        new FixedGradient(new double[] {4, 3, 2, 1}),
        zero(4),
        (p, w, x) -> EfSgd.builder(p, w, x).stepSize(1).compressor(TOP_1).build(),
        optimizer -> {
          double[] x = new double[4];
          for (int k = 0; k < columns.length; k++) {
            optimizer.step();
            x[columns[k]] -= values[k];
            assertArrayEquals(x, optimizer.parameters().toDoubles(), "step " + k);
          }
          assertArrayEquals(new double[] {0, 3, 4, 6}, optimizer.residual().toDoubles());
          Compression compression = optimizer.compression().orElseThrow();
          assertEquals(2, compression.ratio());
          assertArrayEquals(new double[] {Math.sqrt(61)}, compression.residualNorms());
        });
  }

  @Test
  void theVirtualIterateOfErrorFeedbackMovesAsSgd() {
    double[][] g = {{4, 3, -2, 1}, {1, -6, 3, 2}, {0, 2, 2, -8}};
    with(
        new FixedGradient(g),
        zero(4),
        (p, w, x) -> EfSgd.builder(p, w, x).stepSize(1).compressor(TOP_1).build(),
        optimizer -> {
          for (int k = 1; k <= 20; k++) {
            optimizer.step();
            double[] x = firstRow(optimizer.parameters());
            double[] e = optimizer.residual().toDoubles();
            for (int c = 0; c < 4; c++) {
              double virtual = x[c] - (e[c] + e[4 + c] + e[8 + c]) / 3;
              // A third is rounded once a step, of numbers below 64.
              assertEquals(
                  -k * (g[0][c] + g[1][c] + g[2][c]) / 3, virtual, k * 64 * 0x1p-24, "step " + k);
            }
          }
        });
  }

  @Test
  void ef21LearnsAConstantGradientElementByElement() {
    double[][] expected = {{4, 0, 0, 0}, {4, 3, 0, 0}, {4, 3, 2, 0}, {4, 3, 2, 1}, {4, 3, 2, 1}};
    with(
        new FixedGradient(new double[] {4, 3, 2, 1}),
        zero(4),
        (p, w, x) -> Ef21Sgd.builder(p, w, x).stepSize(1).compressor(TOP_1).build(),
        optimizer -> {
          for (double[] g : expected) {
            optimizer.step();
            assertArrayEquals(g, optimizer.estimates().toDoubles());
            assertArrayEquals(g, optimizer.meanEstimate().toDoubles());
          }
          // Steps by 0, then by the first four estimates.
          assertArrayEquals(new double[] {-16, -9, -4, -1}, optimizer.parameters().toDoubles());
        });
  }

  @Test
  void dianaLearnsAConstantGradientElementByElement() {
    double[] g = {4, 3, 2, 1};
    with(
        new FixedGradient(g),
        zero(4),
        (p, w, x) ->
            DianaSgd.builder(p, w, x)
                .stepSize(1)
                .compressor(Compressor.parse("random-k:1"))
                .alpha(0.25)
                .build(),
        optimizer -> {
          double[] h = new double[4];
          for (int k = 0; k < 60; k++) {
            optimizer.step();
            double[] estimate = optimizer.estimate().toDoubles();
            int chosen = -1;
            for (int c = 0; c < 4; c++) {
              if (estimate[c] != h[c]) {
                assertEquals(-1, chosen, "one element a message");
                chosen = c;
              }
            }
            if (chosen >= 0) {
              assertEquals(h[chosen] + 4 * (g[chosen] - h[chosen]), estimate[chosen]);
              h[chosen] = g[chosen];
            }
            assertArrayEquals(h, optimizer.shifts().toDoubles(), "step " + k);
          }
          // All four were drawn within 60 steps, else one was missed with probability 4 * 3e-8.
          assertArrayEquals(g, h);
        });
  }

  /** f_i(x) = (a_i^T x)^2 + |x|^2 / 4: with top-1 and no feedback x grows by 1 + 11 gamma / 6. */
  private Problem diverging() {
    double[][] a = {{-3, 2, 2}, {2, -3, 2}, {2, 2, -3}};
    double[][] h = new double[3][9];
    for (int i = 0; i < 3; i++) {
      for (int r = 0; r < 3; r++) {
        for (int c = 0; c < 3; c++) {
          h[i][3 * r + c] = 2 * a[i][r] * a[i][c] + (r == c ? 0.5 : 0);
        }
      }
    }
    return Quadratic.of(h, new double[3][3]).build(queue, DType.F32);
  }

  @Test
  void dianaWithARegularizerFindsTheSparseOptimum() {
    // f_i(x) = |x - b_i|^2 / 2 and R = |x|_1 / 4: the optimum is mean b, pulled towards 0.
    double[][] identities = new double[4][9];
    for (double[] h : identities) {
      h[0] = h[4] = h[8] = 1;
    }
    double[][] b = {{1, 0.5, -9}, {2, -0.5, 1}, {3, 0.5, 0}, {-2, 0.25, -4}};
    with(
        Quadratic.of(identities, b).build(queue, DType.F32),
        zero(3),
        (p, w, x) ->
            DianaSgd.builder(p, w, x)
                .compressor(Compressor.parse("random-k:1"))
                .stepSize(0.25)
                .regularizer(Regularizer.l1(0.25))
                .build(),
        optimizer -> {
          for (int k = 0; k < 400; k++) {
            optimizer.step();
          }
          // The rate is max(1 - gamma mu, 1 - alpha / 2) = 5/6 a round, with alpha = 1/3.
          double[] x = firstRow(optimizer.parameters());
          assertArrayEquals(new double[] {0.75, 0, -2.75}, x, 1e-5);
          assertEquals(0, x[1]);
        });
  }

  @Test
  void errorFeedbackConvergesWhereTopOneAloneDiverges() {
    with(
        diverging(),
        DeviceMatrix.row(queue, 1f, 1f, 1f),
        (p, w, x) -> EfSgd.builder(p, w, x).stepSize(0.02).compressor(TOP_1).build(),
        optimizer -> {
          for (int k = 0; k < 2000; k++) {
            optimizer.step();
          }
          assertTrue(length(firstRow(optimizer.parameters())) < 1e-6);
        });
    with(
        diverging(),
        DeviceMatrix.row(queue, 1f, 1f, 1f),
        (p, w, x) -> Ef21Sgd.builder(p, w, x).stepSize(0.005).compressor(TOP_1).build(),
        optimizer -> {
          for (int k = 0; k < 2000; k++) {
            optimizer.step();
          }
          assertTrue(length(firstRow(optimizer.parameters())) < 1e-3);
        });
  }

  @Test
  void dianaFindsTheOptimumOfNodesThatDifferAndPlainCompressionDoesNot() {
    Quadratic.Builder objectives = Quadratic.random(4, 20, 4, 1, 5);
    double[] errors = new double[2];
    for (int k = 0; k < 2; k++) {
      int slot = k;
      with(
          objectives.build(queue, DType.F32),
          zero(20),
          (p, w, x) -> {
            DianaSgd.Builder builder =
                DianaSgd.builder(p, w, x).stepSize(0.03).compressor(Compressor.parse("random-k:4"));
            return (slot == 0 ? builder : builder.alpha(0)).build();
          },
          optimizer -> {
            for (int t = 0; t < 3000; t++) {
              optimizer.step();
            }
            errors[slot] = distance(firstRow(optimizer.parameters()), objectives.optimum());
          });
    }
    // f32: some 2^-24 of numbers below 4, times the condition number.
    assertTrue(errors[0] < 1e-5, "DIANA: " + errors[0]);
    assertTrue(errors[1] > 1e-3, "plain compression: " + errors[1]);
  }

  @Test
  void chocoKeepsTheMeanAndReachesConsensus() {
    int n = 8;
    int d = 12;
    float[][] rows = new float[n][d];
    double[] mean = new double[d];
    for (int i = 0; i < n; i++) {
      for (int c = 0; c < d; c++) {
        rows[i][c] = ((i * 7 + c * 5) % 16) / 4f - 2;
        mean[c] += rows[i][c] / n;
      }
    }
    for (String name : List.of("top-k:2", "random-k:2:unscaled")) {
      try (Network network = Network.builder(MixingSchedule.constant(Algorithm.ring(n))).build();
          DeviceMatrix x = DeviceMatrix.of(queue, rows);
          ChocoGossip gossip =
              ChocoGossip.builder(network, x)
                  .compressor(Compressor.parse(name))
                  .consensusStepSize(0.2)
                  .build()) {
        double before = network.consensusDistance(x);
        for (int k = 0; k < 600; k++) {
          gossip.mix(x, x, k);
          if (k % 100 == 0) {
            double[] all = x.toDoubles();
            for (int c = 0; c < d; c++) {
              double sum = 0;
              for (int i = 0; i < n; i++) {
                sum += all[i * d + c] / n;
              }
              // A few roundings of numbers below 4 in every round.
              assertEquals(mean[c], sum, (k + 1) * 8 * 0x1p-23, name + " round " + k);
            }
          }
        }
        assertTrue(network.consensusDistance(x) < 1e-8 * before, name);
        assertEquals(
            600L * n * 2 * (64 + (name.startsWith("top") ? 16 : 8)), network.meter().bytes());
      }
    }
  }

  @Test
  void theTheoreticalConsensusStepIsThatOfTheFormula() {
    // Uniform weights on 2 nodes: gap 1, |I - W| = 1, delta = 1/4.
    assertEquals(
        0.25 / (16 + 1 + 4 + 2 - 2),
        ChocoGossip.theoreticalStepSize(
            MixingMatrix.uniform(2), Compressor.parse("top-k:1"), Layout.flat(4)),
        1e-12);
  }

  @Test
  void theMeanOfTheTrackersIsTheMeanGradientWhateverIsLost() {
    with(
        Quadratic.random(6, 5, 4, 1, 3).build(queue, DType.F32),
        zero(5),
        (p, w, x) ->
            CompressedGradientTracking.builder(p, w, x)
                .stepSize(0.02)
                .consensusStepSize(0.3)
                .compressor(Compressor.parse("top-k:2"))
                .build(),
        optimizer -> {
          for (int k = 0; k < 1500; k++) {
            optimizer.step();
            if (k % 100 == 0) {
              double[] y = optimizer.tracker().toDoubles();
              double[] g = optimizer.gradient().toDoubles();
              for (int c = 0; c < 5; c++) {
                double difference = 0;
                for (int i = 0; i < 6; i++) {
                  difference += y[i * 5 + c] - g[i * 5 + c];
                }
                assertEquals(0, difference, (k + 1) * 6 * 8 * 0x1p-23);
              }
            }
          }
          double[] optimum = Quadratic.random(6, 5, 4, 1, 3).optimum();
          double[] x = optimizer.parameters().toDoubles();
          for (int i = 0; i < 6; i++) {
            // H_w rounds numbers below 4 for some 300 rounds until nothing is left to send, and
            // gamma / eta = 15 magnifies what has gathered: 300 * 2^-22 * 15 = 1e-3.
            assertArrayEquals(optimum, Arrays.copyOfRange(x, 5 * i, 5 * i + 5), 1e-3);
          }
        });
  }

  @Test
  void mashaSolvesWithCompressedMessages() {
    AffineOperator.Builder operators = AffineOperator.random(10, 20, 7);
    double[] solution = operators.solution();
    double scale = length(solution);
    // q = 1 + omega = 5 of random-k, L below 1.4.
    double step = Math.sqrt(1 / 5.0) / (2 * 1.4 * Math.sqrt(5 / 10.0 + 1));
    with(
        operators.build(queue, DType.F32),
        zero(20),
        (p, w, x) ->
            Masha1.builder(p, w, x)
                .stepSize(step)
                .compressor(Compressor.parse("random-k:4"))
                .build(),
        optimizer -> {
          assertEquals(0.2, optimizer.referenceProbability());
          for (int k = 0; k < 2500; k++) {
            optimizer.step();
          }
          assertTrue(distance(firstRow(optimizer.parameters()), solution) < 1e-5 * scale);
        });
    with(
        operators.build(queue, DType.F32),
        zero(20),
        (p, w, x) ->
            Masha2.builder(p, w, x)
                .stepSize(0.3 * 0.2 / 1.4)
                .compressor(Compressor.parse("top-k:4"))
                .build(),
        optimizer -> {
          assertEquals(0.2, optimizer.referenceProbability(), 1e-12);
          for (int k = 0; k < 6000; k++) {
            optimizer.step();
          }
          assertTrue(distance(firstRow(optimizer.parameters()), solution) < 1e-5 * scale);
        });
  }

  @Test
  void compressorsThatTheTheoryDoesNotAllowAreRefused() {
    Compressor scaled = Compressor.parse("random-k:1");
    try (Problem problem = new FixedGradient(new double[4], new double[4]);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(2))).build();
        DeviceMatrix x = zero(4)) {
      for (org.junit.jupiter.api.function.Executable wrong :
          List.<org.junit.jupiter.api.function.Executable>of(
              () -> EfSgd.builder(problem, network, x).compressor(scaled).build(),
              () -> Ef21Sgd.builder(problem, network, x).compressor(scaled).build(),
              () -> ChocoSgd.builder(problem, network, x).compressor(scaled).build(),
              () -> DeepSqueeze.builder(problem, network, x).compressor(scaled).build(),
              () ->
                  CompressedGradientTracking.builder(problem, network, x)
                      .compressor(scaled)
                      .build(),
              () -> Masha2.builder(problem, network, x).compressor(scaled).build())) {
        var e = assertThrows(IllegalArgumentException.class, wrong);
        assertTrue(e.getMessage().contains("random-k:1"), e.getMessage());
        assertTrue(e.getMessage().contains("omega of 3"), e.getMessage());
      }
      CompressedGradientTracking.builder(problem, network, x)
          .compressor(scaled)
          .alpha(0.25)
          .build()
          .close();
      for (org.junit.jupiter.api.function.Executable wrong :
          List.<org.junit.jupiter.api.function.Executable>of(
              () -> DianaSgd.builder(problem, network, x).compressor(TOP_1).build(),
              () -> Masha1.builder(problem, network, x).compressor(TOP_1).build())) {
        var e = assertThrows(IllegalArgumentException.class, wrong);
        assertTrue(e.getMessage().contains("top-k:1 is not"), e.getMessage());
      }
    }
  }

  @Test
  void compressorsWithoutAConstantAreTakenWhereFeedbackRepairsThem() {
    try (Problem problem = Shaped.of(new FixedGradient(new double[9], new double[9]), 3, 3);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(2))).build();
        DeviceMatrix x = zero(9)) {
      for (String name :
          List.of("power-sgd:1", "threshold:0.5:capacity=4", "sampled-top-k:2:sample=5")) {
        Compressor compressor = Compressor.parse(name);
        EfSgd.builder(problem, network, x).compressor(compressor).build().close();
        ChocoSgd.builder(problem, network, x)
            .compressor(compressor)
            .consensusStepSize(0.1)
            .build()
            .close();
        var e =
            assertThrows(
                IllegalArgumentException.class,
                () -> ChocoSgd.builder(problem, network, x).compressor(compressor).build());
        assertTrue(e.getMessage().contains("promises no delta"), e.getMessage());
        assertThrows(
            IllegalArgumentException.class,
            () -> Ef21Sgd.builder(problem, network, x).compressor(compressor).build());
      }
    }
  }
}
