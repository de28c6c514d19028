package dev.kith.compress;

import java.math.BigDecimal;

/**
 * How many of d numbers are sent: a fraction of them, rounded down but at least one, or a count.
 *
 * @param value below 1 a fraction, else a whole number
 */
public record Amount(double value) {
  /** Checks that it is one of the two. */
  public Amount {
    boolean fraction = value > 0 && value < 1;
    boolean count = value >= 1 && value <= Integer.MAX_VALUE && value == Math.rint(value);
    if (!fraction && !count) {
      throw new IllegalArgumentException(
          "k is "
              + value
              + ": give a fraction of the columns between 0 and 1, or a whole number from 1 up");
    }
  }

  /**
   * k.
   *
   * @param columns d
   * @throws IllegalArgumentException when it is a count above d
   */
  public long of(long columns) {
    if (value < 1) {
      return columns == 0 ? 0 : Math.max(1, (long) (value * columns));
    }
    if (value > columns) {
      throw new IllegalArgumentException(
          "k is " + this + " and there are " + columns + " columns: give at most as many");
    }
    return (long) value;
  }

  @Override
  public String toString() {
    return value < 1
        ? BigDecimal.valueOf(value).stripTrailingZeros().toPlainString()
        : Long.toString((long) value);
  }
}
