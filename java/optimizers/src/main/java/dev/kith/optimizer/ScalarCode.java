package dev.kith.optimizer;

/**
 * How a directional derivative travels.
 *
 * <p>{@link #ONE_BYTE} is a sign bit and seven bits: 0 for g = 0, else 64 + c with c = 8 ln|g|
 * rounded to an integer from -63 to 63, which stands for e^(c/8). Between 3.57e-4 and 2795 it is
 * off by at most a factor e^(1/16), 6.5 %; smaller and larger ones become 3.8e-4 and 2630. The byte
 * 128, a zero with a sign, says that g is not finite.
 *
 * <p>The source's code has 255 levels and a sign, which are nine bits, and its program sends the
 * scalar itself; these are eight, and they are what is sent and used.
 */
public enum ScalarCode {
  /** One byte. */
  ONE_BYTE(1) {
    @Override
    int encode(double g) {
      if (!Double.isFinite(g)) {
        return NOT_FINITE;
      }
      if (g == 0) {
        return 0;
      }
      long level = Math.round(STEPS * StrictMath.log(Math.abs(g)));
      return (g < 0 ? 128 : 0) + 64 + (int) Math.clamp(level, -63L, 63L);
    }

    @Override
    double decode(int code) {
      if (code == NOT_FINITE) {
        return Double.NaN;
      }
      int magnitude = code & 127;
      double value = magnitude == 0 ? 0 : StrictMath.exp((magnitude - 64) / STEPS);
      return code < 128 ? value : -value;
    }
  },
  /** The bits of an f32, four bytes. */
  FLOAT(4) {
    @Override
    int encode(double g) {
      return Float.floatToIntBits((float) g);
    }

    @Override
    double decode(int code) {
      return Float.intBitsToFloat(code);
    }
  };

  private static final int NOT_FINITE = 128;

  /** Levels of the one-byte code while g grows by a factor e. */
  private static final double STEPS = 8;

  private final int bytes;

  ScalarCode(int bytes) {
    this.bytes = bytes;
  }

  /** Bytes of one scalar. */
  public int bytes() {
    return bytes;
  }

  /** The code of g in the lowest bytes; the rest is 0. */
  abstract int encode(double g);

  /** What a code stands for; NaN or infinite where g was not finite. */
  abstract double decode(int code);

  /** What arrives of g. */
  public final double restored(double g) {
    return decode(encode(g));
  }

  /** Writes the code of g, lowest byte first. */
  final void write(double g, byte[] to, int at) {
    int code = encode(g);
    for (int b = 0; b < bytes; b++) {
      to[at + b] = (byte) (code >>> (8 * b));
    }
  }

  /** Reads a code. */
  final int read(byte[] from, int at) {
    int code = 0;
    for (int b = 0; b < bytes; b++) {
      code |= (from[at + b] & 0xFF) << (8 * b);
    }
    return code;
  }
}
