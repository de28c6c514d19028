package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.CurvatureRule;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.optimizer.CentralSgd;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.LocalCurvature;
import dev.kith.optimizer.Oasis;
import dev.kith.optimizer.Optimizer;
import dev.kith.optimizer.ScaledLocalSgd;
import dev.kith.problem.LogisticRegression;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import dev.kith.problem.Value;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.function.DoubleFunction;
import java.util.function.ToDoubleFunction;

/** Experiments on steps that are scaled by the diagonal of a Hessian. */
final class ScalingClaims {
  /** What first-order rules are tuned over: step sizes over the largest curvature. */
  private static final double[] GRID = {0.03, 0.1, 0.3, 1, 1.9};

  private ScalingClaims() {}

  /** Makes an optimizer. */
  private interface Method {
    Optimizer create(Problem problem, Network network, DeviceMatrix start);
  }

  // ---- AdaHessian

  private static final int PLAIN_DIMENSION = 50;
  private static final int PLAIN_NODES = 8;

  /** Rounds of AdaHessian against the condition of a diagonal quadratic. */
  static Measurement condition(Setting setting) {
    int most = setting.pick(1000, 100_000);
    Measurement measured =
        Measurement.under(
            "diagonal quadratics, d = 50, curvatures 1 / condition to 1 (log-spaced) times 1 + 0.2"
                + " u at every node, common minimiser, ring of 8, a normal start, AdaHessian"
                + " with step 0.1 and epsilon 1e-8, until f is 1e-10 of its start or for "
                + most
                + " rounds; first-order rules with the best of the steps 0.03, 0.1, 0.3, 1, 1.9, left"
                + " out where none gets there; f64");
    double least = Double.POSITIVE_INFINITY;
    double greatest = 0;
    for (int condition : new int[] {10, 100, 10_000}) {
      Cost cost = scaled(setting, condition, most);
      double rounds = cost.reached() ? cost.rounds() : Double.POSITIVE_INFINITY;
      least = Math.min(least, rounds);
      greatest = Math.max(greatest, rounds);
      measured = cost.addTo(measured, "adahessian" + condition);
      if (!setting.sabotaged()) {
        Cost plain = best(setting, condition, most, eta -> new StepRule.Sgd(eta));
        Cost momentum = best(setting, condition, most, eta -> new StepRule.HeavyBall(eta, 0.9));
        Cost adam = best(setting, condition, most, eta -> new StepRule.Adam(eta, 0.9, 0.999, 1e-8));
        measured = plain.addTo(measured, "sgd" + condition);
        measured = momentum.addTo(measured, "heavyBall" + condition);
        measured = adam.addTo(measured, "adam" + condition);
      }
    }
    return measured.with("countDifference", greatest - least);
  }

  private static Cost scaled(Setting setting, int condition, int most) {
    LocalCurvature rule = LocalCurvature.of(new CurvatureRule.AdaHessian(0.1, 0.9, 0.999, 1e-8));
    return plainRun(
        setting,
        condition,
        most,
        setting.sabotaged(),
        (p, w, x) -> DecentralizedSgd.builder(p, w, x).rule(rule).build());
  }

  private static Cost best(
      Setting setting, int condition, int most, DoubleFunction<StepRule> rule) {
    Cost best = Cost.NONE;
    for (double eta : GRID) {
      Cost cost =
          plainRun(
              setting,
              condition,
              most,
              false,
              (p, w, x) -> DecentralizedSgd.builder(p, w, x).rule(rule.apply(eta)).build());
      best = best.orBetter(cost);
    }
    return best;
  }

  private static Cost plainRun(
      Setting setting, int condition, int most, boolean flat, Method method) {
    MixingMatrix w = WeightRule.parse("metropolis").weights(Topologies.ring(PLAIN_NODES));
    try (Quadratic quadratic =
            diagonal(PLAIN_NODES, PLAIN_DIMENSION, 1.0 / condition)
                .build(setting.queue(), DType.F64);
        Problem problem = flat ? new FlatCurvature<>(quadratic) : quadratic;
        Network network = Network.builder(MixingSchedule.constant(w)).build();
        DeviceMatrix start = start(setting, PLAIN_DIMENSION);
        Optimizer optimizer = method.create(problem, network, start)) {
      double target = 1e-10 * mean(quadratic, optimizer.parameters());
      return Cost.until(optimizer, x -> mean(quadratic, x), target, most, 1);
    }
  }

