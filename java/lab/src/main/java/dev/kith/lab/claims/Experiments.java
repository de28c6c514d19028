package dev.kith.lab.claims;

import java.util.Collection;
import java.util.Map;
import java.util.stream.Collectors;

/** How each claim of {@code claims.json} is measured. */
final class Experiments {
  private static final Map<String, Experiment> BY_CLAIM =
      Map.ofEntries(
          Map.entry("dsgd-fixed-point", BiasClaims::fixedPoint),
          Map.entry("tracking-removes-bias", BiasClaims::trackingRemovesBias),
          Map.entry("chebyshev-rounds", GossipClaims::chebyshevRounds),
          Map.entry("exponential-finite-time", GossipClaims::finiteTime),
          Map.entry("spectral-gaps", GossipClaims::spectralGaps),
          Map.entry("single-merge", LearningClaims::singleMerge),
          Map.entry("disaster", LearningClaims::disaster),
          Map.entry("dsgd-saddle", SaddleClaims::dsgdSaddle),
          Map.entry("dsgd-linear-speedup", SpeedupClaims::linearSpeedup),
          Map.entry("choco-linear", CompressionClaims::chocoLinear),
          Map.entry("masha-bilinear", InequalityClaims::mashaBilinear),
          Map.entry("masha-robust", InequalityClaims::mashaRobust),
          Map.entry("diana-vs-qsgd", CompressionClaims::dianaVersusPlain),
          Map.entry("ef21-vs-ef", CompressionClaims::feedbackExample),
          Map.entry("compressor-constants", CompressorClaims::constants),
          Map.entry("choco-topk-training", CompressedTrainingClaims::chocoTraining),
          Map.entry("powersgd-ratios", LowRankClaims::ratios),
          Map.entry("powersgd-error-feedback", PowerSgdClaims::errorFeedback),
          Map.entry("powergossip", PowerGossipClaims::powerGossip),
          Map.entry("accountant-references", PrivacyClaims::accountantReferences),
          Map.entry("audit", AuditClaims::audit),
          Map.entry("corn-cancels-more", PrivacyClaims::cornCancelsMore),
          Map.entry("corn-horizon-aware", PrivacyClaims::cornHorizonAware),
          Map.entry("decor-between", NoiseClaims::decorBetween),
          Map.entry("corn-training", NoiseClaims::cornTraining),
          Map.entry("noise-bits-everywhere", NoiseClaims::noiseBitsEverywhere),
          Map.entry("bandmf", NoiseOverTimeClaims::banded),
          Map.entry("vra-dgt-rate", InexactClaims::rate),
          Map.entry("one-byte", OneByteClaims::oneByte),
          Map.entry("private-admm", AdmmClaims::privateAdmm),
          Map.entry("drcgd-beats-gradient", ManifoldClaims::conjugateGradient),
          Map.entry("user-level-slope", UserLevelClaims::slope),
          Map.entry("madsbo-hypergradient", BilevelClaims::hypergradient),
          Map.entry("fedmbo-speedup", BilevelClaims::speedup),
          Map.entry("pbgd-constrained", PenaltyClaims::constrained),
          Map.entry("nested-complex-momentum", GameClaims::complexMomentum),
          Map.entry("central-flow-sharpness", FlowClaims::sharpness),
          Map.entry("network-newton", NewtonClaims::networkNewton),
          Map.entry("esom", NewtonClaims::esom),
          Map.entry("giant", NewtonClaims::giant),
          Map.entry("dingo", NewtonClaims::dingo),
          Map.entry("muon-bands", MuonClaims::bands),
          Map.entry("adahessian-condition", ScalingClaims::condition),
          Map.entry("oasis-no-tuning", ScalingClaims::oasis),
          Map.entry("savic-scaling", ScalingClaims::savic),
          Map.entry("trpo-monotone", PolicyClaims::monotone));

  private Experiments() {}

  static Experiment of(Claim claim) {
    Experiment experiment = BY_CLAIM.get(claim.name());
    if (experiment == null) {
      throw new IllegalArgumentException(
          "claim " + claim.name() + " has no experiment: add it to " + Experiments.class.getName());
    }
    return experiment;
  }

  /** Whether table and claims name the same ones. */
  static boolean matches(Collection<Claim> claims) {
    return claims.stream().map(Claim::name).collect(Collectors.toSet()).equals(BY_CLAIM.keySet());
  }
}
