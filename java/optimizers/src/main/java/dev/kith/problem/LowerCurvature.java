package dev.kith.problem;

import dev.kith.device.DeviceMatrix;

/**
 * A {@link BilevelProblem} whose lower objectives' second derivatives can be applied to vectors.
 */
public interface LowerCurvature {
  /**
   * Writes (d2g_i/dy2) v_i, possibly of a sample, into row i of {@code out}, for every local row.
   *
   * @param x localNodes x p; not changed
   * @param y localNodes x q; not changed
   * @param v directions, localNodes x q; not changed
   * @param out localNodes x q; shares no memory with the others
   * @param round number of the draw
   */
  void lowerHessianVector(
      DeviceMatrix x, DeviceMatrix y, DeviceMatrix v, DeviceMatrix out, long round);

  /**
   * Writes (d2g_i/dxdy) v_i, possibly of a sample, into row i of {@code out}, for every local row:
   * the derivative of v_i . dg_i/dy in x.
   *
   * @param x localNodes x p; not changed
   * @param y localNodes x q; not changed
   * @param v directions, localNodes x q; not changed
   * @param out localNodes x p; shares no memory with the others
   * @param round number of the draw
   */
  void lowerMixedVector(
      DeviceMatrix x, DeviceMatrix y, DeviceMatrix v, DeviceMatrix out, long round);
}
