package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Strided;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/**
 * A matrix for a kernel to work on, in memory that shows every byte read or written beside it.
 * Where the host addresses the device's memory that is memory between two inaccessible pages, and
 * elements are written and read without the library. Elsewhere the host keeps an image of it that
 * travels whole; the emulation watches what lies around an allocation.
 */
final class Operand implements AutoCloseable {
  /** How it lies in memory. */
  enum Placement {
    /** Rows without gaps, the last element before an inaccessible page. */
    BEFORE_PAGE,
    /** Rows without gaps, the first element after an inaccessible page. */
    AFTER_PAGE,
    /** An odd gap after every row but the last one, which ends before an inaccessible page. */
    STRIDED,
    /** A window of columns and rows of a larger matrix. */
    VIEW
  }

  private static final byte CANARY = (byte) 0xC7;
  private static final int GAP = 3;
  private static final int MARGIN = 5;

  private final Rig.Session session;
  private final DType dtype;
  private final int rows;
  private final int cols;
  private final int stride;

  /** Empty where the host does not address the device. */
  private final Optional<GuardedMemory> memory;

  /** The bytes to watch, or their image, and the element in them that is (0, 0). */
  private final MemorySegment bytes;

  private final int start;
  private final DeviceMatrix base;
  private final DeviceMatrix matrix;

  Operand(Rig.Session session, DType dtype, double[][] values, int cols, Placement placement) {
    this.session = session;
    this.dtype = dtype;
    this.rows = values.length;
    this.cols = cols;
    int height = rows;
    int width = cols;
    switch (placement) {
      case BEFORE_PAGE, AFTER_PAGE -> {
        stride = cols;
        start = 0;
      }
      case STRIDED -> {
        stride = cols + GAP;
        start = 0;
      }
      default -> {
        stride = cols + 2 * MARGIN;
        start = stride + MARGIN;
        height = rows + 2;
        width = stride;
      }
    }
    long extent = height == 0 || width == 0 ? 0 : (height - 1L) * stride + width;
    long size = extent * dtype.bytes();
    memory = session.onHost() ? Optional.of(session.take(size)) : Optional.empty();
    bytes =
        memory
            .map(m -> placement == Placement.AFTER_PAGE ? m.first(size) : m.last(size))
            .orElseGet(() -> Arena.ofAuto().allocate(size, 8));
    bytes.fill(CANARY);
    for (int r = 0; r < rows; r++) {
      write(r, values[r]);
    }
    if (memory.isPresent()) {
      base =
          DeviceMatrix.wrap(session.queue(), bytes, height, width, Math.max(stride, width), dtype);
      matrix = placement == Placement.VIEW ? view(base, rows, cols) : base;
    } else {
      base = DeviceMatrix.allocate(session.queue(), 1, extent, dtype);
      base.upload(bytes, extent);
      matrix = Strided.view(base, start, rows, cols, stride);
    }
  }

  private static DeviceMatrix view(DeviceMatrix base, int rows, int cols) {
    try (DeviceMatrix band = base.rows(1, 1 + rows)) {
      return band.columns(MARGIN, MARGIN + cols);
    }
  }

  DeviceMatrix matrix() {
    return matrix;
  }

  private long index(int r, int c) {
    return start + (long) r * stride + c;
  }

  private void write(int r, double[] row) {
    for (int c = 0; c < cols; c++) {
      long i = index(r, c);
      switch (dtype) {
        case F32 -> bytes.set(ValueLayout.JAVA_FLOAT_UNALIGNED, 4 * i, (float) row[c]);
        case F64 -> bytes.set(ValueLayout.JAVA_DOUBLE_UNALIGNED, 8 * i, row[c]);
        case I32 -> bytes.set(ValueLayout.JAVA_INT_UNALIGNED, 4 * i, (int) row[c]);
        case F16 ->
            bytes.set(
                ValueLayout.JAVA_SHORT_UNALIGNED, 2 * i, Float.floatToFloat16((float) row[c]));
        case BF16 ->
            bytes.set(
                ValueLayout.JAVA_SHORT_UNALIGNED,
                2 * i,
                (short) (Float.floatToIntBits((float) row[c]) >>> 16));
      }
    }
  }

  /** Waits for the queue, and has the bytes show what stands there. */
  private void look() {
    if (memory.isPresent()) {
      session.queue().sync();
    } else {
      base.download(bytes, base.cols());
    }
  }

  /** What stands there now; waits for the queue. */
  double[][] values() {
    look();
    double[][] values = new double[rows][cols];
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        long i = index(r, c);
        values[r][c] =
            switch (dtype) {
              case F32 -> bytes.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4 * i);
              case F64 -> bytes.get(ValueLayout.JAVA_DOUBLE_UNALIGNED, 8 * i);
              case I32 -> bytes.get(ValueLayout.JAVA_INT_UNALIGNED, 4 * i);
              case F16 -> Float.float16ToFloat(bytes.get(ValueLayout.JAVA_SHORT_UNALIGNED, 2 * i));
              case BF16 ->
                  Float.intBitsToFloat(bytes.get(ValueLayout.JAVA_SHORT_UNALIGNED, 2 * i) << 16);
            };
      }
    }
    return values;
  }

  /** Fails unless the elements are these, bit for bit; any NaN equals any other. */
  void expect(double[][] expected) {
    double[][] actual = values();
    assertEquals(expected.length, actual.length, "rows");
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        if (Double.doubleToLongBits(expected[r][c]) != Double.doubleToLongBits(actual[r][c])) {
          fail(
              String.format(
                  "element (%d, %d) of %d x %d is %s (%a), and %s (%a) is right",
                  r, c, rows, cols, actual[r][c], actual[r][c], expected[r][c], expected[r][c]));
        }
      }
    }
  }

  void expect(double[] expectedRow) {
    expect(new double[][] {expectedRow});
  }

  private void watch() {
    look();
    if (bytes.byteSize() == 0) {
      return;
    }
    long size = dtype.bytes();
    long at = 0;
    for (int r = 0; r < rows; r++) {
      untouched(at, index(r, 0) * size);
      at = index(r, cols) * size;
    }
    untouched(at, bytes.byteSize());
  }

  private void untouched(long from, long to) {
    for (long i = from; i < to; i++) {
      if (bytes.get(ValueLayout.JAVA_BYTE, i) != CANARY) {
        fail(
            "byte "
                + (i - (long) start * dtype.bytes())
                + " from the first element of a "
                + rows
                + " x "
                + cols
                + " "
                + dtype
                + " matrix of stride "
                + stride
                + " lies outside of it and was written");
      }
    }
  }

  @Override
  public void close() {
    watch();
    discard();
  }

  void discard() {
    matrix.close();
    base.close();
    memory.ifPresent(session::give);
  }
}
