package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;

/**
 * Inputs of the contract suites: a pure function of the seed, so that a failure that prints it can
 * be replayed.
 */
final class Samples {
  /** What happens at zero, at the ends of the range and where rounding ties. */
  private static final double[] SPECIAL = {
    0.0,
    -0.0,
    1.0,
    -1.0,
    Double.NaN,
    Double.POSITIVE_INFINITY,
    Double.NEGATIVE_INFINITY,
    Double.MIN_VALUE,
    -Double.MIN_NORMAL,
    Float.MIN_VALUE,
    -3 * (double) Float.MIN_VALUE,
    Float.MIN_NORMAL,
    -Float.MAX_VALUE,
    Float.MAX_VALUE,
    Double.MAX_VALUE,
    0x1p-24,
    -0x1.8p-24,
    0x1p-14,
    65504,
    -65519.99999,
    65520,
    0x1.ffp127,
    1 + 0x1p-8,
    1 + 0x3p-8,
    1 + 0x1p-8 + 0x1p-40,
    -1 - 0x1p-11 - 0x1p-50,
    1 + 0x1p-24 + 0x1p-53,
    0x1.002p0,
    0x1.00200001p-1
  };

  enum Kind {
    /** Uniform in (-2, 2). */
    ORDINARY,
    /** Signed, magnitudes from 2^-12 to 2^12. */
    WIDE,
    /** Integers of at most 8 in absolute value: sums of them are exact. */
    INTEGERS,
    /** WIDE, and one in eight from the list of special values. */
    SPECIAL
  }

  private Samples() {}

  static SharedRandom random(long seed) {
    return new SharedRandom(seed, Stream.TEST, 0, 0);
  }

  static double[][] matrix(Kind kind, DType t, int rows, int cols, long seed) {
    double[][] m = new double[rows][cols];
    SharedRandom random = random(seed);
    long index = 0;
    for (double[] row : m) {
      for (int c = 0; c < cols; c++) {
        row[c] = Oracle.round(t, value(kind, random, index++));
      }
    }
    return m;
  }

  static double[] row(Kind kind, DType t, int cols, long seed) {
    return matrix(kind, t, 1, cols, seed)[0];
  }

  private static double value(Kind kind, SharedRandom random, long index) {
    double u = 4 * random.uniform(index) - 2;
    return switch (kind) {
      case ORDINARY -> u;
      case INTEGERS -> Math.rint(4 * u);
      case WIDE -> Math.scalb(u, (int) random.below(index, 25) - 12);
      case SPECIAL ->
          random.below(index, 8) == 0
              ? SPECIAL[(int) random.below(index + (1L << 40), SPECIAL.length)]
              : Math.scalb(u, (int) random.below(index + (1L << 39), 25) - 12);
    };
  }
}
