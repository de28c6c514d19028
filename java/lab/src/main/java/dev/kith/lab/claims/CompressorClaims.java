package dev.kith.lab.claims;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.Constants;
import dev.kith.compress.Messages;
import dev.kith.compress.Quantizer;
import dev.kith.compress.RandomK;
import dev.kith.device.DeviceMatrix;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.List;

/** Experiments on what single messages lose and weigh. */
final class CompressorClaims {
  private static final long SEED = 1;

  /** Rows that are encoded in one call: every row is a node and has draws of its own. */
  private static final int ROWS = 256;

  private static final int COLUMNS = 192;

  /** The vector of the cards' test vectors. */
  private static final float[] CARD = {1.5f, -0.25f, 3f, 0.75f, -2f, 0.125f, -0.5f, 1f};

  private static final double CARD_SQUARE = 17.140625;

  /**
   * What a compressor must lose on the card's vector.
   *
   * @param name of the compressor
   * @param square E |C(x) - x|^2, as the card states it
   */
  private record Loss(String name, double square) {}

  private static final List<Loss> EXACT =
      List.of(
          new Loss("identity", 0),
          new Loss("top-k:3", 1.890625),
          new Loss("sign", 6.890625),
          new Loss("scaled-sign", 6.732421875),
          new Loss("one-bit", 6.4916666667),
          new Loss("int8", 4.5821966644e-4),
          new Loss("int4", 0.15082908163),
          new Loss("affine", 2.9435793925e-4),
          new Loss("bf16", 0),
          new Loss("fp8-e4m3", 0),
          new Loss("fp8-e5m2", 0));

  private static final List<Loss> RANDOM =
      List.of(
          new Loss("random-k:3", 28.5677083333),
          new Loss("random-k:3:unscaled", 5.0 / 8 * CARD_SQUARE),
          new Loss("qsgd:4", 1.2567297764),
          new Loss("qsgd:1", 20.6380045876),
          new Loss("qsgd:4:max", 0.578125),
          new Loss("natural", 1.3125),
          new Loss("terngrad", 10.234375),
          // (max / Q)^2 times the sum of f (1 - f), f the fractions of |x| Q / max.
          new Loss("int8:stochastic", 8.2053289107e-4),
          new Loss("int4:stochastic", 0.27008928571));

  /** Those whose stated constant is compared with what they lose on rows of many shapes. */
  private static final List<String> NAMES =
      List.of(
          "identity",
          "top-k:0.1",
          "top-k:3:block=32",
          "random-k:0.1",
          "random-k:5:unscaled",
          "random-k:0.25:common",
          "qsgd:4:block=64",
          "qsgd:1",
          "qsgd:1:max",
          "natural",
          "terngrad",
          "scaled-sign",
          "one-bit",
          "int8",
          "int8:stochastic",
          "int4",
          "int4:stochastic",
          "affine:block=64",
          "bf16",
          "bf16:stochastic",
          "fp8-e4m3",
          "fp8-e4m3:stochastic",
          "fp8-e5m2",
          "fp8-e5m2:stochastic");

  /**
   * Those whose constant is attained by a row; the others' bound max|x|^2 by |x|^2, or say less.
   */
  private static final List<String> ATTAINED =
      List.of(
          "identity",
          "top-k:0.1",
          "top-k:3:block=32",
          "random-k:0.1",
          "random-k:5:unscaled",
          "random-k:0.25:common",
          "qsgd:4:block=64",
          "qsgd:1",
          "qsgd:1:max",
          "natural",
          "terngrad",
          "scaled-sign",
          "one-bit");

  /** The largest number of E4M3. */
  private static final float LARGEST_OF_FP8 = 448;

  /** What f32 adds to |C(x) - x|^2 / |x|^2. */
  private static final double ROUNDING = 0x1p-44;

  private CompressorClaims() {}

  /**
   * What was lost, over all draws.
   *
   * @param error mean of |C(x) - x|^2 / |x|^2
   * @param spread standard error of that mean
   * @param bias |mean C(x) - x|^2 relative to what it is in the mean for an unbiased C, rounding to
   *     f32 included
   */
  private record Lost(double error, double spread, double bias) {}

