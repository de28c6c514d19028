package dev.kith.kernel;

import dev.kith.device.DType;
import java.util.ArrayList;
import java.util.List;

/**
 * What kith.h says, as obvious loops: conversions, mixing, and reductions on the stated trees.
 * Matrices are arrays of doubles that their dtype can hold, so that bf16, f16, f32 and i32 travel
 * without loss (apart from the payload of a NaN, which the ABI leaves open).
 */
final class Oracle {
  private static final int CHUNK = 4096;
  private static final int LANES = 64;

  private Oracle() {}

  // ---- memory

  /** Rounds once, to nearest even, to what the dtype can hold. I32 truncates. */
  static double round(DType t, double v) {
    return switch (t) {
      case F64 -> v;
      case F32 -> (float) v;
      case BF16 -> round(v, 8, -126, 127);
      case F16 -> round(v, 11, -14, 15);
      case I32 -> (int) v;
    };
  }

  private static double round(double v, int precision, int minExponent, int maxExponent) {
    if (v == 0 || Double.isNaN(v) || Double.isInfinite(v)) {
      return v;
    }
    int exponent = Math.max(Math.getExponent(v), minExponent);
    double quantum = Math.scalb(1.0, exponent - (precision - 1));
    double rounded = Math.rint(v / quantum) * quantum;
    boolean overflow = Math.abs(rounded) >= Math.scalb(1.0, maxExponent + 1);
    return overflow ? Math.copySign(Double.POSITIVE_INFINITY, v) : rounded;
  }

  static double[][] round(DType t, double[][] m) {
    double[][] rounded = new double[m.length][];
    for (int r = 0; r < m.length; r++) {
      rounded[r] = new double[m[r].length];
      for (int c = 0; c < m[r].length; c++) {
        rounded[r][c] = round(t, m[r][c]);
      }
    }
    return rounded;
  }

  static boolean finite(double v) {
    return Math.abs(v) <= Double.MAX_VALUE;
  }

  // ---- mixing

  /** coefficient * perRow[r] * matrix[r]; perRow null: none. Never compared. */
  @SuppressWarnings("ArrayRecordComponent")
  record OracleTerm(double coefficient, double[] perRow, double[][] matrix) {
    OracleTerm(double coefficient, double[][] matrix) {
      this(coefficient, null, matrix);
    }

    double factor(Arithmetic t, int row) {
      return t.round(perRow == null ? coefficient : coefficient * perRow[row]);
    }
  }

  /**
   * Row r has the entries offsets[r] to offsets[r + 1] and writes row outputRows[r] (null: r).
   * Never compared.
   */
  @SuppressWarnings("ArrayRecordComponent")
  record OracleWeights(long[] offsets, int[] columns, double[] values, int[] outputRows) {
    static OracleWeights dense(int rows, int cols, double[] values) {
      long[] offsets = new long[rows + 1];
      int[] columns = new int[rows * cols];
      for (int i = 0; i < columns.length; i++) {
        columns[i] = i % cols;
      }
      for (int r = 0; r <= rows; r++) {
        offsets[r] = (long) r * cols;
      }
      return new OracleWeights(offsets, columns, values, null);
    }

    int rows() {
      return offsets.length - 1;
    }
  }

  /** scale * factor * z; factor null: the identity. Never compared. */
  @SuppressWarnings("ArrayRecordComponent")
  record OracleNoiseTerm(double scale, OracleWeights factor, double[][] z) {
    int rows() {
      return factor == null ? z.length : factor.rows();
    }

    /** What the sum of row j becomes; start: there is none. */
    double add(Arithmetic t, int j, int c, double sum, boolean start) {
      if (factor == null) {
        double s = t.round(scale);
        return start ? t.multiply(s, z[j][c]) : t.fma(s, z[j][c], sum);
      }
      double a = start ? 0 : sum;
      for (int e = (int) factor.offsets()[j]; e < factor.offsets()[j + 1]; e++) {
        a = t.fma(t.round(scale * factor.values()[e]), z[factor.columns()[e]][c], a);
      }
      return a;
    }
  }

  /** m(j, c) = round_to_message(sum_k c_k z_k(j, c) + noise); noise null: none. */
  static double[][] messages(
      Arithmetic t, DType message, List<OracleTerm> inner, OracleNoiseTerm noise, int cols) {
    int rows = inner.isEmpty() ? noise.rows() : inner.getFirst().matrix().length;
    double[][] m = new double[rows][];
    for (int j = 0; j < rows; j++) {
      m[j] = new double[cols];
      for (int c = 0; c < cols; c++) {
        double sum = 0;
        for (int k = 0; k < inner.size(); k++) {
          double z = inner.get(k).matrix()[j][c];
          double factor = inner.get(k).factor(t, j);
          sum = k == 0 ? t.multiply(factor, z) : t.fma(factor, z, sum);
        }
        if (noise != null) {
          sum = noise.add(t, j, c, sum, inner.isEmpty());
        }
        m[j][c] = round(message, sum);
      }
    }
    return m;
  }

