package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.BilevelProblem;
import dev.kith.problem.LowerCurvature;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * MA-DSBO, decentralized stochastic bilevel optimization with moving averages: minimise (1/n) sum_i
 * f_i(x, y*(x)), where y*(x) minimises the mean of the g_i. No node sees a matrix, and none inverts
 * its own Hessian.
 *
 * <pre>
 * T times:  V' = W V + G - G_before,  Y' = W Y - beta V'       G_i = dg_i/dy (x_i, y_i)
 *           without tracking: Y' = W Y - beta G
 * N times:  Z' = W Z - gamma D,  S' = H Z' - B,  D' = W D + S' - S   from Z = 0, D = S = -B
 *           H_i = d2g_i/dy2, B_i = df_i/dy: Z solves (mean H) z = mean B
 * U_i = df_i/dx - (d2g_i/dxdy) z_i
 * X' = W X - alpha R,   R' = (1 - theta) R + theta U           from R = 0
 * </pre>
 *
 * <p>Tracking goes on from round to round. With exact derivatives, enough steps and theta = 1 the
 * mean of U is the gradient of the whole; with W = J it is the method with a server. A node sends T
 * q (2 T q with tracking) + (2 N - 1) q + p numbers to each neighbour a round. The lower problem
 * has to be strongly convex in y. With a fixed alpha it stops O(alpha) beside the solution where
 * the U_i differ, as D-SGD does. On a ring, tracking tolerates step sizes beta and gamma of about
 * (1 - rho)^2 / L, rho the second eigenvalue of W.
 *
 * <p>Source: Chen, Huang, Ma, Balasubramanian, "Decentralized Stochastic Bilevel Optimization with
 * Improved per-Iteration Complexity", 2023; reconstructed: structure and oracle are the paper's,
 * the coupling of its step sizes is not taken over, and whether lower steps are tracked is an
 * option.
 */
public final class MaDsbo extends LockstepOptimizer {
  private final BilevelProblem objectives;
  private final LowerCurvature curvature;
  private final Builder settings;
  private final MixingMatrix alone;
  private final UpperAndLower state;
  private final DeviceMatrix average;
  private final DeviceMatrix tracker;
  private final DeviceMatrix gradient;
  private final UpperAndLower gradients;
  private final UpperAndLower point;
  private final DeviceMatrix hypergradient;
  private final DeviceMatrix nextX;
  private final TwoBuffers y;
  private final TwoBuffers v;
  private final TwoBuffers g;
  private final TwoBuffers z;
  private final TwoBuffers d;
  private final TwoBuffers s;

  private MaDsbo(Builder builder, LowerCurvature curvature) {
    super("ma-dsbo", builder.bilevel, builder.network);
    requireWeights(builder.network.schedule().at(0));
    this.objectives = builder.bilevel;
    this.curvature = curvature;
    this.settings = new Builder(builder);
    this.alone = MixingMatrix.identity(builder.network.nodes());
    DeviceMatrix start = start(builder.initial);
    this.state = own(UpperAndLower.of(objectives, start));
    this.gradients = own(UpperAndLower.of(objectives, own(start.like())));
    this.point = own(UpperAndLower.of(objectives, own(start.like())));
    DeviceMatrix upper = state.x();
    DeviceMatrix lower = state.y();
    this.average = own(upper.like());
    this.hypergradient = own(upper.like());
    this.nextX = own(upper.like());
    this.tracker = own(lower.like());
    this.gradient = own(lower.like());
    this.y = own(new TwoBuffers(lower));
    this.v = own(new TwoBuffers(lower));
    this.g = own(new TwoBuffers(lower));
    this.z = own(new TwoBuffers(lower));
    this.d = own(new TwoBuffers(lower));
    this.s = own(new TwoBuffers(lower));
  }

