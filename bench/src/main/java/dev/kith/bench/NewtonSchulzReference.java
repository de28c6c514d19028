package dev.kith.bench;

import dev.kith.kernel.NewtonSchulz;
import dev.kith.kernel.NewtonSchulz.Polynomial;

/**
 * A matrix whose Newton-Schulz iteration is known: rows of a Hadamard matrix, row i times 2^-(i mod
 * 8), which are its singular vectors. Sides are powers of two, and rows at most as many as columns.
 */
final class NewtonSchulzReference {
  static final int ITERATIONS = 5;

  private static final int SIZES = 8;

  private NewtonSchulzReference() {}

  /** Element (row, col) of the matrix. */
  static float input(int row, long col) {
    return (float) Math.scalb(sign(row, col), -(row % SIZES));
  }

  private static double sign(int row, long col) {
    return Long.bitCount(row & col) % 2 == 0 ? 1 : -1;
  }

  /** Element (row, col) of what Muon's polynomial makes of a matrix of so many rows and columns. */
  static double at(int rows, long cols, int row, long col) {
    double squares = 0;
    for (int i = 0; i < rows; i++) {
      squares += cols * Math.scalb(1.0, -2 * (i % SIZES));
    }
    double s =
        Math.scalb(Math.sqrt((double) cols), -(row % SIZES))
            / (Math.sqrt(squares) + NewtonSchulz.EPSILON);
    for (int i = 0; i < ITERATIONS; i++) {
      s = Polynomial.MUON.at(s);
    }
    return s * sign(row, col) / Math.sqrt((double) cols);
  }

  /**
   * How far an element may be off: it is about 1 / sqrt(cols), and the iterations stretch an error
   * of the norm up to 485 times. A norm in f32 sums a square for each element; 64 roundings, 2^-18,
   * are what sums in lanes keep to.
   */
  static double tolerance(long cols) {
    return 485 * 0x1p-18 / Math.sqrt((double) cols);
  }
}
