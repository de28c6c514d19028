package dev.kith.internal;

import dev.kith.device.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/**
 * What a matrix is underneath: a rectangle of an allocation, its kith_matrix and its lease.
 * Thread-safe, the contents apart.
 */
public final class Window extends Lease {
  private static final long MEMORY = Abi.offset(Abi.MATRIX, "memory");
  private static final long OFFSET = Abi.offset(Abi.MATRIX, "offset");
  private static final long ROWS = Abi.offset(Abi.MATRIX, "rows");
  private static final long COLS = Abi.offset(Abi.MATRIX, "cols");
  private static final long STRIDE = Abi.offset(Abi.MATRIX, "stride");
  private static final long DTYPE = Abi.offset(Abi.MATRIX, "dtype");

  private final Allocation memory;
  private final NativeQueue queue;
  private final long offset;
  private final long rows;
  private final long cols;
  private final long stride;
  private final DType dtype;
  private final MemorySegment descriptor;
  private final Optional<MemorySegment> foreign;

  /**
   * Why the host's view is closed with the window: after that the memory belongs to someone else.
   */
  private Arena viewArena;

  private MemorySegment view;

  /**
   * Opens a window.
   *
   * @param memory what it looks at; the window counts itself in
   * @param queue the queue its operations run on
   * @param offset bytes to element (0, 0)
   * @param rows its rows
   * @param cols its columns
   * @param stride elements from one row to the next
   * @param dtype the type of its elements
   */
  Window(
      Allocation memory,
      NativeQueue queue,
      long offset,
      long rows,
      long cols,
      long stride,
      DType dtype) {
    this.memory = memory;
    this.queue = queue;
    this.offset = offset;
    this.rows = rows;
    this.cols = cols;
    this.stride = stride;
    this.dtype = dtype;
    foreign = memory.foreign();
    descriptor = queue.device().descriptors().take();
    describe(descriptor, offset, rows, cols);
    memory.retain();
    queue.device().opened(this);
  }

  private void describe(MemorySegment target, long start, long height, long width) {
    target.set(ValueLayout.ADDRESS, MEMORY, memory.handle());
    target.set(ValueLayout.JAVA_LONG, OFFSET, start);
    target.set(ValueLayout.JAVA_LONG, ROWS, height);
    target.set(ValueLayout.JAVA_LONG, COLS, width);
    target.set(ValueLayout.JAVA_LONG, STRIDE, stride);
    target.set(ValueLayout.JAVA_INT, DTYPE, Abi.number(dtype));
  }

  /**
   * Describes a part of the window without opening it.
   *
   * @param target a kith_matrix to write
   * @param row its first row
   * @param col its first column
   * @param height its rows
   * @param width its columns
   */
  public void describePart(MemorySegment target, long row, long col, long height, long width) {
    describe(target, offset + (row * stride + col) * dtype.bytes(), height, width);
  }

  /**
   * Opens a window on a part of this one, bound to a queue of the same device.
   *
   * @param target the queue
   * @param row its first row
   * @param col its first column
   * @param height its rows
   * @param width its columns
   * @param step elements from one of its rows to the next
   * @return the window
   * @throws IllegalStateException if this one is closed
   */
  public Window open(NativeQueue target, long row, long col, long height, long width, long step) {
    acquire("view");
    try {
      return new Window(
          memory,
          target,
          offset + (row * stride + col) * dtype.bytes(),
          height,
          width,
          step,
          dtype);
    } finally {
      release();
    }
  }

  /**
   * Opens a window on the same memory whose elements are read as another type of the same size.
   *
   * @param other as many bytes as the dtype
   * @return the window
   * @throws IllegalStateException if this one is closed
   */
  public Window openBits(DType other) {
    acquire("bits");
    try {
      return new Window(memory, queue, offset, rows, cols, stride, other);
    } finally {
      release();
    }
  }

  /**
   * The struct.
   *
   * @return a kith_matrix, valid while the window is open
   */
  public MemorySegment descriptor() {
    return descriptor;
  }

  /**
   * The queue that its operations run on.
   *
   * @return the queue
   */
  public NativeQueue queue() {
    return queue;
  }

  /**
   * Its device.
   *
   * @return the device
   */
  public NativeDevice device() {
    return queue.device();
  }

