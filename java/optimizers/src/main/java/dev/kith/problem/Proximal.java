package dev.kith.problem;

import dev.kith.device.DeviceMatrix;

/** A problem whose objectives have a proximal operator at hand. */
public interface Proximal {
  /**
   * Writes prox_{t f_i}(v_i) = argmin_x f_i(x) + |x - v_i|^2 / (2 t) into row i of {@code out}, for
   * every local row.
   *
   * @param v points, localNodes x d
   * @param t step, positive and finite
   * @param out localNodes x d; shares no memory with {@code v}
   */
  void proximal(DeviceMatrix v, double t, DeviceMatrix out);
}
