package dev.kith.internal;

import dev.kith.device.DType;
import dev.kith.device.HalfPrecision;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Conversion between Java arrays and elements of any dtype in host memory, with one rounding.
 * Thread-safe: pure functions.
 */
final class Elements {
  private static final ValueLayout.OfShort HALF = ValueLayout.JAVA_SHORT;
  private static final ValueLayout.OfFloat SINGLE = ValueLayout.JAVA_FLOAT;
  private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE;
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;

  private Elements() {}

  /** Refuses values that do not fit before the first is written. */
  static void checkFit(float[] values, DType dtype) {
    for (int i = 0; dtype == DType.I32 && i < values.length; i++) {
      integer(values[i]);
    }
  }

  /** Refuses values that do not fit before the first is written. */
  static void checkFit(double[] values, DType dtype) {
    for (int i = 0; dtype == DType.I32 && i < values.length; i++) {
      integer(values[i]);
    }
  }

  static void put(float[] from, int start, int count, MemorySegment to, DType dtype) {
    switch (dtype) {
      case F32 -> MemorySegment.copy(from, start, to, SINGLE, 0, count);
      case F64 -> {
        for (int i = 0; i < count; i++) {
          to.setAtIndex(DOUBLE, i, from[start + i]);
        }
      }
      case BF16 -> {
        for (int i = 0; i < count; i++) {
          to.setAtIndex(HALF, i, HalfPrecision.floatToBf16(from[start + i]));
        }
      }
      case F16 -> {
        for (int i = 0; i < count; i++) {
          to.setAtIndex(HALF, i, HalfPrecision.floatToF16(from[start + i]));
        }
      }
      case I32 -> {
        for (int i = 0; i < count; i++) {
          to.setAtIndex(INT, i, integer(from[start + i]));
        }
      }
    }
  }

  static void put(double[] from, int start, int count, MemorySegment to, DType dtype) {
    switch (dtype) {
      case F32 -> {
        for (int i = 0; i < count; i++) {
          to.setAtIndex(SINGLE, i, (float) from[start + i]);
        }
      }
      case F64 -> MemorySegment.copy(from, start, to, DOUBLE, 0, count);
      case BF16 -> {
        for (int i = 0; i < count; i++) {
          to.setAtIndex(HALF, i, HalfPrecision.doubleToBf16(from[start + i]));
        }
      }
      case F16 -> {
        for (int i = 0; i < count; i++) {
          to.setAtIndex(HALF, i, HalfPrecision.doubleToF16(from[start + i]));
        }
      }
      case I32 -> {
        for (int i = 0; i < count; i++) {
          to.setAtIndex(INT, i, integer(from[start + i]));
        }
      }
    }
  }

  static void put(int[] from, int start, int count, MemorySegment to, DType dtype) {
    switch (dtype) {
      case F32 -> {
        for (int i = 0; i < count; i++) {
          to.setAtIndex(SINGLE, i, from[start + i]);
        }
      }
      case F64 -> {
        for (int i = 0; i < count; i++) {
          to.setAtIndex(DOUBLE, i, from[start + i]);
        }
      }
      case BF16 -> {
        for (int i = 0; i < count; i++) {
          to.setAtIndex(HALF, i, HalfPrecision.doubleToBf16(from[start + i]));
        }
      }
      case F16 -> {
        for (int i = 0; i < count; i++) {
          to.setAtIndex(HALF, i, HalfPrecision.doubleToF16(from[start + i]));
        }
      }
      case I32 -> MemorySegment.copy(from, start, to, INT, 0, count);
    }
  }

  static void get(MemorySegment from, DType dtype, float[] to, int start, int count) {
    switch (dtype) {
      case F32 -> MemorySegment.copy(from, SINGLE, 0, to, start, count);
      case F64 -> {
        for (int i = 0; i < count; i++) {
          to[start + i] = (float) from.getAtIndex(DOUBLE, i);
        }
      }
      case BF16 -> {
        for (int i = 0; i < count; i++) {
          to[start + i] = HalfPrecision.bf16ToFloat(from.getAtIndex(HALF, i));
        }
      }
      case F16 -> {
        for (int i = 0; i < count; i++) {
          to[start + i] = HalfPrecision.f16ToFloat(from.getAtIndex(HALF, i));
        }
      }
      case I32 -> {
        for (int i = 0; i < count; i++) {
          to[start + i] = from.getAtIndex(INT, i);
        }
      }
    }
  }

  static void get(MemorySegment from, DType dtype, double[] to, int start, int count) {
    switch (dtype) {
      case F32 -> {
        for (int i = 0; i < count; i++) {
          to[start + i] = from.getAtIndex(SINGLE, i);
        }
      }
      case F64 -> MemorySegment.copy(from, DOUBLE, 0, to, start, count);
      case BF16 -> {
        for (int i = 0; i < count; i++) {
          to[start + i] = HalfPrecision.bf16ToFloat(from.getAtIndex(HALF, i));
        }
      }
      case F16 -> {
        for (int i = 0; i < count; i++) {
          to[start + i] = HalfPrecision.f16ToFloat(from.getAtIndex(HALF, i));
        }
      }
      case I32 -> {
        for (int i = 0; i < count; i++) {
          to[start + i] = from.getAtIndex(INT, i);
        }
      }
    }
  }

  static void get(MemorySegment from, DType dtype, int[] to, int start, int count) {
    switch (dtype) {
      case F32 -> {
        for (int i = 0; i < count; i++) {
          to[start + i] = integer(from.getAtIndex(SINGLE, i));
        }
      }
      case F64 -> {
        for (int i = 0; i < count; i++) {
          to[start + i] = integer(from.getAtIndex(DOUBLE, i));
        }
      }
      case BF16 -> {
        for (int i = 0; i < count; i++) {
          to[start + i] = integer(HalfPrecision.bf16ToFloat(from.getAtIndex(HALF, i)));
        }
      }
      case F16 -> {
        for (int i = 0; i < count; i++) {
          to[start + i] = integer(HalfPrecision.f16ToFloat(from.getAtIndex(HALF, i)));
        }
      }
      case I32 -> MemorySegment.copy(from, INT, 0, to, start, count);
    }
  }

  /** Truncates, as the library does; what does not fit is a mistake, not a large number. */
  private static int integer(double value) {
    if (!(value > -2147483649.0 && value < 2147483648.0)) {
      throw new IllegalArgumentException(value + " does not fit into I32");
    }
    return (int) value;
  }
}
