package dev.kith.privacy;

import static dev.kith.privacy.Messages.messageOf;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@link ToeplitzFactor} against the table of the card on noise correlated over time. */
class ToeplitzFactorTest {
  @ParameterizedTest
  @CsvSource({
    "8, 1, 1, 2.121320, 2.828427",
    "8, 4, 1.219951, 1.589902, 1.893352",
    "8, 8, 1.310870, 1.585857, 1.718379",
    "64, 1, 1, 5.700877, 8",
    "64, 8, 1.310870, 2.719430, 3.588831",
    "64, 64, 1.545590, 2.229676, 2.388848",
    "1024, 1, 1, 22.638463, 32",
    "1024, 8, 1.310870, 9.536374, 13.415316",
    "1024, 1024, 1.809020, 3.109790, 3.272554"
  })
  void squareRootErrorsAreTheReference(
      int steps, int bands, double sensitivity, double rootMeanSquare, double largest) {
    ToeplitzFactor factor = ToeplitzFactor.squareRoot(bands);
    assertEquals(sensitivity, factor.sensitivity(Participation.once(steps)), 0.5e-6);
    ToeplitzFactor.PrefixError error = factor.prefixError(steps);
    assertEquals(rootMeanSquare, error.rootMeanSquare(), 0.5e-6);
    assertEquals(largest, error.largest(), 0.5e-6);
  }

  @Test
  void squareRootCoefficientsAreExact() {
    assertArrayEquals(
        new double[] {1, 0.5, 0.375, 5.0 / 16, 35.0 / 128, 63.0 / 256, 231.0 / 1024, 429.0 / 2048},
        ToeplitzFactor.squareRoot(8).coefficients(),
        1e-16);
    assertArrayEquals(
        new double[] {
          1, -0.5, -0.125, -0.0625, -5.0 / 128, -7.0 / 256, -0.0205078125, -0.01611328125
        },
        ToeplitzFactor.squareRoot(8).inverse(8),
        1e-16);
    assertArrayEquals(new double[] {1, 0, 0}, ToeplitzFactor.identity().inverse(3));
  }

  /** C times its inverse is I, also where the bands end. */
  @Test
  void theInverseUndoesTheBands() {
    ToeplitzFactor factor = ToeplitzFactor.squareRoot(5);
    double[] c = factor.coefficients();
    double[] d = factor.inverse(40);
    for (int t = 0; t < 40; t++) {
      double sum = 0;
      for (int j = 0; j < Math.min(c.length, t + 1); j++) {
        sum += c[j] * d[t - j];
      }
      assertEquals(t == 0 ? 1 : 0, sum, 1e-15);
    }
  }

  /** Every admissible pattern of participation moves C G at most as far as is claimed. */
  @ParameterizedTest
  @CsvSource({"9, 3, 3, 3", "9, 4, 2, 3", "10, 2, 3, 10", "7, 3, 1, 4"})
  void noPatternOfParticipationMovesMore(int steps, int most, int separation, int bands) {
    ToeplitzFactor factor = ToeplitzFactor.squareRoot(bands);
    double claimed = factor.sensitivity(new Participation(steps, most, separation));
    double[] c = factor.coefficients();
    double largest = 0;
    for (int set = 1; set < 1 << steps; set++) {
      int last = -separation;
      boolean allowed = Integer.bitCount(set) <= most;
      double[] sum = new double[steps];
      for (int t = 0; t < steps; t++) {
        if ((set >> t & 1) == 1) {
          allowed &= t - last >= separation;
          last = t;
          for (int j = 0; j < c.length && t + j < steps; j++) {
            sum[t + j] += c[j];
          }
        }
      }
      double square = 0;
      for (double value : sum) {
        square += value * value;
      }
      if (allowed) {
        largest = Math.max(largest, Math.sqrt(square));
      }
    }
    assertEquals(claimed, largest, 1e-14);
  }

