package dev.kith.internal;

import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;

/**
 * Moves elements between the host and a window, in pieces that fit the queue's staging memory.
 * Synchronous. Its functions may run only on the thread that may use the window's queue.
 */
public final class Transfer {
  private Transfer() {}

  /** Moves a piece between an array and the staging memory. */
  private interface Piece {
    void move(int start, int count, MemorySegment staging);
  }

  /**
   * Writes a window.
   *
   * @param to the window
   * @param from its elements, row after row
   */
  public static void upload(Window to, float[] from) {
    Elements.checkFit(from, to.dtype());
    pieces(
        "upload",
        to,
        true,
        (start, count, staging) -> Elements.put(from, start, count, staging, to.dtype()));
  }

  /**
   * Writes a window.
   *
   * @param to the window
   * @param from its elements, row after row
   */
  public static void upload(Window to, double[] from) {
    Elements.checkFit(from, to.dtype());
    pieces(
        "upload",
        to,
        true,
        (start, count, staging) -> Elements.put(from, start, count, staging, to.dtype()));
  }

  /**
   * Writes a window.
   *
   * @param to the window
   * @param from its elements, row after row
   */
  public static void upload(Window to, int[] from) {
    pieces(
        "upload",
        to,
        true,
        (start, count, staging) -> Elements.put(from, start, count, staging, to.dtype()));
  }

  /**
   * Reads a window.
   *
   * @param from the window
   * @param to its elements, row after row
   */
  public static void download(Window from, float[] to) {
    pieces(
        "download",
        from,
        false,
        (start, count, staging) -> Elements.get(staging, from.dtype(), to, start, count));
  }

  /**
   * Reads a window.
   *
   * @param from the window
   * @param to its elements, row after row
   */
  public static void download(Window from, double[] to) {
    pieces(
        "download",
        from,
        false,
        (start, count, staging) -> Elements.get(staging, from.dtype(), to, start, count));
  }

  /**
   * Reads a window.
   *
   * @param from the window
   * @param to its elements, row after row
   */
  public static void download(Window from, int[] to) {
    pieces(
        "download",
        from,
        false,
        (start, count, staging) -> Elements.get(staging, from.dtype(), to, start, count));
  }

  /**
   * Writes a window from elements of its own dtype.
   *
   * @param to the window
   * @param from host memory
   * @param stride elements there from one row to the next
   */
  public static void upload(Window to, MemorySegment from, long stride) {
    if (from.isNative()) {
      direct("upload", to, from, stride, true);
      return;
    }
    rows(
        "upload",
        to,
        true,
        (row, col, count, staging) ->
            MemorySegment.copy(
                from, (row * stride + col) * size(to), staging, 0, count * size(to)));
  }

  /**
   * Reads a window as elements of its own dtype.
   *
   * @param from the window
   * @param to host memory
   * @param stride elements there from one row to the next
   */
  public static void download(Window from, MemorySegment to, long stride) {
    if (to.isNative()) {
      direct("download", from, to, stride, false);
      return;
    }
    rows(
        "download",
        from,
        false,
        (row, col, count, staging) ->
            MemorySegment.copy(
                staging, 0, to, (row * stride + col) * size(from), count * size(from)));
  }

  /**
   * Reads one element.
   *
   * @param from the window
   * @param row its row
   * @param col its column
   * @return its value
   */
  public static double get(Window from, long row, long col) {
    NativeQueue queue = from.queue();
    double[] value = new double[1];
    int mark = queue.begin("get");
    try {
      queue.use(from);
      staged(queue, from, row, col, 1, 1, false, s -> Elements.get(s, from.dtype(), value, 0, 1));
    } finally {
      queue.end(mark);
    }
    return value[0];
  }

  /**
   * Writes one element.
   *
   * @param to the window
   * @param row its row
   * @param col its column
   * @param value what to write, rounded to the dtype
   */
  public static void set(Window to, long row, long col, double value) {
    NativeQueue queue = to.queue();
    int mark = queue.begin("set");
    try {
      queue.use(to);
      double[] values = {value};
      staged(queue, to, row, col, 1, 1, true, s -> Elements.put(values, 0, 1, s, to.dtype()));
    } finally {
      queue.end(mark);
    }
  }

  private static long size(Window window) {
    return window.dtype().bytes();
  }

  /** Moves a part of one row between host memory and the staging memory. */
  private interface RowPiece {
    void move(long row, long col, long count, MemorySegment staging);
  }

  private static void direct(
      String operation, Window window, MemorySegment host, long stride, boolean up) {
    NativeQueue queue = window.queue();
    int mark = queue.begin(operation);
    try {
      queue.use(window);
      move(queue, window.descriptor(), host, stride, up);
    } finally {
      Reference.reachabilityFence(host);
      queue.end(mark);
    }
  }

  private static void rows(String operation, Window window, boolean up, RowPiece piece) {
    NativeQueue queue = window.queue();
    int mark = queue.begin(operation);
    try {
      queue.use(window);
      long capacity = queue.staging().byteSize() / size(window);
      for (long row = 0; row < window.rows(); row++) {
        for (long col = 0; col < window.cols(); col += capacity) {
          long count = Math.min(capacity, window.cols() - col);
          long r = row;
          long c = col;
          staged(queue, window, r, c, 1, count, up, s -> piece.move(r, c, count, s));
        }
      }
    } finally {
      queue.end(mark);
    }
  }

  private static void pieces(String operation, Window window, boolean up, Piece piece) {
    NativeQueue queue = window.queue();
    int mark = queue.begin(operation);
    try {
      queue.use(window);
      if (window.extent() == 0) {
        return;
      }
      long cols = window.cols();
      long capacity = queue.staging().byteSize() / size(window);
      long height = Math.max(1, capacity / cols);
      for (long row = 0; row < window.rows(); row += height) {
        long h = Math.min(height, window.rows() - row);
        for (long col = 0; col < cols; col += capacity) {
          long w = Math.min(capacity, cols - col);
          // Whole rows, or a part of one: either way they lie together in the array.
          int start = Math.toIntExact(row * cols + col);
          int count = Math.toIntExact(h * w);
          staged(queue, window, row, col, h, w, up, s -> piece.move(start, count, s));
        }
      }
    } finally {
      queue.end(mark);
    }
  }

  /** Fills or empties the staging memory. */
  private interface Stage {
    void move(MemorySegment staging);
  }

  private static void staged(
      NativeQueue queue,
      Window window,
      long row,
      long col,
      long height,
      long width,
      boolean up,
      Stage stage) {
    window.describePart(queue.part(), row, col, height, width);
    if (up) {
      stage.move(queue.staging());
    }
    move(queue, queue.part(), queue.staging(), width, up);
    if (!up) {
      stage.move(queue.staging());
    }
  }

  /** Waits in every case: what was queued before a failure may still be at the host's memory. */
  private static void move(
      NativeQueue queue, MemorySegment part, MemorySegment host, long stride, boolean up) {
    int status;
    do {
      status =
          up
              ? queue.abi().upload(queue.handle(), host, stride, part, queue.call())
              : queue.abi().download(queue.handle(), part, host, stride, queue.call());
    } while (status == Abi.AGAIN);
    try {
      queue.check(status);
    } catch (RuntimeException e) {
      try {
        queue.await();
      } catch (RuntimeException second) {
        e.addSuppressed(second);
      }
      throw e;
    }
    queue.await();
  }
}
