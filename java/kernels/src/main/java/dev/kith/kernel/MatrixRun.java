package dev.kith.kernel;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import java.util.ArrayList;
import java.util.List;

/**
 * Equal matrices that lie one after another among the columns of every row of a {@link
 * DeviceMatrix}, and the batches in which {@link Product} takes them all: of the matrices of one
 * row, or of one matrix of all rows, whichever makes fewer calls. Immutable and thread-safe.
 *
 * @param offset the column where the first begins, at least 0
 * @param rows of each, at least 1
 * @param cols of each, at least 1
 * @param count how many in a row, at least 1
 */
public record MatrixRun(long offset, long rows, long cols, long count) {
  /**
   * Checks.
   *
   * @throws IllegalArgumentException if a number is out of range
   */
  public MatrixRun {
    if (offset < 0 || rows < 1 || cols < 1 || count < 1) {
      throw new IllegalArgumentException(
          "%d matrices of %d x %d at column %d; give one or more of at least 1 x 1, at column 0 or later"
              .formatted(count, rows, cols, offset));
    }
    try {
      Math.addExact(offset, Math.multiplyExact(count, Math.multiplyExact(rows, cols)));
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "%d matrices of %d x %d at column %d have too many elements"
              .formatted(count, rows, cols, offset),
          e);
    }
  }

  /**
   * Joins tensors, as matrices, of equal shape that are neighbours.
   *
   * @param tensors in the order of their columns
   * @return runs in the same order; empty tensors are left out
   * @throws IllegalArgumentException if tensors overlap or do not ascend
   */
  public static List<MatrixRun> of(List<Layout.Tensor> tensors) {
    List<MatrixRun> runs = new ArrayList<>();
    long end = 0;
    for (Layout.Tensor tensor : tensors) {
      if (tensor.size() == 0) {
        continue;
      }
      if (tensor.offset() < end) {
        throw new IllegalArgumentException(
            "tensor \"%s\" begins at column %d and the one before it ends at %d; let tensors ascend without overlap"
                .formatted(tensor.name(), tensor.offset(), end));
      }
      MatrixRun last = runs.isEmpty() ? null : runs.getLast();
      if (last != null
          && last.end() == tensor.offset()
          && last.rows == tensor.rows()
          && last.cols == tensor.cols()) {
        runs.set(runs.size() - 1, new MatrixRun(last.offset, last.rows, last.cols, last.count + 1));
      } else {
        runs.add(new MatrixRun(tensor.offset(), tensor.rows(), tensor.cols(), 1));
      }
      end = runs.getLast().end();
    }
    return List.copyOf(runs);
  }

  /**
   * As many matrices of another shape in another place.
   *
   * @param column where the first begins
   * @param height rows of each
   * @param width columns of each
   * @return the run
   */
  public MatrixRun with(long column, long height, long width) {
    return new MatrixRun(column, height, width, count);
  }

  /**
   * Columns that it takes.
   *
   * @return count rows cols
   */
  public long size() {
    return count * rows * cols;
  }

  /**
   * The column behind its last.
   *
   * @return offset + size
   */
  public long end() {
    return offset + size();
  }

  /**
   * In how many batches all matrices of all rows are taken.
   *
   * @param m rows of a matrix
   * @return the lesser of its rows and {@link #count}
   */
  public long calls(DeviceMatrix m) {
    return Math.min(m.rows(), count);
  }

  /**
   * How many matrices are in each batch.
   *
   * @param m rows of a matrix
   * @return the greater of its rows and {@link #count}
   */
  public long batches(DeviceMatrix m) {
    return Math.max(m.rows(), count);
  }

  /**
   * A batch. Runs of equal count in matrices with as many rows have their matrices in the same
   * order.
   *
   * @param m F32 or F64, of at least {@link #end} columns
   * @param call which one, below {@link #calls}
   * @return the batch
   */
  public Batch batch(DeviceMatrix m, long call) {
    return m.rows() < count
        ? Batch.of(m, call * m.stride() + offset, rows, cols, cols, rows * cols)
        : Batch.of(m, offset + call * rows * cols, rows, cols, cols, m.stride());
  }
}
