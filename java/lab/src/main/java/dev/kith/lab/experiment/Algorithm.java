package dev.kith.lab.experiment;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.optimizer.CentralSgd;
import dev.kith.optimizer.ChebyshevSgd;
import dev.kith.optimizer.DSquared;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.Extra;
import dev.kith.optimizer.GradientStepBuilder;
import dev.kith.optimizer.GradientTracking;
import dev.kith.optimizer.LocalStepBuilder;
import dev.kith.optimizer.Optimizer;
import dev.kith.optimizer.PushSum;
import dev.kith.optimizer.SingleMerge;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.LongStream;

/** The algorithms of the command line. */
enum Algorithm {
  DSGD("dsgd", false),
  DSGD_CTA("dsgd-cta", false),
  D2("d2", true),
  EXTRA("extra", true),
  DSGT("dsgt", true),
  CHEBYSHEV("chebyshev", false),
  PUSH_SUM("push-sum", false),
  SINGLE_MERGE("single-merge", false),
  CENTRAL("central", false);

  private final String shortName;
  private final boolean gradientStepOnly;

  Algorithm(String shortName, boolean gradientStepOnly) {
    this.shortName = shortName;
    this.gradientStepOnly = gradientStepOnly;
  }

  static Map<String, Algorithm> known() {
    Map<String, Algorithm> known = new LinkedHashMap<>();
    for (Algorithm algorithm : values()) {
      known.put(algorithm.shortName, algorithm);
    }
    return known;
  }

  String shortName() {
    return shortName;
  }

  /** Refuses flags that the algorithm would not use. */
  void check(Settings settings) {
    if (gradientStepOnly
        && !(settings.rule() instanceof StepRule.Sgd
            && settings.localSteps() == 1
            && settings.weightDecay() == 0)) {
      throw new UsageException(
          "--algorithm %s takes one gradient step a round: leave out --rule, --local-steps and --weight-decay"
              .formatted(shortName));
    }
    if (this != CHEBYSHEV && settings.gossipRounds().isPresent()) {
      throw new UsageException(
          "--gossip-rounds belongs to --algorithm chebyshev; %s mixes once a round"
              .formatted(shortName));
    }
  }

  /** What of the weights has to survive where a link that goes one way fails. */
  MixingMatrix.Kind keepsUnderFailures() {
    return this == PUSH_SUM
        ? MixingMatrix.Kind.COLUMN_STOCHASTIC
        : MixingMatrix.Kind.ROW_STOCHASTIC;
  }

  /** Refuses links that go one way and fail, where the algorithm needs rows and columns. */
  void checkFailures(MixingSchedule base) {
    if (this == DSGT
        && !LongStream.range(0, Math.max(1, base.period())).allMatch(k -> base.at(k).symmetric())) {
      throw new UsageException(
          "--algorithm dsgt needs doubly stochastic weights, which links that go one way cannot keep when some fail: take an undirected topology or push-sum, or leave out --drop-nodes and --drop-links");
    }
  }

  Optimizer build(Settings settings, Problem problem, Network network, DeviceMatrix initial) {
    return switch (this) {
      case DSGD -> local(DecentralizedSgd.builder(problem, network, initial), settings).build();
      case DSGD_CTA ->
          local(DecentralizedSgd.builder(problem, network, initial), settings)
              .form(DecentralizedSgd.Form.CTA)
              .build();
      case D2 -> step(DSquared.builder(problem, network, initial), settings).build();
      case EXTRA -> step(Extra.builder(problem, network, initial), settings).build();
      case DSGT -> step(GradientTracking.builder(problem, network, initial), settings).build();
      case CHEBYSHEV -> {
        ChebyshevSgd.Builder builder =
            local(ChebyshevSgd.builder(problem, network, initial), settings);
        settings.gossipRounds().ifPresent(builder::gossipRounds);
        yield builder.build();
      }
      case PUSH_SUM -> local(PushSum.builder(problem, network, initial), settings).build();
      case SINGLE_MERGE ->
          local(SingleMerge.builder(problem, network, initial), settings)
              .mergeAfter(settings.rounds())
              .build();
      case CENTRAL -> local(CentralSgd.builder(problem, network, initial), settings).build();
    };
  }

  private static <B extends GradientStepBuilder<B>> B step(B builder, Settings settings) {
    return builder.stepSize(settings.rule().stepSize());
  }

  private static <B extends LocalStepBuilder<B>> B local(B builder, Settings settings) {
    B local = builder.rule(settings.rule()).localSteps(settings.localSteps());
    return settings.weightDecay() == 0
        ? local
        : local.options(StepOptions.decoupledDecay(settings.weightDecay()));
  }
}
