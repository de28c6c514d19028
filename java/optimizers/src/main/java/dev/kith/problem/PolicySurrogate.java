package dev.kith.problem;

import dev.kith.device.DeviceMatrix;

/**
 * A problem of policies, whose gradient is that of minus the return: what a step promises and how
 * far it goes, as a trust region asks.
 */
public interface PolicySurrogate {
  /**
   * Writes into element i of {@code out} the expected advantage of the policy in row i of {@code x}
   * on the states that the policy in row i of {@code old} visits: the improvement of the return to
   * first order, 0 where both are the same.
   *
   * @param old parameters, localNodes x d
   * @param x parameters, localNodes x d
   * @param out f64, 1 x localNodes
   */
  void improvements(DeviceMatrix old, DeviceMatrix x, DeviceMatrix out);

  /**
   * Writes into element i of {@code out} the mean of KL(old policy || new policy) over the states
   * that the old one visits.
   *
   * @param old parameters, localNodes x d
   * @param x parameters, localNodes x d
   * @param out f64, 1 x localNodes
   */
  void divergences(DeviceMatrix old, DeviceMatrix x, DeviceMatrix out);
}
