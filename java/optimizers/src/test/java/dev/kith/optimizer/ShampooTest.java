package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.TestDevice;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Shampoo is its formula for tensors of every order, and AdaGrad where the two are one. */
class ShampooTest {
  /** Large, so that roots that are some steps old do not blow up. */
  private static final double EPSILON = 1e-2;

  private static final double ETA = 0.1;

  private final Queue queue = TestDevice.chosen().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private double[] run(Problem problem, Shampoo rule, int steps) {
    return run(queue, problem, rule, steps);
  }

  /** Without neighbours, from cos(2k). */
  static double[] run(Queue queue, Problem problem, LocalRule rule, int steps) {
    int nodes = problem.nodes();
    try (Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.identity(nodes))).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F64)) {
      double[] x = new double[Math.toIntExact(problem.layout().size())];
      Arrays.setAll(x, k -> Math.cos(2.0 * k));
      start.upload(x);
      try (Optimizer optimizer =
          DecentralizedSgd.builder(problem, network, start).rule(rule).build()) {
        for (int k = 0; k < steps; k++) {
          optimizer.step();
        }
        return optimizer.parameters().toDoubles();
      }
    }
  }

  /** The tensor unfolded along a mode: that index counts rows, the others together columns. */
  private static double[][] unfolded(double[] tensor, int[] shape, int mode) {
    int inner = Arrays.stream(shape).skip(mode + 1L).reduce(1, (a, b) -> a * b);
    int side = shape[mode];
    double[][] m = new double[side][tensor.length / side];
    for (int k = 0; k < tensor.length; k++) {
      m[k / inner % side][k / inner / side * inner + k % inner] = tensor[k];
    }
    return m;
  }

  private static double[] folded(double[][] m, int[] shape, int mode) {
    int inner = Arrays.stream(shape).skip(mode + 1L).reduce(1, (a, b) -> a * b);
    int side = shape[mode];
    double[] tensor = new double[side * m[0].length];
    for (int k = 0; k < tensor.length; k++) {
      tensor[k] = m[k / inner % side][k / inner / side * inner + k % inner];
    }
    return tensor;
  }

  private static double[] reference(
      int node, int[] shape, int steps, int period, double decay, double lambda, int longest) {
    int d = Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    int order = shape.length;
    double[] x = new double[d];
    Arrays.setAll(x, k -> Math.cos(2.0 * k));
    double[][][] statistics = new double[order][][];
    double[][][] roots = new double[order][][];
    for (int t = 0; t < steps; t++) {
      double[] g = new double[d];
      for (int k = 0; k < d; k++) {
        g[k] = MovingGradient.gradient(node, k, x[k], t);
      }
      double[] step = g;
      for (int mode = 0; mode < order; mode++) {
        if (shape[mode] > longest) {
          continue;
        }
        double[][] unfolded = unfolded(g, shape, mode);
        double[][] second = PlainMatrices.times(unfolded, PlainMatrices.transposed(unfolded));
        if (t == 0) {
          statistics[mode] = PlainMatrices.zeros(shape[mode], shape[mode]);
        }
        statistics[mode] =
            PlainMatrices.sum(decay, statistics[mode], decay == 1 ? 1 : 1 - decay, second);
        if (t < period || t % period == 0) {
          double shift = EPSILON * PlainMatrices.trace(statistics[mode]) / shape[mode];
          roots[mode] = PlainMatrices.power(statistics[mode], shift, -0.5 / order);
        }
        step = folded(PlainMatrices.times(roots[mode], unfolded(step, shape, mode)), shape, mode);
      }
      for (int k = 0; k < d; k++) {
        x[k] = (1 - ETA * lambda) * x[k] - ETA * step[k];
      }
    }
    return x;
  }

  /** Order 1 is full-matrix AdaGrad; roots of statistics of condition 500 keep 12 digits. */
  @Test
  void tensorsOfEveryOrderFollowTheFormula() {
    for (int[] shape : new int[][] {{5}, {4, 3}, {3, 4}, {3, 1}, {2, 3, 4}, {2, 3, 2, 2}}) {
      Layout layout =
          Layout.builder().tensor("x", "", Arrays.stream(shape).asLongStream().toArray()).build();
      for (int period : new int[] {1, 3}) {
        for (double decay : new double[] {1, 0.9}) {
          Shampoo.Builder rule =
              Shampoo.builder().stepSize(ETA).epsilon(EPSILON).rootPeriod(period).weightDecay(0.1);
          if (decay < 1) {
            rule.statisticsDecay(decay);
          }
          double[] actual = run(new MovingGradient(2, layout), rule.build(), 7);
          double[] expected =
              IntStream.range(0, 2)
                  .mapToObj(i -> reference(i, shape, 7, period, decay, 0.1, 100))
                  .flatMapToDouble(Arrays::stream)
                  .toArray();
          assertArrayEquals(
              expected, actual, 1e-11, Arrays.toString(shape) + " " + period + " " + decay);
        }
      }
    }
  }

  /** A single number has the root of its sum of squares: AdaGrad. */
  @Test
  void numbersTakeAdaGrad() {
    Layout layout = Layout.flat(1);
    double[] actual =
        run(
            new MovingGradient(1, layout),
            Shampoo.builder().epsilon(EPSILON).rootPeriod(1).build(),
            9);
    double x = 1;
    double squares = 0;
    for (int t = 0; t < 9; t++) {
      double g = MovingGradient.gradient(0, 0, x, t);
      squares += g * g;
      x -= ETA * g / Math.sqrt(squares * (1 + EPSILON));
    }
    assertEquals(x, actual[0], 1e-12);
  }

  @Test
  void longSidesHaveNoMatrix() {
    Layout layout = Layout.builder().tensor("x", "", 5, 3).tensor("b", "", 5).build();
    double[] actual =
        run(
            new MovingGradient(1, layout),
            Shampoo.builder().epsilon(EPSILON).rootPeriod(1).longestSide(3).build(),
            4);
    double[] matrix = reference(0, new int[] {5, 3}, 4, 1, 1, 0, 3);
    assertArrayEquals(matrix, Arrays.copyOf(actual, 15), 1e-11);
    for (int k = 15; k < 20; k++) {
      double x = Math.cos(2.0 * k);
      double squares = 0;
      for (int t = 0; t < 4; t++) {
        double g = MovingGradient.gradient(0, k, x, t);
        squares += g * g;
        x -= ETA * g / Math.sqrt(squares + 1e-10);
      }
      assertEquals(x, actual[k], 1e-12);
    }
  }

  @Test
  void whatHasSeenZerosAloneStays() {
    double[] start =
        run(
            Shaped.of(new FixedGradient(new double[6]), 2, 3),
            Shampoo.builder().rootPeriod(1).build(),
            3);
    for (int k = 0; k < 6; k++) {
      assertEquals(Math.cos(2.0 * k), start[k]);
    }
  }

  @Test
  void settingsThatAreNoneAreRefused() {
    Shampoo.Builder builder = Shampoo.builder();
    refused("step size of -1.0", () -> builder.stepSize(-1));
    refused("epsilon of 0.0", () -> builder.epsilon(0));
    refused("weight decay of NaN", () -> builder.weightDecay(Double.NaN));
    refused("decay of 1.0", () -> builder.statisticsDecay(1));
    refused("root period of 0", () -> builder.rootPeriod(0));
    refused("longest side of 1025", () -> builder.longestSide(1025));
  }

  private static void refused(String part, Runnable call) {
    var e = assertThrows(IllegalArgumentException.class, call::run, part);
    assertTrue(e.getMessage().contains(part), e.getMessage() + " lacks " + part);
  }
}
