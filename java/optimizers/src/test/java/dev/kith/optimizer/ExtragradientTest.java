package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.FailingSchedule;
import dev.kith.graph.Failures;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.network.Network;
import dev.kith.problem.AffineOperator;
import dev.kith.problem.Problem;
import dev.kith.problem.RobustRegression;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ExtragradientTest {
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  /** The first row of the parameters after some rounds from zero. */
  private double[] run(Problem problem, double stepSize, int rounds) {
    try (Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(problem.nodes())))
                .build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F64);
        Optimizer optimizer =
            Extragradient.builder(problem, network, zero).stepSize(stepSize).build()) {
      for (int k = 0; k < rounds; k++) {
        optimizer.step();
      }
      try (DeviceMatrix row = optimizer.parameters().row(0)) {
        return row.toDoubles();
      }
    }
  }

  private static double distance(double[] a, double[] b) {
    double sum = 0;
    for (int c = 0; c < a.length; c++) {
      sum += (a[c] - b[c]) * (a[c] - b[c]);
    }
    return Math.sqrt(sum);
  }

  @Test
  void oneRoundIsATrialStepAndAStep() {
    // F(x, y) = (y, -x) + (1, 0), gamma = 1/2, from 0: F = (1, 0), trial (-1/2, 0), F there (1,
    // 1/2).
    try (Problem problem =
        AffineOperator.of(new double[][] {{0, 1, -1, 0}}, new double[][] {{1, 0}})
            .build(queue, DType.F64)) {
      assertArrayEquals(new double[] {-0.5, -0.25}, run(problem, 0.5, 1));
    }
  }

  @Test
  void itFindsTheSolutionOfBilinearProblems() {
    AffineOperator.Builder builder = AffineOperator.bilinear(6, 5, 0.1, 3);
    try (AffineOperator problem = builder.build(queue, DType.F64)) {
      // Contraction by about 1 - gamma mu = 0.97 a round.
      assertTrue(distance(run(problem, 0.3, 1500), problem.solution()) < 1e-10);
    }
  }

  @Test
  void itFindsTheSaddleOfRobustRegression() {
    int size = 4;
    try (RobustRegression problem =
            RobustRegression.random(5, 20, size, 0.5, 3).regularization(0.1, 10).build();
        DeviceMatrix rows = DeviceMatrix.allocate(queue, 5, problem.layout(), DType.F64);
        DeviceMatrix f = rows.like()) {
      double[] z = run(problem, 0.05, 3000);
      for (int i = 0; i < 5; i++) {
        try (DeviceMatrix row = rows.row(i)) {
          row.upload(z);
        }
      }
      problem.gradient(rows, f, 0);
      double[] all = f.toDoubles();
      double[] sum = new double[2 * size];
      for (int k = 0; k < all.length; k++) {
        sum[k % (2 * size)] += all[k];
      }
      assertArrayEquals(new double[2 * size], sum, 1e-10);
      // r is parallel to w at the saddle, and not 0.
      double ratio = z[size] / z[0];
      assertTrue(Math.abs(ratio) > 1e-6);
      for (int c = 0; c < size; c++) {
        assertEquals(ratio * z[c], z[size + c], 1e-10);
      }
    }
  }

  @Test
  void startsThatDifferAndNodesThatFailAreRefused() {
    MixingSchedule failing =
        FailingSchedule.of(
            Topologies.ring(4),
            new WeightRule.Metropolis(),
            Failures.builder().removeNodes(1, 2).build());
    try (Problem problem = AffineOperator.random(4, 3, 1).build(queue, DType.F64);
        Network network = Network.builder(failing).build();
        DeviceMatrix rows = DeviceMatrix.allocate(queue, 4, problem.layout(), DType.F64);
        DeviceMatrix row = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F64);
        Optimizer optimizer = Extragradient.builder(problem, network, row).build()) {
      var start =
          assertThrows(
              IllegalArgumentException.class,
              () -> Extragradient.builder(problem, network, rows).build());
      assertTrue(start.getMessage().contains("4 rows"), start.getMessage());
      optimizer.step();
      var e = assertThrows(IllegalArgumentException.class, optimizer::step);
      assertTrue(e.getMessage().contains("node 2 does not take part in round 1"), e.getMessage());
      assertEquals(1, optimizer.round());
    }
  }
}
