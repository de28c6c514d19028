package dev.kith.network;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Rows on their way between a device and a transport: a matrix on the device, and the same rows
 * densely in host memory that any thread may read. It grows as needed and never shrinks.
 */
final class RowBuffer implements AutoCloseable {
  private final DType dtype;
  private long capacity = -1;
  private Arena arena;
  private MemorySegment host;
  private DeviceMatrix matrix;
  private DeviceMatrix view;

  RowBuffer(DType dtype) {
    this.dtype = dtype;
  }

  /**
   * The first {@code rows} rows on the device, on the queue and with the columns of {@code like}.
   */
  DeviceMatrix rows(DeviceMatrix like, long rows) {
    if (rows > capacity) {
      close();
      matrix = like.like(rows, like.cols(), dtype);
      arena = Arena.ofShared();
      host = arena.allocate(rows * rowBytes(), 64);
      capacity = rows;
    }
    if (view == null || view.rows() != rows) {
      if (view != null) {
        view.close();
      }
      view = matrix.rows(0, rows);
    }
    return view;
  }

  /** Bytes of one row in host memory. */
  long rowBytes() {
    return matrix.cols() * dtype.bytes();
  }

  /** Host memory of {@code rows} rows from row {@code first}. */
  MemorySegment host(long first, long rows) {
    return host.asSlice(first * rowBytes(), rows * rowBytes());
  }

  /** Copies the rows in use to host memory and waits for it. */
  void download() {
    view.download(host, matrix.cols());
  }

  /** Copies the rows in use from host memory. */
  void upload() {
    view.upload(host, matrix.cols());
  }

  @Override
  public void close() {
    if (view != null) {
      view.close();
      view = null;
    }
    if (matrix != null) {
      matrix.close();
      matrix = null;
      arena.close();
    }
    capacity = -1;
  }
}
