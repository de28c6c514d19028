package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Memory;
import dev.kith.kernel.Reduction;
import java.util.Arrays;

/**
 * The factors min(1, C / |g_i|) that bound the norms of rows, one pass over them.
 *
 * <p>C is taken 2^-17 smaller: a norm on the reduction tree of f32 is off by less than 2^-18 (70
 * roundings to a lane, half of that in the root), and the factor and its product by 2^-24 each, so
 * that no rounding lifts a clipped row above C.
 */
final class RowClipping implements AutoCloseable {
  private static final double MARGIN = 1 - 0x1p-17;

  private final LockstepOptimizer optimizer;
  private final double bound;
  private final DeviceMatrix factors;

  /** For matrices of the shape of {@code x}. */
  RowClipping(LockstepOptimizer optimizer, double clipNorm, DeviceMatrix x) {
    this.optimizer = optimizer;
    this.bound = MARGIN * clipNorm;
    this.factors = x.like(1, x.rows(), DType.F64);
  }

  /**
   * The factors of the rows of a gradient, 1 x localNodes.
   *
   * @throws NonFiniteException when a row has no finite norm
   */
  DeviceMatrix factors(DeviceMatrix gradient) {
    double[] norms = Reduction.norms(gradient);
    if (Arrays.stream(norms).anyMatch(Double::isInfinite)) {
      // A finite norm above 1.8e19 overflows in sums of f32.
      try (DeviceMatrix wide = gradient.like(gradient.rows(), gradient.cols(), DType.F64)) {
        Memory.convert(gradient, wide);
        norms = Reduction.norms(wide);
      }
    }
    for (int r = 0; r < norms.length; r++) {
      if (!Double.isFinite(norms[r])) {
        throw new NonFiniteException(
            optimizer.network().firstNode() + r, optimizer.round(), "the gradient");
      }
    }
    factors.upload(Arrays.stream(norms).map(norm -> Math.min(1, bound / norm)).toArray());
    return factors;
  }

  @Override
  public void close() {
    factors.close();
  }
}
