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
import dev.kith.optimizer.Pbgd;
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

  /** What |grad| has to come below at the mean of the x. */
  private static final double TARGET = 0.1;

  private static final double UPPER_STEP = 0.02;

  /** MA-DSBO against itself with every node's own linear system, and beside V-PBGD. */
  static Measurement hypergradient(Setting setting) {
    QuadraticBilevel.Builder objectives =
        QuadraticBilevel.random(NODES, UPPER, LOWER, MODULUS, SEED);
    Run few = madsbo(setting, objectives, 5, UPPER_STEP, setting.sabotaged());
    Run own = madsbo(setting, objectives, 60, UPPER_STEP, true);
    Run many = setting.sabotaged() ? own : madsbo(setting, objectives, 60, UPPER_STEP, false);
    Measurement measurement =
        Measurement.under(
                "ring of %d, weights 1/3, p = %d, q = %d, H_i = %.1f I + G_i G_i^T / q, alpha = 0.02, beta = gamma = 0.05, theta = 0.2, T = 10, K = %d, f64; cost is that of a gradient of %s, each method with the best of %s times its step size"
                    .formatted(
                        NODES,
                        UPPER,
                        LOWER,
                        MODULUS,
                        ROUNDS,
                        TARGET,
                        setting.pick(1, 0) == 1 ? "1 and 2" : "1/2, 1, 2 and 4"))
            .with("manyGradient", many.gradient())
            .with("ownGradient", own.gradient())
            .with("startGradient", norm(objectives.hypergradient(new double[UPPER])))
            .with("fewGradient", few.gradient());
    if (setting.sabotaged()) {
      return measurement;
    }
    Cost madsbo = many.cost();
    Cost penalty10 = Cost.NONE;
    Cost penalty100 = Cost.NONE;
    for (double times :
        setting.pick(1, 0) == 1 ? new double[] {1, 2} : new double[] {0.5, 1, 2, 4}) {
      if (times != 1) {
        madsbo = madsbo.orBetter(madsbo(setting, objectives, 60, times * UPPER_STEP));
      }
      penalty10 = penalty10.orBetter(penalty(setting, objectives, 10, times));
      penalty100 = penalty100.orBetter(penalty(setting, objectives, 100, times));
    }
    measurement = madsbo.addTo(measurement, "madsbo");
    measurement = penalty10.addTo(measurement, "vpbgd10");
    return penalty100.addTo(measurement, "vpbgd100");
  }

  /** |grad(mean x)| at the end, and what the target took. */
  private record Run(double gradient, Cost cost) {}

  private static Network ring() {
    return Network.builder(
            MixingSchedule.constant(WeightRule.parse("metropolis").weights(Topologies.ring(NODES))))
        .build();
  }

  private static MaDsbo.Builder madsbo(
      QuadraticBilevel problem,
      Network network,
      DeviceMatrix start,
      int systemSteps,
      double stepSize) {
    return MaDsbo.builder(problem, network, start)
        .stepSize(stepSize)
        .lowerSteps(10, 0.05)
        .systemSteps(systemSteps, 0.05)
        .averaging(0.2);
  }

  private static double gradient(QuadraticBilevel.Builder objectives, DeviceMatrix rows) {
    return norm(objectives.hypergradient(meanUpper(rows)));
  }

  /** All rounds. */
  private static Run madsbo(
      Setting setting,
      QuadraticBilevel.Builder objectives,
      int systemSteps,
      double stepSize,
      boolean own) {
    try (QuadraticBilevel problem = objectives.build(setting.queue(), DType.F64);
        Network network = ring();
        DeviceMatrix start =
            DeviceMatrix.allocate(setting.queue(), 1, problem.layout(), DType.F64)) {
      MaDsbo.Builder builder = madsbo(problem, network, start, systemSteps, stepSize);
      try (Optimizer optimizer = (own ? builder.ownSystems() : builder).build()) {
        Cost cost = Cost.until(optimizer, x -> gradient(objectives, x), TARGET, ROUNDS, 10);
        while (optimizer.round() < ROUNDS) {
          optimizer.step();
        }
        return new Run(gradient(objectives, optimizer.parameters()), cost);
      }
    }
  }

  /** Until the target. */
  private static Cost madsbo(
      Setting setting, QuadraticBilevel.Builder objectives, int systemSteps, double stepSize) {
    try (QuadraticBilevel problem = objectives.build(setting.queue(), DType.F64);
        Network network = ring();
        DeviceMatrix start =
            DeviceMatrix.allocate(setting.queue(), 1, problem.layout(), DType.F64);
        Optimizer optimizer = madsbo(problem, network, start, systemSteps, stepSize).build()) {
      return Cost.until(optimizer, x -> gradient(objectives, x), TARGET, ROUNDS, 10);
    }
  }

  /** First derivatives alone, and averages over all nodes: alpha = 0.1 / gamma and multiples. */
  private static Cost penalty(
      Setting setting, QuadraticBilevel.Builder objectives, double gamma, double times) {
    try (QuadraticBilevel problem = objectives.build(setting.queue(), DType.F64);
        Network network = ring();
        DeviceMatrix start =
            DeviceMatrix.allocate(setting.queue(), 1, problem.layout(), DType.F64);
        Optimizer optimizer =
            Pbgd.builder(problem, network, start)
                .penaltyWeight(gamma)
                .stepSize(times * 0.1 / gamma)
                .lowerSteps(1, 0.1)
                .build()) {
      return Cost.until(
          optimizer, x -> gradient(objectives, x), TARGET, setting.pick(5000, 50_000), 10);
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
