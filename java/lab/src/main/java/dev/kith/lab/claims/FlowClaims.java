package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.optimizer.CentralFlow;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.Optimizer;
import dev.kith.optimizer.Sharpness;
import dev.kith.problem.EdgeOfStability;

/** Experiments at the edge of stability. */
final class FlowClaims {
  private static final double STEP_SIZE = 0.1;
  private static final int STEPS = 6000;

  /** At 0.001 to 0.0055 a step the flow has gone from 19 to 20 by then, and stays. */
  private static final int FLOW_STEPS = 1200;

  private FlowClaims() {}

  /** Time averages of gradient descent against the central flow that comes from below the edge. */
  static Measurement sharpness(Setting setting) {
    double[][] cases = {{0.001, 30}, {0.005, 30}, {0.01, 25}};
    double[] worst = new double[3];
    Measurement measurement =
        Measurement.under(
            "F = x y^2 / 2 + c (x - X)^2 / 2, (c, X) = (.001, 30), (.005, 30), (.01, 25), eta = 0.1 from x = 2 / eta, 6000 steps, the flow from x = 19, averages of all of them, f64");
    for (double[] one : cases) {
      Averages seen = descent(setting, one[0], one[1]);
      Flow expected = flow(setting, one[0], one[1]);
      worst[0] = Math.max(worst[0], Math.abs(seen.sharpness() / expected.sharpness() - 1));
      worst[1] = Math.max(worst[1], Math.abs(seen.square() / expected.variance() - 1));
      worst[2] = Math.max(worst[2], Math.abs(seen.loss() / expected.loss() - 1));
      measurement =
          measurement
              .with("x%s".formatted(name(one)), seen.sharpness())
              .with("square%s".formatted(name(one)), seen.square())
              .with("loss%s".formatted(name(one)), seen.loss());
    }
    return measurement
        .with("sharpnessError", worst[0])
        .with("varianceError", worst[1])
        .with("lossError", worst[2]);
  }

  private static String name(double[] one) {
    return "(c=%s)".formatted(one[0]);
  }

  private record Averages(double sharpness, double square, double loss) {}

  private static Averages descent(Setting setting, double pull, double target) {
    try (EdgeOfStability problem = new EdgeOfStability(1, pull, target);
        Network network = network();
        DeviceMatrix start =
            DeviceMatrix.row(
                setting.queue(),
                2 / STEP_SIZE,
                Math.sqrt(2 * pull * (target - 2 / STEP_SIZE)) / 2);
        Sharpness probe = new Sharpness(problem, network, start);
        DeviceMatrix value = DeviceMatrix.allocate(setting.queue(), 1, 1, DType.F64);
        Optimizer optimizer =
            DecentralizedSgd.builder(problem, network, start).stepSize(STEP_SIZE).build()) {
      double[] sums = new double[3];
      for (int k = 0; k < STEPS; k++) {
        optimizer.step();
        DeviceMatrix w = optimizer.parameters();
        double y = w.get(0, 1);
        problem.values(w, value);
        sums[0] += w.get(0, 0) / STEPS;
        sums[1] += y * y / STEPS;
        sums[2] += value.get(0, 0) / STEPS;
      }
      // At the mean of y, 0, which is what the flow is about.
      try (DeviceMatrix mean = DeviceMatrix.row(setting.queue(), sums[0], 0.0)) {
        return new Averages(probe.at(mean, 1)[0], sums[1], sums[2]);
      }
    }
  }

  private record Flow(double sharpness, double variance, double loss) {}

  private static Flow flow(Setting setting, double pull, double target) {
    // Sabotaged, the edge is taken to be at 1 / eta.
    double stepSize = setting.sabotaged() ? 2 * STEP_SIZE : STEP_SIZE;
    try (EdgeOfStability problem = new EdgeOfStability(1, pull, target);
        Network network = network();
        DeviceMatrix start = DeviceMatrix.row(setting.queue(), 19.0, 0.0);
        DeviceMatrix end = start.like();
        DeviceMatrix value = DeviceMatrix.allocate(setting.queue(), 1, 1, DType.F64);
        CentralFlow flow =
            CentralFlow.builder(problem, network, start).stepSize(stepSize).build()) {
      for (int k = 0; k < FLOW_STEPS; k++) {
        flow.step();
      }
      end.upload(flow.parameters());
      problem.values(end, value);
      return new Flow(flow.sharpness()[0], flow.variance(), value.get(0, 0) + flow.excessLoss());
    }
  }

  private static Network network() {
    return Network.builder(MixingSchedule.constant(MixingMatrix.uniform(1))).build();
  }
}
