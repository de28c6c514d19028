package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class SignSgdTest {
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private double[] run(double[][] gradients, double momentum, int rounds) {
    try (Problem problem = new FixedGradient(gradients);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(gradients.length)))
                .build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        Optimizer optimizer =
            SignSgd.builder(problem, network, zero).stepSize(0.25).momentum(momentum).build()) {
      for (int k = 0; k < rounds; k++) {
        optimizer.step();
      }
      // One word of bits and a header, to each of the others.
      int n = gradients.length;
      assertEquals((long) rounds * n * (n - 1) * (64 + 4), network.meter().bytes());
      try (DeviceMatrix row = optimizer.parameters().row(0)) {
        return row.toDoubles();
      }
    }
  }

  @Test
  void theMajorityDecidesWhateverItsSizes() {
    double[][] g = {{1, -100, 0.5, -1}, {2, 1, -3, -2}, {-50, 1e-6, -1, -3}};
    assertArrayEquals(new double[] {-0.5, -0.5, 0.5, 0.5}, run(g, 0, 2));
    assertArrayEquals(new double[] {-0.5, -0.5, 0.5, 0.5}, run(g, 0.9, 2));
  }

  @Test
  void tiesAndZerosAreVotesForPlus() {
    assertArrayEquals(
        new double[] {-0.25, -0.25, 0.25}, run(new double[][] {{1, 0, -1}, {-1, -1, -2}}, 0, 1));
  }
}
