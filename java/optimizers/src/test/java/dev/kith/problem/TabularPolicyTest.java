package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class TabularPolicyTest {
  private static final int NODES = 3;
  private static final int STATES = 4;
  private static final int ACTIONS = 3;
  private static final int D = STATES * ACTIONS;

  private final Queue queue = Device.cpu().newQueue();
  private final TabularPolicy.Builder processes =
      TabularPolicy.random(NODES, STATES, ACTIONS, 0.9, 0.3, 2);

  @AfterEach
  void close() {
    queue.close();
  }

  private DeviceMatrix points(double shift) {
    double[][] rows = new double[NODES][D];
    for (int i = 0; i < NODES; i++) {
      for (int c = 0; c < D; c++) {
        rows[i][c] = Math.sin(3 * i + 1.7 * c + shift);
      }
    }
    return DeviceMatrix.of(queue, rows);
  }

  @Test
  void theGradientIsTheSlopeOfMinusTheReturn() {
    double h = 1e-5;
    try (TabularPolicy problem = processes.build();
        DeviceMatrix x = points(0);
        DeviceMatrix g = x.like();
        DeviceMatrix up = x.like(1, NODES, DType.F64);
        DeviceMatrix down = up.like()) {
      problem.gradient(x, g, 0);
      for (int c = 0; c < D; c++) {
        for (int i = 0; i < NODES; i++) {
          x.set(i, c, x.get(i, c) + h);
        }
        problem.values(x, up);
        for (int i = 0; i < NODES; i++) {
          x.set(i, c, x.get(i, c) - 2 * h);
        }
        problem.values(x, down);
        for (int i = 0; i < NODES; i++) {
          x.set(i, c, x.get(i, c) + h);
          // h^2 / 6 times a third derivative below 100, and 1e-14 / h.
          assertEquals((up.get(0, i) - down.get(0, i)) / (2 * h), g.get(i, c), 1e-8);
        }
      }
    }
  }

  @Test
  void theSurrogateStartsAtZeroWithTheSlopeOfTheReturn() {
    double h = 1e-6;
    try (TabularPolicy problem = processes.build();
        DeviceMatrix x = points(0);
        DeviceMatrix moved = points(0);
        DeviceMatrix g = x.like();
        DeviceMatrix out = x.like(1, NODES, DType.F64)) {
      problem.improvements(x, x, out);
      assertArrayEquals(new double[NODES], out.toDoubles(), 1e-13);
      problem.gradient(x, g, 0);
      for (int i = 0; i < NODES; i++) {
        moved.set(i, 5, x.get(i, 5) + h);
      }
      problem.improvements(x, moved, out);
      for (int i = 0; i < NODES; i++) {
        assertEquals(-g.get(i, 5) * h, out.get(0, i), 1e-11);
      }
    }
  }

  @Test
  void theDivergenceIsHalfTheFisherFormForSmallSteps() {
    double h = 1e-4;
    try (TabularPolicy problem = processes.build();
        DeviceMatrix x = points(0);
        DeviceMatrix v = points(1);
        DeviceMatrix moved = x.like();
        DeviceMatrix fv = x.like();
        DeviceMatrix out = x.like(1, NODES, DType.F64)) {
      problem.gaussNewtonVector(x, v, fv);
      for (int i = 0; i < NODES; i++) {
        double form = 0;
        for (int c = 0; c < D; c++) {
          moved.set(i, c, x.get(i, c) + h * v.get(i, c));
          form += v.get(i, c) * fv.get(i, c);
        }
        assertTrue(form > 0);
        fv.set(i, 0, form);
      }
      problem.divergences(x, moved, out);
      for (int i = 0; i < NODES; i++) {
        // The next term is of order h^3.
        assertEquals(h * h / 2 * fv.get(i, 0), out.get(0, i), 1e-11);
      }
      problem.divergences(x, x, out);
      assertArrayEquals(new double[NODES], out.toDoubles());
    }
  }

  @Test
  void ofABanditTheFisherMatrixIsThatOfItsDistribution() {
    double[][][][] stay = {{{{1}, {1}, {1}}}};
    try (TabularPolicy bandit =
            TabularPolicy.of(stay, new double[][][] {{{0, 1, 0.5}}}, 0.5).build();
        DeviceMatrix x = DeviceMatrix.of(queue, new double[][] {{0, Math.log(2), Math.log(5)}});
        DeviceMatrix v = DeviceMatrix.of(queue, new double[][] {{1, 0, 0}});
        DeviceMatrix fv = x.like();
        DeviceMatrix out = x.like(1, 1, DType.F64)) {
      bandit.gaussNewtonVector(x, v, fv);
      double[] p = {0.125, 0.25, 0.625};
      assertArrayEquals(
          new double[] {p[0] - p[0] * p[0], -p[0] * p[1], -p[0] * p[2]}, fv.toDoubles(), 1e-15);
      bandit.values(x, out);
      assertEquals(-(0.25 + 0.3125) / 0.5, out.get(0, 0), 1e-14);
      assertArrayEquals(new double[] {2}, bandit.optimalReturns(), 1e-13);
    }
  }

  @Test
  void noPolicyIsBetterThanTheOptimum() {
    try (TabularPolicy problem = processes.build();
        DeviceMatrix out = DeviceMatrix.allocate(queue, 1, NODES, DType.F64)) {
      double[] optimal = problem.optimalReturns();
      for (int k = 0; k < 5; k++) {
        try (DeviceMatrix x = points(k)) {
          problem.values(x, out);
          for (int i = 0; i < NODES; i++) {
            assertTrue(-out.get(0, i) < optimal[i]);
          }
        }
      }
    }
  }

  @Test
  void aPartOfTheNodesGivesItsRowsOfTheWhole() {
    try (TabularPolicy whole = processes.build();
        DeviceMatrix x = points(0);
        DeviceMatrix g = x.like();
        DeviceMatrix some = x.rows(1, 3);
        DeviceMatrix own = some.like()) {
      whole.gradient(x, g, 0);
      try (TabularPolicy part = processes.nodes(1, 3).build()) {
        part.gradient(some, own, 0);
        assertArrayEquals(Arrays.copyOfRange(g.toDoubles(), D, 3 * D), own.toDoubles());
      }
    }
  }

  @Test
  void impossibleProcessesAreRefused() {
    double[][][] reward = {{{1}}};
    refused("discount of 1", new double[][][][] {{{{1}}}}, reward, 1);
    refused("sum to 1", new double[][][][] {{{{0.9}}}}, reward, 0.5);
    refused("sum to 1", new double[][][][] {{{{Double.NaN}}}}, reward, 0.5);
    refused("give all the same", new double[][][][] {{{{1}, {1}}}}, reward, 0.5);
    refused("give both", new double[0][][][], reward, 0.5);
    refused("sum to 1", new double[][][][] {{{{1}}}}, new double[][][] {{{Double.NaN}}}, 0.5);
  }

  private static void refused(
      String part, double[][][][] transitions, double[][][] rewards, double discount) {
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () -> TabularPolicy.of(transitions, rewards, discount))
            .getMessage();
    assertTrue(message.contains(part), message);
  }
}
