package dev.kith.lab.claims;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.optimizer.Optimizer;
import dev.kith.privacy.CanaryAudit;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;

/**
 * What audits have in common: coins, what an eavesdropper sees, guesses and the bound from them.
 *
 * <p>A run trains twice, T rounds each, with secrets of their own. Two attacks are fixed beforehand
 * and share what may go wrong: one adds up what the messages show of a canary, the other one takes
 * the differences between equal rounds of the two trainings, where noise that is used twice
 * cancels. A tenth of the canaries is guessed about.
 */
final class Audits {
  /** What is wrong with a run. */
  enum Mistake {
    NONE,
    /** The noise has a third of its standard deviation. */
    LITTLE_NOISE,
    /** Gradients are not clipped. */
    NO_CLIP,
    /** The second training takes the secrets of the first one. */
    KEY_TWICE;

    /** The figure that says by how much the audit finds it. */
    String metric() {
      return switch (this) {
        case NONE -> "boundOverCertified";
        case LITTLE_NOISE -> "littleNoiseOverCertified";
        case NO_CLIP -> "noClipOverCertified";
        case KEY_TWICE -> "keyTwiceOverCertified";
      };
    }
  }

  static final double DELTA = 1e-5;

  private static final double CONFIDENCE = 0.95;

  private Audits() {}

  /** Which canaries are in: fair coins that neither runs nor scores know. */
  static boolean[][] coins(int seed, int populations, int canaries) {
    boolean[][] coins = new boolean[populations][canaries];
    for (int p = 0; p < populations; p++) {
      SharedRandom random = new SharedRandom(seed, Stream.TEST, p, 0);
      for (int k = 0; k < canaries; k++) {
        coins[p][k] = random.uniform(k) < 0.5;
      }
    }
    return coins;
  }

  /** 32 bytes that are the same in every run of a claim. */
  static byte[] key(int seed, int training, int holder) {
    SharedRandom random = new SharedRandom(seed, Stream.TEST, holder, 1 + training);
    byte[] bytes = new byte[32];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) random.word(i);
    }
    return bytes;
  }

  /**
   * One round of x' = W (x - gamma g): the gradients that the messages x - gamma g show, one row a
   * node.
   */
  static double[][] observedStep(Optimizer optimizer, double[][] inverse, double stepSize) {
    double[][] before = rows(optimizer.parameters());
    optimizer.step();
    double[][] messages = times(inverse, rows(optimizer.parameters()));
    for (int i = 0; i < messages.length; i++) {
      for (int c = 0; c < messages[i].length; c++) {
        messages[i][c] = (before[i][c] - messages[i][c]) / stepSize;
      }
    }
    return messages;
  }

  private static double[][] rows(DeviceMatrix x) {
    double[] all = x.toDoubles();
    int cols = (int) x.cols();
    double[][] rows = new double[(int) x.rows()][];
    Arrays.setAll(rows, i -> Arrays.copyOfRange(all, i * cols, (i + 1) * cols));
    return rows;
  }

  static double[][] times(double[][] a, double[][] b) {
    double[][] product = new double[a.length][b[0].length];
    for (int i = 0; i < a.length; i++) {
      for (int k = 0; k < b.length; k++) {
        for (int c = 0; c < product[i].length; c++) {
          product[i][c] += a[i][k] * b[k][c];
        }
      }
    }
    return product;
  }

  static double[][] inverse(MixingMatrix w) {
    return inverse(w.toDense());
  }

  /** By Gauss and Jordan with row exchanges. */
  static double[][] inverse(double[][] a) {
    int n = a.length;
    double[][] left = Arrays.stream(a).map(double[]::clone).toArray(double[][]::new);
    double[][] right = new double[n][n];
    for (int k = 0; k < n; k++) {
      right[k][k] = 1;
    }
    for (int k = 0; k < n; k++) {
      int pivot = k;
      for (int i = k + 1; i < n; i++) {
        pivot = Math.abs(left[i][k]) > Math.abs(left[pivot][k]) ? i : pivot;
      }
      exchange(left, k, pivot);
      exchange(right, k, pivot);
      double over = 1 / left[k][k];
      for (int c = 0; c < n; c++) {
        left[k][c] *= over;
        right[k][c] *= over;
      }
      for (int i = 0; i < n; i++) {
        double factor = i == k ? 0 : left[i][k];
        for (int c = 0; c < n && factor != 0; c++) {
          left[i][c] -= factor * left[k][c];
          right[i][c] -= factor * right[k][c];
        }
      }
    }
    return right;
  }

  private static void exchange(double[][] rows, int i, int j) {
    double[] row = rows[i];
    rows[i] = rows[j];
    rows[j] = row;
  }

  /**
   * The lower bound on epsilon of both attacks together.
   *
   * @param coins by population and canary
   * @param sums what the messages of a canary add up to, higher for those that seem to be in
   * @param differences how far equal rounds of the two trainings differ, likewise
   */
  static double bound(boolean[][] coins, double[][] sums, double[][] differences) {
    boolean[] included = new boolean[coins.length * coins[0].length];
    for (int k = 0; k < included.length; k++) {
      included[k] = coins[k / coins[0].length][k % coins[0].length];
    }
    int guesses = included.length / 20 * 2;
    double best = 0;
    for (double[][] scores : new double[][][] {sums, differences}) {
      double[] flat = Arrays.stream(scores).flatMapToDouble(Arrays::stream).toArray();
      CanaryAudit audit = CanaryAudit.of(included, flat, guesses);
      best = Math.max(best, audit.epsilon(DELTA, 1 - (1 - CONFIDENCE) / 2));
    }
    return best;
  }
}
