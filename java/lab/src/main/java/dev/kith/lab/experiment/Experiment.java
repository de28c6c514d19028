package dev.kith.lab.experiment;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Memory;
import dev.kith.kernel.NodeTree;
import dev.kith.kernel.Reduction;
import dev.kith.lab.data.DataSets;
import dev.kith.network.Network;
import dev.kith.optimizer.Compression;
import dev.kith.optimizer.Optimizer;
import dev.kith.optimizer.PrivateOptimizer;
import dev.kith.optimizer.Sharpness;
import dev.kith.privacy.NodeNoise;
import dev.kith.privacy.NoiseCovariance;
import dev.kith.privacy.NoiseSecrets;
import dev.kith.problem.Evaluation;
import dev.kith.problem.LayeredClassifier;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/**
 * Everything that a run computes with, built from its {@link Settings}: data, problem, network and
 * optimizer.
 */
final class Experiment implements AutoCloseable {
  private final List<AutoCloseable> owned = new ArrayList<>();
  private final Device device;
  private final DataSets data;
  private final int[][] parts;
  private final MixingSchedule schedule;
  private final LayeredClassifier problem;
  private final Network network;
  private final Optimizer optimizer;
  private final Supplier<Optional<Privacy>> privacy;
  private Optional<NoiseSecrets> secrets = Optional.empty();

  private Experiment(Settings settings, Optional<Path> keys) {
    // Cheap and likely to be wrong first: names before data, data before memory.
    schedule = settings.schedule();
    data =
        DataSets.load(
            settings.text("--data"),
            settings.optional("--test-data"),
            settings.text("--label"),
            settings.scaling(),
            settings.dataSeed());
    try {
      parts = settings.partition().split(data.train(), settings.nodes(), settings.dataSeed());
      device = settings.device();
      settings.threads().ifPresent(this::useThreads);
      Queue queue = own(device.newQueue());
      problem =
          own(settings.model().problem(queue, data, parts, settings.batch(), settings.seed()));
      network = own(Network.builder(schedule).messageType(settings.messageType()).build());
      try (DeviceMatrix initial = problem.initial(settings.seed())) {
        if (settings.noise().isPresent()) {
          NoiseChoice choice = settings.noise().get();
          NodeNoise noise = noise(settings, choice, keys);
          PrivateOptimizer made = own(choice.build(settings, problem, network, initial, noise));
          optimizer = made;
          privacy = () -> Optional.of(Privacy.of(choice, choice.guarantee(made), noise));
        } else {
          optimizer = own(settings.algorithm().build(settings, problem, network, initial));
          privacy = Optional::empty;
        }
      }
    } catch (IllegalArgumentException e) {
      close();
      throw new UsageException(hint(settings, e.getMessage()), e);
    } catch (UnsupportedOperationException e) {
      close();
      throw new EnvironmentException(e.getMessage(), e);
    } catch (UncheckedIOException | IllegalStateException e) {
      close();
      throw new EnvironmentException(e.getMessage(), e);
    }
  }

  /**
   * Builds everything.
   *
   * @throws UsageException when a setting cannot be used
   * @throws EnvironmentException when this machine has no library for the device
   */
  static Experiment of(Settings settings) {
    return new Experiment(settings, Optional.empty());
  }

  /**
   * Builds everything, to go on with the secrets of an earlier part of the run.
   *
   * @param keys the file of the secrets, read where the noise is made of some
   * @throws UsageException when a setting cannot be used
   * @throws EnvironmentException when this machine has no library for the device, or the secrets
   *     are not there
   */
  static Experiment resuming(Settings settings, Path keys) {
    return new Experiment(settings, Optional.of(keys));
  }

  private NodeNoise noise(Settings settings, NoiseChoice choice, Optional<Path> keys) {
    NoiseCovariance covariance = choice.covariance(settings.baseSchedule(), settings.rounds());
    secrets =
        choice.secret() && keys.isPresent()
            ? keys.map(NoiseSecrets::read)
            : choice.newSecrets(network, covariance);
    secrets.ifPresent(this::own);
    return secrets.isPresent()
        ? NodeNoise.secret(network, covariance, secrets.get())
        : NodeNoise.simulated(network, covariance, settings.seed());
  }

  /** What the noise is made of, where that is secret. */
  Optional<NoiseSecrets> secrets() {
    return secrets;
  }

  /** What the rounds so far guarantee, where noise was added. */
  Optional<Privacy> privacy() {
    return privacy.get();
  }

  private void useThreads(int threads) {
    try {
      device.threads(threads);
    } catch (UnsupportedOperationException e) {
      throw new UsageException(
          "--threads does not go with --device %s: %s".formatted(device.name(), e.getMessage()), e);
    }
  }

