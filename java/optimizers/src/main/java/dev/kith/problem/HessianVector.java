package dev.kith.problem;

import dev.kith.device.DeviceMatrix;

/** A problem whose curvature can be applied to vectors. */
public interface HessianVector {
  /**
   * Writes H_i(x_i) v_i into row i of {@code out}, for every local row: the Hessian of f_i on the
   * full local data.
   *
   * @param x parameters, localNodes x d
   * @param v directions, localNodes x d
   * @param out products, localNodes x d; shares no memory with {@code x} or {@code v}
   */
  void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out);
}
