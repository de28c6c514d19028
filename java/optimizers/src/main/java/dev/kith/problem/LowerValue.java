package dev.kith.problem;

import dev.kith.device.DeviceMatrix;

/** A {@link BilevelProblem} whose lower objectives can be evaluated. */
public interface LowerValue {
  /**
   * Writes g_i(x_i, y_i) on the full local data, without noise, into element i of {@code out}.
   *
   * @param x localNodes x p
   * @param y localNodes x q
   * @param out f64, 1 x localNodes
   */
  void lowerValues(DeviceMatrix x, DeviceMatrix y, DeviceMatrix out);
}
