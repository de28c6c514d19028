package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.TestDevice;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ComplexMomentumTest {
  private final Queue queue = TestDevice.chosen().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private Network ring(int n) {
    return Network.builder(MixingSchedule.constant(Algorithm.ring(n))).build();
  }

  @Test
  void angleZeroIsHeavyBall() {
    try (Problem problem = Quadratic.random(5, 4, 4, 1, 3).build(queue, DType.F64);
        Network network = ring(5);
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 4, DType.F64);
        Optimizer complex =
            ComplexMomentum.builder(problem, network, zero)
                .stepSize(0.05)
                .momentum(0.8, 0)
                .build();
        Optimizer ball =
            DecentralizedSgd.builder(problem, network, zero)
                .rule(new StepRule.HeavyBall(0.05, 0.8))
                .build()) {
      for (int k = 0; k < 50; k++) {
        complex.step();
        ball.step();
      }
      assertArrayEquals(ball.parameters().toDoubles(), complex.parameters().toDoubles(), 1e-13);
    }
  }

  @Test
  void stepsAreThoseOfComplexNumbers() {
    try (Problem problem = new FixedGradient(new double[] {1, -2}, new double[] {0.5, 4});
        Network network = ring(2);
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 2, DType.F64);
        ComplexMomentum optimizer =
            ComplexMomentum.builder(problem, network, zero)
                .stepSize(0.1)
                .momentum(0.9, Math.PI / 3)
                .build()) {
      for (int k = 0; k < 4; k++) {
        optimizer.step();
      }
      // m_t = -g (1 - beta^t) / (1 - beta); x = 0.1 sum Re m_t, and nodes of a ring of two average.
      double re = 0;
      double im = 0;
      double sum = 0;
      for (int k = 0; k < 4; k++) {
        double next = 0.9 * (0.5 * re - Math.sqrt(0.75) * im) - 1;
        im = 0.9 * (Math.sqrt(0.75) * re + 0.5 * im);
        re = next;
        sum += 0.1 * re;
      }
      assertArrayEquals(
          new double[] {0.75 * sum, sum, 0.75 * sum, sum},
          optimizer.parameters().toDoubles(),
          1e-14);
    }
  }

  @Test
  void whatIsImpossibleIsRefused() {
    try (Problem problem = new FixedGradient(new double[] {1, Double.NaN});
        Network network = ring(1);
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 2, DType.F64)) {
      var builder = ComplexMomentum.builder(problem, network, zero);
      var e = assertThrows(IllegalArgumentException.class, () -> builder.momentum(1, 0));
      assertTrue(e.getMessage().contains("1.0"), e.getMessage());
      assertThrows(IllegalArgumentException.class, () -> builder.momentum(-0.1, 0));
      assertThrows(IllegalArgumentException.class, () -> builder.momentum(0.5, Double.NaN));
      try (Optimizer optimizer = builder.build()) {
        assertThrows(NonFiniteException.class, optimizer::step);
        assertEquals(0, optimizer.round());
        assertArrayEquals(new double[2], optimizer.parameters().toDoubles());
      }
    }
  }
}
