package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

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
  }
}
