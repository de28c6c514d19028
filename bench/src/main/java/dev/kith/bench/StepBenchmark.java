package dev.kith.bench;

import org.openjdk.jmh.annotations.Param;

/** Family {@code step}: one step on every element, in place. */
public class StepBenchmark extends FamilyBenchmark {
  /** Operation and size; among the sizes some that no vector width divides. */
  @Param({
    "heavy-ball-1x16000003",
    "adamw-1x65537",
    "adamw-1x16000003",
    "adamw-bf16grad-1x16000003"
  })
  public String workload;

  @Override
  String workloadName() {
    return workload;
  }
}
