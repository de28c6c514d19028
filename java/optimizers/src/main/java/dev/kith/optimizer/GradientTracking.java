package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Decentralized stochastic gradient tracking (DSGT, DIGing): every node follows an estimate Y of
 * the mean gradient.
 *
 * <pre>
 * Y^0 = G(X^0)
 * ATC:  X' = W (X - eta Y)     Y' = W (Y + G(X') - G(X))
 * CTA:  X' = W X - eta Y       Y' = W Y + G(X') - G(X)
 * </pre>
 *
 * <p>The mean of Y is the mean of G in every round, also with stochastic gradients; with exact ones
 * it converges to the exact optimum at a fixed step size. Weights may change over time; they are
 * doubly stochastic. Each half is one pass. A node sends 2 d numbers to each neighbour a round, in
 * two messages.
 *
 * <p>Nodes that do not take part in a round keep their parameters. Whenever others take part than
 * in the round before, tracking starts anew with Y = G(X) on those that do, so that the mean of Y
 * is the mean of their gradients and they converge to their own optimum.
 *
 * <p>Source: Nedic, Olshevsky, Shi, "Achieving Geometric Convergence for Distributed Optimization
 * over Time-Varying Graphs", 2017 (CTA); Pu, Nedic, "Distributed Stochastic Gradient Tracking
 * Methods", 2021; Xu, Zhu, Soh, Xie, "Augmented Distributed Gradient Methods for Multi-Agent
 * Optimization", 2015 (ATC).
 */
public final class GradientTracking extends LockstepOptimizer {
  private final DecentralizedSgd.Form form;
  private final double stepSize;
  private final Optional<RuleState> rule;
  private final String variant;
  private DeviceMatrix x;
  private DeviceMatrix tracker;
  private DeviceMatrix gradient;
  private DeviceMatrix nextX;
  private DeviceMatrix nextTracker;
  private DeviceMatrix nextGradient;

  private GradientTracking(Builder builder) {
    super("dsgt", builder.problem, builder.network);
    requireWeights(builder.network.schedule().at(0));
    this.form = builder.form;
    this.stepSize = builder.stepSize;
    this.x = start(builder.initial);
    this.tracker = own(x.like());
    this.gradient = own(x.like());
    this.nextX = own(x.like());
    this.nextTracker = own(x.like());
    this.nextGradient = own(x.like());
    this.variant = builder.form.name() + builder.rule.map(rule -> ", " + rule.name()).orElse("");
    this.rule = builder.rule.map(rule -> own(new RuleState(rule.start(builder.problem, x))));
  }

  /**
   * @param problem the local objectives
   * @param network doubly stochastic weights, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void requireWeights(MixingMatrix w) {
    if (w.kind() != MixingMatrix.Kind.DOUBLY_STOCHASTIC) {
      throw new IllegalArgumentException(
          "gradient tracking needs doubly stochastic weights, not a matrix of kind "
              + w.kind()
              + " as in round "
              + round()
              + ": where links fail, take an undirected graph");
    }
  }

  @Override
  void iterate() {
    int[] absent = absentRows();
    rule.ifPresent(RuleState::keep);
    if (round() == 0 || othersTakePart()) {
      gradient(x, gradient, round(), absent);
      tracker.copyFrom(gradient);
    }
    network().mix(rule.isPresent() ? curved(absent) : plain(), nextX);
    requireFinite();
    gradient(nextX, nextGradient, round() + 1, absent);
    Expression toTracker = Expression.inner(tracker);
    network()
        .mix(
            form == DecentralizedSgd.Form.ATC
                ? toTracker.plusInner(nextGradient).plusInner(-1, gradient)
                : toTracker.plusOuter(nextGradient).plusOuter(-1, gradient),
            nextTracker);
    requireFinite();
    DeviceMatrix oldX = x;
    x = nextX;
    nextX = oldX;
    DeviceMatrix oldTracker = tracker;
    tracker = nextTracker;
    nextTracker = oldTracker;
    DeviceMatrix oldGradient = gradient;
    gradient = nextGradient;
    nextGradient = oldGradient;
  }

  private Expression plain() {
    Expression toX = Expression.inner(x);
    return form == DecentralizedSgd.Form.ATC
        ? toX.plusInner(-stepSize, tracker)
        : toX.plusOuter(-stepSize, tracker);
  }

  /** A step of the rule from x along the tracker, in {@link #nextGradient}, before it is mixed. */
  private Expression curved(int[] absent) {
    DeviceMatrix moved = nextGradient;
    moved.copyFrom(x);
    rule.orElseThrow().apply(moved, tracker, x, 1, round(), absent);
    return form == DecentralizedSgd.Form.ATC
        ? Expression.inner(moved)
        : Expression.inner(x).plusOuter(moved).plusOuter(-1, x);
  }

  @Override
  void undo() {
    rule.ifPresent(RuleState::undo);
  }

  /** The gradient of the nodes that take part; zero moves neither the others nor their tracker. */
  private void gradient(DeviceMatrix at, DeviceMatrix g, long draw, int[] absent) {
    problem().gradient(at, g, draw);
    for (int row : absent) {
      try (DeviceMatrix unused = g.row(row)) {
        unused.fill(0);
      }
    }
  }

  /** Whether not the same nodes take part as in the round before. */
  private boolean othersTakePart() {
    MixingSchedule schedule = network().schedule();
    return IntStream.range(0, network().nodes())
        .anyMatch(i -> schedule.isAlive(round(), i) != schedule.isAlive(round() - 1, i));
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  /**
   * The estimate Y of the mean gradient, localNodes x d; valid until the next step. Zero before the
   * first.
   */
  public DeviceMatrix tracker() {
    return tracker;
  }

  /**
   * The gradient that the tracker last took in, localNodes x d; valid until the next step. Zero
   * before the first.
   */
  public DeviceMatrix gradient() {
    return gradient;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.put("tracker", tracker);
    state.put("gradient", gradient);
    rule.ifPresent(r -> state.putAll(r.named()));
    return state;
  }

  @Override
  String variant() {
    return variant;
  }

  @Override
  long[] counters() {
    return rule.map(r -> new long[] {r.steps()}).orElseGet(() -> new long[0]);
  }

  @Override
  void counters(long[] values) {
    rule.ifPresent(r -> r.steps(values[0]));
  }

  /** Settings of {@link GradientTracking}. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private DecentralizedSgd.Form form = DecentralizedSgd.Form.ATC;
    private Optional<LocalRule> rule = Optional.empty();

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * The order of step and average, in both halves. Default: ATC, which tolerates the larger step
     * sizes.
     */
    public Builder form(DecentralizedSgd.Form form) {
      this.form = Objects.requireNonNull(form, "form");
      return this;
    }

    /**
     * A rule R that takes the place of x - eta y, with the tracker y as its gradient and what else
     * it looks at, as the curvature, of the node's own objective: X' = W R(X) in ATC, W X + (R(X) -
     * X) in CTA. Where all agree and y = 0, nothing moves, so the exact optimum stays the fixed
     * point. Its own step size counts. Default: none.
     */
    public Builder rule(LocalRule rule) {
      this.rule = Optional.of(rule);
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the weights are
     *     not doubly stochastic, or the problem cannot give what the rule needs
     */
    public GradientTracking build() {
      return new GradientTracking(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
