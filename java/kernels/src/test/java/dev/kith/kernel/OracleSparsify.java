package dev.kith.kernel;

import dev.kith.random.SharedRandom;
import java.util.Arrays;

/**
 * The family sparsify in plain loops: everything is sorted, and messages are written out in words.
 */
final class OracleSparsify {
  static final int NAN = 0x7fc00000;

  private OracleSparsify() {}

  /** A message, what stays behind, and the flag. */
  record Sent(int[] words, float[] residual, int flag) {}

  /** v = residual + (x - minus); each but x may be null. */
  static float[] formed(double[] x, double[] minus, double[] residual) {
    float[] v = new float[x.length];
    for (int c = 0; c < v.length; c++) {
      v[c] = (float) x[c];
      if (minus != null) {
        v[c] = v[c] - (float) minus[c];
      }
      if (residual != null) {
        v[c] = (float) residual[c] + v[c];
      }
    }
    return v;
  }

  private static int flag(float[] v) {
    for (float value : v) {
      if (!Float.isFinite(value)) {
        return 1;
      }
    }
    return 0;
  }

  /** |v| in bits, NaN as one. */
  private static int key(float v) {
    return Float.floatToIntBits(Math.abs(v));
  }

  private static int word(float v) {
    return Float.isNaN(v) ? NAN : Float.floatToRawIntBits(v);
  }

  /** v - v: nothing, and NaN where v is not finite. */
  private static float left(float v) {
    return Float.isFinite(v) ? 0 : Float.NaN;
  }

  static Sent top(float[] v, int k, int block) {
    int width = block == 0 ? Math.max(1, v.length) : block;
    int entries = (int) Sparsify.topEntries(v.length, k, block);
    int[] words = new int[2 * entries];
    float[] residual = v.clone();
    int at = 0;
    for (int first = 0; first < v.length; first += width) {
      int n = Math.min(width, v.length - first);
      long[] order = new long[n];
      for (int i = 0; i < n; i++) {
        order[i] = (long) -key(v[first + i]) << 32 | i;
      }
      Arrays.sort(order);
      int[] chosen = new int[Math.min(k, n)];
      for (int i = 0; i < chosen.length; i++) {
        chosen[i] = first + (int) order[i];
      }
      Arrays.sort(chosen);
      for (int c : chosen) {
        words[at] = c;
        words[entries + at++] = word(v[c]);
        residual[c] = left(v[c]);
      }
    }
    return new Sent(words, residual, flag(v));
  }

  static Sent at(float[] v, int[] columns, double scale) {
    int[] words = new int[columns.length];
    float[] residual = v.clone();
    for (int i = 0; i < columns.length; i++) {
      float sent = (float) scale * v[columns[i]];
      words[i] = word(sent);
      residual[columns[i]] = v[columns[i]] - sent;
    }
    return new Sent(words, residual, flag(v));
  }

  static Sent above(float[] v, double threshold, int capacity) {
    int[] words = new int[1 + 2 * capacity];
    float[] residual = v.clone();
    int flag = flag(v);
    for (int c = 0; c < v.length; c++) {
      if (!(Float.isNaN(v[c]) || Math.abs((double) v[c]) >= threshold)) {
        continue;
      }
      if (words[0] == capacity) {
        flag |= 4;
        break;
      }
      int i = ++words[0];
      words[i] = c;
      words[capacity + i] = word(v[c]);
      residual[c] = left(v[c]);
    }
    return new Sent(words, residual, flag);
  }

  /** The columns of a sample: one of each of as many equal parts. */
  static int[] sample(int cols, int samples, SharedRandom random) {
    int[] columns = new int[samples];
    for (int i = 0; i < samples; i++) {
      long first = (long) i * cols / samples;
      long width = (i + 1L) * cols / samples - first;
      columns[i] = (int) (first + ((Integer.toUnsignedLong(random.word(i)) * width) >>> 32));
    }
    return columns;
  }

  static double threshold(float[] v, int[] columns, int k) {
    int[] keys = Arrays.stream(columns).map(c -> key(v[c])).sorted().toArray();
    return Math.max(Float.intBitsToFloat(keys[keys.length - k]), Float.MIN_VALUE);
  }

  /** a = fma(weight, value, a), or a + value where the weight is null. */
  static void add(
      float[] y, Float weight, Sparsify.Form form, int entries, int[] indices, int[] words) {
    int first = form == Sparsify.Form.ABOVE ? 1 : 0;
    int count = form == Sparsify.Form.ABOVE ? words[0] : entries;
    for (int i = 0; i < count; i++) {
      int c = form == Sparsify.Form.AT ? indices[i] : words[first + i];
      float value = Float.intBitsToFloat(words[form == Sparsify.Form.AT ? i : first + entries + i]);
      y[c] = weight == null ? y[c] + value : Math.fma(weight, value, y[c]);
    }
  }

  static double[] doubles(float[] values) {
    double[] d = new double[values.length];
    for (int i = 0; i < d.length; i++) {
      d[i] = values[i];
    }
    return d;
  }

  static double[] doubles(int[] values) {
    return Arrays.stream(values).asDoubleStream().toArray();
  }
}
