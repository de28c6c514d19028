package dev.kith.random;

/**
 * Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3" (SC 2011): a bijection of 128-bit counters for each 64-bit key.
 *
 * <p>One round maps (c0, c1, c2, c3) to (hi(p1) ^ c1 ^ k0, lo(p1), hi(p0) ^ c3 ^ k1, lo(p0)) with
 * the 64-bit products p0 = 0xD2511F53 c0 and p1 = 0xCD9E8D57 c2; between rounds k0 grows by
 * 0x9E3779B9 and k1 by 0xBB67AE85, modulo 2^32.
 */
public final class Philox {
  private static final int ROUNDS = 10;
  private static final long MULTIPLIER_0 = 0xD2511F53L;
  private static final long MULTIPLIER_1 = 0xCD9E8D57L;
  private static final int WEYL_0 = 0x9E3779B9;
  private static final int WEYL_1 = 0xBB67AE85;
  private static final long LOW = 0xFFFFFFFFL;

  private Philox() {}

  /**
   * The four words of one counter under one key.
   *
   * @param c0 counter word 0
   * @param c1 counter word 1
   * @param c2 counter word 2
   * @param c3 counter word 3
   * @param k0 key word 0
   * @param k1 key word 1
   * @param out4 receives the words 0 to 3
   * @throws IllegalArgumentException when {@code out4} has fewer than four elements
   */
  public static void block(int c0, int c1, int c2, int c3, int k0, int k1, int[] out4) {
    if (out4.length < 4) {
      throw new IllegalArgumentException(
          "a block is four words, but the output holds " + out4.length + ": pass an int[4]");
    }
    block(ROUNDS, c0, c1, c2, c3, k0, k1, out4);
  }

  static void block(int rounds, int c0, int c1, int c2, int c3, int k0, int k1, int[] out4) {
    int x0 = c0;
    int x1 = c1;
    int x2 = c2;
    int x3 = c3;
    int key0 = k0;
    int key1 = k1;
    for (int r = 0; r < rounds; r++) {
      long p0 = MULTIPLIER_0 * (x0 & LOW);
      long p1 = MULTIPLIER_1 * (x2 & LOW);
      x0 = (int) (p1 >>> 32) ^ x1 ^ key0;
      x1 = (int) p1;
      x2 = (int) (p0 >>> 32) ^ x3 ^ key1;
      x3 = (int) p0;
      key0 += WEYL_0;
      key1 += WEYL_1;
    }
    out4[0] = x0;
    out4[1] = x1;
    out4[2] = x2;
    out4[3] = x3;
  }
}
