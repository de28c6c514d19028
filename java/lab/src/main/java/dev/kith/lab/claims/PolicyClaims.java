package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.optimizer.CentralSgd;
import dev.kith.optimizer.Optimizer;
import dev.kith.optimizer.TrustRegionPolicy;
import dev.kith.problem.GaussNewtonVector;
import dev.kith.problem.PolicySurrogate;
import dev.kith.problem.Problem;
import dev.kith.problem.TabularPolicy;

/** Experiments on policies. */
final class PolicyClaims {
  private static final int STATES = 10;
  private static final int ACTIONS = 4;
  private static final int UPDATES = 50;
  private static final double RADIUS = 0.01;
  private static final double[] STEPS = {1, 3, 10, 30, 100};

  private PolicyClaims() {}

  /** A policy problem that claims to have the identity as its Fisher matrix. */
  private record FlatFisher(TabularPolicy problem)
      implements Problem, GaussNewtonVector, PolicySurrogate {
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
    public void gaussNewtonVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
      out.copyFrom(v);
    }

    @Override
    public void improvements(DeviceMatrix old, DeviceMatrix x, DeviceMatrix out) {
      problem.improvements(old, x, out);
    }

    @Override
    public void divergences(DeviceMatrix old, DeviceMatrix x, DeviceMatrix out) {
      problem.divergences(old, x, out);
    }

    @Override
    public void close() {
      problem.close();
    }
  }

  /** How a policy improved. */
  private record Climb(
      double first, double tenth, double last, int violations, double divergence, double rounds) {}

  /** Makes an optimizer. */
  private interface Method {
    Optimizer create(Problem problem, Network network, DeviceMatrix start);
  }

  /** TRPO beside plain policy gradient on a random process with exact advantages. */
  static Measurement monotone(Setting setting) {
    int violations = 0;
    double divergence = 0;
    double share = Double.POSITIVE_INFINITY;
    double first = 0;
    double tenth = 0;
    double last = 0;
    double best = 0;
    double rounds = 0;
    double plain = 0;
    double tuned = 0;
    double tunedRounds = Double.NaN;
    int seeds = setting.pick(1, 5);
    for (int seed = 1; seed <= seeds; seed++) {
      double optimum = process(seed).optimalReturns()[0];
      Climb trust =
          climb(
              setting,
              seed,
              setting.sabotaged(),
              optimum,
              (p, w, x) -> TrustRegionPolicy.builder(p, w, x).radius(RADIUS).damping(1e-3).build());
      violations += trust.violations;
      divergence = Math.max(divergence, trust.divergence);
      double gain = (trust.last - trust.first) / (optimum - trust.first);
      if (gain < share) {
        share = gain;
        first = trust.first;
        tenth = trust.tenth;
        last = trust.last;
        best = optimum;
        rounds = trust.rounds;
        plain = 0;
        tuned = 0;
        tunedRounds = Double.NaN;
        for (double eta : STEPS) {
          Climb descent =
              climb(
                  setting,
                  seed,
                  false,
                  optimum,
                  (p, w, x) -> CentralSgd.builder(p, w, x).stepSize(eta).build());
          plain = eta == 1 ? descent.last : plain;
          tuned = Math.max(tuned, descent.last);
          tunedRounds =
              Double.isNaN(tunedRounds) || descent.rounds < tunedRounds
                  ? descent.rounds
                  : tunedRounds;
        }
      }
    }
    Measurement measured =
        Measurement.under(
                "random Markov decision process, 10 states, 4 actions, discount 0.9, transitions"
                    + " Dirichlet(0.3), uniform rewards, exact advantages, damping 1e-3, delta = 0.01,"
                    + " 10 iterations of conjugate gradient, 50 updates, seeds 1 to "
                    + seeds
                    + ", policy gradient with steps 1, 3, 10, 30, 100, returns of the seed with the"
                    + " least gain, f64; rounds until 99.9 percent of the gain,"
                    + " left out where that is not reached")
            .with("violations", violations)
            .with("largestDivergence", divergence)
            .with("gainShare", share)
            .with("startReturn", first)
            .with("returnAfter10", tenth)
            .with("returnAfter50", last)
            .with("optimalReturn", best)
            .with("policyGradientReturn", plain)
            .with("tunedPolicyGradientReturn", tuned);
    measured = Double.isNaN(rounds) ? measured : measured.with("trpoRounds", rounds);
    return Double.isNaN(tunedRounds)
        ? measured
        : measured.with("tunedPolicyGradientRounds", tunedRounds);
  }

  private static TabularPolicy process(long seed) {
    return TabularPolicy.random(1, STATES, ACTIONS, 0.9, 0.3, seed).build();
  }

  private static Climb climb(
      Setting setting, long seed, boolean flat, double optimum, Method method) {
    try (TabularPolicy policy = process(seed);
        Problem problem = flat ? new FlatFisher(policy) : policy;
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.identity(1))).build();
        DeviceMatrix start =
            DeviceMatrix.allocate(setting.queue(), 1, STATES * ACTIONS, DType.F64);
        DeviceMatrix out = DeviceMatrix.allocate(setting.queue(), 1, 1, DType.F64);
        Optimizer optimizer = method.create(problem, network, start)) {
      double first = gain(policy, optimizer, out);
      double before = first;
      double tenth = first;
      double divergence = 0;
      int violations = 0;
      double rounds = Double.NaN;
      for (int k = 1; k <= UPDATES; k++) {
        optimizer.step();
        double now = gain(policy, optimizer, out);
        // At the optimum nothing is left but rounding.
        violations += now < before - 1e-12 ? 1 : 0;
        if (optimizer instanceof TrustRegionPolicy trust) {
          divergence = Math.max(divergence, trust.divergence().orElse(0));
        }
        tenth = k == 10 ? now : tenth;
        if (Double.isNaN(rounds) && now - first >= 0.999 * (optimum - first)) {
          rounds = k;
        }
        before = now;
      }
      return new Climb(first, tenth, before, violations, divergence, rounds);
    }
  }

  private static double gain(TabularPolicy policy, Optimizer optimizer, DeviceMatrix out) {
    policy.values(optimizer.parameters(), out);
    return -out.get(0, 0);
  }
}
