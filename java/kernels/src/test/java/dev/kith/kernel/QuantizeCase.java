package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.Optional;

/** Rows that are encoded and then summed, drawn at random, with what the oracle says about them. */
final class QuantizeCase {
  private static final int PADDING = 3;
  private static final int LEFT_ALONE = 0x5a5a5a5a;

  private final SharedRandom random;
  private long drawn;
  private final long seed;
  private final Code code;
  private final int rows;
  private final int cols;
  private final int haloRows;
  private final boolean subtracted;
  private final boolean fedBack;
  private final boolean flagged;
  private final boolean given;
  private final boolean add;
  private final boolean mixed;
  private final boolean scattered;
  private final String sample;
  private final long round;
  private final int firstNode;

  private double[][] x;
  private double[][] minus;
  private double[][] residual;
  private double[][] uniforms;
  private double[][] flags;
  private double[][] messages;
  private double[][] halo;
  private double[][] y;
  private double[][] left;
  private double[][] found;
  private double[][] sums;
  private long[] offsets;
  private int[] columns;
  private int[] outputs;
  private double[] weights;

  QuantizeCase(long seed, Code code, int rows, int cols) {
    this.seed = seed;
    this.code = code;
    this.rows = rows;
    this.cols = cols;
    random = new SharedRandom(seed, Stream.TEST, 3, 0);
    subtracted = below(2) == 0;
    fedBack = below(3) > 0;
    flagged = below(2) == 0;
    given = below(3) == 0;
    add = below(2) == 0;
    mixed = below(4) > 0;
    scattered = mixed && below(2) == 0;
    haloRows = mixed ? below(3) : 0;
    sample =
        switch (below(8)) {
          case 0 -> "zero";
          case 1 -> "equal";
          case 2 -> "tiny";
          case 3 -> "huge";
          case 4, 5 -> "special";
          case 6 -> "ordinary";
          default -> "wide";
        };
    round = below(2) == 0 ? 0 : (1L << 39) + below(1000);
    firstNode = below(2) == 0 ? 0 : Integer.MAX_VALUE - rows;
  }

  private int below(int bound) {
    return (int) random.below(drawn++, bound);
  }

  private double[][] matrix(int height, long offset) {
    double[][] m =
        Samples.matrix(
            switch (sample) {
              case "special" -> Samples.Kind.SPECIAL;
              case "wide" -> Samples.Kind.WIDE;
              default -> Samples.Kind.ORDINARY;
            },
            DType.F32,
            height,
            cols,
            seed + offset);
    for (double[] row : m) {
      for (int c = 0; c < cols; c++) {
        row[c] =
            switch (sample) {
              case "zero" -> c % 3 == 0 ? -0.0 : 0;
              case "equal" -> -0.7f;
              case "tiny" -> (float) (row[c] * 0x1p-147);
              case "huge" -> Math.clamp(row[c] * 0x1p127, -Float.MAX_VALUE, Float.MAX_VALUE);
              default -> row[c];
            };
      }
      for (int c = 0; c < cols; c++) {
        row[c] = (float) row[c];
      }
    }
    return m;
  }

  private void work() {
    if (sums != null) {
      return;
    }
    x = matrix(rows, 0);
    minus = matrix(rows, 1_000_000);
    residual = matrix(rows, 2_000_000);
    uniforms = new double[rows][cols];
    int words = OracleCode.words(code, cols);
    messages = new double[rows][words + PADDING];
    left = new double[rows][cols];
    found = new double[1][rows];
    flags = new double[1][rows];
    float[][] decoded = new float[rows + haloRows][];
    for (int r = 0; r < rows; r++) {
      SharedRandom numbers =
          given
              ? new SharedRandom(seed, Stream.TEST, 4 + r, 0)
              : new SharedRandom(seed, Stream.ROUNDING, firstNode + r, round);
      float[] v = new float[cols];
      float[] u = new float[cols];
      boolean finite = true;
      for (int c = 0; c < cols; c++) {
        u[c] = numbers.uniformFloat(c);
        uniforms[r][c] = u[c];
        v[c] = (float) x[r][c];
        if (subtracted) {
          v[c] = v[c] - (float) minus[r][c];
        }
        if (fedBack) {
          v[c] = (float) residual[r][c] + v[c];
        }
        finite &= Float.isFinite(v[c]);
      }
      int[] message = OracleCode.encode(code, v, u);
      decoded[r] = OracleCode.decode(code, cols, message);
      for (int w = 0; w < words + PADDING; w++) {
        messages[r][w] = w < words ? message[w] : LEFT_ALONE;
      }
      for (int c = 0; c < cols; c++) {
        left[r][c] = v[c] - decoded[r][c];
        finite &= Float.isFinite(decoded[r][c]);
      }
      flags[0][r] = 8;
      found[0][r] = finite ? 8 : 9;
    }
    halo = new double[haloRows][words];
    for (int h = 0; h < haloRows; h++) {
      // Any words are a message.
      int[] message = new int[words];
      for (int w = 0; w < words; w++) {
        message[w] = random.word(1_000_000L + h * (long) words + w);
        halo[h][w] = message[w];
      }
      decoded[rows + h] = OracleCode.decode(code, cols, message);
    }
    sum(decoded);
  }

