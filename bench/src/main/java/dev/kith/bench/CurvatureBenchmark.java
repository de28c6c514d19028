package dev.kith.bench;

import org.openjdk.jmh.annotations.Param;

/**
 * Family {@code curvature}: steps that divide by curvature, conjugate gradient, in place, and
 * L-BFGS.
 */
public class CurvatureBenchmark extends FamilyBenchmark {
  /** Operation and size; among the sizes some that no vector width divides. */
  @Param({
    "adahessian-1x65537",
    "adahessian-1x16000003",
    "sophia-1x16000003",
    "oasis-1x16000003",
    "cg-1x16000003",
    "lbfgs-m10-1x4000003",
    "soap-4x16384"
  })
  public String workload;

  @Override
  String workloadName() {
    return workload;
  }
}