  private static String hint(Settings settings, String message) {
    return message.contains("lazy")
        ? "%s (--weights lazy:%s)".formatted(message, settings.text("--weights"))
        : message;
  }

  private <T extends AutoCloseable> T own(T resource) {
    owned.add(resource);
    return resource;
  }

  Device device() {
    return device;
  }

  DataSets data() {
    return data;
  }

  MixingSchedule schedule() {
    return schedule;
  }

  Optimizer optimizer() {
    return optimizer;
  }

  long parameters() {
    return problem.layout().size();
  }

  /** Samples of every class at every node. */
  int[][] labelCounts() {
    return Arrays.stream(parts)
        .map(part -> data.train().subset("part", part).labelCounts())
        .toArray(int[][]::new);
  }

  /**
   * Measures the present state; changes nothing, and is not metered.
   *
   * @param sharpness whether the Hessian is looked at too
   */
  Measurement measure(boolean sharpness) {
    DeviceMatrix x = optimizer.parameters();
    int[] alive = alive();
    try (DeviceMatrix mean = x.like(1, x.cols(), x.dtype());
        DeviceMatrix losses = x.like(1, x.rows(), DType.F64)) {
      double consensus = consensus(x, mean, alive);
      problem.values(x, losses);
      double trainLoss = mean(losses.toDoubles(), alive);
      Evaluation local = problem.evaluate(x);
      problem.values(mean, losses);
      double meanModelTrainLoss = mean(losses.toDoubles(), alive);
      Evaluation global = problem.evaluate(mean);
      double[] accuracy = local.accuracy();
      Optional<Compression> compression = optimizer.compression();
      return new Measurement(
          optimizer.round(),
          network.meter().messages(),
          network.meter().bytes(),
          trainLoss,
          meanModelTrainLoss,
          mean(accuracy, alive),
          Arrays.stream(alive).mapToDouble(i -> accuracy[i]).min().orElseThrow(),
          global.accuracy()[0],
          mean(local.loss(), alive),
          global.loss()[0],
          consensus,
          alive.length,
          compression.map(Compression::ratio).orElse(1.0),
          compression.map(c -> rootMeanSquare(c.residualNorms(), alive)).orElse(0.0),
          sharpness ? sharpness(mean) : Double.NaN);
    }
  }

  private double sharpness(DeviceMatrix mean) {
    try (Sharpness probe = new Sharpness(problem, network, mean)) {
      return probe.at(mean, 1)[0];
    }
  }

  private int[] alive() {
    return IntStream.range(0, network.nodes())
        .filter(node -> schedule.isAlive(optimizer.round(), node))
        .toArray();
  }

  /** Writes the mean of the living nodes and gives their mean squared distance to it. */
  private double consensus(DeviceMatrix x, DeviceMatrix mean, int[] alive) {
    if (alive.length == network.nodes()) {
      network.observeAverage(x, mean);
      return network.consensusDistance(x);
    }
    try (DeviceMatrix index = x.like(1, alive.length, DType.I32);
        DeviceMatrix rows = x.like(alive.length, x.cols(), x.dtype());
        DeviceMatrix distances = x.like(1, alive.length, DType.F64)) {
      index.upload(alive);
      Memory.gatherRows(x, index, rows);
      Reduction.nodes(NodeTree.program(alive.length), rows, alive.length, mean);
      Reduction.rows(Reduction.Kind.DISTANCE, rows, mean, distances);
      return Reduction.tree(distances.toDoubles()) / alive.length;
    }
  }

  private static double rootMeanSquare(double[] values, int[] chosen) {
    return Math.sqrt(mean(Arrays.stream(values).map(v -> v * v).toArray(), chosen));
  }

  private static double mean(double[] values, int[] chosen) {
    return Reduction.tree(Arrays.stream(chosen).mapToDouble(i -> values[i]).toArray())
        / chosen.length;
  }

  /**
   * SHA-256 of the parameters of all nodes, row by row: equal exactly when two runs ended with
   * equal bits.
   */
  String parametersSha256() {
    MessageDigest digest;
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
    DeviceMatrix x = optimizer.parameters();
    for (long i = 0; i < x.rows(); i++) {
      try (DeviceMatrix row = x.row(i)) {
        float[] values = row.toFloats();
        byte[] bytes = new byte[4 * values.length];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(values);
        digest.update(bytes);
      }
    }
    return HexFormat.of().formatHex(digest.digest());
  }

  @Override
  public void close() {
    RuntimeException failure = null;
    for (AutoCloseable resource : owned.reversed()) {
      try {
        resource.close();
      } catch (Exception e) {
        if (failure == null) {
          failure = new IllegalStateException("a run could not be closed: " + e.getMessage(), e);
        } else {
          failure.addSuppressed(e);
        }
      }
    }
    owned.clear();
    if (failure != null) {
      throw failure;
    }
  }
}
