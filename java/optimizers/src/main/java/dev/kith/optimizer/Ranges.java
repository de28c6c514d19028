package dev.kith.optimizer;

import dev.kith.kernel.Factorization;

/** Where the settings of rules may lie. */
final class Ranges {
  private Ranges() {}

  static double notNegative(String name, double value) {
    if (!(value >= 0 && value < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "a " + name + " of " + value + " is not a finite number from 0 up");
    }
    return value;
  }

  static double positive(String name, double value) {
    if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "a " + name + " of " + value + " is not a finite number above 0");
    }
    return value;
  }

  static double belowOne(String name, double value) {
    if (!(value >= 0 && value < 1)) {
      throw new IllegalArgumentException("a " + name + " of " + value + " does not lie in [0, 1)");
    }
    return value;
  }

  static int atLeastOne(String name, int value) {
    if (value < 1) {
      throw new IllegalArgumentException("a " + name + " of " + value + " is too few: at least 1");
    }
    return value;
  }

  static int side(int value) {
    if (value < 1 || value > Factorization.MAX_SIDE) {
      throw new IllegalArgumentException(
          "a longest side of " + value + " is not one of 1 to " + Factorization.MAX_SIDE);
    }
    return value;
  }
}
