package dev.kith.compress;

import java.util.Arrays;

/**
 * When a rank changes: it is the mean of the last c effective ranks, rounded to the nearest whole
 * number (halves up) and kept within 1 and the first rank r_1; until c of them are known it is r_1.
 *
 * <p>A function of what was observed alone: processes that observe the same have the same rank.
 * Used by one thread at a time.
 *
 * <p>Source: DiLoCoX technical report, 2025 (adaptive gradient compression); rounding and bounds
 * are Kith's.
 */
public final class RankWindow {
  /** c where nothing else is said. */
  public static final int LENGTH = 5;

  private final int largest;
  private final int[] last;
  private long count;

  /**
   * @param largest r_1, at least 1
   * @param length c, at least 1
   */
  public RankWindow(int largest, int length) {
    if (largest < 1 || length < 1) {
      throw new IllegalArgumentException(
          "a rank of "
              + largest
              + " with a window of "
              + length
              + " is no rule: give at least 1 for both");
    }
    this.largest = largest;
    this.last = new int[length];
  }

  /** The rank of the next message. */
  public int rank() {
    if (count < last.length) {
      return largest;
    }
    int sum = Arrays.stream(last).sum();
    int rounded = (2 * sum + last.length) / (2 * last.length);
    return Math.clamp(rounded, 1, largest);
  }

  /**
   * Takes the effective rank of a round.
   *
   * @param effectiveRank 1 to r_1
   */
  public void observe(int effectiveRank) {
    if (effectiveRank < 1 || effectiveRank > largest) {
      throw new IllegalArgumentException(
          "an effective rank of " + effectiveRank + " is not in 1 to " + largest);
    }
    last[Math.toIntExact(count % last.length)] = effectiveRank;
    count++;
  }

  /** What a snapshot keeps: how many were observed, then the window. */
  public long[] counters() {
    long[] counters = new long[1 + last.length];
    counters[0] = count;
    for (int k = 0; k < last.length; k++) {
      counters[1 + k] = last[k];
    }
    return counters;
  }

  /**
   * Takes over the {@link #counters} of another window of this length.
   *
   * @throws IllegalArgumentException when they are of another length, or no ranks
   */
  public void counters(long[] values) {
    boolean fits = values.length == 1 + last.length && values[0] >= 0;
    for (int k = 1; fits && k < values.length; k++) {
      fits = values[k] <= largest && values[k] >= (k <= values[0] ? 1 : 0);
    }
    if (!fits) {
      throw new IllegalArgumentException(
          Arrays.toString(values)
              + " is no window of "
              + last.length
              + " ranks up to "
              + largest
              + ": resume with the same settings, or start anew");
    }
    count = values[0];
    for (int k = 0; k < last.length; k++) {
      last[k] = (int) values[1 + k];
    }
  }
}
