package dev.kith.kernel;

import dev.kith.random.AddressedRandom;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * The numbers of {@link SharedRandom} at the same addresses under a {@link Secret}: words,
 * uniforms, normals, bounded integers, permutations and the columns of random-k, which only those
 * can draw who have the secret. The generator is ChaCha20 (RFC 8439, section 2.3), its layout that
 * of "Secret numbers" in {@code docs/randomness.md}; word c is that of {@link NoiseField} for the
 * same address.
 *
 * <p>Meant for the host: a few numbers, one block for each. Safe for use by several threads until
 * it is closed, which overwrites its copy of the key.
 */
public final class SecretRandom extends AddressedRandom implements AutoCloseable {
  /** Words of a block. */
  private static final int WORDS = 16;

  private static final ValueLayout.OfInt LITTLE_ENDIAN =
      ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final int[] key = new int[Secret.BYTES / Integer.BYTES];
  private volatile boolean closed;

  /**
   * The numbers of one node in one round.
   *
   * @param secret the key, which is copied
   * @param stream what the numbers are for
   * @param node the number of the node, edge or group, 0 and up
   * @param round the round, 0 to 2^40 - 1
   * @throws IllegalArgumentException when the node or the round is outside its range
   * @throws IllegalStateException when the secret is closed
   */
  public SecretRandom(Secret secret, Stream stream, int node, long round) {
    super(WORDS, stream, node, round);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocate(Secret.BYTES, Integer.BYTES);
      secret.copyTo(bytes);
      for (int i = 0; i < key.length; i++) {
        key[i] = bytes.getAtIndex(LITTLE_ENDIAN, i);
      }
      bytes.fill((byte) 0);
    }
  }

  @Override
  protected void block(int c0, int c1, int c2, int c3, int[] out) {
    if (closed) {
      throw new IllegalStateException("the random numbers are closed; draw them before that");
    }
    int[] start = new int[WORDS];
    start[0] = 0x61707865;
    start[1] = 0x3320646e;
    start[2] = 0x79622d32;
    start[3] = 0x6b206574;
    System.arraycopy(key, 0, start, 4, key.length);
    start[12] = c0;
    start[13] = c1;
    start[14] = c2;
    start[15] = c3;
    System.arraycopy(start, 0, out, 0, WORDS);
    for (int r = 0; r < 10; r++) {
      for (int i = 0; i < 4; i++) {
        quarter(out, i, 4 + i, 8 + i, 12 + i);
      }
      for (int i = 0; i < 4; i++) {
        quarter(out, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
      }
    }
    for (int w = 0; w < WORDS; w++) {
      out[w] += start[w];
    }
    Arrays.fill(start, 0);
  }

  private static void quarter(int[] x, int a, int b, int c, int d) {
    x[a] += x[b];
    x[d] = Integer.rotateLeft(x[d] ^ x[a], 16);
    x[c] += x[d];
    x[b] = Integer.rotateLeft(x[b] ^ x[c], 12);
    x[a] += x[b];
    x[d] = Integer.rotateLeft(x[d] ^ x[a], 8);
    x[c] += x[d];
    x[b] = Integer.rotateLeft(x[b] ^ x[c], 7);
  }

  /** Overwrites the key. Idempotent. */
  @Override
  public void close() {
    closed = true;
    Arrays.fill(key, 0);
  }
}
