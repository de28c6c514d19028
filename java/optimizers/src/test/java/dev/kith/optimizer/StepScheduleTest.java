package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.List;
import java.util.function.LongToDoubleFunction;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class StepScheduleTest {
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private double[] run(StepRule rule, int localSteps, int rounds, LongToDoubleFunction schedule) {
    try (Problem problem = new FixedGradient(new double[] {1, -4});
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(1))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 2, DType.F32);
        Optimizer optimizer =
            DecentralizedSgd.builder(problem, network, zero)
                .rule(rule)
                .localSteps(localSteps)
                .schedule(schedule)
                .build()) {
      for (int k = 0; k < rounds; k++) {
        optimizer.step();
      }
      return optimizer.parameters().toDoubles();
    }
  }

  /**
   * Steps of 1, 1, 1/2 and 1/4, with one gradient a round and with two: powers of two are exact.
   */
  @Test
  void everyRoundHasItsStepSize() {
    LongToDoubleFunction halves = t -> t < 2 ? 1 : Math.scalb(1, (int) (1 - t));
    for (StepRule rule : List.of(new StepRule.Sgd(0.5), new StepRule.HeavyBall(0.5, 0))) {
      assertArrayEquals(new double[] {-1.375, 5.5}, run(rule, 1, 4, halves));
      assertArrayEquals(new double[] {-2.75, 11}, run(rule, 2, 4, halves));
    }
  }

  @Test
  void factorsThatAreNoneAreRefused() {
    for (double wrong : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}) {
      var e =
          assertThrows(
              IllegalArgumentException.class,
              () -> run(new StepRule.Sgd(0.5), 1, 4, t -> t == 3 ? wrong : 1));
      assertTrue(e.getMessage().contains("round 3 by " + wrong), e.getMessage());
    }
  }
}
