package dev.kith.lab.experiment;

import dev.kith.compress.Compressor;
import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topology;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.StepRule;
import dev.kith.lab.data.Scaling;
import dev.kith.optimizer.ScaledLocalSgd;
import dev.kith.problem.Partition;
import dev.kith.problem.Regularizer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.stream.IntStream;

/**
 * What a run is made of, read from the flags of the command line. Whatever two runs with the same
 * settings do, they do with the same bits.
 */
public final class Settings {
  /** Flags that do not change what is computed. */
  private static final List<String> WITHOUT_INFLUENCE = List.of("--threads");

  private final Map<String, String> given;
  private final Device device;
  private final Algorithm algorithm;
  private final Topology topology;
  private final WeightRule weights;
  private final int nodes;
  private final long rounds;
  private final ModelChoice model;
  private final Partition partition;
  private final int batch;
  private final StepRule rule;
  private final double weightDecay;
  private final int localSteps;
  private final OptionalInt gossipRounds;
  private final DType messageType;
  private final Optional<Compressor> compressor;
  private final OptionalDouble consensusStepSize;
  private final Optional<NoiseChoice> noise;
  private final OptionalDouble momentum;
  private final OptionalDouble adaptiveRank;
  private final OptionalDouble clipNorm;
  private final OptionalLong warmUpRounds;
  private final Optional<Compressor> serverCompressor;
  private final Optional<Regularizer> regularizer;
  private final OptionalDouble stepSize;
  private final Optional<ScaledLocalSgd.Scaling> diagonal;
  private final Scaling scaling;
  private final long evaluateEvery;
  private final OptionalLong sharpnessEvery;
  private final OptionalInt threads;
  private final long seed;
  private final long dataSeed;

  private Settings(Map<String, String> given) {
    this.given = new LinkedHashMap<>(given);
    Flags flags = new Flags(given);
    flags.only("--transport", "local");
    device = device(flags);
    algorithm = flags.choice("--algorithm", Algorithm.known());
    topology = flags.read("--topology", Topology::parse);
    weights = flags.read("--weights", WeightRule::parse);
    nodes = (int) flags.whole("--nodes", 1, 1_000_000);
    rounds = flags.whole("--rounds", 1, 1_000_000_000);
    model = ModelChoice.parse(flags.text("--model"));
    partition = flags.read("--partition", Partition::parse);
    batch = flags.text("--batch").equals("all") ? 0 : (int) flags.whole("--batch", 1, 1 << 20);
    stepSize =
        flags.optional("--step-size").isPresent()
            ? OptionalDouble.of(flags.number("--step-size", 0, true))
            : algorithm.ownStepSize();
    rule = RuleChoice.sized(flags.choice("--rule", RuleChoice.known()), stepSize);
    weightDecay = flags.number("--weight-decay", 0, false);
    localSteps = (int) flags.whole("--local-steps", 1, 1_000_000);
    gossipRounds =
        flags.optional("--gossip-rounds").isPresent()
            ? OptionalInt.of((int) flags.whole("--gossip-rounds", 1, 1_000_000))
            : OptionalInt.empty();
    messageType =
        flags.choice(
            "--message-type",
            new TreeMap<>(Map.of("f32", DType.F32, "bf16", DType.BF16, "f16", DType.F16)));
    compressor =
        flags.text("--compressor").equals("none")
            ? Optional.empty()
            : Optional.of(flags.read("--compressor", Compressor::parse));
    noise = flags.read("--noise", NoiseChoice::parse);
    consensusStepSize =
        flags.optional("--consensus-step-size").isPresent()
            ? OptionalDouble.of(flags.number("--consensus-step-size", 0, true))
            : OptionalDouble.empty();
    momentum =
        flags.optional("--momentum").isPresent()
            ? OptionalDouble.of(flags.number("--momentum", 0, false))
            : OptionalDouble.empty();
    adaptiveRank =
        flags.optional("--adaptive-rank").isPresent()
            ? OptionalDouble.of(flags.number("--adaptive-rank", 0, true))
            : OptionalDouble.empty();
    clipNorm =
        flags.optional("--clip-norm").isPresent()
            ? OptionalDouble.of(flags.number("--clip-norm", 0, true))
            : OptionalDouble.empty();
    warmUpRounds =
        flags.optional("--warm-up-rounds").isPresent()
            ? OptionalLong.of(flags.whole("--warm-up-rounds", 1, 1_000_000_000))
            : OptionalLong.empty();
    serverCompressor =
        flags.optional("--server-compressor").isPresent()
            ? Optional.of(flags.read("--server-compressor", Compressor::parse))
            : Optional.empty();
    regularizer =
        flags.optional("--regularizer").isPresent()
            ? Optional.of(flags.read("--regularizer", Regularizer::parse))
            : Optional.empty();
    Map<String, ScaledLocalSgd.Scaling> diagonals = new LinkedHashMap<>();
    for (ScaledLocalSgd.Scaling known : ScaledLocalSgd.Scaling.values()) {
      diagonals.put(known.name().toLowerCase(Locale.ROOT), known);
    }
    diagonal =
        flags.optional("--scaling").isPresent()
            ? Optional.of(flags.choice("--scaling", diagonals))
            : Optional.empty();
    Map<String, Scaling> scalings = new LinkedHashMap<>();
    for (Scaling known : Scaling.values()) {
      scalings.put(known.shortName(), known);
    }
    scaling = flags.choice("--scale", scalings);
    evaluateEvery =
        flags.optional("--evaluate-every").isPresent()
            ? flags.whole("--evaluate-every", 1, 1_000_000_000)
            : Math.max(1, (rounds + 39) / 40);
    sharpnessEvery =
        flags.optional("--sharpness-every").isPresent()
            ? OptionalLong.of(flags.whole("--sharpness-every", 1, 1_000_000_000))
            : OptionalLong.empty();
    threads =
        flags.optional("--threads").isPresent()
            ? OptionalInt.of((int) flags.whole("--threads", 1, 1024))
            : OptionalInt.empty();
    seed = flags.whole("--seed", Long.MIN_VALUE, Long.MAX_VALUE);
    dataSeed = flags.whole("--data-seed", Long.MIN_VALUE, Long.MAX_VALUE);
    algorithm.check(this);
  }

