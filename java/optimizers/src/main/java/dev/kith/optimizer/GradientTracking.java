package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

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
 * <p>Source: Nedic, Olshevsky, Shi, "Achieving Geometric Convergence for Distributed Optimization
 * over Time-Varying Graphs", 2017 (CTA); Pu, Nedic, "Distributed Stochastic Gradient Tracking
 * Methods", 2021; Xu, Zhu, Soh, Xie, "Augmented Distributed Gradient Methods for Multi-Agent
 * Optimization", 2015 (ATC).
 */
public final class GradientTracking extends LockstepOptimizer {
  private final DecentralizedSgd.Form form;
  private final double stepSize;
  private DeviceMatrix x;
  private DeviceMatrix tracker;
  private DeviceMatrix gradient;
  private DeviceMatrix nextX;
  private DeviceMatrix nextTracker;
  private DeviceMatrix nextGradient;

  private GradientTracking(Builder builder) {
    super("dsgt", builder.problem, builder.network);
    MixingMatrix w = builder.network.schedule().at(0);
    if (w.kind() != MixingMatrix.Kind.DOUBLY_STOCHASTIC) {
      throw new IllegalArgumentException(
          "gradient tracking needs doubly stochastic weights, not a matrix of kind " + w.kind());
    }
    this.form = builder.form;
    this.stepSize = builder.stepSize;
    this.x = start(builder.initial);
    this.tracker = own(x.like());
    this.gradient = own(x.like());
    this.nextX = own(x.like());
    this.nextTracker = own(x.like());
    this.nextGradient = own(x.like());
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
  void iterate() {
    if (round() == 0) {
      problem().gradient(x, gradient, 0);
      tracker.copyFrom(gradient);
    }
    Expression toX = Expression.inner(x);
    network()
        .mix(
            form == DecentralizedSgd.Form.ATC
                ? toX.plusInner(-stepSize, tracker)
                : toX.plusOuter(-stepSize, tracker),
            nextX);
    requireFinite();
    problem().gradient(nextX, nextGradient, round() + 1);
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
    return state;
  }

  @Override
  String variant() {
    return form.name();
  }

  /** Settings of {@link GradientTracking}. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private DecentralizedSgd.Form form = DecentralizedSgd.Form.ATC;

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
     * @throws IllegalArgumentException when problem, network and start do not fit, or the weights
     *     are not doubly stochastic
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
