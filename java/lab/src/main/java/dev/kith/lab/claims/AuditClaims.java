package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.Secret;
import dev.kith.lab.claims.Audits.Mistake;
import dev.kith.network.Network;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.Optimizer;
import dev.kith.optimizer.PrivateDecentralizedSgd;
import dev.kith.privacy.Accountant;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;
import dev.kith.privacy.AnalyticGaussian;
import dev.kith.privacy.DpSgdProblem;
import dev.kith.privacy.Mechanism;
import dev.kith.privacy.Method;
import dev.kith.privacy.MixingObjective;
import dev.kith.privacy.NodeNoise;
import dev.kith.privacy.NoiseCovariance;
import dev.kith.privacy.NoiseOrigin;
import dev.kith.privacy.NoiseSecrets;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.PerExampleClipping;
import dev.kith.problem.Problem;
import dev.kith.problem.SoftmaxRegression;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** What an auditor finds out about runs that keep their guarantee, and about such that do not. */
final class AuditClaims {
  private static final double EPSILON = 1;
  private static final int ROUNDS = 8;
  private static final double CLIP = 1;
  private static final double STEP = 0.05;
  private static final Adversary OUTSIDE = Adversary.eavesdropper();

  /** Canaries of a node in DP-SGD, examples of which each has a feature of its own. */
  private static final int SLOTS = 100;

  private static final int CLASSES = 3;
  private static final double RATE = 0.5;

  /** The size of the feature: gradients are four times as long as the bound. */
  private static final float FEATURE = 5;

  /** Nodes in CorN, each of them a canary with a parameter of its own. */
  private static final int USERS = 64;

  private AuditClaims() {}

  /** Audits of DP-SGD by examples and of CorN by users, honest and with planted mistakes. */
  static Measurement audit(Setting setting) {
    int nodes = setting.pick(40, 160);
    int populations = setting.pick(30, 250);
    Mistake own = setting.sabotaged() ? Mistake.LITTLE_NOISE : Mistake.NONE;
    double sigma =
        Accountant.calibrate(EPSILON, Audits.DELTA, Method.RDP, s -> records(s, 2 * ROUNDS));
    double dpSgd = records(sigma, 2 * ROUNDS).epsilon(Audits.DELTA).epsilon();
    MixingMatrix ring = new WeightRule.Metropolis().weights(Topologies.ring(USERS));
    double ratio = 1 / AnalyticGaussian.standardDeviation(EPSILON, Audits.DELTA);
    NoiseCovariance noise =
        NoiseCovariance.optimal(
            MixingObjective.oneRound(ring), ratio * ratio / (2 * ROUNDS * CLIP * CLIP));
    double corn =
        Accountant.of(Adjacency.addRemoveUser(), OUTSIDE, NoiseOrigin.SECRET)
            .plus(new Mechanism.NodeGaussian(noise, CLIP), 2 * ROUNDS)
            .epsilon(Audits.DELTA)
            .epsilon();
    Measurement measurement =
        Measurement.under(
                ("epsilon = 1 at delta = 1e-5, confidence 0.95, guesses about a tenth of the canaries;"
                        + " DP-SGD: %d nodes on a ring, %d examples each, rate %s, 2 x %d rounds; CorN:"
                        + " %d rings of %d users, 2 x %d rounds")
                    .formatted(nodes, SLOTS, RATE, ROUNDS, populations, USERS, ROUNDS))
            .with("dpSgdBoundOverCertified", dpSgd(setting.queue(), nodes, sigma, own) / dpSgd)
            .with(
                "cornBoundOverCertified",
                corn(setting.queue(), populations, ring, noise, own) / corn);
    for (Mistake mistake : List.of(Mistake.LITTLE_NOISE, Mistake.NO_CLIP, Mistake.KEY_TWICE)) {
      double least =
          Math.min(
              dpSgd(setting.queue(), nodes, sigma, mistake) / dpSgd,
              corn(setting.queue(), populations, ring, noise, mistake) / corn);
      measurement = measurement.with(mistake.metric(), least);
    }
    return measurement;
  }

  // ---- examples

