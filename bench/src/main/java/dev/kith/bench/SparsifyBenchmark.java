package dev.kith.bench;

import org.openjdk.jmh.annotations.Param;

/** Family {@code sparsify}: messages of the largest elements of a row. */
public class SparsifyBenchmark extends FamilyBenchmark {
  /** Operation and size; among the sizes some that no vector width divides. */
  @Param({"topk-1x65537", "topk-1x25000000", "topk-ef-1x65537", "topk-ef-1x25000000"})
  public String workload;

  @Override
  String workloadName() {
    return workload;
  }
}