  /** H_i = diag(h_k (1 + 0.2 u_ik)) with h from {@code least} to 1, all with the minimiser 0. */
  private static Quadratic.Builder diagonal(int nodes, int d, double least) {
    double[][] curvatures = new double[nodes][d * d];
    for (int i = 0; i < nodes; i++) {
      SharedRandom random = new SharedRandom(1, Stream.DATA, i, 0);
      for (int k = 0; k < d; k++) {
        double h = Math.pow(least, 1 - k / (d - 1.0));
        curvatures[i][k * d + k] = h * (1 + 0.2 * random.uniform(k));
      }
    }
    return Quadratic.of(curvatures, new double[nodes][d]);
  }

  /** Normal numbers, so that no step size leads to 0 by itself. */
  private static DeviceMatrix start(Setting setting, int d) {
    SharedRandom random = new SharedRandom(1, Stream.DATA, 0, 2);
    double[] values = new double[d];
    Arrays.setAll(values, random::normal);
    return DeviceMatrix.row(setting.queue(), values);
  }

  /** (1/n) sum_i f_i(x_i). */
  private static double mean(Value problem, DeviceMatrix x) {
    try (DeviceMatrix values = x.like(1, x.rows(), DType.F64)) {
      problem.values(x, values);
      return Arrays.stream(values.toDoubles()).average().orElseThrow();
    }
  }

  /** The figure after all rounds, or where the run has diverged. */
  private static double after(
      Optimizer optimizer, ToDoubleFunction<DeviceMatrix> figure, int rounds) {
    while (optimizer.round() < rounds
        && figure.applyAsDouble(optimizer.parameters()) < Cost.DIVERGED) {
      optimizer.step();
    }
    return figure.applyAsDouble(optimizer.parameters());
  }

  // ---- OASIS

  private static final int LOGISTIC_NODES = 10;
  private static final int LOGISTIC_SAMPLES = 1000;
  private static final int LOGISTIC_DIMENSION = 50;
  private static final int LOGISTIC_ROUNDS = 500;

  /** How a run ended. */
  private record Race(double gap, Cost cost) {}

  /** OASIS beside adaptive and fixed gradient descent on badly scaled logistic regression. */
  static Measurement oasis(Setting setting) {
    int seeds = setting.pick(1, 3);
    Method untuned = (p, w, x) -> Oasis.builder(p, w, x).fullGradients().build();
    double worst = 0;
    double ratio = Double.POSITIVE_INFINITY;
    double[] descent = {Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY};
    double adaptive = Double.POSITIVE_INFINITY;
    double momentum = Double.POSITIVE_INFINITY;
    double initial = 0;
    double flatness = 0;
    Cost cost = Cost.NONE;
    Cost tuned = Cost.NONE;
    for (int seed = 1; seed <= seeds; seed++) {
      LogisticRegression.Builder data = logistic(seed);
      Reference reference = reference(setting, seed);
      flatness = Math.max(flatness, reference.slope);
      initial = Math.max(initial, Math.log(2) - reference.value);
      Race own = race(setting, data, setting.sabotaged(), reference, untuned);
      Race flat = race(setting, data, true, reference, untuned);
      worst = Math.max(worst, own.gap);
      adaptive = Math.min(adaptive, flat.gap);
      // Below 1e-16 of a value near 0.2 there is nothing left to compare.
      ratio = Math.min(ratio, flat.gap / Math.max(own.gap, 1e-16));
      cost = seed == 1 ? own.cost : cost;
      for (double share : setting.sabotaged() ? new double[0] : GRID) {
        double eta = share / reference.smoothness;
        Race plain = race(setting, data, false, reference, central(new StepRule.Sgd(eta)));
        Race fast = race(setting, data, false, reference, central(new StepRule.Nesterov(eta, 0.9)));
        descent[0] = share == 1 ? Math.min(descent[0], plain.gap) : descent[0];
        descent[1] = Math.min(descent[1], plain.gap);
        momentum = Math.min(momentum, fast.gap);
        tuned = tuned.orBetter(fast.cost);
      }
    }
    Measurement measured =
        Measurement.under(
                "logistic regression, n = 1000 in 10 nodes, d = 50, features scaled by 10^-1.5 to"
                    + " 10^1.5 (log-spaced), lambda = 1/n, beta = 0.95, alpha = 1e-5, 500 rounds of"
                    + " full gradients, seeds 1 to "
                    + seeds
                    + ", f64; cost is that of a gap of 1e-6, first-order rules with the best of the"
                    + " steps 0.03, 0.1, 0.3, 1, 1.9 over L")
            .with("oasisGap", worst)
            .with("adgdOverOasis", ratio)
            .with("adgdGap", adaptive)
            .with("gdGap", descent[0])
            .with("tunedGdGap", descent[1])
            .with("tunedNesterovGap", momentum)
            .with("initialGap", initial)
            .with("referenceSlope", flatness);
    measured = cost.addTo(measured, "oasis");
    return tuned.addTo(measured, "nesterov");
  }