  /** DP-SGD without the clipping. */
  private record Unclipped(SoftmaxRegression problem) implements Problem, PerExampleClipping {
    @Override
    public Layout layout() {
      return problem.layout();
    }

    @Override
    public int nodes() {
      return problem.nodes();
    }

    @Override
    public int firstNode() {
      return problem.firstNode();
    }

    @Override
    public int localNodes() {
      return problem.localNodes();
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      problem.gradient(x, g, round);
    }

    @Override
    public int examples(int row) {
      return problem.examples(row);
    }

    @Override
    public void clippedGradient(
        DeviceMatrix x, DeviceMatrix g, int[][] picked, double clip, double[] divisors) {
      problem.clippedGradient(x, g, picked, Double.POSITIVE_INFINITY, divisors);
    }

    @Override
    public void close() {}
  }

  private static Accountant records(double sigma, long rounds) {
    return Accountant.of(Adjacency.addRemoveRecord(), OUTSIDE, NoiseOrigin.SECRET)
        .plus(new Mechanism.PoissonGaussian(sigma, RATE), rounds);
  }

  /** The bound that the audit of examples finds. */
  private static double dpSgd(Queue queue, int nodes, double sigma, Mistake mistake) {
    boolean[][] coins = Audits.coins(1, nodes, SLOTS);
    MixingMatrix w = new WeightRule.Metropolis().weights(Topologies.ring(nodes));
    float[] values = new float[SLOTS * SLOTS];
    int[] labels = new int[SLOTS];
    for (int e = 0; e < SLOTS; e++) {
      values[e * SLOTS + e] = FEATURE;
      labels[e] = e % CLASSES;
    }
    int[][] parts =
        Arrays.stream(coins)
            .map(own -> IntStream.range(0, SLOTS).filter(e -> own[e]).toArray())
            .toArray(int[][]::new);
    ClassificationData data = ClassificationData.of("canaries", SLOTS, CLASSES, values, labels);
    double[][] sums = new double[nodes][SLOTS];
    double[][] differences = new double[nodes][SLOTS];
    try (SoftmaxRegression problem =
            SoftmaxRegression.builder(queue, data, parts).dtype(DType.F64).build();
        DeviceMatrix x = problem.initialOfEachNode(1)) {
      List<List<double[][]>> seen = new ArrayList<>();
      for (int training = 0; training < 2; training++) {
        seen.add(observed(problem, x, w, sigma, training, mistake));
      }
      for (int t = 0; t < ROUNDS; t++) {
        double[][] one = seen.get(0).get(t);
        double[][] two = seen.get(1).get(t);
        for (int i = 0; i < nodes; i++) {
          for (int e = 0; e < SLOTS; e++) {
            for (int c = 0; c < CLASSES; c++) {
              // At the start all classes are equally probable.
              double direction = 1.0 / CLASSES - (c == labels[e] ? 1 : 0);
              int at = c * SLOTS + e;
              sums[i][e] += direction * (one[i][at] + two[i][at]);
              differences[i][e] += Math.abs(one[i][at] - two[i][at]);
            }
          }
        }
      }
    }
    return Audits.bound(coins, sums, differences);
  }

  /** What the messages of a training show, round by round; x is where it starts and ends. */
  private static List<double[][]> observed(
      SoftmaxRegression problem,
      DeviceMatrix x,
      MixingMatrix w,
      double sigma,
      int training,
      Mistake mistake) {
    int key = mistake == Mistake.KEY_TWICE ? 0 : training;
    List<Secret> secrets =
        IntStream.range(0, w.nodes())
            .mapToObj(node -> Secret.of(Audits.key(2, key, node)))
            .toList();
    double multiplier = mistake == Mistake.LITTLE_NOISE ? sigma / 3 : sigma;
    double[][] inverse = Audits.inverse(w);
    List<double[][]> seen = new ArrayList<>();
    try (DpSgdProblem sampled =
            mistake == Mistake.NO_CLIP
                ? built(DpSgdProblem.builder(new Unclipped(problem), CLIP, multiplier), secrets)
                : built(DpSgdProblem.builder(problem, CLIP, multiplier), secrets);
        Network network = Network.builder(MixingSchedule.constant(w)).build();
        Optimizer optimizer =
            DecentralizedSgd.builder(sampled, network, x).stepSize(STEP).build()) {
      for (int t = 0; t < ROUNDS; t++) {
        seen.add(Audits.observedStep(optimizer, inverse, STEP));
      }
      x.copyFrom(optimizer.parameters());
    } finally {
      secrets.forEach(Secret::close);
    }
    return seen;
  }

