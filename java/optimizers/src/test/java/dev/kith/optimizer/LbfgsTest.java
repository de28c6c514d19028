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
import dev.kith.network.Network;
import dev.kith.problem.Quadratic;
import dev.kith.solver.ConjugateGradient;
import dev.kith.solver.WolfeSearch;
import java.util.Arrays;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class LbfgsTest {
  private static final int N = 5;
  private static final int D = 12;

  private final Queue queue = TestDevice.chosen().newQueue();
  private final Quadratic.Builder objectives = Quadratic.random(N, D, 50, 1, 2);

  @AfterEach
  void close() {
    queue.close();
  }

  /** What a test does with an optimizer. */
  private interface Body {
    void run(Lbfgs optimizer, Quadratic problem, Network network);
  }

  private void run(UnaryOperator<Lbfgs.Builder> settings, Body body) {
    try (Quadratic problem = objectives.build(queue, DType.F64);
        Network network =
            Network.builder(MixingSchedule.parse("ring", "metropolis", N, 1)).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, D, DType.F64);
        Lbfgs optimizer = settings.apply(Lbfgs.builder(problem, network, zero)).build()) {
      body.run(optimizer, problem, network);
    }
  }

  private static double[] model(Optimizer optimizer) {
    return Arrays.copyOf(optimizer.parameters().toDoubles(), D);
  }

  /** (1/n) sum_i H_i, and with b_i behind it. */
  private double[][] meanCurvature() {
    double[][] h = objectives.curvatures();
    double[][] mean = new double[D][D];
    for (double[] each : h) {
      for (int k = 0; k < D * D; k++) {
        mean[k / D][k % D] += each[k] / N;
      }
    }
    return mean;
  }

  private double[] right() {
    double[][] h = objectives.curvatures();
    double[][] b = objectives.minimisers();
    double[] right = new double[D];
    for (int i = 0; i < N; i++) {
      for (int k = 0; k < D * D; k++) {
        right[k / D] += h[i][k] * b[i][k % D] / N;
      }
    }
    return right;
  }

  /** With exact steps and a memory that forgets nothing it is conjugate gradient. */
  @Test
  void exactStepsGiveConjugateGradient() {
    double[][] a = meanCurvature();
    try (DeviceMatrix b = DeviceMatrix.row(queue, right());
        DeviceMatrix x = b.like()) {
      run(
          o -> o.pairs(20).search(new WolfeSearch(1e-12, 1e-11, 60)),
          (optimizer, problem, network) -> {
            for (int t = 1; t <= 10; t++) {
              optimizer.step();
              try (ConjugateGradient cg =
                  ConjugateGradient.builder().tolerance(0).maxIterations(t).build(b)) {
                cg.solve(
                    (v, out) -> {
                      double[] in = v.toDoubles();
                      double[] product = new double[D];
                      for (int r = 0; r < D; r++) {
                        for (int c = 0; c < D; c++) {
                          product[r] += a[r][c] * in[c];
                        }
                      }
                      out.upload(product);
                    },
                    b,
                    x);
              }
              // The card's bound.
              assertArrayEquals(x.toDoubles(), model(optimizer), 1e-8, "step " + t);
            }
          });
    }
  }

  @Test
  void theOptimumIsReachedAndKept() {
    run(
        o -> o,
        (optimizer, problem, network) -> {
          for (int t = 0; t < 60; t++) {
            optimizer.step();
          }
          // Gradients vanish to roundings of 50 |x|; the least curvature is above 1.
          assertArrayEquals(problem.optimum(), model(optimizer), 1e-12);
          double[] there = model(optimizer);
          optimizer.step();
          assertArrayEquals(there, model(optimizer), 1e-12);
        });
  }

  /** Steps of 1 but for the first: an average of d numbers and of one for each evaluation. */
  @Test
  void theMeterCountsEvaluations() {
    run(
        o -> o,
        (optimizer, problem, network) -> {
          long evaluations = 1;
          for (int t = 0; t < 8; t++) {
            optimizer.step();
            evaluations += optimizer.search().evaluations();
          }
          assertEquals(2 * evaluations, network.meter().rounds());
          assertEquals(2 * (N - 1) * evaluations * (D + 1) * 8, network.meter().bytes());
        });
  }

  /** Without pairs the direction is the gradient, scaled by the last one. */
  @Test
  void withoutMemoryItIsScaledGradientDescent() {
    run(
        o -> o.pairs(0),
        (optimizer, problem, network) -> {
          double[][] a = meanCurvature();
          double[] b = right();
          double[] before = new double[D];
          double gamma = 1;
          for (int t = 0; t < 5; t++) {
            double[] g = gradient(a, b, before);
            optimizer.step();
            double[] x = model(optimizer);
            double step = optimizer.search().point().t();
            double sy = 0;
            double yy = 0;
            double[] next = gradient(a, b, x);
            for (int c = 0; c < D; c++) {
              assertEquals(before[c] - step * gamma * g[c], x[c], 1e-12);
              sy += (x[c] - before[c]) * (next[c] - g[c]);
              yy += (next[c] - g[c]) * (next[c] - g[c]);
            }
            gamma = sy / yy;
            before = x;
          }
        });
  }

  private static double[] gradient(double[][] a, double[] b, double[] x) {
    double[] g = new double[D];
    for (int r = 0; r < D; r++) {
      g[r] = -b[r];
      for (int c = 0; c < D; c++) {
        g[r] += a[r][c] * x[c];
      }
    }
    return g;
  }

  @Test
  void whatDoesNotFitIsRefused() {
    try (Quadratic problem = objectives.build(queue, DType.F64);
        Network network =
            Network.builder(MixingSchedule.parse("ring", "metropolis", N, 1)).build();
        DeviceMatrix each = DeviceMatrix.allocate(queue, N, D, DType.F64);
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, D, DType.F64)) {
      assertThrows(
          IllegalArgumentException.class, () -> Lbfgs.builder(problem, network, each).build());
      assertThrows(
          IllegalArgumentException.class, () -> Lbfgs.builder(problem, network, zero).pairs(-1));
      double[][] gradients = new double[N][D];
      var e =
          assertThrows(
              IllegalArgumentException.class,
              () -> Lbfgs.builder(new FixedGradient(gradients), network, zero).build());
      assertTrue(e.getMessage().contains("Value"), e.getMessage());
    }
  }
}
