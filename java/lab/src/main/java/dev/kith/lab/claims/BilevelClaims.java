package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.network.Network;
import dev.kith.optimizer.FedMbo;
import dev.kith.optimizer.MaDsbo;
import dev.kith.optimizer.Optimizer;
import dev.kith.problem.QuadraticBilevel;
import java.util.Arrays;

/** Experiments on bilevel problems whose lower level belongs to all nodes. */
final class BilevelClaims {
  private static final int NODES = 8;
  private static final int UPPER = 5;
  private static final int LOWER = 10;
  private static final double MODULUS = 0.5;
  private static final int ROUNDS = 2000;
  private static final long SEED = 1;

  private BilevelClaims() {}

  /** MA-DSBO against itself with every node's own linear system. */
  static Measurement hypergradient(Setting setting) {
    QuadraticBilevel.Builder objectives =
        QuadraticBilevel.random(NODES, UPPER, LOWER, MODULUS, SEED);
    Run few = madsbo(setting, objectives, 5, setting.sabotaged());
    Run own = madsbo(setting, objectives, 60, true);
    Run many = setting.sabotaged() ? own : madsbo(setting, objectives, 60, false);
    return Measurement.under(
            "ring of %d, weights 1/3, p = %d, q = %d, H_i = %.1f I + G_i G_i^T / q, alpha = 0.02, beta = gamma = 0.05, theta = 0.2, T = 10, K = %d, f64"
                .formatted(NODES, UPPER, LOWER, MODULUS, ROUNDS))
        .with("manyGradient", many.gradient())
        .with("ownGradient", own.gradient())
        .with("startGradient", norm(objectives.hypergradient(new double[UPPER])))
        .with("fewGradient", few.gradient())
        .with("manyBytes", many.bytes())
        .with("fewBytes", few.bytes());
  }

  /** |grad(mean x)| at the end, and what was sent. */
  private record Run(double gradient, double bytes) {}

  private static Run madsbo(
      Setting setting, QuadraticBilevel.Builder objectives, int systemSteps, boolean own) {
    MixingMatrix w = WeightRule.parse("metropolis").weights(Topologies.ring(NODES));
    try (QuadraticBilevel problem = objectives.build(setting.queue(), DType.F64);
        Network network = Network.builder(MixingSchedule.constant(w)).build();
        DeviceMatrix start =
            DeviceMatrix.allocate(setting.queue(), 1, problem.layout(), DType.F64)) {
      MaDsbo.Builder builder =
          MaDsbo.builder(problem, network, start)
              .stepSize(0.02)
              .lowerSteps(10, 0.05)
              .systemSteps(systemSteps, 0.05)
              .averaging(0.2);
      try (Optimizer optimizer = (own ? builder.ownSystems() : builder).build()) {
        for (int k = 0; k < ROUNDS; k++) {
          optimizer.step();
        }
        return new Run(
            norm(objectives.hypergradient(meanUpper(optimizer.parameters()))),
            network.meter().bytes());
      }
    }
  }

  private static final int CLIENTS = 16;

  /** FedMBO with ever more clients at a time. */
  static Measurement speedup(Setting setting) {
    QuadraticBilevel.Builder objectives =
        QuadraticBilevel.random(CLIENTS, UPPER, LOWER, MODULUS, SEED).noise(1, SEED);
    int rounds = setting.pick(400, 6000);
    Measurement measurement =
        Measurement.under(
            "%d quadratics, p = %d, q = %d, H_i = %.1f I + G_i G_i^T / q, noise of deviation 1 on every derivative, alpha = 0.02, 5 steps of beta = 0.05, J = 30, lambda = 0.15, K = %d, squared gradient of the whole averaged over the second half, f64"
                .formatted(CLIENTS, UPPER, LOWER, MODULUS, rounds));
    double[] squares = new double[3];
    int[] participants = {1, 4, 16};
    for (int k = 0; k < squares.length; k++) {
      squares[k] = fedmbo(setting, objectives, participants[k], rounds);
    }
    return measurement
        .with("ratio1to16", squares[0] / squares[2])
        .with("squared1", squares[0])
        .with("squared4", squares[1])
        .with("squared16", squares[2]);
  }

  private static double fedmbo(
      Setting setting, QuadraticBilevel.Builder objectives, int participants, int rounds) {
    try (QuadraticBilevel problem = objectives.build(setting.queue(), DType.F64);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(CLIENTS))).build();
        DeviceMatrix start =
            DeviceMatrix.allocate(setting.queue(), 1, problem.layout(), DType.F64)) {
      FedMbo.Builder builder =
          FedMbo.builder(problem, network, start)
              .stepSize(0.02)
              .participants(participants)
              .lowerSteps(1, 5, 0.05)
              .neumann(30, 0.15)
              .seed(SEED);
      double sum = 0;
      try (Optimizer optimizer =
          (setting.sabotaged() ? builder.oneClientPerChain() : builder).build()) {
        for (int k = 0; k < rounds; k++) {
          optimizer.step();
          if (k >= rounds / 2) {
            try (DeviceMatrix row = optimizer.parameters().row(0)) {
              double slope = norm(objectives.hypergradient(Arrays.copyOf(row.toDoubles(), UPPER)));
              sum += slope * slope / (rounds - rounds / 2);
            }
          }
        }
      }
      return sum;
    }
  }

  private static double[] meanUpper(DeviceMatrix rows) {
    double[] all = rows.toDoubles();
    int cols = Math.toIntExact(rows.cols());
    double[] mean = new double[UPPER];
    for (int k = 0; k < all.length; k++) {
      if (k % cols < UPPER) {
        mean[k % cols] += all[k] / rows.rows();
      }
    }
    return mean;
  }

  static double norm(double[] v) {
    return Math.sqrt(Arrays.stream(v).map(e -> e * e).sum());
  }
}
