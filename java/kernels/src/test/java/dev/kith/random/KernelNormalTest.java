package dev.kith.random;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.kernel.OracleNoise;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

/**
 * The conversions of words into kernel normals and Laplace numbers, on every 256th word and densely
 * where formulas meet; {@code -Dkith.test.words=all} takes all 2^32. Kernels equal these
 * conversions bit for bit: NoiseTest.
 */
class KernelNormalTest {
  private static final long WORDS = 1L << 32;
  private static final long STEP = "all".equals(System.getProperty("kith.test.words")) ? 1 : 256;
  private static final int PARTS = 64;

  private interface Check {
    /** The words from, from + step, ... below to, and the one before. */
    void run(long from, long to, long step);
  }

  private static void everywhere(Check check) {
    LongStream.range(0, PARTS)
        .parallel()
        .forEach(i -> check.run(i * (WORDS / PARTS), (i + 1) * (WORDS / PARTS), STEP));
    // Where the tails begin, where the logarithm changes its octave, and in the middle.
    for (long at = 1L << 31; at > 0; at >>= 1) {
      dense(check, at);
      dense(check, (long) (at * Math.sqrt(0.5)));
    }
    dense(check, 1L << 28);
    dense(check, 1L << 31);
  }

  private static void dense(Check check, long at) {
    for (long w : new long[] {at, WORDS - at}) {
      check.run(Math.max(0, w - 5000), Math.min(WORDS, w + 5000), 1);
    }
  }

  @Test
  void normalsAscendWithTheirWord() {
    everywhere(
        (from, to, step) -> {
          float before = from == 0 ? -7 : OracleNoise.normal((int) (from - 1));
          for (long w = from; w < to; w += step) {
            float z = OracleNoise.normal((int) w);
            if (!(before <= z)) {
              assertTrue(before <= z, "word " + w + " gives " + z + " after " + before);
            }
            before = z;
          }
        });
  }

  @Test
  void laplaceNumbersAscendWithTheirWord() {
    everywhere(
        (from, to, step) -> {
          float before = from == 0 ? -23 : OracleNoise.laplace((int) (from - 1));
          for (long w = from; w < to; w += step) {
            float z = OracleNoise.laplace((int) w);
            if (!(before <= z)) {
              assertTrue(before <= z, "word " + w + " gives " + z + " after " + before);
            }
            before = z;
          }
        });
  }

  @Test
  void bothAreOdd() {
    everywhere(
        (from, to, step) -> {
          for (long w = from; w < to; w += step) {
            if (OracleNoise.normal((int) w) != -OracleNoise.normal((int) ~w)
                || OracleNoise.laplace((int) w) != -OracleNoise.laplace((int) ~w)) {
              assertEquals(0, w, "the word and its complement differ in more than the sign");
            }
          }
        });
  }

  /** One rounding to f32 is half an ulp; the polynomials add little to it. */
  @Test
  void normalsAreWithinTwoUlpOfAs241() {
    everywhere(
        (from, to, step) -> {
          for (long w = from; w < Math.min(to, WORDS / 2); w += step) {
            double exact = Normal.lower((w + 0.5) * 0x1p-32);
            float z = OracleNoise.normal((int) w);
            if (!(Math.abs(z - exact) <= 2 * Math.ulp((float) exact))) {
              assertEquals(exact, z, "word " + w);
            }
          }
        });
  }

  @Test
  void laplaceNumbersAreWithinTwoUlpOfTheLogarithm() {
    everywhere(
        (from, to, step) -> {
          for (long w = from; w < Math.min(to, WORDS / 2); w += step) {
            // ln(2 p) near p = 1/2 by log1p: 1 - 2 p is exact.
            double exact = StrictMath.log1p((w + 0.5) * 0x1p-31 - 1);
            float z = OracleNoise.laplace((int) w);
            if (!(Math.abs(z - exact) <= 2 * Math.ulp((float) exact))) {
              assertEquals(exact, z, "word " + w);
            }
          }
        });
  }

  @Test
  void theLargestStayInTheirBounds() {
    assertTrue(OracleNoise.normal(-1) > 6.33f && OracleNoise.normal(-1) < 6.34f);
    assertTrue(OracleNoise.laplace(-1) > 22.1f && OracleNoise.laplace(-1) < 22.2f);
    assertEquals(OracleNoise.normal(-1), -OracleNoise.normal(0));
  }
}
