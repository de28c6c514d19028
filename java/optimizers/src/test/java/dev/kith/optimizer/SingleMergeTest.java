package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.problem.Quadratic;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class SingleMergeTest {
  private static final int N = 8;

  /** What a test does with an optimizer. */
  private interface Body {
    void run(SingleMerge optimizer, Network network);
  }

  private static double[] with(
      double rate, java.util.function.UnaryOperator<SingleMerge.Builder> settings, Body body) {
    try (Queue queue = Device.cpu().newQueue();
        Quadratic problem = Quadratic.random(N, 3, 4, 1, 1).build(queue, DType.F64);
        Network network = Network.builder(MixingSchedule.sparseGossip(N, rate, 3)).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F64);
        SingleMerge optimizer =
            settings.apply(SingleMerge.builder(problem, network, start).stepSize(0.05)).build()) {
      body.run(optimizer, network);
      return optimizer.parameters().toDoubles();
    }
  }

  private static void steps(Optimizer optimizer, int count) {
    for (int k = 0; k < count; k++) {
      optimizer.step();
    }
  }

  @Test
  void theMergeGivesAllNodesTheAverageThatWasInSight() {
    double[] seen = new double[3];
    double[] merged =
        with(
            0.2,
            b -> b.localSteps(3),
            (optimizer, network) -> {
              steps(optimizer, 10);
              try (DeviceMatrix mean = optimizer.parameters().like(1, 3, DType.F64)) {
                long bytes = network.meter().bytes();
                optimizer.counterfactual(mean);
                assertEquals(bytes, network.meter().bytes());
                System.arraycopy(mean.toDoubles(), 0, seen, 0, 3);
                assertTrue(network.consensusDistance(optimizer.parameters()) > 1e-3);
                optimizer.merge();
                assertEquals(bytes + 2 * (N - 1) * 3 * 8, network.meter().bytes());
              }
            });
    for (int i = 0; i < N; i++) {
      assertArrayEquals(seen, Arrays.copyOfRange(merged, 3 * i, 3 * i + 3));
    }
  }

  @Test
  void aPlannedMergeIsAMergeAfterThatRound() {
    double[] planned = with(0.2, b -> b.mergeAfter(6), (optimizer, network) -> steps(optimizer, 6));
    double[] asked =
        with(
            0.2,
            b -> b,
            (optimizer, network) -> {
              steps(optimizer, 6);
              optimizer.merge();
            });
    assertArrayEquals(asked, planned);
  }

  @Test
  void withoutGossipItIsOneShotAveraging() {
    with(
        0,
        b -> b.mergeAfter(5),
        (optimizer, network) -> {
          steps(optimizer, 5);
          assertEquals(2 * (N - 1), network.meter().messages());
        });
  }

  @Test
  void denseRoundsAllTheTimeAreFedAvg() {
    double[] dense =
        with(
            0.2,
            b -> b.localSteps(4).denseWindow(0, 10),
            (optimizer, network) -> steps(optimizer, 10));
    try (Queue queue = Device.cpu().newQueue();
        Quadratic problem = Quadratic.random(N, 3, 4, 1, 1).build(queue, DType.F64);
        Network network = Network.builder(MixingSchedule.sparseGossip(N, 0.2, 3)).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F64);
        Optimizer central =
            CentralSgd.builder(problem, network, start).localSteps(4).stepSize(0.05).build()) {
      steps(central, 10);
      assertArrayEquals(central.parameters().toDoubles(), dense);
    }
  }

  @Test
  void impossibleWindowsAreRefused() {
    assertThrows(
        IllegalArgumentException.class, () -> with(0.2, b -> b.mergeAfter(0), (o, n) -> {}));
    assertThrows(
        IllegalArgumentException.class, () -> with(0.2, b -> b.denseWindow(3, 2), (o, n) -> {}));
    assertThrows(
        IllegalArgumentException.class, () -> with(0.2, b -> b.localSteps(0), (o, n) -> {}));
  }
}
