package dev.kith.bench;

import org.openjdk.jmh.annotations.Param;

/** Family {@code lowrank}: a square tensor to its factors and back. */
public class LowRankBenchmark extends FamilyBenchmark {
  /** Operation and size; among the sizes one that no vector width divides. */
  @Param({"powersgd-r4-1x1018081", "powersgd-r4-1x16777216"})
  public String workload;

  @Override
  String workloadName() {
    return workload;
  }
}
