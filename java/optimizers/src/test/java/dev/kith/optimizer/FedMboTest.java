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
import dev.kith.problem.QuadraticBilevel;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FedMboTest {
  @TempDir Path folder;
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private static MixingSchedule uniform(int n) {
    return MixingSchedule.constant(MixingMatrix.uniform(n));
  }

  /** H of three clients, which do not commute; 0.1 to 2. */
  private static final double[][] CURVATURES = {
    {0.1, 0, 0, 2}, {1, 0.9, 0.9, 1}, {2, -0.5, -0.5, 0.5}
  };

  private static final double[][] TARGETS = {{1, -2}, {0.5, 1}, {-3, 0}};
  private static final int TERMS = 8;
  private static final double LAMBDA = 0.4;

  /** x and y have as many numbers and B = I, so that h = p; rho = 0, and y stays 0. */
  private QuadraticBilevel identityCoupled() {
    double[] identity = {1, 0, 0, 1};
    return QuadraticBilevel.of(
            CURVATURES,
            new double[][] {identity, identity, identity},
            TARGETS,
            new double[][] {{0, 0}, {0, 0}, {0, 0}})
        .regularization(0)
        .build(queue, DType.F64);
  }

  private static double[] multiply(double[] h, double[] v) {
    return new double[] {h[0] * v[0] + h[1] * v[1], h[2] * v[0] + h[3] * v[1]};
  }

  /** lambda sum_{j < J} (I - lambda H)^j b. */
  private static double[] series(double[] h, double[] b) {
    double[] power = b.clone();
    double[] sum = new double[2];
    for (int j = 0; j < TERMS; j++) {
      for (int c = 0; c < 2; c++) {
        sum[c] += LAMBDA * power[c];
      }
      double[] hp = multiply(h, power);
      for (int c = 0; c < 2; c++) {
        power[c] -= LAMBDA * hp[c];
      }
    }
    return sum;
  }

  /** Mean of h over many rounds at x = y = 0, and of its square, by element. */
  private double[][] estimates(int rounds, UnaryOperator<FedMbo.Builder> settings) {
    double[][] moments = new double[2][2];
    try (QuadraticBilevel problem = identityCoupled();
        Network network = Network.builder(uniform(3)).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F64);
        FedMbo optimizer =
            settings
                .apply(
                    FedMbo.builder(problem, network, zero)
                        .stepSize(0)
                        .lowerSteps(1, 1, 0.1)
                        .participants(2)
                        .neumann(TERMS, LAMBDA))
                .build()) {
      for (int k = 0; k < rounds; k++) {
        optimizer.step();
        double[] h = optimizer.hypergradient().toDoubles();
        for (int c = 0; c < 2; c++) {
          moments[0][c] += h[c] / rounds;
          moments[1][c] += h[c] * h[c] / rounds;
        }
      }
    }
    return moments;
  }

  @Test
  void theMeanOfTheChainsIsTheSeriesOfTheMeanHessian() {
    double[] h = new double[4];
    double[] b = new double[2];
    double[] own = new double[2];
    for (int i = 0; i < 3; i++) {
      int node = i;
      Arrays.setAll(h, k -> h[k] + CURVATURES[node][k] / 3);
      double[] minus = {-TARGETS[i][0], -TARGETS[i][1]};
      Arrays.setAll(b, c -> b[c] + minus[c] / 3);
      double[] alone = series(CURVATURES[i], minus);
      Arrays.setAll(own, c -> own[c] + alone[c] / 3);
    }
    double[] exact = series(h, b);
    int rounds = 20_000;
    double[][] changing = estimates(rounds, s -> s);
    double[][] single = estimates(rounds, FedMbo.Builder::oneClientPerChain);
    for (int c = 0; c < 2; c++) {
      // Rounds are independent: six standard errors, from the variance of what was drawn.
      double error = 6 * Math.sqrt((changing[1][c] - changing[0][c] * changing[0][c]) / rounds);
      assertEquals(exact[c], changing[0][c], error, "element " + c + " of many clients");
      double ownError = 6 * Math.sqrt((single[1][c] - single[0][c] * single[0][c]) / rounds);
      assertEquals(own[c], single[0][c], ownError, "element " + c + " of one client");
    }
    // The two expectations lie apart by more than both errors, so that the test tells them apart.
    assertTrue(Math.abs(own[0] - exact[0]) > 0.2, own[0] + " and " + exact[0]);
  }

  @Test
  void oneClientIsTheMethodOfASingleNode() {
    double[] h = {2, 0.5, 0.5, 1};
    double[] b = {1, -1};
    double[] a = {0.5, 2};
    double[] c = {-1, 0.25};
    long seed = 9;
    try (QuadraticBilevel problem =
            QuadraticBilevel.of(
                    new double[][] {h}, new double[][] {b}, new double[][] {a}, new double[][] {c})
                .build(queue, DType.F64);
        Network network = Network.builder(uniform(1)).build();
        DeviceMatrix start = DeviceMatrix.row(queue, 1.0, 0, 0);
        FedMbo optimizer =
            FedMbo.builder(problem, network, start)
                .stepSize(0.05)
                .lowerSteps(2, 3, 0.2)
                .neumann(4, 0.3)
                .seed(seed)
                .build()) {
      double x = 1;
      double[] y = {0, 0};
      for (int k = 0; k < 6; k++) {
        optimizer.step();
        for (int t = 0; t < 6; t++) {
          double[] hy = multiply(h, y);
          y =
              new double[] {
                y[0] - 0.2 * (hy[0] - b[0] * x - c[0]), y[1] - 0.2 * (hy[1] - b[1] * x - c[1])
              };
        }
        double[] p = {4 * 0.3 * (y[0] - a[0]), 4 * 0.3 * (y[1] - a[1])};
        long steps = new SharedRandom(seed, Stream.TRUNCATION, 0, k).below(0, 4);
        for (int j = 0; j < steps; j++) {
          double[] hp = multiply(h, p);
          p = new double[] {p[0] - 0.3 * hp[0], p[1] - 0.3 * hp[1]};
        }
        x -= 0.05 * (0.1 * x + b[0] * p[0] + b[1] * p[1]);
      }
      assertArrayEquals(new double[] {x, y[0], y[1]}, optimizer.parameters().toDoubles(), 1e-13);
    }
  }

  @Test
  void localStepsOfClientsThatAreAlikeAreThoseOfTheServer() {
    double[] h = {2, 0.5, 0.5, 1};
    double[] b = {1, -1};
    double[] a = {0.5, 2};
    double[] c = {-1, 0.25};
    double[][] hs = {h, h, h, h};
    double[][] bs = {b, b, b, b};
    double[][] as = {a, a, a, a};
    double[][] cs = {c, c, c, c};
    try (QuadraticBilevel problem = QuadraticBilevel.of(hs, bs, as, cs).build(queue, DType.F64);
        QuadraticBilevel single =
            QuadraticBilevel.of(
                    new double[][] {h}, new double[][] {b}, new double[][] {a}, new double[][] {c})
                .build(queue, DType.F64)) {
      double[] many = lowerOf(problem, 4, 2);
      double[] one = lowerOf(single, 1, 1);
      assertArrayEquals(one, Arrays.copyOf(many, 3), 1e-14);
    }
  }

  private double[] lowerOf(QuadraticBilevel problem, int nodes, int participants) {
    try (Network network = Network.builder(uniform(nodes)).build();
        DeviceMatrix start = DeviceMatrix.row(queue, 1.0, 0, 0);
        FedMbo optimizer =
            FedMbo.builder(problem, network, start)
                .stepSize(0)
                .participants(participants)
                .lowerSteps(2, 3, 0.2)
                .build()) {
      for (int k = 0; k < 4; k++) {
        optimizer.step();
      }
      return optimizer.parameters().toDoubles();
    }
  }

  @Test
  void cutsAndResumingDoNotChangeABit() {
    BilevelRuns.Factory factory =
        (problem, network, start) ->
            FedMbo.builder(problem, network, start).participants(4).lowerSteps(2, 3, 0.05).build();
    BilevelRuns.cutsDoNotChangeABit(factory, uniform(7));
    BilevelRuns.resumingDoesNotChangeABit(factory, uniform(7), folder);
  }

  @Test
  void whatIsImpossibleIsRefused() {
    try (QuadraticBilevel problem = identityCoupled();
        Network network = Network.builder(uniform(3)).build();
        DeviceMatrix start = DeviceMatrix.row(queue, 0.0, 0, 0, 0);
        DeviceMatrix rows = DeviceMatrix.allocate(queue, 3, 4, DType.F64)) {
      var many =
          assertThrows(
              IllegalArgumentException.class,
              () -> FedMbo.builder(problem, network, start).participants(4).build());
      assertTrue(many.getMessage().contains("4 clients"), many.getMessage());
      var apart =
          assertThrows(
              IllegalArgumentException.class, () -> FedMbo.builder(problem, network, rows).build());
      assertTrue(apart.getMessage().contains("3 rows"), apart.getMessage());
      var builder = FedMbo.builder(problem, network, start);
      assertThrows(IllegalArgumentException.class, () -> builder.participants(0));
      assertThrows(IllegalArgumentException.class, () -> builder.lowerSteps(0, 1, 0.1));
      assertThrows(IllegalArgumentException.class, () -> builder.neumann(1, 0));
    }
  }

  @Test
  void aRoundThatFailsLeavesTheStateOfTheRoundBefore() {
    try (QuadraticBilevel problem = identityCoupled();
        Network network = Network.builder(uniform(3)).build();
        DeviceMatrix start = DeviceMatrix.row(queue, 1.0, 2, 3, 4);
        FedMbo optimizer =
            FedMbo.builder(problem, network, start).stepSize(0.1).lowerSteps(1, 400, 1e3).build()) {
      var e = assertThrows(NonFiniteException.class, optimizer::step);
      assertTrue(e.getMessage().contains("round 0"), e.getMessage());
      double[] rows = optimizer.parameters().toDoubles();
      assertArrayEquals(new double[] {1, 2, 3, 4}, Arrays.copyOf(rows, 4));
    }
  }
}
