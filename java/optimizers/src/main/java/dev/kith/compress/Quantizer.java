package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.Code;
import dev.kith.kernel.Draw;
import java.util.Objects;
import java.util.Optional;

/**
 * Every number becomes a code of few bits. Rows are cut into blocks of B columns, each with scales
 * of its own; N is the norm of a block.
 *
 * <table>
 * <caption>Definitions, with omega or delta for blocks of B numbers</caption>
 * <tr><th>method</th><th>C(x)_i</th><th>constant</th></tr>
 * <tr><td>QSGD, s levels</td><td>N sign(x_i) l / s, l = s |x_i| / N rounded at random</td>
 * <td>omega = min(B / (4 s^2), sqrt(B) / s); sqrt(B) - 1 for s = 1; with the maximum norm
 * min(B / (4 s^2), (1 + sqrt(B)) / (2 s)), and TernGrad's for s = 1</td></tr>
 * <tr><td>natural</td><td>sign(x_i) 2^e, e rounded at random</td><td>omega = 1/8</td></tr>
 * <tr><td>TernGrad</td><td>max|x| sign(x_i) b_i, b_i = 1 with probability |x_i| / max|x|</td>
 * <td>omega = (sqrt(B) - 1) / 2</td></tr>
 * <tr><td>sign</td><td>sign(x_i), sign(0) = 1</td><td>none</td></tr>
 * <tr><td>scaled sign</td><td>(|x|_1 / B) sign(x_i)</td><td>delta = 1/B</td></tr>
 * <tr><td>one bit</td><td>the mean of the numbers of the same sign</td><td>delta = 1/B</td></tr>
 * <tr><td>int8, int4 (Q = 127, 7)</td><td>q max|x| / Q, q = x_i Q / max|x| to nearest even</td>
 * <td>delta = max(1 - B / (4 Q^2), 1/B)</td></tr>
 * <tr><td>the same, stochastic</td><td>q rounded at random</td><td>omega = B / (4 Q^2)</td></tr>
 * <tr><td>affine</td><td>lo + q (hi - lo) / 255, q truncated</td>
 * <td>delta = 1 - 2 B / 255^2 where that is positive</td></tr>
 * <tr><td>bf16</td><td>8 bits of precision</td><td>delta = 1 - 2^-16; stochastic: omega =
 * 2^-16</td></tr>
 * <tr><td>fp8 E4M3, E5M2</td><td>4 and 3 bits of precision, saturating at 448 and 57344</td>
 * <td>none; relative error 2^-4 and 2^-3 between 2^-6 and 448, 2^-14 and 57344</td></tr>
 * </table>
 *
 * <p>Constants hold for numbers that are not subnormal. A block with a NaN or an infinity is sent
 * as NaN. Payload: the scales of all blocks (f32; two each for one bit and affine), then the codes,
 * least significant bits first, padded with zero bits to whole words.
 *
 * <p>Sources: Alistarh et al., "QSGD", 2017; Horvath et al., "Natural Compression for Distributed
 * Deep Learning", 2019; Wen et al., "TernGrad", 2017; Bernstein et al., "signSGD", 2018;
 * Karimireddy et al., "Error Feedback Fixes SignSGD and other Gradient Compression Schemes", 2019;
 * Seide et al., "1-Bit Stochastic Gradient Descent", 2014; Dettmers et al., "8-bit Optimizers via
 * Block-wise Quantization", 2022 (blocks); the affine code is that of the PCCL technical report,
 * 2025.
 *
 * @param method which of them
 * @param levels s of QSGD, 1 to 127; else 0
 * @param block B; 0: the whole row is one block
 * @param maxNorm whether QSGD takes the maximum norm; else the 2-norm, and false elsewhere
 * @param stochastic whether int8, int4, bf16 and fp8 round at random; QSGD, natural and TernGrad
 *     always do
 */
