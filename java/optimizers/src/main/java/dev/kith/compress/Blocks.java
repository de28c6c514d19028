package dev.kith.compress;

/** Rows cut into blocks of as many columns, the last one maybe shorter; 0 is the whole row. */
final class Blocks {
  private Blocks() {}

  static void check(long block) {
    if (block < 0) {
      throw new IllegalArgumentException(
          "a block of " + block + " columns is impossible: give at least 1, or 0 for the row");
    }
  }

  /** Columns of the longest block. */
  static long longest(long block, long columns) {
    return block == 0 ? columns : Math.min(block, columns);
  }
}
