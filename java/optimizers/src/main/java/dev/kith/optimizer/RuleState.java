package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The state of a rule in an algorithm of rounds: kept until the next round, so that one that fails
 * is undone, and left alone in the rows of nodes that do not take part.
 */
final class RuleState implements AutoCloseable {
  private final LocalRule.State rule;
  private final List<DeviceMatrix> before = new ArrayList<>();
  private long stepsBefore;

  RuleState(LocalRule.State rule) {
    this.rule = rule;
    rule.matrices().forEach(m -> before.add(m.like()));
  }

  /** Remembers the state for {@link #undo}. */
  void keep() {
    List<DeviceMatrix> state = rule.matrices();
    for (int k = 0; k < state.size(); k++) {
      before.get(k).copyFrom(state.get(k));
    }
    stepsBefore = rule.count();
  }

  /** Gives the rule the state from before the last {@link #keep}. */
  void undo() {
    List<DeviceMatrix> state = rule.matrices();
    for (int k = 0; k < state.size(); k++) {
      state.get(k).copyFrom(before.get(k));
    }
    rule.count(stepsBefore);
  }

  /** One step, in which absent nodes keep their parameters and their state. */
  void apply(
      DeviceMatrix x, DeviceMatrix g, DeviceMatrix at, double factor, long draw, int[] absent) {
    List<DeviceMatrix> changed = new ArrayList<>(rule.matrices());
    changed.add(x);
    List<FrozenRows> kept = changed.stream().map(m -> FrozenRows.of(m, absent)).toList();
    try {
      rule.apply(x, g, at, factor, draw);
      for (int k = 0; k < kept.size(); k++) {
        kept.get(k).restore(changed.get(k));
      }
    } finally {
      kept.forEach(FrozenRows::close);
    }
  }

  /** The matrices by name. */
  Map<String, DeviceMatrix> named() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    List<DeviceMatrix> matrices = rule.matrices();
    for (int k = 0; k < matrices.size(); k++) {
      state.put("rule" + k, matrices.get(k));
    }
    return state;
  }

  long steps() {
    return rule.count();
  }

  void steps(long steps) {
    rule.count(steps);
  }

  @Override
  public void close() {
    rule.close();
    before.forEach(DeviceMatrix::close);
  }
}
