package dev.kith.privacy;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.problem.RidgeErm;
import dev.kith.problem.UserErm;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.BitSet;
import org.junit.jupiter.api.Test;

class UserLevelReleaseTest {
  private static final int N = 60;
  private static final int D = 3;

  private static RandomWords words(long seed) {
    return RandomWords.shared(new SharedRandom(seed, Stream.TEST, 0, 0));
  }

  /** Of {@code bad} users all numbers are 10^4 times as large. */
  private static RidgeErm ridge(int items, int bad) {
    double[][][] a = new double[N][items][D];
    double[][] y = new double[N][items];
    for (int i = 0; i < N; i++) {
      SharedRandom random = new SharedRandom(2, Stream.TEST, i, 0);
      double scale = i < bad ? 1e4 * (i + 1) : 1;
      for (int j = 0; j < items; j++) {
        for (int c = 0; c < D; c++) {
          a[i][j][c] = scale * random.normal(j * (D + 1) + c);
          y[i][j] += a[i][j][c] * (c + 1) / 2.0;
        }
        y[i][j] += scale * (0.5 + (i < bad ? 3 : 0)) * random.normal(j * (D + 1) + D);
      }
    }
    return RidgeErm.of(a, y);
  }

  private static BitSet all() {
    BitSet all = new BitSet();
    all.set(0, N);
    return all;
  }

  @Test
  void theMinimiserHasNoGradient() {
    double[][][] a = {{{1, 2}, {0, 1}}, {{3, -1}}};
    double[][] y = {{1, 2}, {4}};
    double[] centre = {0.5, -0.5};
    BitSet both = new BitSet();
    both.set(0, 2);
    double[] x = RidgeErm.of(a, y).minimiser(both, centre, 0.7);
    double[] g = {0.7 * (x[0] - centre[0]), 0.7 * (x[1] - centre[1])};
    for (int i = 0; i < 2; i++) {
      for (int j = 0; j < a[i].length; j++) {
        double residual = a[i][j][0] * x[0] + a[i][j][1] * x[1] - y[i][j];
        g[0] += residual * a[i][j][0] / a[i].length / 2;
        g[1] += residual * a[i][j][1] / a[i].length / 2;
      }
    }
    assertArrayEquals(new double[2], g, 1e-14);
  }

  @Test
  void withOneItemADisplacementIsThatOfTheItem() {
    RidgeErm erm = ridge(1, 0);
    double[] centre = new double[D];
    double[] moved = erm.displacements(all(), centre, 1);
    BitSet fewer = all();
    fewer.clear(7);
    double[] x = erm.minimiser(all(), centre, 1);
    double[] without = erm.minimiser(fewer, centre, 1);
    double square = 0;
    for (int c = 0; c < D; c++) {
      square += (x[c] - without[c]) * (x[c] - without[c]);
    }
    assertEquals(Math.sqrt(square), moved[7], 1e-15);
  }

  @Test
  void anEasyTargetAndLittleNoiseGiveThePlainMinimiser() {
    RidgeErm erm = ridge(4, 0);
    double[] centre = {0.1, 0.2, 0.3};
    // Displacements are far below 10, and with epsilon = 1e5 the noise is a few thousandths of it.
    double[] x =
        new UserLevelRelease(erm, 1e5, 1e-3, words(1)).release(centre, 1, 10).orElseThrow();
    assertArrayEquals(erm.minimiser(all(), centre, 1), x, 0.3);
    double[] closer =
        new UserLevelRelease(erm, 1e5, 1e-3, words(1)).release(centre, 1, 0.1).orElseThrow();
    assertArrayEquals(erm.minimiser(all(), centre, 1), closer, 0.003);
  }

  @Test
  void theNoiseIsThatOfTheAnalyticGaussian() {
    RidgeErm erm = ridge(4, 0);
    UserLevelRelease release = new UserLevelRelease(erm, 2, 1e-5, words(3));
    double[] centre = new double[D];
    double[] x = erm.minimiser(all(), centre, 1);
    double sensitivity = 0.5;
    double squares = 0;
    int draws = 2000;
    for (int k = 0; k < draws; k++) {
      double[] noisy = release.release(centre, 1, sensitivity).orElseThrow();
      for (int c = 0; c < D; c++) {
        squares += (noisy[c] - x[c]) * (noisy[c] - x[c]) / (draws * D);
      }
    }
    double sigma = sensitivity * AnalyticGaussian.standardDeviation(1, 5e-6);
    // 6000 squares: four standard errors of the variance are 7.3 %.
    assertEquals(1, squares / (sigma * sigma), 0.075);
  }

