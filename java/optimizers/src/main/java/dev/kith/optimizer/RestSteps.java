package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import dev.kith.kernel.Steps;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The rule of the columns that another one leaves, with decoupled weight decay. */
final class RestSteps implements AutoCloseable {
  private final List<long[]> ranges;
  private final StepRule rule;
  private final Optional<Steps> steps;

  RestSteps(List<long[]> ranges, StepRule rule, double weightDecay, DeviceMatrix x) {
    this.ranges = ranges;
    this.rule = rule;
    if (ranges.isEmpty()) {
      this.steps = Optional.empty();
      return;
    }
    List<DeviceMatrix> windows = windows(x);
    try {
      this.steps = Optional.of(new Steps(rule, StepOptions.decoupledDecay(weightDecay), windows));
    } finally {
      windows.forEach(DeviceMatrix::close);
    }
  }

  private List<DeviceMatrix> windows(DeviceMatrix matrix) {
    List<DeviceMatrix> windows = new ArrayList<>();
    for (long[] range : ranges) {
      windows.add(matrix.columns(range[0], range[1]));
    }
    return windows;
  }

  void apply(DeviceMatrix x, DeviceMatrix g, double factor) {
    if (steps.isEmpty()) {
      return;
    }
    List<DeviceMatrix> xs = windows(x);
    List<DeviceMatrix> gs = windows(g);
    try {
      steps.get().rule(rule.withStepSize(factor * rule.stepSize()));
      steps.get().apply(xs, gs);
    } finally {
      xs.forEach(DeviceMatrix::close);
      gs.forEach(DeviceMatrix::close);
    }
  }

  List<DeviceMatrix> matrices() {
    return steps.map(s -> s.state().stream().flatMap(List::stream).toList()).orElse(List.of());
  }

  void count(long count) {
    steps.ifPresent(s -> s.count(count));
  }

  @Override
  public void close() {
    steps.ifPresent(Steps::close);
  }
}
