package dev.kith.lab.claims;

import dev.kith.problem.RidgeErm;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.BitSet;

/** Experiments on hiding all items of a user: host arithmetic, no kernels. */
final class UserLevelClaims {
  private static final int USERS = 100;
  private static final int DIMENSION = 5;
  private static final double NOISE = 0.5;
  private static final int[] ITEMS = {1, 4, 16, 64, 256};

  private UserLevelClaims() {}

  /** The largest displacement by leaving one user out, against the items of a user. */
  static Measurement slope(Setting setting) {
    Measurement measurement =
        Measurement.under(
            "ridge regression, n = 100, d = 5, mu = 1, noise 0.5, m = 1, 4, 16, 64, 256, f64");
    double[] logItems = new double[ITEMS.length];
    double[] logMoved = new double[ITEMS.length];
    BitSet all = new BitSet();
    all.set(0, USERS);
    for (int k = 0; k < ITEMS.length; k++) {
      double[] moved =
          erm(ITEMS[k], setting.sabotaged()).displacements(all, new double[DIMENSION], 1);
      double largest = Arrays.stream(moved).max().orElseThrow();
      logItems[k] = Math.log(ITEMS[k]);
      logMoved[k] = Math.log(largest);
      measurement = measurement.with("displacement" + ITEMS[k], largest);
    }
    return measurement.with("slope", InexactClaims.slope(logItems, logMoved));
  }

  private static RidgeErm erm(int items, boolean copies) {
    SharedRandom truth = new SharedRandom(1, Stream.DATA, USERS, 0);
    double[][][] a = new double[USERS][items][DIMENSION];
    double[][] y = new double[USERS][items];
    for (int i = 0; i < USERS; i++) {
      SharedRandom random = new SharedRandom(1, Stream.DATA, i, 0);
      for (int j = 0; j < items; j++) {
        int from = copies ? 0 : j * (DIMENSION + 1);
        for (int c = 0; c < DIMENSION; c++) {
          a[i][j][c] = random.normal(from + c);
          y[i][j] += a[i][j][c] * truth.normal(c);
        }
        y[i][j] += NOISE * random.normal(from + DIMENSION);
      }
    }
    return RidgeErm.of(a, y);
  }
}
