package dev.kith.bench;

import org.openjdk.jmh.annotations.Param;

/** Family {@code reduction}: norms of rows, consensus distance, dot products of all rows. */
public class ReductionBenchmark extends FamilyBenchmark {
  /** Operation and size; among the sizes some that no vector width divides. */
  @Param({"rownorm-16x65537", "rownorm-16x1000003", "consensus-16x1000003", "gram-16x1000003"})
  public String workload;

  @Override
  String workloadName() {
    return workload;
  }
}
