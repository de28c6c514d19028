package dev.kith.solver;

import dev.kith.device.DeviceMatrix;

/** Multiplies each row by its matrix. */
@FunctionalInterface
public interface LinearOperator {
  /**
   * Row k of {@code product} = A(k) times row k of {@code x}.
   *
   * @param x not changed
   * @param product written in full; shares no memory with x
   */
  void apply(DeviceMatrix x, DeviceMatrix product);
}
