package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Reduction;
import java.util.Arrays;

/**
 * How the messages of an algorithm are compressed, and what they owe to those who receive them.
 *
 * @param ratio bytes of a row in f32 divided by those of the payload of its message
 * @param residualNorms of every own node, the 2-norm of what it has formed and its messages have
 *     not brought to the others yet: the residual e_i of error feedback, or what is sent the
 *     difference to less what the others know of it (x_i - xh_i of CHOCO, grad_i - g_i of EF21, g_i
 *     - h_i of DIANA). 0 where nothing is kept for later; NaN where it is not known before the next
 *     round, as that of EF21 and DIANA after a snapshot was loaded
 */
public record Compression(double ratio, double[] residualNorms) {
  /** Copies. */
  public Compression {
    residualNorms = residualNorms.clone();
  }

  /** The norms, in a fresh array. */
  @Override
  public double[] residualNorms() {
    return residualNorms.clone();
  }

  /** Of residuals that are kept. Waits. */
  static Compression of(double ratio, DeviceMatrix residuals) {
    return new Compression(ratio, Reduction.norms(residuals));
  }

  /** Of residuals that are differences. Waits. */
  static Compression of(double ratio, DeviceMatrix formed, DeviceMatrix known) {
    try (DeviceMatrix squares = formed.like(1, formed.rows(), DType.F64)) {
      Reduction.rows(Reduction.Kind.DISTANCE, formed, known, squares);
      return new Compression(ratio, Arrays.stream(squares.toDoubles()).map(Math::sqrt).toArray());
    }
  }

  /** Of residuals that have one value at all nodes. */
  static Compression of(double ratio, double norm, int nodes) {
    double[] norms = new double[nodes];
    Arrays.fill(norms, norm);
    return new Compression(ratio, norms);
  }
}
