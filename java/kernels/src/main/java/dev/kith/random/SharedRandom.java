package dev.kith.random;

import java.util.BitSet;

/**
 * Random numbers addressed by element: each one is a pure function of (seed, stream, node, round,
 * index), whatever the order in which they are read, the number of threads and the process that
 * reads them.
 *
 * <p>The generator is {@link Philox}. Its key is the bijection of SplitMix64 applied to the seed,
 * and its counter packs block index, node, round, form and stream without overlap: two different
 * addresses never share a counter, and an address that does not fit is refused. The layout, version
 * {@value #LAYOUT_VERSION}, stands in {@code docs/randomness.md} with golden values and never
 * changes.
 *
 * <p>Words and uniforms of an index are read from the same bits; {@link #normal} and {@link #below}
 * read bits of their own. Immutable, and safe for use by several threads. None of it is secret.
 */
public final class SharedRandom {
  /** The version of the layout. Whatever would change a value comes with a new one. */
  public static final int LAYOUT_VERSION = 1;

  /** Rounds are smaller than this: 2^40. */
  public static final long MAX_ROUNDS = 1L << 40;

  /** Words of one (seed, stream, node, round): 2^42. A 53-bit uniform or a normal takes two. */
  public static final long MAX_WORDS = 1L << 42;

  private static final int FORM_WORDS = 0;
  private static final int FORM_NORMAL = 1;

  /** Attempt a of {@link #below} reads form 128 + a. */
  private static final int FORM_BELOW = 128;

  private static final int MAX_ATTEMPTS = 128;

  private final int key0;
  private final int key1;
  private final int node;
  private final int roundLow;
  private final int high;

  /**
   * The numbers of one node in one round.
   *
   * @param seed the seed of the experiment; every value is allowed and different seeds give
   *     different keys
   * @param stream what the numbers are for
   * @param node the global number of the node, 0 and up; 0 for what belongs to no node
   * @param round the round, 0 to 2^40 - 1; 0 for what belongs to no round
   * @throws IllegalArgumentException when the node or the round is outside its range
   */
  public SharedRandom(long seed, Stream stream, int node, long round) {
    if (node < 0) {
      throw new IllegalArgumentException("node " + node + " is negative: nodes count from 0");
    }
    if (round < 0 || round >= MAX_ROUNDS) {
      throw new IllegalArgumentException(
          "round " + round + " is outside [0, 2^40): larger ones would repeat numbers");
    }
    long key = mix(seed);
    this.key0 = (int) key;
    this.key1 = (int) (key >>> 32);
    this.node = node;
    this.roundLow = (int) round;
    this.high = stream.tag() << 24 | (int) (round >>> 32) << 8;
  }

  /** The first output of SplitMix64 seeded with {@code seed}: a bijection of 64-bit numbers. */
  private static long mix(long seed) {
    long z = seed + 0x9E3779B97F4A7C15L;
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }

  /**
   * A uniform 32-bit word.
   *
   * @throws IllegalArgumentException when the index is outside [0, 2^42)
   */
  public int word(long index) {
    check(index, MAX_WORDS);
    int[] block = block(FORM_WORDS, index >>> 2);
    return block[(int) (index & 3)];
  }

  /**
   * A uniform number in (0, 1) made of the upper 24 bits of {@link #word word(index)}: (m + 1/2)
   * 2^-24 rounded to nearest even, and 1 - 2^-24 where that would be 1. Its mean is 1/2.
   *
   * @throws IllegalArgumentException when the index is outside [0, 2^42)
   */
  public float uniformFloat(long index) {
    return uniformFloat24(word(index));
  }

  static float uniformFloat24(int word) {
    return Math.min(((word >>> 8) + 0.5f) * 0x1p-24f, 0x1.fffffep-1f);
  }

  /**
   * A uniform number in (0, 1) made of 53 bits, the words 2 index (upper) and 2 index + 1: (m +
   * 1/2) 2^-53 rounded to nearest even, and 1 - 2^-53 where that would be 1.
   *
   * @throws IllegalArgumentException when the index is outside [0, 2^41)
   */
  public double uniform(long index) {
    return uniformDouble53(pair(FORM_WORDS, index));
  }

  static double uniformDouble53(long bits) {
    return Math.min((bits >>> 11) * 0x1p-53 + 0x1p-54, 0x1.fffffffffffffp-1);
  }

  /**
   * A standard normal, |z| at most 8.2924: the inverse distribution function (AS 241) at 53 bits,
   * symmetric, with full precision in both tails. The bits are those of Java: other languages may
   * differ in the last place.
   *
   * @throws IllegalArgumentException when the index is outside [0, 2^41)
   */
  public double normal(long index) {
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
  public long below(long index, long bound) {
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
  public int[] permutation(int n) {
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
  public int[] subset(int k, int n) {
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
    check(index, MAX_WORDS / 2);
    int[] block = block(form, index >>> 1);
    int first = (int) (index & 1) * 2;
    return (long) block[first] << 32 | (block[first + 1] & 0xFFFFFFFFL);
  }

  private int[] block(int form, long block) {
    int[] words = new int[4];
    Philox.block(
        (int) block, node, roundLow, high | form << 16 | (int) (block >>> 32), key0, key1, words);
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
