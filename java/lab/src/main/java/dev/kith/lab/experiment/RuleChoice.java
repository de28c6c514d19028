package dev.kith.lab.experiment;

import dev.kith.kernel.StepRule;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalDouble;

/** Step rules by name, with the defaults of their papers. */
final class RuleChoice {
  private static final Map<String, StepRule> RULES = new LinkedHashMap<>();

  static {
    for (StepRule rule :
        new StepRule[] {
          StepRule.Sgd.withDefaults(),
          StepRule.HeavyBall.withDefaults(),
          StepRule.Nesterov.withDefaults(),
          StepRule.Adagrad.withDefaults(),
          StepRule.Adadelta.withDefaults(),
          StepRule.RmsProp.withDefaults(),
          StepRule.Adam.withDefaults(),
          StepRule.AdaMax.withDefaults(),
          StepRule.Nadam.withDefaults(),
          StepRule.Yogi.withDefaults()
        }) {
      RULES.put(rule.name(), rule);
    }
  }

  private RuleChoice() {}

  static Map<String, StepRule> known() {
    return RULES;
  }

  /**
   * The rule with the given step size. Without one plain SGD takes 0.3, which suits the models and
   * the scaling of the lab; other rules keep the step size of their paper.
   */
  static StepRule sized(StepRule rule, OptionalDouble stepSize) {
    if (stepSize.isPresent()) {
      return rule.withStepSize(stepSize.getAsDouble());
    }
    return rule instanceof StepRule.Sgd ? rule.withStepSize(0.3) : rule;
  }
}
