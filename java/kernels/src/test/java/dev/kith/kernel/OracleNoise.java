package dev.kith.kernel;

import dev.kith.random.Philox;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * The random rows of docs/randomness.md a second time: one word after the other, as the page says
 * it.
 */
public final class OracleNoise {
  /** The quantile of 1/2 + q, divided by q, as a polynomial in q^2. */
  private static final double[] CENTRAL = {
    0x1.40d931b42753bp+1,
    0x1.5000181064264p+1,
    0x1.700ce9cabb526p+2,
    0x1.266a2540feb54p+4,
    -0x1.06a0f3e4ea198p+7,
    0x1.ba0f7170c95adp+12,
    -0x1.4ffa32838a117p+17,
    0x1.600fe813bc391p+21,
    -0x1.f77bf41e30dd1p+24,
    0x1.efc710c664c08p+27,
    -0x1.4a661b372b4bep+30,
    0x1.1d55f4d5c168cp+32,
    -0x1.20ac33d1612ccp+33,
    0x1.050b089469569p+33
  };

  /** ln(1 + m), divided by m, as a polynomial in m. */
  private static final double[] LOG = {
    0x1.00000000b3b6ep+0,
    -0x1.0000004c311d9p-1,
    0x1.555552a71d58ap-2,
    -0x1.ffff5ac222db3p-3,
    0x1.999a87a992c8bp-3,
    -0x1.5572f6edfebf2p-3,
    0x1.2492c359e35a6p-3,
    -0x1.fb59d4e770596p-4,
    0x1.c270d26608780p-4,
    -0x1.c2311d3dabcaep-4,
    0x1.bee01d950e7c0p-4,
    -0x1.eb41d21a2db09p-5
  };

  /** Minus the quantile of p as a polynomial in sqrt(-2 ln p) - 4.5. */
  private static final double[] TAIL = {
    0x1.f8d54ae1e9fa0p+1,
    0x1.141c06ef1e1ebp+0,
    -0x1.a754d8afda04ap-7,
    0x1.28059429514afp-9,
    -0x1.ac018bc855650p-12,
    0x1.3c0a0308c4082p-14,
    -0x1.e88b19e7e51f4p-17,
    0x1.82ba3159c53cap-19,
    -0x1.badbcd83bbfa7p-22,
    0x1.0af28c7ea2ae5p-24,
    -0x1.4f2154df8effap-25,
    0x1.37c81f3cc56bep-27
  };

  private static final double LN_2 = 0x1.62e42fefa39efp-1;

  private OracleNoise() {}

  /** The coefficients CENTRAL, LOG and TAIL of the page. */
  public static double[] coefficients(String name) {
    return switch (name) {
      case "CENTRAL" -> CENTRAL.clone();
      case "LOG" -> LOG.clone();
      case "TAIL" -> TAIL.clone();
      default -> throw new IllegalArgumentException(name);
    };
  }

