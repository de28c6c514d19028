package dev.kith.privacy;

import java.util.function.DoublePredicate;

/** Finds where a condition begins to hold. */
final class Bisection {
  private Bisection() {}

  /**
   * The least positive x at which a condition holds that holds from some x on, from above and to
   * neighbouring doubles.
   *
   * @param start where to begin to look
   */
  static double leastWhere(DoublePredicate holds, double start) {
    return leastWhere(holds, start, 0);
  }

  /** The same, to a relative width. */
  static double leastWhere(DoublePredicate holds, double start, double width) {
    double high = start;
    while (!holds.test(high)) {
      high *= 2;
      if (high > 0x1p100) {
        throw new IllegalArgumentException(
            "no value up to 2^100 meets the target: ask for a larger epsilon or delta");
      }
    }
    double low = high == start ? 0 : high / 2;
    while (high - low > width * high) {
      // The lower end of the first bracket is 0: halving would take a thousand steps.
      double middle = low == 0 ? high / 2 : 0.5 * (low + high);
      if (middle <= low || middle >= high || high < 0x1p-100) {
        break;
      }
      if (holds.test(middle)) {
        high = middle;
      } else {
        low = middle;
      }
    }
    return high;
  }
}
