package dev.kith.device;

import dev.kith.internal.Abi;
import dev.kith.internal.NativeDevice;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Transfer;
import dev.kith.internal.Window;
import java.lang.foreign.MemorySegment;
import java.util.Objects;
import java.util.Optional;

/**
 * A matrix on a device, or a rectangular view of one. Rows are nodes: a stacked state X in R^{n x
 * d} holds the model of node i in row i. A vector is a matrix of one row. Element (r, c) lies
 * {@code r * stride + c} elements behind element (0, 0).
 *
 * <p>Lifetime: views share the memory and keep it open until they are closed too. Every operation
 * borrows its matrices for the length of its call; closing one meanwhile fails. Work that is
 * already queued keeps the memory. What this object says about itself (shape, dtype, queue) may be
 * read by any thread, and any thread may close it; the contents are ordered by the queues that the
 * operations run on. Methods that touch the contents run on {@link #queue}, by one thread at a
 * time.
 *
 * <p>All methods that touch the contents throw {@link IllegalStateException} when the matrix or its
 * queue is closed, or the queue is in use by another thread.
 */
public final class DeviceMatrix implements AutoCloseable {
  private final Queue queue;
  private final Window window;
  private final Optional<Layout> layout;

  private DeviceMatrix(Queue queue, Window window, Optional<Layout> layout) {
    this.queue = queue;
    this.window = window;
    this.layout = layout;
  }

  Window window() {
    return window;
  }

  /**
   * Allocates zeros. Memory is 64-byte aligned. Rows of 4 KiB and more start on 64-byte lines, one
   * further where the stride would be a multiple of 4 KiB: the same columns of all nodes would
   * compete for the same cache lines.
   *
   * @param queue orders the work on the matrix
   * @param rows at least 0
   * @param cols at least 0
   * @param dtype the type of its elements
   * @return the matrix; close it
   * @throws IllegalArgumentException if the shape is negative or too large for an address space
   * @throws KithException if memory runs out
   */
  public static DeviceMatrix allocate(Queue queue, long rows, long cols, DType dtype) {
    return allocate(queue, rows, cols, dtype, Optional.empty());
  }

  /**
   * Allocates zeros, a model per row.
   *
   * @param queue orders the work on the matrix
   * @param rows at least 0
   * @param layout what the columns mean
   * @param dtype the type of its elements
   * @return the matrix; close it
   * @throws IllegalArgumentException if the shape is negative or too large for an address space
   * @throws KithException if memory runs out
   */
  public static DeviceMatrix allocate(Queue queue, long rows, Layout layout, DType dtype) {
    return allocate(queue, rows, layout.size(), dtype, Optional.of(layout));
  }

  private static DeviceMatrix allocate(
      Queue queue, long rows, long cols, DType dtype, Optional<Layout> layout) {
    long stride = Strides.padded(rows, cols, dtype);
    NativeQueue behind = queue.behind();
    return new DeviceMatrix(
        queue, behind.device().allocate(behind, rows, cols, stride, dtype), layout);
  }

  /**
   * Wraps memory that belongs to someone else. The segment stays reachable while the matrix or
   * queued work needs it; a segment whose arena is closed by hand must not be closed before that.
   * What is wrapped must be memory that the device can address: native memory of the host on the
   * CPU, and on CUDA a device address, for example {@code
   * MemorySegment.ofAddress(pointer).reinterpret(bytes)}.
   *
   * @param queue orders the work on the matrix
   * @param foreign native memory of the device, aligned to the size of an element
   * @param rows at least 0
   * @param cols at least 0
   * @param stride elements from one row to the next, at least {@code cols}
   * @param dtype the type of its elements
   * @return the matrix; close it
   * @throws IllegalArgumentException if the segment is on the heap, read-only, too small or not
   *     aligned, or the shape impossible
   * @throws IllegalStateException if the segment's arena was closed or is another thread's
   */
  public static DeviceMatrix wrap(
      Queue queue, MemorySegment foreign, long rows, long cols, long stride, DType dtype) {
    Strides.check(rows, cols, stride, dtype);
    checkOpen("wrap", foreign);
    long bytes = NativeDevice.bytes(rows, cols, stride, dtype);
    if (!foreign.isNative() || foreign.isReadOnly()) {
      throw new IllegalArgumentException(
          "wrap: the segment is "
              + (foreign.isNative() ? "read-only" : "on the heap")
              + "; only writable native memory can be wrapped");
    }
    if (foreign.byteSize() < bytes) {
      throw new IllegalArgumentException(
          "wrap: %d x %d %s with stride %d takes %d bytes and the segment has %d"
              .formatted(rows, cols, dtype, stride, bytes, foreign.byteSize()));
    }
    if (foreign.address() % dtype.bytes() != 0) {
      throw new IllegalArgumentException(
          "wrap: address 0x%x is not aligned to the %d bytes of an %s"
              .formatted(foreign.address(), dtype.bytes(), dtype));
    }
    NativeQueue behind = queue.behind();
    return new DeviceMatrix(
        queue, behind.device().wrap(behind, foreign, rows, cols, stride, dtype), Optional.empty());
  }