  private static DpSgdProblem built(DpSgdProblem.Builder<?> builder, List<Secret> secrets) {
    return builder.rate(RATE).secrets(secrets).build();
  }

  // ---- users

  /** Users of whom some are there: a gradient along a parameter of their own, or none. */
  private record Users(boolean[] included, double length) implements Problem {
    @Override
    public Layout layout() {
      return Layout.flat(USERS);
    }

    @Override
    public int nodes() {
      return USERS;
    }

    @Override
    public int firstNode() {
      return 0;
    }

    @Override
    public int localNodes() {
      return USERS;
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      double[] gradients = new double[USERS * USERS];
      for (int i = 0; i < USERS; i++) {
        gradients[i * USERS + i] = included[i] ? length : 0;
      }
      g.upload(gradients);
    }

    @Override
    public void close() {}
  }

  /** The bound that the audit of users finds, of whom each population is trained by itself. */
  private static double corn(
      Queue queue, int populations, MixingMatrix w, NoiseCovariance promised, Mistake mistake) {
    NoiseCovariance added = mistake == Mistake.LITTLE_NOISE ? ninth(promised) : promised;
    double[][] precision = Audits.inverse(promised.covariance());
    double[][] inverse = Audits.inverse(w);
    boolean[][] coins = Audits.coins(3, populations, USERS);
    double[][] sums = new double[populations][USERS];
    double[][] differences = new double[populations][USERS];
    for (int p = 0; p < populations; p++) {
      List<List<double[][]>> seen = new ArrayList<>();
      for (int training = 0; training < 2; training++) {
        int key = mistake == Mistake.KEY_TWICE ? 0 : training;
        // The canaries turn their gradients round in the second training.
        Users users = new Users(coins[p], training == 0 ? 4 * CLIP : -4 * CLIP);
        double clip = mistake == Mistake.NO_CLIP ? 1e9 : CLIP;
        seen.add(observed(queue, users, w, inverse, added, Audits.key(4, key, p), clip));
      }
      for (int t = 0; t < ROUNDS; t++) {
        for (int i = 0; i < USERS; i++) {
          for (int j = 0; j < USERS; j++) {
            double both = seen.get(0).get(t)[j][i] - seen.get(1).get(t)[j][i];
            sums[p][i] += precision[i][j] * both;
          }
          differences[p][i] += Math.abs(seen.get(0).get(t)[i][i] - seen.get(1).get(t)[i][i]);
        }
      }
    }
    return Audits.bound(coins, sums, differences);
  }

  /** A ninth of the variances: a third of the noise. */
  private static NoiseCovariance ninth(NoiseCovariance noise) {
    return NoiseCovariance.joint(
        Arrays.stream(noise.covariance())
            .map(row -> Arrays.stream(row).map(v -> v / 9).toArray())
            .toArray(double[][]::new));
  }

  /** What the messages of a training show, round by round. */
  private static List<double[][]> observed(
      Queue queue,
      Users users,
      MixingMatrix w,
      double[][] inverse,
      NoiseCovariance covariance,
      byte[] key,
      double clip) {
    List<double[][]> seen = new ArrayList<>();
    try (Network network = Network.builder(MixingSchedule.constant(w)).build();
        NoiseSecrets secrets = NoiseSecrets.agree(network, covariance, Secret.of(key));
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, USERS, DType.F64);
        Optimizer optimizer =
            PrivateDecentralizedSgd.builder(users, network, start)
                .stepSize(STEP)
                .clipNorm(clip)
                .noise(NodeNoise.secret(network, covariance, secrets))
                .build()) {
      for (int t = 0; t < ROUNDS; t++) {
        seen.add(Audits.observedStep(optimizer, inverse, STEP));
      }
    }
    return seen;
  }
}
