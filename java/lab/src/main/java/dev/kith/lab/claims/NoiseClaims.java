package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.Graph;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.RandomGraphs;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.NoiseField.Distribution;
import dev.kith.kernel.NoiseField.PublicRow;
import dev.kith.kernel.NoiseField.SecretRow;
import dev.kith.kernel.Reduction;
import dev.kith.kernel.Secret;
import dev.kith.network.LocalTransport;
import dev.kith.network.Network;
import dev.kith.network.Transport;
import dev.kith.optimizer.Optimizer;
import dev.kith.optimizer.PrivateCentralSgd;
import dev.kith.optimizer.PrivateDecentralizedSgd;
import dev.kith.privacy.Accountant;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Method;
import dev.kith.privacy.MixingObjective;
import dev.kith.privacy.NodeNoise;
import dev.kith.privacy.NoiseCovariance;
import dev.kith.privacy.NoiseSecrets;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.Partition;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import dev.kith.problem.SoftmaxRegression;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Experiments on learning with noise: what it costs, and that its bits are the same everywhere. */
final class NoiseClaims {
  private static final long SEED = 1;
  private static final double DELTA = 1e-5;

  private NoiseClaims() {}

  private static MixingMatrix weights(Graph graph) {
    return new WeightRule.Metropolis().weights(graph);
  }

  private static double bound(double epsilon, double clip, int rounds) {
    return Accountant.precisionBound(
        epsilon, DELTA, Method.EXACT, Adjacency.replaceUser(), clip, rounds);
  }

  // ---- decor-between ----

  private static final int RING = 16;
  private static final int DIMENSION = 10;
  private static final int ROUNDS = 3500;
  private static final double STEP = 1.668e-3;

  /**
   * Squared distance to the optimum at equal privacy: a server, DECOR, and every node by itself.
   */
  static Measurement decorBetween(Setting setting) {
    int seeds = setting.pick(1, 10);
    MixingMatrix w = weights(Topologies.ring(RING));
    double[][] objective = MixingObjective.horizonAware(w, 1 - STEP);
    double decorOverLdp = 0;
    double cdpOverDecor = 0;
    Measurement measurement =
        Measurement.under(
            ("ring of 16, f_i = |x - b|^2 / 2 with |b| = 0.5, d = 10, step 1.668e-3, clip 1, T = %d,"
                    + " delta = 1e-5, DECOR made for the whole run, seeds: %d, f32")
                .formatted(ROUNDS, seeds));
    for (double epsilon : new double[] {5, 20}) {
      double b = bound(epsilon, 1, ROUNDS);
      NoiseCovariance decor = NoiseCovariance.tunedPairwise(Topologies.ring(RING), objective, b);
      if (setting.sabotaged()) {
        // As if the two ends of an edge had not agreed: as much noise, and nothing cancels.
        decor = NoiseCovariance.independent(RING, decor.conditioning().maxVariance());
      }
      double own = distance(setting, w, NoiseCovariance.independent(RING, 1 / b), seeds);
      double pairwise = distance(setting, w, decor, seeds);
      double server = distance(setting, w, NoiseCovariance.central(RING, b), seeds);
      decorOverLdp = Math.max(decorOverLdp, pairwise / own);
      cdpOverDecor = Math.max(cdpOverDecor, server / pairwise);
      measurement =
          measurement
              .with("ldp" + (int) epsilon, own)
              .with("decor" + (int) epsilon, pairwise)
              .with("cdp" + (int) epsilon, server);
    }
    return measurement.with("decorOverLdp", decorOverLdp).with("cdpOverDecor", cdpOverDecor);
  }

