package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.TestDevice;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.problem.Problem;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** SOAP is its formula, and Adam where the bases are the coordinates. */
class SoapTest {
  private static final double ETA = 0.05;
  private static final double LAMBDA = 0.1;

  private final Queue queue = TestDevice.chosen().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private static Soap.Builder rule() {
    return Soap.builder().stepSize(ETA).weightDecay(LAMBDA);
  }

  /** A gradient whose first p numbers, as a square, have a diagonal alone. */
  private record Diagonal(int side) implements Problem {
    @Override
    public Layout layout() {
      return Layout.builder().tensor("w", "weight", side, side).build();
    }

    @Override
    public int nodes() {
      return 1;
    }

    @Override
    public int firstNode() {
      return 0;
    }

    @Override
    public int localNodes() {
      return 1;
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      double[] values = new double[side * side];
      for (int i = 0; i < side; i++) {
        values[i * (side + 1)] = entry(i, round);
      }
      g.upload(values);
    }

    static double entry(int i, long round) {
      return (i + 1) * Math.sin(1 + i + 2.0 * round) + 0.5 * i;
    }

    @Override
    public void close() {}
  }

  /** Minus the first step, in which SOAP moves nothing. */
  @Test
  void withDiagonalGradientsItIsAdam() {
    int side = 4;
    int steps = 8;
    double[] actual =
        ShampooTest.run(queue, new Diagonal(side), rule().refreshPeriod(2).build(), steps);
    for (int i = 0; i < side; i++) {
      double x = Math.cos(2.0 * i * (side + 1));
      double first = 0;
      double second = 0;
      for (int t = 1; t < steps; t++) {
        double g = Diagonal.entry(i, t);
        first = 0.95 * first + 0.05 * g;
        second = 0.95 * second + 0.05 * g * g;
        double root = Math.sqrt(second / (1 - Math.pow(0.95, t)));
        x = (1 - ETA * LAMBDA) * x - ETA * first / (1 - Math.pow(0.95, t)) / (root + 1e-8);
      }
      assertEquals(x, actual[i * (side + 1)], 1e-12, "entry " + i);
    }
  }

  private static double[] reference(
      int node, Layout layout, int steps, int period, int longest, double epsilon) {
    Layout.Tensor w = layout.tensors().getFirst();
    int p = (int) w.rows();
    int n = (int) w.cols();
    int d = (int) layout.size();
    double[] x = new double[d];
    Arrays.setAll(x, k -> Math.cos(2.0 * k));
    double[][] m = PlainMatrices.zeros(p, n);
    double[][] v = PlainMatrices.zeros(p, n);
    double[] firsts = new double[d];
    double[] seconds = new double[d];
    double[][] left = PlainMatrices.zeros(p, p);
    double[][] right = PlainMatrices.zeros(n, n);
    double[][] leftBasis = identity(p);
    double[][] rightBasis = identity(n);
    for (int t = 0; t < steps; t++) {
      double[] flat = new double[d];
      for (int k = 0; k < d; k++) {
        flat[k] = MovingGradient.gradient(node, k, x[k], t);
      }
      double[][] g = PlainMatrices.of(flat, 0, p, n);
      double[][] gg = PlainMatrices.times(g, PlainMatrices.transposed(g));
      double[][] hh = PlainMatrices.times(PlainMatrices.transposed(g), g);
      if (t == 0) {
        left = gg;
        right = hh;
        leftBasis = p <= longest ? PlainMatrices.eigenvectors(left) : leftBasis;
        rightBasis = n <= longest ? PlainMatrices.eigenvectors(right) : rightBasis;
        continue;
      }
      double b = 1 - 0.05 / (1 - Math.pow(0.95, t));
      double[][] turned =
          PlainMatrices.times(
              PlainMatrices.transposed(leftBasis), PlainMatrices.times(g, rightBasis));
      m = PlainMatrices.sum(b, m, 1 - b, g);
      double[][] u =
          PlainMatrices.times(
              PlainMatrices.transposed(leftBasis), PlainMatrices.times(m, rightBasis));
      for (int i = 0; i < p; i++) {
        for (int j = 0; j < n; j++) {
          v[i][j] = b * v[i][j] + (1 - b) * turned[i][j] * turned[i][j];
          u[i][j] /= Math.sqrt(v[i][j]) + epsilon;
        }
      }
      u =
          PlainMatrices.times(
              leftBasis, PlainMatrices.times(u, PlainMatrices.transposed(rightBasis)));
      for (int k = 0; k < d; k++) {
        if (k < p * n) {
          x[k] = (1 - ETA * LAMBDA) * x[k] - ETA * u[k / n][k % n];
        } else {
          firsts[k] = 0.95 * firsts[k] + 0.05 * flat[k];
          seconds[k] = 0.95 * seconds[k] + 0.05 * flat[k] * flat[k];
          double bias = 1 - Math.pow(0.95, t);
          x[k] =
              (1 - ETA * LAMBDA) * x[k]
                  - ETA * (firsts[k] / bias) / (Math.sqrt(seconds[k] / bias) + epsilon);
        }
      }
      left = PlainMatrices.sum(0.95, left, 0.05, gg);
      right = PlainMatrices.sum(0.95, right, 0.05, hh);
      if (t % period == 0) {
        if (p <= longest) {
          int[] order = order(left, leftBasis);
          leftBasis =
              PlainMatrices.orthonormal(columns(PlainMatrices.times(left, leftBasis), order));
          v = PlainMatrices.transposed(columns(PlainMatrices.transposed(v), order));
        }
        if (n <= longest) {
          int[] order = order(right, rightBasis);
          rightBasis =
              PlainMatrices.orthonormal(columns(PlainMatrices.times(right, rightBasis), order));
          v = columns(v, order);
        }
      }
    }
    return x;
  }

