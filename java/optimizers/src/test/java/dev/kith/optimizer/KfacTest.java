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
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.network.Processes;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.KroneckerFactors;
import dev.kith.problem.MultilayerPerceptron;
import dev.kith.problem.Partition;
import dev.kith.problem.Problem;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * K-FAC is Newton's method where the Fisher matrix is the Kronecker product that it takes it for.
 */
class KfacTest {
  private static final int P = 3;
  private static final int Q = 2;
  private static final int SAMPLES = 8;
  private static final int D = Q * P + Q;

  private final Queue queue = TestDevice.chosen().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  /** Least squares with two outputs: G = I and A the second moments of the inputs with a 1. */
  private record Regression(double[][] inputs, double[][] targets, boolean plain)
      implements Problem, KroneckerFactors {
    @Override
    public Layout layout() {
      return Layout.builder().tensor("w", "weight", Q, P).tensor("b", "bias", Q).build();
    }

    @Override
    public List<Layer> layers() {
      return List.of(new Layer(layout().tensor("w"), layout().tensor("b")));
    }

    @Override
    public Layout factorLayout() {
      return Layout.builder().tensor("a", "", P + 1, P + 1).tensor("g", "", Q, Q).build();
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

    double input(int k, int j) {
      return j < P ? inputs[k][j] : 1;
    }

    double output(double[] x, int k, int i) {
      double sum = 0;
      for (int j = 0; j <= P; j++) {
        sum += x[j < P ? i * P + j : Q * P + i] * input(k, j);
      }
      return sum;
    }

    double[] gradient(double[] x) {
      double[] g = new double[D];
      for (int k = 0; k < SAMPLES; k++) {
        for (int i = 0; i < Q; i++) {
          for (int j = 0; j <= P; j++) {
            g[j < P ? i * P + j : Q * P + i] +=
                (output(x, k, i) - targets[k][i]) * input(k, j) / SAMPLES;
          }
        }
      }
      return g;
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      g.upload(gradient(x.toDoubles()));
    }

    @Override
    public void kroneckerFactors(DeviceMatrix x, DeviceMatrix f, boolean sampled, long round) {
      double[] values = new double[(P + 1) * (P + 1) + Q * Q];
      for (int i = 0; i <= P; i++) {
        for (int j = 0; j <= P; j++) {
          for (int k = 0; k < SAMPLES; k++) {
            values[i * (P + 1) + j] += plain ? 0 : input(k, i) * input(k, j) / SAMPLES;
          }
          values[i * (P + 1) + j] += plain && i == j ? 1 : 0;
        }
      }
      for (int i = 0; i < Q; i++) {
        values[(P + 1) * (P + 1) + i * (Q + 1)] = 1;
      }
      f.upload(values);
    }

    @Override
    public void close() {}
  }

  private static Regression regression(boolean plain) {
    double[][] inputs = new double[SAMPLES][P];
    double[][] targets = new double[SAMPLES][Q];
    for (int k = 0; k < SAMPLES; k++) {
      for (int j = 0; j < P; j++) {
        inputs[k][j] = Math.sin(1.0 + k * (j + 1.5)) + 0.2 * k * (j == 1 ? 1 : 0);
      }
      for (int i = 0; i < Q; i++) {
        targets[k][i] = Math.cos(2.0 * k + i) + i;
      }
    }
    return new Regression(inputs, targets, plain);
  }

  private static Kfac.Builder newton() {
    return Kfac.builder().stepSize(1).damping(1e-24).klBound(Double.POSITIVE_INFINITY);
  }

  private double[] run(Regression problem, Kfac rule, int steps) {
    return ShampooTest.run(queue, problem, rule, steps);
  }

  @Test
  void leastSquaresTakeOneStep() {
    Regression problem = regression(false);
    double[] x = run(problem, newton().build(), 1);
    // Second moments of condition below 1e3.
    assertArrayEquals(new double[D], problem.gradient(x), 1e-10);
  }

  @Test
  void withFactorsOfOneItIsGradientDescent() {
    double root = 0.3;
    Regression problem = regression(true);
    double[] x = new double[D];
    Arrays.setAll(x, k -> Math.cos(2.0 * k));
    for (int t = 0; t < 5; t++) {
      double[] g = problem.gradient(x);
      for (int k = 0; k < D; k++) {
        x[k] -= 0.1 * g[k] / ((1 + root) * (1 + root));
      }
    }
    Kfac rule =
        Kfac.builder().stepSize(0.1).damping(root * root).klBound(Double.POSITIVE_INFINITY).build();
    assertArrayEquals(x, run(problem, rule, 5), 1e-12);
  }

  /**
   * Predictions do not depend on the coordinates of the inputs, as those of gradient descent do.
   */
  @Test
  void stepsDoNotDependOnTheCoordinatesOfTheInputs() {
    Regression problem = regression(false);
    double[][] turn = {{2, 1, 0}, {0, 1, -1}, {0.5, 0, 3}};
    double[][] turned = PlainMatrices.times(problem.inputs(), turn);
    Regression other = new Regression(turned, problem.targets(), false);
    Kfac rule = newton().stepSize(0.3).build();
    try (Network network =
            Network.builder(MixingSchedule.parse("complete", "metropolis", 1, 1)).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F64);
        Optimizer first = DecentralizedSgd.builder(problem, network, zero).rule(rule).build();
        Optimizer second = DecentralizedSgd.builder(other, network, zero).rule(rule).build()) {
      for (int t = 0; t < 3; t++) {
        first.step();
        second.step();
      }
      double[] x = first.parameters().toDoubles();
      double[] y = second.parameters().toDoubles();
      for (int k = 0; k < SAMPLES; k++) {
        for (int i = 0; i < Q; i++) {
          assertEquals(problem.output(x, k, i), other.output(y, k, i), 1e-9);
        }
      }
    }
  }

