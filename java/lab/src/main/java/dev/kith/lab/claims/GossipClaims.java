package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.optimizer.ChebyshevGossip;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.List;

/** Experiments on averaging alone: how fast mixing brings the nodes together. */
final class GossipClaims {
  private static final double ACCURACY = 1e-6;
  private static final int MAX_ROUNDS = 5000;

  private GossipClaims() {}

  /** Rounds of plain and of Chebyshev gossip until the disagreement has shrunk by 1e-6. */
  static Measurement chebyshevRounds(Setting setting) {
    int nodes = 32;
    MixingMatrix w = WeightRule.parse("metropolis").weights(Topologies.ring(nodes));
    ChebyshevGossip gossip = setting.sabotaged() ? ChebyshevGossip.of(w, 1) : ChebyshevGossip.of(w);
    double[][] slowest = new double[nodes][1];
    for (int i = 0; i < nodes; i++) {
      slowest[i][0] = Math.cos(2 * Math.PI * i / nodes);
    }
    long plain;
    long accelerated;
    try (Network network = Network.builder(MixingSchedule.constant(w)).build();
        DeviceMatrix start = DeviceMatrix.of(setting.queue(), slowest);
        DeviceMatrix x = start.like();
        DeviceMatrix y = start.like();
        DeviceMatrix z = start.like()) {
      double goal = ACCURACY * ACCURACY * network.consensusDistance(start);
      x.copyFrom(start);
      // Rounds are those that the meter saw, not those that the algorithm says it took.
      while (network.consensusDistance(x) > goal && network.meter().rounds() < MAX_ROUNDS) {
        network.mix(Expression.inner(x), y);
        x.copyFrom(y);
      }
      plain = network.meter().rounds();
      x.copyFrom(start);
      while (network.consensusDistance(x) > goal && network.meter().rounds() < 2 * MAX_ROUNDS) {
        x.copyFrom(gossip.mix(network, x, y, z));
      }
      accelerated = network.meter().rounds() - plain;
    }
    return Measurement.under(
            "ring of 32, Metropolis weights, start on the slowest mode, f64, K = "
                + gossip.rounds())
        .with("plainRounds", (double) plain)
        .with("chebyshevRounds", (double) accelerated)
        .with("ratio", (double) plain / accelerated);
  }

  /** Distance to the mean after one period of schedules that reach it exactly. */
  static Measurement finiteTime(Setting setting) {
    int largest = setting.pick(25, 100);
    List<MixingSchedule> onePeer = new ArrayList<>();
    List<MixingSchedule> base2 = new ArrayList<>();
    for (int nodes = 2; nodes <= largest; nodes++) {
      if (Integer.bitCount(nodes) == 1) {
        onePeer.add(MixingSchedule.onePeerExponential(nodes));
        onePeer.add(MixingSchedule.onePeerExponentialPairs(nodes));
      }
      base2.add(MixingSchedule.base2(nodes));
    }
    List<MixingSchedule> hyper =
        List.of(
            MixingSchedule.hyperHypercube(2, 3),
            MixingSchedule.hyperHypercube(3, 5),
            MixingSchedule.hyperHypercube(2, 2, 3, 5));
    return Measurement.under("every n to " + largest + ", normal start, f64, errors relative to it")
        .with("onePeerExponentialError", worstAfterOnePeriod(setting, onePeer))
        .with("hyperHypercubeError", worstAfterOnePeriod(setting, hyper))
        .with("base2Error", worstAfterOnePeriod(setting, base2));
  }

  private static double worstAfterOnePeriod(Setting setting, List<MixingSchedule> schedules) {
    double worst = 0;
    for (MixingSchedule schedule : schedules) {
      try (Network network = Network.builder(schedule).build();
          DeviceMatrix x = normals(setting, schedule.nodes());
          DeviceMatrix y = x.like()) {
        double before = network.consensusDistance(x);
        // The sabotaged run leaves out the first round of the period.
        for (long round = setting.sabotaged() ? 1 : 0; round < schedule.period(); round++) {
          network.round(round);
          network.mix(Expression.inner(x), y);
          x.copyFrom(y);
        }
        worst = Math.max(worst, Math.sqrt(network.consensusDistance(x) / before));
      }
    }
    return worst;
  }

