package dev.kith.problem;

import dev.kith.device.DeviceMatrix;
import java.util.stream.IntStream;

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
  default void proximal(DeviceMatrix v, double t, DeviceMatrix out) {
    proximal(IntStream.range(0, Math.toIntExact(v.rows())).toArray(), v, t, out);
  }

  /**
   * The same for some of the nodes: row k of both matrices belongs to the local node {@code
   * rows[k]}.
   *
   * @param rows local nodes, ascending
   * @param v points, rows.length x d
   * @param t step, positive and finite
   * @param out rows.length x d; shares no memory with {@code v}
   */
  void proximal(int[] rows, DeviceMatrix v, double t, DeviceMatrix out);
}
