package dev.kith.privacy;

import static dev.kith.privacy.Messages.messageOf;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CanaryAuditTest {
  /** p^k (1 - p)^(r - k) r! / (k! (r - k)!) with 40 digits. */
  private static double mass(int r, int k, double p) {
    MathContext digits = new MathContext(40);
    BigDecimal product = BigDecimal.ONE;
    for (int i = 1; i <= k; i++) {
      product =
          product.multiply(BigDecimal.valueOf(r - k + i)).divide(BigDecimal.valueOf(i), digits);
    }
    return product
        .multiply(new BigDecimal(p).pow(k, digits), digits)
        .multiply(BigDecimal.ONE.subtract(new BigDecimal(p)).pow(r - k, digits), digits)
        .doubleValue();
  }

  @ParameterizedTest
  @CsvSource({
    "20, 20, 15, 1, 1e-3",
    "300, 40, 37, 2.5, 1e-5",
    "400, 200, 115, 0.1, 0",
    "9, 1, 1, 3, 0.01"
  })
  void theBoundIsThatOfTheTheorem(int m, int r, int v, double epsilon, double delta) {
    double p = 1 / (1 + Math.exp(-epsilon));
    double[] mass = IntStream.rangeClosed(0, r).mapToDouble(k -> mass(r, k, p)).toArray();
    double beta = Arrays.stream(mass, v, r + 1).sum();
    double alpha = 0;
    for (int i = 1; i <= v; i++) {
      double between = Arrays.stream(mass, v - i, v).sum();
      alpha = Math.max(alpha, between / i);
    }
    double expected = Math.min(1, beta + 2 * m * delta * alpha);
    assertEquals(expected, new CanaryAudit(m, r, v).probability(epsilon, delta), 1e-12);
  }

  /** All right: (e^epsilon / (1 + e^epsilon))^r = 1 - confidence. */
  @Test
  void guessesThatAreAllRightHaveTheClosedForm() {
    for (int r : new int[] {10, 100, 1000, 100_000}) {
      double p = Math.pow(0.05, 1.0 / r);
      assertEquals(
          Math.log(p / -Math.expm1(Math.log(0.05) / r)),
          new CanaryAudit(r, r, r).epsilon(0, 0.95),
          1e-8);
    }
  }

  @Test
  void guessesNoBetterThanCoinsRefuteNothing() {
    assertEquals(0, new CanaryAudit(100, 100, 50).epsilon(1e-5, 0.95), 1e-8);
    assertEquals(0, new CanaryAudit(100, 40, 0).epsilon(1e-5, 0.95), 1e-8);
    assertEquals(0, new CanaryAudit(4, 4, 4).epsilon(0, 0.95), 1e-8);
  }

  @Test
  void deltaAndConfidenceLowerTheBound() {
    CanaryAudit audit = new CanaryAudit(1000, 200, 190);
    double pure = audit.epsilon(0, 0.95);
    assertTrue(audit.epsilon(1e-5, 0.95) < pure);
    assertTrue(audit.epsilon(0, 0.99) < pure);
    assertTrue(new CanaryAudit(1000, 200, 189).epsilon(0, 0.95) < pure);
  }

  /**
   * Randomized response with e^epsilon = 3 tells the truth with probability 3/4 and is exactly ln
   * 3-private: of 1,000 audits at most one in twenty may refute it, up to four standard deviations.
   */
  @Test
  void theBoundOfAnHonestMechanismHoldsWithItsConfidence() {
    int audits = 1000;
    int m = 60;
    int above = 0;
    double most = 0;
    for (int t = 0; t < audits; t++) {
      SharedRandom random = new SharedRandom(3, Stream.TEST, 0, t);
      boolean[] included = new boolean[m];
      double[] scores = new double[m];
      for (int k = 0; k < m; k++) {
        included[k] = random.uniform(2L * k) < 0.5;
        boolean truth = random.uniform(2L * k + 1) < 0.75;
        scores[k] = included[k] == truth ? 1 : 0;
      }
      double bound = CanaryAudit.of(included, scores, 20).epsilon(0, 0.95);
      above += bound > Math.log(3) ? 1 : 0;
      most = Math.max(most, bound);
    }
    assertTrue(above <= 0.05 * audits + 4 * Math.sqrt(0.05 * 0.95 * audits), above + " audits");
    assertTrue(most > Math.log(3), "the test can fail: some bounds are above, " + most);
  }

  @Test
  void theExtremeScoresAreGuessedAbout() {
    boolean[] included = {true, false, true, false, true, false};
    double[] scores = {5, -1, 0.1, 0.2, 4, -7};
    assertEquals(new CanaryAudit(6, 4, 4), CanaryAudit.of(included, scores, 4));
    assertEquals(new CanaryAudit(6, 6, 4), CanaryAudit.of(included, scores, 6));
    double[] reversed = Arrays.stream(scores).map(s -> -s).toArray();
    assertEquals(new CanaryAudit(6, 4, 0), CanaryAudit.of(included, reversed, 4));
    // Of equal scores the first counts as the lower: the last two are said to be in.
    assertEquals(new CanaryAudit(6, 4, 2), CanaryAudit.of(included, new double[6], 4));
    double[] infinite = {Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, 0, 0, 1, 0};
    assertEquals(new CanaryAudit(6, 2, 2), CanaryAudit.of(included, infinite, 2));
  }

  @Test
  void badAuditsAreRefusedInOneSentence() {
    assertEquals(
        "5 of 4 guesses about 9 canaries are impossible: guess about 1 to all of them",
        messageOf(() -> new CanaryAudit(9, 4, 5)));
    assertEquals(
        "0 of 0 guesses about 9 canaries are impossible: guess about 1 to all of them",
        messageOf(() -> new CanaryAudit(9, 0, 0)));
    assertEquals(
        "3 guesses about 4 canaries are impossible: give an even number from 2 to that of the"
            + " canaries",
        messageOf(() -> CanaryAudit.of(new boolean[4], new double[4], 3)));
    assertEquals(
        "3 scores do not fit 4 canaries: give one for each of them",
        messageOf(() -> CanaryAudit.of(new boolean[4], new double[3], 2)));
    assertEquals(
        "a score is NaN: nothing can be guessed from it",
        messageOf(() -> CanaryAudit.of(new boolean[2], new double[] {0, Double.NaN}, 2)));
    CanaryAudit audit = new CanaryAudit(4, 4, 4);
    assertEquals(
        "delta is 1.0: it must be at least 0 and below 1", messageOf(() -> audit.epsilon(1, 0.9)));
    assertEquals(
        "delta is NaN: it must be at least 0 and below 1",
        messageOf(() -> audit.probability(1, Double.NaN)));
    assertEquals(
        "the confidence is 1.0: it must lie between 0 and 1", messageOf(() -> audit.epsilon(0, 1)));
    assertEquals(
        "epsilon is NaN: give a finite number, 0 or more",
        messageOf(() -> audit.probability(Double.NaN, 0)));
  }
}
