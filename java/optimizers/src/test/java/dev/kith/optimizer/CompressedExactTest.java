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
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.problem.AffineOperator;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What the compressed algorithms reduce to where nothing is lost. */
class CompressedExactTest {
  private static final int N = 6;
  private static final int D = 5;

  /** Errors of f32 in contractions: some 2^-24 of numbers below 4, a few of them a round. */
  private static final double TOLERANCE = 100 * 0x1p-22;

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private Problem quadratic() {
    return Quadratic.random(N, D, 4, 1, 1).build(queue, DType.F32);
  }

  private Problem operator() {
    return AffineOperator.random(N, D, 1).build(queue, DType.F32);
  }

  /** The parameters after some rounds, by node. */
  private double[] run(Problem problem, int rounds, Algorithm.Factory factory) {
    try (problem;
        Network network = Network.builder(MixingSchedule.constant(Algorithm.ring(N))).build();
        DeviceMatrix start = DeviceMatrix.row(queue, -1f, -0.75f, 0.5f, 0.25f, 2f);
        Optimizer optimizer = factory.create(problem, network, start)) {
      for (int k = 0; k < rounds; k++) {
        optimizer.step();
      }
      return optimizer.parameters().toDoubles();
    }
  }

  private double[] central(int rounds) {
    return run(quadratic(), rounds, (p, w, x) -> CentralSgd.builder(p, w, x).stepSize(0.1).build());
  }

  @Test
  void chocoWithoutLossIsDecentralizedSgd() {
    assertArrayEquals(
        run(quadratic(), 40, (p, w, x) -> DecentralizedSgd.builder(p, w, x).stepSize(0.1).build()),
        run(
            quadratic(),
            40,
            (p, w, x) -> ChocoSgd.builder(p, w, x).stepSize(0.1).consensusStepSize(1).build()),
        TOLERANCE);
  }

  @Test
  void deepSqueezeWithoutLossIsDecentralizedSgd() {
    assertArrayEquals(
        run(quadratic(), 40, (p, w, x) -> DecentralizedSgd.builder(p, w, x).stepSize(0.1).build()),
        run(
            quadratic(),
            40,
            (p, w, x) -> DeepSqueeze.builder(p, w, x).stepSize(0.1).consensusStepSize(1).build()),
        TOLERANCE);
  }

  @Test
  void compressedTrackingWithoutLossIsGradientTracking() {
    assertArrayEquals(
        run(
            quadratic(),
            40,
            (p, w, x) ->
                GradientTracking.builder(p, w, x)
                    .form(DecentralizedSgd.Form.CTA)
                    .stepSize(0.05)
                    .build()),
        run(
            quadratic(),
            40,
            (p, w, x) ->
                CompressedGradientTracking.builder(p, w, x)
                    .stepSize(0.05)
                    .consensusStepSize(1)
                    .build()),
        TOLERANCE);
  }

  @Test
  void efSgdWithoutLossIsSgdAndHasNoErrors() {
    assertArrayEquals(
        central(40),
        run(quadratic(), 40, (p, w, x) -> EfSgd.builder(p, w, x).stepSize(0.1).build()),
        TOLERANCE);
    try (Problem problem = quadratic();
        Network network = Network.builder(MixingSchedule.constant(Algorithm.ring(N))).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        EfSgd optimizer = EfSgd.builder(problem, network, start).build()) {
      optimizer.step();
      optimizer.step();
      assertArrayEquals(new double[N * D], optimizer.residual().toDoubles());
    }
  }

  @Test
  void momentumIsThatOfNesterov() {
    // Constant gradient 1, lambda = 1/2, gamma = 1: velocities 1, 3/2; steps 3/2, 7/4.
    try (Problem problem = new FixedGradient(new double[] {1});
        Network network = Network.builder(MixingSchedule.constant(Algorithm.ring(1))).build();
        DeviceMatrix start = DeviceMatrix.row(queue, 0f);
        Optimizer optimizer =
            EfSgd.builder(problem, network, start).stepSize(1).momentum(0.5).build()) {
      optimizer.step();
      assertEquals(-1.5, optimizer.parameters().get(0, 0));
      optimizer.step();
      assertEquals(-3.25, optimizer.parameters().get(0, 0));
    }
  }

  @Test
  void ef21WithoutLossIsDescentOneRoundLate() {
    assertArrayEquals(
        central(39),
        run(quadratic(), 40, (p, w, x) -> Ef21Sgd.builder(p, w, x).stepSize(0.1).build()),
        TOLERANCE);
  }

  @Test
  void dianaWithoutLossIsDescent() {
    for (double alpha : new double[] {0, 0.25, 1}) {
      assertArrayEquals(
          central(40),
          run(
              quadratic(),
              40,
              (p, w, x) -> DianaSgd.builder(p, w, x).stepSize(0.1).alpha(alpha).build()),
          TOLERANCE);
    }
  }

  @Test
  void mashaWithoutLossThatAlwaysMovesItsReferenceIsExtragradient() {
    double[] expected =
        run(operator(), 40, (p, w, x) -> Extragradient.builder(p, w, x).stepSize(0.3).build());
    assertArrayEquals(
        expected,
        run(
            operator(),
            40,
            (p, w, x) -> Masha1.builder(p, w, x).stepSize(0.3).referenceProbability(1).build()),
        TOLERANCE);
    assertArrayEquals(
        expected,
        run(
            operator(),
            40,
            (p, w, x) -> Masha2.builder(p, w, x).stepSize(0.3).referenceProbability(1).build()),
        TOLERANCE);
  }

  @Test
  void onlyACompressorWithARankAdaptsIt() {
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                run(
                    quadratic(),
                    1,
                    (p, w, x) ->
                        EfSgd.builder(p, w, x)
                            .compressor(Compressor.parse("top-k:2"))
                            .adaptiveRank(0.9, 5)
                            .build()));
    assertTrue(
        e.getMessage().contains("top-k:2") && e.getMessage().contains("no rank"), e.getMessage());
  }
}
