package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;

/**
 * The family {@code memory}: fills, conversions and gathers. Thread-safe; each operation runs on
 * the queue of the matrix that it writes.
 *
 * <p>Errors of all: {@link IllegalArgumentException} when shapes, dtypes or devices do not fit or
 * matrices overlap where they must not; {@link IllegalStateException} when something is closed or
 * the queue is in use by another thread.
 */
public final class Memory {
  private Memory() {}

  /**
   * Sets every element.
   *
   * @param m what to fill
   * @param value the value, rounded to the dtype; truncated for I32, which it must fit
   */
  public static void fill(DeviceMatrix m, double value) {
    m.fill(value);
  }

  /**
   * Copies with conversion: to(r, c) = from(r, c), rounded to nearest even.
   *
   * @param from any dtype
   * @param to a matrix of the same shape; may be the same window if the dtype is the same
   */
  public static void convert(DeviceMatrix from, DeviceMatrix to) {
    to.copyFrom(from);
  }

  /**
   * Picks rows: to(r, :) = from(index(0, r), :).
   *
   * @param from any dtype
   * @param index I32, 1 x rows of {@code to}; numbers of rows of {@code from}, repetitions allowed;
   *     a number that names no row is reported at once on the CPU and by the next wait elsewhere
   * @param to the dtype and columns of {@code from}
   */
  public static void gatherRows(DeviceMatrix from, DeviceMatrix index, DeviceMatrix to) {
    Window source = Access.window(from);
    Window rows = Access.window(index);
    Window target = Access.window(to);
    Arguments.sameDevice("gatherRows", "from", source, "to", target);
    Arguments.sameDevice("gatherRows", "index", rows, "to", target);
    Arguments.expect("gatherRows", "index", rows, 1, target.rows(), DType.I32);
    Arguments.expect("gatherRows", "to", target, target.rows(), source.cols(), source.dtype());
    Arguments.disjoint("gatherRows", "from", source, "to", target);
    Arguments.disjoint("gatherRows", "index", rows, "to", target);
    NativeQueue q = target.queue();
    int mark = q.begin("gatherRows");
    try {
      q.use(source);
      q.use(rows);
      q.use(target);
      int status;
      do {
        status =
            q.abi()
                .gatherRows(
                    q.handle(),
                    source.descriptor(),
                    rows.descriptor(),
                    target.descriptor(),
                    q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }
}
