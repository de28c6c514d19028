package dev.kith.bench;

import org.openjdk.jmh.annotations.Param;

/** Family {@code noise}: random rows, alone and in sums that never store them. */
public class NoiseBenchmark extends FamilyBenchmark {
  /** Operation and size; among the sizes some that no vector width divides. */
  @Param({
    "philox-1x65537",
    "philox-1x64000000",
    "chacha20-1x65537",
    "chacha20-1x64000000",
    "normal-1x65537",
    "normal-1x64000000",
    "corn-64x16385",
    "corn-64x1000000",
    "pairwise-ring-16x16385",
    "pairwise-ring-16x4000000",
    "perturb16-gaussian-1x65537",
    "perturb16-gaussian-1x64000000",
    "perturb16-rademacher-1x65537",
    "perturb16-rademacher-1x64000000"
  })
  public String workload;

  @Override
  String workloadName() {
    return workload;
  }
}