  /**
   * Writes y = W(inner + noise) + outer; w null: identity; halo and noise null: none. Rows that W
   * does not name stay.
   */
  static void mix(
      OracleWeights w,
      List<OracleTerm> inner,
      OracleNoiseTerm noise,
      List<OracleTerm> outer,
      double[][] halo,
      DType message,
      DType dtype,
      double[][] y) {
    Arithmetic t = Arithmetic.of(dtype);
    int cols = y.length == 0 ? 0 : y[0].length;
    boolean formed = !inner.isEmpty() || noise != null;
    double[][] m = formed ? messages(t, message, inner, noise, cols) : new double[0][];
    int rows = w == null ? y.length : w.rows();
    double[][] result = new double[rows][];
    for (int r = 0; r < rows; r++) {
      int i = w == null || w.outputRows() == null ? r : w.outputRows()[r];
      result[r] = new double[y[i].length];
      for (int c = 0; c < result[r].length; c++) {
        double a = 0;
        boolean empty = true;
        if (w != null) {
          for (int e = (int) w.offsets()[r]; e < w.offsets()[r + 1]; e++) {
            int j = w.columns()[e];
            double value = j < m.length ? m[j][c] : halo[j - m.length][c];
            double weight = t.round(w.values()[e]);
            a = empty ? t.multiply(weight, value) : t.fma(weight, value, a);
            empty = false;
          }
          empty = false;
        } else if (formed) {
          a = m[i][c];
          empty = false;
        }
        for (OracleTerm u : outer) {
          double factor = u.factor(t, i);
          a = empty ? t.multiply(factor, u.matrix()[i][c]) : t.fma(factor, u.matrix()[i][c], a);
          empty = false;
        }
        result[r][c] = round(dtype, a);
      }
    }
    for (int r = 0; r < rows; r++) {
      int i = w == null || w.outputRows() == null ? r : w.outputRows()[r];
      y[i] = result[r];
    }
  }

  static boolean allFinite(double[] row) {
    for (double v : row) {
      if (!finite(v)) {
        return false;
      }
    }
    return true;
  }

  // ---- reductions

  /** The tree of a row. */
  static double reduce(Reduction.Kind kind, DType dtype, double[] a, double[] b) {
    return reduce(kind, dtype, a, b, 0, a.length);
  }

  static double reduce(Reduction.Kind kind, DType dtype, double[] a, double[] b, int from, int to) {
    if (kind == Reduction.Kind.NONFINITE) {
      int count = 0;
      for (int i = from; i < to; i++) {
        count += finite(a[i]) ? 0 : 1;
      }
      return count;
    }
    Arithmetic t = Arithmetic.of(dtype);
    List<Double> chunks = new ArrayList<>();
    for (int start = from; start < to; start += CHUNK) {
      double[] lanes = new double[LANES];
      java.util.Arrays.fill(lanes, neutral(kind));
      for (int i = start; i < Math.min(start + CHUNK, to); i++) {
        int l = (i - start) % LANES;
        lanes[l] = enter(kind, t, lanes[l], a[i], b == null ? 0 : b[i]);
      }
      for (int s = LANES / 2; s > 0; s /= 2) {
        for (int l = 0; l < s; l++) {
          lanes[l] = combine(kind, t, lanes[l], lanes[l + s]);
        }
      }
      chunks.add(lanes[0]);
    }
    while (chunks.size() > 1) {
      List<Double> next = new ArrayList<>();
      for (int i = 0; i < chunks.size(); i += 2) {
        next.add(
            i + 1 < chunks.size()
                ? combine(kind, Arithmetic.F64, chunks.get(i), chunks.get(i + 1))
                : chunks.get(i));
      }
      chunks = next;
    }
    return chunks.isEmpty() ? neutral(kind) : chunks.getFirst();
  }

  private static double neutral(Reduction.Kind kind) {
    return switch (kind) {
      case MIN -> Double.POSITIVE_INFINITY;
      case MAX -> Double.NEGATIVE_INFINITY;
      default -> 0.0;
    };
  }

  private static double enter(Reduction.Kind kind, Arithmetic t, double lane, double x, double y) {
    return switch (kind) {
      case SUM -> t.add(lane, x);
      case ABS_SUM -> t.add(lane, Math.abs(x));
      case SQUARES -> t.fma(x, x, lane);
      case DOT -> t.fma(x, y, lane);
      case DISTANCE -> {
        double d = t.subtract(x, y);
        yield t.fma(d, d, lane);
      }
      case MIN -> Math.min(lane, x);
      case MAX -> Math.max(lane, x);
      case MAX_ABS -> Math.max(lane, Math.abs(x));
      case NONFINITE -> throw new IllegalArgumentException("counted elsewhere");
    };
  }

  private static double combine(Reduction.Kind kind, Arithmetic t, double a, double b) {
    return switch (kind) {
      case MIN -> Math.min(a, b);
      case MAX, MAX_ABS -> Math.max(a, b);
      default -> t.add(a, b);
    };
  }

  /**
   * Runs a postfix program over rows of x and remote, element by element; each result divided by
   * divisor.
   */
  static double[][] nodes(
      int[] program, DType dtype, double[][] x, double[][] remote, double divisor, int cols) {
    Arithmetic t = Arithmetic.of(dtype);
    double[][] stack = new double[program.length + 1][];
    int top = 0;
    for (int p : program) {
      if (p >= 0) {
        stack[top++] = p < x.length ? x[p] : remote[p - x.length];
      } else {
        double[] sum = new double[cols];
        for (int c = 0; c < cols; c++) {
          sum[c] = t.add(stack[top - 2][c], stack[top - 1][c]);
        }
        top--;
        stack[top - 1] = sum;
      }
    }
    double[][] out = new double[top][];
    for (int r = 0; r < top; r++) {
      out[r] = stack[r].clone();
      for (int c = 0; c < cols && divisor != 1; c++) {
        out[r][c] = t.divide(out[r][c], t.round(divisor));
      }
    }
    return out;
  }

  /** The binary tree over 0 .. n - 1: adjacent pairs, an odd last one moves up. */
  static double tree(double[] values) {
    double[] level = values.clone();
    int n = level.length;
    while (n > 1) {
      int next = 0;
      for (int i = 0; i < n; i += 2) {
        level[next++] = i + 1 < n ? level[i] + level[i + 1] : level[i];
      }
      n = next;
    }
    return n == 0 ? 0.0 : level[0];
  }
}
