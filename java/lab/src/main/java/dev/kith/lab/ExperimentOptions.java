package dev.kith.lab;

import dev.kith.lab.experiment.UsageException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * The flags of {@code train} and {@code compare}. Values stay texts: {@code compare} takes lists of
 * them.
 */
final class ExperimentOptions {
  @Option(
      names = "--algorithm",
      paramLabel = "NAME",
      defaultValue = "dsgd",
      description =
          "dsgd, dsgd-cta, d2, extra, dsgt, chebyshev, push-sum, single-merge, central, or with encoded messages choco, deepsqueeze, c-gt, ef-sgd, ef21, diana, power-sgd, powergossip, sign-sgd, dgc, masha1 or masha2; extragradient; complex-momentum; by curvature adahessian, sophia-g, sophia-h, oasis or savic. Default: ${DEFAULT-VALUE}.")
  private String algorithm;

  @Option(
      names = "--topology",
      paramLabel = "NAME",
      defaultValue = "ring",
      description =
          "ring, torus:4x4, erdos-renyi:0.3, exponential, one-peer-exponential, sparse-gossip:0.2 and more: an unknown name lists all. Default: ${DEFAULT-VALUE}.")
  private String topology;

  @Option(
      names = "--weights",
      paramLabel = "RULE",
      defaultValue = "metropolis",
      description =
          "Rule for the mixing matrix: metropolis, max-degree, best-constant, ..., lazy:RULE. Default: ${DEFAULT-VALUE}.")
  private String weights;

  @Option(
      names = "--nodes",
      paramLabel = "N",
      defaultValue = "16",
      description = "Number of nodes. Default: ${DEFAULT-VALUE}.")
  private String nodes;

  @Option(
      names = "--rounds",
      paramLabel = "N",
      defaultValue = "500",
      description = "Number of rounds. Default: ${DEFAULT-VALUE}.")
  private String rounds;

  @Option(
      names = "--model",
      paramLabel = "NAME",
      defaultValue = "mlp:128",
      description =
          "softmax, or mlp:WIDTH[xWIDTH...] with hidden layers of these widths. Default: ${DEFAULT-VALUE}.")
  private String model;

  @Option(
      names = "--data",
      paramLabel = "NAME|PATH",
      defaultValue = "mnist",
      description =
          "mnist, digits, or a file: IDX, CSV or LIBSVM, also gzip'ed. Default: ${DEFAULT-VALUE}.")
  private String data;

  @Option(
      names = "--test-data",
      paramLabel = "PATH",
      defaultValue = "",
      description = "A file to test on. Default: a fifth of the samples.")
  private String testData;

  @Option(
      names = "--label",
      paramLabel = "COLUMN",
      defaultValue = "last",
      description =
          "Label column of a CSV file: first, last, a number from 1, or its name. Default: ${DEFAULT-VALUE}.")
  private String label;

  @Option(
      names = "--scale",
      paramLabel = "NAME",
      defaultValue = "centred",
      description =
          "unit: features into [0, 1]; centred: 2 (u - mean) of those; standard: mean 0, variance 1. Default: ${DEFAULT-VALUE}.")
  private String scale;

  @Option(
      names = "--partition",
      paramLabel = "NAME",
      defaultValue = "dirichlet:0.5",
      description = "iid, or label skew dirichlet:ALPHA. Default: ${DEFAULT-VALUE}.")
  private String partition;

  @Option(
      names = "--batch",
      paramLabel = "N",
      defaultValue = "32",
      description =
          "Samples of a mini-batch at each node, or all: those of the node in every round. Default: ${DEFAULT-VALUE}.")
  private String batch;

  @Option(
      names = "--step-size",
      paramLabel = "X",
      defaultValue = "",
      description = "Default: 0.3 for sgd, else that of the paper of the rule.")
  private String stepSize;

  @Option(
      names = "--rule",
      paramLabel = "NAME",
      defaultValue = "sgd",
      description =
          "Local step rule: sgd, heavy-ball, nesterov, adagrad, adadelta, rmsprop, adam, adamax, nadam or yogi. Default: ${DEFAULT-VALUE}.")
  private String rule;

  @Option(
      names = "--weight-decay",
      paramLabel = "X",
      defaultValue = "0",
      description = "Decoupled, as in AdamW. Default: ${DEFAULT-VALUE}.")
  private String weightDecay;

  @Option(
      names = "--local-steps",
      paramLabel = "N",
      defaultValue = "1",
      description = "Steps of every node between two exchanges. Default: ${DEFAULT-VALUE}.")
  private String localSteps;

