package dev.kith.bench;

import org.openjdk.jmh.annotations.Param;

/**
 * Family {@code mixing}: sparse and dense mixing, the fused step of decentralized SGD, gradient
 * tracking.
 */
public class MixingBenchmark extends FamilyBenchmark {
  /** Operation and size; among the sizes some that no vector width divides. */
  @Param({
    "mix-ring-16x65537",
    "mix-ring-16x1000003",
    "mix-er8-64x250007",
    "mix-dense-16x1000003",
    "mix-regular4-100000x64",
    "atc-ring-16x1000003",
    "dsgt-ring-16x1000003"
  })
  public String workload;

  @Override
  String workloadName() {
    return workload;
  }
}
