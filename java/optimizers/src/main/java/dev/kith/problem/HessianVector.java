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

  /**
   * The same on what {@link Problem#gradient} takes in this round: the Hessian of the function
   * whose gradient that is. A problem without mini-batches has the full one in every round, which
   * is what this does if it is not overridden.
   *
   * @param x parameters, localNodes x d
   * @param v directions, localNodes x d
   * @param out products, localNodes x d; shares no memory with {@code x} or {@code v}
   * @param round number of the draw, as for {@link Problem#gradient}
   */
  default void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out, long round) {
    hessianVector(x, v, out);
  }
}