  private static double distance(
      Setting setting, MixingMatrix w, NoiseCovariance covariance, int seeds) {
    double[] curvature = new double[DIMENSION * DIMENSION];
    double[] minimiser = new double[DIMENSION];
    for (int c = 0; c < DIMENSION; c++) {
      curvature[c * DIMENSION + c] = 1;
      minimiser[c] = 0.5 / Math.sqrt(DIMENSION);
    }
    double[][] curvatures = new double[RING][];
    double[][] minimisers = new double[RING][];
    Arrays.fill(curvatures, curvature);
    Arrays.fill(minimisers, minimiser);
    double sum = 0;
    for (int seed = 1; seed <= seeds; seed++) {
      try (Quadratic problem =
              Quadratic.of(curvatures, minimisers).build(setting.queue(), DType.F32);
          Network network = Network.builder(MixingSchedule.constant(w)).build();
          DeviceMatrix start =
              DeviceMatrix.allocate(setting.queue(), 1, problem.layout(), DType.F32);
          Optimizer optimizer =
              optimizer(problem, network, start, STEP, 1, simulated(network, covariance, seed))) {
        for (int k = 0; k < ROUNDS; k++) {
          optimizer.step();
        }
        double[] x = optimizer.parameters().toDoubles();
        for (int k = 0; k < x.length; k++) {
          double off = x[k] - minimiser[k % DIMENSION];
          sum += off * off / RING / seeds;
        }
      }
    }
    return sum;
  }

  private static NodeNoise simulated(Network network, NoiseCovariance covariance, long seed) {
    return NodeNoise.simulated(network, covariance, seed);
  }

  private static Optimizer optimizer(
      Problem problem,
      Network network,
      DeviceMatrix start,
      double step,
      double clip,
      NodeNoise noise) {
    return noise.covariance().kind() == NoiseCovariance.Kind.CENTRAL
        ? PrivateCentralSgd.builder(problem, network, start)
            .stepSize(step)
            .clipNorm(clip)
            .noise(noise)
            .build()
        : PrivateDecentralizedSgd.builder(problem, network, start)
            .stepSize(step)
            .clipNorm(clip)
            .noise(noise)
            .build();
  }

  // ---- corn-training ----

  private static final int FEATURES = 50;
  private static final int NODES = 20;
  private static final int SAMPLES = 500 * NODES;
  private static final double CLIP = 0.1;

  /** Training loss at equal privacy on random graphs, covariances made for one round. */
  static Measurement cornTraining(Setting setting) {
    int rounds = setting.pick(500, 1000);
    ClassificationData data = logisticData();
    double b = bound(10, CLIP, rounds);
    MixingMatrix unused = MixingMatrix.identity(NODES);
    double cdp = loss(setting, data, unused, NoiseCovariance.central(NODES, b), rounds);
    double decorMinusLdp = Double.NEGATIVE_INFINITY;
    double cornMinusDecor = Double.NEGATIVE_INFINITY;
    double cdpMinusCorn = Double.NEGATIVE_INFINITY;
    Measurement measurement =
        Measurement.under(
            ("logistic regression, d = 50, Erdos-Renyi n = 20, 500 samples a node, batch 64, clip 0.1,"
                    + " step 0.1, T = %d, epsilon = 10, delta = 1e-5, mean training loss, f32")
                .formatted(rounds));
    for (double p : new double[] {0.3, 0.5, 0.8}) {
      Graph graph = RandomGraphs.erdosRenyi(NODES, p, SEED);
      MixingMatrix w = weights(graph);
      double[][] a = MixingObjective.oneRound(w);
      double[][] seen =
          setting.sabotaged() ? MixingObjective.oneRound(MixingMatrix.identity(NODES)) : a;
      double ldp = loss(setting, data, w, NoiseCovariance.independent(NODES, 1 / b), rounds);
      double decor = loss(setting, data, w, NoiseCovariance.tunedPairwise(graph, a, b), rounds);
      double corn = loss(setting, data, w, NoiseCovariance.optimal(seen, b), rounds);
      decorMinusLdp = Math.max(decorMinusLdp, decor - ldp);
      cornMinusDecor = Math.max(cornMinusDecor, corn - decor);
      cdpMinusCorn = Math.max(cdpMinusCorn, cdp - corn);
      String name = "P" + (int) Math.round(10 * p);
      measurement =
          measurement.with("ldp" + name, ldp).with("decor" + name, decor).with("corn" + name, corn);
    }
    return measurement
        .with("cdp", cdp)
        .with("decorMinusLdp", decorMinusLdp)
        .with("cornMinusDecor", cornMinusDecor)
        .with("cdpMinusCorn", cdpMinusCorn);
  }

