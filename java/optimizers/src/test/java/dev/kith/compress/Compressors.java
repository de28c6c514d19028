package dev.kith.compress;

import java.util.List;

/** The names under which the tests run every compressor. */
public final class Compressors {
  private Compressors() {}

  /** All of them, for rows of at least 16 numbers. */
  public static List<String> all() {
    return List.of("identity");
  }
}