  /**
   * Its height.
   *
   * @return rows
   */
  public long rows() {
    return rows;
  }

  /**
   * Its width.
   *
   * @return columns
   */
  public long cols() {
    return cols;
  }

  /**
   * The way from one row to the next.
   *
   * @return elements
   */
  public long stride() {
    return stride;
  }

  /**
   * The type of its elements.
   *
   * @return the dtype
   */
  public DType dtype() {
    return dtype;
  }

  /**
   * Elements from its first to behind its last.
   *
   * @return elements, 0 when it is empty
   */
  public long extent() {
    return rows == 0 || cols == 0 ? 0 : (rows - 1) * stride + cols;
  }

  /**
   * The foreign memory it looks at.
   *
   * @return the segment that was wrapped, if it was
   */
  Optional<MemorySegment> foreign() {
    return foreign;
  }

  /**
   * Whether two windows are the same rectangle of memory.
   *
   * @param other another window
   * @return true if every element of the one is the same element of the other
   */
  public boolean sameAs(Window other) {
    return start() == other.start()
        && rows == other.rows
        && cols == other.cols
        && dtype == other.dtype
        && (stride == other.stride || rows <= 1);
  }

  /**
   * Whether two windows share memory. Exact for windows of equal strides in bytes, as views of one
   * matrix have, and for single rows; others are compared by the ranges from first to last byte.
   *
   * @param other another window
   * @return true if they share a byte, or may
   */
  public boolean overlaps(Window other) {
    if (extent() == 0 || other.extent() == 0 || device() != other.device()) {
      return false;
    }
    Window first = start() <= other.start() ? this : other;
    Window second = first == this ? other : this;
    long gap = second.start() - first.start();
    if (gap >= first.extent() * first.dtype.bytes()) {
      return false;
    }
    long step = first.step();
    long width = first.cols * first.dtype.bytes();
    long otherWidth = second.cols * second.dtype.bytes();
    if ((first.rows > 1 && second.rows > 1 && second.step() != step)
        || width > step
        || otherWidth > step) {
      return true;
    }
    // The second's first row starts in row gap / step of the first, and may run on into the row
    // after that.
    long column = gap % step;
    return column < width || (column + otherWidth > step && gap / step + 1 < first.rows);
  }

  /** Bytes from one row to the next. */
  private long step() {
    return rows == 1 ? Long.MAX_VALUE : stride * dtype.bytes();
  }

  private long start() {
    return memory.address() + offset;
  }

  /**
   * Where element (0, 0) lies on the device.
   *
   * @return its address
   * @throws IllegalStateException if the window is closed
   */
  public long address() {
    acquire("address");
    try {
      return start();
    } finally {
      release();
    }
  }

  /**
   * The host's view of the window, the same object at every call. It dies when the window closes.
   *
   * @return the bytes from the first to the last element
   * @throws UnsupportedOperationException if the host cannot address the memory
   */
  public synchronized MemorySegment view() {
    if (!memory.host()) {
      throw new UnsupportedOperationException(
          "segment: the host cannot address the memory of device "
              + device().name()
              + "; use upload and download");
    }
    if (view == null) {
      long bytes = extent() * dtype.bytes();
      if (foreign.isPresent()) {
        view = foreign.get().asSlice(offset, bytes);
      } else {
        viewArena = Arena.ofShared();
        view = MemorySegment.ofAddress(start()).reinterpret(bytes, viewArena, null);
      }
    }
    return view;
  }

  /**
   * Closes the window; the memory goes back with the last one. Idempotent.
   *
   * @throws IllegalStateException if an operation of another thread uses it
   */
  public synchronized void close() {
    if (!markClosed()) {
      return;
    }
    if (viewArena != null) {
      try {
        viewArena.close();
      } catch (IllegalStateException e) {
        markOpen();
        throw new IllegalStateException(
            "close: the segment of the " + what() + " is in use by another native call", e);
      }
    }
    device().closed(this);
    device().descriptors().give(descriptor);
    memory.drop();
  }

  @Override
  protected String what() {
    return "matrix " + this;
  }

  @Override
  protected long bytes() {
    return rows * cols * dtype.bytes();
  }

  @Override
  public String toString() {
    return rows + " x " + cols + " " + dtype;
  }
}
