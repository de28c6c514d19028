package dev.kith.lab.claims;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.Messages;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.optimizer.ChocoGossip;
import dev.kith.optimizer.DianaSgd;
import dev.kith.optimizer.Ef21Sgd;
import dev.kith.optimizer.EfSgd;
import dev.kith.optimizer.Optimizer;
import dev.kith.problem.Quadratic;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;

/** Experiments on averaging and descent with compressed messages. */
final class CompressionClaims {
  private static final long SEED = 1;

  private CompressionClaims() {}

  // ---- choco-linear ----

  private static final int SIDE = 5;
  private static final int COLUMNS = 2000;

  /** Rounds between two looks at the error. */
  private static final int STRIDE = 250;

  /** How the distance to the mean of the start has come down. */
  private record Course(double end, double worstSlope) {}

  /** CHOCO-gossip against gossip on compressed iterates: distance to the mean of the start. */
  static Measurement chocoLinear(Setting setting) {
    int topRounds = setting.pick(2500, 5000);
    int randomRounds = setting.pick(5500, 10_000);
    Compressor top = Compressor.parse("top-k:0.01");
    Compressor random = Compressor.parse("random-k:0.01:unscaled");
    boolean differences = !setting.sabotaged();
    Course topCourse = course(setting, top, 0.02, topRounds, differences);
    Course randomCourse = course(setting, random, 0.006, randomRounds, differences);
    Course plain = course(setting, top, 0.02, topRounds, false);
    return Measurement.under(
            ("torus of 5 x 5, p = 2000, normal start, f32, top-k:0.01 with gamma 0.02 for %d rounds,"
                    + " random-k:0.01:unscaled with gamma 0.006 for %d rounds, squared distance to the"
                    + " mean of the start relative to that at the start, slope of its log10 per 1000"
                    + " rounds over any %d rounds above 1e-8")
                .formatted(topRounds, randomRounds, STRIDE))
        .with("topError", topCourse.end())
        .with("randomError", randomCourse.end())
        .with("plainError", plain.end())
        .with("topWorstSlope", topCourse.worstSlope())
        .with("randomWorstSlope", randomCourse.worstSlope());
  }

  private static Course course(
      Setting setting, Compressor compressor, double gamma, int rounds, boolean differences) {
    MixingSchedule torus = MixingSchedule.parse("torus:5x5", "metropolis", SIDE * SIDE, SEED);
    try (Network network = Network.builder(torus).build();
        DeviceMatrix x = normals(setting, SIDE * SIDE, COLUMNS);
        DeviceMatrix mixed = x.like();
        DeviceMatrix own = x.like();
        Codec codec = compressor.bind(x, new Codec.Sender(0, SEED, 0));
        Messages messages = codec.messages();
        ChocoGossip choco =
            ChocoGossip.builder(network, x)
                .compressor(compressor)
                .consensusStepSize(gamma)
                .seed(SEED)
                .build()) {
      double[] mean = columnMeans(x);
      double start = distance(x, mean);
      double error = 1;
      double worstSlope = Double.NEGATIVE_INFINITY;
      for (int round = 0; round < rounds; round++) {
        if (differences) {
          choco.mix(x, x, round);
        } else {
          network.round(round);
          codec.encode(x, messages, round);
          network.mix(messages, false, mixed);
          codec.decode(messages, own);
          Mixing.combine(Expression.outer(x).plusOuter(gamma, mixed).plusOuter(-gamma, own), x);
        }
        if ((round + 1) % STRIDE == 0) {
          double now = distance(x, mean) / start;
          if (now > 1e-8) {
            worstSlope = Math.max(worstSlope, Math.log10(now / error) * 1000 / STRIDE);
          }
          error = now;
        }
      }
      return new Course(error, worstSlope);
    }
  }

  private static DeviceMatrix normals(Setting setting, int rows, int columns) {
    float[][] values = new float[rows][columns];
    for (int i = 0; i < rows; i++) {
      SharedRandom random = new SharedRandom(SEED, Stream.TEST, i, 0);
      for (int c = 0; c < columns; c++) {
        values[i][c] = (float) random.normal(c);
      }
    }
    return DeviceMatrix.of(setting.queue(), values);
  }

  /** (1/n) sum_i x_i. */
  static double[] columnMeans(DeviceMatrix x) {
    double[] values = x.toDoubles();
    double[] mean = new double[Math.toIntExact(x.cols())];
    for (int k = 0; k < values.length; k++) {
      mean[k % mean.length] += values[k] / x.rows();
    }
    return mean;
  }

  /** sum_i |x_i - point|^2. */
  static double distance(DeviceMatrix x, double[] point) {
    double[] values = x.toDoubles();
    double sum = 0;
    for (int k = 0; k < values.length; k++) {
      double difference = values[k] - point[k % point.length];
      sum += difference * difference;
    }
    return sum;
  }

  // ---- diana-vs-qsgd ----

