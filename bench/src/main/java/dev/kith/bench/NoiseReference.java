package dev.kith.bench;

import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.GeneralSecurityException;
import javax.crypto.Cipher;
import javax.crypto.spec.ChaCha20ParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Elements of random rows of round 0, computed a second time from {@code docs/randomness.md}:
 * ChaCha20 by Java's own cipher, normals by solving for the quantile in f64.
 */
final class NoiseReference {
  private static final int NORMALS = 2;
  private static final int SIGNS = 3;
  private static final int CHACHA_WORDS = 16;

  /** From 0 to the last of the normals, 6.33, it takes about 30. */
  private static final int MOST_STEPS = 100;

  private NoiseReference() {}

  /** Word of form 0 of a public seed. */
  static int philox(long seed, Stream stream, int node, long index) {
    return new SharedRandom(seed, stream, node, 0).word(index);
  }

  /** Word of form 0 of a secret. */
  static int chacha(byte[] secret, Stream stream, int node, long index) {
    ByteBuffer nonce = ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN);
    nonce.putInt(node).putInt(0).putInt(stream.tag() << 24);
    try {
      Cipher cipher = Cipher.getInstance("ChaCha20");
      cipher.init(
          Cipher.ENCRYPT_MODE,
          new SecretKeySpec(secret, "ChaCha20"),
          new ChaCha20ParameterSpec(nonce.array(), Math.toIntExact(index / CHACHA_WORDS)));
      byte[] block = cipher.doFinal(new byte[CHACHA_WORDS * Integer.BYTES]);
      return ByteBuffer.wrap(block)
          .order(ByteOrder.LITTLE_ENDIAN)
          .getInt((int) (index % CHACHA_WORDS) * Integer.BYTES);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("this Java has no ChaCha20 to compare with", e);
    }
  }

  /** Normal of a public seed, not rounded to f32. */
  static double normal(long seed, Stream stream, int node, long index) {
    long word = Integer.toUnsignedLong(philox(seed, stream, NORMALS, node, index));
    return quantile((word - 0x1p31 + 0.5) * 0x1p-32);
  }

  /** 1 or -1 of a public seed. */
  static double sign(long seed, Stream stream, int node, long index) {
    int word = philox(seed, stream, SIGNS, node, index / Integer.SIZE);
    return (word >>> (index % Integer.SIZE) & 1) == 0 ? 1 : -1;
  }

  /** The z whose distribution function is 1/2 + q, |q| &lt; 1/2, by Newton's method. */
  static double quantile(double q) {
    // The distribution function is concave above 0: from there no step goes too far.
    double target = Math.abs(q);
    double z = 0;
    double step = 1;
    for (int i = 0; i < MOST_STEPS && step > 0x1p-50 * z; i++) {
      step = (target - beyondHalf(z)) / density(z);
      z += step;
    }
    return q < 0 ? -z : z;
  }

  private static double density(double z) {
    return Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI);
  }

  /**
   * The distribution function of z at least 0, less 1/2: the density times the sum of z^(2n+1) / (1
   * 3 5 ... (2n+1)), all of one sign.
   */
  private static double beyondHalf(double z) {
    double sum = 0;
    double term = z;
    for (int n = 1; sum + term != sum; n += 2) {
      sum += term;
      term *= z * z / (n + 2);
    }
    return density(z) * sum;
  }

  private static int philox(long seed, Stream stream, int form, int node, long index) {
    long z = seed + 0x9E3779B97F4A7C15L;
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    z ^= z >>> 31;
    int k0 = (int) z;
    int k1 = (int) (z >>> 32);
    long block = index >>> 2;
    int[] c = {(int) block, node, 0, stream.tag() << 24 | form << 16 | (int) (block >>> 32)};
    for (int round = 0; round < 10; round++) {
      long p0 = 0xD2511F53L * Integer.toUnsignedLong(c[0]);
      long p1 = 0xCD9E8D57L * Integer.toUnsignedLong(c[2]);
      c =
          new int[] {
            (int) (p1 >>> 32) ^ c[1] ^ k0, (int) p1, (int) (p0 >>> 32) ^ c[3] ^ k1, (int) p0
          };
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    return c[(int) (index & 3)];
  }
}
