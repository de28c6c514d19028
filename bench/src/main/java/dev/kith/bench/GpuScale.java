package dev.kith.bench;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * How large the rows of the GPU benchmark are. Only those of {@link #FULL} have the goals' sizes.
 */
enum GpuScale {
  /** What the row names say; needs about 35 GB of device memory. */
  FULL(1, 1000, 15, 20_000_000),
  /** A sixteenth, for smaller GPUs. */
  SMALL(16, 1000, 15, 20_000_000),
  /** Shows that every row works, on emulated kernels too; says nothing about speed. */
  TINY(16_384, 20, 2, 0);

  private final long divisor;
  private final int calls;
  private final int pairs;
  private final long sampleNanos;

  GpuScale(long divisor, int calls, int pairs, long sampleNanos) {
    this.divisor = divisor;
    this.calls = calls;
    this.pairs = pairs;
    this.sampleNanos = sampleNanos;
  }

  /** Columns of a row that has so many at full scale; stays a multiple of 4 where that one is. */
  long columns(long full) {
    return full / divisor / 4 * 4;
  }

  /** Calls in a graph, and tensors of a step over many. */
  int calls() {
    return calls;
  }

  /** How often a kernel and what it is compared with alternate. */
  int pairs() {
    return pairs;
  }

  /** How long one timing lasts at least; 0: one call. */
  long sampleNanos() {
    return sampleNanos;
  }

  String text() {
    return name().toLowerCase(Locale.ROOT);
  }

  static GpuScale named(String text) {
    return Arrays.stream(values())
        .filter(scale -> scale.text().equals(text))
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "there is no scale '%s'; the known ones are %s"
                        .formatted(
                            text,
                            Arrays.stream(values())
                                .map(GpuScale::text)
                                .collect(Collectors.joining(", ")))));
  }
}
