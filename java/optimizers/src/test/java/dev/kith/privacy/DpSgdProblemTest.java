package dev.kith.privacy;

import static dev.kith.privacy.Messages.messageOf;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.TestDevice;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Secret;
import dev.kith.network.Network;
import dev.kith.network.Processes;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.Snapshot;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.LayeredClassifier;
import dev.kith.problem.SoftmaxRegression;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DpSgdProblemTest {
  private static final int FEATURES = 6;
  private static final int NODES = 5;
  private static final int[][] PARTS = {
    IntStream.range(0, 30).toArray(),
    {},
    IntStream.range(30, 37).toArray(),
    IntStream.range(37, 59).toArray(),
    {59}
  };

  @TempDir Path folder;
  private Queue queue;

  @BeforeEach
  void open() {
    queue = TestDevice.chosen().newQueue();
  }

  @AfterEach
  void close() {
    queue.close();
  }

  private static ClassificationData data() {
    SharedRandom random = new SharedRandom(4, Stream.TEST, 0, 0);
    float[] values = new float[60 * FEATURES];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.normal(i);
    }
    int[] labels = new int[60];
    Arrays.setAll(labels, i -> (int) random.below(i, 3));
    return ClassificationData.of("random", FEATURES, 3, values, labels);
  }

  private static LayeredClassifier softmax(Queue queue, int first, int count) {
    return SoftmaxRegression.builder(queue, data(), PARTS).nodes(first, count).build();
  }

  /** The secret of a node: whose bytes are its number. */
  private static Secret secret(int node) {
    byte[] bytes = new byte[Secret.BYTES];
    Arrays.fill(bytes, (byte) (node + 1));
    return Secret.of(bytes);
  }

  private static List<Secret> secrets(int first, int count) {
    return IntStream.range(first, first + count).mapToObj(DpSgdProblemTest::secret).toList();
  }

  private static double[] row(DeviceMatrix m, int i) {
    int cols = (int) m.cols();
    return Arrays.copyOfRange(m.toDoubles(), i * cols, (i + 1) * cols);
  }

  /** With almost no noise it is the clipped mean over all examples, divided by their number. */
  @Test
  void withoutSamplingItIsTheClippedMeanAndNoise() {
    try (LayeredClassifier examples = softmax(queue, 0, NODES);
        DpSgdProblem quiet =
            DpSgdProblem.builder(examples, 0.5, 1e-9).secrets(secrets(0, NODES)).build();
        DeviceMatrix x = DeviceMatrix.allocate(queue, NODES, examples.layout(), DType.F32);
        DeviceMatrix g = x.like();
        DeviceMatrix expected = x.like()) {
      quiet.gradient(x, g, 0);
      int[][] all =
          Arrays.stream(PARTS)
              .map(part -> IntStream.range(0, part.length).toArray())
              .toArray(int[][]::new);
      examples.clippedGradient(x, expected, all, 0.5, new double[] {30, 1, 7, 22, 1});
      assertArrayEquals(expected.toDoubles(), g.toDoubles(), 1e-8);
      assertArrayEquals(new double[(int) x.cols()], row(g, 1), "nothing to hide, nothing added");
    }
  }

  /** Noise over many rounds has the standard deviation sigma C / (q N_i), at every node its own. */
  @Test
  void noiseHasItsStandardDeviation() {
    double sigma = 40;
    double clip = 0.25;
    int rounds = 400;
    for (double rate : new double[] {1, 0.5}) {
      try (LayeredClassifier examples = softmax(queue, 0, NODES);
          DpSgdProblem loud =
              DpSgdProblem.builder(examples, clip, sigma)
                  .rate(rate)
                  .secrets(secrets(0, NODES))
                  .build();
          DeviceMatrix x = DeviceMatrix.allocate(queue, NODES, examples.layout(), DType.F32);
          DeviceMatrix g = x.like()) {
        double[] squares = new double[NODES];
        for (int round = 0; round < rounds; round++) {
          loud.gradient(x, g, round);
          double[] drawn = g.toDoubles();
          for (int k = 0; k < drawn.length; k++) {
            squares[k / (int) x.cols()] += drawn[k] * drawn[k];
          }
        }
        double draws = rounds * (double) x.cols();
        for (int node : new int[] {0, 2, 3, 4}) {
          double deviation = sigma * clip / (rate * PARTS[node].length);
          // The clipped sum adds at most (C N)^2 / (sigma C)^2 = 30^2 / 40^2 shared by all columns.
          double spread = 4 * Math.sqrt(2 / draws) + Math.pow(PARTS[node].length / sigma, 2) / 21;
          assertEquals(1, squares[node] / draws / (deviation * deviation), spread, "node " + node);
        }
      }
    }
  }

  /** Of 30 examples each joins with probability q: by the first moment of the clipped sums. */
  @Test
  void examplesJoinWithTheirRateAndTheDivisorIsTheExpectedSize() {
    double rate = 0.3;
    int rounds = 500;
    int node = 0;
    try (LayeredClassifier examples = softmax(queue, 0, NODES);
        DpSgdProblem sampled =
            DpSgdProblem.builder(examples, 1e-3, 1e-12)
                .rate(rate)
                .secrets(secrets(0, NODES))
                .build();
        DeviceMatrix x = DeviceMatrix.allocate(queue, NODES, examples.layout(), DType.F32);
        DeviceMatrix g = x.like()) {
      int cols = (int) x.cols();
      int[][] all =
          Arrays.stream(PARTS)
              .map(part -> IntStream.range(0, part.length).toArray())
              .toArray(int[][]::new);
      examples.clippedGradient(x, g, all, 1e-3, new double[] {30, 1, 7, 22, 1});
      double[] whole = row(g, node);
      double square = Arrays.stream(whole).map(v -> v * v).sum();
      double[] mean = new double[cols];
      double along = 0;
      double alongSquare = 0;
      for (int round = 0; round < rounds; round++) {
        sampled.gradient(x, g, round);
        double[] one = row(g, node);
        double dot = 0;
        for (int k = 0; k < cols; k++) {
          mean[k] += one[k] / rounds;
          dot += one[k] * whole[k] / square;
        }
        along += dot / rounds;
        alongSquare += dot * dot / rounds;
      }
      double deviation = Math.sqrt(alongSquare - along * along);
      // Divided by the expected size the sum is unbiased, and its length changes with the sample;
      // divided by the realised size both would be off.
      assertEquals(1, along, 4 * deviation / Math.sqrt(rounds));
      // The size of the batch alone has the relative deviation sqrt((1 - q) / (q N)) = 0.279.
      assertTrue(deviation > 0.2, "the sum changes with the size of the batch: " + deviation);
      assertArrayEquals(whole, mean, 4 * 1e-3 / Math.sqrt(rate * 30 * rounds));
    }
  }

  private DecentralizedSgd.Builder optimizer(
      DpSgdProblem problem, Network network, DeviceMatrix x) {
    return DecentralizedSgd.builder(problem, network, x).stepSize(0.2);
  }

  private double[] trained(int processes) {
    return Processes.run(
            NODES,
            processes,
            (transport, own) -> {
              int first = transport.range().begin();
              int count = transport.range().end() - first;
              List<Secret> keys = secrets(first, count);
              try (LayeredClassifier examples = softmax(own, first, count);
                  DpSgdProblem problem =
                      DpSgdProblem.builder(examples, 0.5, 1.2).rate(0.4).secrets(keys).build();
                  Network network =
                      Network.builder(MixingSchedule.parse("ring", "metropolis", NODES, 1))
                          .transport(transport)
                          .build();
                  DeviceMatrix start = examples.initial(1);
                  DecentralizedSgd sgd = optimizer(problem, network, start).build()) {
                for (int t = 0; t < 6; t++) {
                  sgd.step();
                }
                return sgd.parameters().toDoubles();
              }
            })
        .stream()
        .flatMapToDouble(Arrays::stream)
        .toArray();
  }

  @Test
  void cutsDoNotChangeABit() {
    double[] whole = trained(1);
    assertTrue(Arrays.stream(whole).allMatch(Double::isFinite));
    assertArrayEquals(whole, trained(2));
    assertArrayEquals(whole, trained(5));
  }

  @Test
  void aRunThatIsResumedWithItsSecretsEndsWithTheSameBits() {
    Path file = folder.resolve("run.kith");
    List<Secret> keys = secrets(0, NODES);
    double[][] ends = new double[2][];
    for (int run = 0; run < 2; run++) {
      try (LayeredClassifier examples = softmax(queue, 0, NODES);
          DpSgdProblem problem =
              DpSgdProblem.builder(examples, 0.5, 1.2).rate(0.4).secrets(keys).build();
          Network network =
              Network.builder(MixingSchedule.parse("ring", "metropolis", NODES, 1)).build();
          DeviceMatrix start = examples.initial(1);
          DecentralizedSgd sgd = optimizer(problem, network, start).build()) {
        if (run == 1) {
          Snapshot.read(file, sgd);
        }
        for (long t = sgd.round(); t < 6; t++) {
          if (run == 0 && t == 3) {
            Snapshot.write(file, sgd);
          }
          sgd.step();
        }
        assertEquals(6, problem.rounds(), "all rounds count, those before the snapshot too");
        ends[run] = sgd.parameters().toDoubles();
      }
    }
    assertArrayEquals(ends[0], ends[1]);
  }

  @Test
  void theGuaranteeIsThatOfThePoissonSampledGaussian() {
    try (LayeredClassifier examples = softmax(queue, 0, NODES);
        DpSgdProblem secret =
            DpSgdProblem.builder(examples, 1, 1.5).rate(0.25).secrets(secrets(0, NODES)).build();
        DpSgdProblem simulated =
            DpSgdProblem.builder(examples, 1, 1.5).rate(0.25).simulated(7).build();
        DeviceMatrix x = DeviceMatrix.allocate(queue, NODES, examples.layout(), DType.F32);
        DeviceMatrix g = x.like()) {
      assertEquals(0, secret.guarantee(Adversary.eavesdropper(), 1e-5).epsilon());
      for (int t = 0; t < 8; t++) {
        secret.gradient(x, g, t);
        simulated.gradient(x, g, t);
      }
      Accountant reference =
          Accountant.of(
                  Adjacency.addRemoveRecord(),
                  Adversary.curiousNeighbours(NODES - 1),
                  NoiseOrigin.SECRET)
              .plus(new Mechanism.PoissonGaussian(1.5, 0.25), 8);
      Guarantee guarantee = secret.guarantee(Adversary.curiousNeighbours(NODES - 1), 1e-5);
      assertEquals(reference.epsilon(1e-5), guarantee);
      assertTrue(guarantee.certified());
      assertFalse(simulated.guarantee(Adversary.eavesdropper(), 1e-5).certified());
      secret.requireAccounted(reference);
      // Without sampling a round is the plain Gaussian mechanism: the limit of the same formula.
      Accountant untold =
          Accountant.of(Adjacency.addRemoveRecord(), Adversary.eavesdropper(), NoiseOrigin.SECRET)
              .plus(new Mechanism.PoissonGaussian(1.5, 0.1), 8);
      assertEquals(
          "the accountant was told of 0 rounds of PoissonGaussian[noiseMultiplier=1.5, rate=0.25]"
              + " and 8 were drawn: count every round, with this noise multiplier and sampling rate",
          messageOf(() -> secret.requireAccounted(untold)));
    }
  }

  @Test
  void aRoundIsDrawnOnce() {
    try (LayeredClassifier examples = softmax(queue, 0, NODES);
        DpSgdProblem problem =
            DpSgdProblem.builder(examples, 1, 1).secrets(secrets(0, NODES)).build();
        DeviceMatrix x = DeviceMatrix.allocate(queue, NODES, examples.layout(), DType.F32);
        DeviceMatrix g = x.like()) {
      problem.gradient(x, g, 4);
      for (long round : new long[] {4, 0}) {
        assertEquals(
            "the noise of round "
                + round
                + " was drawn before, and used twice it hides nothing: ask for rounds in ascending"
                + " order, each once",
            assertThrows(IllegalStateException.class, () -> problem.gradient(x, g, round))
                .getMessage());
      }
      assertEquals(
          "round 1099511627776 draws nothing: rounds are in [0, 2^40); begin a run with new secrets",
          messageOf(() -> problem.gradient(x, g, 1L << 40)));
      problem.gradient(x, g, (1L << 40) - 1);
      assertThrows(IllegalStateException.class, () -> problem.gradient(x, g, (1L << 40) - 1));
    }
  }

  @Test
  void badSettingsAreRefusedInOneSentence() {
    try (LayeredClassifier examples = softmax(queue, 0, NODES)) {
      assertEquals(
          "the clip norm is 0.0: give a finite number above 0",
          messageOf(() -> DpSgdProblem.builder(examples, 0, 1)));
      assertEquals(
          "the clip norm is Infinity: give a finite number above 0",
          messageOf(() -> DpSgdProblem.builder(examples, Double.POSITIVE_INFINITY, 1)));
      assertEquals(
          "the noise multiplier is NaN: give a finite number above 0",
          messageOf(() -> DpSgdProblem.builder(examples, 1, Double.NaN)));
      DpSgdProblem.Builder<LayeredClassifier> builder = DpSgdProblem.builder(examples, 1, 1);
      assertEquals(
          "the sampling rate is 1.5: it must lie above 0 and be at most 1",
          messageOf(() -> builder.rate(1.5)));
      assertEquals(
          "the sampling rate is 1.0E-10: below 2^-32 no example would ever join",
          messageOf(() -> builder.rate(1e-10)));
      assertEquals(
          "there are 4 secrets for 5 local nodes: give each its own",
          messageOf(() -> builder.secrets(secrets(0, 4))));
      List<Secret> shared = IntStream.range(0, 5).mapToObj(i -> secret(i % 4)).toList();
      assertEquals(
          "two nodes have the same secret, so one can make the noise of the other: draw one for"
              + " each",
          messageOf(() -> builder.secrets(shared)));
      assertEquals(
          "the noise needs either secrets or a public seed, and has neither: give secrets, or"
              + " simulate",
          assertThrows(IllegalStateException.class, builder::build).getMessage());
      assertEquals(
          "the noise needs either secrets or a public seed, and has both: give secrets, or"
              + " simulate",
          assertThrows(
                  IllegalStateException.class,
                  () -> builder.secrets(secrets(0, 5)).simulated(1).build())
              .getMessage());
    }
  }
}
