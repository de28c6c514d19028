package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.optimizer.CentralSgd;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.Dingo;
import dev.kith.optimizer.Esom;
import dev.kith.optimizer.Extra;
import dev.kith.optimizer.Giant;
import dev.kith.optimizer.GradientTracking;
import dev.kith.optimizer.Lbfgs;
import dev.kith.optimizer.NetworkNewton;
import dev.kith.optimizer.Optimizer;
import dev.kith.problem.HessianVector;
import dev.kith.problem.LogisticRegression;
import dev.kith.problem.Problem;
import dev.kith.problem.Value;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.function.ToDoubleFunction;

/** Experiments on distributed Newton methods beside first-order methods. */
final class NewtonClaims {
  private static final int NODES = 8;
  private static final int SAMPLES = 400;
  private static final int DIMENSION = 20;
  private static final double LAMBDA = 1e-2;
  private static final long SEED = 1;
  private static final MixingMatrix RING =
      new WeightRule.Metropolis().weights(Topologies.ring(NODES)).lazy();

  private static final String DATA =
      "logistic regression, 8 nodes x 400 samples, d = 20, features scaled logspace(-1, 1), labels drawn from a model, lambda 1e-2, f64";

  /** Step sizes of first-order methods that are tried, in units of 1 / L. */
  private static double[] grid(Setting setting) {
    return setting.scale() == Setting.Scale.CI
        ? new double[] {1, 2}
        : new double[] {0.25, 0.5, 1, 2, 4};
  }

  private static double[] momenta(Setting setting) {
    return setting.scale() == Setting.Scale.CI
        ? new double[] {0.9, 0.99}
        : new double[] {0, 0.9, 0.99};
  }

  private NewtonClaims() {}

  private record Data(double[][][] records, double[][] labels) {
    LogisticRegression problem(Setting setting) {
      return LogisticRegression.of(records, labels)
          .regularization(LAMBDA)
          .build(setting.queue(), DType.F64);
    }

    /** lambda and a quarter of the largest eigenvalue of the mean of a a', by power iteration. */
    double smoothness() {
      double[] v = new double[DIMENSION];
      Arrays.fill(v, 1);
      double largest = 0;
      for (int t = 0; t < 300; t++) {
        double[] next = new double[DIMENSION];
        for (double[][] node : records) {
          for (double[] a : node) {
            double along = 0;
            for (int c = 0; c < DIMENSION; c++) {
              along += a[c] * v[c];
            }
            for (int c = 0; c < DIMENSION; c++) {
              next[c] += along * a[c] / (NODES * SAMPLES);
            }
          }
        }
        largest = norm(next);
        for (int c = 0; c < DIMENSION; c++) {
          v[c] = next[c] / largest;
        }
      }
      return largest / 4 + LAMBDA;
    }
  }

  private static Data data() {
    double[][][] records = new double[NODES][SAMPLES][DIMENSION];
    double[][] labels = new double[NODES][SAMPLES];
    SharedRandom model = new SharedRandom(SEED, Stream.DATA, NODES, 0);
    for (int i = 0; i < NODES; i++) {
      SharedRandom random = new SharedRandom(SEED, Stream.DATA, i, 0);
      for (int j = 0; j < SAMPLES; j++) {
        double logit = 0;
        for (int c = 0; c < DIMENSION; c++) {
          double scale = StrictMath.pow(10, -1 + 2.0 * c / (DIMENSION - 1));
          double normal = random.normal((long) j * DIMENSION + c);
          records[i][j][c] = scale * normal;
          logit += normal * model.normal(c);
        }
        double share = random.uniform((long) SAMPLES * DIMENSION * 2 + j);
        labels[i][j] = share < 1 / (1 + StrictMath.exp(-logit)) ? 1 : -1;
      }
    }
    return new Data(records, labels);
  }

  private static double norm(double[] v) {
    double squares = 0;
    for (double x : v) {
      squares += x * x;
    }
    return Math.sqrt(squares);
  }

