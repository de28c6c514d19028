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
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.problem.AffineOperator;
import dev.kith.problem.Problem;
import dev.kith.problem.Regularizer;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** MASHA with a regularizer, and with messages that are compressed on both ways. */
class MashaTest {
  private static final int N = 5;
  private static final int D = 6;

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  /** A graph that changes from round to round: nothing here depends on it. */
  private static Network network(int nodes) {
    return Network.builder(
            nodes == 1
                ? MixingSchedule.constant(MixingMatrix.uniform(1))
                : MixingSchedule.onePeerExponential(nodes))
        .build();
  }

  private static double[] firstRow(DeviceMatrix m) {
    return Arrays.copyOf(m.toDoubles(), Math.toIntExact(m.cols()));
  }

  /** The parameters of node 0 after some rounds from 0. */
  private double[] run(Problem problem, int rounds, Algorithm.Factory factory) {
    try (problem;
        Network network = network(problem.nodes());
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        Optimizer optimizer = factory.create(problem, network, zero)) {
      for (int k = 0; k < rounds; k++) {
        optimizer.step();
      }
      return firstRow(optimizer.parameters());
    }
  }

  private Problem operators() {
    return AffineOperator.random(N, D, 4).build(queue, DType.F32);
  }

  @Test
  void bothStepsEndWithTheProximalOperator() {
    // F(z) = z + (1/2, 2), gamma = 1/2, h = |z|_1 / 2, from (1, -1), all exact:
    // z - F(z) / 2 = (1/4, -3/2), its prox (0, -5/4), F there (1/2, 3/4),
    // z - F / 2 = (3/4, -11/8), its prox (1/2, -9/8).
    AffineOperator.Builder operator =
        AffineOperator.of(new double[][] {{1, 0, 0, 1}}, new double[][] {{0.5, 2}});
    Regularizer h = Regularizer.l1(0.5);
    Algorithm.Factory[] factories = {
      (p, w, z) -> Extragradient.builder(p, w, z).stepSize(0.5).regularizer(h).build(),
      (p, w, z) ->
          Masha1.builder(p, w, z).stepSize(0.5).referenceProbability(1).regularizer(h).build()
    };
    for (Algorithm.Factory factory : factories) {
      try (Problem problem = operator.build(queue, DType.F32);
          Network network = network(1);
          DeviceMatrix start = DeviceMatrix.row(queue, 1f, -1f);
          Optimizer optimizer = factory.create(problem, network, start)) {
        optimizer.step();
        assertArrayEquals(new double[] {0.5, -1.125}, firstRow(optimizer.parameters()));
      }
    }
  }

  @Test
  void itFindsTheSparseSolution() {
    // F(z) = z + mean b, h = lambda |z|_1: z is -mean b pulled towards 0 by lambda.
    double[][] identities = new double[4][9];
    for (double[] m : identities) {
      m[0] = m[4] = m[8] = 1;
    }
    double[][] b = {{1, 0.5, -9}, {2, -0.5, 1}, {3, 0.5, 0}, {-2, 0.25, -4}};
    double lambda = 0.25;
    // mean b = (1, 0.1875, -3).
    double[] z =
        run(
            AffineOperator.of(identities, b).build(queue, DType.F32),
            600,
            (p, w, x) ->
                Masha1.builder(p, w, x)
                    .compressor(Compressor.parse("random-k:1"))
                    .stepSize(0.1)
                    .regularizer(Regularizer.l1(lambda))
                    .build());
    // Contraction by at most 1 - gamma / 2 a round leaves 4e-14 of what was below 4; then f32.
    assertArrayEquals(new double[] {-0.75, 0, 2.75}, z, 1e-5);
    assertEquals(0, z[1]);
  }

