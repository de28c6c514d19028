package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.Objects;
import java.util.Optional;
import java.util.function.LongToDoubleFunction;

/**
 * Settings of the algorithms whose nodes take steps of any rule between two exchanges.
 *
 * @param <B> the builder itself
 */
public abstract class LocalStepBuilder<B extends LocalStepBuilder<B>> {
  final Problem problem;
  final Network network;
  final DeviceMatrix initial;
  StepRule rule = new StepRule.Sgd(0.1);
  Optional<LocalRule> localRule = Optional.empty();
  Optional<StepOptions> options = Optional.empty();
  int localSteps = 1;
  Optional<LongToDoubleFunction> schedule = Optional.empty();

  LocalStepBuilder(Problem problem, Network network, DeviceMatrix initial) {
    this.problem = Objects.requireNonNull(problem, "problem");
    this.network = Objects.requireNonNull(network, "network");
    this.initial = Objects.requireNonNull(initial, "initial");
  }

  abstract B self();

  /**
   * Plain SGD with this step size eta. Default: SGD with 0.1, a common first try for scaled data.
   */
  public final B stepSize(double stepSize) {
    return rule(new StepRule.Sgd(stepSize));
  }

  /** The rule of the local steps; every node keeps its own state of it. */
  public final B rule(StepRule rule) {
    this.rule = Objects.requireNonNull(rule, "rule");
    this.localRule = Optional.empty();
    return self();
  }

  /**
   * A rule that looks at matrices or at curvature, such as {@link Muon} or {@link LocalCurvature};
   * every node keeps its own state of it. Only {@link LocalCurvature} takes {@link #options}.
   * Building fails with {@link IllegalArgumentException} where the problem lacks what it needs.
   */
  public final B rule(LocalRule rule) {
    this.localRule = Optional.of(rule);
    return self();
  }

  /** Weight decay, clipping and groups of the local steps. Default: none. */
  public final B options(StepOptions options) {
    this.options = Optional.of(options);
    return self();
  }

  /**
   * Multiplies the step size in round t, counted from 0: a decay or a warm-up. A run that is
   * resumed needs the same. Default: 1 in all rounds.
   *
   * @param factor a pure function of the round; finite and not negative
   */
  public final B schedule(LongToDoubleFunction factor) {
    this.schedule = Optional.of(factor);
    return self();
  }

  /** Steps of every node between two exchanges. Default: 1. */
  public final B localSteps(int localSteps) {
    if (localSteps < 1) {
      throw new IllegalArgumentException(localSteps + " local steps are too few: take at least 1");
    }
    this.localSteps = localSteps;
    return self();
  }
}
