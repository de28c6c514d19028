package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.optimizer.DpFtrl;
import dev.kith.optimizer.Optimizer;
import dev.kith.optimizer.PrivateAdmm;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;
import dev.kith.privacy.AnalyticGaussian;
import dev.kith.privacy.Participation;
import dev.kith.problem.LeastSquares;
import dev.kith.problem.Regularizer;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.BitSet;

/** Experiments on private ADMM beside private proximal SGD. */
final class AdmmClaims {
  private static final int NODES = 20_000;
  private static final int PARTICIPANTS = NODES / 10;
  private static final int ROUNDS = 200;
  private static final int DIMENSION = 64;
  private static final double KAPPA = 0.01;
  private static final double DELTA = 1e-6;
  private static final double RELAXATION = 0.464159;
  private static final long SEED = 1;

  private AdmmClaims() {}

  /** A step and a clip norm. */
  private record Pair(double step, double clip) {}

  /** Both methods at equal privacy on a Lasso, each with its best setting. */
  static Measurement privateAdmm(Setting setting) {
    boolean small = setting.scale() == Setting.Scale.CI;
    double[] epsilons = small ? new double[] {1} : new double[] {0.5, 1, 5};
    Pair[] admm = {
      new Pair(1.584893, 1.6), new Pair(1.584893, 0.2), new Pair(0.1, 1.6), new Pair(0.1, 0.2)
    };
    Pair[] sgd = {new Pair(0.31, 13), new Pair(0.31, 4), new Pair(0.05, 13), new Pair(0.05, 4)};
    if (small) {
      admm = Arrays.copyOf(admm, 2);
      sgd = Arrays.copyOf(sgd, 1);
    }
    Measurement measurement =
        Measurement.under(
            "Lasso, n = %d, d = %d, 8 coefficients in (0, 1), label noise 0.1, kappa %s, %d rounds of %d nodes, delta = 1e-6, noise on the sums, no amplification, best final objective of %d settings of ADMM and %d of SGD, f32, SIMULATED"
                .formatted(NODES, DIMENSION, KAPPA, ROUNDS, PARTICIPANTS, admm.length, sgd.length));
    double worst = 0;
    int comparable = 0;
    double excess = 0;
    try (LeastSquares problem = problem(setting);
        Network all =
            Network.builder(MixingSchedule.constant(MixingMatrix.identity(NODES))).build();
        DeviceMatrix start = DeviceMatrix.allocate(setting.queue(), 1, DIMENSION, DType.F32)) {
      double zero;
      Sampling sampling;
      long most;
      try (PrivateAdmm first = admm(problem, all, start, admm[0], 1)) {
        zero = objective(problem, first);
        sampling = Sampling.of(first);
        most = first.mostParticipations(ROUNDS);
      }
      measurement = measurement.with("zeroObjective", zero);
      try (Network some = Network.builder(sampling).build()) {
        for (double epsilon : epsilons) {
          // Noise over clip norm for that many releases to neighbours that differ by 2 C.
          double multiplier =
              2 * Math.sqrt((double) most) * AnalyticGaussian.standardDeviation(epsilon, DELTA);
          double best = Double.POSITIVE_INFINITY;
          for (Pair pair : admm) {
            double sum = multiplier * pair.clip;
            // The slip of the published program: what should be a root is not taken.
            double deviation =
                2 * (setting.sabotaged() ? sum / multiplier : sum) / Math.sqrt(PARTICIPANTS);
            try (PrivateAdmm optimizer = admm(problem, all, start, pair, deviation)) {
              double certified =
                  optimizer
                      .guarantee(
                          ROUNDS,
                          PrivateAdmm.View.SUMS,
                          DELTA,
                          Adjacency.replaceUser(),
                          Adversary.eavesdropper())
                      .epsilon();
              excess = Math.max(excess, certified / epsilon);
              best = Math.min(best, run(problem, optimizer));
            }
          }
          double bestSgd = Double.POSITIVE_INFINITY;
          for (Pair pair : sgd) {
            try (DpFtrl optimizer =
                DpFtrl.builder(
                        problem, some, start, new Participation(ROUNDS, Math.toIntExact(most), 1))
                    .regularizer(Regularizer.l1(KAPPA))
                    .stepSize(pair.step * NODES / PARTICIPANTS)
                    .clip(pair.clip)
                    .noiseMultiplier(multiplier)
                    .simulated(SEED)
                    .build()) {
              bestSgd = Math.min(bestSgd, run(problem, optimizer));
            }
          }
          measurement = measurement.with("admmAt" + epsilon, best).with("sgdAt" + epsilon, bestSgd);
          if (best < zero && bestSgd < zero) {
            comparable++;
            worst = Math.max(worst, best / bestSgd);
          }
        }
      }
    }
    return measurement
        .with("comparable", comparable)
        .with("worstAdmmOverSgd", comparable == 0 ? Double.NaN : worst)
        .with("epsilonOverTarget", excess);
  }

