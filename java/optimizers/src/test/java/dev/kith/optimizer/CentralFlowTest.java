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
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.problem.EdgeOfStability;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class CentralFlowTest {
  private static final double ETA = 0.1;
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private static Network network(int n) {
    return Network.builder(MixingSchedule.constant(MixingMatrix.uniform(n))).build();
  }

  @Test
  void belowTheEdgeItIsGradientFlow() {
    // F = 1/2 h (x - b)^2: x(t) - b = (x0 - b) e^(-eta h t).
    try (Quadratic problem =
            Quadratic.of(new double[][] {{3}, {1}}, new double[][] {{1}, {1}})
                .build(queue, DType.F64);
        Network network = network(2);
        DeviceMatrix start = DeviceMatrix.row(queue, 5.0);
        CentralFlow flow =
            CentralFlow.builder(problem, network, start).stepSize(ETA).substeps(200).build()) {
      for (int k = 0; k < 10; k++) {
        flow.step();
      }
      // Euler with 200 substeps of eta h = 0.2 loses t (eta h)^2 / 400 relative.
      assertEquals(1 + 4 * Math.exp(-2), flow.parameters()[0], 4 * Math.exp(-2) * 2e-3);
      assertArrayEquals(new double[] {2}, flow.sharpness(), 1e-12);
      assertEquals(0, flow.variance());
      assertEquals(0, flow.excessLoss());
    }
  }

  @Test
  void atTheEdgeItStaysWithTheVarianceOfTheClosedForm() {
    double c = 0.005;
    double target = 30;
    try (Problem problem = new EdgeOfStability(3, c, target);
        Network network = network(3);
        DeviceMatrix start = DeviceMatrix.row(queue, 19.0, 0.0);
        CentralFlow flow = CentralFlow.builder(problem, network, start).stepSize(ETA).build()) {
      // x rises at eta c (X - x), at most 0.0055 a step, to 20; then it stays.
      for (int k = 0; k < 300; k++) {
        flow.step();
      }
      double expected = 2 * c * (target - 20);
      assertEquals(20, flow.parameters()[0], 1e-9);
      assertEquals(expected, flow.variance(), 1e-8);
      assertEquals(expected / ETA, flow.excessLoss(), 1e-6);
    }
  }

  /** F = sum_k 1/2 x_k y_k^2 + c_k / 2 (x_k - X)^2, a basin of attraction for each pair. */
  private static final class Pairs implements Problem, HessianVector {
    private final double[] pull;
    private final EdgeOfStability[] edges;

    Pairs(double target, double... pull) {
      this.pull = pull;
      this.edges = new EdgeOfStability[pull.length];
      for (int k = 0; k < pull.length; k++) {
        edges[k] = new EdgeOfStability(1, pull[k], target);
      }
    }

    @Override
    public Layout layout() {
      return Layout.flat(2L * pull.length);
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
      for (int k = 0; k < edges.length; k++) {
        try (DeviceMatrix from = x.columns(2L * k, 2L * k + 2);
            DeviceMatrix to = g.columns(2L * k, 2L * k + 2)) {
          edges[k].gradient(from, to, round);
        }
      }
    }

    @Override
    public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
      for (int k = 0; k < edges.length; k++) {
        try (DeviceMatrix from = x.columns(2L * k, 2L * k + 2);
            DeviceMatrix along = v.columns(2L * k, 2L * k + 2);
            DeviceMatrix to = out.columns(2L * k, 2L * k + 2)) {
          edges[k].hessianVector(from, along, to);
        }
      }
    }

    @Override
    public void close() {}
  }

  @Test
  void severalDirectionsAtTheEdgeAreHeldTogether() {
    try (Problem problem = new Pairs(30, 0.005, 0.002, 0.003);
        Network network = network(1);
        DeviceMatrix start = DeviceMatrix.row(queue, 19.9, 0, 20, 0, 19.95, 0);
        CentralFlow flow =
            CentralFlow.builder(problem, network, start).stepSize(ETA).directions(3).build()) {
      for (int k = 0; k < 100; k++) {
        flow.step();
      }
      double[] w = flow.parameters();
      for (int k = 0; k < 3; k++) {
        assertEquals(20, w[2 * k], 1e-6, "pair " + k);
      }
      assertEquals(2 * (0.005 + 0.002 + 0.003) * 10, flow.variance(), 1e-5);
    }
  }

  @Test
  void theFlowOfRmsPropHoldsItsOwnSharpness() {
    double beta2 = 0.9;
    double eta = 0.02;
    StepRule rule = new StepRule.RmsProp(eta, beta2, 0);
    try (Problem problem = new EdgeOfStability(1, 0.005, 30);
        Network network = network(1);
        DeviceMatrix start = DeviceMatrix.row(queue, 20.0, 0.05);
        Optimizer optimizer = DecentralizedSgd.builder(problem, network, start).rule(rule).build();
        DeviceMatrix nu = DeviceMatrix.row(queue, 0.01, 0.04);
        DeviceMatrix still = DeviceMatrix.row(queue, 20.0, 0.0);
        CentralFlow flow =
            CentralFlow.builder(problem, network, still)
                .stepSize(eta)
                .rmsProp(beta2)
                .second(nu)
                .build()) {
      // Descent: rows of x and of the mean square of y's slope over the second half.
      int steps = 4000;
      for (int k = 0; k < steps; k++) {
        optimizer.step();
      }
      double x = 0;
      double square = 0;
      for (int k = 0; k < 1000; k++) {
        optimizer.step();
        double[] w = optimizer.parameters().toDoubles();
        x += w[0] / 1000;
        square += w[1] * w[1] / 1000;
      }
      for (int k = 0; k < steps; k++) {
        flow.step();
      }
      double[] w = flow.parameters();
      double[] second = flow.second().orElseThrow();
      assertEquals(2 / eta, flow.sharpness()[0], 1e-3 * 2 / eta);
      assertEquals(2 / eta, w[0] / Math.sqrt(second[1]), 2e-3 * 2 / eta);
      assertEquals(x, w[0], 0.02 * x, "where RMSProp goes");
      assertEquals(square, flow.variance(), 0.2 * square, "how far it swings");
    }
  }

  @Test
  void whatDivergesOrDoesNotFitIsSaidSo() {
    try (Quadratic steep =
            Quadratic.of(new double[][] {{30}}, new double[][] {{1}}).build(queue, DType.F64);
        Network network = network(1);
        DeviceMatrix start = DeviceMatrix.row(queue, 5.0);
        DeviceMatrix wide = DeviceMatrix.row(queue, 5.0, 1.0);
        CentralFlow flow = CentralFlow.builder(steep, network, start).stepSize(ETA).build()) {
      // Above 2 / eta = 20 without a slope that could lower it.
      var e = assertThrows(ArithmeticException.class, flow::step);
      assertTrue(e.getMessage().contains("diverges"), e.getMessage());
      assertThrows(
          IllegalArgumentException.class, () -> CentralFlow.builder(steep, network, wide).build());
      assertThrows(
          IllegalArgumentException.class,
          () -> CentralFlow.builder(steep, network, start).stepSize(0).build());
      Problem first = new FixedGradient(new double[] {1});
      var missing =
          assertThrows(
              IllegalArgumentException.class,
              () -> CentralFlow.builder(first, network, start).build());
      assertTrue(missing.getMessage().contains("HessianVector"), missing.getMessage());
      var builder = CentralFlow.builder(steep, network, start);
      assertThrows(IllegalArgumentException.class, () -> builder.directions(11));
      assertThrows(IllegalArgumentException.class, () -> builder.substeps(0));
      assertThrows(IllegalArgumentException.class, () -> builder.rmsProp(1));
    }
  }
}
