package dev.kith.lab.claims;

import dev.kith.graph.Graph;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.RandomGraphs;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.privacy.Accountant;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;
import dev.kith.privacy.AnalyticGaussian;
import dev.kith.privacy.Mechanism;
import dev.kith.privacy.Method;
import dev.kith.privacy.MixingObjective;
import dev.kith.privacy.NoiseCovariance;
import dev.kith.privacy.NoiseOrigin;
import java.util.List;

/** Experiments on what noise guarantees and what is left of it: host arithmetic, no kernels. */
final class PrivacyClaims {
  /** epsilon, delta and the least standard deviation for sensitivity 1. */
  private static final double[][] ANALYTIC = {
    {0.1, 1e-5, 30.7495661320},
    {0.5, 1e-5, 7.0318266756},
    {1, 1e-5, 3.7306316348},
    {1, 1e-6, 4.2246788893},
    {2, 1e-5, 1.9938124456},
    {4, 1e-5, 1.0811618495},
    {8, 1e-5, 0.6002290722},
    {10, 1e-5, 0.4998886197}
  };

  /** Noise multiplier, rate and steps of schedules whose bounds are compared. */
  private static final double[][] SCHEDULES = {
    {1.5, 0.04, 2250}, {0.8, 0.5, 3}, {4, 0.01, 5000}, {2, 1, 20}
  };

  private PrivacyClaims() {}

  private static Accountant none(Adjacency adjacency) {
    return Accountant.of(adjacency, Adversary.eavesdropper(), NoiseOrigin.SECRET);
  }

  private static Accountant sampled(double sigma, double rate, long steps) {
    return none(Adjacency.addRemoveRecord())
        .plus(new Mechanism.PoissonGaussian(sigma, rate), steps);
  }

  private static double off(double found, double reference) {
    return Math.abs(found / reference - 1);
  }

  /** Figures of the accountant against published and computed ones. */
  static Measurement accountantReferences(Setting setting) {
    double worst = 0;
    for (double[] row : ANALYTIC) {
      worst = Math.max(worst, off(AnalyticGaussian.standardDeviation(row[0], row[1]), row[2]));
    }
    worst =
        Math.max(
            worst,
            off(sampled(1.5, 0.04, 2250).epsilon(1e-5, Method.RDP).epsilon(), 7.32911117143));
    Accountant one = none(Adjacency.addRemoveRecord()).plus(new Mechanism.Gaussian(1), 1);
    worst = Math.max(worst, off(one.epsilon(1e-5, Method.ZCDP).epsilon(), 5.298525912));
    worst = Math.max(worst, off(one.epsilon(1e-5, Method.EXACT).epsilon(), 4.377178096));
    // DECOR's figure is for the replacement of a node's data.
    Adjacency adjacency = setting.sabotaged() ? Adjacency.addRemoveUser() : Adjacency.replaceUser();
    NoiseCovariance ring = NoiseCovariance.pairwise(Topologies.ring(10), 0.1, 100);
    Accountant nodes = none(adjacency).plus(new Mechanism.NodeGaussian(ring, 0.1), 10);
    worst = Math.max(worst, off(nodes.epsilon(1e-5, Method.ZCDP).epsilon(), 3.248971264));
    double reference = 4.243484012e-6;
    double loss = sampled(4, 0.01, 10_000).delta(1, Method.PLD).delta();
    double violation = Double.NEGATIVE_INFINITY;
    for (double[] row : SCHEDULES) {
      Accountant run = sampled(row[0], row[1], (long) row[2]);
      double tight = run.epsilon(1e-5, Method.RDP).epsilon();
      double least = run.epsilon(1e-5, Method.PLD).epsilon();
      violation = Math.max(violation, least - tight);
      violation = Math.max(violation, tight - run.epsilon(1e-5, Method.RDP_CLASSIC).epsilon());
      if (row[1] == 1) {
        violation = Math.max(violation, run.epsilon(1e-5, Method.EXACT).epsilon() - least);
      }
    }
    return Measurement.under("12 reference values, %d schedules".formatted(SCHEDULES.length))
        .with("worstError", worst)
        .with("lossError", off(loss, reference))
        .with("lossMinusReference", loss - reference)
        .with("orderViolation", violation);
  }

  /**
   * A row of the card's table at b = 1.
   *
   * @param graph the graph, with Metropolis weights
   * @param decor the best pairwise objective
   * @param corn the best objective
   */
  private record Row(Graph graph, double decor, double corn) {}