  /** Labels drawn from a logistic model over normal features. */
  private static ClassificationData logisticData() {
    float[] values = new float[SAMPLES * FEATURES];
    int[] labels = new int[SAMPLES];
    SharedRandom truth = new SharedRandom(SEED, Stream.DATA, 0, 1);
    for (int i = 0; i < SAMPLES; i++) {
      SharedRandom sample = new SharedRandom(SEED, Stream.DATA, i, 0);
      double score = 0;
      for (int c = 0; c < FEATURES; c++) {
        float value = (float) sample.normal(c);
        values[i * FEATURES + c] = value;
        score += value * truth.normal(c) * 3 / Math.sqrt(FEATURES);
      }
      labels[i] = sample.uniform(FEATURES) < 1 / (1 + Math.exp(-score)) ? 1 : 0;
    }
    return ClassificationData.of("logistic", FEATURES, 2, values, labels);
  }

  private static double loss(
      Setting setting,
      ClassificationData data,
      MixingMatrix w,
      NoiseCovariance covariance,
      int rounds) {
    try (SoftmaxRegression problem =
            SoftmaxRegression.builder(
                    setting.queue(), data, Partition.iid().split(data, NODES, SEED))
                .batch(64)
                .seed(SEED)
                .build();
        Network network = Network.builder(MixingSchedule.constant(w)).build();
        DeviceMatrix start =
            DeviceMatrix.allocate(setting.queue(), 1, problem.layout(), DType.F32);
        Optimizer optimizer =
            optimizer(problem, network, start, 0.1, CLIP, simulated(network, covariance, SEED));
        DeviceMatrix losses = DeviceMatrix.allocate(setting.queue(), 1, NODES, DType.F64)) {
      for (int k = 0; k < rounds; k++) {
        optimizer.step();
      }
      problem.values(optimizer.parameters(), losses);
      return Reduction.tree(losses.toDoubles()) / NODES;
    }
  }

  // ---- noise-bits-everywhere ----

  private static final int CUT_NODES = 10;
  private static final int CUT_ROUNDS = 8;

  /** Golden numbers of docs/randomness.md, and private runs at several threads and cuts. */
  static Measurement noiseBitsEverywhere(Setting setting) {
    int golden = goldenDifferences(setting.queue());
    Graph ring = Topologies.ring(CUT_NODES);
    MixingMatrix w = weights(ring);
    List<NoiseCovariance> covariances =
        List.of(
            NoiseCovariance.pairwise(ring, 0.5, 2),
            NoiseCovariance.optimal(MixingObjective.oneRound(w), 1));
    Device device = setting.queue().device();
    int differences = 0;
    int runs = 0;
    for (NoiseCovariance covariance : covariances) {
      double[] whole = cut(setting, w, covariance, 1);
      for (OptionalInt threads :
          List.of(OptionalInt.empty(), OptionalInt.of(1), OptionalInt.of(5))) {
        int before = device.threads();
        if (threads.isPresent() && !changed(device, threads.getAsInt())) {
          continue;
        }
        try {
          for (int processes : new int[] {1, 3, 5}) {
            double[] other = cut(setting, w, covariance, processes);
            runs++;
            for (int k = 0; k < whole.length; k++) {
              if (Double.doubleToRawLongBits(whole[k]) != Double.doubleToRawLongBits(other[k])) {
                differences++;
              }
            }
          }
        } finally {
          if (threads.isPresent()) {
            changed(device, before);
          }
        }
      }
    }
    return Measurement.under(
            ("11 golden numbers; private D-SGD with pairwise noise of a seed and joint noise of a"
                    + " secret on a ring of 10, d = 41, %d rounds, %d runs over 1, 3 and 5 processes"
                    + " and several numbers of threads")
                .formatted(CUT_ROUNDS, runs))
        .with("goldenDifferences", golden)
        .with("cutDifferences", differences);
  }

  /** Sets the number of threads where the device has one. */
  private static boolean changed(Device device, int threads) {
    try {
      device.threads(threads);
      return true;
    } catch (UnsupportedOperationException e) {
      return false;
    }
  }