  /** What compressors lose, against their constants and against the cards' exact values. */
  static Measurement constants(Setting setting) {
    int draws = setting.pick(4096, 65_536);
    double exact = 0;
    for (Loss loss : EXACT) {
      double error = lost(setting, Compressor.parse(loss.name()), CARD, ROWS).error();
      exact = Math.max(exact, Math.abs(error - loss.square() / CARD_SQUARE));
    }
    double random = 0;
    for (Loss loss : RANDOM) {
      double error = lost(setting, Compressor.parse(loss.name()), CARD, draws).error();
      random = Math.max(random, Math.abs(error * CARD_SQUARE / loss.square() - 1));
    }
    double overBound = Double.NEGATIVE_INFINITY;
    double bias = 0;
    double underBound = 0;
    for (String name : NAMES) {
      Compressor compressor = Compressor.parse(name);
      Constants constants = compressor.constants(COLUMNS);
      double bound = bound(compressor);
      double largest = 0;
      for (Shape shape : Shape.values()) {
        float[] row = shape.row();
        if (constants.kind() == Constants.Kind.NONE && largest(row) > LARGEST_OF_FP8) {
          continue;
        }
        Lost lost = lost(setting, compressor, row, draws);
        largest = Math.max(largest, lost.error() + 4 * lost.spread());
        overBound = Math.max(overBound, lost.error() - 4 * lost.spread() - bound);
        if (constants.kind() == Constants.Kind.UNBIASED) {
          bias = Math.max(bias, lost.bias());
        }
      }
      if (ATTAINED.contains(name)) {
        underBound = Math.max(underBound, bound - largest);
      }
    }
    return Measurement.under(
            "%d compressors on rows of %d numbers (%s), and on the test vector of 8; %d draws each, f32"
                .formatted(NAMES.size(), COLUMNS, Arrays.toString(Shape.values()), draws))
        .with("exactLossError", exact)
        .with("randomLossError", random)
        .with("errorOverBound", overBound)
        .with("boundOverError", underBound)
        .with("biasOverExpected", bias);
  }

  /**
   * omega or 1 - delta; for fp8, which promises them for no row, the square of half a unit in the
   * last place of numbers that are neither subnormal nor too large.
   */
  private static double bound(Compressor compressor) {
    if (compressor instanceof Quantizer quantizer) {
      return switch (quantizer.method()) {
        case FP8_E4M3 -> 0x1p-8;
        case FP8_E5M2 -> 0x1p-6;
        default -> compressor.constants(COLUMNS).worstError();
      };
    }
    return compressor.constants(COLUMNS).worstError();
  }

  private static float largest(float[] row) {
    float largest = 0;
    for (float value : row) {
      largest = Math.max(largest, Math.abs(value));
    }
    return largest;
  }

  /** Rows of very different shapes, and those on which constants hold with equality. */
  private enum Shape {
    NORMAL,
    HEAVY_TAILS,
    /** The worst for top-k, QSGD, and for natural compression, which loses most of 4/3. */
    ALL_EQUAL,
    SPIKE,
    GEOMETRIC,
    /** The worst for a scaled sign and for one bit. */
    ONE_HOT,
    /** The worst for TernGrad: the largest |x|_1 max|x| / |x|^2. */
    ONE_AND_SMALL,
    /** The worst for int4: codes of 1/2 beside one of 7 in each block. */
    HALVES;

    float[] row() {
      SharedRandom random = new SharedRandom(SEED, Stream.TEST, 0, 0);
      float[] row = new float[COLUMNS];
      for (int c = 0; c < COLUMNS; c++) {
        row[c] =
            (float)
                switch (this) {
                  case NORMAL -> random.normal(c);
                  case HEAVY_TAILS -> StrictMath.pow(random.normal(c), 5);
                  case ALL_EQUAL -> 4.0 / 3;
                  case SPIKE -> c == 100 ? 1000 : 0.5 + random.uniform(c);
                  case GEOMETRIC -> StrictMath.pow(0.9, c);
                  case ONE_HOT -> c == 100 ? 1 : 0;
                  case ONE_AND_SMALL -> c == 100 ? 1 : 1 / (1 + StrictMath.sqrt(COLUMNS));
                  case HALVES -> c % 64 == 0 ? 7 : 0.5;
                };
      }
      return row;
    }
  }

  private static Lost lost(Setting setting, Compressor compressor, float[] x, int draws) {
    float[][] rows = new float[ROWS][];
    Arrays.fill(rows, x);
    double square = 0;
    for (float value : x) {
      square += (double) value * value;
    }
    double[] mean = new double[x.length];
    double sum = 0;
    double squares = 0;
    try (DeviceMatrix sent = DeviceMatrix.of(setting.queue(), rows);
        DeviceMatrix received = sent.like();
        Codec codec = compressor.bind(sent, new Codec.Sender(0, SEED, 0));
        Messages messages = codec.messages()) {
      for (int round = 0; round < draws / ROWS; round++) {
        codec.encode(sent, messages, round);
        codec.decode(messages, received);
        float[] y = received.toFloats();
        for (int r = 0; r < ROWS; r++) {
          double error = 0;
          for (int c = 0; c < x.length; c++) {
            // Sabotaged, what was decoded is taken for the number beside it.
            double value = y[r * x.length + (setting.sabotaged() ? (c + 1) % x.length : c)];
            mean[c] += value / draws;
            error += (value - x[c]) * (value - x[c]) / square;
          }
          sum += error;
          squares += error * error;
        }
      }
    }
    double bias = 0;
    for (int c = 0; c < x.length; c++) {
      bias += (mean[c] - x[c]) * (mean[c] - x[c]) / square;
    }
    boolean common = compressor instanceof RandomK randomK && randomK.common();
    double independent = common ? (double) draws / ROWS : draws;
    double average = sum / draws;
    double variance = Math.max(0, squares / draws - average * average);
    return new Lost(
        average, Math.sqrt(variance / independent), bias / (average / independent + ROUNDING));
  }
}
