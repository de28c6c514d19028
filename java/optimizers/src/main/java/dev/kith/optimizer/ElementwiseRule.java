package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Step;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import dev.kith.problem.Problem;
import java.util.List;

/** A step of the kernels, one pass over all elements. */
record ElementwiseRule(StepRule rule, StepOptions options) implements LocalRule {
  @Override
  public String name() {
    return rule.name();
  }

  @Override
  public State start(Problem problem, DeviceMatrix x) {
    Step step = new Step(rule, options, x);
    return new State() {
      @Override
      public void apply(
          DeviceMatrix parameters, DeviceMatrix g, DeviceMatrix at, double factor, long draw) {
        step.rule(rule.withStepSize(factor * rule.stepSize()));
        step.apply(parameters, g);
      }

      @Override
      public List<DeviceMatrix> matrices() {
        return step.state();
      }

      @Override
      public long count() {
        return step.count();
      }

      @Override
      public void count(long steps) {
        step.count(steps);
      }

      @Override
      public void close() {
        step.close();
      }
    };
  }
}