  /** Products with the Hessian where the run started, and everything else as it is. */
  private record FrozenHessian(LogisticRegression problem, DeviceMatrix start)
      implements Problem, Value, HessianVector {
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
    public void values(DeviceMatrix x, DeviceMatrix out) {
      problem.values(x, out);
    }

    @Override
    public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
      problem.hessianVector(start, v, out);
    }

    @Override
    public void close() {
      start.close();
    }
  }

  private record Followed(Cost cost, double after) {}

  /** Data, networks and starts of an experiment. */
  private static final class Bench implements AutoCloseable {
    final Setting setting;
    final LogisticRegression problem;
    final double smoothness;
    private final DeviceMatrix rows;
    private final DeviceMatrix gradients;
    private final DeviceMatrix mean;

    Bench(Setting setting) {
      this.setting = setting;
      Data data = data();
      this.problem = data.problem(setting);
      this.smoothness = data.smoothness();
      this.rows = DeviceMatrix.allocate(setting.queue(), NODES, DIMENSION, DType.F64);
      this.gradients = rows.like();
      this.mean = rows.like(1, DIMENSION, DType.F64);
    }

    Problem frozen() {
      DeviceMatrix zero = rows.like();
      zero.fill(0);
      return new FrozenHessian(problem, zero);
    }

    DeviceMatrix start() {
      DeviceMatrix zero = mean.like();
      zero.fill(0);
      return zero;
    }

    static Network network(MixingMatrix w) {
      return Network.builder(MixingSchedule.constant(w)).build();
    }

    /** |grad F| at the mean of the nodes. */
    double gradientAtMean(DeviceMatrix x) {
      double[] flat = x.toDoubles();
      double[] average = new double[DIMENSION];
      for (int k = 0; k < flat.length; k++) {
        average[k % DIMENSION] += flat[k] / NODES;
      }
      double[] all = new double[flat.length];
      Arrays.setAll(all, k -> average[k % DIMENSION]);
      rows.upload(all);
      problem.gradient(rows, gradients, 0);
      double[] each = gradients.toDoubles();
      double[] g = new double[DIMENSION];
      for (int k = 0; k < each.length; k++) {
        g[k % DIMENSION] += each[k] / NODES;
      }
      return norm(g);
    }

    /** |grad Psi| of Network Newton's penalised problem. */
    double penalisedGradient(DeviceMatrix x, double alpha) {
      problem.gradient(x, gradients, 0);
      double[] flat = x.toDoubles();
      double[] each = gradients.toDoubles();
      double[] g = new double[flat.length];
      for (int i = 0; i < NODES; i++) {
        for (int c = 0; c < DIMENSION; c++) {
          int k = i * DIMENSION + c;
          g[k] = flat[k] + alpha * each[k];
          for (int e = RING.rowBegin(i); e < RING.rowBegin(i + 1); e++) {
            g[k] -= RING.value(e) * flat[RING.column(e) * DIMENSION + c];
          }
        }
      }
      return norm(g);
    }

    /** Longer runs look every tenth round alone, as looking takes as long as a round. */
    private static Cost until(
        Optimizer optimizer, ToDoubleFunction<DeviceMatrix> figure, double target, int rounds) {
      return Cost.until(optimizer, figure, target, rounds, rounds > 200 ? 10 : 1);
    }

    double after(Optimizer optimizer, ToDoubleFunction<DeviceMatrix> figure, int rounds) {
      for (int t = 0; t < rounds; t++) {
        optimizer.step();
      }
      return figure.applyAsDouble(optimizer.parameters());
    }

    /** The cost of a target, and the figure after all rounds. */
    Followed follow(
        Optimizer optimizer, ToDoubleFunction<DeviceMatrix> figure, double target, int rounds) {
      Cost cost = until(optimizer, figure, target, rounds);
      int left = Math.toIntExact(rounds - optimizer.round());
      return new Followed(cost, after(optimizer, figure, left));
    }

    /** The cheapest run over a grid. */
    Cost best(
        double[] grid,
        MixingMatrix w,
        Maker maker,
        ToDoubleFunction<DeviceMatrix> figure,
        double target,
        int rounds) {
      Cost best = Cost.NONE;
      for (double value : grid) {
        try (Network network = network(w);
            DeviceMatrix zero = start();
            Optimizer optimizer = maker.create(network, zero, value)) {
          best = best.orBetter(until(optimizer, figure, target, rounds));
        }
      }
      return best;
    }

    @Override
    public void close() {
      problem.close();
      rows.close();
      gradients.close();
      mean.close();
    }
  }

  private interface Maker {
    Optimizer create(Network network, DeviceMatrix start, double value);
  }

  /** Few rounds of GIANT where gradient descent is far away after a thousand. */
  static Measurement giant(Setting setting) {
    try (Bench bench = new Bench(setting);
        Network network = Bench.network(RING);
        Network other = Bench.network(RING);
        DeviceMatrix zero = bench.start();
        Problem frozen = bench.frozen()) {
      Problem problem = setting.sabotaged() ? frozen : bench.problem;
      Measurement measurement = Measurement.under(DATA + "; target |grad F| < 1e-6");
      try (Optimizer giant = Giant.builder(problem, network, zero).build();
          Optimizer descent = descent(bench, other, zero, 1, 0)) {
        measurement =
            measurement
                .with("giantAfter10", bench.after(giant, bench::gradientAtMean, 10))
                .with("descentAfter1000", bench.after(descent, bench::gradientAtMean, 1000));
      }
      if (setting.sabotaged()) {
        return measurement;
      }
      for (boolean sequential : new boolean[] {false, true}) {
        measurement =
            bench
                .best(
                    new double[] {1},
                    RING,
                    (w, x, value) -> Giant.builder(problem, w, x).sequential(sequential).build(),
                    bench::gradientAtMean,
                    1e-6,
                    100)
                .addTo(measurement, sequential ? "giantSequential" : "giant");
      }
      measurement =
          bench
              .best(
                  new double[] {1},
                  RING,
                  (w, x, value) -> Lbfgs.builder(bench.problem, w, x).build(),
                  bench::gradientAtMean,
                  1e-6,
                  1000)
              .addTo(measurement, "lbfgs");
      return firstOrder(bench).addTo(measurement, "firstOrder");
    }
  }

  /** Gradient descent on all data, the best step and momentum of a grid. */
  private static Cost firstOrder(Bench bench) {
    Cost best = Cost.NONE;
    for (double momentum : momenta(bench.setting)) {
      best =
          best.orBetter(
              bench.best(
                  grid(bench.setting),
                  RING,
                  (w, x, step) -> descent(bench, w, x, step, momentum),
                  bench::gradientAtMean,
                  1e-6,
                  bench.setting.pick(1000, 30_000)));
    }
    return best;
  }

  /** Gradient descent on the mean gradient with a step in units of 1 / L. */
  private static Optimizer descent(
      Bench bench, Network network, DeviceMatrix start, double step, double momentum) {
    double size = step / bench.smoothness;
    return CentralSgd.builder(bench.problem, network, start)
        .rule(momentum == 0 ? new StepRule.Sgd(size) : new StepRule.Nesterov(size, momentum))
        .build();
  }

  /** DINGO's gradient never grows, and it is GIANT while both take whole steps. */
  static Measurement dingo(Setting setting) {
    try (Bench bench = new Bench(setting);
        Network one = Bench.network(RING);
        Network two = Bench.network(RING);
        DeviceMatrix zero = bench.start();
        Problem frozen = bench.frozen()) {
      Problem problem = setting.sabotaged() ? frozen : bench.problem;
      double growth = Double.NEGATIVE_INFINITY;
      double apart = 0;
      int whole = 0;
      int pseudoInverses = 0;
      boolean together = true;
      // Systems solved as far as f64 goes: else two solvers that stop at 1e-4 differ by so much.
      try (Dingo dingo =
              Dingo.builder(problem, one, zero).tolerance(1e-13).solverIterations(200).build();
          Giant giant =
              Giant.builder(bench.problem, two, zero)
                  .tolerance(1e-13)
                  .solverIterations(200)
                  .build()) {
        double before = bench.gradientAtMean(dingo.parameters());
        for (int t = 0; t < 12; t++) {
          dingo.step();
          giant.step();
          double now = bench.gradientAtMean(dingo.parameters());
          growth = Math.max(growth, now / before - 1);
          before = now;
          pseudoInverses += dingo.lastCase() == Dingo.Case.PSEUDO_INVERSES ? 1 : 0;
          together &= dingo.lastStep() == 1 && giant.lastStep() == 1;
          if (together) {
            whole++;
            double[] a = dingo.parameters().toDoubles();
            double[] b = giant.parameters().toDoubles();
            for (int k = 0; k < a.length; k++) {
              apart = Math.max(apart, Math.abs(a[k] - b[k]) / norm(b));
            }
          }
        }
      }
      Measurement measurement =
          Measurement.under(DATA + "; 12 rounds; target |grad F| < 1e-6")
              .with("growth", growth)
              .with("wholeSteps", whole)
              .with("apartFromGiant", apart)
              .with("case1", pseudoInverses);
      if (setting.sabotaged()) {
        return measurement;
      }
      for (boolean batched : new boolean[] {false, true}) {
        measurement =
            bench
                .best(
                    new double[] {1},
                    RING,
                    (w, x, value) -> Dingo.builder(problem, w, x).batched(batched).build(),
                    bench::gradientAtMean,
                    1e-6,
                    100)
                .addTo(measurement, batched ? "dingoBatched" : "dingo");
      }
      return firstOrder(bench).addTo(measurement, "firstOrder");
    }
  }

  /** More terms of the series bring Network Newton nearer to the penalised optimum. */
  static Measurement networkNewton(Setting setting) {
    double alpha = 0.01;
    double target = 5e-3;
    try (Bench bench = new Bench(setting)) {
      ToDoubleFunction<DeviceMatrix> figure = x -> bench.penalisedGradient(x, alpha);
      Followed[] runs = new Followed[4];
      for (int k = 0; k < 4; k++) {
        int terms = setting.sabotaged() ? 0 : k - 1;
        try (Network network = Bench.network(RING);
            DeviceMatrix zero = bench.start();
            Optimizer optimizer =
                k == 0
                    ? descentOnPenalty(bench, network, zero, alpha)
                    : NetworkNewton.builder(bench.problem, network, zero)
                        .penalty(alpha)
                        .terms(terms)
                        .build()) {
          runs[k] = bench.follow(optimizer, figure, target, 200);
        }
      }
      Measurement measurement =
          Measurement.under(
                  DATA + "; lazy ring, alpha = 0.01, 200 rounds; target |grad Psi| < 5e-3")
              .with("nn0OverDgd", runs[1].after() / runs[0].after())
              .with("nn1OverNn0", runs[2].after() / runs[1].after())
              .with("nn2OverNn1", runs[3].after() / runs[2].after())
              .with("nn2OverDgd", runs[3].after() / runs[0].after())
              .with("dgd", runs[0].after())
              .with("nn2", runs[3].after());
      if (setting.sabotaged()) {
        return measurement;
      }
      // All four take their best step of the same grid; the whole step has been run.
      Cost[] best = Arrays.stream(runs).map(Followed::cost).toArray(Cost[]::new);
      for (double step : otherSteps(setting)) {
        for (int k = 0; k < 4; k++) {
          int terms = k - 1;
          // Gradient descent on Psi with a step is one with weights I - step (I - W).
          best[k] =
              best[k].orBetter(
                  bench.best(
                      new double[] {step},
                      k == 0 ? stretched(step) : RING,
                      (w, x, value) ->
                          terms < 0
                              ? descentOnPenalty(bench, w, x, value * alpha)
                              : NetworkNewton.builder(bench.problem, w, x)
                                  .penalty(alpha)
                                  .terms(terms)
                                  .stepSize(value)
                                  .build(),
                      figure,
                      target,
                      200));
        }
      }
      for (int k = 1; k < 4; k++) {
        measurement = best[k].addTo(measurement, "nn" + (k - 1));
      }
      return best[0].addTo(measurement, "firstOrder");
    }
  }

  private static Optimizer descentOnPenalty(
      Bench bench, Network network, DeviceMatrix start, double step) {
    return DecentralizedSgd.builder(bench.problem, network, start)
        .form(DecentralizedSgd.Form.CTA)
        .stepSize(step)
        .build();
  }

  /** Step sizes on the penalised problem that are tried beside 1, of all methods. */
  private static double[] otherSteps(Setting setting) {
    return setting.scale() == Setting.Scale.CI
        ? new double[] {1.5}
        : new double[] {0.5, 0.75, 1.25, 1.5, 2};
  }

  private static MixingMatrix stretched(double eta) {
    double[][] w = RING.toDense();
    for (int i = 0; i < NODES; i++) {
      for (int j = 0; j < NODES; j++) {
        w[i][j] = (i == j ? 1 : 0) - eta * ((i == j ? 1 : 0) - w[i][j]);
      }
    }
    return MixingMatrix.ofDense(MixingMatrix.Kind.DOUBLY_STOCHASTIC, w);
  }

  /** ESOM reaches the optimum where gradient descent stops beside it. */
  static Measurement esom(Setting setting) {
    try (Bench bench = new Bench(setting)) {
      Measurement measurement =
          Measurement.under(
              DATA
                  + "; lazy ring, alpha = 1, epsilon = 0.1, 400 rounds (800 at scale full), systems to 1e-2, D-SGD 2000 with step 0.01; target |grad F| < 1e-4 at the mean");
      double target = 1e-4;
      int rounds = setting.pick(1000, 20_000);
      Cost[] costs = new Cost[2];
      for (int k = 0; k < 2; k++) {
        try (Network network = Bench.network(RING);
            DeviceMatrix zero = bench.start();
            Optimizer optimizer = esom(bench, network, zero, 2 * k)) {
          int all = setting.pick(400, 800);
          Followed run = bench.follow(optimizer, bench::gradientAtMean, target, all);
          costs[k] = run.cost();
          measurement = measurement.with("esom" + 2 * k, run.after());
        }
      }
      try (Network network = Bench.network(RING);
          DeviceMatrix zero = bench.start();
          Optimizer optimizer = descentOnPenalty(bench, network, zero, 0.01)) {
        measurement = measurement.with("dgd", bench.after(optimizer, bench::gradientAtMean, 2000));
      }
      if (setting.sabotaged()) {
        return measurement;
      }
      measurement = costs[1].addTo(costs[0].addTo(measurement, "esom0"), "esom2");
      measurement =
          bench
              .best(
                  grid(setting),
                  RING,
                  (w, x, step) ->
                      Extra.builder(bench.problem, w, x).stepSize(step / bench.smoothness).build(),
                  bench::gradientAtMean,
                  target,
                  rounds)
              .addTo(measurement, "extra");
      return bench
          .best(
              grid(setting),
              RING,
              (w, x, step) ->
                  GradientTracking.builder(bench.problem, w, x)
                      .stepSize(step / bench.smoothness)
                      .build(),
              bench::gradientAtMean,
              target,
              rounds)
          .addTo(measurement, "dsgt");
    }
  }

  /** ESOM, or without its duals Network Newton on the same penalty. */
  private static Optimizer esom(Bench bench, Network network, DeviceMatrix start, int terms) {
    double alpha = 1;
    // The fixed point does not depend on how exactly the directions are found.
    double tolerance = 1e-2;
    if (bench.setting.sabotaged()) {
      return NetworkNewton.builder(bench.problem, network, start)
          .penalty(1 / alpha)
          .terms(terms)
          .tolerance(tolerance)
          .build();
    }
    return Esom.builder(bench.problem, network, start)
        .penalty(alpha)
        .proximal(0.1)
        .terms(terms)
        .tolerance(tolerance)
        .build();
  }
}
