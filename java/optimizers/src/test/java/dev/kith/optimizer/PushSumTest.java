package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.FailingSchedule;
import dev.kith.graph.Failures;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.problem.Quadratic;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class PushSumTest {
  private static final int N = 6;

  /** A directed star: the centre sends to all, the leaves to the centre. */
  private static MixingMatrix star() {
    double[][] p = new double[N][N];
    for (int i = 0; i < N; i++) {
      p[i][0] = 1.0 / N;
    }
    for (int j = 1; j < N; j++) {
      p[j][j] = 0.5;
      p[0][j] = 0.5;
    }
    return MixingMatrix.ofDense(MixingMatrix.Kind.COLUMN_STOCHASTIC, p);
  }

  private static double[] column(DeviceMatrix m, int c) {
    double[] flat = m.toDoubles();
    double[] column = new double[Math.toIntExact(m.rows())];
    Arrays.setAll(column, r -> flat[r * Math.toIntExact(m.cols()) + c]);
    return column;
  }

  @Test
  void withoutStepsTheNodesReachTheMeanAndTheSumsStay() {
    try (Queue queue = Device.cpu().newQueue();
        Quadratic problem = Quadratic.random(N, 2, 2, 1, 1).build(queue, DType.F64);
        Network network = Network.builder(MixingSchedule.constant(star())).build();
        DeviceMatrix start =
            DeviceMatrix.of(
                queue, new double[][] {{6, 0}, {0, 1}, {0, 0}, {3, 0}, {3, 0}, {0, 0}});
        PushSum optimizer = PushSum.builder(problem, network, start).stepSize(0).build();
        DeviceMatrix plain = start.like();
        DeviceMatrix mixed = start.like()) {
      plain.copyFrom(start);
      for (int k = 0; k < 200; k++) {
        optimizer.step();
        assertEquals(12, Arrays.stream(column(optimizer.numerators(), 0)).sum(), 1e-13);
        assertEquals(N, Arrays.stream(column(optimizer.weights(), 0)).sum(), 1e-13);
        network.mix(Expression.inner(plain), mixed);
        plain.copyFrom(mixed);
      }
      for (double z : column(optimizer.parameters(), 0)) {
        assertEquals(2, z, 1e-12);
      }
      // Without the weights the same mixing ends at the Perron vector of P instead: the centre
      // holds far more.
      double[] perron = column(plain, 0);
      double[] w = column(optimizer.weights(), 0);
      for (int i = 0; i < N; i++) {
        assertEquals(2 * w[i], perron[i], 1e-12);
      }
      assertTrue(perron[0] > 4 && perron[1] < 1.6, Arrays.toString(perron));
    }
  }

  @Test
  void doublyStochasticDyadicWeightsGiveTheBitsOfDecentralizedSgd() {
    // Weights 1/2 and 1/2: the push-sum weights stay exactly 1.
    MixingSchedule schedule = MixingSchedule.onePeerExponential(8);
    for (DType dtype : new DType[] {DType.F32, DType.F64}) {
      try (Queue queue = Device.cpu().newQueue();
          Quadratic problem = Quadratic.random(8, 4, 3, 1, 1).noise(0.1, 2).build(queue, dtype);
          Network network = Network.builder(schedule).build();
          DeviceMatrix start = DeviceMatrix.allocate(queue, 1, problem.layout(), dtype);
          Optimizer push = PushSum.builder(problem, network, start).stepSize(0.1).build();
          Optimizer plain =
              DecentralizedSgd.builder(problem, network, start).stepSize(0.1).build()) {
        for (int k = 0; k < 30; k++) {
          push.step();
          plain.step();
        }
        assertArrayEquals(plain.parameters().toDoubles(), push.parameters().toDoubles());
      }
    }
  }

  @Test
  void aDirectedGraphTrainsToTheNeighbourhoodOfTheOptimum() {
    Quadratic.Builder f = Quadratic.random(N, 2, 2, 1, 1);
    try (Queue queue = Device.cpu().newQueue();
        Quadratic problem = f.build(queue, DType.F64);
        Network network = Network.builder(MixingSchedule.constant(star())).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F64);
        Optimizer optimizer = PushSum.builder(problem, network, start).stepSize(0.001).build()) {
      for (int k = 0; k < 8000; k++) {
        optimizer.step();
      }
      // The bias is of the order of the step size.
      for (int c = 0; c < 2; c++) {
        for (double z : column(optimizer.parameters(), c)) {
          assertEquals(f.optimum()[c], z, 0.02);
        }
      }
    }
  }

  @Test
  void theMeanIsReachedWithoutALinkOfAScheduleThatIsNotSymmetric() {
    Failures failures = Failures.builder().removeLink(1, 0, 2).build();
    MixingSchedule base = MixingSchedule.onePeerExponential(8);
    MixingSchedule schedule =
        FailingSchedule.of(base, failures, MixingMatrix.Kind.COLUMN_STOCHASTIC);
    try (Queue queue = Device.cpu().newQueue();
        Quadratic problem = Quadratic.random(8, 1, 1, 1, 1).build(queue, DType.F64);
        Network network = Network.builder(schedule).build();
        DeviceMatrix start =
            DeviceMatrix.of(queue, new double[][] {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}});
        PushSum optimizer = PushSum.builder(problem, network, start).stepSize(0).build()) {
      for (int k = 0; k < 300; k++) {
        optimizer.step();
        assertEquals(8, Arrays.stream(column(optimizer.weights(), 0)).sum(), 1e-13);
      }
      for (double z : column(optimizer.parameters(), 0)) {
        assertEquals(3.5, z, 1e-12);
      }
    }
  }

  @Test
  void aRoundWhoseColumnsDoNotSumToOneIsRefused() {
    Failures failures = Failures.builder().removeLink(1, 0, 2).build();
    MixingSchedule rowsOnly = FailingSchedule.of(MixingSchedule.onePeerExponential(8), failures);
    try (Queue queue = Device.cpu().newQueue();
        Quadratic problem = Quadratic.random(8, 1, 1, 1, 1).build(queue, DType.F64);
        Network network = Network.builder(rowsOnly).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F64);
        PushSum optimizer = PushSum.builder(problem, network, start).build();
        GradientTracking tracking = GradientTracking.builder(problem, network, start).build()) {
      optimizer.step();
      String message = assertThrows(IllegalArgumentException.class, optimizer::step).getMessage();
      assertTrue(
          message.contains("ROW_STOCHASTIC as in round 1") && message.contains("Kind.COLUMN"),
          message);
      tracking.step();
      message = assertThrows(IllegalArgumentException.class, tracking::step).getMessage();
      assertTrue(message.contains("ROW_STOCHASTIC as in round 1"), message);
    }
  }

  @Test
  void oneWeightTravelsWithEveryMessage() {
    try (Queue queue = Device.cpu().newQueue();
        Quadratic problem = Quadratic.random(N, 3, 2, 1, 1).build(queue, DType.F32);
        Network network = Network.builder(MixingSchedule.constant(star())).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        Optimizer optimizer = PushSum.builder(problem, network, start).build()) {
      optimizer.step();
      int arcs = 2 * (N - 1);
      assertEquals(1, network.meter().rounds());
      assertEquals(arcs, network.meter().messages());
      assertEquals(arcs * (3L * 4 + 8), network.meter().bytes());
    }
  }
}
