package dev.kith.lab.claims;

import dev.kith.compress.Codec;
import dev.kith.compress.Messages;
import dev.kith.compress.PowerSgd;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.lab.data.DataSets;
import dev.kith.lab.data.Scaling;
import dev.kith.network.Network;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.Optimizer;
import dev.kith.optimizer.PowerGossip;
import dev.kith.optimizer.PowerGossipSgd;
import dev.kith.problem.MultilayerPerceptron;
import dev.kith.problem.Partition;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Optional;

/** Experiments on averaging by low-rank differences along edges. */
final class PowerGossipClaims {
  private static final long SEED = 1;
  private static final int NODES = 8;
  private static final int SIDE = 100;
  private static final int STRIDE = 100;

  private PowerGossipClaims() {}

  /** The squared distance to the mean of the start at the end, and how the way there went. */
  private record Course(double end, double worstSlope, double meanMoved) {}

  /** How a training run ended, and what its messages weighed. */
  private record Trained(double accuracy, double bytes) {}

  /** How nodes talk in training. */
  private enum Talk {
    NONE,
    WHOLE,
    LOW_RANK
  }

  /** Consensus of matrices, and training, both without a consensus step size. */
  static Measurement powerGossip(Setting setting) {
    int gossipRounds = setting.pick(3000, 6000);
    int rounds = setting.pick(1000, 3000);
    int hidden = setting.pick(64, 128);
    Course course = course(setting, gossipRounds, !setting.sabotaged());
    Course plain = course(setting, gossipRounds, false);
    DataSets data =
        DataSets.load(
            setting.scale() == Setting.Scale.CI ? "digits" : "mnist",
            Optional.empty(),
            "last",
            Scaling.UNIT,
            SEED);
    Trained alone = train(setting, data, hidden, rounds, Talk.NONE);
    Trained full = train(setting, data, hidden, rounds, Talk.WHOLE);
    Trained low = train(setting, data, hidden, rounds, Talk.LOW_RANK);
    return Measurement.under(
            ("ring of %d, f32, rank 1; matrices of %d x %d, normal start, %d rounds, squared distance"
                    + " to the mean of the start relative to that at the start, slope of its log10 per"
                    + " 1000 rounds over any %d rounds above 1e-8; %s, dirichlet:0.5, mlp:%d, batch 32,"
                    + " step 0.1, %d rounds")
                .formatted(
                    NODES, SIDE, SIDE, gossipRounds, STRIDE, data.train().name(), hidden, rounds))
        .with("consensusError", course.end())
        .with("worstSlope", course.worstSlope())
        .with("meanMoved", course.meanMoved())
        .with("plainError", plain.end())
        .with("accuracyLost", full.accuracy() - low.accuracy())
        .with(
            "gainKept", (low.accuracy() - alone.accuracy()) / (full.accuracy() - alone.accuracy()))
        .with("bytesRatio", full.bytes() / low.bytes())
        .with("dsgdAccuracy", full.accuracy())
        .with("powerGossipAccuracy", low.accuracy())
        .with("aloneAccuracy", alone.accuracy());
  }

  private static MixingSchedule ring() {
    return MixingSchedule.parse("ring", "metropolis", NODES, SEED);
  }

  /**
   * Gossip on normal matrices.
   *
   * @param edges whether edges carry their differences; else every node sends a low-rank part of
   *     its own matrix, which the others mix
   */
  private static Course course(Setting setting, int rounds, boolean edges) {
    Layout layout = Layout.builder().tensor("w", "", SIDE, SIDE).build();
    try (Network network = Network.builder(ring()).build();
        DeviceMatrix x = DeviceMatrix.allocate(setting.queue(), NODES, layout, DType.F32);
        DeviceMatrix mixed = x.like();
        DeviceMatrix own = x.like();
        Codec codec = PowerSgd.ofRank(1).bind(x, new Codec.Sender(0, SEED, 0));
        Messages messages = codec.messages();
        PowerGossip gossip = PowerGossip.builder(network, x).seed(SEED).build()) {
      x.upload(normals());
      double[] mean = CompressionClaims.columnMeans(x);
      double start = CompressionClaims.distance(x, mean);
      double error = 1;
      double worstSlope = Double.NEGATIVE_INFINITY;
      for (int round = 0; round < rounds; round++) {
        if (edges) {
          gossip.mix(x, x, round);
        } else {
          network.round(round);
          codec.encode(x, messages, round);
          network.mix(messages, false, mixed);
          codec.decode(messages, own);
          Mixing.combine(Expression.outer(x).plusOuter(mixed).plusOuter(-1, own), x);
        }
        if ((round + 1) % STRIDE == 0) {
          double now = CompressionClaims.distance(x, mean) / start;
          if (now > 1e-8) {
            worstSlope = Math.max(worstSlope, Math.log10(now / error) * 1000 / STRIDE);
          }
          error = now;
        }
      }
      double[] end = CompressionClaims.columnMeans(x);
      double moved = 0;
      double length = 0;
      for (int c = 0; c < end.length; c++) {
        moved += (end[c] - mean[c]) * (end[c] - mean[c]);
        length += mean[c] * mean[c];
      }
      return new Course(error, worstSlope, Math.sqrt(moved / length));
    }
  }

  private static float[] normals() {
    float[] values = new float[NODES * SIDE * SIDE];
    for (int i = 0; i < NODES; i++) {
      SharedRandom random = new SharedRandom(SEED, Stream.TEST, i, 0);
      for (int c = 0; c < SIDE * SIDE; c++) {
        values[i * SIDE * SIDE + c] = (float) random.normal(c);
      }
    }
    return values;
  }

  private static Trained train(Setting setting, DataSets data, int hidden, int rounds, Talk talk) {
    int[][] parts = Partition.dirichlet(0.5).split(data.train(), NODES, SEED);
    MixingSchedule schedule =
        talk == Talk.NONE ? MixingSchedule.constant(MixingMatrix.identity(NODES)) : ring();
    try (MultilayerPerceptron problem =
            MultilayerPerceptron.builder(setting.queue(), data.train(), parts, hidden)
                .test(data.test())
                .batch(32)
                .seed(SEED)
                .build();
        Network network = Network.builder(schedule).build();
        DeviceMatrix start = problem.initial(SEED);
        Optimizer optimizer =
            talk == Talk.LOW_RANK
                ? PowerGossipSgd.builder(problem, network, start).stepSize(0.1).seed(SEED).build()
                : DecentralizedSgd.builder(problem, network, start).stepSize(0.1).build()) {
      for (int round = 0; round < rounds; round++) {
        optimizer.step();
      }
      return new Trained(
          problem.evaluate(optimizer.parameters()).meanAccuracy(), network.meter().bytes());
    }
  }
}