  /**
   * Copies Java rows to the device.
   *
   * @param queue orders the work on the matrix
   * @param rows rows of one length
   * @return an F32 matrix; close it
   * @throws IllegalArgumentException if the rows differ in length
   */
  public static DeviceMatrix of(Queue queue, float[][] rows) {
    int cols = rows.length == 0 ? 0 : rows[0].length;
    float[] all = new float[Math.multiplyExact(rows.length, cols)];
    for (int r = 0; r < rows.length; r++) {
      checkLength(r, rows[r].length, cols);
      System.arraycopy(rows[r], 0, all, r * cols, cols);
    }
    return filled(allocate(queue, rows.length, cols, DType.F32), m -> m.upload(all));
  }

  /**
   * Copies Java rows to the device.
   *
   * @param queue orders the work on the matrix
   * @param rows rows of one length
   * @return an F64 matrix; close it
   * @throws IllegalArgumentException if the rows differ in length
   */
  public static DeviceMatrix of(Queue queue, double[][] rows) {
    int cols = rows.length == 0 ? 0 : rows[0].length;
    double[] all = new double[Math.multiplyExact(rows.length, cols)];
    for (int r = 0; r < rows.length; r++) {
      checkLength(r, rows[r].length, cols);
      System.arraycopy(rows[r], 0, all, r * cols, cols);
    }
    return filled(allocate(queue, rows.length, cols, DType.F64), m -> m.upload(all));
  }

  private static void checkLength(int row, int length, int cols) {
    if (length != cols) {
      throw new IllegalArgumentException(
          "row " + row + " has " + length + " elements and row 0 has " + cols);
    }
  }

  /**
   * Copies one Java row to the device.
   *
   * @param queue orders the work on the matrix
   * @param values the row
   * @return a 1 x length F32 matrix; close it
   */
  public static DeviceMatrix row(Queue queue, float... values) {
    return filled(allocate(queue, 1, values.length, DType.F32), m -> m.upload(values));
  }

  /**
   * Copies one Java row to the device.
   *
   * @param queue orders the work on the matrix
   * @param values the row
   * @return a 1 x length F64 matrix; close it
   */
  public static DeviceMatrix row(Queue queue, double... values) {
    return filled(allocate(queue, 1, values.length, DType.F64), m -> m.upload(values));
  }

  /**
   * Copies one Java row of integers to the device.
   *
   * @param queue orders the work on the matrix
   * @param values the row
   * @return a 1 x length I32 matrix; close it
   */
  public static DeviceMatrix rowOf(Queue queue, int... values) {
    return filled(allocate(queue, 1, values.length, DType.I32), m -> m.upload(values));
  }

  /** Fills a fresh matrix, and does not lose it when that fails. */
  private static DeviceMatrix filled(
      DeviceMatrix matrix, java.util.function.Consumer<DeviceMatrix> fill) {
    try {
      fill.accept(matrix);
      return matrix;
    } catch (RuntimeException | Error e) {
      try {
        matrix.close();
      } catch (RuntimeException second) {
        e.addSuppressed(second);
      }
      throw e;
    }
  }

  /**
   * Its height: nodes, or parts of a model.
   *
   * @return rows
   */
  public long rows() {
    return window.rows();
  }

  /**
   * Its width.
   *
   * @return columns
   */
  public long cols() {
    return window.cols();
  }

  /**
   * The way from one row to the next; may be more than {@link #cols}.
   *
   * @return elements
   */
  public long stride() {
    return window.stride();
  }

  /**
   * The type of its elements.
   *
   * @return the dtype
   */
  public DType dtype() {
    return window.dtype();
  }

