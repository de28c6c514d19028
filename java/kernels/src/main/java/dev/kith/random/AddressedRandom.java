package dev.kith.random;

import java.util.BitSet;

/**
 * Random numbers addressed by element, of any generator: what {@link SharedRandom} and {@code
 * dev.kith.kernel.SecretRandom} have in common. A generator gives blocks of words for a counter,
 * which packs block index, node, round, form and stream without overlap as {@code
 * docs/randomness.md} lays out; here they become uniforms, normals, bounded integers and sets.
 */
public abstract class AddressedRandom {
  private static final int FORM_WORDS = 0;
  private static final int FORM_NORMAL = 1;

  /** Attempt a of {@link #below} reads form 128 + a. */
  private static final int FORM_BELOW = 128;

  private static final int MAX_ATTEMPTS = 128;

  private final int blockWords;
  private final int node;
  private final int roundLow;
  private final int high;

  /**
   * The numbers of one node in one round.
   *
   * @param blockWords words that a counter gives
   * @param stream what the numbers are for
   * @param node the global number of the node, 0 and up
   * @param round the round, 0 to 2^40 - 1
   * @throws IllegalArgumentException when the node or the round is outside its range
   */
  protected AddressedRandom(int blockWords, Stream stream, int node, long round) {
    if (node < 0) {
      throw new IllegalArgumentException("node " + node + " is negative: nodes count from 0");
    }
    if (round < 0 || round >= SharedRandom.MAX_ROUNDS) {
      throw new IllegalArgumentException(
          "round " + round + " is outside [0, 2^40): larger ones would repeat numbers");
    }
    this.blockWords = blockWords;
    this.node = node;
    this.roundLow = (int) round;
    this.high = stream.tag() << 24 | (int) (round >>> 32) << 8;
  }

  /**
   * The words of one counter.
   *
   * @param c0 counter word 0
   * @param c1 counter word 1
   * @param c2 counter word 2
   * @param c3 counter word 3
   * @param out receives as many words as a counter gives
   */
  protected abstract void block(int c0, int c1, int c2, int c3, int[] out);

  /**
   * A uniform 32-bit word.
   *
   * @throws IllegalArgumentException when the index is outside [0, 2^42)
   */
  public final int word(long index) {
    check(index, SharedRandom.MAX_WORDS);
    int[] words = blockOf(FORM_WORDS, index);
    return words[(int) (index % blockWords)];
  }

  /**
   * A uniform number in (0, 1) made of the upper 24 bits of {@link #word word(index)}: (m + 1/2)
   * 2^-24 rounded to nearest even, and 1 - 2^-24 where that would be 1. Its mean is 1/2.
   *
   * @throws IllegalArgumentException when the index is outside [0, 2^42)
   */
  public final float uniformFloat(long index) {
    return SharedRandom.uniformFloat24(word(index));
  }

  /**
   * A uniform number in (0, 1) made of 53 bits, the words 2 index (upper) and 2 index + 1: (m +
   * 1/2) 2^-53 rounded to nearest even, and 1 - 2^-53 where that would be 1.
   *
   * @throws IllegalArgumentException when the index is outside [0, 2^41)
   */
  public final double uniform(long index) {
    return SharedRandom.uniformDouble53(pair(FORM_WORDS, index));
  }

  /**
   * A standard normal, |z| at most 8.2924: the inverse distribution function (AS 241) at 53 bits,
   * symmetric, with full precision in both tails. The bits are those of Java: other languages may
   * differ in the last place.
   *
   * @throws IllegalArgumentException when the index is outside [0, 2^41)
   */
  public final double normal(long index) {
    return Normal.fromBits(pair(FORM_NORMAL, index) >>> 11);
  }

  /**
   * A uniform integer in [0, bound) without bias: the upper half of the 128-bit product of a 64-bit
   * number and the bound, drawn again while the lower half is below 2^64 mod bound (Lemire, "Fast
   * random integer generation in an interval", 2019).
   *
   * @throws IllegalArgumentException when the index is outside [0, 2^41) or the bound is not
   *     positive
   */
  public final long below(long index, long bound) {
    if (bound <= 0) {
      throw new IllegalArgumentException(
          "bound " + bound + " is not positive: no integer lies in [0, bound)");
    }
    long threshold = Long.remainderUnsigned(-bound, bound);
    for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      long bits = pair(FORM_BELOW + attempt, index);
      if (Long.compareUnsigned(bits * bound, threshold) >= 0) {
        return Math.unsignedMultiplyHigh(bits, bound);
      }
    }
    // Each attempt fails with probability below 1/2, all of them below 2^-128.
    throw new IllegalStateException(
        "index " + index + " found no number below " + bound + ": take another seed");
  }

  /**
   * A uniform permutation of 0 to n - 1: for i = 0, 1, ... with j = below(i, i + 1), p[i] = p[j]
   * and then p[j] = i.
   *
   * @throws IllegalArgumentException when n is negative
   */
  public final int[] permutation(int n) {
    if (n < 0) {
      throw new IllegalArgumentException("n " + n + " is negative: a permutation has a length");
    }
    int[] p = new int[n];
    for (int i = 0; i < n; i++) {
      int j = (int) below(i, i + 1L);
      p[i] = p[j];
      p[j] = i;
    }
    return p;
  }

  /**
   * A uniform set of k of the numbers 0 to n - 1 (Floyd; Bentley, "Programming Pearls: a sample of
   * brilliance", CACM 30(9), 1987): for i = 0 to k - 1 with j = n - k + i and t = below(i, j + 1),
   * t joins, or j where t did before. Works in n bits of memory beside the result.
   *
   * @return the set, ascending
   * @throws IllegalArgumentException when k is negative or above n
   */
  public final int[] subset(int k, int n) {
    if (k < 0 || k > n) {
      throw new IllegalArgumentException(
          "k " + k + " is outside [0, " + n + "]: a subset has as many elements at most");
    }
    BitSet chosen = new BitSet(n);
    for (int i = 0; i < k; i++) {
      int j = n - k + i;
      int t = (int) below(i, j + 1L);
      chosen.set(chosen.get(t) ? j : t);
    }
    int[] ascending = new int[k];
    int at = 0;
    for (int c = chosen.nextSetBit(0); at < k; c = chosen.nextSetBit(c + 1)) {
      ascending[at++] = c;
    }
    return ascending;
  }

  /** The words 2 index and 2 index + 1 of a form as one number, the first in the upper half. */
  private long pair(int form, long index) {
    check(index, SharedRandom.MAX_WORDS / 2);
    int[] words = blockOf(form, 2 * index);
    int at = (int) (2 * index % blockWords);
    return (long) words[at] << 32 | (words[at + 1] & 0xFFFFFFFFL);
  }

  /** The block of a form that has a word. */
  private int[] blockOf(int form, long index) {
    long block = index / blockWords;
    int[] words = new int[blockWords];
    block((int) block, node, roundLow, high | form << 16 | (int) (block >>> 32), words);
    return words;
  }

  private static void check(long index, long limit) {
    if (index < 0 || index >= limit) {
      throw new IllegalArgumentException(
          "index "
              + index
              + " is outside [0, 2^"
              + Long.numberOfTrailingZeros(limit)
              + "): larger ones would repeat numbers");
    }
  }
}
