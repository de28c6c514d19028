package dev.kith.graph;

import dev.kith.graph.MixingMatrix.Kind;
import java.util.Locale;

/** Whether a matrix is well formed, and of the kind that it declares. */
final class MatrixCheck {
  /** Half the spacing of numbers just above 1. */
  private static final double UNIT_ROUNDOFF = 0x1p-53;

  private MatrixCheck() {}

  /** Columns that exist and ascend, weights that are finite. */
  static void entries(MixingMatrix w) {
    int n = w.nodes();
    for (int i = 0; i < n; i++) {
      for (int k = w.rowBegin(i); k < w.rowBegin(i + 1); k++) {
        int j = w.column(k);
        if (j < 0 || j >= n) {
          throw new IllegalArgumentException(
              "row " + i + " has column " + j + ", but the nodes are 0 to " + (n - 1));
        }
        if (k > w.rowBegin(i) && j <= w.column(k - 1)) {
          throw new IllegalArgumentException(
              "row "
                  + i
                  + " has column "
                  + j
                  + " after "
                  + w.column(k - 1)
                  + ": columns must ascend");
        }
        if (!Double.isFinite(w.value(k))) {
          throw new IllegalArgumentException(
              "weight (" + i + ", " + j + ") is " + w.value(k) + ": weights must be finite");
        }
      }
    }
  }

  /** Row and column sums as the kind says. */
  static void kind(MixingMatrix w) {
    int n = w.nodes();
    boolean rows = w.kind() != Kind.COLUMN_STOCHASTIC;
    double[] sums = new double[w.kind().columnsSumToOne() ? n : 0];
    double[] absolutes = new double[sums.length];
    int[] counts = new int[sums.length];
    for (int i = 0; i < n; i++) {
      double sum = 0;
      double absolute = 0;
      for (int k = w.rowBegin(i); k < w.rowBegin(i + 1); k++) {
        double value = w.value(k);
        sum += value;
        absolute += Math.abs(value);
        if (sums.length > 0) {
          int j = w.column(k);
          sums[j] += value;
          absolutes[j] += Math.abs(value);
          counts[j]++;
        }
      }
      if (rows) {
        sum(w, "row", i, sum, absolute, w.rowBegin(i + 1) - w.rowBegin(i));
      }
    }
    for (int j = 0; j < sums.length; j++) {
      sum(w, "column", j, sums[j], absolutes[j], counts[j]);
    }
  }

  private static void sum(
      MixingMatrix w, String what, int index, double sum, double absolute, int count) {
    double target = w.kind() == Kind.ZERO_ROW_SUMS ? 0 : 1;
    // Rounding of each weight, of 1 - sum of the others, and of this sum.
    double bound = (count + 2) * 2 * UNIT_ROUNDOFF * (1 + absolute);
    double off = sum - target;
    if (!(Math.abs(off) <= bound)) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "the matrix is not %s: %s %d sums to %s, off by %.3g where rounding explains %.1g",
              w.kind().words(),
              what,
              index,
              sum,
              off,
              bound));
    }
  }
}