  /**
   * @param problem both levels; {@link LowerCurvature}
   * @param network doubly stochastic weights, for the same nodes as the problem
   * @param initial the start (x, y), localNodes x (p + q) or one row for all nodes; F32 or F64;
   *     copied
   */
  public static Builder builder(BilevelProblem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void requireWeights(MixingMatrix w) {
    if (w.kind() != MixingMatrix.Kind.DOUBLY_STOCHASTIC) {
      throw new IllegalArgumentException(
          "ma-dsbo needs doubly stochastic weights, not a matrix of kind "
              + w.kind()
              + " as in round "
              + round()
              + ": where links fail, take an undirected graph");
    }
    requireAllNodes();
  }

  @Override
  void iterate() {
    solveLower();
    point.x().copyFrom(state.x());
    point.y().copyFrom(y.now());
    solveSystem();
    long draw = round() * (settings.systemSteps + 1L) + settings.systemSteps;
    objectives.gradient(point.both(), gradients.both(), draw);
    curvature.lowerMixedVector(point.x(), point.y(), z.now(), hypergradient, round());
    Mixing.combine(Expression.outer(gradients.x()).plusOuter(-1, hypergradient), hypergradient);
    requireFinite(hypergradient, "the gradient");
    network().mix(Expression.inner(state.x()).plusOuter(-settings.stepSize, average), nextX);
    requireFinite();
    state.x().copyFrom(nextX);
    state.y().copyFrom(y.now());
    tracker.copyFrom(v.now());
    gradient.copyFrom(g.now());
    Mixing.combine(
        Expression.outer(1 - settings.averaging, average)
            .plusOuter(settings.averaging, hypergradient),
        average);
  }

  private void solveLower() {
    y.now().copyFrom(state.y());
    v.now().copyFrom(tracker);
    g.now().copyFrom(gradient);
    for (int t = 0; t < settings.lowerSteps; t++) {
      long draw = round() * settings.lowerSteps + t;
      objectives.lowerGradient(state.x(), y.now(), g.next(), draw);
      DeviceMatrix direction = g.next();
      if (settings.tracked) {
        network()
            .mix(Expression.inner(v.now()).plusOuter(g.next()).plusOuter(-1, g.now()), v.next());
        requireFinite();
        v.flip();
        direction = v.now();
      }
      network()
          .mix(Expression.inner(y.now()).plusOuter(-settings.lowerStepSize, direction), y.next());
      requireFinite();
      y.flip();
      g.flip();
    }
  }

  /** z of (mean H) z = mean B at the point. */
  private void solveSystem() {
    MixingMatrix w = settings.ownSystems ? alone : network().weights();
    long draw = round() * (settings.systemSteps + 1L);
    z.now().fill(0);
    objectives.gradient(point.both(), gradients.both(), draw);
    Mixing.combine(Expression.outer(-1, gradients.y()), s.now());
    d.now().copyFrom(s.now());
    for (int t = 0; t < settings.systemSteps; t++) {
      network()
          .mix(w, Expression.inner(z.now()).plusOuter(-settings.systemStepSize, d.now()), z.next());
      requireFinite();
      z.flip();
      if (t + 1 < settings.systemSteps) {
        curvature.lowerHessianVector(
            point.x(), point.y(), z.now(), s.next(), round() * settings.systemSteps + t);
        objectives.gradient(point.both(), gradients.both(), draw + t + 1);
        Mixing.combine(Expression.outer(s.next()).plusOuter(-1, gradients.y()), s.next());
        network()
            .mix(w, Expression.inner(d.now()).plusOuter(s.next()).plusOuter(-1, s.now()), d.next());
        requireFinite();
        d.flip();
        s.flip();
      }
    }
  }

  /** {@inheritDoc} Rows (x, y). */
  @Override
  public DeviceMatrix parameters() {
    return state.both();
  }

  /** R, the moving average of the gradients, localNodes x p; valid until the next step. */
  public DeviceMatrix average() {
    return average;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> all = new LinkedHashMap<>();
    all.put("xy", state.both());
    all.put("average", average);
    all.put("tracker", tracker);
    all.put("gradient", gradient);
    return all;
  }

  @Override
  String variant() {
    return "lower steps %d, system steps %d%s%s"
        .formatted(
            settings.lowerSteps,
            settings.systemSteps,
            settings.tracked ? "" : ", untracked",
            settings.ownSystems ? ", own systems" : "");
  }

  /** Settings of {@link MaDsbo}. The defaults are those of the published exact test. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private final BilevelProblem bilevel;
    private double lowerStepSize = 0.05;
    private double systemStepSize = 0.05;
    private double averaging = 0.2;
    private int lowerSteps = 10;
    private int systemSteps = 20;
    private boolean tracked = true;
    private boolean ownSystems;

    private Builder(BilevelProblem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
      this.bilevel = problem;
      this.stepSize = 0.02;
    }

    private Builder(Builder other) {
      this(other.bilevel, other.network, other.initial);
      this.stepSize = other.stepSize;
      this.lowerStepSize = other.lowerStepSize;
      this.systemStepSize = other.systemStepSize;
      this.averaging = other.averaging;
      this.lowerSteps = other.lowerSteps;
      this.systemSteps = other.systemSteps;
      this.tracked = other.tracked;
      this.ownSystems = other.ownSystems;
    }

    /** beta and T, the steps on y in a round. Default: 10 of 0.05. */
    public Builder lowerSteps(int count, double stepSize) {
      requireSteps(count, stepSize);
      this.lowerSteps = count;
      this.lowerStepSize = stepSize;
      return this;
    }

    /** gamma and N, the steps on z in a round. Default: 20 of 0.05. */
    public Builder systemSteps(int count, double stepSize) {
      requireSteps(count, stepSize);
      this.systemSteps = count;
      this.systemStepSize = stepSize;
      return this;
    }

    static void requireSteps(int count, double stepSize) {
      if (count < 1 || !(stepSize > 0 && stepSize < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            count + " steps of " + stepSize + " lead nowhere: give at least 1, finite and above 0");
      }
    }

    /** theta, the weight of the newest gradient, above 0 and up to 1. Default: 0.2. */
    public Builder averaging(double theta) {
      if (!(theta > 0 && theta <= 1)) {
        throw new IllegalArgumentException(
            "a weight of " + theta + " does not lie above 0 and up to 1: give one that does");
      }
      this.averaging = theta;
      return this;
    }

    /** Steps on y with the own gradient, at half the messages and beside the solution. */
    public Builder untracked() {
      this.tracked = false;
      return this;
    }

    /**
     * Every node solves the system of its own H_i and B_i, without messages. The mean of what comes
     * out is <b>not</b> the gradient where the H_i differ: it is here to be compared with.
     */
    public Builder ownSystems() {
      this.ownSystems = true;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the weights are
     *     not doubly stochastic, or the problem is not {@link LowerCurvature}
     */
    public MaDsbo build() {
      return new MaDsbo(
          this,
          UpperAndLower.capability(
              "ma-dsbo",
              bilevel,
              LowerCurvature.class,
              "products with the second derivatives of the lower problem"));
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
