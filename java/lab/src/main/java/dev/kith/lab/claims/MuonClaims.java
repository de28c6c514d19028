package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.NewtonSchulz.Polynomial;
import dev.kith.kernel.StepRule;
import dev.kith.lab.data.DataSets;
import dev.kith.lab.data.Scaling;
import dev.kith.network.Network;
import dev.kith.optimizer.DecentralizedMuon;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.Muon;
import dev.kith.optimizer.NonFiniteException;
import dev.kith.optimizer.Optimizer;
import dev.kith.problem.MultilayerPerceptron;
import dev.kith.problem.Partition;
import dev.kith.problem.Problem;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.Optional;

/** Experiments on Muon: what it does to singular values, and what that is worth. */
final class MuonClaims {
  private static final int ROWS = 16;
  private static final int COLS = 24;
  private static final long SEED = 1;

  private MuonClaims() {}

  static Measurement bands(Setting setting) {
    double[] wide = band(setting, 1e-2);
    double[] wider = band(setting, 1e-3);
    Measurement measured =
        Measurement.under(condition(setting))
            .with("least2", wide[0])
            .with("greatest2", wide[1])
            .with("least3", wider[0])
            .with("greatest3", wider[1]);
    if (setting.sabotaged()) {
      return measured;
    }
    DataSets data = DataSets.load("digits", Optional.empty(), "last", Scaling.UNIT, SEED);
    Trained sgd = Trained.best(setting, data, Trained::sgd);
    Trained adam = Trained.best(setting, data, Trained::adam);
    // The output layer and the biases take Adam at the step size that was best for Adam.
    double rest = adam.step();
    Trained muon = Trained.best(setting, data, (p, w, x, eta) -> Trained.muon(p, w, x, eta, rest));
    Trained mixed =
        Trained.best(setting, data, (p, w, x, eta) -> Trained.mixed(p, w, x, eta, rest));
    return mixed.addTo("dmuon", muon.addTo("muon", adam.addTo("adam", sgd.addTo("sgd", measured))));
  }

  private static String condition(Setting setting) {
    return ("one step of Muon on %d matrices of %d x %d with singular values s and sqrt(1 - s^2), s"
            + " log-spaced; digits, mlp:64, ring of %d, dirichlet:0.5, batch %d: rounds, MB sent"
            + " and seconds until the mean local training loss is below %s, each at its best step"
            + " size of %s")
        .formatted(
            setting.pick(200, 1000),
            ROWS,
            COLS,
            Trained.NODES,
            Trained.BATCH,
            Trained.TARGET,
            Arrays.toString(Trained.STEPS));
  }

  // ---- singular values

  /** The same gradients in every round. */
  private record Gradients(Layout layout, double[] values) implements Problem {
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
      g.upload(values);
    }