  private static Method central(StepRule rule) {
    return (p, w, x) -> CentralSgd.builder(p, w, x).rule(rule).build();
  }

  private static LogisticRegression.Builder logistic(long seed) {
    return logistic(seed, LOGISTIC_NODES);
  }

  /**
   * Normal features b_c, scaled; the label is 1 with probability 1 / (1 + exp(-sum 0.6 w_c b_c)), w
   * normal. The scales are in the records alone, so what can be learnt does not depend on them.
   */
  private static LogisticRegression.Builder logistic(long seed, int nodes) {
    int d = LOGISTIC_DIMENSION;
    int each = LOGISTIC_SAMPLES / nodes;
    SharedRandom truth = new SharedRandom(seed, Stream.DATA, 0, 1);
    SharedRandom random = new SharedRandom(seed, Stream.DATA, 0, 0);
    double[][][] records = new double[nodes][each][d];
    double[][] labels = new double[nodes][each];
    for (int sample = 0; sample < LOGISTIC_SAMPLES; sample++) {
      double[] record = records[sample / each][sample % each];
      double margin = 0;
      for (int c = 0; c < d; c++) {
        double b = random.normal((long) sample * (d + 1) + c);
        margin += 0.6 * truth.normal(c) * b;
        record[c] = Math.pow(10, -1.5 + 3 * c / (d - 1.0)) * b;
      }
      double p = 1 / (1 + Math.exp(-margin));
      labels[sample / each][sample % each] = truth.uniform(1000 + sample) < p ? 1 : -1;
    }
    return LogisticRegression.of(records, labels).regularization(1.0 / LOGISTIC_SAMPLES);
  }

  /**
   * The least value, how steep it is where it was found, and L.
   *
   * @param slope |gradient|; the value is at most slope^2 / (2 lambda) above the minimum
   */
  private record Reference(double value, double slope, double smoothness) {}

  /** OASIS alone with all samples, until nothing changes. */
  private static Reference reference(Setting setting, long seed) {
    try (LogisticRegression problem = logistic(seed, 1).build(setting.queue(), DType.F64);
        Network alone = Network.builder(MixingSchedule.constant(MixingMatrix.identity(1))).build();
        DeviceMatrix start =
            DeviceMatrix.allocate(setting.queue(), 1, LOGISTIC_DIMENSION, DType.F64);
        Oasis optimizer = Oasis.builder(problem, alone, start).fullGradients().build();
        DeviceMatrix v = start.like();
        DeviceMatrix hv = start.like()) {
      // The Hessian at 0 is the largest one: s (1 - s) = 1/4 for every sample.
      v.fill(1);
      double smoothness = 0;
      for (int k = 0; k < 100; k++) {
        problem.hessianVector(start, v, hv);
        smoothness = Math.sqrt(Reduction.squares(hv)[0] / Reduction.squares(v)[0]);
        Mixing.combine(Expression.outer(1 / Math.sqrt(Reduction.squares(hv)[0]), hv), v);
      }
      double value = Double.POSITIVE_INFINITY;
      double slope = Double.POSITIVE_INFINITY;
      for (int k = 0; k < 1500 && slope > 1e-13; k++) {
        optimizer.step();
        problem.gradient(optimizer.parameters(), hv, 0);
        double now = Math.sqrt(Reduction.squares(hv)[0]);
        if (now < slope) {
          slope = now;
          value = mean(problem, optimizer.parameters());
        }
      }
      return new Reference(value, slope, smoothness);
    }
  }