  /** Gradients and factors that change from round to round. */
  private record Moving() implements Problem, KroneckerFactors {
    @Override
    public Layout layout() {
      return Layout.builder().tensor("w", "weight", Q, P).tensor("b", "bias", Q).build();
    }

    @Override
    public List<Layer> layers() {
      return List.of(new Layer(layout().tensor("w"), layout().tensor("b")));
    }

    @Override
    public Layout factorLayout() {
      return Layout.builder().tensor("a", "", P + 1, P + 1).tensor("g", "", Q, Q).build();
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

    static double[] gradient(double[] x, long round) {
      double[] g = new double[D];
      Arrays.setAll(g, k -> MovingGradient.gradient(0, k, x[k], round));
      return g;
    }

    /** Positive definite, larger for the inputs: pi is far from 1. */
    static double[][] factor(int side, double scale, long round) {
      double[][] m = PlainMatrices.zeros(side, side);
      for (int i = 0; i < side; i++) {
        for (int j = 0; j < side; j++) {
          m[i][j] = scale * Math.sin(1.3 * i * side + 2.1 * j + 0.7 * round);
        }
      }
      return PlainMatrices.times(m, PlainMatrices.transposed(m));
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      g.upload(gradient(x.toDoubles(), round));
    }

    @Override
    public void kroneckerFactors(DeviceMatrix x, DeviceMatrix f, boolean sampled, long round) {
      double[] values = new double[(P + 1) * (P + 1) + Q * Q];
      int at = 0;
      for (double[][] factor : List.of(factor(P + 1, 3, round), factor(Q, 0.5, round))) {
        for (double[] row : factor) {
          System.arraycopy(row, 0, values, at, row.length);
          at += row.length;
        }
      }
      f.upload(values);
    }

    @Override
    public void close() {}
  }

  /** The averages of the factors, the damping that both share, and inverses that wait. */
  @Test
  void stepsAreThoseOfTheFormula() {
    double root = 0.4;
    double[] x = new double[D];
    Arrays.setAll(x, k -> Math.cos(2.0 * k));
    double[][] a = PlainMatrices.zeros(P + 1, P + 1);
    double[][] b = PlainMatrices.zeros(Q, Q);
    double[][] left = b;
    double[][] right = a;
    for (int t = 0; t < 7; t++) {
      // 0, 1/2, and from then on the decay.
      double kept = Math.min(1 - 1 / (t + 1.0), 0.6);
      a = PlainMatrices.sum(kept, a, 1 - kept, Moving.factor(P + 1, 3, t));
      b = PlainMatrices.sum(kept, b, 1 - kept, Moving.factor(Q, 0.5, t));
      if (t % 2 == 0) {
        double pi = Math.sqrt(PlainMatrices.trace(a) / (P + 1) / (PlainMatrices.trace(b) / Q));
        left = PlainMatrices.power(b, root / pi, -1);
        right = PlainMatrices.power(a, root * pi, -1);
      }
      double[] g = Moving.gradient(x, t);
      double[][] whole = PlainMatrices.zeros(Q, P + 1);
      for (int i = 0; i < Q; i++) {
        System.arraycopy(g, i * P, whole[i], 0, P);
        whole[i][P] = g[Q * P + i];
      }
      double[][] direction = PlainMatrices.times(left, PlainMatrices.times(whole, right));
      for (int i = 0; i < Q; i++) {
        for (int j = 0; j <= P; j++) {
          x[j < P ? i * P + j : Q * P + i] -= 0.2 * direction[i][j];
        }
      }
    }
    Kfac rule =
        Kfac.builder()
            .stepSize(0.2)
            .damping(root * root)
            .decay(0.6)
            .inversePeriod(2)
            .klBound(Double.POSITIVE_INFINITY)
            .build();
    assertArrayEquals(x, ShampooTest.run(queue, new Moving(), rule, 7), 1e-10);
  }

