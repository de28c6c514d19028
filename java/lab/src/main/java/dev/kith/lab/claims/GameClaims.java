package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.optimizer.ComplexMomentum;
import dev.kith.optimizer.NonFiniteException;
import dev.kith.optimizer.Optimizer;
import dev.kith.problem.AffineOperator;
import dev.kith.problem.Problem;

/** Experiments on games. */
final class GameClaims {
  private static final double[] MODULI = {0.5, 0.7, 0.8, 0.9, 0.95};
  private static final double[] STEP_SIZES = {0.01, 0.03, 0.1, 0.2, 0.3, 0.5};
  private static final int STEPS = 400;

  private GameClaims() {}

  /** Momenta of several angles on min_x max_y x y, each with its best modulus and step size. */
  static Measurement complexMomentum(Setting setting) {
    return Measurement.under(
            "min_x max_y x y from (1, 1), best of |beta| in {.5, .7, .8, .9, .95} and alpha in {.01, .03, .1, .2, .3, .5}, |w| after 400 steps, f64")
        .with("quarter", best(setting, Math.PI / 4))
        .with("real", best(setting, 0))
        .with("eighth", best(setting, Math.PI / 8))
        .with("half", best(setting, Math.PI / 2))
        .with("negative", best(setting, Math.PI));
  }

  private static double best(Setting setting, double angle) {
    double best = Double.POSITIVE_INFINITY;
    try (Problem game =
            AffineOperator.of(new double[][] {{0, 1, -1, 0}}, new double[][] {{0, 0}})
                .build(setting.queue(), DType.F64);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(1))).build();
        DeviceMatrix start = DeviceMatrix.row(setting.queue(), 1.0, 1.0)) {
      for (double modulus : MODULI) {
        for (double stepSize : STEP_SIZES) {
          // Sabotaged, the imaginary half is lost: what is left is a real momentum.
          double kept = setting.sabotaged() ? 0 : angle;
          double beta = setting.sabotaged() ? modulus * Math.abs(Math.cos(angle)) : modulus;
          try (Optimizer optimizer =
              ComplexMomentum.builder(game, network, start)
                  .stepSize(stepSize)
                  .momentum(beta, kept)
                  .build()) {
            best = Math.min(best, distance(optimizer));
          }
        }
      }
    }
    return best;
  }

  private static double distance(Optimizer optimizer) {
    try {
      for (int k = 0; k < STEPS; k++) {
        optimizer.step();
      }
    } catch (NonFiniteException diverged) {
      return Double.POSITIVE_INFINITY;
    }
    double[] w = optimizer.parameters().toDoubles();
    return Math.hypot(w[0], w[1]);
  }
}
