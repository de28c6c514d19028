package dev.kith.kernel;

import dev.kith.device.DType;

/** What kith.h says about codes, as obvious loops over the elements of one row. */
final class OracleCode {
  private static final int NAN = 0x7fc00000;

  private OracleCode() {}

  private static int scales(Code code) {
    return switch (code.kind()) {
      case QSGD, ABSMAX, SCALED_SIGN -> 1;
      case AFFINE, ONE_BIT -> 2;
      case NATURAL, SIGN, BF16, E4M3, E5M2 -> 0;
    };
  }

  private static int q(Code code) {
    return code.kind() == Code.Kind.QSGD ? code.levels() : (1 << (code.bits() - 1)) - 1;
  }

  private static int block(Code code, int cols) {
    return code.block() == 0 ? Math.max(1, cols) : (int) code.block();
  }

  static int words(Code code, int cols) {
    int blocks = (cols + block(code, cols) - 1) / block(code, cols);
    int codes =
        code.kind() == Code.Kind.NATURAL
            ? (cols + 31) / 32 + (cols + 3) / 4
            : (cols * code.bits() + 31) / 32;
    return scales(code) * blocks + codes;
  }

  /** Puts the lowest bits of a value at a bit of a run of words. */
  private static void put(int[] words, int from, int bits, int c, int value) {
    for (int b = 0; b < bits; b++) {
      int at = c * bits + b;
      words[from + at / 32] |= (value >> b & 1) << at % 32;
    }
  }

  private static int get(int[] words, int from, int bits, int c) {
    int value = 0;
    for (int b = 0; b < bits; b++) {
      int at = c * bits + b;
      value |= (words[from + at / 32] >> at % 32 & 1) << b;
    }
    return value;
  }

  private static int signed(int value, int bits) {
    return (value << (32 - bits)) >> (32 - bits);
  }

  /** The message of a row; u is read where the code rounds at random. */
  static int[] encode(Code code, float[] v, float[] u) {
    int cols = v.length;
    int[] words = new int[words(code, cols)];
    int block = block(code, cols);
    int scales = scales(code);
    int from = scales * ((cols + block - 1) / block);
    for (int begin = 0; begin < cols && scales > 0; begin += block) {
      int end = Math.min(cols, begin + block);
      float[] scale = measure(code, v, begin, end);
      for (int s = 0; s < scales; s++) {
        words[begin / block * scales + s] =
            Float.isNaN(scale[s]) ? NAN : Float.floatToRawIntBits(scale[s]);
      }
      for (int c = begin; c < end; c++) {
        put(words, from, code.bits(), c, scaled(code, v[c], scale, u[c]));
      }
    }
    for (int c = 0; c < cols && scales == 0; c++) {
      int value = plain(code, v[c], u[c]);
      if (code.kind() == Code.Kind.NATURAL) {
        put(words, 0, 1, c, value >> 8);
        put(words, (cols + 31) / 32, 8, c, value & 255);
      } else {
        put(words, 0, code.bits(), c, value);
      }
    }
    return words;
  }

  private static double sum(Reduction.Kind kind, float[] v, int begin, int end, int sign) {
    double[] terms = new double[end - begin];
    for (int c = begin; c < end; c++) {
      boolean one = v[c] >= 0;
      terms[c - begin] = sign == 0 || one == sign > 0 ? v[c] : 0;
    }
    return Oracle.reduce(kind, DType.F32, terms, null);
  }

  /** The scales of a block; both NaN where it is not finite. */
  private static float[] measure(Code code, float[] v, int begin, int end) {
    float[] scale = new float[2];
    float largest;
    switch (code.kind()) {
      case QSGD, ABSMAX -> {
        float norm = 0;
        for (int c = begin; c < end; c++) {
          norm = Math.max(norm, Math.abs(v[c]));
        }
        if (code.kind() == Code.Kind.QSGD && code.norm() == Code.Norm.TWO) {
          norm = (float) Math.sqrt(sum(Reduction.Kind.SQUARES, v, begin, end, 0));
        }
        scale[0] = norm / q(code);
        largest = scale[0] * q(code);
      }
      case SCALED_SIGN -> {
        scale[0] = (float) (sum(Reduction.Kind.ABS_SUM, v, begin, end, 0) / (end - begin));
        largest = scale[0];
      }
      case ONE_BIT -> {
        int ones = 0;
        for (int c = begin; c < end; c++) {
          ones += v[c] >= 0 ? 1 : 0;
        }
        int zeros = end - begin - ones;
        scale[0] =
            ones == 0 ? 0 : (float) (sum(Reduction.Kind.SUM, v, begin, end, 1) / (double) ones);
        scale[1] =
            zeros == 0 ? 0 : (float) (sum(Reduction.Kind.SUM, v, begin, end, -1) / (double) zeros);
        largest = scale[0];
      }
      default -> {
        scale[0] = v[begin];
        scale[1] = v[begin];
        for (int c = begin; c < end; c++) {
          scale[0] = Math.min(scale[0], v[c]);
          scale[1] = Math.max(scale[1], v[c]);
        }
        largest = scale[0] + (scale[1] - scale[0]);
      }
    }
    if (!Float.isFinite(scale[0]) || !Float.isFinite(scale[1]) || !Float.isFinite(largest)) {
      return new float[] {Float.NaN, Float.NaN};
    }
    return scale;
  }