  /** kappa bounds eta^2 D . g: four times less of it is a step of half the length. */
  @Test
  void klClippingShortensTheStep() {
    Regression problem = regression(false);
    double[] start = run(problem, newton().stepSize(0).build(), 1);
    double[] whole = run(problem, newton().build(), 1);
    double[] g = problem.gradient(start);
    double model = 0;
    for (int k = 0; k < D; k++) {
      model += (start[k] - whole[k]) * g[k];
    }
    double[] half = run(problem, newton().klBound(model / 4).build(), 1);
    double[] unbound = run(problem, newton().klBound(model * 1.01).build(), 1);
    for (int k = 0; k < D; k++) {
      assertEquals((start[k] + whole[k]) / 2, half[k], 1e-10);
      assertEquals(whole[k], unbound[k]);
    }
  }

  private static ClassificationData data() {
    float[] values = new float[40 * 3];
    int[] labels = new int[40];
    for (int k = 0; k < values.length; k++) {
      labels[k / 3] = k / 3 % 3;
      values[k] = (float) Math.sin(1.7 * k) + (k % 3 == labels[k / 3] ? 1 : 0);
    }
    return ClassificationData.of("clusters", 3, 3, values, labels);
  }

  private static double[] trained(int processes, boolean sampled) {
    int nodes = 4;
    ClassificationData data = data();
    // Node 3 has no data.
    int[][] three = Partition.iid().split(data, 3, 1);
    int[][] parts = {three[0], three[1], three[2], {}};
    return Processes.run(
            nodes,
            processes,
            (transport, queue) -> {
              try (MultilayerPerceptron problem =
                      MultilayerPerceptron.builder(queue, data, parts, 5)
                          .nodes(
                              transport.range().begin(),
                              transport.range().end() - transport.range().begin())
                          .batch(6)
                          .seed(3)
                          .build();
                  Network network =
                      Network.builder(MixingSchedule.constant(Algorithm.ring(nodes)))
                          .transport(transport)
                          .build();
                  DeviceMatrix start = problem.initial(1);
                  Optimizer optimizer =
                      DecentralizedSgd.builder(problem, network, start)
                          .rule(
                              Kfac.builder()
                                  .sampledLabels(sampled)
                                  .inversePeriod(4)
                                  .klBound(Double.POSITIVE_INFINITY)
                                  .build())
                          .build()) {
                for (int t = 0; t < 30; t++) {
                  optimizer.step();
                }
                return optimizer.parameters().toDoubles();
              }
            })
        .stream()
        .flatMapToDouble(Arrays::stream)
        .toArray();
  }

  @Test
  void cutsDoNotChangeABitAndPerceptronsLearn() {
    ClassificationData data = data();
    int[] all = new int[40];
    Arrays.setAll(all, k -> k);
    for (boolean sampled : new boolean[] {true, false}) {
      double[] whole = trained(1, sampled);
      assertArrayEquals(whole, trained(3, sampled));
      try (MultilayerPerceptron problem =
              MultilayerPerceptron.builder(queue, data, new int[][] {all}, 5).build();
          DeviceMatrix start = problem.initial(1);
          DeviceMatrix loss = start.like(1, 1, DType.F64)) {
        problem.values(start, loss);
        double before = loss.get(0, 0);
        start.upload(Arrays.copyOf(whole, (int) start.cols()));
        problem.values(start, loss);
        assertTrue(loss.get(0, 0) < 0.7 * before, before + " to " + loss.get(0, 0));
      }
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    Kfac.Builder builder = Kfac.builder();
    refused("step size of -1.0", () -> builder.stepSize(-1));
    refused("damping of 0.0", () -> builder.damping(0));
    refused("decay of 1.0", () -> builder.decay(1));
    refused("bound of NaN", () -> builder.klBound(Double.NaN));
    refused("inverse period of 0", () -> builder.inversePeriod(0));
    refused(
        "FixedGradient is not",
        () -> ShampooTest.run(queue, new FixedGradient(new double[] {1}), builder.build(), 1));
  }

  private static void refused(String part, Runnable call) {
    var e = assertThrows(IllegalArgumentException.class, call::run, part);
    assertTrue(e.getMessage().contains(part), e.getMessage() + " lacks " + part);
  }
}
