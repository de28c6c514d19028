package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.TestDevice;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.network.Processes;
import dev.kith.problem.GaussNewtonVector;
import dev.kith.problem.LogisticRegression;
import dev.kith.problem.PolicySurrogate;
import dev.kith.problem.Problem;
import dev.kith.problem.TabularPolicy;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Natural gradient and trust regions. */
class NaturalGradientTest {
  private static final int N = 6;

  private final Queue queue = TestDevice.chosen().newQueue();

  @TempDir Path folder;

  @AfterEach
  void close() {
    queue.close();
  }

  private static LogisticRegression.Builder logistic() {
    double[][][] records = new double[N][5][3];
    double[][] labels = new double[N][5];
    for (int i = 0; i < N; i++) {
      for (int j = 0; j < 5; j++) {
        for (int c = 0; c < 3; c++) {
          records[i][j][c] = Math.sin(7 * i + 3 * j + 1.3 * c);
        }
        labels[i][j] = Math.cos(5 * i + 11 * j) > 0 ? 1 : -1;
      }
    }
    return LogisticRegression.of(records, labels).regularization(0.1);
  }

  private static Network network(int nodes) {
    return Network.builder(MixingSchedule.constant(MixingMatrix.uniform(nodes))).build();
  }

  @Test
  void withoutDampingItIsNewtonsMethodAndConvergesQuadratically() {
    try (LogisticRegression problem = logistic().build(queue, DType.F64);
        Network network = network(N);
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, 3, DType.F64);
        DeviceMatrix mean = start.like();
        NaturalGradient optimizer =
            NaturalGradient.builder(problem, network, start)
                .stepSize(1)
                .damping(1e-300)
                .iterations(20)
                .build();
        DeviceMatrix g = optimizer.parameters().like()) {
      double[] sizes = new double[6];
      for (int k = 0; k < sizes.length; k++) {
        problem.gradient(optimizer.parameters(), g, 0);
        network.observeAverage(g, mean);
        sizes[k] = Math.sqrt(Reduction.squares(mean)[0]);
        optimizer.step();
      }
      for (int k = 1; k < 4; k++) {
        // The Hessian is above 0.1, and its own slope below 1: the ratio is below 1 / (2 0.1^2).
        assertTrue(sizes[k] <= 50 * sizes[k - 1] * sizes[k - 1] + 1e-10, Arrays.toString(sizes));
      }
      assertTrue(sizes[5] < 1e-10, Arrays.toString(sizes));
    }
  }

  @Test
  void withMuchDampingItIsGradientDescent() {
    double[][] ends = new double[2][];
    for (int k = 0; k < 2; k++) {
      boolean natural = k == 0;
      try (LogisticRegression problem = logistic().build(queue, DType.F64);
          Network network = network(N);
          DeviceMatrix start = DeviceMatrix.allocate(queue, 1, 3, DType.F64);
          Optimizer optimizer =
              natural
                  ? NaturalGradient.builder(problem, network, start)
                      .stepSize(0x1p40)
                      .damping(0x1p42)
                      .build()
                  : CentralSgd.builder(problem, network, start).stepSize(0.25).build()) {
        for (int round = 0; round < 10; round++) {
          optimizer.step();
        }
        ends[k] = optimizer.parameters().toDoubles();
      }
    }
    // G is below 10 and 2^-42 of the damping.
    assertArrayEquals(ends[1], ends[0], 1e-10);
  }

  @Test
  void theFirstStepHasThePredictedDivergence() {
    double delta = 1e-6;
    try (TabularPolicy problem = TabularPolicy.random(1, 5, 3, 0.9, 0.3, 4).build();
        Network network = network(1);
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, 15, DType.F64);
        TrustRegionPolicy optimizer =
            TrustRegionPolicy.builder(problem, network, start)
                .radius(delta)
                .damping(1e-9)
                .iterations(50)
                .build()) {
      for (int k = 0; k < 3; k++) {
        optimizer.step();
        // The step is refused at beta where the third order adds to delta: then it is a quarter.
        double divergence = optimizer.divergence().orElseThrow();
        double share = divergence / delta;
        assertTrue(Math.abs(share - 1) < 0.02 || Math.abs(share - 0.25) < 0.02, "share " + share);
        assertTrue(divergence <= delta);
      }
    }
  }

  @Test
  void noStepLowersTheReturnOrLeavesTheTrustRegion() {
    try (TabularPolicy problem = TabularPolicy.random(N, 5, 3, 0.9, 0.3, 4).build();
        Network network = network(N);
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, 15, DType.F64);
        DeviceMatrix values = DeviceMatrix.allocate(queue, 1, N, DType.F64);
        TrustRegionPolicy optimizer =
            TrustRegionPolicy.builder(problem, network, start).damping(1e-3).build()) {
      double last = Double.NEGATIVE_INFINITY;
      for (int k = 0; k < 30; k++) {
        problem.values(optimizer.parameters(), values);
        double now = -Arrays.stream(values.toDoubles()).average().orElseThrow();
        assertTrue(now >= last - 1e-12, "round " + k + ": " + last + " to " + now);
        last = now;
        optimizer.step();
        assertTrue(optimizer.divergence().orElse(0) <= 0.01);
      }
    }
  }

  @Test
  void whereNothingCanBeGainedThePolicyStays() {
    double[][][][] stay = {{{{1}, {1}}}};
    try (TabularPolicy problem = TabularPolicy.of(stay, new double[][][] {{{1, 1}}}, 0.5).build();
        Network network = network(1);
        DeviceMatrix start = DeviceMatrix.of(queue, new double[][] {{0.5, -1}});
        TrustRegionPolicy optimizer = TrustRegionPolicy.builder(problem, network, start).build()) {
      optimizer.step();
      assertArrayEquals(new double[] {0.5, -1}, optimizer.parameters().toDoubles());
      assertTrue(optimizer.divergence().isEmpty());
      assertEquals(1, optimizer.round());
    }
  }

  /**
   * One parameter with the Fisher matrix 1 and the gradient -1, whose steps promise a gain up to
   * one length and stay near up to another.
   */
  private record Limited(double gain, double near)
      implements Problem, PolicySurrogate, GaussNewtonVector {
    @Override
    public Layout layout() {
      return Layout.builder().tensor("x", "", 1).build();
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
      g.set(0, 0, -1);
    }

    @Override
    public void gaussNewtonVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
      out.copyFrom(v);
    }

    @Override
    public void improvements(DeviceMatrix old, DeviceMatrix x, DeviceMatrix out) {
      out.set(0, 0, x.get(0, 0) - old.get(0, 0) < gain ? 1 : -1);
    }

    @Override
    public void divergences(DeviceMatrix old, DeviceMatrix x, DeviceMatrix out) {
      out.set(0, 0, x.get(0, 0) - old.get(0, 0) < near ? 0.005 : 1);
    }

    @Override
    public void close() {}
  }

  /** The step of the predicted divergence, sqrt(2 delta / F), is halved until both hold. */
  @ParameterizedTest
  @CsvSource({"1, 1, 1", "0.1, 1, 2", "1, 0.1, 2", "0.05, 1, 4", "1, 0.05, 4"})
  void theStepIsHalvedUntilItGainsAndStaysNear(double gain, double near, double parts) {
    try (Problem problem = new Limited(gain, near);
        Network network = network(1);
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, 1, DType.F64);
        TrustRegionPolicy optimizer =
            TrustRegionPolicy.builder(problem, network, start)
                .radius(0.01)
                .damping(1e-14)
                .build()) {
      optimizer.step();
      assertEquals(Math.sqrt(0.02) / parts, optimizer.parameters().get(0, 0), 1e-12);
      assertEquals(0.005, optimizer.divergence().orElseThrow());
    }
  }

  private interface Factory {
    Optimizer create(Problem problem, Network network, DeviceMatrix start);
  }

  private static double[] run(int processes, boolean policy, Factory factory) {
    List<double[]> parts =
        Processes.run(
            N,
            processes,
            (transport, queue) -> {
              int begin = transport.range().begin();
              int end = transport.range().end();
              int d = policy ? 15 : 3;
              try (Problem problem =
                      policy
                          ? TabularPolicy.random(N, 5, 3, 0.9, 0.3, 4).nodes(begin, end).build()
                          : logistic().nodes(begin, end).build(queue, DType.F64);
                  Network network =
                      Network.builder(MixingSchedule.constant(MixingMatrix.uniform(N)))
                          .transport(transport)
                          .build();
                  DeviceMatrix start = DeviceMatrix.allocate(queue, 1, d, DType.F64);
                  Optimizer optimizer = factory.create(problem, network, start)) {
                for (int k = 0; k < 8; k++) {
                  optimizer.step();
                }
                return optimizer.parameters().toDoubles();
              }
            });
    return parts.stream().flatMapToDouble(Arrays::stream).toArray();
  }

  @Test
  void cutsDoNotChangeABit() {
    Factory natural = (p, w, x) -> NaturalGradient.builder(p, w, x).stepSize(0.5).build();
    Factory trust = (p, w, x) -> TrustRegionPolicy.builder(p, w, x).damping(1e-3).build();
    double[] ofNatural = run(1, false, natural);
    double[] ofTrust = run(1, true, trust);
    for (int processes : new int[] {2, 4}) {
      assertArrayEquals(ofNatural, run(processes, false, natural));
      assertArrayEquals(ofTrust, run(processes, true, trust));
    }
  }

  @Test
  void aResumedRunEndsWithTheBitsOfAnUninterruptedOne() throws IOException {
    Path file = folder.resolve("trpo");
    double[][] ends = new double[2][];
    for (int k = 0; k < 2; k++) {
      try (TabularPolicy problem = TabularPolicy.random(N, 5, 3, 0.9, 0.3, 4).build();
          Network network = network(N);
          DeviceMatrix start = DeviceMatrix.allocate(queue, 1, 15, DType.F64);
          TrustRegionPolicy optimizer =
              TrustRegionPolicy.builder(problem, network, start).damping(1e-3).build()) {
        if (k == 1) {
          Snapshot.read(file, optimizer);
        }
        while (optimizer.round() < 9) {
          if (k == 0 && optimizer.round() == 4) {
            Snapshot.write(file, optimizer);
          }
          optimizer.step();
        }
        ends[k] = optimizer.parameters().toDoubles();
      }
    }
    assertArrayEquals(ends[0], ends[1]);
  }
}
