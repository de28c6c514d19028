package dev.kith.bench;

/**
 * The numbers in every benchmark: a multiplicative hash of the element's index. Each is a multiple
 * of 2^-24 in [-1/2, 1/2), exact in f32, and the same in {@code peers/torch_peers.py}.
 */
final class TestData {
  /** Streams of numbers that do not repeat each other. */
  static final int X = 0;

  static final int GRADIENT = 1;
  static final int TRACKER = 2;
  static final int OLD_GRADIENT = 3;

  private static final int MULTIPLIER = 0x9E3779B1;
  private static final int SHIFT_OF_STREAM = 0x3C6EF35F;

  private TestData() {}

  static float at(int stream, long index) {
    int hash = ((int) index + stream * SHIFT_OF_STREAM) * MULTIPLIER;
    return ((hash >>> 8) - (1 << 23)) * 0x1p-24f;
  }
}