  /**
   * The queue that operations writing this matrix run on.
   *
   * @return the queue
   */
  public Queue queue() {
    return queue;
  }

  /**
   * Its device.
   *
   * @return the device
   */
  public Device device() {
    return queue.device();
  }

  /**
   * What the columns mean.
   *
   * @return the layout it was allocated with, or for a view of columns that of their tensors; empty
   *     for others and where a view cuts a tensor
   */
  public Optional<Layout> layout() {
    return layout;
  }

  /**
   * Allocates a matrix of the same shape, dtype, layout and queue.
   *
   * @return zeros; close it
   */
  public DeviceMatrix like() {
    return allocate(queue, rows(), cols(), dtype(), layout);
  }

  /**
   * Allocates a matrix on the same device and queue, with the layout where the columns match.
   *
   * @param rows at least 0
   * @param cols at least 0
   * @param dtype the type of its elements
   * @return zeros; close it
   */
  public DeviceMatrix like(long rows, long cols, DType dtype) {
    return allocate(queue, rows, cols, dtype, layout.filter(l -> l.size() == cols));
  }

  /**
   * A view of one row.
   *
   * @param i the row
   * @return a 1 x cols view; close it
   * @throws IndexOutOfBoundsException if there is no such row
   */
  public DeviceMatrix row(long i) {
    Objects.checkIndex(i, rows());
    return rows(i, i + 1);
  }

  /**
   * A view of some rows.
   *
   * @param from the first
   * @param to behind the last
   * @return the view; close it
   * @throws IndexOutOfBoundsException if the range does not lie inside
   */
  public DeviceMatrix rows(long from, long to) {
    Objects.checkFromToIndex(from, to, rows());
    return view(queue, from, 0, to - from, cols(), stride(), layout);
  }

  /**
   * A view of some columns.
   *
   * @param from the first
   * @param to behind the last
   * @return the view, with the layout of the tensors that lie there unless a border cuts one; close
   *     it
   * @throws IndexOutOfBoundsException if the range does not lie inside
   */
  public DeviceMatrix columns(long from, long to) {
    Objects.checkFromToIndex(from, to, cols());
    Optional<Layout> kept = layout.flatMap(l -> l.between(from, to));
    return view(queue, 0, from, rows(), to - from, stride(), kept);
  }

  /**
   * A view of a tensor of the layout. Of a matrix of one row it has the tensor's shape, with the
   * first dimension as rows and the others as columns; of any other it has the tensor's columns in
   * every row.
   *
   * @param name the tensor's name
   * @return the view; close it
   * @throws IllegalArgumentException if there is no layout, or no such tensor in it
   */
  public DeviceMatrix tensor(String name) {
    Layout.Tensor tensor =
        layout
            .orElseThrow(
                () ->
                    new IllegalArgumentException(
                        "tensor \"" + name + "\": the matrix has no layout"))
            .tensor(name);
    return rows() == 1
        ? view(
            queue,
            0,
            tensor.offset(),
            tensor.rows(),
            tensor.cols(),
            tensor.cols(),
            Optional.empty())
        : view(queue, 0, tensor.offset(), rows(), tensor.size(), stride(), Optional.empty());
  }

  /**
   * The same window bound to another queue. Work on the two is not ordered but by events.
   *
   * @param other a queue of the same device
   * @return the view; close it
   * @throws IllegalArgumentException if the queue belongs to another device
   */
  public DeviceMatrix on(Queue other) {
    if (other.behind().device() != window.device()) {
      throw new IllegalArgumentException(
          "on: the queue belongs to device "
              + other.device().name()
              + " and the matrix to "
              + device().name());
    }
    return view(other, 0, 0, rows(), cols(), stride(), layout);
  }

  /**
   * The same memory, its bits read as another type of the same size: the words of a message as
   * floating-point numbers, for example.
   *
   * @param other a type of as many bytes
   * @return the view; close it
   * @throws IllegalArgumentException if the types differ in size
   */
  public DeviceMatrix bits(DType other) {
    if (other.bytes() != dtype().bytes()) {
      throw new IllegalArgumentException(
          "bits: an %s takes %d bytes and an %s %d; give a type of the same size"
              .formatted(dtype(), dtype().bytes(), other, other.bytes()));
    }
    return new DeviceMatrix(queue, window.openBits(other), layout);
  }

