package dev.kith.device;

/**
 * What one element of a matrix is. The order of the constants is that of {@code kith_dtype} in
 * {@code kith.h}. Immutable and thread-safe.
 */
public enum DType {
  /** IEEE binary32. */
  F32(4),
  /** IEEE binary64. */
  F64(8),
  /**
   * The upper half of a binary32: 8 exponent and 7 fraction bits. Storage, messages and gradients.
   */
  BF16(2),
  /** IEEE binary16: 5 exponent and 10 fraction bits. Storage, messages and gradients. */
  F16(2),
  /** Signed 32-bit integer: indices, labels and flags. */
  I32(4);

  private final int bytes;

  DType(int bytes) {
    this.bytes = bytes;
  }

  /**
   * The size of one element.
   *
   * @return bytes: 2, 4 or 8
   */
  public int bytes() {
    return bytes;
  }

  /**
   * Whether elements are floating-point numbers.
   *
   * @return true for all but {@link #I32}
   */
  public boolean isFloating() {
    return this != I32;
  }

  /**
   * The type that kernels compute in when their data has this type.
   *
   * @return {@link #F64} for F64, {@link #F32} for F32, BF16 and F16, {@link #I32} for I32
   */
  public DType computeType() {
    return switch (this) {
      case F32, BF16, F16 -> F32;
      case F64 -> F64;
      case I32 -> I32;
    };
  }
}