    @Override
    public void close() {}
  }

  /**
   * The least and the greatest singular value after one step from zero, for singular values of the
   * gradient from {@code least} to 1. The singular vectors are known and stay: u_k' X v_k is a
   * singular value.
   */
  private static double[] band(Setting setting, double least) {
    int count = setting.pick(200, 1000);
    double[][] u = orthogonal(ROWS, 1);
    double[][] v = orthogonal(COLS, 2);
    Layout.Builder builder = Layout.builder();
    double[] values = new double[count * ROWS * COLS];
    for (int m = 0; m < count; m++) {
      builder.tensor("w" + m, "weight", ROWS, COLS);
      double s = Math.pow(least, m / (count - 1.0));
      double[] singular = {s, Math.sqrt(1 - s * s)};
      for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < COLS; j++) {
          for (int k = 0; k < 2; k++) {
            values[(m * ROWS + i) * COLS + j] += u[i][k] * singular[k] * v[j][k];
          }
        }
      }
    }
    Muon.Builder rule = Muon.builder().matrices(tensor -> true).stepSize(1);
    if (setting.sabotaged()) {
      rule.newtonSchulz(Polynomial.MUON, 4);
    }
    try (Problem problem = new Gradients(builder.build(), values);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(1))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(setting.queue(), 1, problem.layout(), DType.F32);
        Optimizer optimizer =
            DecentralizedSgd.builder(problem, network, zero).rule(rule.build()).build()) {
      optimizer.step();
      return extremes(optimizer.parameters().toDoubles(), u, v, count, least);
    }
  }

  private static double[] extremes(
      double[] x, double[][] u, double[][] v, int count, double least) {
    double[] range = {Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY};
    for (int m = 0; m < count; m++) {
      double s = Math.pow(least, m / (count - 1.0));
      double[] before = {s, Math.sqrt(1 - s * s)};
      for (int k = 0; k < 2; k++) {
        if (before[k] < least) {
          continue;
        }
        double value = 0;
        for (int i = 0; i < ROWS; i++) {
          for (int j = 0; j < COLS; j++) {
            value -= u[i][k] * x[(m * ROWS + i) * COLS + j] * v[j][k];
          }
        }
        range[0] = Math.min(range[0], value);
        range[1] = Math.max(range[1], value);
      }
    }
    return range;
  }

  /** A reflection: an orthogonal matrix. */
  private static double[][] orthogonal(int n, long round) {
    SharedRandom random = new SharedRandom(SEED, Stream.DATA, 0, round);
    double[] a = new double[n];
    Arrays.setAll(a, random::normal);
    double square = Arrays.stream(a).map(w -> w * w).sum();
    double[][] q = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        q[i][j] = (i == j ? 1 : 0) - 2 * a[i] * a[j] / square;
      }
    }
    return q;
  }

  // ---- training

  /** What it took to reach the target; infinitely much where it was not reached. */
  private record Trained(double step, double rounds, double megabytes, double seconds) {
    static final int NODES = 8;
    static final int BATCH = 32;
    static final double TARGET = 0.1;

    /** From the middle outwards: a run ends where it can no longer be the best. */
    static final double[] STEPS = {0.1, 0.03, 0.3, 0.01, 1, 0.003, 3, 0.001};

    private static final int EVERY = 5;

    Measurement addTo(String name, Measurement measured) {
      return measured
          .with(name + "Rounds", rounds)
          .with(name + "Megabytes", megabytes)
          .with(name + "Seconds", seconds)
          .with(name + "Step", step);
    }

    interface Factory {
      Optimizer create(Problem problem, Network network, DeviceMatrix start, double stepSize);
    }

    static Optimizer sgd(Problem p, Network w, DeviceMatrix x, double eta) {
      return DecentralizedSgd.builder(p, w, x).stepSize(eta).build();
    }

    static Optimizer adam(Problem p, Network w, DeviceMatrix x, double eta) {
      return DecentralizedSgd.builder(p, w, x)
          .rule(new StepRule.Adam(eta, 0.9, 0.999, 1e-8))
          .build();
    }

    private static Muon rule(double eta, double rest) {
      return Muon.builder().stepSize(eta).rest(new StepRule.Adam(rest, 0.9, 0.999, 1e-8)).build();
    }

    static Optimizer muon(Problem p, Network w, DeviceMatrix x, double eta, double rest) {
      return DecentralizedSgd.builder(p, w, x).rule(rule(eta, rest)).build();
    }

    static Optimizer mixed(Problem p, Network w, DeviceMatrix x, double eta, double rest) {
      return DecentralizedMuon.builder(p, w, x).rule(rule(eta, rest)).build();
    }

    /** The run of fewest rounds over all step sizes. */
    static Trained best(Setting setting, DataSets data, Factory factory) {
      int most = setting.pick(200, 1000);
      Trained best = never(STEPS[0]);
      for (double step : STEPS) {
        int limit = (int) Math.min(most, best.rounds() - EVERY);
        Trained run = train(setting, data, factory, step, limit);
        best = run.rounds() < best.rounds() ? run : best;
      }
      return best;
    }

    private static Trained train(
        Setting setting, DataSets data, Factory factory, double step, int most) {
      int[][] parts = Partition.dirichlet(0.5).split(data.train(), NODES, SEED);
      try (MultilayerPerceptron problem =
              MultilayerPerceptron.builder(setting.queue(), data.train(), parts, 64)
                  .batch(BATCH)
                  .seed(SEED)
                  .build();
          Network network =
              Network.builder(MixingSchedule.parse("ring", "metropolis", NODES, SEED)).build();
          DeviceMatrix start = problem.initial(SEED);
          DeviceMatrix losses = start.like(1, NODES, DType.F64);
          Optimizer optimizer = factory.create(problem, network, start, step)) {
        long nanos = 0;
        while (optimizer.round() < most) {
          long begin = System.nanoTime();
          for (int k = 0; k < EVERY; k++) {
            optimizer.step();
          }
          setting.queue().sync();
          nanos += System.nanoTime() - begin;
          problem.values(optimizer.parameters(), losses);
          double loss = Arrays.stream(losses.toDoubles()).average().orElseThrow();
          if (loss < TARGET) {
            return new Trained(
                step, (double) optimizer.round(), network.meter().bytes() * 1e-6, nanos * 1e-9);
          }
        }
      } catch (NonFiniteException e) {
        return never(step);
      }
      return never(step);
    }

    private static Trained never(double step) {
      double much = Double.POSITIVE_INFINITY;
      return new Trained(step, much, much, much);
    }
  }
}
