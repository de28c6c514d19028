package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import java.util.Map;
import java.util.Optional;
import java.util.function.LongToDoubleFunction;
import java.util.function.UnaryOperator;

/**
 * What every node does between two exchanges: s steps of a rule on its own gradients.
 *
 * <p>The last step of plain SGD is not done but returned as x - eta g, so that the mixing that
 * follows takes it into its one pass, which also checks it. Every other gradient is checked before
 * it is used: rule state and parameters never meet one that is not finite. Nodes that do not take
 * part in a round keep their parameters and their rule state.
 *
 * <p>Parameters move aside, in a matrix of their own, and the rule state is kept until the next
 * round: a round that fails after its steps, in the exchange or in a later gradient, is undone.
 */
final class LocalSteps implements AutoCloseable {
  private final LockstepOptimizer optimizer;
  private final double stepSize;
  private final Optional<LongToDoubleFunction> schedule;
  private final int count;
  private final Optional<String> name;
  private final DeviceMatrix gradient;
  private final Optional<RuleState> rule;
  private final Optional<DeviceMatrix> moved;

  /** For the parameters {@code x}, or others of the same shape that stand for them. */
  LocalSteps(LockstepOptimizer optimizer, LocalStepBuilder<?> settings, DeviceMatrix x) {
    this.optimizer = optimizer;
    this.stepSize = settings.rule.stepSize();
    this.schedule = settings.schedule;
    this.count = settings.localSteps;
    this.rule = rule(settings).map(r -> new RuleState(r.start(optimizer.problem(), x)));
    // A rule on single elements gives what the mixing checks; others look at more than that.
    this.name = settings.localRule.map(LocalRule::name);
    this.gradient = x.like();
    this.moved = rule.isPresent() || count > 1 ? Optional.of(x.like()) : Optional.empty();
  }

  /** Empty for plain SGD, which the mixing does. */
  private static Optional<LocalRule> rule(LocalStepBuilder<?> settings) {
    if (settings.localRule.isPresent()) {
      if (settings.localRule.get() instanceof LocalCurvature curvature) {
        return Optional.of(
            new SecondOrderRule(curvature, settings.options.orElseGet(StepOptions::none)));
      }
      if (settings.options.isPresent()) {
        throw new IllegalArgumentException(
            "step options belong to rules on single elements, and "
                + settings.localRule.get().name()
                + " is none: leave the options out, and set what the rule has of its own");
      }
      return settings.localRule;
    }
    boolean plain = settings.rule instanceof StepRule.Sgd && settings.options.isEmpty();
    return plain
        ? Optional.empty()
        : Optional.of(
            new ElementwiseRule(settings.rule, settings.options.orElseGet(StepOptions::none)));
  }

  /** What snapshots of the same run have in common. */
  static String variant(LocalStepBuilder<?> settings) {
    return settings.localRule.map(LocalRule::name).orElse(settings.rule.name())
        + ", local steps "
        + settings.localSteps;
  }

  /** Takes the steps of one round, with gradients at x. */
  Combination advance(DeviceMatrix x) {
    return advance(x, x, moved -> moved);
  }

  /**
   * Takes the steps of one round.
   *
   * @param x the parameters; unchanged
   * @param first where the first gradient is taken
   * @param later gives where the next one is taken, from the parameters after the steps so far
   * @return the parameters after all steps
   */
  Combination advance(DeviceMatrix x, DeviceMatrix first, UnaryOperator<DeviceMatrix> later) {
    rule.ifPresent(RuleState::keep);
    double factor = factor();
    int[] absent = optimizer.absentRows();
    long draw = optimizer.round() * count;
    DeviceMatrix z = x;
    for (int s = 0; s < count; s++) {
      DeviceMatrix at = s == 0 ? first : later.apply(z);
      optimizer.problem().gradient(at, gradient, draw + s);
      for (int row : absent) {
        try (DeviceMatrix unused = gradient.row(row)) {
          unused.fill(0);
        }
      }
      if (rule.isPresent()) {
        optimizer.requireFinite(gradient, "the gradient");
        if (s == 0) {
          z = moved.orElseThrow();
          z.copyFrom(x);
        }
        rule.get().apply(z, gradient, at, factor, draw + s, absent);
        if (name.isPresent()) {
          optimizer.requireFinite(z, "the step of " + name.get());
        }
      } else if (s < count - 1) {
        optimizer.requireFinite(gradient, "the gradient");
        Expression stepped = Expression.outer(z).plusOuter(-factor * stepSize, gradient);
        z = moved.orElseThrow();
        Mixing.combine(stepped, z);
      } else {
        return Combination.of(z, -factor * stepSize, gradient);
      }
    }
    return Combination.of(z);
  }

  /** What multiplies the step size in the present round. */
  private double factor() {
    if (schedule.isEmpty()) {
      return 1;
    }
    double factor = schedule.get().applyAsDouble(optimizer.round());
    if (!(factor >= 0 && factor < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "the schedule multiplies the step size of round "
              + optimizer.round()
              + " by "
              + factor
              + ": give a finite number from 0 up");
    }
    return factor;
  }

  /** Gives the rule the state from before the last {@link #advance}. */
  void undo() {
    rule.ifPresent(RuleState::undo);
  }

  /** Whether the result of {@link #advance} starts from another matrix than x. */
  boolean aside() {
    return moved.isPresent();
  }

  /** The state of the rule, by name. */
  Map<String, DeviceMatrix> state() {
    return rule.map(RuleState::named).orElse(Map.of());
  }

  /** Steps that the rule has counted. */
  long steps() {
    return rule.map(RuleState::steps).orElse(0L);
  }

  void steps(long steps) {
    rule.ifPresent(r -> r.steps(steps));
  }

  @Override
  public void close() {
    rule.ifPresent(RuleState::close);
    moved.ifPresent(DeviceMatrix::close);
    gradient.close();
  }
}
