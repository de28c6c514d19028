package dev.kith.bench;

import org.openjdk.jmh.annotations.Param;

/** Family {@code quantize}: rows into codes of few bits, and messages into sums. */
public class QuantizeBenchmark extends FamilyBenchmark {
  /** Operation and size; among the sizes some that no vector width divides. */
  @Param({
    "int8-quantize-1x65537",
    "int8-quantize-1x25000000",
    "int8-accumulate-1x65537",
    "int8-accumulate-1x25000000",
    "qsgd4-1x65537",
    "qsgd4-1x25000000",
    "sign-pack-1x65537",
    "sign-pack-1x64000000",
    "sign-majority-16x65537",
    "sign-majority-16x4000000",
    "round-int8-ring-16x65537",
    "round-int8-ring-16x4000000"
  })
  public String workload;

  @Override
  String workloadName() {
    return workload;
  }
}
