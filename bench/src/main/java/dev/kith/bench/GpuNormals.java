package dev.kith.bench;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.NoiseField.Distribution;
import dev.kith.random.Stream;
import java.util.List;

/** The row of the GPU goal table that draws normals of a public seed. */
final class GpuNormals {
  private static final long M = 1_000_000;
  private static final long SEED = 1;

  private GpuNormals() {}

  static GpuTask draw(GpuArrays a, GpuScale scale) {
    DeviceMatrix y = a.zeros(1, scale.columns(64 * M), DType.F32);
    NoiseField field = NoiseField.shared(Distribution.NORMAL, Stream.NODE_NOISE, SEED, 0, 0, 1);
    return GpuTask.streaming(
        () -> Noise.draw(field, 1, y),
        4 * y.cols(),
        List.of(new GpuTask.Pass(List.of(), List.of(y))),
        () -> check(y));
  }

  private static void check(DeviceMatrix y) {
    for (long c : new long[] {0, y.cols() * 3 / 7, y.cols() - 1}) {
      double expected = NoiseReference.normal(SEED, Stream.NODE_NOISE, 0, c);
      GpuTask.expect("y(" + c + ")", expected, y.get(0, c), 2 * Math.ulp((float) expected));
    }
  }
}
