package dev.kith.lab.experiment;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Secret;
import dev.kith.network.Network;
import dev.kith.optimizer.PrivateCentralSgd;
import dev.kith.optimizer.PrivateDecentralizedSgd;
import dev.kith.optimizer.PrivateOptimizer;
import dev.kith.optimizer.PrivateStepBuilder;
import dev.kith.privacy.Accountant;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;
import dev.kith.privacy.Guarantee;
import dev.kith.privacy.Method;
import dev.kith.privacy.MixingObjective;
import dev.kith.privacy.NodeNoise;
import dev.kith.privacy.NoiseCovariance;
import dev.kith.privacy.NoiseSecrets;
import dev.kith.problem.Problem;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * Noise by name, {@code corn:epsilon=10:delta=1e-5:clip=0.1}: how the noise of nodes is correlated,
 * and for which guarantee after all rounds. The unit of the guarantee is a node: all its data may
 * be others.
 *
 * @param kind how it is correlated
 * @param epsilon of the whole run
 * @param delta of the whole run
 * @param clip the norm to which the gradient of a node is clipped
 * @param contraction of the objective that decor and corn are made for; empty: of one round
 * @param curious how many nodes may pool their secrets; 0: the adversary is an outsider
 * @param secret whether it is made of secrets; else SIMULATED from the seed of the run
 */
public record NoiseChoice(
    Kind kind,
    double epsilon,
    double delta,
    double clip,
    OptionalDouble contraction,
    int curious,
    boolean secret) {
  /** How the noise of nodes is correlated. */
  public enum Kind {
    /** Every node its own. */
    LDP,
    /** Its own, and with each neighbour some that cancels. */
    DECOR,
    /** Jointly drawn, for the mixing matrix. */
    CORN,
    /** A server's, on the exact mean. */
    CDP;

    /** As the command line names it. */
    public String shortName() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  private static final String FORM =
      "write none, or ldp, decor, corn or cdp with :epsilon=X, and on request :delta=1e-5,"
          + " :clip=0.1, :contraction=X (decor and corn), :curious=N (ldp and decor) and :secret,"
          + " such as corn:epsilon=10";

  /** Reads a name; {@code none} is empty. */
  static Optional<NoiseChoice> parse(String text) {
    if (text.equals("none")) {
      return Optional.empty();
    }
    String[] parts = text.split(":", -1);
    Kind kind =
        Arrays.stream(Kind.values())
            .filter(k -> k.shortName().equals(parts[0]))
            .findFirst()
            .orElseThrow(() -> unknown(text, parts[0]));
    OptionalDouble epsilon = OptionalDouble.empty();
    double delta = 1e-5;
    double clip = 0.1;
    OptionalDouble contraction = OptionalDouble.empty();
    int curious = 0;
    boolean secret = false;
    List<String> seen = new ArrayList<>();
    for (String part : Arrays.copyOfRange(parts, 1, parts.length)) {
      String key = part.split("=", -1)[0];
      if (seen.contains(key)) {
        throw unknown(text, part);
      }
      seen.add(key);
      boolean tuned = kind == Kind.DECOR || kind == Kind.CORN;
      switch (key) {
        case "epsilon" -> epsilon = OptionalDouble.of(number(text, part, Double.MAX_VALUE));
        case "delta" -> delta = number(text, part, Math.nextDown(1.0));
        case "clip" -> clip = number(text, part, Double.MAX_VALUE);
        case "contraction" -> {
          if (!tuned) {
            throw unknown(text, part);
          }
          contraction = OptionalDouble.of(number(text, part, Math.nextDown(1.0)));
        }
        case "curious" -> {
          curious = (int) number(text, part, 1_000_000);
          if (kind == Kind.CORN || kind == Kind.CDP || !part.equals("curious=" + curious)) {
            throw unknown(text, part);
          }
        }
        case "secret" -> {
          secret = true;
          if (!part.equals("secret")) {
            throw unknown(text, part);
          }
        }
        default -> throw unknown(text, part);
      }
    }
    if (epsilon.isEmpty()) {
      throw unknown(text, parts[0]);
    }
    return Optional.of(
        new NoiseChoice(kind, epsilon.getAsDouble(), delta, clip, contraction, curious, secret));
  }

  private static double number(String text, String part, double most) {
    try {
      double value = Double.parseDouble(part.substring(part.indexOf('=') + 1));
      if (value > 0 && value <= most) {
        return value;
      }
    } catch (NumberFormatException e) {
      // Told below, together with what is out of range.
    }
    throw unknown(text, part);
  }

  private static IllegalArgumentException unknown(String text, String part) {
    return new IllegalArgumentException(
        "'%s' of '%s' is not understood: %s".formatted(part, text, FORM));
  }

  Adversary adversary() {
    return curious == 0 ? Adversary.eavesdropper() : Adversary.curiousNeighbours(curious);
  }

  /** R for a run of so many rounds on the graph of a schedule without its failures. */
  NoiseCovariance covariance(MixingSchedule schedule, long rounds) {
    double b =
        Accountant.precisionBound(
            epsilon, delta, Method.EXACT, Adjacency.replaceUser(), clip, rounds);
    NoiseCovariance covariance =
        switch (kind) {
          case LDP -> NoiseCovariance.independent(schedule.nodes(), 1 / b);
          case DECOR ->
              NoiseCovariance.tunedPairwise(fixed(schedule).graph(), objective(schedule), b);
          case CORN -> NoiseCovariance.optimal(objective(schedule), b);
          case CDP -> NoiseCovariance.central(schedule.nodes(), b);
        };
    return covariance.withPrecision(adversary(), b);
  }

  private double[][] objective(MixingSchedule schedule) {
    MixingMatrix w = fixed(schedule);
    return contraction.isEmpty()
        ? MixingObjective.oneRound(w)
        : MixingObjective.horizonAware(w, contraction.getAsDouble());
  }

  private MixingMatrix fixed(MixingSchedule schedule) {
    if (schedule.period() != 1) {
      throw new IllegalArgumentException(
          kind.shortName()
              + " is made for one mixing matrix, and that of this topology changes: take another"
              + " topology, or ldp");
    }
    return schedule.at(0);
  }

  /** Draws new secrets for the noise, where it is made of secrets. */
  Optional<NoiseSecrets> newSecrets(Network network, NoiseCovariance covariance) {
    if (!secret) {
      return Optional.empty();
    }
    return Optional.of(
        covariance.kind() == NoiseCovariance.Kind.JOINT
                || covariance.kind() == NoiseCovariance.Kind.CENTRAL
            ? NoiseSecrets.agree(network, covariance, Secret.random())
            : NoiseSecrets.agree(network, covariance));
  }

  PrivateOptimizer build(
      Settings settings, Problem problem, Network network, DeviceMatrix initial, NodeNoise noise) {
    return kind == Kind.CDP
        ? with(PrivateCentralSgd.builder(problem, network, initial), settings, noise).build()
        : with(PrivateDecentralizedSgd.builder(problem, network, initial), settings, noise).build();
  }

  private <B extends PrivateStepBuilder<B>> B with(B builder, Settings settings, NodeNoise noise) {
    B with =
        builder
            .stepSize(settings.rule().stepSize())
            .clipNorm(clip)
            .weightDecay(settings.weightDecay())
            .noise(noise);
    settings.momentum().ifPresent(with::momentum);
    return with;
  }

  /** What the rounds so far guarantee. */
  Guarantee guarantee(PrivateOptimizer optimizer) {
    return optimizer.accountant(Adjacency.replaceUser(), adversary()).epsilon(delta, Method.EXACT);
  }
}
