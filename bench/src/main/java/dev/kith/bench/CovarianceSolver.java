package dev.kith.bench;

import dev.kith.graph.RandomGraphs;
import dev.kith.graph.WeightRule;
import dev.kith.privacy.MixingObjective;
import dev.kith.privacy.OptimalCovariance;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;

/**
 * The covariance of CorN's noise for 256 nodes: a random graph whose pairs of nodes are joined with
 * probability 0.05, Metropolis weights, one round, b = 1.
 */
final class CovarianceSolver {
  static final int NODES = 256;

  private static final double PROBABILITY = 0.05;

  private CovarianceSolver() {}

  /**
   * What one solution took and how good it is.
   *
   * @param seconds from the objective to the covariance
   * @param processorSeconds of them those that this thread had a processor
   * @param residual the larger of how far (R^-1)_ii is from b where it was iterated, and of |P
   *     Lambda P - A| over the largest entry of A, which is worked out anew
   * @param iterations eigen-decompositions
   */
  record Cost(double seconds, double processorSeconds, double residual, int iterations) {}

  static Cost measure() {
    double[][] a =
        MixingObjective.oneRound(
            new WeightRule.Metropolis().weights(RandomGraphs.erdosRenyi(NODES, PROBABILITY, 1)));
    ThreadMXBean threads = ManagementFactory.getThreadMXBean();
    long used = threads.getCurrentThreadCpuTime();
    long begin = System.nanoTime();
    OptimalCovariance found = OptimalCovariance.of(a, 1);
    double seconds = (System.nanoTime() - begin) * 1e-9;
    double processor = (threads.getCurrentThreadCpuTime() - used) * 1e-9;
    double off = 0;
    double largest = 0;
    for (int i = 0; i < NODES; i++) {
      for (int j = 0; j < NODES; j++) {
        double product = 0;
        for (int k = 0; k < NODES; k++) {
          product += found.precision()[i][k] * found.multipliers()[k] * found.precision()[k][j];
        }
        double entry = a[i][j] + (i == j ? found.ridge() : 0);
        off = Math.max(off, Math.abs(product - entry));
        largest = Math.max(largest, Math.abs(entry));
      }
    }
    double residual = Math.max(found.residual(), off / largest);
    return new Cost(seconds, processor, residual, found.iterations());
  }
}
