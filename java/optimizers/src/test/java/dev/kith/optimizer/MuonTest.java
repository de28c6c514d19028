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
import dev.kith.kernel.NewtonSchulz;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Muon is its formula, alone and on a graph, in both orders. */
class MuonTest {
  private static final int P = 6;
  private static final int Q = 4;
  private static final int ROUNDS = 6;

  /** A hidden layer, its bias, and an output layer of two. */
  private static final Layout MODEL =
      Layout.builder()
          .tensor("hidden", "weight", P, Q)
          .tensor("bias", "bias", P)
          .tensor("output", "weight", 2, P)
          .build();

  private final Queue queue = TestDevice.chosen().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private interface Factory {
    Optimizer create(Problem problem, Network network, DeviceMatrix initial);
  }

  private double[] run(Problem problem, MixingMatrix w, Factory factory) {
    try (Network network = Network.builder(MixingSchedule.constant(w)).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F64)) {
      double[] x = new double[Math.toIntExact(problem.layout().size())];
      Arrays.setAll(x, k -> Math.cos(2.0 * k));
      start.upload(x);
      try (Optimizer optimizer = factory.create(problem, network, start)) {
        for (int k = 0; k < ROUNDS; k++) {
          optimizer.step();
        }
        return optimizer.parameters().toDoubles();
      }
    }
  }

  private static Factory local(Muon muon) {
    return (p, w, x) -> DecentralizedSgd.builder(p, w, x).rule(muon).build();
  }

  private static Factory mixed(Muon muon) {
    return (p, w, x) -> DecentralizedMuon.builder(p, w, x).rule(muon).build();
  }

  private double[] orthogonalised(double[] u, int p, int q) {
    Layout layout = Layout.builder().tensor("u", "", p, q).build();
    try (DeviceMatrix m = DeviceMatrix.allocate(queue, 1, layout, DType.F64);
        NewtonSchulz schulz =
            new NewtonSchulz(NewtonSchulz.Polynomial.MUON, 5, layout.tensors(), m)) {
      m.upload(u);
      schulz.apply(m, m);
      return m.toDoubles();
    }
  }

  /** The released code, line by line: lerp, Nesterov, scale, decay; AdamW for all others. */
  @Test
  void stepsAreThoseOfTheFormula() {
    double eta = 0.02;
    double b = 0.95;
    for (double lambda : new double[] {0, 0.1}) {
      for (boolean nesterov : new boolean[] {true, false}) {
        Muon muon = Muon.builder().weightDecay(lambda).nesterov(nesterov).build();
        double[] actual = run(new MovingGradient(1, MODEL), MixingMatrix.uniform(1), local(muon));
        int d = Math.toIntExact(MODEL.size());
        double[] x = new double[d];
        Arrays.setAll(x, k -> Math.cos(2.0 * k));
        double[] m = new double[P * Q];
        double[] first = new double[d];
        double[] second = new double[d];
        for (int t = 1; t <= ROUNDS; t++) {
          double[] g = new double[d];
          for (int k = 0; k < d; k++) {
            g[k] = MovingGradient.gradient(0, k, x[k], t - 1);
          }
          double[] u = new double[P * Q];
          for (int k = 0; k < P * Q; k++) {
            m[k] = b * m[k] + (1 - b) * g[k];
            u[k] = nesterov ? b * m[k] + (1 - b) * g[k] : m[k];
          }
          u = orthogonalised(u, P, Q);
          for (int k = 0; k < d; k++) {
            if (k < P * Q) {
              x[k] = (1 - eta * lambda) * x[k] - eta * Math.sqrt(P / (double) Q) * u[k];
            } else {
              first[k] = 0.9 * first[k] + 0.1 * g[k];
              second[k] = 0.95 * second[k] + 0.05 * g[k] * g[k];
              x[k] =
                  (1 - 3e-4 * lambda) * x[k]
                      - 3e-4
                          * (first[k] / (1 - Math.pow(0.9, t)))
                          / (Math.sqrt(second[k] / (1 - Math.pow(0.95, t))) + 1e-10);
            }
          }
        }
        // Some tens of roundings of numbers near 1, stretched 485 times by each iteration.
        assertArrayEquals(x, actual, 1e-10, "lambda " + lambda + ", Nesterov " + nesterov);
      }
    }
  }

  /** What is neither a hidden matrix nor left out takes the other rule. */
  @Test
  void theOtherTensorsTakeTheOtherRule() {
    Problem problem = new MovingGradient(2, MODEL);
    MixingMatrix alone = MixingMatrix.identity(2);
    StepRule adam = new StepRule.Adam(0.01, 0.8, 0.9, 1e-8);
    double[] plain =
        run(
            problem,
            alone,
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x)
                    .rule(adam)
                    .options(StepOptions.decoupledDecay(0.1))
                    .build());
    Muon.Builder settings = Muon.builder().rest(adam).weightDecay(0.1);
    double[] hidden = run(problem, alone, local(settings.build()));
    double[] output =
        run(
            problem,
            alone,
            local(settings.matrices(tensor -> tensor.name().equals("output")).build()));
    int d = Math.toIntExact(MODEL.size());
    for (int k = 0; k < 2 * d; k++) {
      boolean inHidden = k % d < P * Q;
      boolean inOutput = k % d >= P * Q + P;
      assertEquals(!inHidden, plain[k] == hidden[k], "element " + k);
      assertEquals(!inOutput, plain[k] == output[k], "element " + k);
    }
  }

  /** With W = I nothing is mixed: both orders are every node's own Muon. */
  @Test
  void withoutNeighboursTheOrdersAgree() {
    for (boolean nesterov : new boolean[] {true, false}) {
      Muon muon = Muon.builder().nesterov(nesterov).weightDecay(0.1).build();
      double[] local = run(new MovingGradient(3, MODEL), MixingMatrix.identity(3), local(muon));
      double[] mixed = run(new MovingGradient(3, MODEL), MixingMatrix.identity(3), mixed(muon));
      assertArrayEquals(local, mixed, nesterov ? 1e-10 : 0);
    }
  }

  /**
   * With W = J and one start, mixing first follows Muon on the mean gradient; the other does not.
   */
  @Test
  void withAllWeightsEqualMixedMomentumIsMuonOnTheMeanGradient() {
    Layout matrix = Layout.builder().tensor("hidden", "weight", P, Q).build();
    int nodes = 4;
    Problem all = new MovingGradient(nodes, matrix);
    Problem mean =
        new Problem() {
          @Override
          public Layout layout() {
            return matrix;
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
            double[] at = x.toDoubles();
            double[] sum = new double[at.length];
            for (int k = 0; k < at.length; k++) {
              for (int i = 0; i < nodes; i++) {
                sum[k] += MovingGradient.gradient(i, k, at[k], round) / nodes;
              }
            }
            g.upload(sum);
          }

          @Override
          public void close() {}
        };
    for (boolean nesterov : new boolean[] {true, false}) {
      Muon muon = Muon.builder().nesterov(nesterov).build();
      double[] central = run(mean, MixingMatrix.uniform(1), local(muon));
      double[] mixed = run(all, MixingMatrix.uniform(nodes), mixed(muon));
      double[] orthogonalisedFirst = run(all, MixingMatrix.uniform(nodes), local(muon));
      double apart = 0;
      for (int i = 0; i < nodes; i++) {
        double[] row = Arrays.copyOfRange(mixed, i * P * Q, (i + 1) * P * Q);
        assertArrayEquals(central, row, 1e-10);
        for (int k = 0; k < P * Q; k++) {
          apart = Math.max(apart, Math.abs(central[k] - orthogonalisedFirst[i * P * Q + k]));
        }
      }
      assertTrue(apart > 1e-4, "the means of orthogonal matrices are shorter: " + apart);
    }
  }

  @Test
  void settingsThatAreNoneAreRefused() {
    Muon.Builder builder = Muon.builder();
    for (double wrong : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}) {
      refused("step size of " + wrong, () -> builder.stepSize(wrong));
      refused("weight decay of " + wrong, () -> builder.weightDecay(wrong));
      refused("momentum of " + wrong, () -> builder.momentum(wrong));
    }
    refused("momentum of 1.0", () -> builder.momentum(1));
    refused("iterations of 0", () -> builder.newtonSchulz(NewtonSchulz.Polynomial.CUBIC, 0));
    Problem flat = new FixedGradient(new double[] {1, 2});
    for (Factory factory : List.of(local(builder.build()), mixed(builder.build()))) {
      refused("two dimensions", () -> run(flat, MixingMatrix.uniform(1), factory));
    }
    refused(
        "step options",
        () ->
            run(
                new MovingGradient(1, MODEL),
                MixingMatrix.uniform(1),
                (p, w, x) ->
                    DecentralizedSgd.builder(p, w, x)
                        .rule(builder.build())
                        .options(StepOptions.decoupledDecay(0.1))
                        .build()));
  }

  private static void refused(String part, Runnable call) {
    var e = assertThrows(IllegalArgumentException.class, call::run, part);
    assertTrue(e.getMessage().contains(part), e.getMessage() + " lacks " + part);
  }
}