  private static int scaled(Code code, float v, float[] scale, float u) {
    if (Float.isNaN(scale[0])) {
      return 0;
    }
    int q = q(code);
    switch (code.kind()) {
      case QSGD -> {
        if (scale[0] == 0) {
          return 0;
        }
        float a = Math.abs(v) / scale[0];
        float below = (float) Math.floor(a);
        int level = (int) Math.min(q, (double) below + (u < a - below ? 1 : 0));
        return v < 0 ? -level : level;
      }
      case ABSMAX -> {
        if (scale[0] == 0) {
          return 0;
        }
        float a = v / scale[0];
        // f64 tells every quotient of two f32 from a tie.
        double rounded = Math.rint((double) v / scale[0]);
        if (code.stochastic()) {
          float below = (float) Math.floor(a);
          rounded = (double) below + (u < a - below ? 1 : 0);
        }
        return (int) Math.clamp(rounded, -q, q);
      }
      case AFFINE -> {
        float d = scale[1] - scale[0];
        return d == 0 ? 0 : (int) ((v - scale[0]) / d * 255f);
      }
      default -> {
        return v >= 0 ? 1 : 0;
      }
    }
  }

  private static int plain(Code code, float v, float u) {
    int bits = Float.floatToRawIntBits(v);
    switch (code.kind()) {
      case SIGN -> {
        return v >= 0 ? 1 : 0;
      }
      case NATURAL -> {
        int exponent = bits >> 23 & 255;
        int sign = bits >>> 31 << 8;
        if (exponent == 255) {
          return Float.isNaN(v) ? 255 : sign | 255;
        }
        if (exponent == 0) {
          return sign;
        }
        float fraction = (bits & 0x7fffff) * 0x1p-23f;
        return sign | Math.min(254, exponent + (u < fraction ? 1 : 0));
      }
      case BF16 -> {
        if (Float.isNaN(v)) {
          return 0x7fc0;
        }
        if (!code.stochastic()) {
          return Float.floatToRawIntBits((float) Oracle.round(DType.BF16, v)) >>> 16;
        }
        return (bits >>> 16) + (u < (bits & 0xffff) * 0x1p-16f ? 1 : 0);
      }
      default -> {
        return small(code, v, u);
      }
    }
  }

  /** Among the values of all codes, which ascend with the code. */
  private static int small(Code code, float v, float u) {
    boolean infinities = code.kind() == Code.Kind.E5M2;
    int largest = infinities ? 0x7b : 0x7e;
    if (Float.isNaN(v)) {
      return 0x7f;
    }
    int sign = Float.floatToRawIntBits(v) < 0 ? 0x80 : 0;
    double a = Math.abs((double) v);
    if (Double.isInfinite(a)) {
      return sign | (infinities ? 0x7c : 0x7f);
    }
    int low = 0;
    int high = largest;
    while (low < high) {
      int middle = (low + high + 1) / 2;
      if (value(code, middle) <= a) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    if (low == largest) {
      return sign | largest;
    }
    double below = value(code, low);
    double above = value(code, low + 1);
    boolean up =
        code.stochastic()
            ? u < (a - below) / (above - below)
            : a - below > above - a || (a - below == above - a && low % 2 == 1);
    return sign | (up ? low + 1 : low);
  }

  /** Of a code of seven bits below infinity and NaN. */
  private static double value(Code code, int a) {
    int mantissa = code.kind() == Code.Kind.E5M2 ? 2 : 3;
    int bias = code.kind() == Code.Kind.E5M2 ? 15 : 7;
    int exponent = a >> mantissa;
    double fraction = Math.scalb((double) (a & ((1 << mantissa) - 1)), -mantissa);
    return exponent == 0
        ? Math.scalb(fraction, 1 - bias)
        : Math.scalb(1 + fraction, exponent - bias);
  }

  /** What a message of `cols` columns stands for. */
  static float[] decode(Code code, int cols, int[] words) {
    float[] row = new float[cols];
    int block = block(code, cols);
    int scales = scales(code);
    int from = scales * ((cols + block - 1) / block);
    for (int c = 0; c < cols; c++) {
      float first = scales > 0 ? Float.intBitsToFloat(words[c / block * scales]) : 0;
      float second = scales > 1 ? Float.intBitsToFloat(words[c / block * scales + 1]) : 0;
      int value = code.kind() == Code.Kind.NATURAL ? 0 : get(words, from, code.bits(), c);
      row[c] =
          switch (code.kind()) {
            case QSGD, ABSMAX -> first * signed(value, code.bits());
            case SCALED_SIGN -> value == 1 ? first : -first;
            case ONE_BIT -> value == 1 ? first : second;
            case AFFINE -> first + value / 255f * (second - first);
            case SIGN -> value == 1 ? 1 : -1;
            case BF16 -> Float.intBitsToFloat(value << 16);
            case NATURAL -> {
              int exponent = get(words, (cols + 31) / 32, 8, c);
              yield exponent == 255
                  ? Float.NaN
                  : Float.intBitsToFloat(get(words, 0, 1, c) << 31 | exponent << 23);
            }
            case E4M3, E5M2 -> {
              int a = value & 0x7f;
              int largest = code.kind() == Code.Kind.E5M2 ? 0x7b : 0x7e;
              float magnitude = a <= largest ? (float) value(code, a) : Float.NaN;
              if (code.kind() == Code.Kind.E5M2 && a == 0x7c) {
                magnitude = Float.POSITIVE_INFINITY;
              }
              yield value > 127 ? -magnitude : magnitude;
            }
          };
    }
    return row;
  }
}