  private static PrivateAdmm admm(
      LeastSquares problem, Network network, DeviceMatrix start, Pair pair, double deviation) {
    return PrivateAdmm.builder(problem, network, start)
        .regularizer(Regularizer.l1(KAPPA))
        .relaxation(RELAXATION)
        .proximalStep(pair.step)
        .clip(pair.clip)
        .noise(deviation)
        .participants(PARTICIPANTS)
        .seed(SEED)
        .simulated(SEED)
        .build();
  }

  /** The nodes of the rounds of ADMM, for SGD. */
  private record Sampling(BitSet[] present, MixingMatrix alone) implements MixingSchedule {
    static Sampling of(PrivateAdmm admm) {
      BitSet[] present = new BitSet[ROUNDS];
      for (int t = 0; t < ROUNDS; t++) {
        present[t] = new BitSet(NODES);
        for (int node : admm.participants(t)) {
          present[t].set(node);
        }
      }
      return new Sampling(present, MixingMatrix.identity(NODES));
    }

    @Override
    public int nodes() {
      return NODES;
    }

    @Override
    public MixingMatrix at(long round) {
      return alone;
    }

    @Override
    public long period() {
      return 0;
    }

    @Override
    public boolean isAlive(long round, int node) {
      return round >= present.length || present[(int) round].get(node);
    }
  }

  private static double run(LeastSquares problem, Optimizer optimizer) {
    for (int t = 0; t < ROUNDS; t++) {
      optimizer.step();
    }
    return objective(problem, optimizer);
  }

  private static double objective(LeastSquares problem, Optimizer optimizer) {
    DeviceMatrix x = optimizer.parameters();
    try (DeviceMatrix losses = x.like(1, x.rows(), DType.F64);
        DeviceMatrix model = x.row(0);
        DeviceMatrix norm = x.like(1, 1, DType.F64)) {
      problem.values(x, losses);
      Reduction.rows(Reduction.Kind.ABS_SUM, model, norm);
      return Arrays.stream(losses.toDoubles()).average().orElseThrow() + KAPPA * norm.get(0, 0);
    }
  }

  private static LeastSquares problem(Setting setting) {
    SharedRandom truth = new SharedRandom(SEED, Stream.DATA, NODES, 0);
    double[][] a = new double[NODES][DIMENSION];
    double[] y = new double[NODES];
    for (int i = 0; i < NODES; i++) {
      SharedRandom random = new SharedRandom(SEED, Stream.DATA, i, 0);
      for (int c = 0; c < DIMENSION; c++) {
        a[i][c] = random.normal(c);
        y[i] += c < 8 ? a[i][c] * truth.uniform(c) : 0;
      }
      y[i] += 0.1 * random.normal(DIMENSION);
    }
    return LeastSquares.of(a, y).build(setting.queue(), DType.F32);
  }
}