  private static Race race(
      Setting setting,
      LogisticRegression.Builder data,
      boolean flat,
      Reference reference,
      Method method) {
    MixingMatrix uniform = MixingMatrix.uniform(LOGISTIC_NODES);
    try (LogisticRegression own = data.build(setting.queue(), DType.F64);
        Problem problem = flat ? new FlatCurvature<>(own) : own;
        Network network = Network.builder(MixingSchedule.constant(uniform)).build();
        DeviceMatrix start =
            DeviceMatrix.allocate(setting.queue(), 1, LOGISTIC_DIMENSION, DType.F64);
        Optimizer optimizer = method.create(problem, network, start)) {
      ToDoubleFunction<DeviceMatrix> value = x -> mean(own, x);
      Cost cost = Cost.until(optimizer, value, reference.value + 1e-6, LOGISTIC_ROUNDS, 1);
      return new Race(Math.abs(after(optimizer, value, LOGISTIC_ROUNDS) - reference.value), cost);
    }
  }

  // ---- SAVIC

  private static final int LOCAL_NODES = 10;
  private static final int LOCAL_STEPS = 10;
  private static final int LOCAL_DIMENSION = 50;
  private static final int LOCAL_ROUNDS = 50;

  /** Scaled local SGD beside local SGD and local Adam on badly scaled quadratics. */
  static Measurement savic(Setting setting) {
    Cost[] cost = {Cost.NONE, Cost.NONE, Cost.NONE, Cost.NONE};
    double scaled =
        local(
            setting,
            setting.sabotaged(),
            cost,
            0,
            (p, w, x) ->
                ScaledLocalSgd.builder(p, w, x)
                    .scaling(ScaledLocalSgd.Scaling.OASIS)
                    .alpha(1e-8)
                    .stepSize(0.5)
                    .localSteps(LOCAL_STEPS)
                    .build());
    double[] best = new double[4];
    Arrays.fill(best, Double.POSITIVE_INFINITY);
    for (double eta : GRID) {
      StepRule[] rules = {
        new StepRule.Sgd(eta),
        new StepRule.HeavyBall(eta, 0.9),
        new StepRule.Adam(eta, 0.9, 0.999, 1e-8)
      };
      for (int k = 0; k < rules.length; k++) {
        StepRule rule = rules[k];
        double error =
            local(
                setting,
                false,
                cost,
                k + 1,
                (p, w, x) ->
                    CentralSgd.builder(p, w, x).rule(rule).localSteps(LOCAL_STEPS).build());
        best[k + 1] = Math.min(best[k + 1], error);
      }
    }
    Measurement measured =
        Measurement.under(
                "diagonal quadratics, d = 50, curvatures 1e-4 to 1 (log-spaced) times 1 + 0.2 u at"
                    + " every node, common minimiser, M = 10, H = 10, SAVIC with OASIS's scaling and"
                    + " step 0.5, "
                    + LOCAL_ROUNDS
                    + " rounds, largest error of a number of the common model, a normal start;"
                    + " local rules with the best of the steps 0.03, 0.1, 0.3, 1, 1.9; cost is that of"
                    + " an error of 1e-6, left out where none gets there; f64")
            .with("savicError", scaled)
            .with("localSgdError", best[1])
            .with("localHeavyBallError", best[2])
            .with("localAdamError", best[3]);
    measured = cost[0].addTo(measured, "savic");
    measured = cost[1].addTo(measured, "localSgd");
    measured = cost[2].addTo(measured, "localHeavyBall");
    return cost[3].addTo(measured, "localAdam");
  }

  /** The error after all rounds; keeps the cheapest cost of an error of 1e-6. */
  private static double local(
      Setting setting, boolean flat, Cost[] cost, int which, Method method) {
    MixingMatrix uniform = MixingMatrix.uniform(LOCAL_NODES);
    try (Quadratic quadratic =
            diagonal(LOCAL_NODES, LOCAL_DIMENSION, 1e-4).build(setting.queue(), DType.F64);
        Problem problem = flat ? new FlatCurvature<>(quadratic) : quadratic;
        Network network = Network.builder(MixingSchedule.constant(uniform)).build();
        DeviceMatrix start = start(setting, LOCAL_DIMENSION);
        Optimizer optimizer = method.create(problem, network, start)) {
      ToDoubleFunction<DeviceMatrix> error =
          x -> Arrays.stream(x.toDoubles()).map(Math::abs).max().orElse(0);
      cost[which] = cost[which].orBetter(Cost.until(optimizer, error, 1e-6, LOCAL_ROUNDS, 1));
      return after(optimizer, error, LOCAL_ROUNDS);
    }
  }
}
