package dev.kith.privacy;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.TestDevice;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.kernel.Secret;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.PerExampleClipping;
import dev.kith.problem.Problem;
import dev.kith.problem.SoftmaxRegression;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * Audits of the gradients of DP-SGD by canaries: what keeps its guarantee stays below it, and what
 * does not is found out. Two attacks are fixed beforehand: the sum of what the rounds show of a
 * canary, and the difference of two runs of the same rounds.
 */
class AuditedRunTest {
  private static final int NODES = 20;
  private static final int SLOTS = 100;
  private static final int CLASSES = 3;
  private static final int ROUNDS = 8;
  private static final double DELTA = 1e-5;
  private static final double RATE = 0.5;

  private static final double SIGMA =
      Accountant.calibrate(1, DELTA, Method.RDP, AuditedRunTest::records);
  private static final double CERTIFIED = records(SIGMA).epsilon(DELTA).epsilon();
  private Queue queue;

  @BeforeEach
  void open() {
    queue = TestDevice.chosen().newQueue();
  }

  @AfterEach
  void close() {
    queue.close();
  }

  private static Accountant records(double multiplier) {
    return Accountant.of(Adjacency.addRemoveRecord(), Adversary.eavesdropper(), NoiseOrigin.SECRET)
        .plus(new Mechanism.PoissonGaussian(multiplier, RATE), 2 * ROUNDS);
  }

  /** The problem, with the bound that it is given or without one. */
  private record Bounded(SoftmaxRegression problem, boolean clips)
      implements Problem, PerExampleClipping {
    @Override
    public Layout layout() {
      return problem.layout();
    }

    @Override
    public int nodes() {
      return problem.nodes();
    }

    @Override
    public int firstNode() {
      return problem.firstNode();
    }

    @Override
    public int localNodes() {
      return problem.localNodes();
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      problem.gradient(x, g, round);
    }

    @Override
    public int examples(int row) {
      return problem.examples(row);
    }

    @Override
    public void clippedGradient(
        DeviceMatrix x, DeviceMatrix g, int[][] picked, double clip, double[] divisors) {
      problem.clippedGradient(x, g, picked, clips ? clip : Double.POSITIVE_INFINITY, divisors);
    }

    @Override
    public void close() {}
  }

  /** The lower bound on epsilon, by the better of the two attacks, of two trainings of 8 rounds. */
  private double bound(int seed, double multiplier, boolean clips, boolean sameKeys) {
    boolean[] included = new boolean[NODES * SLOTS];
    SharedRandom coins = new SharedRandom(seed, Stream.TEST, 0, 0);
    for (int k = 0; k < included.length; k++) {
      included[k] = coins.uniform(k) < 0.5;
    }
    int[][] parts = new int[NODES][];
    for (int node = 0; node < NODES; node++) {
      int first = node * SLOTS;
      parts[node] = IntStream.range(0, SLOTS).filter(e -> included[first + e]).toArray();
    }
    float[] values = new float[SLOTS * SLOTS];
    int[] labels = new int[SLOTS];
    for (int e = 0; e < SLOTS; e++) {
      values[e * SLOTS + e] = 5;
      labels[e] = e % CLASSES;
    }
    ClassificationData data = ClassificationData.of("canaries", SLOTS, CLASSES, values, labels);
    double[] sums = new double[included.length];
    double[] differences = new double[included.length];
    try (SoftmaxRegression problem = SoftmaxRegression.builder(queue, data, parts).build();
        DeviceMatrix start = problem.initialOfEachNode(1);
        DeviceMatrix later = start.like();
        DeviceMatrix g = start.like()) {
      int numbers = NODES * (int) start.cols();
      later.upload(IntStream.range(0, numbers).mapToDouble(k -> 0.1 * (k % 7)).toArray());
      double[][][] seen = new double[2][ROUNDS][];
      for (int training = 0; training < 2; training++) {
        int key = sameKeys ? 0 : training;
        List<Secret> secrets =
            IntStream.range(0, NODES).mapToObj(node -> secret(seed, key, node)).toList();
        try (DpSgdProblem sampled =
            DpSgdProblem.builder(new Bounded(problem, clips), 1, multiplier)
                .rate(RATE)
                .secrets(secrets)
                .build()) {
          for (int t = 0; t < ROUNDS; t++) {
            sampled.gradient(training == 0 ? start : later, g, t);
            seen[training][t] = g.toDoubles();
          }
        }
      }
      int cols = (int) start.cols();
      for (int k = 0; k < included.length; k++) {
        for (int c = 0; c < CLASSES; c++) {
          int at = k / SLOTS * cols + c * SLOTS + k % SLOTS;
          double direction = 1.0 / CLASSES - (c == labels[k % SLOTS] ? 1 : 0);
          for (int t = 0; t < ROUNDS; t++) {
            sums[k] += direction * (seen[0][t][at] + seen[1][t][at]);
            differences[k] += Math.abs(seen[0][t][at] - seen[1][t][at]);
          }
        }
      }
    }
    return Math.max(
        CanaryAudit.of(included, sums, 200).epsilon(DELTA, 0.975),
        CanaryAudit.of(included, differences, 200).epsilon(DELTA, 0.975));
  }

  private static Secret secret(int seed, int training, int node) {
    byte[] bytes = new byte[Secret.BYTES];
    bytes[0] = (byte) seed;
    bytes[1] = (byte) training;
    bytes[2] = (byte) node;
    return Secret.of(bytes);
  }

  /**
   * With probability 0.95 each, if the certified value were exact; it is far above what is seen.
   */
  @Test
  void whatIsCertifiedIsNeverRefuted() {
    for (int seed = 1; seed <= 3; seed++) {
      double bound = bound(seed, SIGMA, true, false);
      assertTrue(bound < CERTIFIED, "seed " + seed + ": " + bound + " of " + CERTIFIED);
    }
  }

  @Test
  void aThirdOfTheNoiseIsFoundOut() {
    double bound = bound(1, SIGMA / 3, true, false);
    assertTrue(bound > CERTIFIED, bound + " of " + CERTIFIED);
  }

  @Test
  void aClipThatWasLeftOutIsFoundOut() {
    double bound = bound(1, SIGMA, false, false);
    assertTrue(bound > CERTIFIED, bound + " of " + CERTIFIED);
  }

  @Test
  void aKeyThatIsUsedTwiceIsFoundOut() {
    double bound = bound(1, SIGMA, true, true);
    assertTrue(bound > CERTIFIED, bound + " of " + CERTIFIED);
  }
}
