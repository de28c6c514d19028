package dev.kith.lab.claims;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.Constants;
import dev.kith.compress.Messages;
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
      List.of(new Loss("identity", 0), new Loss("top-k:3", 1.890625));

  private static final List<Loss> RANDOM =
      List.of(
          new Loss("random-k:3", 28.5677083333),
          new Loss("random-k:3:unscaled", 5.0 / 8 * CARD_SQUARE));

  /** Those whose stated constant is compared with what they lose on rows of many shapes. */
  private static final List<String> NAMES =
      List.of(
          "identity",
          "top-k:0.1",
          "top-k:3:block=32",
          "random-k:0.1",
          "random-k:5:unscaled",
          "random-k:0.25:common");

  private CompressorClaims() {}

  /**
   * What was lost, over all draws.
   *
   * @param error mean of |C(x) - x|^2 / |x|^2
   * @param spread standard error of that mean
   * @param bias |mean C(x) - x|^2 relative to what it is in the mean for an unbiased C
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
      double bound = constants.worstError();
      double largest = 0;
      for (Shape shape : Shape.values()) {
        Lost lost = lost(setting, compressor, shape.row(), draws);
        largest = Math.max(largest, lost.error());
        overBound = Math.max(overBound, lost.error() - 4 * lost.spread() - bound);
        if (constants.kind() == Constants.Kind.UNBIASED) {
          bias = Math.max(bias, lost.bias());
        }
      }
      underBound = Math.max(underBound, bound - largest);
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

  /** Rows of very different shapes. */
  private enum Shape {
    NORMAL,
    HEAVY_TAILS,
    ALL_EQUAL,
    SPIKE,
    GEOMETRIC;

    float[] row() {
      SharedRandom random = new SharedRandom(SEED, Stream.TEST, 0, 0);
      float[] row = new float[COLUMNS];
      for (int c = 0; c < COLUMNS; c++) {
        row[c] =
            (float)
                switch (this) {
                  case NORMAL -> random.normal(c);
                  case HEAVY_TAILS -> StrictMath.pow(random.normal(c), 5);
                  case ALL_EQUAL -> 3;
                  case SPIKE -> c == 100 ? 1000 : 0.5 + random.uniform(c);
                  case GEOMETRIC -> StrictMath.pow(0.9, c);
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
        average,
        Math.sqrt(variance / independent),
        average == 0 ? 0 : bias * independent / average);
  }
}
