package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.problem.BilevelProblem;

/** Rows z = (x, y) of a bilevel problem, and their two parts as views. */
record UpperAndLower(DeviceMatrix both, DeviceMatrix x, DeviceMatrix y) implements AutoCloseable {
  /** Views of a matrix, which stays the caller's to close. */
  static UpperAndLower of(BilevelProblem problem, DeviceMatrix both) {
    long p = problem.upperSize();
    return new UpperAndLower(both, both.columns(0, p), both.columns(p, both.cols()));
  }

  /** The problem with what a method needs, or the refusal that names it. */
  static <T> T capability(String algorithm, BilevelProblem problem, Class<T> needed, String what) {
    if (!needed.isInstance(problem)) {
      throw new IllegalArgumentException(
          algorithm
              + " needs "
              + what
              + ", and "
              + problem.getClass().getSimpleName()
              + " has none: take a problem that is "
              + needed.getSimpleName());
    }
    return needed.cast(problem);
  }

  @Override
  public void close() {
    x.close();
    y.close();
  }
}