  @Option(
      names = "--gossip-rounds",
      paramLabel = "N",
      defaultValue = "",
      description = "Exchanges a round of chebyshev. Default: 1 / sqrt of the eigenvalue ratio.")
  private String gossipRounds;

  @Option(
      names = "--message-type",
      paramLabel = "TYPE",
      defaultValue = "f32",
      description = "Numbers travel as f32, bf16 or f16. Default: ${DEFAULT-VALUE}.")
  private String messageType;

  @Option(
      names = "--drop-nodes",
      paramLabel = "SPEC",
      defaultValue = "none",
      description =
          "Nodes that disappear: highest:0.2@5 (the fifth with the highest degree, from round 5 on), lowest:..., random:..., 3@5 (node 3), joined by +. Default: ${DEFAULT-VALUE}.")
  private String dropNodes;

  @Option(
      names = "--drop-links",
      paramLabel = "SPEC",
      defaultValue = "none",
      description =
          "Links that fail: 0.1 (each with this probability in every round), 3-4@5 (from round 5 on), joined by +. Default: ${DEFAULT-VALUE}.")
  private String dropLinks;

  @Option(
      names = "--compressor",
      paramLabel = "NAME",
      defaultValue = "none",
      description =
          "What choco, deepsqueeze, c-gt, ef-sgd, ef21, diana, dgc, masha1 and masha2 encode messages by: top-k:0.01, random-k:0.01, random-k:0.01:unscaled and more; an unknown name lists all. For power-sgd and powergossip: power-sgd:RANK. Default: ${DEFAULT-VALUE}, for dgc top-k:0.001.")
  private String compressor;

  @Option(
      names = "--consensus-step-size",
      paramLabel = "X",
      defaultValue = "",
      description =
          "How far choco, deepsqueeze and c-gt go towards the neighbours. Default: that of the theorem for choco, which is small, else 0.1.")
  private String consensusStepSize;

  @Option(
      names = "--server-compressor",
      paramLabel = "NAME",
      defaultValue = "",
      description =
          "For masha1 and masha2: a server beside node 0 takes the messages and answers by this. Default: all send to all, and nothing is lost on a way back.")
  private String serverCompressor;

  @Option(
      names = "--momentum",
      paramLabel = "X",
      defaultValue = "",
      description =
          "Of ef-sgd, power-sgd, sign-sgd, dgc, of complex-momentum its modulus, and of dsgd with noise. Default: 0.9 for dgc and complex-momentum, else 0.")
  private String momentum;

  @Option(
      names = "--adaptive-rank",
      paramLabel = "SHARE",
      defaultValue = "",
      description =
          "For ef-sgd with power-sgd:RANK: the rank follows how many singular values hold this share of the squares of what is sent, up to RANK; DiLoCoX takes 0.9 and power-sgd:RANK+int4. Default: the rank stays.")
  private String adaptiveRank;

  @Option(
      names = "--clip-norm",
      paramLabel = "X",
      defaultValue = "",
      description =
          "dgc clips the gradient of each of N nodes to X / sqrt(N). Default: no clipping.")
  private String clipNorm;

  @Option(
      names = "--warm-up-rounds",
      paramLabel = "N",
      defaultValue = "",
      description =
          "dgc sends 25 %%, 6.25 %%, 1.56 %% and 0.39 %% for N rounds each before what --compressor says. Default: no warm-up.")
  private String warmUpRounds;

  @Option(
      names = "--scaling",
      paramLabel = "NAME",
      defaultValue = "",
      description =
          "Where savic has its diagonal from: adam or rmsprop (gradients), oasis or adahessian (curvature). Default: adam.")
  private String scaling;

  @Option(
      names = "--regularizer",
      paramLabel = "NAME",
      defaultValue = "",
      description =
          "For diana, extragradient and masha1: l1:X, squared-norm:X or non-negative, by its proximal step. Default: none.")
  private String regularizer;

  @Option(
      names = "--noise",
      paramLabel = "NAME",
      defaultValue = "none",
      description =
          "With dsgd: ldp, decor, corn or cdp with :epsilon=X of the whole run, such as corn:epsilon=10; more: :delta=1e-5, :clip=0.1, :contraction=X, :curious=N, :secret. SIMULATED from the seed unless secret. Default: ${DEFAULT-VALUE}.")
  private String noise;

  @Mixin private DeviceOption device;

  @Option(
      names = "--transport",
      paramLabel = "NAME",
      defaultValue = "local",
      description = "This version has ${DEFAULT-VALUE}: all nodes in this process.")
  private String transport;