  @Test
  void aFewUsersOfAnotherKindAreLeftOutAndManyMakeItFail() {
    double sensitivity = 0.2;
    double[] centre = new double[D];
    UserLevelRelease one = new UserLevelRelease(ridge(4, 1), 4, 1e-4, words(5));
    UserLevelRelease.Pruned pruned = one.prune(centre, 1, sensitivity);
    assertEquals(1, pruned.gone());
    assertFalse(pruned.kept().get(0));
    assertTrue(one.release(centre, 1, sensitivity).isPresent());
    // kappa is 6 here: 13 users and more fail whatever is drawn.
    UserLevelRelease many = new UserLevelRelease(ridge(4, 20), 4, 1e-4, words(5));
    for (int k = 0; k < 20; k++) {
      assertTrue(many.release(centre, 1, sensitivity).isEmpty());
    }
  }

  @Test
  void whatPassesForSureAndWhatFailsForSureFollowsTheBound() {
    UserErm erm = ridge(4, 0);
    UserLevelRelease release = new UserLevelRelease(erm, 1, 1e-3, words(6));
    TruncatedDiscreteLaplace at = new TruncatedDiscreteLaplace(1, 2, release.bound(), words(1));
    TruncatedDiscreteLaplace below =
        new TruncatedDiscreteLaplace(1, 2, release.bound() - 1, words(1));
    assertTrue(at.delta() <= 5e-4 && below.delta() > 5e-4, "" + release.bound());
    for (int k = 0; k < 200; k++) {
      assertTrue(release.release(new double[D], 1, 10).isPresent());
    }
  }

  @Test
  void phasesComeCloserToTheMinimiserOfTheRisk() {
    RidgeErm erm = ridge(16, 0);
    UserLevelRelease release = new UserLevelRelease(erm, 50, 1e-3, words(7));
    UserLevelRelease.Target target = mu -> UserLevelRelease.concentrated(3, N, 16, mu, 0.05);
    double[] start = {5, 5, 5};
    double[] end = release.localise(start, 0.1, 5, target).orElseThrow();
    double[] truth = {0.5, 1, 1.5};
    double error = 0;
    for (int c = 0; c < D; c++) {
      error = Math.max(error, Math.abs(end[c] - truth[c]));
    }
    assertTrue(error < 0.6, Arrays.toString(end));
  }

  @Test
  void nobodyTakesItForCertified() {
    UserLevelRelease release = new UserLevelRelease(ridge(1, 0), 1, 1e-3, words(1));
    assertEquals(NoiseOrigin.SIMULATED, release.origin());
    Accountant accountant =
        Accountant.of(Adjacency.replaceUser(), Adversary.eavesdropper(), NoiseOrigin.SECRET);
    var e =
        assertThrows(IllegalArgumentException.class, () -> accountant.plus(release.mechanism(), 1));
    assertTrue(e.getMessage().contains("not certified"), e.getMessage());
  }

  @Test
  void badInputIsRefusedInOneSentence() {
    RidgeErm erm = ridge(1, 0);
    for (double epsilon : new double[] {0, -1, Double.NaN, 1e-9}) {
      assertThrows(
          IllegalArgumentException.class, () -> new UserLevelRelease(erm, epsilon, 1e-3, words(1)));
    }
    for (double delta : new double[] {0, 1, Double.NaN}) {
      assertThrows(
          IllegalArgumentException.class, () -> new UserLevelRelease(erm, 1, delta, words(1)));
    }
    UserLevelRelease release = new UserLevelRelease(erm, 1, 1e-3, words(1));
    for (double bad : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
      assertThrows(IllegalArgumentException.class, () -> release.release(new double[D], 1, bad));
      assertThrows(IllegalArgumentException.class, () -> erm.minimiser(all(), new double[D], bad));
    }
    assertThrows(
        IllegalArgumentException.class, () -> release.localise(new double[D], 1, 0, mu -> 1));
    assertThrows(
        IllegalArgumentException.class, () -> erm.minimiser(new BitSet(), new double[D], 1));
    assertThrows(IllegalArgumentException.class, () -> erm.minimiser(all(), new double[D + 1], 1));
    BitSet single = new BitSet();
    single.set(0);
    assertThrows(IllegalArgumentException.class, () -> erm.displacements(single, new double[D], 1));
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () -> RidgeErm.of(new double[][][] {{{Double.NaN}}}, new double[][] {{1}}));
    assertTrue(e.getMessage().contains("user 0"), e.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () -> RidgeErm.of(new double[][][] {{{1}}, {}}, new double[][] {{1}, {}}));
    assertThrows(
        IllegalArgumentException.class,
        () -> RidgeErm.of(new double[][][] {{{1}}, {{1, 2}}}, new double[][] {{1}, {1}}));
  }
}