  /**
   * Reads the flags of one run, by their names on the command line.
   *
   * @throws UsageException naming the flag that cannot be used
   * @throws EnvironmentException when the device is not there
   */
  public static Settings of(Map<String, String> flags) {
    return new Settings(flags);
  }

  /**
   * Reads flags with comma lists: one run for every combination.
   *
   * @throws UsageException naming the flag that cannot be used
   * @throws EnvironmentException when a device is not there
   */
  public static List<Settings> combinations(Map<String, String> lists) {
    List<Settings> runs = new ArrayList<>();
    for (Map<String, String> flags : Flags.combinations(lists)) {
      runs.add(of(flags));
    }
    return runs;
  }

  /** The mixing matrices of all rounds, without failures. */
  MixingSchedule baseSchedule() {
    try {
      return topology.schedule(weights, nodes, seed);
    } catch (IllegalArgumentException e) {
      throw new UsageException("--topology, --weights and --nodes: " + e.getMessage(), e);
    }
  }

  /** The mixing matrices of all rounds, with the failures that were asked for. */
  MixingSchedule schedule() {
    MixingSchedule base = baseSchedule();
    MixingSchedule failing =
        FailureChoice.apply(
            base, topology, weights, algorithm, text("--drop-nodes"), text("--drop-links"), seed);
    if (IntStream.range(0, nodes).noneMatch(node -> failing.isAlive(rounds, node))) {
      throw new UsageException(
          "--drop-nodes %s: no node is left after round %d; spare one"
              .formatted(text("--drop-nodes"), rounds));
    }
    return failing;
  }

  /** What a snapshot and a run that resumes it must have in common: a flag and its value a line. */
  String fingerprint() {
    StringBuilder lines = new StringBuilder();
    new TreeMap<>(resolved())
        .forEach(
            (flag, value) -> {
              if (!WITHOUT_INFLUENCE.contains(flag)) {
                lines.append(flag).append(' ').append(value).append('\n');
              }
            });
    return lines.toString();
  }

  /** All flags with the values that are used, defaults included. */
  public Map<String, String> resolved() {
    Map<String, String> all = new LinkedHashMap<>(given);
    all.put("--step-size", Flags.plain(rule.stepSize()));
    all.put("--evaluate-every", Long.toString(evaluateEvery));
    all.values().removeIf(String::isEmpty);
    return all;
  }

  private static Device device(Flags flags) {
    try {
      return flags.read("--device", Device::named);
    } catch (UnsupportedOperationException e) {
      throw new EnvironmentException(e.getMessage(), e);
    }
  }

  /** What the run computes on. */
  public Device device() {
    return device;
  }

  String text(String flag) {
    return given.get(flag);
  }

  Optional<String> optional(String flag) {
    return Optional.ofNullable(given.get(flag)).filter(value -> !value.isEmpty());
  }

  Algorithm algorithm() {
    return algorithm;
  }

  /** As the command line names it. */
  public String algorithmName() {
    return algorithm.shortName();
  }

  /** As the command line names it. */
  public String topologyName() {
    return topology.text();
  }

  int nodes() {
    return nodes;
  }

  /** Rounds of the whole run. */
  public long rounds() {
    return rounds;
  }

  ModelChoice model() {
    return model;
  }

  Partition partition() {
    return partition;
  }

  /** Samples of a mini-batch; 0: all of the node. */
  int batch() {
    return batch;
  }

  StepRule rule() {
    return rule;
  }

  double weightDecay() {
    return weightDecay;
  }

  int localSteps() {
    return localSteps;
  }

  /** What encodes the messages, if anything. */
  Optional<Compressor> compressor() {
    return compressor;
  }

  /** What protects the data of the nodes, if anything. */
  Optional<NoiseChoice> noise() {
    return noise;
  }

  OptionalDouble consensusStepSize() {
    return consensusStepSize;
  }

  OptionalDouble momentum() {
    return momentum;
  }

  OptionalDouble adaptiveRank() {
    return adaptiveRank;
  }

  OptionalDouble clipNorm() {
    return clipNorm;
  }

  OptionalLong warmUpRounds() {
    return warmUpRounds;
  }

  Optional<Compressor> serverCompressor() {
    return serverCompressor;
  }

  /** What was given; algorithms have their own for want of it. */
  OptionalDouble stepSize() {
    return stepSize;
  }

  /** Where savic has its diagonal from. */
  Optional<ScaledLocalSgd.Scaling> diagonal() {
    return diagonal;
  }

  Optional<Regularizer> regularizer() {
    return regularizer;
  }

  OptionalInt gossipRounds() {
    return gossipRounds;
  }

  DType messageType() {
    return messageType;
  }

  Scaling scaling() {
    return scaling;
  }

  long evaluateEvery() {
    return evaluateEvery;
  }

  OptionalLong sharpnessEvery() {
    return sharpnessEvery;
  }

  OptionalInt threads() {
    return threads;
  }

  long seed() {
    return seed;
  }

  long dataSeed() {
    return dataSeed;
  }
}
