package dev.kith.lab.claims;

import java.util.Collection;
import java.util.Map;
import java.util.stream.Collectors;

/** How each claim of {@code claims.json} is measured. */
final class Experiments {
  private static final Map<String, Experiment> BY_CLAIM =
      Map.of(
          "dsgd-fixed-point", BiasClaims::fixedPoint,
          "tracking-removes-bias", BiasClaims::trackingRemovesBias,
          "chebyshev-rounds", GossipClaims::chebyshevRounds,
          "exponential-finite-time", GossipClaims::finiteTime,
          "spectral-gaps", GossipClaims::spectralGaps,
          "single-merge", LearningClaims::singleMerge,
          "disaster", LearningClaims::disaster,
          "dsgd-saddle", SaddleClaims::dsgdSaddle,
          "dsgd-linear-speedup", SpeedupClaims::linearSpeedup);

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
