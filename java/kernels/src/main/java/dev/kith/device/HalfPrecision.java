package dev.kith.device;

/**
 * Conversions between Java's floating-point types and the 16-bit formats, rounding once, to nearest
 * even. A NaN stays a quiet NaN. Thread-safe: pure functions.
 */
public final class HalfPrecision {
  private HalfPrecision() {}

  /**
   * The value of a bf16.
   *
   * @param bits a bf16
   * @return its value, exactly
   */
  public static float bf16ToFloat(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /**
   * Rounds to bf16.
   *
   * @param value any float
   * @return the nearest bf16, ties to even
   */
  public static short floatToBf16(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) ((bits >>> 16) | 0x40);
    }
    return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
  }

  /**
   * Rounds to bf16 in one rounding.
   *
   * @param value any double
   * @return the nearest bf16, ties to even
   */
  public static short doubleToBf16(double value) {
    return floatToBf16(roundToOdd(value));
  }

  /**
   * The value of an f16.
   *
   * @param bits an f16
   * @return its value, exactly
   */
  public static float f16ToFloat(short bits) {
    return Float.float16ToFloat(bits);
  }

  /**
   * Rounds to f16.
   *
   * @param value any float
   * @return the nearest f16, ties to even
   */
  public static short floatToF16(float value) {
    return Float.floatToFloat16(value);
  }

  /**
   * Rounds to f16 in one rounding.
   *
   * @param value any double
   * @return the nearest f16, ties to even
   */
  public static short doubleToF16(double value) {
    return Float.floatToFloat16(roundToOdd(value));
  }

  /**
   * Narrows a double so that a second rounding to at most 22 bits gives what one rounding would
   * have: an inexact result is the neighbour whose last bit is 1 (Boldo and Melquiond, "Emulation
   * of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008).
   */
  private static float roundToOdd(double value) {
    float near = (float) value;
    if (near == value || Double.isNaN(value) || Double.isInfinite(value)) {
      return near;
    }
    int bits = Float.floatToRawIntBits(near);
    boolean away = Math.abs((double) near) > Math.abs(value);
    int truncated = away ? bits - 1 : bits;
    return Float.intBitsToFloat(truncated | 1);
  }
}