  private static Secret key() {
    byte[] bytes = new byte[Secret.BYTES];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) i;
    }
    return Secret.of(bytes);
  }

  /** A number of docs/randomness.md: element of a row, and the bits it has. */
  private record Golden(
      long seed,
      boolean secret,
      Stream stream,
      int node,
      long round,
      Distribution distribution,
      int element,
      int bits) {}

  private static int goldenDifferences(Queue queue) {
    Distribution normal = Distribution.NORMAL;
    Distribution sign = Distribution.RADEMACHER;
    Distribution laplace = Distribution.LAPLACE;
    List<Golden> numbers =
        List.of(
            new Golden(1, false, Stream.NODE_NOISE, 0, 0, normal, 0, 0xbfbd3956),
            new Golden(1, false, Stream.NODE_NOISE, 0, 0, normal, 1, 0x3f99e883),
            new Golden(
                -3, false, Stream.PERTURBATION, 7, 1099511627775L, normal, 99999, 0xbf0ca351),
            new Golden(1, false, Stream.PERTURBATION, 0, 0, sign, 0, 0xbf800000),
            new Golden(42, false, Stream.PERTURBATION, 3, 5, sign, 1033, 0xbf800000),
            new Golden(1, false, Stream.GROUP_NOISE, 0, 0, laplace, 0, 0x400d7d70),
            new Golden(0, true, Stream.NODE_NOISE, 5, 3, Distribution.UNIFORM, 12, 0x3f2263f2),
            new Golden(0, true, Stream.NODE_NOISE, 0, 0, normal, 0, 0x3f3610c1),
            new Golden(0, true, Stream.EDGE_NOISE, 9, 4294967296L, normal, 2000, 0x3fbea458),
            new Golden(0, true, Stream.GROUP_NOISE, 1, 1, sign, 500, 0x3f800000),
            new Golden(0, true, Stream.NODE_NOISE, 0, 0, laplace, 3, 0x3da1b8d3));
    int differences = 0;
    try (Secret key = key()) {
      for (Golden g : numbers) {
        NoiseField field =
            g.secret()
                ? NoiseField.secret(
                    g.distribution(), g.stream(), List.of(new SecretRow(key, g.round(), g.node())))
                : NoiseField.shared(
                    g.distribution(),
                    g.stream(),
                    List.of(new PublicRow(g.seed(), g.round(), g.node())));
        try (DeviceMatrix row = DeviceMatrix.allocate(queue, 1, g.element() + 1, DType.F32)) {
          Noise.draw(field, 1, row);
          float found = row.toFloats()[g.element()];
          differences += Float.floatToRawIntBits(found) == g.bits() ? 0 : 1;
        }
      }
    }
    return differences;
  }

  /** The parameters of all nodes after some rounds, over so many processes. */
  private static double[] cut(
      Setting setting, MixingMatrix w, NoiseCovariance covariance, int processes) {
    try (ExecutorService threads = Executors.newFixedThreadPool(processes)) {
      List<Future<double[]>> parts = new ArrayList<>();
      for (Transport transport : LocalTransport.group(CUT_NODES, processes)) {
        parts.add(threads.submit(() -> part(setting, transport, w, covariance)));
      }
      List<double[]> found = new ArrayList<>();
      for (Future<double[]> part : parts) {
        found.add(part.get());
      }
      return found.stream().flatMapToDouble(Arrays::stream).toArray();
    } catch (ExecutionException | InterruptedException e) {
      throw new IllegalStateException("a process failed: " + e.getMessage(), e);
    }
  }

  private static double[] part(
      Setting setting, Transport transport, MixingMatrix w, NoiseCovariance covariance) {
    try (transport;
        Queue queue = setting.queue().device().newQueue();
        Quadratic problem =
            Quadratic.random(CUT_NODES, 41, 4, 1, SEED)
                .nodes(transport.range().begin(), transport.range().end())
                .build(queue, DType.F32);
        Network network = Network.builder(MixingSchedule.constant(w)).transport(transport).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        Optimizer optimizer =
            optimizer(
                problem,
                network,
                start,
                0.05,
                1,
                // The key is that of the golden numbers: there is nothing to wipe.
                covariance.kind() == NoiseCovariance.Kind.JOINT && !setting.sabotaged()
                    ? NodeNoise.secret(
                        network, covariance, NoiseSecrets.agree(network, covariance, key()))
                    : simulated(
                        network,
                        covariance,
                        setting.sabotaged() ? SEED + transport.process() : SEED))) {
      for (int k = 0; k < CUT_ROUNDS; k++) {
        optimizer.step();
      }
      return optimizer.parameters().toDoubles();
    }
  }
}
