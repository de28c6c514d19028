package dev.kith.problem;

import dev.kith.device.DeviceMatrix;

/** A {@link BilevelProblem} that knows how its lower objectives depend on x. */
public interface LowerGradientInUpper {
  /**
   * Writes the (stochastic) dg_i/dx at row i of x and y into row i of {@code g}, for every local
   * row.
   *
   * @param x localNodes x p; not changed
   * @param y localNodes x q; not changed
   * @param g localNodes x p, every element written; shares no memory with x and y
   * @param round number of the draw
   */
  void lowerGradientInUpper(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round);
}
