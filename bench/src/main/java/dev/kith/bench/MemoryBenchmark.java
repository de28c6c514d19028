package dev.kith.bench;

import org.openjdk.jmh.annotations.Param;

/** Family {@code memory}: conversion and gathering of rows. */
public class MemoryBenchmark extends FamilyBenchmark {
  /** Operation and size; among the sizes some that no vector width divides. */
  @Param({"convert-bf16-16x65537", "convert-bf16-16x1000003", "gather-100003x64"})
  public String workload;

  @Override
  String workloadName() {
    return workload;
  }
}
