package dev.kith.privacy;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.NoiseField;
import java.util.ArrayList;
import java.util.List;

/**
 * Noise that is correlated over time, row t of C^-1 Z for a banded {@link ToeplitzFactor} C:
 *
 * <pre>w_t = z_t - sum_(j = 1)^(min(t, k - 1)) c_j w_(t-j)</pre>
 *
 * <p>for each row on its own, with Z never stored and a ring of the last k - 1 outputs, in the
 * memory of which the next one is written over the oldest. The sum runs from the oldest output to
 * the newest, by fused multiply-adds in the type of the ring. With one band w_t is z_t, bit for
 * bit. Up to five bands are one pass that reads the ring and writes one matrix; each further three
 * bands read and write that matrix once more.
 *
 * <p>Rows are those of one process: noise of a row depends on its own address alone, so that
 * processes may hold any of them. The scale is the caller's, as a coefficient of w_t, so that z_t
 * has variance 1. Used by one thread at a time.
 */
public final class BandedNoise implements AutoCloseable {
  private static final int MOST_TERMS = 4;

  private final double[] coefficients;
  private final List<DeviceMatrix> ring = new ArrayList<>();
  private long step;

  /**
   * Allocates max(1, k - 1) matrices.
   *
   * @param factor C
   * @param shape gives their shape, dtype, F32 or F64, and queue
   * @throws IllegalArgumentException for another dtype
   */
  public BandedNoise(ToeplitzFactor factor, DeviceMatrix shape) {
    if (shape.dtype() != DType.F32 && shape.dtype() != DType.F64) {
      throw new IllegalArgumentException(
          "noise over time cannot be held in " + shape.dtype() + ": use F32 or F64");
    }
    coefficients = factor.coefficients();
    try {
      for (int j = 0; j < Math.max(1, coefficients.length - 1); j++) {
        ring.add(shape.like());
      }
    } catch (RuntimeException | Error e) {
      close();
      throw e;
    }
  }

  /**
   * The noise of the next step.
   *
   * @param z the rows of this step, of distribution NORMAL for what {@link ToeplitzFactor} says of
   *     privacy, as many as the ring has; not those of another step
   * @return w_t, valid until k - 1 further steps, with one band until the next; not to be changed
   *     or closed
   */
  public DeviceMatrix next(NoiseField z) {
    DeviceMatrix w = output(step);
    int left = (int) Math.min(step, coefficients.length - 1);
    // The oldest output is where w is written, so it is read first.
    Expression sum = Expression.noise(1, z);
    for (int room = MOST_TERMS; ; room = MOST_TERMS - 1) {
      for (; room > 0 && left > 0; room--, left--) {
        sum = sum.plusOuter(-coefficients[left], output(step - left));
      }
      Mixing.combine(sum, w);
      if (left == 0) {
        break;
      }
      sum = Expression.outer(w);
    }
    step++;
    return w;
  }

  private DeviceMatrix output(long t) {
    return ring.get((int) (t % ring.size()));
  }

  /** Steps that are done: {@link #next} gives w of this number. */
  public long step() {
    return step;
  }

  /**
   * Continues from a step whose outputs were put back into the {@link #ring}.
   *
   * @param step the steps that were done, 0 for a new start
   * @throws IllegalArgumentException when it is negative
   */
  public void step(long step) {
    if (step < 0) {
      throw new IllegalArgumentException("step " + step + " is negative: steps count from 0");
    }
    this.step = step;
  }

  /**
   * What a snapshot keeps beside the step.
   *
   * @return max(1, k - 1) matrices: w_t is that of number t modulo their number
   */
  public List<DeviceMatrix> ring() {
    return List.copyOf(ring);
  }

  @Override
  public void close() {
    ring.forEach(DeviceMatrix::close);
  }
}
