package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.network.Processes;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import java.util.List;
import org.junit.jupiter.api.Test;

class SharpnessTest {
  /** The mean Hessian of both nodes is diag(4, 2, 1). */
  private static final double[][] CURVATURES = {
    {7, 0, 0, 0, 1, 0, 0, 0, 1}, {1, 0, 0, 0, 3, 0, 0, 0, 1}
  };

  @Test
  void itIsThatOfTheMeanOfAllNodesInEveryProcess() {
    for (int processes : new int[] {1, 2}) {
      List<double[]> found =
          Processes.run(
              2,
              processes,
              (transport, queue) -> {
                try (Quadratic problem =
                        Quadratic.of(CURVATURES, new double[2][3])
                            .nodes(transport.range().begin(), transport.range().end())
                            .build(queue, DType.F64);
                    Network network =
                        Network.builder(MixingSchedule.constant(MixingMatrix.uniform(2)))
                            .transport(transport)
                            .build();
                    DeviceMatrix w = DeviceMatrix.row(queue, 1.0, 2.0, 3.0);
                    Sharpness sharpness = new Sharpness(problem, network, w)) {
                  double[] values = sharpness.at(w, 2);
                  assertEquals(0, network.meter().bytes());
                  return values;
                }
              });
      for (double[] values : found) {
        assertEquals(4, values[0], 1e-12);
        assertEquals(2, values[1], 1e-12);
      }
    }
  }

  @Test
  void aProblemWithoutAHessianIsNamed() {
    Problem problem = new FixedGradient(new double[] {1});
    try (Queue queue = Device.cpu().newQueue();
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(1))).build();
        DeviceMatrix w = DeviceMatrix.row(queue, 1.0)) {
      var e =
          assertThrows(IllegalArgumentException.class, () -> new Sharpness(problem, network, w));
      assertTrue(e.getMessage().contains("FixedGradient"), e.getMessage());
    }
  }
}
