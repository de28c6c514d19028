package dev.kith.random;

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
public final class SharedRandom extends AddressedRandom {
  /** The version of the layout. Whatever would change a value comes with a new one. */
  public static final int LAYOUT_VERSION = 1;

  /** Rounds are smaller than this: 2^40. */
  public static final long MAX_ROUNDS = 1L << 40;

  /** Words of one (seed, stream, node, round): 2^42. A 53-bit uniform or a normal takes two. */
  public static final long MAX_WORDS = 1L << 42;

  private final int key0;
  private final int key1;

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
    super(4, stream, node, round);
    long key = mix(seed);
    this.key0 = (int) key;
    this.key1 = (int) (key >>> 32);
  }

  /** The first output of SplitMix64 seeded with {@code seed}: a bijection of 64-bit numbers. */
  private static long mix(long seed) {
    long z = seed + 0x9E3779B97F4A7C15L;
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }

  static float uniformFloat24(int word) {
    return Math.min(((word >>> 8) + 0.5f) * 0x1p-24f, 0x1.fffffep-1f);
  }

  /**
   * The number that {@link #uniform(long)} makes of two words, wherever they come from.
   *
   * @param upper word 2 index
   * @param lower word 2 index + 1
   */
  public static double uniform(int upper, int lower) {
    return uniformDouble53((long) upper << 32 | Integer.toUnsignedLong(lower));
  }

  static double uniformDouble53(long bits) {
    return Math.min((bits >>> 11) * 0x1p-53 + 0x1p-54, 0x1.fffffffffffffp-1);
  }

  @Override
  protected void block(int c0, int c1, int c2, int c3, int[] out) {
    Philox.block(c0, c1, c2, c3, key0, key1, out);
  }
}
