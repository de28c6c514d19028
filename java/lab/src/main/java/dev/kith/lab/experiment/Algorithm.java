package dev.kith.lab.experiment;

import dev.kith.compress.Compressor;
import dev.kith.compress.PowerSgd;
import dev.kith.compress.RankWindow;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.CurvatureRule;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.optimizer.CentralSgd;
import dev.kith.optimizer.ChebyshevSgd;
import dev.kith.optimizer.ChocoSgd;
import dev.kith.optimizer.ComplexMomentum;
import dev.kith.optimizer.CompressedBuilder;
import dev.kith.optimizer.CompressedGradientTracking;
import dev.kith.optimizer.DSquared;
import dev.kith.optimizer.DataParallelPowerSgd;
import dev.kith.optimizer.DecentralizedMuon;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.DeepGradientCompression;
import dev.kith.optimizer.DeepSqueeze;
import dev.kith.optimizer.DianaSgd;
import dev.kith.optimizer.Dingo;
import dev.kith.optimizer.Ef21Sgd;
import dev.kith.optimizer.EfSgd;
import dev.kith.optimizer.Esom;
import dev.kith.optimizer.Extra;
import dev.kith.optimizer.Extragradient;
import dev.kith.optimizer.Giant;
import dev.kith.optimizer.GradientStepBuilder;
import dev.kith.optimizer.GradientTracking;
import dev.kith.optimizer.Kfac;
import dev.kith.optimizer.Lbfgs;
import dev.kith.optimizer.LocalCurvature;
import dev.kith.optimizer.LocalRule;
import dev.kith.optimizer.LocalStepBuilder;
import dev.kith.optimizer.Masha1;
import dev.kith.optimizer.Masha2;
import dev.kith.optimizer.Muon;
import dev.kith.optimizer.NetworkNewton;
import dev.kith.optimizer.Oasis;
import dev.kith.optimizer.Optimizer;
import dev.kith.optimizer.PowerGossipSgd;
import dev.kith.optimizer.PushSum;
import dev.kith.optimizer.ScaledLocalSgd;
import dev.kith.optimizer.Shampoo;
import dev.kith.optimizer.SharedRandomnessSpsa;
import dev.kith.optimizer.SignSgd;
import dev.kith.optimizer.SingleMerge;
import dev.kith.optimizer.Soap;
import dev.kith.optimizer.VraGradientTracking;
import dev.kith.problem.Problem;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.function.Predicate;
import java.util.stream.Collectors;
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
  CENTRAL("central", false),
  CHOCO("choco", false, true),
  DEEP_SQUEEZE("deepsqueeze", false, true),
  C_GT("c-gt", true, true),
  EF_SGD("ef-sgd", true, true),
  EF21("ef21", true, true),
  DIANA("diana", true, true),
  POWER_SGD("power-sgd", true, true),
  POWER_GOSSIP("powergossip", false, true),
  SIGN_SGD("sign-sgd", true),
  DGC("dgc", true, true),
  EXTRAGRADIENT("extragradient", true),
  MASHA1("masha1", true, true),
  MASHA2("masha2", true, true),
  VRA_DGT("vra-dgt", true, true),
  VRA_DSGT("vra-dsgt", true, true),
  SPSA("spsa", true),
  COMPLEX_MOMENTUM("complex-momentum", true),
  LBFGS("lbfgs", true),
  GIANT("giant", true),
  DINGO("dingo", true),
  NN("nn", true),
  ESOM("esom", true),
  ADAHESSIAN("adahessian", false),
  SOPHIA_G("sophia-g", false),
  SOPHIA_H("sophia-h", false),
  OASIS("oasis", true),
  SAVIC("savic", false),
  MUON("muon", false),
  DMUON("dmuon", false),
  SHAMPOO("shampoo", false),
  SOAP("soap", false),
  KFAC("kfac", false);

  /** Rules of their own, with the step sizes of their classes. */
  private static final Map<Algorithm, Double> OWN_RULES =
      Map.of(
          MUON, Muon.withDefaults().stepSize(),
          DMUON, Muon.withDefaults().stepSize(),
          SHAMPOO, Shampoo.withDefaults().stepSize(),
          SOAP, Soap.withDefaults().stepSize(),
          KFAC, Kfac.withDefaults().stepSize());

  /** Those that do not go on without some of the nodes. */
  private static final List<Algorithm> NEED_ALL_NODES =
      List.of(
          DEEP_SQUEEZE,
          EF_SGD,
          EF21,
          DIANA,
          POWER_SGD,
          SIGN_SGD,
          DGC,
          EXTRAGRADIENT,
          MASHA1,
          MASHA2,
          COMPLEX_MOMENTUM,
          LBFGS,
          GIANT,
          DINGO,
          OASIS,
          SAVIC);

  /** Those whose curvature or line search needs all local data in every gradient. */
  private static final List<Algorithm> NEED_ALL_DATA = List.of(LBFGS, GIANT, DINGO, NN, ESOM);

  /** Those that are a rule of their own. */
  private static final List<Algorithm> OWN_RULE = List.of(ADAHESSIAN, SOPHIA_G, SOPHIA_H, SAVIC);

  /** Flags that only some algorithms use. */
  private static final Map<String, List<Algorithm>> BELONGS = new LinkedHashMap<>();

  static {
    BELONGS.put("--gossip-rounds", List.of(CHEBYSHEV));
    BELONGS.put("--consensus-step-size", List.of(CHOCO, DEEP_SQUEEZE, C_GT));
    BELONGS.put("--momentum", List.of(EF_SGD, POWER_SGD, SIGN_SGD, DGC, COMPLEX_MOMENTUM));
    BELONGS.put("--adaptive-rank", List.of(EF_SGD));
    BELONGS.put("--clip-norm", List.of(DGC));
    BELONGS.put("--warm-up-rounds", List.of(DGC));
    BELONGS.put("--server-compressor", List.of(MASHA1, MASHA2));
    BELONGS.put("--regularizer", List.of(DIANA, EXTRAGRADIENT, MASHA1));
    BELONGS.put("--scaling", List.of(SAVIC));
  }

  private final String shortName;
  private final boolean gradientStepOnly;
  private final boolean compresses;

  Algorithm(String shortName, boolean gradientStepOnly) {
    this(shortName, gradientStepOnly, false);
  }

  Algorithm(String shortName, boolean gradientStepOnly, boolean compresses) {
    this.shortName = shortName;
    this.gradientStepOnly = gradientStepOnly;
    this.compresses = compresses;
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

  /** The step size where none is given, of those that are rules themselves. */
  OptionalDouble ownStepSize() {
    return OWN_RULES.containsKey(this)
        ? OptionalDouble.of(OWN_RULES.get(this))
        : OptionalDouble.empty();
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
    if (OWN_RULES.containsKey(this) && !(settings.rule() instanceof StepRule.Sgd)) {
      throw new UsageException(
          "--algorithm %s is a rule itself: leave out --rule".formatted(shortName));
    }
    if (this == KFAC && settings.weightDecay() != 0) {
      throw new UsageException("--algorithm kfac takes no --weight-decay: leave it out");
    }
    if (this == DMUON && settings.localSteps() != 1) {
      throw new UsageException(
          "--algorithm dmuon mixes the momentum of every step: leave out --local-steps");
    }
    if (OWN_RULE.contains(this) && !(settings.rule() instanceof StepRule.Sgd)) {
      throw new UsageException(
          "--algorithm %s is a rule of its own: leave out --rule".formatted(shortName));
    }
    if (this == SAVIC && settings.weightDecay() != 0) {
      throw new UsageException("--algorithm savic has no weight decay: leave out --weight-decay");
    }
    if (this == SOPHIA_G && settings.batch() == 0) {
      throw new UsageException(
          "--algorithm sophia-g estimates from mini-batches of one size: leave out --batch all");
    }
    settings.noise().ifPresent(noise -> checkNoise(settings, noise));
    BELONGS.forEach(
        (flag, algorithms) -> {
          boolean takesMomentum = settings.noise().isPresent() && flag.equals("--momentum");
          if (settings.optional(flag).isPresent() && !algorithms.contains(this) && !takesMomentum) {
            throw new UsageException(
                "%s belongs to --algorithm %s, not to %s: leave it out"
                    .formatted(flag, names(algorithms::contains), shortName));
          }
        });
    if (!compresses && settings.compressor().isPresent()) {
      throw new UsageException(
          "--algorithm %s takes no --compressor: leave it out, or take one of %s"
              .formatted(shortName, names(Algorithm::compresses)));
    }
    if (compresses && settings.messageType() != DType.F32) {
      throw new UsageException(
          "--algorithm %s sends encoded rows: leave out --message-type and take --compressor bf16 or another"
              .formatted(shortName));
    }
    if (NEED_ALL_NODES.contains(this) && !settings.text("--drop-nodes").equals("none")) {
      throw new UsageException(
          "--algorithm %s needs all nodes in every round: leave out --drop-nodes, or take an algorithm that goes on without some, such as dsgd"
              .formatted(shortName));
    }
    if (NEED_ALL_DATA.contains(this) && settings.batch() != 0) {
      throw new UsageException(
          "--algorithm %s needs exact gradients: take --batch all".formatted(shortName));
    }
    if ((this == MASHA1 || this == MASHA2) && settings.batch() != 0) {
      throw new UsageException(
          "--algorithm %s sends how an operator differs from itself at another point, and two mini-batches differ at every point: take --batch all"
              .formatted(shortName));
    }
  }

  private void checkNoise(Settings settings, NoiseChoice noise) {
    if (this != DSGD) {
      throw new UsageException(
          "--noise belongs to --algorithm dsgd, not to %s: leave one of them out"
              .formatted(shortName));
    }
    if (!(settings.rule() instanceof StepRule.Sgd) || settings.localSteps() != 1) {
      throw new UsageException(
          "--noise takes one gradient step a round: leave out --rule and --local-steps");
    }
    boolean common = noise.kind() == NoiseChoice.Kind.CORN || noise.kind() == NoiseChoice.Kind.CDP;
    if (common && !settings.text("--drop-nodes").equals("none")) {
      throw new UsageException(
          "--noise %s needs all nodes in every round: leave out --drop-nodes, or take ldp or decor"
              .formatted(noise.kind().shortName()));
    }
  }

  private boolean compresses() {
    return compresses;
  }

  private static String names(Predicate<Algorithm> chosen) {
    return Arrays.stream(values())
        .filter(chosen)
        .map(Algorithm::shortName)
        .collect(Collectors.joining(", "));
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
      case CHOCO -> {
        ChocoSgd.Builder builder =
            local(ChocoSgd.builder(problem, network, initial), settings).seed(settings.seed());
        settings.compressor().ifPresent(builder::compressor);
        settings.consensusStepSize().ifPresent(builder::consensusStepSize);
        yield builder.build();
      }
      case DEEP_SQUEEZE -> {
        DeepSqueeze.Builder builder =
            local(DeepSqueeze.builder(problem, network, initial), settings).seed(settings.seed());
        settings.compressor().ifPresent(builder::compressor);
        settings.consensusStepSize().ifPresent(builder::consensusStepSize);
        yield builder.build();
      }
      case C_GT -> {
        CompressedGradientTracking.Builder builder =
            compressed(CompressedGradientTracking.builder(problem, network, initial), settings);
        settings.consensusStepSize().ifPresent(builder::consensusStepSize);
        yield builder.build();
      }
      case EF_SGD -> {
        EfSgd.Builder builder = compressed(EfSgd.builder(problem, network, initial), settings);
        settings.momentum().ifPresent(builder::momentum);
        settings.adaptiveRank().ifPresent(share -> builder.adaptiveRank(share, RankWindow.LENGTH));
        yield builder.build();
      }
      case EF21 -> compressed(Ef21Sgd.builder(problem, network, initial), settings).build();
      case DIANA -> {
        DianaSgd.Builder builder =
            compressed(DianaSgd.builder(problem, network, initial), settings);
        settings.regularizer().ifPresent(builder::regularizer);
        yield builder.build();
      }
      case POWER_SGD -> {
        DataParallelPowerSgd.Builder builder =
            step(DataParallelPowerSgd.builder(problem, network, initial), settings)
                .seed(settings.seed());
        settings
            .compressor()
            .map(this::factors)
            .ifPresent(power -> builder.rank(power.rank()).warmStart(power.warm()));
        settings.momentum().ifPresent(builder::momentum);
        yield builder.build();
      }
      case POWER_GOSSIP -> {
        PowerGossipSgd.Builder builder =
            local(PowerGossipSgd.builder(problem, network, initial), settings)
                .seed(settings.seed());
        settings
            .compressor()
            .map(this::factors)
            .ifPresent(power -> builder.rank(power.rank()).warmStart(power.warm()));
        yield builder.build();
      }
      case COMPLEX_MOMENTUM -> {
        ComplexMomentum.Builder builder =
            step(ComplexMomentum.builder(problem, network, initial), settings);
        settings.momentum().ifPresent(builder::modulus);
        yield builder.build();
      }
      case SIGN_SGD -> {
        SignSgd.Builder builder = step(SignSgd.builder(problem, network, initial), settings);
        settings.momentum().ifPresent(builder::momentum);
        yield builder.build();
      }
      case DGC -> {
        DeepGradientCompression.Builder builder =
            compressed(DeepGradientCompression.builder(problem, network, initial), settings);
        settings.momentum().ifPresent(builder::momentum);
        settings.clipNorm().ifPresent(builder::clipNorm);
        settings.warmUpRounds().ifPresent(builder::warmUpRounds);
        yield builder.build();
      }
      case EXTRAGRADIENT -> {
        Extragradient.Builder builder =
            step(Extragradient.builder(problem, network, initial), settings);
        settings.regularizer().ifPresent(builder::regularizer);
        yield builder.build();
      }
      case MASHA1 -> {
        Masha1.Builder builder = compressed(Masha1.builder(problem, network, initial), settings);
        settings.serverCompressor().ifPresent(builder::serverCompressor);
        settings.regularizer().ifPresent(builder::regularizer);
        yield builder.build();
      }
      case MASHA2 -> {
        Masha2.Builder builder = compressed(Masha2.builder(problem, network, initial), settings);
        settings.serverCompressor().ifPresent(builder::serverCompressor);
        yield builder.build();
      }
      case VRA_DGT, VRA_DSGT -> {
        VraGradientTracking.Builder builder =
            step(VraGradientTracking.builder(problem, network, initial), settings)
                .hybrid(this == VRA_DSGT)
                .seed(settings.seed());
        settings.compressor().ifPresent(builder::compressor);
        yield builder.build();
      }
      case SPSA ->
          step(SharedRandomnessSpsa.builder(problem, network, initial), settings)
              .seed(settings.seed())
              .build();
      case LBFGS -> Lbfgs.builder(problem, network, initial).build();
      case GIANT -> Giant.builder(problem, network, initial).build();
      case DINGO -> Dingo.builder(problem, network, initial).build();
      case NN ->
          NetworkNewton.builder(problem, network, initial)
              .penalty(settings.rule().stepSize())
              .build();
      case ESOM -> Esom.builder(problem, network, initial).build();
      case MUON, SHAMPOO, SOAP, KFAC ->
          DecentralizedSgd.builder(problem, network, initial)
              .rule(ownRule(settings))
              .localSteps(settings.localSteps())
              .build();
      case DMUON ->
          DecentralizedMuon.builder(problem, network, initial).rule(muon(settings)).build();
      case ADAHESSIAN ->
          curved(CurvatureRule.AdaHessian.withDefaults(), settings, problem, network, initial);
      case SOPHIA_G ->
          curved(
              new CurvatureRule.SophiaG(1e-3, 0.965, 0.04, settings.batch(), 1e-12),
              settings,
              problem,
              network,
              initial);
      case SOPHIA_H ->
          curved(CurvatureRule.SophiaH.withDefaults(), settings, problem, network, initial);
      case OASIS -> {
        Oasis.Builder builder = Oasis.builder(problem, network, initial).seed(settings.seed());
        settings.stepSize().ifPresent(builder::stepSize);
        yield (settings.batch() == 0 ? builder.fullGradients() : builder).build();
      }
      case SAVIC -> {
        ScaledLocalSgd.Builder builder =
            ScaledLocalSgd.builder(problem, network, initial)
                .localSteps(settings.localSteps())
                .seed(settings.seed());
        settings.stepSize().ifPresent(builder::stepSize);
        settings.diagonal().ifPresent(builder::scaling);
        yield builder.build();
      }
    };
  }

  /** D-SGD whose nodes step by a rule of the second order. */
  private static Optimizer curved(
      CurvatureRule usual,
      Settings settings,
      Problem problem,
      Network network,
      DeviceMatrix initial) {
    CurvatureRule rule =
        settings.stepSize().isPresent()
            ? usual.withStepSize(settings.stepSize().getAsDouble())
            : usual;
    return local(DecentralizedSgd.builder(problem, network, initial), settings)
        .rule(LocalCurvature.of(rule).withSeed(settings.seed()))
        .build();
  }

  private LocalRule ownRule(Settings settings) {
    double stepSize = settings.rule().stepSize();
    double decay = settings.weightDecay();
    return switch (this) {
      case SHAMPOO -> Shampoo.builder().stepSize(stepSize).weightDecay(decay).build();
      case SOAP -> Soap.builder().stepSize(stepSize).weightDecay(decay).build();
      case KFAC -> Kfac.builder().stepSize(stepSize).build();
      default -> muon(settings);
    };
  }

  private static Muon muon(Settings settings) {
    return Muon.builder()
        .stepSize(settings.rule().stepSize())
        .weightDecay(settings.weightDecay())
        .build();
  }

  /** What the two algorithms take that send factors and no encoded rows. */
  private PowerSgd factors(Compressor compressor) {
    if (!(compressor instanceof PowerSgd power) || power.factors().isPresent()) {
      throw new UsageException(
          "--algorithm %s sends factors in f32: take --compressor power-sgd:RANK instead of %s"
              .formatted(shortName, compressor.name()));
    }
    return power;
  }

  private static <B extends CompressedBuilder<B>> B compressed(B builder, Settings settings) {
    B compressed = step(builder, settings).seed(settings.seed());
    return settings.compressor().map(compressed::compressor).orElse(compressed);
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
