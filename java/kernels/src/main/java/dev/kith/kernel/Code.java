package dev.kith.kernel;

import dev.kith.internal.Abi;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * How {@link Quantize} turns each element of a row into a code of few bits. Formulas, roundings and
 * what happens to rows that are not finite stand in {@code kith.h}, family quantize. Immutable.
 *
 * <p>A message is a row of 32-bit words: the scales of all blocks as the bits of f32, then the
 * codes, least significant bits first. How many words that is, {@link #words} says; it depends on
 * the code and the columns alone.
 *
 * @param kind which code
 * @param bits of a code: 2, 4 or 8 for QSGD, 4 or 8 for ABSMAX, else what the kind has
 * @param levels of QSGD: 1 to 2^(bits - 1) - 1; else 0
 * @param norm that QSGD scales with; else TWO
 * @param stochastic whether codes are rounded at random, without bias: always for QSGD and NATURAL,
 *     as wanted for ABSMAX, BF16, E4M3 and E5M2, else never
 * @param block columns that share a scale, 0 for the whole row; 0 for kinds without scales
 */
public record Code(Kind kind, int bits, int levels, Norm norm, boolean stochastic, long block) {
  /** The codes. */
  public enum Kind {
    /**
     * norm / levels times a signed level, rounded at random: Alistarh et al., "QSGD" (NeurIPS
     * 2017). With one level and the maximum norm it is TernGrad (Wen et al., NeurIPS 2017).
     */
    QSGD(Abi.CODE_QSGD, 0, 1),
    /** Powers of two, rounded at random: Horvath et al., "Natural compression" (2019). */
    NATURAL(Abi.CODE_NATURAL, 9, 0),
    /** 1 or -1: Bernstein et al., "signSGD" (ICML 2018). */
    SIGN(Abi.CODE_SIGN, 1, 0),
    /** The mean of |x| with the sign of x: Karimireddy et al., "EF-SignSGD" (ICML 2019). */
    SCALED_SIGN(Abi.CODE_SCALED_SIGN, 1, 1),
    /** The mean of what is not negative, or of what is: Seide et al., "1-bit SGD" (2014). */
    ONE_BIT(Abi.CODE_ONE_BIT, 1, 2),
    /** max |x| / Q times an integer of at most Q = 2^(bits - 1) - 1: block-wise int8 and int4. */
    ABSMAX(Abi.CODE_ABSMAX, 0, 1),
    /** From the least to the largest element in 255 steps, truncated. */
    AFFINE(Abi.CODE_AFFINE, 8, 2),
    /** bfloat16: 8 bits of exponent, 7 of mantissa. */
    BF16(Abi.CODE_BF16, 16, 0),
    /** Eight bits with 4 of exponent and 3 of mantissa, largest 448, no infinity. */
    E4M3(Abi.CODE_E4M3, 8, 0),
    /** Eight bits with 5 of exponent and 2 of mantissa, largest finite 57344. */
    E5M2(Abi.CODE_E5M2, 8, 0);

    private final int number;
    private final int bits;
    private final int scales;

    /** bits 0: several are possible. */
    Kind(int number, int bits, int scales) {
      this.number = number;
      this.bits = bits;
      this.scales = scales;
    }
  }

  /** What QSGD scales with. */
  public enum Norm {
    /** The 2-norm of a block. */
    TWO(Abi.NORM_TWO),
    /** The largest absolute value of a block. */
    MAX(Abi.NORM_MAX);

    private final int number;

    Norm(int number) {
      this.number = number;
    }
  }

  private static final long AT_KIND = Abi.offset(Abi.CODE, "kind");
  private static final long AT_BITS = Abi.offset(Abi.CODE, "bits");
  private static final long AT_LEVELS = Abi.offset(Abi.CODE, "levels");
  private static final long AT_NORM = Abi.offset(Abi.CODE, "norm");
  private static final long AT_STOCHASTIC = Abi.offset(Abi.CODE, "stochastic");
  private static final long AT_BLOCK = Abi.offset(Abi.CODE, "block");

  /**
   * Checks that the numbers fit the kind.
   *
   * @throws IllegalArgumentException when they do not
   */
  public Code {
    boolean bitsFit =
        switch (kind) {
          case QSGD -> bits == 2 || bits == 4 || bits == 8;
          case ABSMAX -> bits == 4 || bits == 8;
          default -> bits == kind.bits;
        };
    if (!bitsFit) {
      throw wrong(
          kind,
          "bits",
          bits,
          kind.bits > 0 ? "" + kind.bits : kind == Kind.QSGD ? "2, 4 or 8" : "4 or 8");
    }
    int most = kind == Kind.QSGD ? (1 << (bits - 1)) - 1 : 0;
    if (levels > most || levels < Math.min(1, most)) {
      throw wrong(kind, "levels", levels, Math.min(1, most) + " to " + most);
    }
    if (norm != Norm.TWO && kind != Kind.QSGD) {
      throw wrong(kind, "norm", norm, Norm.TWO + ", for only QSGD has one");
    }
    boolean always = kind == Kind.QSGD || kind == Kind.NATURAL;
    boolean either =
        switch (kind) {
          case ABSMAX, BF16, E4M3, E5M2 -> true;
          default -> false;
        };
    if (!either && stochastic != always) {
      throw wrong(kind, "stochastic", stochastic, "" + always);
    }
    if (block < 0 || (block > 0 && kind.scales == 0)) {
      throw wrong(
          kind, "block", block, kind.scales == 0 ? "0, for there are no scales" : "0 or more");
    }
  }

  private static IllegalArgumentException wrong(
      Kind kind, String name, Object value, String right) {
    return new IllegalArgumentException(
        "a code " + kind + " with " + name + " " + value + " is impossible; use " + right);
  }

  /**
   * QSGD.
   *
   * @param bits 2, 4 or 8
   * @param levels 1 to 2^(bits - 1) - 1
   * @param norm what it scales with
   * @param block columns of a bucket, 0 for the row
   * @return the code
   */
  public static Code qsgd(int bits, int levels, Norm norm, long block) {
    return new Code(Kind.QSGD, bits, levels, norm, true, block);
  }

  /**
   * TernGrad: QSGD of two bits with one level and the maximum norm.
   *
   * @param block columns that share a scale, 0 for the row
   * @return the code
   */
  public static Code ternGrad(long block) {
    return qsgd(2, 1, Norm.MAX, block);
  }

  /**
   * Natural compression.
   *
   * @return the code
   */
  public static Code natural() {
    return plain(Kind.NATURAL, true, 0);
  }

  /**
   * Signs alone.
   *
   * @return the code
   */
  public static Code sign() {
    return plain(Kind.SIGN, false, 0);
  }

  /**
   * Signs with a scale.
   *
   * @param block columns that share a scale, 0 for the row
   * @return the code
   */
  public static Code scaledSign(long block) {
    return plain(Kind.SCALED_SIGN, false, block);
  }

  /**
   * Two means.
   *
   * @param block columns that share them, 0 for the row
   * @return the code
   */
  public static Code oneBit(long block) {
    return plain(Kind.ONE_BIT, false, block);
  }

  /**
   * Integers scaled with the largest absolute value.
   *
   * @param bits 4 or 8
   * @param stochastic whether to round at random, else to nearest even
   * @param block columns that share a scale, 0 for the row
   * @return the code
   */
  public static Code absmax(int bits, boolean stochastic, long block) {
    return new Code(Kind.ABSMAX, bits, 0, Norm.TWO, stochastic, block);
  }

  /**
   * Steps from the least to the largest element.
   *
   * @param block columns that share the two, 0 for the row
   * @return the code
   */
  public static Code affine(long block) {
    return plain(Kind.AFFINE, false, block);
  }

  /**
   * A short floating-point type.
   *
   * @param kind BF16, E4M3 or E5M2
   * @param stochastic whether to round at random, else to nearest even
   * @return the code
   */
  public static Code reduced(Kind kind, boolean stochastic) {
    return plain(kind, stochastic, 0);
  }

  private static Code plain(Kind kind, boolean stochastic, long block) {
    return new Code(kind, kind.bits, 0, Norm.TWO, stochastic, block);
  }

  /**
   * The length of a message.
   *
   * @param cols columns of a row
   * @return 32-bit words
   */
  public long words(long cols) {
    if (cols < 0) {
      throw new IllegalArgumentException("a row of " + cols + " columns is impossible");
    }
    long blocks = cols == 0 ? 0 : block == 0 ? 1 : Math.ceilDiv(cols, block);
    long codes =
        kind == Kind.NATURAL
            ? Math.ceilDiv(cols, 32L) + Math.ceilDiv(cols, 4L)
            : Math.ceilDiv(cols * bits, 32L);
    return kind.scales * blocks + codes;
  }

  /** Writes a kith_code. */
  void write(MemorySegment code) {
    code.set(ValueLayout.JAVA_INT, AT_KIND, kind.number);
    code.set(ValueLayout.JAVA_INT, AT_BITS, bits);
    code.set(ValueLayout.JAVA_INT, AT_LEVELS, levels);
    code.set(ValueLayout.JAVA_INT, AT_NORM, norm.number);
    code.set(ValueLayout.JAVA_INT, AT_STOCHASTIC, stochastic ? 1 : 0);
    code.set(ValueLayout.JAVA_LONG, AT_BLOCK, block);
  }
}
