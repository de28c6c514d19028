package dev.kith.compress;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import java.util.Optional;

/** Columns that travel as they are: the bits of f32, one word each. */
final class DenseColumns {
  private DenseColumns() {}

  /** target = v, and e' = 0. */
  static void encode(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      DeviceMatrix target,
      DeviceMatrix flags) {
    Expression v = Expression.inner(x);
    if (minus.isPresent()) {
      v = v.plusInner(-1, minus.get());
    }
    if (residual.isPresent()) {
      v = v.plusInner(residual.get());
    }
    try (DeviceMatrix floats = target.bits(DType.F32)) {
      Mixing.combine(v, floats, flags);
    }
    residual.ifPresent(e -> e.fill(0));
  }

  /** As {@link Codec#accumulate}, of words. */
  static void accumulate(
      Optional<MixingWeights> weights,
      DeviceMatrix words,
      Optional<DeviceMatrix> halo,
      boolean add,
      DeviceMatrix y) {
    try (DeviceMatrix floats = words.bits(DType.F32)) {
      Expression sum = Expression.inner(floats);
      if (add) {
        sum = sum.plusOuter(y);
      }
      if (halo.isPresent()) {
        try (DeviceMatrix received = halo.get().bits(DType.F32)) {
          Mixing.mix(weights.orElseThrow(), sum.withHalo(received), y);
        }
      } else if (weights.isPresent()) {
        Mixing.mix(weights.get(), sum, y);
      } else {
        Mixing.combine(sum, y);
      }
    }
  }
}