  @Option(
      names = "--threads",
      paramLabel = "N",
      defaultValue = "",
      description = "Default: KITH_THREADS, else all processors. Results do not depend on it.")
  private String threads;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "1",
      description =
          "Of mini-batches, starts, random graphs and failures. Default: ${DEFAULT-VALUE}.")
  private String seed;

  @Option(
      names = "--data-seed",
      paramLabel = "N",
      defaultValue = "1",
      description = "Of the test split and the partition. Default: ${DEFAULT-VALUE}.")
  private String dataSeed;

  @Option(
      names = "--evaluate-every",
      paramLabel = "N",
      defaultValue = "",
      description = "Rounds between two measurements. Default: a fortieth of all.")
  private String evaluateEvery;

  @Option(
      names = "--sharpness-every",
      paramLabel = "N",
      defaultValue = "",
      description =
          "Rounds between two measurements that also look at the largest eigenvalue of the Hessian at the mean model. Default: never.")
  private String sharpnessEvery;

  @Option(
      names = "--snapshot-every",
      paramLabel = "TIME",
      defaultValue = "30s",
      description =
          "Such as 500ms, 30s, 5m, or off: only when the run is stopped. Default: ${DEFAULT-VALUE}.")
  private String snapshotEvery;

  @Option(names = "--resume", description = "Go on from the snapshot in the folder.")
  private boolean resume;

  @Option(names = "--overwrite", description = "Drop an unfinished run in the folder.")
  private boolean overwrite;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      defaultValue = "",
      description = "Folder of the results. Default: results/ALGORITHM-TOPOLOGY.")
  private String out;

  @Option(
      names = "--json",
      description = "Print one JSON document on standard output and nothing else there.")
  private boolean json;

  /** The values that settle what is computed, by flag. */
  Map<String, String> flags() {
    Map<String, String> flags = new LinkedHashMap<>();
    flags.put("--algorithm", algorithm);
    flags.put("--topology", topology);
    flags.put("--weights", weights);
    flags.put("--nodes", nodes);
    flags.put("--rounds", rounds);
    flags.put("--model", model);
    flags.put("--data", data);
    flags.put("--test-data", testData);
    flags.put("--label", label);
    flags.put("--scale", scale);
    flags.put("--partition", partition);
    flags.put("--batch", batch);
    flags.put("--step-size", stepSize);
    flags.put("--rule", rule);
    flags.put("--weight-decay", weightDecay);
    flags.put("--local-steps", localSteps);
    flags.put("--gossip-rounds", gossipRounds);
    flags.put("--message-type", messageType);
    flags.put("--drop-nodes", dropNodes);
    flags.put("--drop-links", dropLinks);
    flags.put("--compressor", compressor);
    flags.put("--consensus-step-size", consensusStepSize);
    flags.put("--server-compressor", serverCompressor);
    flags.put("--momentum", momentum);
    flags.put("--adaptive-rank", adaptiveRank);
    flags.put("--clip-norm", clipNorm);
    flags.put("--warm-up-rounds", warmUpRounds);
    flags.put("--regularizer", regularizer);
    flags.put("--scaling", scaling);
    flags.put("--noise", noise);
    flags.put("--device", device.name());
    flags.put("--transport", transport);
    flags.put("--threads", threads);
    flags.put("--seed", seed);
    flags.put("--data-seed", dataSeed);
    flags.put("--evaluate-every", evaluateEvery);
    flags.put("--sharpness-every", sharpnessEvery);
    return flags;
  }

  Optional<Duration> snapshotEvery() {
    if (snapshotEvery.equals("off")) {
      return Optional.empty();
    }
    Matcher time = Pattern.compile("(\\d{1,9})(ms|s|m|h)").matcher(snapshotEvery);
    if (!time.matches()) {
      throw new UsageException(
          "--snapshot-every %s is no time; write for example 500ms, 30s, 5m, 1h, or off"
              .formatted(snapshotEvery));
    }
    long amount = Long.parseLong(time.group(1));
    return Optional.of(
        switch (time.group(2)) {
          case "ms" -> Duration.ofMillis(amount);
          case "s" -> Duration.ofSeconds(amount);
          case "m" -> Duration.ofMinutes(amount);
          default -> Duration.ofHours(amount);
        });
  }

  boolean resume() {
    if (resume && overwrite) {
      throw new UsageException("--resume and --overwrite exclude each other; give one of them");
    }
    return resume;
  }

  boolean overwrite() {
    return overwrite;
  }

  boolean json() {
    return json;
  }

  /** The folder that was given, else results/NAME with characters that file names bear. */
  Path folder(String name) {
    return out.isEmpty()
        ? Path.of("results", name.replaceAll("[^A-Za-z0-9.-]+", "-"))
        : Path.of(out);
  }
}