  @Test
  void constraintsHoldInEveryRound() {
    try (Problem problem = operators();
        Network network = network(N);
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, D, DType.F32);
        Optimizer optimizer =
            Masha1.builder(problem, network, zero)
                .compressor(Compressor.parse("random-k:2"))
                .stepSize(0.1)
                .regularizer(Regularizer.nonNegative())
                .build()) {
      double most = 0;
      for (int k = 0; k < 100; k++) {
        optimizer.step();
        double[] z = firstRow(optimizer.parameters());
        assertTrue(Arrays.stream(z).allMatch(v -> v >= 0), Arrays.toString(z));
        most = Math.max(most, Arrays.stream(z).max().orElseThrow());
      }
      assertTrue(most > 0.1, "all stayed 0");
    }
  }

  @Test
  void aServerThatLosesNothingChangesNoBit() {
    Compressor identity = Compressor.parse("identity");
    Compressor random = Compressor.parse("random-k:2");
    Compressor top = Compressor.parse("top-k:2");
    assertArrayEquals(
        run(operators(), 60, (p, w, x) -> Masha1.builder(p, w, x).compressor(random).build()),
        run(
            operators(),
            60,
            (p, w, x) ->
                Masha1.builder(p, w, x).compressor(random).serverCompressor(identity).build()));
    assertArrayEquals(
        run(operators(), 60, (p, w, x) -> Masha2.builder(p, w, x).compressor(top).build()),
        run(
            operators(),
            60,
            (p, w, x) ->
                Masha2.builder(p, w, x).compressor(top).serverCompressor(identity).build()));
  }

  /**
   * Compressed both ways the solution is still exact. In f32 it is reached to about 1e-6; rounds
   * were chosen by the theorems' rate at these step sizes, 1 - gamma mu / 2 with mu = 0.1.
   */
  @Test
  void compressedBothWaysItFindsTheSolution() {
    try (AffineOperator problem = AffineOperator.random(N, D, 4).build(queue, DType.F32)) {
      double[] solution = problem.solution();
      double size = Math.sqrt(Arrays.stream(solution).map(c -> c * c).sum());
      Algorithm.Factory[] factories = {
        (p, w, x) ->
            Masha1.builder(p, w, x)
                .compressor(Compressor.parse("random-k:3"))
                .serverCompressor(Compressor.parse("random-k:3"))
                .stepSize(0.12)
                .build(),
        (p, w, x) ->
            Masha2.builder(p, w, x)
                .compressor(Compressor.parse("top-k:3"))
                .serverCompressor(Compressor.parse("top-k:3"))
                .stepSize(0.12)
                .build()
      };
      for (Algorithm.Factory factory : factories) {
        double[] z = run(operators(), 3000, factory);
        double error = 0;
        for (int c = 0; c < D; c++) {
          error += (z[c] - solution[c]) * (z[c] - solution[c]);
        }
        assertTrue(Math.sqrt(error) < 1e-5 * size, Math.sqrt(error) / size + " is left");
      }
    }
  }

  /** z' - gamma (mean e_i' + e') is the step that loses nothing, from the operators at z_half. */
  @Test
  void whatBothWaysLoseIsInTheirErrors() {
    double gamma = 0.1;
    double p = 0.3;
    AffineOperator.Builder builder = AffineOperator.random(N, D, 4);
    try (AffineOperator problem = builder.build(queue, DType.F32);
        Network network = network(N);
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, D, DType.F32);
        Masha2 optimizer =
            Masha2.builder(problem, network, zero)
                .compressor(Compressor.parse("top-k:2"))
                .serverCompressor(Compressor.parse("top-k:1"))
                .stepSize(gamma)
                .referenceProbability(p)
                .build()) {
      double[] z = new double[D];
      double[] lost = new double[D];
      double most = 0;
      for (int k = 0; k < 40; k++) {
        double[] w = firstRow(optimizer.state().get("reference"));
        double[] atReference = mean(builder, w);
        double[] half = new double[D];
        for (int c = 0; c < D; c++) {
          half[c] = (1 - p) * z[c] + p * w[c] - gamma * atReference[c];
        }
        double[] atHalf = mean(builder, half);
        optimizer.step();
        double[] next = firstRow(optimizer.parameters());
        double[] before = lost.clone();
        lost = lost(optimizer);
        for (int c = 0; c < D; c++) {
          // Some forty roundings to f32 of numbers below 8.
          assertEquals(
              half[c] - gamma * (atHalf[c] - atReference[c] + before[c]),
              next[c] - gamma * lost[c],
              40 * 8 * 0x1p-24,
              "round " + k);
          most = Math.max(most, Math.abs(lost[c]));
        }
        z = next;
      }
      assertTrue(most > 0.1, "nothing was lost");
      assertTrue(
          Arrays.stream(optimizer.serverResidual().orElseThrow().toDoubles())
              .anyMatch(e -> e != 0));
    }
  }

  /** mean_i e_i + e. */
  private static double[] lost(Masha2 optimizer) {
    double[] nodes = optimizer.residual().toDoubles();
    double[] sum = optimizer.serverResidual().orElseThrow().toDoubles();
    for (int k = 0; k < nodes.length; k++) {
      sum[k % D] += nodes[k] / N;
    }
    return sum;
  }

  private static double[] mean(AffineOperator.Builder operators, double[] z) {
    double[][] a = operators.matrices();
    double[][] b = operators.offsets();
    double[] mean = new double[D];
    for (int i = 0; i < N; i++) {
      for (int r = 0; r < D; r++) {
        mean[r] += b[i][r] / N;
        for (int c = 0; c < D; c++) {
          mean[r] += a[i][r * D + c] * z[c] / N;
        }
      }
    }
    return mean;
  }

  @Test
  void aServerTakesOneMessageOfEachOfTheOthersAndAnswersIt() {
    int header = 64;
    try (Problem problem = operators();
        Network network = network(N);
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, D, DType.F32);
        Optimizer optimizer =
            Masha1.builder(problem, network, zero)
                .compressor(Compressor.parse("random-k:1"))
                .serverCompressor(Compressor.parse("random-k:2"))
                .referenceProbability(Double.MIN_NORMAL)
                .build()) {
      for (int k = 0; k < 3; k++) {
        optimizer.step();
      }
      // At first F(w) is averaged: a message of all numbers up the tree and one down.
      long first = 2L * (N - 1) * 4 * D;
      assertEquals(first + 3L * (N - 1) * (header + 4 + header + 8), network.meter().bytes());
      // Node 0 is above nodes 1, 2 and 4 in that tree.
      assertEquals(3 * 4 * D + 3L * (N - 1) * (header + 8), network.meter().bytes(0));
    }
  }

  @Test
  void serversThatBreakThePromiseAreRefused() {
    try (Problem problem = operators();
        Network network = network(N);
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, D, DType.F32)) {
      var biased =
          assertThrows(
              IllegalArgumentException.class,
              () ->
                  Masha1.builder(problem, network, zero)
                      .serverCompressor(Compressor.parse("top-k:1"))
                      .build());
      assertTrue(biased.getMessage().contains("MASHA1's server needs"), biased.getMessage());
      var noisy =
          assertThrows(
              IllegalArgumentException.class,
              () ->
                  Masha2.builder(problem, network, zero)
                      .serverCompressor(Compressor.parse("random-k:1"))
                      .build());
      assertTrue(noisy.getMessage().contains("MASHA2's server needs"), noisy.getMessage());
    }
  }
}