  DeviceMatrix view(
      Queue target,
      long row,
      long col,
      long height,
      long width,
      long stride,
      Optional<Layout> kept) {
    return new DeviceMatrix(
        target, window.open(target.behind(), row, col, height, width, stride), kept);
  }

  /**
   * The memory as the host sees it, from the first to the last element; rows are {@link #stride}
   * elements apart. Waits for the queue first; work that is called later needs a {@link Queue#sync}
   * before the segment is read or written again. The segment of own memory is usable by any thread
   * and dies when this matrix is closed; that of wrapped memory follows the segment that was
   * wrapped.
   *
   * @return the segment, the same at every call
   * @throws UnsupportedOperationException if the host cannot address the device's memory
   */
  public MemorySegment segment() {
    NativeQueue behind = queue.behind();
    int mark = behind.begin("segment");
    try {
      behind.use(window);
      behind.await();
      return window.view();
    } finally {
      behind.end(mark);
    }
  }

  /**
   * Where element (0, 0) lies on the device, for other libraries that work there. Order their work
   * with this one's by {@link Queue#sync} or events. The address is good until the matrix is
   * closed.
   *
   * @return the address; on the CPU that of the host
   * @throws IllegalStateException if the matrix is closed
   */
  public long address() {
    return window.address();
  }

  /**
   * Writes all elements, rounded once to the dtype.
   *
   * @param source rows * cols values, row after row
   * @throws IllegalArgumentException if the length differs, or a value does not fit into I32
   */
  public void upload(float[] source) {
    checkSize("upload", source.length);
    Transfer.upload(window, source);
  }

  /**
   * Writes all elements, rounded once to the dtype.
   *
   * @param source rows * cols values, row after row
   * @throws IllegalArgumentException if the length differs, or a value does not fit into I32
   */
  public void upload(double[] source) {
    checkSize("upload", source.length);
    Transfer.upload(window, source);
  }

  /**
   * Writes all elements, rounded once to the dtype.
   *
   * @param source rows * cols values, row after row
   * @throws IllegalArgumentException if the length differs
   */
  public void upload(int[] source) {
    checkSize("upload", source.length);
    Transfer.upload(window, source);
  }

  /**
   * Writes all elements from memory that holds elements of the matrix's dtype.
   *
   * @param source native memory or an array
   * @param strideElements elements from one row to the next, at least {@link #cols}
   * @throws IllegalArgumentException if the stride or the segment is too small
   */
  public void upload(MemorySegment source, long strideElements) {
    checkHost("upload", source, strideElements);
    Transfer.upload(window, source, strideElements);
  }

  private void checkSize(String operation, long length) {
    long size = rows() * cols();
    if (length != size) {
      throw new IllegalArgumentException(
          "%s: a %s matrix has %d elements and the array %d"
              .formatted(operation, window, size, length));
    }
  }

  private static void checkOpen(String operation, MemorySegment host) {
    if (!host.scope().isAlive()) {
      throw new IllegalStateException(
          operation + ": the arena of the segment was closed; give memory that is open");
    }
    if (!host.isAccessibleBy(Thread.currentThread())) {
      throw new IllegalStateException(
          operation + ": the segment belongs to another thread; take it from a shared arena");
    }
  }

  private void checkHost(String operation, MemorySegment host, long strideElements) {
    checkOpen(operation, host);
    Strides.check(rows(), cols(), strideElements, dtype());
    long bytes = NativeDevice.bytes(rows(), cols(), strideElements, dtype());
    if (host.byteSize() < bytes) {
      throw new IllegalArgumentException(
          "%s: %s with stride %d takes %d bytes and the segment has %d"
              .formatted(operation, window, strideElements, bytes, host.byteSize()));
    }
  }

  /**
   * Reads all elements, rounded to float. Waits.
   *
   * @return rows * cols values, row after row
   * @throws IllegalArgumentException if they are too many for an array
   */
  public float[] toFloats() {
    float[] values = new float[arrayLength()];
    Transfer.download(window, values);
    return values;
  }

  /**
   * Reads all elements, exactly. Waits.
   *
   * @return rows * cols values, row after row
   * @throws IllegalArgumentException if they are too many for an array
   */
  public double[] toDoubles() {
    double[] values = new double[arrayLength()];
    Transfer.download(window, values);
    return values;
  }

