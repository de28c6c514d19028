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
        "threshold:1.0:capacity=0.75",
        "sampled-top-k:0.2:sample=0.5",
        "qsgd:4",
        "qsgd:7:block=16:max",
        "qsgd:1:block=row",
        "qsgd:100",
        "natural",
        "terngrad",
        "terngrad:block=8",
        "sign",
        "scaled-sign",
        "scaled-sign:block=33",
        "one-bit",
        "int8",
        "int8:block=8:stochastic",
        "int4",
        "int4:block=row:stochastic",
        "affine",
        "affine:block=20",
        "bf16",
        "bf16:stochastic",
        "fp8-e4m3",
        "fp8-e5m2:stochastic",
        "power-sgd:2",
        "power-sgd:1:cold",
        "power-sgd:2+int4",
        "power-sgd:2+int8:block=16:stochastic",
        "top-k:0.1@tensors",
        "random-k:0.2@tensors",
        "qsgd:4:block=16@tensors",
        "power-sgd:2@tensors");
  }
}
