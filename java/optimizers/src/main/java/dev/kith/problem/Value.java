package dev.kith.problem;

import dev.kith.device.DeviceMatrix;

/** A problem whose objectives can be evaluated. */
public interface Value {
  /**
   * Writes f_i(x_i) on the full local data, without mini-batches or noise, into element i of {@code
   * out}.
   *
   * @param x parameters, localNodes x d
   * @param out f64, 1 x localNodes
   */
  void values(DeviceMatrix x, DeviceMatrix out);
}
