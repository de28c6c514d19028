package dev.kith.problem;

import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;

/**
 * See {@link Partition#dirichlet(double)}.
 *
 * <p>Stream PARTITION: (node 0, round 0) orders the samples; (node i, round 1) draws q_i; (node i,
 * round 2) draws the classes of node i, one per turn. Gamma variates by G. Marsaglia and W. W.
 * Tsang, "A simple method for generating gamma variables", 2000, kept as logarithms: for small
 * alpha the variates themselves underflow.
 */
record DirichletPartition(double alpha) implements Partition {
  /**
   * Elements of the random field that one gamma variate may use: two per attempt, and attempts
   * succeed 19 times in 20.
   */
  private static final long ELEMENTS_PER_CLASS = 1024;

  DirichletPartition {
    if (!(alpha >= 1e-6 && alpha <= 1e6)) {
      throw new IllegalArgumentException(
          "alpha of a Dirichlet partition must lie between 1e-6 and 1e6, not " + alpha);
    }
  }

  @Override
  public int[][] split(ClassificationData data, int nodes, long seed) {
    IidPartition.checkNodes(data, nodes);
    int classes = data.classes();
    int[] left = data.labelCounts();
    int[][] samplesOf = samplesByClass(data, left, seed);
    double[][] weights = new double[nodes][];
    SharedRandom[] draws = new SharedRandom[nodes];
    int[][] parts = new int[nodes][];
    for (int node = 0; node < nodes; node++) {
      weights[node] = dirichlet(new SharedRandom(seed, Stream.PARTITION, node, 1), alpha, classes);
      draws[node] = new SharedRandom(seed, Stream.PARTITION, node, 2);
      parts[node] = new int[data.samples() / nodes + (node < data.samples() % nodes ? 1 : 0)];
    }
    for (int turn = 0; turn < parts[0].length; turn++) {
      for (int node = 0; node < nodes && turn < parts[node].length; node++) {
        int label = pick(weights[node], left, draws[node].uniform(turn));
        parts[node][turn] = samplesOf[label][--left[label]];
      }
    }
    for (int[] part : parts) {
      Arrays.sort(part);
    }
    return parts;
  }

  private static int[][] samplesByClass(ClassificationData data, int[] counts, long seed) {
    int[][] samples = new int[data.classes()][];
    Arrays.setAll(samples, c -> new int[counts[c]]);
    int[] filled = new int[data.classes()];
    for (int sample : new SharedRandom(seed, Stream.PARTITION, 0, 0).permutation(data.samples())) {
      int label = data.label(sample);
      samples[label][filled[label]++] = sample;
    }
    return samples;
  }

  /**
   * A class with samples left, by weight; where all weight lies on used-up classes, by what is
   * left.
   */
  private static int pick(double[] weights, int[] left, double uniform) {
    double total = 0;
    for (int c = 0; c < left.length; c++) {
      total += left[c] > 0 ? weights[c] : 0;
    }
    boolean byWeight = total > 0;
    if (!byWeight) {
      for (int count : left) {
        total += count;
      }
    }
    double point = uniform * total;
    int chosen = -1;
    for (int c = 0; c < left.length; c++) {
      double weight = byWeight ? weights[c] : left[c];
      if (left[c] > 0 && weight > 0) {
        chosen = c;
        if (point < weight) {
          break;
        }
        point -= weight;
      }
    }
    return chosen;
  }

  /** Of the symmetric distribution; takes numbers below 1024 times {@code classes}. */
  static double[] dirichlet(SharedRandom random, double alpha, int classes) {
    double[] logs = new double[classes];
    for (int c = 0; c < classes; c++) {
      logs[c] = logGamma(random, alpha, c * ELEMENTS_PER_CLASS);
    }
    double largest = Arrays.stream(logs).max().orElseThrow();
    double total = 0;
    double[] weights = new double[classes];
    for (int c = 0; c < classes; c++) {
      weights[c] = StrictMath.exp(logs[c] - largest);
      total += weights[c];
    }
    for (int c = 0; c < classes; c++) {
      weights[c] /= total;
    }
    return weights;
  }

  /** The logarithm of a Gamma(alpha, 1) variate. Below 1: Gamma(alpha + 1) times u^(1 / alpha). */
  private static double logGamma(SharedRandom random, double alpha, long first) {
    long next = first;
    double boost = 0;
    double shape = alpha;
    if (shape < 1) {
      boost = StrictMath.log(random.uniform(next++)) / shape;
      shape += 1;
    }
    double d = shape - 1.0 / 3;
    double c = 1 / Math.sqrt(9 * d);
    while (next + 2 <= first + ELEMENTS_PER_CLASS) {
      double x = random.normal(next++);
      double u = random.uniform(next++);
      double v = 1 + c * x;
      if (v > 0) {
        v = v * v * v;
        if (StrictMath.log(u) < 0.5 * x * x + d - d * v + d * StrictMath.log(v)) {
          return StrictMath.log(d * v) + boost;
        }
      }
    }
    throw new AssertionError("a gamma variate was rejected 500 times in a row");
  }

  @Override
  public String name() {
    return "dirichlet:"
        + (alpha == Math.rint(alpha) ? Long.toString((long) alpha) : Double.toString(alpha));
  }
}
