package dev.kith.kernel;

import dev.kith.device.DType;
import java.util.Arrays;

/**
 * A batch of matrices inside one row of memory that ends before an inaccessible page, or begins
 * after one. Between the rows and between the matrices lie NaN, which a kernel that reads too much
 * drags into its result.
 */
final class BatchOperand {
  private final int rows;
  private final int cols;
  private final int offset;
  private final int rowStride;
  private final int batchStride;
  private final Operand operand;
  private final double[] flat;

  BatchOperand(
      Rig.Session session,
      DType t,
      double[][][] values,
      int rows,
      int cols,
      int offset,
      int rowGap,
      int batchGap) {
    this.rows = rows;
    this.cols = cols;
    this.offset = offset;
    rowStride = cols + rowGap;
    int matrix = rows == 0 ? 0 : (rows - 1) * rowStride + cols;
    batchStride = matrix + batchGap;
    int batches = values.length;
    flat = new double[offset + Math.max(0, batches - 1) * batchStride + matrix];
    Arrays.fill(flat, Double.NaN);
    write(flat, values);
    Operand.Placement placement =
        batches % 2 == 0 ? Operand.Placement.BEFORE_PAGE : Operand.Placement.AFTER_PAGE;
    operand = session.operand(t, new double[][] {flat}, flat.length, placement);
  }

  private void write(double[] to, double[][][] values) {
    for (int b = 0; b < values.length; b++) {
      for (int r = 0; r < rows; r++) {
        System.arraycopy(values[b][r], 0, to, offset + b * batchStride + r * rowStride, cols);
      }
    }
  }

  Batch batch() {
    return Batch.of(operand.matrix(), offset, rows, cols, rowStride, batchStride);
  }

  double[][][] values(int batches) {
    double[] now = operand.values()[0];
    double[][][] values = new double[batches][rows][];
    for (int b = 0; b < batches; b++) {
      for (int r = 0; r < rows; r++) {
        int at = offset + b * batchStride + r * rowStride;
        values[b][r] = Arrays.copyOfRange(now, at, at + cols);
      }
    }
    return values;
  }

  /** Fails unless the matrices are these bit for bit, and what lies between them is as it was. */
  void expect(double[][][] values) {
    double[] expected = flat.clone();
    write(expected, values);
    operand.expect(expected);
  }
}