  private static double[][] identity(int n) {
    double[][] m = PlainMatrices.zeros(n, n);
    for (int i = 0; i < n; i++) {
      m[i][i] = 1;
    }
    return m;
  }

  private static int[] order(double[][] s, double[][] basis) {
    double[][] values =
        PlainMatrices.times(PlainMatrices.transposed(basis), PlainMatrices.times(s, basis));
    return IntStream.range(0, s.length)
        .boxed()
        .sorted((i, j) -> Double.compare(values[j][j], values[i][i]))
        .mapToInt(Integer::intValue)
        .toArray();
  }

  private static double[][] columns(double[][] m, int[] order) {
    double[][] sorted = PlainMatrices.zeros(m.length, order.length);
    for (int i = 0; i < m.length; i++) {
      for (int j = 0; j < order.length; j++) {
        sorted[i][j] = m[i][order[j]];
      }
    }
    return sorted;
  }

  /** Two nodes, matrices of both kinds, sides without a basis, a vector beside them. */
  @Test
  void stepsAreThoseOfTheFormula() {
    for (int[] shape : new int[][] {{5, 3}, {3, 5}, {4, 4}}) {
      Layout layout =
          Layout.builder().tensor("w", "weight", shape[0], shape[1]).tensor("b", "bias", 2).build();
      // The longer side of one gradient has directions of curvature 0, whose basis is anyone's.
      for (int period : new int[] {2, 3}) {
        // One that is as large as the roots tells a sum from a maximum.
        double epsilon = period == 2 ? 0.1 : 1e-8;
        double[] actual =
            ShampooTest.run(
                queue,
                new MovingGradient(2, layout),
                rule().epsilon(epsilon).refreshPeriod(period).longestSide(4).build(),
                9);
        double[] expected =
            IntStream.range(0, 2)
                .mapToObj(i -> reference(i, layout, 9, period, 4, epsilon))
                .flatMapToDouble(Arrays::stream)
                .toArray();
        // Directions of little curvature turn with the last bits of the statistics.
        assertArrayEquals(expected, actual, 1e-8, Arrays.toString(shape) + " " + period);
      }
    }
  }

  @Test
  void theFirstStepMovesNothing() {
    Layout layout = Layout.builder().tensor("w", "", 2, 3).tensor("b", "", 2).build();
    double[] x = ShampooTest.run(queue, new MovingGradient(1, layout), rule().build(), 1);
    for (int k = 0; k < x.length; k++) {
      assertEquals(Math.cos(2.0 * k), x[k]);
    }
  }

  /** Equal neighbours go through one batch, with the bits of each alone. */
  @Test
  void matricesTogetherAreEachAlone() {
    Layout one = Layout.builder().tensor("a", "", 3, 2).build();
    Layout two = Layout.builder().tensor("a", "", 3, 2).tensor("b", "", 3, 2).build();
    double[] alone = ShampooTest.run(queue, new MovingGradient(1, one), rule().build(), 14);
    double[] together = ShampooTest.run(queue, new MovingGradient(1, two), rule().build(), 14);
    assertArrayEquals(alone, Arrays.copyOf(together, 6));
  }

  @Test
  void settingsThatAreNoneAreRefused() {
    Soap.Builder builder = Soap.builder();
    refused("step size of -1.0", () -> builder.stepSize(-1));
    refused("decay of 1.0", () -> builder.decays(1, 0.5));
    refused("decay of NaN", () -> builder.decays(0.5, Double.NaN));
    refused("decay of -0.5", () -> builder.statisticsDecay(-0.5));
    refused("epsilon of 0.0", () -> builder.epsilon(0));
    refused("weight decay of -1.0", () -> builder.weightDecay(-1));
    refused("refresh period of 0", () -> builder.refreshPeriod(0));
    refused("longest side of 0", () -> builder.longestSide(0));
  }

  private static void refused(String part, Runnable call) {
    var e = assertThrows(IllegalArgumentException.class, call::run, part);
    assertTrue(e.getMessage().contains(part), e.getMessage() + " lacks " + part);
  }
}
