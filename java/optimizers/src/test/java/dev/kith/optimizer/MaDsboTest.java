package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.problem.BilevelProblem;
import dev.kith.problem.QuadraticBilevel;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MaDsboTest {
  private static final int P = 3;
  private static final int Q = 4;

  @TempDir Path folder;
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private static MixingSchedule uniform(int n) {
    return MixingSchedule.constant(MixingMatrix.uniform(n));
  }

  /** The rows (x, y) and R after some rounds. */
  private record Result(double[] rows, double[] average) {}

  private Result run(
      BilevelProblem problem,
      MixingSchedule schedule,
      double[] start,
      int rounds,
      UnaryOperator<MaDsbo.Builder> settings) {
    try (Network network = Network.builder(schedule).build();
        DeviceMatrix initial = DeviceMatrix.row(queue, start);
        MaDsbo optimizer = settings.apply(MaDsbo.builder(problem, network, initial)).build()) {
      for (int k = 0; k < rounds; k++) {
        optimizer.step();
      }
      return new Result(optimizer.parameters().toDoubles(), optimizer.average().toDoubles());
    }
  }

  private static double[] meanRow(double[] rows, int cols) {
    double[] mean = new double[cols];
    for (int k = 0; k < rows.length; k++) {
      mean[k % cols] += rows[k] * cols / rows.length;
    }
    return mean;
  }

  /** A start whose y is 0. */
  private static double[] start(double... x) {
    return Arrays.copyOf(x, P + Q);
  }

  @Test
  void aNodeAloneTakesThePlainSteps() {
    double[] h = {2, 0.5, 0.5, 1};
    double[] b = {1, -1};
    double[] a = {0.5, 2};
    double[] c = {-1, 0.25};
    try (QuadraticBilevel problem =
        QuadraticBilevel.of(
                new double[][] {h}, new double[][] {b}, new double[][] {a}, new double[][] {c})
            .build(queue, DType.F64)) {
      double x = 1;
      double[] y = {0, 0};
      double r = 0;
      for (int k = 0; k < 5; k++) {
        for (int t = 0; t < 3; t++) {
          double g0 = h[0] * y[0] + h[1] * y[1] - b[0] * x - c[0];
          double g1 = h[2] * y[0] + h[3] * y[1] - b[1] * x - c[1];
          y = new double[] {y[0] - 0.2 * g0, y[1] - 0.2 * g1};
        }
        double[] z = {0, 0};
        for (int t = 0; t < 4; t++) {
          double s0 = h[0] * z[0] + h[1] * z[1] - (y[0] - a[0]);
          double s1 = h[2] * z[0] + h[3] * z[1] - (y[1] - a[1]);
          z = new double[] {z[0] - 0.3 * s0, z[1] - 0.3 * s1};
        }
        double u = 0.1 * x + b[0] * z[0] + b[1] * z[1];
        x -= 0.05 * r;
        r = 0.6 * r + 0.4 * u;
      }
      for (boolean tracked : new boolean[] {true, false}) {
        Result result =
            run(
                problem,
                uniform(1),
                new double[] {1, 0, 0},
                5,
                s -> {
                  s.stepSize(0.05).lowerSteps(3, 0.2).systemSteps(4, 0.3).averaging(0.4);
                  return tracked ? s : s.untracked();
                });
        assertArrayEquals(new double[] {x, y[0], y[1]}, result.rows(), 1e-13);
        assertArrayEquals(new double[] {r}, result.average(), 1e-13);
      }
    }
  }

  @Test
  void manyStepsGiveTheGradientOfTheWhole() {
    QuadraticBilevel.Builder builder = QuadraticBilevel.random(5, P, Q, 0.5, 2);
    double[] x = {1, -0.5, 2};
    double[] exact = builder.hypergradient(x);
    try (QuadraticBilevel problem = builder.build(queue, DType.F64)) {
      Result result =
          run(
              problem,
              MixingSchedule.constant(Algorithm.ring(5)),
              start(x),
              1,
              s -> s.stepSize(0).lowerSteps(2000, 0.05).systemSteps(2000, 0.05).averaging(1));
      assertArrayEquals(exact, meanRow(result.average(), P), 1e-10);
      // Of the own systems the mean is another one.
      Result own =
          run(
              problem,
              MixingSchedule.constant(Algorithm.ring(5)),
              start(x),
              1,
              s ->
                  s.stepSize(0)
                      .lowerSteps(2000, 0.05)
                      .systemSteps(2000, 0.05)
                      .averaging(1)
                      .ownSystems());
      double[] mean = meanRow(own.average(), P);
      double apart = 0;
      for (int c = 0; c < P; c++) {
        apart = Math.max(apart, Math.abs(mean[c] - exact[c]));
      }
      assertTrue(apart > 0.05, "apart by " + apart);
    }
  }

  @Test
  void ownSystemsAgreeWhereTheLowerProblemsAreAlike() {
    double[] h = {2, 0.5, 0.5, 1};
    double[] b = {1, -1};
    double[] c = {-1, 0.25};
    double[][] targets = {{0.5, 2}, {-1, 0}, {3, 1}};
    QuadraticBilevel.Builder builder =
        QuadraticBilevel.of(
            new double[][] {h, h, h}, new double[][] {b, b, b}, targets, new double[][] {c, c, c});
    double[] x = {0.7};
    try (QuadraticBilevel problem = builder.build(queue, DType.F64)) {
      Result result =
          run(
              problem,
              MixingSchedule.constant(Algorithm.ring(3)),
              new double[] {x[0], 0, 0},
              1,
              s ->
                  s.stepSize(0)
                      .lowerSteps(500, 0.2)
                      .systemSteps(500, 0.2)
                      .averaging(1)
                      .ownSystems());
      assertArrayEquals(builder.hypergradient(x), meanRow(result.average(), 1), 1e-12);
    }
  }

  @Test
  void itStopsBesideTheSolutionByAsMuchAsAStepIsLarge() {
    QuadraticBilevel.Builder builder = QuadraticBilevel.random(4, P, Q, 2, 2).regularization(1);
    double[] missed = new double[2];
    try (QuadraticBilevel problem = builder.build(queue, DType.F64)) {
      for (int k = 0; k < 2; k++) {
        double stepSize = 0.1 / (k + 1);
        Result result =
            run(
                problem,
                uniform(4),
                start(1, 2, 3),
                120 * (k + 1),
                s -> s.stepSize(stepSize).lowerSteps(20, 0.05).systemSteps(100, 0.05));
        double[] x = Arrays.copyOf(meanRow(result.rows(), P + Q), P);
        for (double slope : builder.hypergradient(x)) {
          missed[k] = Math.max(missed[k], Math.abs(slope));
        }
      }
    }
    assertTrue(missed[0] < 0.1, Arrays.toString(missed));
    assertEquals(2, missed[0] / missed[1], 0.4, Arrays.toString(missed));
  }

  @Test
  void cutsAndResumingDoNotChangeABit() {
    BilevelRuns.Factory factory =
        (problem, network, start) -> MaDsbo.builder(problem, network, start).build();
    MixingSchedule ring = MixingSchedule.constant(Algorithm.ring(7));
    BilevelRuns.cutsDoNotChangeABit(factory, ring);
    BilevelRuns.resumingDoesNotChangeABit(factory, ring, folder);
  }

  @Test
  void aRoundThatFailsLeavesTheStateOfTheRoundBefore() {
    try (QuadraticBilevel honest =
            QuadraticBilevel.random(3, P, Q, 0.5, 2).build(queue, DType.F64);
        Network network = Network.builder(uniform(3)).build();
        DeviceMatrix initial = DeviceMatrix.row(queue, start(1, 2, 3));
        MaDsbo optimizer =
            MaDsbo.builder(new BrokenLower(honest, 5), network, initial)
                .lowerSteps(2, 0.1)
                .systemSteps(3, 0.1)
                .build()) {
      optimizer.step();
      optimizer.step();
      double[] before = optimizer.parameters().toDoubles();
      var e = assertThrows(NonFiniteException.class, optimizer::step);
      assertTrue(e.getMessage().contains("node 1"), e.getMessage());
      assertEquals(2, optimizer.round());
      assertArrayEquals(before, optimizer.parameters().toDoubles());
    }
  }

  @Test
  void whatIsMissingOrImpossibleIsNamed() {
    try (QuadraticBilevel problem =
            QuadraticBilevel.random(3, P, Q, 0.5, 2).build(queue, DType.F64);
        Network network = Network.builder(uniform(3)).build();
        DeviceMatrix initial = DeviceMatrix.row(queue, start(1, 2, 3))) {
      var e =
          assertThrows(
              IllegalArgumentException.class,
              () -> MaDsbo.builder(new FirstOrder(problem), network, initial).build());
      assertTrue(e.getMessage().contains("LowerCurvature"), e.getMessage());
      var builder = MaDsbo.builder(problem, network, initial);
      assertThrows(IllegalArgumentException.class, () -> builder.lowerSteps(0, 0.1));
      assertThrows(IllegalArgumentException.class, () -> builder.systemSteps(1, Double.NaN));
      assertThrows(IllegalArgumentException.class, () -> builder.averaging(0));
      assertThrows(IllegalArgumentException.class, () -> builder.stepSize(Double.NaN));
    }
  }

  /** Knows first derivatives alone. */
  static class FirstOrder implements BilevelProblem {
    final BilevelProblem honest;

    FirstOrder(BilevelProblem honest) {
      this.honest = honest;
    }

    @Override
    public Layout layout() {
      return honest.layout();
    }

    @Override
    public int nodes() {
      return honest.nodes();
    }

    @Override
    public int firstNode() {
      return honest.firstNode();
    }

    @Override
    public int localNodes() {
      return honest.localNodes();
    }

    @Override
    public long upperSize() {
      return honest.upperSize();
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      honest.gradient(x, g, round);
    }

    @Override
    public void lowerGradient(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round) {
      honest.lowerGradient(x, y, g, round);
    }

    @Override
    public void close() {}
  }

  /** Gives a NaN at node 1 in one draw of the lower gradient. */
  private static final class BrokenLower extends FirstOrder
      implements dev.kith.problem.LowerCurvature {
    private final QuadraticBilevel curvature;
    private final long draw;

    BrokenLower(QuadraticBilevel honest, long draw) {
      super(honest);
      this.curvature = honest;
      this.draw = draw;
    }

    @Override
    public void lowerGradient(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round) {
      honest.lowerGradient(x, y, g, round);
      if (round == draw) {
        g.set(1, 0, Double.NaN);
      }
    }

    @Override
    public void lowerHessianVector(
        DeviceMatrix x, DeviceMatrix y, DeviceMatrix v, DeviceMatrix out, long round) {
      curvature.lowerHessianVector(x, y, v, out, round);
    }

    @Override
    public void lowerMixedVector(
        DeviceMatrix x, DeviceMatrix y, DeviceMatrix v, DeviceMatrix out, long round) {
      curvature.lowerMixedVector(x, y, v, out, round);
    }
  }
}