  /** DIANA and plain compressed gradients, which are DIANA whose shifts do not learn. */
  static Measurement dianaVersusPlain(Setting setting) {
    int nodes = 4;
    int dimension = 20;
    double condition = 10;
    int steps = setting.pick(4000, 20_000);
    Compressor compressor = Compressor.parse("random-k:4");
    double omega = compressor.constants(dimension).value();
    double stepSize = 1 / (condition * (1 + 6 * omega / nodes));
    Quadratic.Builder objectives = Quadratic.random(nodes, dimension, condition, 1, SEED);
    double[] errors = new double[2];
    for (int plain = 0; plain < 2; plain++) {
      boolean learns = plain == 0 && !setting.sabotaged();
      try (Quadratic problem = objectives.build(setting.queue(), DType.F32);
          Network network = clique(nodes);
          DeviceMatrix start = DeviceMatrix.allocate(setting.queue(), 1, dimension, DType.F32)) {
        DianaSgd.Builder builder =
            DianaSgd.builder(problem, network, start).stepSize(stepSize).compressor(compressor);
        try (Optimizer optimizer = (learns ? builder : builder.alpha(0)).build()) {
          errors[plain] = relativeError(optimizer, steps, objectives.optimum());
        }
      }
    }
    return Measurement.under(
            ("4 quadratics, d = 20, condition 10, normal minimisers, random-k:4, gamma = 1 / (L (1 + 6"
                    + " omega / n)), alpha = 1 / (1 + omega), %d steps, f32, squared distance to the"
                    + " optimum relative to that of the start")
                .formatted(steps))
        .with("dianaError", errors[0])
        .with("plainError", errors[1]);
  }

  private static Network clique(int nodes) {
    return Network.builder(MixingSchedule.parse("complete", "metropolis", nodes, SEED)).build();
  }

  /** |x - optimum|^2 relative to that of the start after {@code steps} steps. */
  private static double relativeError(Optimizer optimizer, int steps, double[] optimum) {
    double before = distance(optimizer.parameters(), optimum);
    for (int step = 0; step < steps; step++) {
      optimizer.step();
    }
    return distance(optimizer.parameters(), optimum) / before;
  }

  // ---- ef21-vs-ef ----

  /** The example of three nodes on which top-1 without feedback diverges. */
  static Measurement feedbackExample(Setting setting) {
    int steps = 2000;
    double exact = Math.pow(1 + 11 * 0.1 / 6, 5);
    double plain = exampleNorm(setting, Feedback.NONE, 0.1, 5);
    double ef =
        exampleNorm(setting, setting.sabotaged() ? Feedback.NONE : Feedback.EF, 0.02, steps);
    double ef21 = exampleNorm(setting, Feedback.EF21, 0.005, steps);
    return Measurement.under(
            ("f_i(x) = <a_i, x>^2 + |x|^2 / 4, a_i = (-3, 2, 2) rotated, x = (1, 1, 1) at first, top-1,"
                    + " f32; without feedback eta = 0.1 and 5 steps, EF gamma = 0.02 and EF21 gamma ="
                    + " 0.005 with %d steps")
                .formatted(steps))
        .with("plainGrowth", plain)
        .with("plainGrowthError", Math.abs(plain - exact))
        .with("efNorm", ef * Math.sqrt(3))
        .with("ef21Norm", ef21 * Math.sqrt(3));
  }

  private enum Feedback {
    NONE,
    EF,
    EF21
  }

  /** |x| relative to that of the start. */
  private static double exampleNorm(
      Setting setting, Feedback feedback, double stepSize, int steps) {
    double[][] a = {{-3, 2, 2}, {2, -3, 2}, {2, 2, -3}};
    double[][] curvatures = new double[3][9];
    for (int i = 0; i < 3; i++) {
      for (int r = 0; r < 3; r++) {
        for (int c = 0; c < 3; c++) {
          curvatures[i][3 * r + c] = 2 * a[i][r] * a[i][c] + (r == c ? 0.5 : 0);
        }
      }
    }
    Compressor top = Compressor.parse("top-k:1");
    try (Quadratic problem =
            Quadratic.of(curvatures, new double[3][3]).build(setting.queue(), DType.F32);
        Network network = clique(3);
        DeviceMatrix start = DeviceMatrix.row(setting.queue(), 1f, 1f, 1f);
        Optimizer optimizer =
            feedback == Feedback.EF21
                ? Ef21Sgd.builder(problem, network, start)
                    .stepSize(stepSize)
                    .compressor(top)
                    .build()
                : EfSgd.builder(problem, network, start)
                    .stepSize(stepSize)
                    .compressor(top)
                    .build()) {
      double[] origin = new double[3];
      double before = distance(optimizer.parameters(), origin);
      for (int step = 0; step < steps; step++) {
        optimizer.step();
        if (feedback == Feedback.NONE) {
          ((EfSgd) optimizer).residual().fill(0);
        }
      }
      return Math.sqrt(distance(optimizer.parameters(), origin) / before);
    }
  }
}
