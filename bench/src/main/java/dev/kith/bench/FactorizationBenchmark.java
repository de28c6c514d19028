package dev.kith.bench;

import org.openjdk.jmh.annotations.Param;

/** Family {@code factorization}: polar factors of many small matrices. */
public class FactorizationBenchmark extends FamilyBenchmark {
  /** Operation and size: so many matrices of 8 columns, of 64 and of 125 rows. */
  @Param({"polar-1024x512", "polar-1021x1000"})
  public String workload;

  @Override
  String workloadName() {
    return workload;
  }
}