  private void sum(float[][] decoded) {
    int inputs = rows + haloRows;
    int outputRows = mixed ? below(4) : rows;
    int height = scattered ? 2 * outputRows + 1 : outputRows;
    offsets = new long[outputRows + 1];
    columns = new int[outputRows * 140];
    weights = new double[outputRows * 140];
    outputs = new int[outputRows];
    int entries = 0;
    for (int r = 0; r < outputRows; r++) {
      int count = inputs == 0 ? 0 : below(5) == 0 ? 60 + below(80) : below(4);
      for (int e = 0; e < count; e++) {
        columns[entries] = below(inputs);
        weights[entries++] = (below(2000) - 1000) / 1000.0;
      }
      offsets[r + 1] = entries;
      outputs[r] = 2 * (outputRows - 1 - r);
    }
    columns = Arrays.copyOf(columns, entries);
    weights = Arrays.copyOf(weights, entries);
    y = Samples.matrix(Samples.Kind.WIDE, DType.F32, height, cols, seed + 3_000_000);
    double[][] after = Arrays.stream(y).map(double[]::clone).toArray(double[][]::new);
    for (int r = 0; r < outputRows; r++) {
      double[] row = after[scattered ? outputs[r] : r];
      for (int c = 0; c < cols; c++) {
        float a = add ? (float) row[c] : 0;
        if (mixed) {
          for (int e = (int) offsets[r]; e < offsets[r + 1]; e++) {
            a = Math.fma((float) weights[e], decoded[columns[e]][c], a);
          }
        } else {
          a = a + decoded[r][c];
        }
        row[c] = a;
      }
    }
    sums = after;
  }

  void run(Rig.Session session) {
    work();
    Operand from = session.operand(DType.F32, x, cols);
    Operand difference = session.operand(DType.F32, minus, cols);
    Operand rest = session.operand(DType.F32, residual, cols);
    Operand flag = session.operand(DType.I32, flags, rows);
    int width = OracleCode.words(code, cols) + PADDING;
    double[][] empty = new double[rows][width];
    for (double[] row : empty) {
      Arrays.fill(row, LEFT_ALONE);
    }
    Operand to = session.operand(DType.I32, empty, width);
    Optional<Draw> draw = Optional.empty();
    if (code.stochastic()) {
      draw =
          Optional.of(
              given
                  ? Draw.of(session.matrix(DType.F32, uniforms, cols))
                  : Draw.of(seed, round, firstNode));
    }
    Quantize.quantize(
        code,
        draw,
        from.matrix(),
        subtracted ? Optional.of(difference.matrix()) : Optional.empty(),
        fedBack ? Optional.of(rest.matrix()) : Optional.empty(),
        to.matrix(),
        flagged ? Optional.of(flag.matrix()) : Optional.empty());
    to.expect(messages);
    rest.expect(fedBack ? left : residual);
    flag.expect(flagged ? found : flags);
    from.expect(x);
    difference.expect(minus);
    Operand sum = session.operand(DType.F32, y, cols);
    Optional<DeviceMatrix> far =
        haloRows == 0
            ? Optional.empty()
            : Optional.of(session.matrix(DType.I32, halo, halo[0].length));
    if (!mixed) {
      Quantize.accumulate(Optional.empty(), code, to.matrix(), far, add, sum.matrix());
    } else {
      try (MixingWeights w =
          scattered
              ? MixingWeights.sparse(
                  session.queue(),
                  outputs.length,
                  rows + haloRows,
                  offsets,
                  columns,
                  weights,
                  outputs)
              : MixingWeights.sparse(
                  session.queue(), outputs.length, rows + haloRows, offsets, columns, weights)) {
        Quantize.accumulate(Optional.of(w), code, to.matrix(), far, add, sum.matrix());
        sum.expect(sums);
      }
    }
    sum.expect(sums);
    to.expect(messages);
  }

  @Override
  public String toString() {
    return "%s of %d x %d %s%s%s%s%s, %s, seed %d"
        .formatted(
            code,
            rows,
            cols,
            sample,
            subtracted ? ", minus" : "",
            fedBack ? ", residual" : "",
            given ? ", given uniforms" : "",
            flagged ? ", flags" : "",
            mixed ? (scattered ? "scattered" : "mixed") + " with a halo of " + haloRows : "alone",
            seed);
  }
}