  /** One line of the card's table of exact spectral values. */
  private record Gap(String topology, int nodes, String weights, double rho) {}

  private static final List<Gap> GAPS =
      List.of(
          new Gap("ring", 4, "metropolis", 0.333333333),
          new Gap("ring", 8, "metropolis", 0.804737854),
          new Gap("ring", 16, "metropolis", 0.949253022),
          new Gap("ring", 32, "metropolis", 0.987190187),
          new Gap("ring", 8, "best-constant", 0.744520838),
          new Gap("ring", 16, "best-constant", 0.926670472),
          new Gap("path", 8, "metropolis", 0.949253022),
          new Gap("path", 16, "metropolis", 0.987190187),
          new Gap("path", 8, "best-constant", 0.923879533),
          new Gap("torus:4x4", 16, "metropolis", 0.6),
          new Gap("torus:6x6", 36, "metropolis", 0.8),
          new Gap("torus:8x8", 64, "metropolis", 0.882842712),
          new Gap("torus:8x8", 64, "best-constant", 0.863545071),
          new Gap("grid:4x4", 16, "metropolis", 0.868640618),
          new Gap("grid:4x4", 16, "best-constant", 0.841982853),
          new Gap("hypercube", 8, "metropolis", 0.5),
          new Gap("hypercube", 32, "metropolis", 0.666666667),
          new Gap("star", 8, "metropolis", 0.875),
          new Gap("star", 16, "best-constant", 0.882352941),
          new Gap("barbell", 16, "metropolis", 0.977314614),
          new Gap("barbell", 16, "best-constant", 0.959166305));

  /** The rate at which repeated mixing shrinks the disagreement, against the exact values. */
  static Measurement spectralGaps(Setting setting) {
    double worst = 0;
    for (Gap gap : GAPS) {
      MixingSchedule schedule = MixingSchedule.parse(gap.topology(), gap.weights(), gap.nodes(), 1);
      double measured = contraction(setting, setting.sabotaged() ? schedule.lazy() : schedule);
      worst = Math.max(worst, Math.abs(measured - gap.rho()));
    }
    return Measurement.under(
            GAPS.size() + " graphs, contraction of a normal vector once it has settled, f64")
        .with("worstError", worst);
  }

  private static double contraction(Setting setting, MixingSchedule schedule) {
    try (Network network = Network.builder(schedule).build();
        DeviceMatrix x = normals(setting, schedule.nodes());
        DeviceMatrix y = x.like();
        DeviceMatrix mean = x.like(1, x.cols(), DType.F64)) {
      double rate = 0;
      double before = network.consensusDistance(x);
      for (int round = 0; round < MAX_ROUNDS; round++) {
        network.mix(Expression.inner(x), y);
        double after = network.consensusDistance(y);
        double now = Math.sqrt(after / before);
        // The norm ratio of a symmetric matrix only grows; it has settled when it stands still.
        if (Math.abs(now - rate) < 1e-12) {
          return now;
        }
        rate = now;
        // Rescaled, so that the disagreement does not sink into the rounding of the mean.
        network.average(y, mean);
        double[] centre = mean.toDoubles();
        double[] values = y.toDoubles();
        double scale = 1 / Math.sqrt(after);
        for (int k = 0; k < values.length; k++) {
          values[k] = (values[k] - centre[k % centre.length]) * scale;
        }
        x.upload(values);
        before = network.consensusDistance(x);
      }
      return rate;
    }
  }

  private static DeviceMatrix normals(Setting setting, int nodes) {
    double[][] rows = new double[nodes][3];
    for (int i = 0; i < nodes; i++) {
      SharedRandom random = new SharedRandom(1, Stream.TEST, i, 0);
      for (int c = 0; c < rows[i].length; c++) {
        rows[i][c] = random.normal(c);
      }
    }
    return DeviceMatrix.of(setting.queue(), rows);
  }
}