  private static MixingMatrix weights(Graph graph) {
    return new WeightRule.Metropolis().weights(graph);
  }

  private static double value(double[][] objective, NoiseCovariance noise) {
    return MixingObjective.value(objective, noise.covariance());
  }

  private static NoiseCovariance corn(Setting setting, double[][] objective) {
    double[][] seen =
        setting.sabotaged()
            ? MixingObjective.oneRound(MixingMatrix.identity(objective.length))
            : objective;
    return NoiseCovariance.optimal(seen, 1);
  }

  /** Noise after one round, at equal privacy, on random graphs and on those of the table. */
  static Measurement cornCancelsMore(Setting setting) {
    double cornOverDecor = 0;
    double decorOverLdp = 0;
    double precision = 0;
    for (double p : new double[] {0.2, 0.4, 0.6, 0.8}) {
      for (int seed = 1; seed <= 5; seed++) {
        Graph graph = RandomGraphs.erdosRenyi(20, p, seed);
        double[][] a = MixingObjective.oneRound(weights(graph));
        NoiseCovariance ldp = NoiseCovariance.independent(20, 1);
        NoiseCovariance decor = NoiseCovariance.tunedPairwise(graph, a, 1);
        NoiseCovariance corn = corn(setting, a);
        cornOverDecor = Math.max(cornOverDecor, value(a, corn) / value(a, decor));
        decorOverLdp = Math.max(decorOverLdp, value(a, decor) / value(a, ldp));
        for (NoiseCovariance noise : List.of(ldp, decor, corn)) {
          precision = Math.max(precision, noise.worstPrecision(Adversary.eavesdropper()));
        }
      }
    }
    double table = 0;
    for (Row row :
        List.of(
            new Row(Topologies.ring(8), 1.989356, 1.887253),
            new Row(Topologies.ring(16), 3.975234, 3.688925),
            new Row(Topologies.torus(4, 4), 2.722145, 2.250000),
            new Row(Topologies.path(4), 1.513211, 1.368076))) {
      double[][] a = MixingObjective.oneRound(weights(row.graph()));
      NoiseCovariance decor = NoiseCovariance.tunedPairwise(row.graph(), a, 1);
      table = Math.max(table, Math.abs(value(a, decor) - row.decor()));
      table = Math.max(table, Math.abs(value(a, corn(setting, a)) - row.corn()));
    }
    return Measurement.under(
            "tr(W R W^T) with max (R^-1)_ii = 1, Metropolis weights, Erdos-Renyi n = 20, p = 0.2 to 0.8,"
                + " 5 draws each, and 4 graphs of the table")
        .with("cornOverDecor", cornOverDecor)
        .with("decorOverLdp", decorOverLdp)
        .with("worstPrecision", precision)
        .with("tableError", table);
  }

  /** Stationary variance on a ring, for covariances tuned to one round and to the whole run. */
  static Measurement cornHorizonAware(Setting setting) {
    double step = 0.05;
    Graph ring = Topologies.ring(16);
    MixingMatrix w = weights(ring);
    double[][] one = MixingObjective.oneRound(w);
    double[][] horizon = MixingObjective.horizonAware(w, 1 - step);
    double[][] tuned = setting.sabotaged() ? MixingObjective.horizonAware(w, 0) : horizon;
    double scale = step * step;
    double decorOne = scale * value(horizon, NoiseCovariance.tunedPairwise(ring, one, 1));
    double decorLong = scale * value(horizon, NoiseCovariance.tunedPairwise(ring, tuned, 1));
    double cornOne = scale * value(horizon, NoiseCovariance.optimal(one, 1));
    double cornLong = scale * value(horizon, NoiseCovariance.optimal(tuned, 1));
    double table =
        Math.max(
            Math.max(Math.abs(decorOne - 0.034635), Math.abs(decorLong - 0.030259)),
            Math.max(Math.abs(cornOne - 0.033810), Math.abs(cornLong - 0.028849)));
    return Measurement.under(
            "stationary variance per parameter on f_i = |x|^2 / 2, ring of 16, step 0.05, b = 1")
        .with("tableError", table)
        .with("cornLongOverDecorLong", cornLong / decorLong)
        .with("decorLongOverCornOne", decorLong / cornOne)
        .with("cornLong", cornLong)
        .with("decorLong", decorLong);
  }
}
