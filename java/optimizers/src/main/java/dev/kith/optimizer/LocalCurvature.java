package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.CurvatureRule;
import dev.kith.kernel.StepOptions;
import dev.kith.problem.Problem;
import java.util.Objects;

/**
 * A rule that scales steps by the curvature of the own objective, and how it comes by that: every
 * node estimates the diagonal of its own Hessian from products with random signs z, or from
 * gradients with labels drawn from its model. Nothing of it is sent.
 *
 * <pre>
 * AdaHessian:  h = H z                                        every step
 * Sophia-H:    h = decay h + (1 - decay) z Hz                 every k steps
 * Sophia-G:    h = decay h + (1 - decay) g^2,  drawn labels   every k steps
 * </pre>
 *
 * <p>AdaHessian and Sophia-H need a problem that is a {@link dev.kith.problem.HessianVector},
 * Sophia-G one that is a {@link dev.kith.problem.SampledLabelGradient}. The product is that of the
 * mini-batch of the step's gradient, the probe of a node is drawn by (seed, node, draw) in stream
 * {@link dev.kith.random.Stream#PROBE}.
 *
 * <p>Sources: those of {@link CurvatureRule}.
 *
 * @param rule what a step does
 * @param seed of the probes; labels are drawn with the seed of the problem
 * @param period k, the steps from one estimate to the next; 1 for AdaHessian
 * @param decay of the average of the estimates, in [0, 1); AdaHessian has its own and ignores this
 */
public record LocalCurvature(CurvatureRule rule, long seed, int period, double decay)
    implements LocalRule {
  /** Checks. */
  public LocalCurvature {
    Objects.requireNonNull(rule, "rule");
    if (period < 1) {
      throw new IllegalArgumentException(
          "an estimate every " + period + " steps is impossible: give 1 or more");
    }
    if (rule instanceof CurvatureRule.AdaHessian && period != 1) {
      throw new IllegalArgumentException(
          "AdaHessian was given an estimate every "
              + period
              + " steps: it needs a new one in every step, so give 1");
    }
    if (!(decay >= 0 && decay < 1)) {
      throw new IllegalArgumentException("a decay of " + decay + " does not lie in [0, 1)");
    }
  }

  /**
   * A rule with seed 1 and the usual period and decay: every step for AdaHessian; every 10 steps
   * with decay 0.99 for both forms of Sophia, as in its paper.
   */
  public static LocalCurvature of(CurvatureRule rule) {
    return new LocalCurvature(rule, 1, rule instanceof CurvatureRule.AdaHessian ? 1 : 10, 0.99);
  }

  /** The same with another seed. */
  public LocalCurvature withSeed(long other) {
    return new LocalCurvature(rule, other, period, decay);
  }

  @Override
  public String name() {
    return rule instanceof CurvatureRule.AdaHessian
        ? rule.name()
        : rule.name() + " every " + period;
  }

  @Override
  public State start(Problem problem, DeviceMatrix x) {
    return new SecondOrderRule(this, StepOptions.none()).start(problem, x);
  }
}
