package dev.kith.privacy;

import java.util.Locale;

/**
 * What a schedule of mechanisms guarantees: no event under one input is more than e^epsilon times
 * as probable, plus delta, than under a neighbouring one.
 *
 * @param epsilon the privacy loss in nats, 0 or more
 * @param delta the probability that is left out, in (0, 1)
 * @param adjacency what neighbouring means
 * @param adversary against whom it holds
 * @param method how it was computed
 * @param certified whether it is a proven upper bound; never with simulated noise or a limit form
 * @param remark why it is not certified, or what it rests on
 */
public record Guarantee(
    double epsilon,
    double delta,
    Adjacency adjacency,
    Adversary adversary,
    Method method,
    boolean certified,
    String remark) {

  @Override
  public String toString() {
    return String.format(
        Locale.ROOT,
        "(%.6g, %.3g)-DP, %s, against %s, by %s, %s: %s",
        epsilon,
        delta,
        adjacency,
        adversary,
        method,
        certified ? "certified" : "NOT CERTIFIED",
        remark);
  }
}
