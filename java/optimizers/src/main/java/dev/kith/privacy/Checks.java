package dev.kith.privacy;

/** What the arguments of privacy calculations must satisfy. */
final class Checks {
  private Checks() {}

  static void epsilon(double epsilon) {
    if (!(epsilon >= 0 && epsilon < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "epsilon is " + epsilon + ": give a finite number, 0 or more");
    }
  }

  static void targetEpsilon(double epsilon) {
    if (!(epsilon > 0 && epsilon < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "the target epsilon is " + epsilon + ": give a finite number above 0");
    }
  }

  static void delta(double delta) {
    if (!(delta > 0 && delta < 1)) {
      throw new IllegalArgumentException("delta is " + delta + ": it must lie between 0 and 1");
    }
  }

  static void ratio(double mu) {
    if (!(mu >= 0 && mu < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "the ratio of sensitivity and noise is " + mu + ": give a finite number, 0 or more");
    }
  }

  static void positive(String what, double value) {
    if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(what + " is " + value + ": give a finite number above 0");
    }
  }

  static void rate(double rate) {
    if (!(rate > 0 && rate <= 1)) {
      throw new IllegalArgumentException(
          "the sampling rate is " + rate + ": it must lie above 0 and be at most 1");
    }
  }

  /** The order of a symmetric matrix of finite numbers. */
  static int symmetric(String what, double[][] a) {
    int n = a.length;
    if (n == 0) {
      throw new IllegalArgumentException(what + " has no rows: give at least one node");
    }
    double largest = 0;
    for (double[] row : a) {
      if (row.length != n) {
        throw new IllegalArgumentException(
            what + " has a row of " + row.length + " entries, but " + n + " rows: make it square");
      }
      for (double value : row) {
        if (!Double.isFinite(value)) {
          throw new IllegalArgumentException(
              what + " has the entry " + value + ": all must be finite");
        }
        largest = Math.max(largest, Math.abs(value));
      }
    }
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < i; j++) {
        if (Math.abs(a[i][j] - a[j][i]) > 1e-12 * largest) {
          throw new IllegalArgumentException(
              what
                  + " has "
                  + a[i][j]
                  + " at ("
                  + i
                  + ", "
                  + j
                  + ") and "
                  + a[j][i]
                  + " across the diagonal: it must be symmetric");
        }
      }
    }
    return n;
  }
}