  /**
   * Reads all elements, truncated to integers. Waits.
   *
   * @return rows * cols values, row after row
   * @throws IllegalArgumentException if they are too many for an array, or one does not fit
   */
  public int[] toInts() {
    int[] values = new int[arrayLength()];
    Transfer.download(window, values);
    return values;
  }

  private int arrayLength() {
    long size = rows() * cols();
    if (size > Integer.MAX_VALUE - 8) {
      throw new IllegalArgumentException(
          "download: a %s matrix has too many elements for an array; download into a segment"
              .formatted(window));
    }
    return (int) size;
  }

  /**
   * Reads all elements into memory as elements of the matrix's dtype. Waits.
   *
   * @param target native memory or an array
   * @param strideElements elements from one row to the next, at least {@link #cols}
   * @throws IllegalArgumentException if the stride or the segment is too small, or the segment
   *     read-only
   */
  public void download(MemorySegment target, long strideElements) {
    checkHost("download", target, strideElements);
    if (target.isReadOnly()) {
      throw new IllegalArgumentException("download: the segment is read-only");
    }
    Transfer.download(window, target, strideElements);
  }

  /**
   * Reads one element. Waits; for whole rows use {@link #toDoubles}.
   *
   * @param r its row
   * @param c its column
   * @return its value, exactly
   * @throws IndexOutOfBoundsException if there is no such element
   */
  public double get(long r, long c) {
    Objects.checkIndex(r, rows());
    Objects.checkIndex(c, cols());
    return Transfer.get(window, r, c);
  }

  /**
   * Writes one element. Waits; for whole rows use {@link #upload(double[])}.
   *
   * @param r its row
   * @param c its column
   * @param value the value, rounded to the dtype
   * @throws IndexOutOfBoundsException if there is no such element
   * @throws IllegalArgumentException if the value does not fit into I32
   */
  public void set(long r, long c, double value) {
    Objects.checkIndex(r, rows());
    Objects.checkIndex(c, cols());
    Transfer.set(window, r, c, value);
  }

  /**
   * Sets every element.
   *
   * @param value the value, rounded to the dtype; truncated for I32
   * @throws IllegalArgumentException if the value does not fit into I32
   */
  public void fill(double value) {
    NativeQueue behind = queue.behind();
    int mark = behind.begin("fill");
    try {
      behind.use(window);
      int status;
      do {
        status = behind.abi().fill(behind.handle(), window.descriptor(), value, behind.call());
      } while (status == Abi.AGAIN);
      behind.check(status);
    } finally {
      behind.end(mark);
    }
  }

  /**
   * Copies another matrix, converting elements to this dtype in one rounding.
   *
   * @param other a matrix of the same shape on the same device
   * @throws IllegalArgumentException if shape or device differ, or the two overlap otherwise than
   *     as the same window of one dtype
   */
  public void copyFrom(DeviceMatrix other) {
    Window from = other.window;
    if (from.rows() != rows() || from.cols() != cols()) {
      throw new IllegalArgumentException(
          "copy: the source is " + from + " and the target " + window + "; shapes must match");
    }
    if (from.device() != window.device()) {
      throw new IllegalArgumentException(
          "copy: the source is on device "
              + from.device().name()
              + " and the target on "
              + device().name()
              + "; download and upload instead");
    }
    if (from.overlaps(window) && !from.sameAs(window)) {
      throw new IllegalArgumentException(
          "copy: source " + from + " and target " + window + " overlap");
    }
    NativeQueue behind = queue.behind();
    int mark = behind.begin("convert");
    try {
      behind.use(window);
      behind.use(from);
      int status;
      do {
        status =
            behind
                .abi()
                .convert(behind.handle(), from.descriptor(), window.descriptor(), behind.call());
      } while (status == Abi.AGAIN);
      behind.check(status);
    } finally {
      behind.end(mark);
    }
  }

  /**
   * Whether it was closed.
   *
   * @return true once a close succeeded
   */
  public boolean isClosed() {
    return window.isClosed();
  }

  /**
   * Closes the matrix. The memory goes back when all views are closed too and queued work is done.
   * Idempotent; any thread may.
   *
   * @throws IllegalStateException if an operation is using it; names the operation
   */
  @Override
  public void close() {
    window.close();
  }

  @Override
  public String toString() {
    return "DeviceMatrix[" + window + " on " + device().name() + (isClosed() ? ", closed]" : "]");
  }
}
