package dev.kith.bench;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.NewtonSchulz;
import dev.kith.kernel.NewtonSchulz.Polynomial;
import java.util.List;

/**
 * The rows of the GPU goal table that orthogonalise by products. Their peer is PyTorch with the
 * same products in bf16 and nothing between them, so its time over Kith's is a share of the rate of
 * bf16 products.
 */
final class GpuNewtonSchulz {
  private GpuNewtonSchulz() {}

  /** Five iterations on a matrix of so many rows, and so many times as many columns. */
  static GpuTask iterate(GpuArrays a, GpuScale scale, int fullRows, int widths) {
    int rows = (int) Math.sqrt((double) scale.columns((long) fullRows * fullRows));
    int cols = rows * widths;
    Layout layout = Layout.builder().tensor("x", "weight", rows, cols).build();
    DeviceMatrix x = a.keep(DeviceMatrix.allocate(a.queue(), 1, layout, DType.F32));
    DeviceMatrix y = a.keep(DeviceMatrix.allocate(a.queue(), 1, layout, DType.F32));
    float[] values = new float[rows * cols];
    for (int k = 0; k < values.length; k++) {
      values[k] = NewtonSchulzReference.input(k / cols, k % cols);
    }
    x.upload(values);
    NewtonSchulz schulz =
        a.keep(
            new NewtonSchulz(
                Polynomial.MUON, NewtonSchulzReference.ITERATIONS, layout.tensors(), x));
    double square = (double) rows * rows;
    return GpuTask.streaming(() -> schulz.apply(x, y), 0, List.of(), () -> check(rows, cols, y))
        // Half of both symmetric products.
        .withFmas(NewtonSchulzReference.ITERATIONS * square * (1.5 * cols + 0.5 * rows));
  }

  private static void check(int rows, int cols, DeviceMatrix y) {
    for (int row : new int[] {0, rows * 3 / 7, rows - 1}) {
      for (int col : new int[] {0, cols * 3 / 7, cols - 1}) {
        GpuTask.expect(
            "y(%d, %d)".formatted(row, col),
            NewtonSchulzReference.at(rows, cols, row, col),
            y.get(0, (long) row * cols + col),
            NewtonSchulzReference.tolerance(cols));
      }
    }
  }
}
