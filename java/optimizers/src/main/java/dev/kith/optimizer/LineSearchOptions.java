package dev.kith.optimizer;

/** Checks of what backtracking is told. */
final class LineSearchOptions {
  private LineSearchOptions() {}

  static int candidates(int count) {
    if (count < 1 || count > 1000) {
      throw new IllegalArgumentException(
          count + " candidates are not in [1, 1000]: below 2^-1000 there is no step");
    }
    return count;
  }

  static double decrease(double share) {
    if (!(share > 0 && share < 1)) {
      throw new IllegalArgumentException(
          "the share of the decrease is " + share + " and must be in (0, 1)");
    }
    return share;
  }
}
