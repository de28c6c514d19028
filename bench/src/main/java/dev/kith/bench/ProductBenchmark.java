package dev.kith.bench;

import org.openjdk.jmh.annotations.Param;

/** Family {@code product}: products of square matrices, and what is made of them. */
public class ProductBenchmark extends FamilyBenchmark {
  /** Operation and size; among the sizes some that no vector width divides. */
  @Param({"multiply-127x127", "multiply-512x512", "multiply-1024x1024", "newton-schulz-512x1024"})
  public String workload;

  @Override
  String workloadName() {
    return workload;
  }
}