  @Test
  void participationsApartByTheBandsAddInSquares() {
    ToeplitzFactor factor = ToeplitzFactor.squareRoot(4);
    double one = factor.sensitivity(Participation.once(100));
    assertEquals(Math.sqrt(5) * one, factor.sensitivity(new Participation(100, 5, 4)), 1e-14);
  }

  @Test
  void matrixMechanismsAreGaussian() {
    ToeplitzFactor factor = ToeplitzFactor.squareRoot(8);
    Participation participation = new Participation(64, 2, 8);
    double sensitivity = factor.sensitivity(participation);
    Accountant run =
        Accountant.of(Adjacency.addRemoveRecord(), Adversary.eavesdropper(), NoiseOrigin.SECRET)
            .plus(new Mechanism.MatrixGaussian(factor, participation, 3 * sensitivity), 1);
    // Z scaled by the sensitivity: rho = 1 / (2 sigma^2).
    assertEquals(1 / 3.0, run.mu(), 1e-15);
    assertEquals(AnalyticGaussian.epsilon(1 / 3.0, 1e-6), run.epsilon(1e-6).epsilon(), 1e-12);
  }

  /** One band is DP-SGD; k bands take k times the rate in a k-th of the releases. */
  @Test
  void cyclicSamplingIsAmplified() {
    Accountant none =
        Accountant.of(Adjacency.addRemoveRecord(), Adversary.eavesdropper(), NoiseOrigin.SECRET);
    assertEquals(
        none.plus(new Mechanism.PoissonGaussian(2, 0.01), 100).renyi(4),
        ToeplitzFactor.identity().cyclic(2, 0.01, 100, none).renyi(4));
    assertEquals(
        none.plus(new Mechanism.PoissonGaussian(2, 0.08), 13).renyi(4),
        ToeplitzFactor.squareRoot(8).cyclic(2, 0.01, 100, none).renyi(4),
        1e-15);
    assertEquals(
        "8 bands at rate 0.2 need more than all users of a block: the rate is at most 0.125",
        messageOf(() -> ToeplitzFactor.squareRoot(8).cyclic(2, 0.2, 100, none)));
  }

  /** The best dense factor beats the square root, and its columns all have the bound's norm. */
  @Test
  void theFixedPointSolvesTheMatrixMechanism() {
    int n = 32;
    double[][] workload = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        workload[i][j] = n - Math.max(i, j);
      }
    }
    OptimalCovariance found = OptimalCovariance.of(workload, 1);
    assertTrue(found.residual() < 1e-9, () -> "residual " + found.residual());
    assertEquals(0, found.ridge());
    double error = Math.sqrt(MixingObjective.value(workload, found.covariance()) / n);
    double root = ToeplitzFactor.squareRoot(n).prefixError(n).rootMeanSquare();
    assertTrue(error < root && error > 0.9 * root, () -> error + " against " + root);
    for (int i = 0; i < n; i++) {
      assertEquals(1, found.precision()[i][i], 1e-9);
    }
  }

  @Test
  void badFactorsAreRefusedInOneSentence() {
    assertEquals(
        "the first coefficient of [2.0, 1.0] is not 1: divide all of them by it",
        messageOf(() -> ToeplitzFactor.of(2, 1)));
    assertEquals(
        "coefficient 2 is 0.7: each must lie between 0 and the one before it, 0.5",
        messageOf(() -> ToeplitzFactor.of(1, 0.5, 0.7)));
    assertEquals(
        "coefficient 1 is NaN: each must lie between 0 and the one before it, 1.0",
        messageOf(() -> ToeplitzFactor.of(1, Double.NaN)));
    assertEquals(
        "a factor has at least one band, not 0", messageOf(() -> ToeplitzFactor.squareRoot(0)));
    assertEquals(
        "3 participations, 5 steps apart, do not fit into 10 steps: at most 2 do",
        messageOf(() -> new Participation(10, 3, 5)));
    assertTrue(messageOf(() -> new Participation(0, 1, 1)).contains("has no meaning"));
  }
}
