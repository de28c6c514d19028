package dev.kith.bench;

import java.util.Arrays;

/**
 * Two things timed in alternation, so that what the machine does meanwhile falls on both.
 *
 * @param nanos median time of the first
 * @param otherNanos median time of the second
 * @param ratio median of the pairwise ratios, second over first: above 1 the first is faster
 * @param low first quartile of the ratios
 * @param high third quartile of the ratios
 * @param pairs how many pairs
 */
record Paired(double nanos, double otherNanos, double ratio, double low, double high, int pairs) {
  /** Something that takes a time. */
  interface Timed {
    /** Runs once and returns nanoseconds. */
    double nanos() throws Exception;
  }

  /**
   * Times a task; short ones are repeated until a run takes about 2 ms, and the time of one is
   * returned.
   */
  static Timed timed(Runnable task) {
    task.run();
    long begin = System.nanoTime();
    task.run();
    long once = Math.max(1, System.nanoTime() - begin);
    int repeats = (int) Math.max(1, Math.min(100_000, 2_000_000 / once));
    return () -> {
      long start = System.nanoTime();
      for (int i = 0; i < repeats; i++) {
        task.run();
      }
      return (double) (System.nanoTime() - start) / repeats;
    };
  }

  /** Alternates; which goes first alternates too. */
  static Paired alternate(Timed first, Timed second, int pairs) throws Exception {
    double[] a = new double[pairs];
    double[] b = new double[pairs];
    double[] ratios = new double[pairs];
    for (int i = 0; i < pairs; i++) {
      if (i % 2 == 0) {
        a[i] = first.nanos();
        b[i] = second.nanos();
      } else {
        b[i] = second.nanos();
        a[i] = first.nanos();
      }
      ratios[i] = b[i] / a[i];
    }
    return new Paired(
        quantile(a, 0.5),
        quantile(b, 0.5),
        quantile(ratios, 0.5),
        quantile(ratios, 0.25),
        quantile(ratios, 0.75),
        pairs);
  }

  /** The value at a share of the sorted ones, between two of them by straight line. */
  static double quantile(double[] values, double share) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    double at = share * (sorted.length - 1);
    int below = (int) at;
    int above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
  }
}
