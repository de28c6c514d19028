package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.Graph;
import dev.kith.graph.Laplacian;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import dev.kith.problem.SaddleFunction;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class ConsensusGainSgdTest {
  private static final Graph GRID = Topologies.grid(3, 3);

  /** Makes an optimizer. */
  private interface Factory {
    Optimizer create(Problem problem, Network network, DeviceMatrix initial);
  }

  private static double[] run(MixingMatrix w, int rounds, Factory factory) {
    try (Queue queue = Device.cpu().newQueue();
        Quadratic problem = Quadratic.random(9, 2, 3, 1, 1).build(queue, DType.F64);
        Network network = Network.builder(MixingSchedule.constant(w)).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 9, 2, DType.F64)) {
      for (int i = 0; i < 9; i++) {
        start.set(i, 0, i);
      }
      try (Optimizer optimizer = factory.create(problem, network, start)) {
        for (int k = 0; k < rounds; k++) {
          optimizer.step();
        }
        return optimizer.parameters().toDoubles();
      }
    }
  }

  @Test
  void fixedGainsAreCombineThenAdapt() {
    int maxDegree = GRID.maxDegree();
    double[] expected =
        run(
            new WeightRule.MaxDegree().weights(GRID),
            40,
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x)
                    .form(DecentralizedSgd.Form.CTA)
                    .stepSize(0.05)
                    .build());
    double[] actual =
        run(
            Laplacian.of(GRID).matrix(),
            40,
            (p, w, x) ->
                ConsensusGainSgd.builder(p, w, x)
                    .gradientGain(0.05, 0)
                    .consensusGain(1.0 / (1 + maxDegree), 0)
                    .build());
    assertArrayEquals(expected, actual, 40 * 128 * 0x1p-52);
    // I - W in the place of the Laplacian, with gain 1, is W itself.
    double[] mixing =
        run(
            new WeightRule.MaxDegree().weights(GRID),
            40,
            (p, w, x) ->
                ConsensusGainSgd.builder(p, w, x)
                    .gradientGain(0.05, 0)
                    .consensusGain(1, 0)
                    .build());
    assertArrayEquals(expected, mixing, 40 * 128 * 0x1p-52);
  }

  @Test
  void theConsensusTermKeepsTheSum() {
    double[] x =
        run(
            Laplacian.of(GRID).matrix(),
            400,
            (p, w, start) ->
                ConsensusGainSgd.builder(p, w, start)
                    .gradientGain(0, 0)
                    .consensusGain(0.15, 0.2)
                    .build());
    double sum = 0;
    for (int i = 0; i < 9; i++) {
      sum += x[2 * i];
      assertEquals(4, x[2 * i], 1e-6);
    }
    assertEquals(36, sum, 1e-12);
  }

  @Test
  void noiseLeavesTheSaddleAndWithoutItTheIterateStays() {
    for (double deviation : new double[] {0, 0.1}) {
      int copies = 20;
      try (Queue queue = Device.cpu().newQueue();
          SaddleFunction problem =
              new SaddleFunction(queue, DType.F64, new double[10], copies, deviation, 4);
          Network network =
              Network.builder(MixingSchedule.constant(Laplacian.of(Topologies.ring(10)).matrix()))
                  .build();
          DeviceMatrix start = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F64);
          DeviceMatrix mean = start.like();
          Optimizer optimizer =
              ConsensusGainSgd.builder(problem, network, start)
                  .gradientGain(0.5, 0.6)
                  .consensusGain(0.2, 0.1)
                  .build()) {
        for (int k = 0; k < 2000; k++) {
          optimizer.step();
        }
        network.observeAverage(optimizer.parameters(), mean);
        double[] x = mean.toDoubles();
        for (int c = 0; c < copies; c++) {
          if (deviation == 0) {
            assertEquals(0, x[2 * c]);
          } else {
            assertEquals(1, Math.abs(x[2 * c]), 0.1, Arrays.toString(x));
          }
        }
      }
    }
  }

  @Test
  void gainsOutsideTheirRangeAreRefused() {
    MixingMatrix laplacian = Laplacian.of(GRID).matrix();
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                run(
                    laplacian,
                    0,
                    (p, w, x) -> ConsensusGainSgd.builder(p, w, x).gradientGain(-1, 0).build()));
    assertTrue(e.getMessage().contains("-1.0"), e.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () ->
            run(
                laplacian,
                0,
                (p, w, x) -> ConsensusGainSgd.builder(p, w, x).consensusGain(1, 1.5).build()));
  }
}