  /** The ChaCha20 block of RFC 8439, section 2.3: 16 words of state into 16 words. */
  public static int[] chachaBlock(int[] key, int[] counterAndNonce) {
    int[] start = new int[16];
    start[0] = 0x61707865;
    start[1] = 0x3320646e;
    start[2] = 0x79622d32;
    start[3] = 0x6b206574;
    System.arraycopy(key, 0, start, 4, 8);
    System.arraycopy(counterAndNonce, 0, start, 12, 4);
    int[] x = start.clone();
    for (int r = 0; r < 10; r++) {
      for (int i = 0; i < 4; i++) {
        quarterRound(x, i, 4 + i, 8 + i, 12 + i);
      }
      for (int i = 0; i < 4; i++) {
        quarterRound(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
      }
    }
    for (int i = 0; i < 16; i++) {
      x[i] += start[i];
    }
    return x;
  }

  /** RFC 8439, section 2.1. */
  public static void quarterRound(int[] x, int a, int b, int c, int d) {
    x[a] += x[b];
    x[d] = Integer.rotateLeft(x[d] ^ x[a], 16);
    x[c] += x[d];
    x[b] = Integer.rotateLeft(x[b] ^ x[c], 12);
    x[a] += x[b];
    x[d] = Integer.rotateLeft(x[d] ^ x[a], 8);
    x[c] += x[d];
    x[b] = Integer.rotateLeft(x[b] ^ x[c], 7);
  }

  /** Word i of the row of a seed. */
  public static int publicWord(long seed, Stream stream, int form, int node, long round, long i) {
    // The key is SplitMix64's, whose form 0 SharedRandom has.
    if (form == 0) {
      return new SharedRandom(seed, stream, node, round).word(i);
    }
    long z = seed + 0x9E3779B97F4A7C15L;
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    z ^= z >>> 31;
    long block = i / 4;
    int[] out = new int[4];
    Philox.block(
        (int) block,
        node,
        (int) round,
        last(stream, form, round, block),
        (int) z,
        (int) (z >>> 32),
        out);
    return out[(int) (i % 4)];
  }

  /** Word i of the row of a secret. */
  public static int secretWord(
      byte[] secret, Stream stream, int form, int node, long round, long i) {
    return secretBlock(secret, stream, form, node, round, i / 16)[(int) (i % 16)];
  }

  private static int[] secretBlock(
      byte[] secret, Stream stream, int form, int node, long round, long block) {
    int[] key = new int[8];
    ByteBuffer.wrap(secret).order(ByteOrder.LITTLE_ENDIAN).asIntBuffer().get(key);
    return chachaBlock(
        key, new int[] {(int) block, node, (int) round, last(stream, form, round, block)});
  }

  private static int last(Stream stream, int form, long round, long block) {
    return stream.tag() << 24 | form << 16 | (int) (round >>> 32) << 8 | (int) (block >>> 32);
  }

  /** The form that a distribution reads. */
  public static int form(NoiseField.Distribution distribution) {
    return switch (distribution) {
      case WORDS, UNIFORM -> 0;
      case NORMAL -> 2;
      case RADEMACHER -> 3;
      case LAPLACE -> 4;
    };
  }

  /** The words that the first n elements take. */
  private static long words(NoiseField.Distribution distribution, long n) {
    return distribution == NoiseField.Distribution.RADEMACHER ? (n + 31) / 32 : n;
  }

  /** Elements 0 to n - 1 of the row of a seed; words as numbers. */
  static double[] publicRow(
      NoiseField.Distribution d, long seed, Stream stream, int node, long round, int n) {
    int[] words = new int[(int) words(d, n)];
    for (int i = 0; i < words.length; i++) {
      words[i] = publicWord(seed, stream, form(d), node, round, i);
    }
    return numbers(d, words, n);
  }

  /** Elements 0 to n - 1 of the row of a secret; words as numbers. */
  static double[] secretRow(
      NoiseField.Distribution d, byte[] secret, Stream stream, int node, long round, int n) {
    int[] words = new int[(int) words(d, n)];
    int[] block = {};
    for (int i = 0; i < words.length; i++) {
      if (i % 16 == 0) {
        block = secretBlock(secret, stream, form(d), node, round, i / 16);
      }
      words[i] = block[i % 16];
    }
    return numbers(d, words, n);
  }

  private static double[] numbers(NoiseField.Distribution d, int[] words, int n) {
    double[] z = new double[n];
    for (int c = 0; c < n; c++) {
      z[c] =
          switch (d) {
            case WORDS -> words[c];
            case UNIFORM -> uniform(words[c]);
            case NORMAL -> normal(words[c]);
            case RADEMACHER -> (words[c / 32] >>> (c % 32) & 1) == 0 ? 1 : -1;
            case LAPLACE -> laplace(words[c]);
          };
    }
    return z;
  }

  /** A uniform of a word. */
  public static float uniform(int word) {
    return Math.min(((word >>> 8) + 0.5f) * 0x1p-24f, 0x1.fffffep-1f);
  }

  private static double horner(double[] coefficients, double x) {
    double a = coefficients[coefficients.length - 1];
    for (int i = coefficients.length - 2; i >= 0; i--) {
      a = Math.fma(a, x, coefficients[i]);
    }
    return a;
  }

  /** ln(2^shift p), p the mass beyond the quantile of s. */
  private static double log(int s, int shift) {
    int k = s < 0 ? ~s : s;
    double p = ((0x7fffffff - k) + 0.5) * 0x1p-32;
    int e = Math.getExponent(p);
    double m = p * Math.scalb(1.0, -e);
    if (m > 0x1.6a09e667f3bccp0) {
      m /= 2;
      e++;
    }
    m -= 1;
    return Math.fma((double) (e + shift), LN_2, m * horner(LOG, m));
  }

  /** A kernel normal of a word. */
  public static float normal(int word) {
    int s = word ^ 0x80000000;
    if (s < 7 << 28 && ~s < 7 << 28) {
      double q = (s + 0.5) * 0x1p-32;
      return (float) (q * horner(CENTRAL, q * q));
    }
    float size = (float) horner(TAIL, Math.sqrt(-2.0 * log(s, 0)) - 4.5);
    return s < 0 ? -size : size;
  }

  /** A Laplace number of a word. */
  public static float laplace(int word) {
    int s = word ^ 0x80000000;
    float size = (float) -log(s, 1);
    return s < 0 ? -size : size;
  }
}
