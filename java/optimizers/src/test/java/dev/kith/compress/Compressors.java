package dev.kith.compress;

import java.util.List;

/** The names under which the tests run every compressor. */
public final class Compressors {
  private Compressors() {}

  /** All of them, for rows of at least 16 numbers. */
  public static List<String> all() {
    return List.of(
        "identity",
        "top-k:0.1",
        "top-k:3:block=32",
        "random-k:0.1",
        "random-k:5:unscaled",
        "random-k:0.25:common",
        "threshold:1.0:capacity=0.75");
  }
}
