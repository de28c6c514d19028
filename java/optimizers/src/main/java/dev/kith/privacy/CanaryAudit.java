package dev.kith.privacy;

import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * An empirical lower bound on epsilon from one run, by membership inference with canaries: a run
 * that leaks more than its guarantee allows is found out, and the bound of one that keeps it stays
 * below.
 *
 * <p>Each of m canaries, examples or users made up for the purpose, joins the input with
 * probability one half, independently of all else. From what the run released somebody then says of
 * r of them whether they were in; v of these guesses are right. If the run is (epsilon, delta)-DP
 * when one canary is there or not, then, whoever guesses and however,
 *
 * <pre>
 * P[v or more right] &lt;= beta + 2 m delta alpha
 * beta  = P[B &gt;= v],   alpha = max over i = 1..v of P[v - i &lt;= B &lt; v] / i,
 * B ~ Binomial(r, e^epsilon / (1 + e^epsilon))
 * </pre>
 *
 * <p>An epsilon at which this is at most 1 - confidence is refuted, and all smaller ones with it.
 * What is guessed and how many guesses are made, is fixed before the coins are looked at; of
 * several audits of one run each takes its share of 1 - confidence.
 *
 * <p>Source: T. Steinke, M. Nasr, M. Jagielski, "Privacy auditing with one (1) training run"
 * (NeurIPS 2023), theorem 5.2 and appendix D.
 *
 * @param canaries m
 * @param guesses r, 1 to m
 * @param correct v, 0 to r
 */
public record CanaryAudit(int canaries, int guesses, int correct) {
  /** Above it no number of guesses that fits into an int is all right by chance. */
  private static final double MOST = 64;

  /** Checks the counts. */
  public CanaryAudit {
    if (correct < 0 || correct > guesses || guesses < 1 || guesses > canaries) {
      throw new IllegalArgumentException(
          correct
              + " of "
              + guesses
              + " guesses about "
              + canaries
              + " canaries are impossible: guess about 1 to all of them");
    }
  }

  /**
   * Guesses that the canaries with the highest scores were in and those with the lowest were not,
   * half of the guesses each; of equal scores the canary that comes first counts as the lower.
   *
   * @param included which canaries were in, by coins that the run and the scores did not know
   * @param scores one for each canary, higher for those that seem to have been in; no NaN
   * @param guesses r, even and at most the number of canaries
   * @throws IllegalArgumentException when the lengths differ, a score is NaN or r is outside
   */
  public static CanaryAudit of(boolean[] included, double[] scores, int guesses) {
    if (scores.length != included.length) {
      throw new IllegalArgumentException(
          scores.length
              + " scores do not fit "
              + included.length
              + " canaries: give one for each of them");
    }
    if (guesses < 2 || guesses % 2 != 0 || guesses > scores.length) {
      throw new IllegalArgumentException(
          guesses
              + " guesses about "
              + scores.length
              + " canaries are impossible: give an even number from 2 to that of the canaries");
    }
    if (Arrays.stream(scores).anyMatch(Double::isNaN)) {
      throw new IllegalArgumentException("a score is NaN: nothing can be guessed from it");
    }
    int[] order =
        IntStream.range(0, scores.length)
            .boxed()
            .sorted(Comparator.comparingDouble(i -> scores[i]))
            .mapToInt(Integer::intValue)
            .toArray();
    int correct = 0;
    for (int k = 0; k < guesses / 2; k++) {
      correct += included[order[k]] ? 0 : 1;
      correct += included[order[order.length - 1 - k]] ? 1 : 0;
    }
    return new CanaryAudit(scores.length, guesses, correct);
  }

  /**
   * The bound beta + 2 m delta alpha on the probability of as many right guesses about an (epsilon,
   * delta)-DP run, at most 1.
   *
   * @throws IllegalArgumentException when epsilon is negative or not finite, or delta outside [0,
   *     1)
   */
  public double probability(double epsilon, double delta) {
    Checks.epsilon(epsilon);
    requireDelta(delta);
    // ln p and ln (1 - p) of p = 1 / (1 + e^-epsilon), exact in both tails.
    double right = -Math.log1p(Math.exp(-epsilon));
    double wrong = right - epsilon;
    double[] mass = new double[guesses + 1];
    double choices = 0;
    for (int k = 0; k <= guesses; k++) {
      mass[k] = Math.exp(choices + k * right + (guesses - k) * wrong);
      choices += Math.log(guesses - k) - Math.log(k + 1);
    }
    double beta = 0;
    for (int k = guesses; k >= correct; k--) {
      beta += mass[k];
    }
    double alpha = 0;
    double sum = 0;
    for (int i = 1; i <= correct; i++) {
      sum += mass[correct - i];
      alpha = Math.max(alpha, sum / i);
    }
    return Math.min(1, beta + 2.0 * canaries * delta * alpha);
  }

  /**
   * The largest epsilon that is refuted: a run that is (epsilon, delta)-DP gives a bound above its
   * epsilon with probability at most 1 - confidence. 0 when nothing is refuted.
   *
   * @param delta of the guarantee that is audited, in [0, 1)
   * @param confidence in (0, 1), usually 0.95
   * @throws IllegalArgumentException when a number is outside
   */
  public double epsilon(double delta, double confidence) {
    requireDelta(delta);
    if (!(confidence > 0 && confidence < 1)) {
      throw new IllegalArgumentException(
          "the confidence is " + confidence + ": it must lie between 0 and 1");
    }
    double refuted = 0;
    double open = MOST;
    while (open - refuted > 1e-9) {
      double middle = 0.5 * (refuted + open);
      // Every epsilon that is kept was tested itself.
      if (probability(middle, delta) <= 1 - confidence) {
        refuted = middle;
      } else {
        open = middle;
      }
    }
    return refuted;
  }

  private static void requireDelta(double delta) {
    if (!(delta >= 0 && delta < 1)) {
      throw new IllegalArgumentException(
          "delta is " + delta + ": it must be at least 0 and below 1");
    }
  }
}
