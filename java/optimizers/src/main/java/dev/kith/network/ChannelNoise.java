package dev.kith.network;

/**
 * Independent normal noise on every number of every message between different nodes: a channel over
 * which rows travel inexactly. What a node adds of its own row is exact.
 *
 * <pre>y_i = sum_j w_ij m_j + sum_(j != i) w_ij n_ij,     n_ij ~ N(0, deviation^2 I)</pre>
 *
 * <p>The noise is made from a public seed (stream {@link dev.kith.random.Stream#CHANNEL}): it
 * simulates a channel, or what noise for privacy would cost, and protects nothing. Where nodes are
 * cut over processes it has the same bits.
 *
 * @param kind which messages have noise in common
 * @param deviation standard deviation, 0 or larger and finite
 * @param seed of all its numbers
 */
public record ChannelNoise(Kind kind, double deviation, long seed) {
  /** Which messages have noise in common. */
  public enum Kind {
    /** None: every link disturbs what it carries by itself, as analog channels do. */
    LINK,
    /** Those of one sender in one exchange: n_ij = n_j, as noise that it adds to protect itself. */
    SENDER
  }

  /**
   * Checks the deviation.
   *
   * @throws IllegalArgumentException when it is negative or not finite
   */
  public ChannelNoise {
    if (!(deviation >= 0 && deviation < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "a channel with noise of standard deviation "
              + deviation
              + " is impossible: give a finite number, 0 or larger");
    }
  }
}
