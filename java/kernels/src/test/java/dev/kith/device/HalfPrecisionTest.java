package dev.kith.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.function.DoubleFunction;
import java.util.function.IntToDoubleFunction;
import org.junit.jupiter.api.Test;

class HalfPrecisionTest {
  /** The largest finite numbers. */
  private static final int BF16_MAX = 0x7f7f;

  private static final int F16_MAX = 0x7bff;

  @Test
  void everyBf16ComesBack() {
    for (int bits = 0; bits <= 0xffff; bits++) {
      float value = HalfPrecision.bf16ToFloat((short) bits);
      if (Float.isNaN(value)) {
        assertTrue(Float.isNaN(HalfPrecision.bf16ToFloat(HalfPrecision.floatToBf16(value))));
      } else {
        assertEquals((short) bits, HalfPrecision.floatToBf16(value));
        assertEquals((short) bits, HalfPrecision.doubleToBf16(value));
      }
    }
  }

  @Test
  void everyF16ComesBack() {
    for (int bits = 0; bits <= 0xffff; bits++) {
      float value = HalfPrecision.f16ToFloat((short) bits);
      if (Float.isNaN(value)) {
        assertTrue(Float.isNaN(HalfPrecision.f16ToFloat(HalfPrecision.floatToF16(value))));
      } else {
        assertEquals((short) bits, HalfPrecision.floatToF16(value));
        assertEquals((short) bits, HalfPrecision.doubleToF16(value));
      }
    }
  }

  /**
   * A double next to the middle of two neighbours rounds to the nearer one. Narrowing to float
   * first would lose the difference and round it to even.
   */
  @Test
  void doublesAreRoundedOnce() {
    roundsOnce(
        BF16_MAX, bits -> HalfPrecision.bf16ToFloat((short) bits), HalfPrecision::doubleToBf16);
    roundsOnce(F16_MAX, bits -> HalfPrecision.f16ToFloat((short) bits), HalfPrecision::doubleToF16);
  }

  private static void roundsOnce(int max, IntToDoubleFunction value, DoubleFunction<Short> narrow) {
    for (int bits = 0; bits <= max; bits++) {
      double low = value.applyAsDouble(bits);
      // Above the largest number the scale goes on by one more step; from its middle on it is
      // infinite.
      double high =
          bits == max ? 2 * low - value.applyAsDouble(bits - 1) : value.applyAsDouble(bits + 1);
      double middle = low + (high - low) / 2;
      int even = bits % 2 == 0 ? bits : bits + 1;
      for (int sign : new int[] {1, -1}) {
        int minus = sign < 0 ? 0x8000 : 0;
        assertEquals((short) (even | minus), narrow.apply(sign * middle));
        assertEquals((short) (bits | minus), narrow.apply(sign * Math.nextDown(middle)));
        assertEquals((short) (bits + 1 | minus), narrow.apply(sign * Math.nextUp(middle)));
      }
    }
  }

  @Test
  void floatsRoundToEvenAndOverflowToInfinity() {
    assertEquals((short) 0x3f80, HalfPrecision.floatToBf16(Float.intBitsToFloat(0x3f808000)));
    assertEquals((short) 0x3f82, HalfPrecision.floatToBf16(Float.intBitsToFloat(0x3f818000)));
    assertEquals((short) 0x3f81, HalfPrecision.floatToBf16(Float.intBitsToFloat(0x3f808001)));
    assertEquals((short) 0x7f80, HalfPrecision.floatToBf16(Float.MAX_VALUE));
    assertEquals((short) 0x7f80, HalfPrecision.doubleToBf16(1e300));
    assertEquals((short) 0xfc00, HalfPrecision.doubleToF16(-1e300));
    assertEquals((short) 0x8000, HalfPrecision.doubleToF16(-1e-300));
  }

  @Test
  void nanStaysAQuietNan() {
    float signalling = Float.intBitsToFloat(0x7f800001);
    short bits = HalfPrecision.floatToBf16(signalling);
    assertEquals(0x7fc0, bits & 0x7fc0);
    assertTrue(Float.isNaN(HalfPrecision.f16ToFloat(HalfPrecision.doubleToF16(Double.NaN))));
    assertTrue(Float.isNaN(HalfPrecision.bf16ToFloat(HalfPrecision.doubleToBf16(Double.NaN))));
  }
}
