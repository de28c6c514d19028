package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.optimizer.DpFtrl;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;
import dev.kith.privacy.Participation;
import dev.kith.privacy.ToeplitzFactor;
import dev.kith.problem.Problem;

/** Experiments on noise that is correlated over time. */
final class NoiseOverTimeClaims {
  private static final int STEPS = 1024;
  private static final int COLUMNS = 2000;
  private static final double DELTA = 1e-5;

  private NoiseOverTimeClaims() {}

  /** One node, which takes part in the first round only. */
  private record FirstRound() implements MixingSchedule {
    @Override
    public int nodes() {
      return 1;
    }

    @Override
    public MixingMatrix at(long round) {
      return MixingMatrix.identity(1);
    }

    @Override
    public long period() {
      return 0;
    }

    @Override
    public boolean isAlive(long round, int node) {
      return round == 0;
    }
  }

  /** An objective that is 0 everywhere: the parameters are the noise alone. */
  private record NoObjective(Layout layout) implements Problem {
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
      g.fill(0);
    }

    @Override
    public void close() {}
  }

  /**
   * What DP-FTRL leaves in its parameters where every gradient is 0.
   *
   * @param error root of the mean square of the parameters over steps and columns
   * @param epsilon what the run guarantees to a node that takes part once
   */
  private record Left(double error, double epsilon) {}

  private static Left left(Setting setting, ToeplitzFactor factor, double noiseMultiplier) {
    Participation once = Participation.once(STEPS);
    try (Network network = Network.builder(new FirstRound()).build();
        Problem problem = new NoObjective(Layout.flat(COLUMNS));
        DeviceMatrix start = DeviceMatrix.allocate(setting.queue(), 1, COLUMNS, DType.F64);
        DpFtrl optimizer =
            DpFtrl.builder(problem, network, start, once)
                .stepSize(1)
                .clip(1)
                .noiseMultiplier(noiseMultiplier)
                .factor(factor)
                .simulated(1)
                .build()) {
      double squares = 0;
      for (int t = 0; t < STEPS; t++) {
        optimizer.step();
        double norm = Reduction.norms(optimizer.parameters())[0];
        squares += norm * norm;
      }
      double epsilon =
          optimizer.guarantee(DELTA, Adjacency.addRemoveUser(), Adversary.eavesdropper()).epsilon();
      return new Left(Math.sqrt(squares / STEPS / COLUMNS), epsilon);
    }
  }

  /** Sums of noise in the parameters of DP-FTRL, against the error that the factor states. */
  static Measurement banded(Setting setting) {
    ToeplitzFactor banded = ToeplitzFactor.squareRoot(8);
    double scale = banded.sensitivity(Participation.once(STEPS));
    double stated = banded.prefixError(STEPS).rootMeanSquare();
    Left found = left(setting, setting.sabotaged() ? ToeplitzFactor.identity() : banded, scale);
    Left independent = left(setting, ToeplitzFactor.identity(), 1);
    double identity = ToeplitzFactor.identity().prefixError(STEPS).rootMeanSquare();
    double whole = ToeplitzFactor.squareRoot(STEPS).prefixError(STEPS).rootMeanSquare();
    double table =
        Math.max(
            Math.abs(identity - 22.638463),
            Math.max(Math.abs(stated - 9.536374), Math.abs(whole - 3.109790)));
    return Measurement.under(
            "DP-FTRL without gradients, %d steps, square root of 8 bands, one participation, %d"
                    .formatted(STEPS, COLUMNS)
                + " columns, f64")
        .with("simulatedOverTable", found.error() / stated)
        .with("tableError", table)
        .with("bandedOverIndependent", found.error() / independent.error())
        .with("epsilonOverIndependent", found.epsilon() / independent.epsilon());
  }
}