public record Quantizer(Method method, int levels, long block, boolean maxNorm, boolean stochastic)
    implements Compressor {
  /** What a code means. */
  public enum Method {
    /** QSGD. */
    QSGD("qsgd", 10, 512),
    /** Natural compression. */
    NATURAL("natural", 11, 0),
    /** TernGrad. */
    TERNGRAD("terngrad", 12, 0),
    /** The sign, without a scale. */
    SIGN("sign", 13, 0),
    /** The sign, times the mean of the absolute values. */
    SCALED_SIGN("scaled-sign", 14, 0),
    /** The sign, with a mean for each of the two. */
    ONE_BIT("one-bit", 15, 0),
    /** 8 bits, scaled by the largest absolute value. */
    INT8("int8", 16, 256),
    /** 4 bits, scaled by the largest absolute value. */
    INT4("int4", 17, 64),
    /** 8 bits between the least and the largest value. */
    AFFINE("affine", 18, 0),
    /** The upper half of f32. */
    BF16("bf16", 19, 0),
    /** 1 + 4 + 3 bits. */
    FP8_E4M3("fp8-e4m3", 20, 0),
    /** 1 + 5 + 2 bits. */
    FP8_E5M2("fp8-e5m2", 21, 0);

    private final String label;
    private final int kind;
    private final long defaultBlock;

    Method(String label, int kind, long defaultBlock) {
      this.label = label;
      this.kind = kind;
      this.defaultBlock = defaultBlock;
    }

    /** Its name. */
    public String label() {
      return label;
    }

    /**
     * B where nothing is said: 512 for QSGD (the paper's buckets for 4 bits), 256 for int8 and 64
     * for int4 (8.125 and 4.5 bits a number), the whole row for the others (as published, where a
     * row stands for a layer).
     */
    public long defaultBlock() {
      return defaultBlock;
    }

    /** Whether it has scales, and so blocks. */
    boolean scaled() {
      return switch (this) {
        case NATURAL, SIGN, BF16, FP8_E4M3, FP8_E5M2 -> false;
        default -> true;
      };
    }

    /** Whether it may round to nearest or at random. */
    boolean choosesRounding() {
      return switch (this) {
        case INT8, INT4, BF16, FP8_E4M3, FP8_E5M2 -> true;
        default -> false;
      };
    }
  }

  /** Checks. */
  public Quantizer {
    Objects.requireNonNull(method, "method");
    Blocks.check(block);
    boolean qsgd = method == Method.QSGD;
    if (qsgd ? levels < 1 || levels > 127 : levels != 0) {
      throw new IllegalArgumentException(
          method.label()
              + " with "
              + levels
              + " levels is impossible: qsgd takes 1 to 127, the others none");
    }
    if (block > 0 && !method.scaled()) {
      throw new IllegalArgumentException(
          method.label() + " has no scales: leave out the block of " + block);
    }
    if (maxNorm && !qsgd) {
      throw new IllegalArgumentException(
          method.label() + " takes no norm: only qsgd has the choice");
    }
    if (stochastic && !method.choosesRounding()) {
      throw new IllegalArgumentException(
          method.label()
              + " has no choice of rounding: int8, int4, bf16, fp8-e4m3 and fp8-e5m2 have");
    }
  }

  /** A method with its default block, rounding to nearest where there is a choice. */
  public static Quantizer of(Method method) {
    return new Quantizer(
        method, method == Method.QSGD ? 4 : 0, method.defaultBlock(), false, false);
  }

  /** QSGD with s levels in blocks of 512. */
  public static Quantizer qsgd(int levels) {
    return new Quantizer(Method.QSGD, levels, Method.QSGD.defaultBlock(), false, false);
  }

  /** 8 bits in blocks of 256, to nearest even. */
  public static Quantizer int8() {
    return of(Method.INT8);
  }

  /** 4 bits in blocks of 64, to nearest even. */
  public static Quantizer int4() {
    return of(Method.INT4);
  }

  /** The same with other blocks; 0 is the whole row. */
  public Quantizer withBlock(long columns) {
    return new Quantizer(method, levels, columns, maxNorm, stochastic);
  }

  /** The same, rounding at random. */
  public Quantizer withStochasticRounding() {
    return new Quantizer(method, levels, block, maxNorm, true);
  }

  /** The same with the maximum norm. */
  public Quantizer withMaxNorm() {
    return new Quantizer(method, levels, block, true, stochastic);
  }

  @Override
  public String name() {
    return method.label()
        + (levels > 0 ? ":" + levels : "")
        + (block == method.defaultBlock() ? "" : ":block=" + (block == 0 ? "row" : block))
        + (maxNorm ? ":max" : "")
        + (stochastic ? ":stochastic" : "");
  }

  @Override
  public int kind() {
    return method.kind;
  }

  @Override
  public int parameter(Layout layout) {
    return levels;
  }

  /** A sign and a level of QSGD, in 2, 4 or 8 bits. */
  private int bits() {
    return levels == 1 ? 2 : levels <= 7 ? 4 : 8;
  }

  @Override
  public long words(Layout layout) {
    return words(layout.size());
  }

  /** Words of a message of this many numbers. */
  long words(long columns) {
    return code().words(columns);
  }

  /** The code of the kernels. */
  Code code() {
    return switch (method) {
      case QSGD -> Code.qsgd(bits(), levels, maxNorm ? Code.Norm.MAX : Code.Norm.TWO, block);
      case NATURAL -> Code.natural();
      case TERNGRAD -> Code.ternGrad(block);
      case SIGN -> Code.sign();
      case SCALED_SIGN -> Code.scaledSign(block);
      case ONE_BIT -> Code.oneBit(block);
      case INT8 -> Code.absmax(8, stochastic, block);
      case INT4 -> Code.absmax(4, stochastic, block);
      case AFFINE -> Code.affine(block);
      case BF16 -> Code.reduced(Code.Kind.BF16, stochastic);
      case FP8_E4M3 -> Code.reduced(Code.Kind.E4M3, stochastic);
      case FP8_E5M2 -> Code.reduced(Code.Kind.E5M2, stochastic);
    };
  }

  /** The random numbers of a round, where it rounds at random. */
  Optional<Draw> draw(Codec.Sender sender, long round) {
    return code().stochastic()
        ? Optional.of(Draw.of(sender.drawSeed(), round, sender.firstNode()))
        : Optional.empty();
  }

  @Override
  public Constants constants(long columns) {
    double b = Blocks.longest(block, columns);
    return switch (method) {
      case QSGD -> qsgdConstants(b);
      case NATURAL -> Constants.unbiased(0.125);
      case TERNGRAD -> Constants.unbiased(Math.max(0, (Math.sqrt(b) - 1) / 2));
      case SIGN, FP8_E4M3, FP8_E5M2 -> Constants.none();
      case SCALED_SIGN, ONE_BIT -> Constants.contractive(1 / Math.max(b, 1));
      case INT8 -> absmaxConstants(b, 127);
      case INT4 -> absmaxConstants(b, 7);
      case AFFINE ->
          2 * b < 255 * 255 ? Constants.contractive(1 - 2 * b / (255 * 255)) : Constants.none();
      case BF16 -> stochastic ? Constants.unbiased(0x1p-16) : Constants.contractive(1 - 0x1p-16);
    };
  }

  private Constants qsgdConstants(double b) {
    double s = levels;
    if (levels == 1) {
      double omega = maxNorm ? (Math.sqrt(b) - 1) / 2 : Math.sqrt(b) - 1;
      return Constants.unbiased(Math.max(0, omega));
    }
    double large = maxNorm ? (1 + Math.sqrt(b)) / (2 * s) : Math.sqrt(b) / s;
    return Constants.unbiased(Math.min(b / (4 * s * s), large));
  }

  private Constants absmaxConstants(double b, double q) {
    double error = b / (4 * q * q);
    return stochastic
        ? Constants.unbiased(error)
        : Constants.contractive(Math.max(1 - error, 1 / Math.max(b, 1)));
  }

  @Override
  public Codec bind(DeviceMatrix like, Codec.Sender sender) {
    return new QuantizeCodec(this, like, sender);
  }
}
