package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
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
import dev.kith.problem.BilevelProblem;
import dev.kith.problem.QuadraticBilevel;
import dev.kith.problem.Regularizer;
import dev.kith.problem.SineBilevel;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PbgdTest {
  @TempDir Path folder;
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private static MixingSchedule uniform(int n) {
    return MixingSchedule.constant(MixingMatrix.uniform(n));
  }

  /** The first row after some rounds. */
  private double[] run(
      BilevelProblem problem, double[] start, int rounds, UnaryOperator<Pbgd.Builder> settings) {
    try (Network network = Network.builder(uniform(problem.nodes())).build();
        DeviceMatrix initial = DeviceMatrix.row(queue, start);
        Pbgd optimizer = settings.apply(Pbgd.builder(problem, network, initial)).build()) {
      for (int k = 0; k < rounds; k++) {
        optimizer.step();
      }
      return Arrays.copyOf(optimizer.parameters().toDoubles(), start.length);
    }
  }

  @Test
  void withoutAPenaltyItIsProjectedDescentOnTheUpperProblem() {
    double[] start = {0.45, -1, 0.2, 2};
    for (Pbgd.Penalty penalty : Pbgd.Penalty.values()) {
      try (SineBilevel problem = new SineBilevel(2, 2);
          DeviceMatrix z = DeviceMatrix.of(queue, new double[][] {start, start});
          DeviceMatrix g = z.like()) {
        double[] found =
            run(
                problem,
                start,
                40,
                s ->
                    s.penalty(penalty)
                        .penaltyWeight(0)
                        .stepSize(0.1)
                        .constraint(Regularizer.box(0, 0.5)));
        double[] expected = start.clone();
        for (int k = 0; k < 40; k++) {
          z.upload(
              new double[] {
                expected[0], expected[1], expected[2], expected[3],
                expected[0], expected[1], expected[2], expected[3]
              });
          problem.gradient(z, g, 0);
          double[] slope = g.toDoubles();
          for (int c = 0; c < 4; c++) {
            expected[c] -= 0.1 * slope[c];
            if (c < 2) {
              expected[c] = Math.max(0, Math.min(0.5, expected[c]));
            }
          }
        }
        assertArrayEquals(expected, found, 1e-13);
        assertTrue(
            Arrays.stream(expected, 0, 2).anyMatch(x -> x == 0 || x == 0.5),
            "the border is met: " + Arrays.toString(expected));
      }
    }
  }

  @Test
  void aLargePenaltyLeadsToTheBilevelSolution() {
    QuadraticBilevel.Builder builder = QuadraticBilevel.random(3, 2, 3, 0.5, 4).regularization(1);
    double[] start = new double[5];
    for (Pbgd.Penalty penalty : Pbgd.Penalty.values()) {
      double[] gradients = new double[2];
      try (QuadraticBilevel problem = builder.build(queue, DType.F64)) {
        for (int k = 0; k < 2; k++) {
          double gamma = k == 0 ? 20 : 40;
          double[] z =
              run(
                  problem,
                  start,
                  (int) (120 * gamma),
                  s ->
                      s.penalty(penalty)
                          .penaltyWeight(gamma)
                          .stepSize(0.1 / gamma)
                          .lowerSteps(5, 0.2));
          double[] h = builder.hypergradient(new double[] {z[0], z[1]});
          gradients[k] = Math.hypot(h[0], h[1]);
        }
      }
      // O(1 / gamma): twice the penalty, half of what is missed.
      assertEquals(2, gradients[0] / gradients[1], 0.25, penalty + Arrays.toString(gradients));
      assertTrue(gradients[1] < 0.2, penalty + Arrays.toString(gradients));
    }
  }

  @Test
  void oneRoundIsTheFormula() {
    double[] h = {2, 0.5, 0.5, 1};
    double[] b = {1, -1};
    double[] a = {0.5, 2};
    double[] c = {-1, 0.25};
    try (QuadraticBilevel problem =
        QuadraticBilevel.of(
                new double[][] {h}, new double[][] {b}, new double[][] {a}, new double[][] {c})
            .build(queue, DType.F64)) {
      double x = 0.7;
      double[] y = {0.3, -0.4};
      double[] slope = {
        h[0] * y[0] + h[1] * y[1] - b[0] * x - c[0], h[2] * y[0] + h[3] * y[1] - b[1] * x - c[1]
      };
      double[] w = {y[0] - 0.1 * slope[0], y[1] - 0.1 * slope[1]};
      double gamma = 4;
      // dg/dx (x, y) - dg/dx (x, omega) = -B^T (y - omega); half of the steps through the scale.
      double gx = 0.1 * x + gamma * -(b[0] * (y[0] - w[0]) + b[1] * (y[1] - w[1]));
      double[] expected = {
        x - 0.02 / 4 * gx,
        y[0] - 0.03 / 4 * (y[0] - a[0] + gamma * slope[0]),
        y[1] - 0.03 / 4 * (y[1] - a[1] + gamma * slope[1])
      };
      assertArrayEquals(
          expected,
          run(
              problem,
              new double[] {x, y[0], y[1]},
              1,
              s ->
                  s.penaltyWeight(gamma)
                      .stepSize(0.03)
                      .upperStepSize(0.02)
                      .scaled()
                      .lowerSteps(1, 0.1)),
          1e-15);
    }
  }

  @Test
  void thePenaltyGrowsAsItWasAskedTo() {
    try (SineBilevel problem = new SineBilevel(1, 1);
        Network network = Network.builder(uniform(1)).build();
        DeviceMatrix start = DeviceMatrix.row(queue, 1.0, 1);
        Pbgd optimizer = Pbgd.builder(problem, network, start).penaltyWeight(0, 0.2, 4).build()) {
      double[] seen = new double[6];
      for (int k = 0; k < 6; k++) {
        seen[k] = optimizer.penaltyWeight();
        optimizer.step();
      }
      assertArrayEquals(new double[] {0, 0.05, 0.1, 0.15, 0.2, 0.2}, seen, 1e-16);
    }
  }

  @Test
  void cutsAndResumingDoNotChangeABit() {
    for (Pbgd.Penalty penalty : Pbgd.Penalty.values()) {
      BilevelRuns.Factory factory =
          (problem, network, start) ->
              Pbgd.builder(problem, network, start)
                  .penalty(penalty)
                  .penaltyWeight(1, 5, 4)
                  .lowerSteps(2, 0.05)
                  .constraint(Regularizer.box(-0.01, 0.5))
                  .build();
      BilevelRuns.cutsDoNotChangeABit(factory, uniform(7));
      BilevelRuns.resumingDoesNotChangeABit(factory, uniform(7), folder);
    }
  }

  @Test
  void whatIsMissingOrImpossibleIsNamed() {
    try (SineBilevel whole = new SineBilevel(1, 1);
        BilevelProblem bare = new MaDsboTest.FirstOrder(whole);
        Network network = Network.builder(uniform(1)).build();
        DeviceMatrix start = DeviceMatrix.row(queue, 1.0, 1)) {
      var value =
          assertThrows(
              IllegalArgumentException.class, () -> Pbgd.builder(bare, network, start).build());
      assertTrue(value.getMessage().contains("LowerGradientInUpper"), value.getMessage());
      var gradient =
          assertThrows(
              IllegalArgumentException.class,
              () -> Pbgd.builder(bare, network, start).penalty(Pbgd.Penalty.GRADIENT).build());
      assertTrue(gradient.getMessage().contains("LowerCurvature"), gradient.getMessage());
      var builder = Pbgd.builder(whole, network, start);
      assertThrows(IllegalArgumentException.class, () -> builder.penaltyWeight(-1));
      assertThrows(IllegalArgumentException.class, () -> builder.penaltyWeight(2, 1, 3));
      assertThrows(IllegalArgumentException.class, () -> builder.lowerSteps(1, Double.NaN));
      assertThrows(IllegalArgumentException.class, () -> builder.upperStepSize(-1));
    }
  }

  @Test
  void aRoundThatFailsLeavesTheStateOfTheRoundBefore() {
    try (SineBilevel problem = new SineBilevel(1, 1);
        Network network = Network.builder(uniform(1)).build();
        DeviceMatrix start = DeviceMatrix.row(queue, 1.0, 1);
        Pbgd optimizer =
            Pbgd.builder(problem, network, start)
                .stepSize(1e308)
                .constraint(Regularizer.box(0, 3))
                .build()) {
      assertThrows(NonFiniteException.class, optimizer::step);
      assertArrayEquals(new double[] {1, 1}, optimizer.parameters().toDoubles());
      assertArrayEquals(new double[] {1}, optimizer.lowerSolution().toDoubles());
    }
  }
}
