package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Step;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
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
  private final StepRule rule;
  private final Optional<LongToDoubleFunction> schedule;
  private final int count;
  private final DeviceMatrix gradient;
  private final Optional<Step> step;
  private final Optional<DeviceMatrix> moved;
  private final List<DeviceMatrix> before = new ArrayList<>();
  private long stepsBefore;

  /** For the parameters {@code x}, or others of the same shape that stand for them. */
  LocalSteps(LockstepOptimizer optimizer, LocalStepBuilder<?> settings, DeviceMatrix x) {
    this.optimizer = optimizer;
    this.rule = settings.rule;
    this.schedule = settings.schedule;
    this.count = settings.localSteps;
    this.gradient = x.like();
    boolean plain = rule instanceof StepRule.Sgd && settings.options.isEmpty();
    this.step =
        plain
            ? Optional.empty()
            : Optional.of(new Step(rule, settings.options.orElseGet(StepOptions::none), x));
    this.moved = step.isPresent() || count > 1 ? Optional.of(x.like()) : Optional.empty();
    step.ifPresent(s -> s.state().forEach(m -> before.add(m.like())));
  }

  /** What snapshots of the same run have in common. */
  static String variant(LocalStepBuilder<?> settings) {
    return settings.rule.name() + ", local steps " + settings.localSteps;
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
    keepState();
    double stepSize = scheduled();
    int[] absent = optimizer.absentRows();
    long draw = optimizer.round() * count;
    DeviceMatrix z = x;
    for (int s = 0; s < count; s++) {
      optimizer.problem().gradient(s == 0 ? first : later.apply(z), gradient, draw + s);
      for (int row : absent) {
        try (DeviceMatrix unused = gradient.row(row)) {
          unused.fill(0);
        }
      }
      if (step.isPresent()) {
        optimizer.requireFinite(gradient, "the gradient");
        if (s == 0) {
          z = moved.orElseThrow();
          z.copyFrom(x);
        }
        apply(step.get(), z, absent);
      } else if (s < count - 1) {
        optimizer.requireFinite(gradient, "the gradient");
        Expression stepped = Expression.outer(z).plusOuter(-stepSize, gradient);
        z = moved.orElseThrow();
        Mixing.combine(stepped, z);
      } else {
        return Combination.of(z, -stepSize, gradient);
      }
    }
    return Combination.of(z);
  }

  /** The step size of the present round, which the rule has from here on. */
  private double scheduled() {
    if (schedule.isEmpty()) {
      return rule.stepSize();
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
    double stepSize = factor * rule.stepSize();
    step.ifPresent(s -> s.rule(rule.withStepSize(stepSize)));
    return stepSize;
  }

  private void keepState() {
    if (step.isPresent()) {
      List<DeviceMatrix> state = step.get().state();
      for (int k = 0; k < state.size(); k++) {
        before.get(k).copyFrom(state.get(k));
      }
      stepsBefore = step.get().count();
    }
  }

  /** Gives the rule the state from before the last {@link #advance}. */
  void undo() {
    if (step.isPresent()) {
      List<DeviceMatrix> state = step.get().state();
      for (int k = 0; k < state.size(); k++) {
        state.get(k).copyFrom(before.get(k));
      }
      step.get().count(stepsBefore);
    }
  }

  /** One step of the rule, in which absent nodes keep their parameters and their rule state. */
  private void apply(Step rule, DeviceMatrix x, int[] absent) {
    List<DeviceMatrix> changed = new ArrayList<>(rule.state());
    changed.add(x);
    List<FrozenRows> kept = changed.stream().map(m -> FrozenRows.of(m, absent)).toList();
    try {
      rule.apply(x, gradient);
      for (int k = 0; k < kept.size(); k++) {
        kept.get(k).restore(changed.get(k));
      }
    } finally {
      kept.forEach(FrozenRows::close);
    }
  }

  /** Whether the result of {@link #advance} starts from another matrix than x. */
  boolean aside() {
    return moved.isPresent();
  }

  /** The state of the rule, by name. */
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    List<DeviceMatrix> matrices = step.map(Step::state).orElse(List.of());
    for (int k = 0; k < matrices.size(); k++) {
      state.put("rule" + k, matrices.get(k));
    }
    return state;
  }

  /** Steps that the rule has counted. */
  long steps() {
    return step.map(Step::count).orElse(0L);
  }

  void steps(long steps) {
    step.ifPresent(s -> s.count(steps));
  }

  @Override
  public void close() {
    step.ifPresent(Step::close);
    moved.ifPresent(DeviceMatrix::close);
    before.forEach(DeviceMatrix::close);
    gradient.close();
  }
}
