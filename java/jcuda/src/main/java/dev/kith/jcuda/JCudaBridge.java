package dev.kith.jcuda;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.Field;
import java.util.Objects;
import jcuda.NativePointerObject;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUstream;
import jcuda.runtime.cudaStream_t;

/**
 * Kith's matrices and queues as JCuda's pointers and streams, and the other way round, without a
 * copy. Both libraries work in the primary context of a GPU, so that addresses and streams of the
 * one mean the same to the other. Thread-safe.
 *
 * <p>Order: work that both call on one stream runs in the order it was called in. Between streams
 * use events, or wait ({@link Queue#sync}, {@code cudaStreamSynchronize}).
 *
 * <p>Lifetime: what is wrapped stays its maker's. Close the matrix or queue that wraps it first,
 * and after its work is done free the memory or destroy the stream.
 */
public final class JCudaBridge {
  private JCudaBridge() {}

  /**
   * Device memory of JCuda as a matrix.
   *
   * @param queue orders Kith's work on the matrix; a queue of the GPU that the memory is on
   * @param pointer what {@code cudaMalloc} or {@code cuMemAlloc} gave, or a part of it; not the
   *     memory of a Java array or buffer
   * @param rows at least 0
   * @param cols at least 0
   * @param stride elements from one row to the next, at least {@code cols}
   * @param dtype the type of its elements
   * @return the matrix; close it before the memory is freed
   * @throws IllegalArgumentException if the pointer is null or of host memory, not aligned to an
   *     element, the shape impossible, or the queue not one of CUDA
   */
  public static DeviceMatrix matrix(
      Queue queue, Pointer pointer, long rows, long cols, long stride, DType dtype) {
    requireCuda("matrix", queue.device());
    long address = new Address(pointer).value();
    if (address == 0) {
      throw new IllegalArgumentException(
          "matrix: "
              + pointer
              + " is null or points to memory of the host; give one that cudaMalloc or cuMemAlloc"
              + " filled in");
    }
    // The size is the caller's word, as everywhere in JCuda: rows and stride say how much is used.
    return DeviceMatrix.wrap(
        queue,
        MemorySegment.ofAddress(address).reinterpret(bytes(rows, cols, stride, dtype)),
        rows,
        cols,
        stride,
        dtype);
  }

  /** The bytes from the first to the last element; what is impossible is refused by wrap. */
  private static long bytes(long rows, long cols, long stride, DType dtype) {
    if (rows <= 0 || cols <= 0 || stride < 0) {
      return 0;
    }
    try {
      return Math.multiplyExact(
          Math.addExact(Math.multiplyExact(rows - 1, stride), cols), dtype.bytes());
    } catch (ArithmeticException e) {
      return 0;
    }
  }

  /**
   * A matrix as a pointer of JCuda's runtime API.
   *
   * @param matrix a matrix on a CUDA device
   * @return its element (0, 0); rows are {@link DeviceMatrix#stride} elements apart; good until the
   *     matrix is closed
   * @throws IllegalArgumentException if the matrix is not on a CUDA device
   * @throws IllegalStateException if the matrix is closed
   */
  public static Pointer pointer(DeviceMatrix matrix) {
    requireCuda("pointer", matrix.device());
    return new Address(matrix.address());
  }

  /**
   * A matrix as a pointer of JCuda's driver API.
   *
   * @param matrix a matrix on a CUDA device
   * @return its element (0, 0), as for {@link #pointer}
   * @throws IllegalArgumentException if the matrix is not on a CUDA device
   * @throws IllegalStateException if the matrix is closed
   */
  public static CUdeviceptr devicePointer(DeviceMatrix matrix) {
    requireCuda("devicePointer", matrix.device());
    return new DeviceAddress(matrix.address());
  }

  /**
   * A stream of JCuda as a queue.
   *
   * @param device the GPU that the stream is of
   * @param stream what {@code cudaStreamCreate} filled in
   * @return the queue; closing it waits for its work and leaves the stream open
   * @throws IllegalArgumentException if the device is not one of CUDA, or the stream is null, which
   *     is CUDA's default stream: make one of its own
   */
  public static Queue queue(Device device, cudaStream_t stream) {
    requireCuda("queue", device);
    long address = new Handle(stream).value();
    if (address == 0) {
      throw new IllegalArgumentException(
          "queue: the stream is null, CUDA's default stream; give one that cudaStreamCreate filled"
              + " in");
    }
    return Queue.wrap(device, address);
  }

  /**
   * A queue as a stream of JCuda.
   *
   * @param queue a queue of a CUDA device
   * @return its stream; good until the queue is closed, and not to be destroyed
   * @throws IllegalArgumentException if the queue is not one of a CUDA device
   * @throws UnsupportedOperationException if this JCuda keeps its handles elsewhere than 12.6
   */
  public static cudaStream_t stream(Queue queue) {
    requireCuda("stream", queue.device());
    cudaStream_t stream = new cudaStream_t();
    try {
      Field pointer = NativePointerObject.class.getDeclaredField("nativePointer");
      pointer.setAccessible(true);
      pointer.setLong(stream, queue.stream());
    } catch (ReflectiveOperationException | RuntimeException e) {
      throw new UnsupportedOperationException(
          "stream: this version of JCuda does not let a stream be made from an address; use 12.6",
          e);
    }
    return stream;
  }

  private static void requireCuda(String operation, Device device) {
    if (device.backend().equals("cpu")) {
      throw new IllegalArgumentException(
          operation + ": JCuda's memory and streams go with CUDA devices, and this is device cpu");
    }
  }

  /** Opens what JCuda keeps from all but subclasses. */
  private static final class Address extends Pointer {
    /** Pointers of the driver API never point to Java arrays, whose address is 0 and an offset. */
    private final boolean onDevice;

    Address(Pointer other) {
      super(Objects.requireNonNull(other, "pointer"));
      onDevice = other instanceof CUdeviceptr || getNativePointer() != 0;
    }

    Address(long value) {
      super(value);
      onDevice = true;
    }

    long value() {
      return onDevice ? getNativePointer() + getByteOffset() : 0;
    }
  }

  /** The driver's pointers are made from others and an offset only: this one from null. */
  private static final class DeviceAddress extends CUdeviceptr {
    DeviceAddress(long value) {
      super(new CUdeviceptr(), value);
    }
  }

  /** Opens what JCuda keeps from all but subclasses. */
  private static final class Handle extends CUstream {
    Handle(cudaStream_t stream) {
      super(Objects.requireNonNull(stream, "stream"));
    }

    long value() {
      return getNativePointer();
    }
  }
}
