package dev.kith.bench;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.MixingWeights;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The queue and the matrices of one row of the GPU benchmark; closing it closes them all. The
 * numbers are those of {@link TestData}, repeated every {@link #PERIOD} columns so that the host
 * makes little and the device copies the rest; {@code bench/peers/torch_gpu.py} has the same.
 */
final class GpuArrays implements AutoCloseable {
  /** Columns after which the numbers repeat. */
  static final int PERIOD = 1 << 18;

  private final Queue queue;
  private final List<AutoCloseable> open = new ArrayList<>();

  GpuArrays(Device device) {
    queue = keep(device.newQueue());
  }

  /** Element (r, c) before it is rounded to the matrix's dtype. */
  static float at(int stream, long r, long c) {
    return TestData.at(stream, r * PERIOD + c % PERIOD);
  }

  Queue queue() {
    return queue;
  }

  DeviceMatrix zeros(long rows, long cols, DType dtype) {
    return keep(DeviceMatrix.allocate(queue, rows, cols, dtype));
  }

  DeviceMatrix filled(int stream, long rows, long cols, DType dtype) {
    DeviceMatrix matrix = zeros(rows, cols, dtype);
    int first = (int) Math.min(cols, PERIOD);
    float[] tile = new float[Math.toIntExact(rows * first)];
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < first; c++) {
        tile[r * first + c] = at(stream, r, c);
      }
    }
    try (DeviceMatrix begin = matrix.columns(0, first)) {
      begin.upload(tile);
    }
    for (long done = first; done < cols; done *= 2) {
      long more = Math.min(done, cols - done);
      try (DeviceMatrix from = matrix.columns(0, more);
          DeviceMatrix to = matrix.columns(done, done + more)) {
        to.copyFrom(from);
      }
    }
    queue.sync();
    return matrix;
  }

  /** Metropolis weights of a ring: 1/3 for a node and for both its neighbours. */
  MixingWeights ring(int n) {
    long[] offsets = new long[n + 1];
    int[] columns = new int[3 * n];
    double[] values = new double[3 * n];
    for (int i = 0; i < n; i++) {
      int[] row = {(i + n - 1) % n, i, (i + 1) % n};
      Arrays.sort(row);
      System.arraycopy(row, 0, columns, 3 * i, 3);
      Arrays.fill(values, 3 * i, 3 * i + 3, 1.0 / 3);
      offsets[i + 1] = 3L * (i + 1);
    }
    return keep(MixingWeights.sparse(queue, n, n, offsets, columns, values));
  }

  <T extends AutoCloseable> T keep(T resource) {
    open.add(resource);
    return resource;
  }

  @Override
  public void close() {
    IllegalStateException failure = null;
    for (AutoCloseable resource : open.reversed()) {
      try {
        resource.close();
      } catch (Exception e) {
        if (failure == null) {
          failure = new IllegalStateException("cannot close " + resource, e);
        } else {
          failure.addSuppressed(e);
        }
      }
    }
    if (failure != null) {
      throw failure;
    }
  }
}
