package dev.kith.bench;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Code;
import dev.kith.kernel.Draw;
import dev.kith.kernel.LowRank;
import dev.kith.kernel.Quantize;
import dev.kith.kernel.Sparsify;
import java.util.List;
import java.util.Optional;

/**
 * The rows of the GPU goal table that make messages and sum them. Codes have no twin, whose streams
 * are of one shape; their share is that of a copy.
 */
final class GpuMessages {
  private static final long M = 1_000_000;
  private static final int RANK = PowerSgdReference.RANK;
  private static final int QSGD_BLOCK = 512;
  private static final int QSGD_LEVELS = 7;
  private static final Code INT8 = Code.absmax(8, false, 256);
  private static final Code QSGD4 = Code.qsgd(4, QSGD_LEVELS, Code.Norm.TWO, QSGD_BLOCK);
  private static final Optional<DeviceMatrix> NONE = Optional.empty();

  /** Rounding steps of a sum on the tree: 64 in a lane, six folds, and the pairs of chunks. */
  private static final double TREE = 80 * 0x1p-24;

  private GpuMessages() {}

  private static float x(int row, long column) {
    return GpuArrays.at(TestData.X, row, column);
  }

  /** The largest hundredth of a row; with feedback what is not sent is kept and added. */
  static GpuTask topK(GpuArrays a, GpuScale scale, boolean feedback) {
    long cols = scale.columns(25 * M);
    int k = (int) Math.max(1, cols / 100);
    DeviceMatrix x = a.filled(TestData.X, 1, cols, DType.F32);
    DeviceMatrix message = a.keep(DeviceMatrix.allocate(a.queue(), 1, 2L * k, DType.I32));
    Runnable alone = () -> Sparsify.top(x, NONE, NONE, k, 0, message, NONE);
    Runnable check = () -> checkTopK(message.toInts(), k, cols);
    if (!feedback) {
      return GpuTask.streaming(
          alone, 4 * cols, List.of(new GpuTask.Pass(List.of(x), List.of())), check);
    }
    DeviceMatrix residual = a.zeros(1, cols, DType.F32);
    return GpuTask.streaming(
            () -> Sparsify.top(x, NONE, Optional.of(residual), k, 0, message, NONE),
            12 * cols,
            List.of(new GpuTask.Pass(List.of(x, residual), List.of(residual))),
            check)
        .withApart(alone);
  }

  /** Ascending columns with their own values, none of them smaller than one that is not sent. */
  private static void checkTopK(int[] message, int k, long cols) {
    float least = Float.POSITIVE_INFINITY;
    for (int i = 0; i < k; i++) {
      int column = message[i];
      if (column < 0 || column >= cols || (i > 0 && column <= message[i - 1])) {
        throw new IllegalStateException("entry %d is of column %d".formatted(i, column));
      }
      float value = Float.intBitsToFloat(message[k + i]);
      GpuTask.expect("the value of column " + column, x(0, column), value, 0);
      least = Math.min(least, Math.abs(value));
    }
    long above = 0;
    for (int c = 0; c < Math.min(cols, GpuArrays.PERIOD); c++) {
      if (Math.abs(x(0, c)) > least) {
        above += (cols - c + GpuArrays.PERIOD - 1) / GpuArrays.PERIOD;
      }
    }
    if (above >= k) {
      throw new IllegalStateException(
          "%d are larger than the least that was sent, and %d were".formatted(above, k));
    }
  }

  private static DeviceMatrix messages(GpuArrays a, int rows, Code code, long cols) {
    return a.keep(DeviceMatrix.allocate(a.queue(), rows, code.words(cols), DType.I32));
  }

  static GpuTask int8Quantize(GpuArrays a, GpuScale scale) {
    return quantize(a, scale.columns(25 * M), INT8, Optional.empty());
  }

  static GpuTask qsgd4(GpuArrays a, GpuScale scale) {
    return quantize(a, scale.columns(25 * M), QSGD4, Optional.of(Draw.of(1, 0, 0)));
  }

  private static GpuTask quantize(GpuArrays a, long cols, Code code, Optional<Draw> draw) {
    DeviceMatrix x = a.filled(TestData.X, 1, cols, DType.F32);
    DeviceMatrix message = messages(a, 1, code, cols);
    return GpuTask.streaming(
        () -> Quantize.quantize(code, draw, x, message),
        4 * (cols + message.cols()),
        List.of(),
        () -> {
          try (DeviceMatrix y = DeviceMatrix.allocate(a.queue(), 1, cols, DType.F32)) {
            Quantize.accumulate(Optional.empty(), code, message, NONE, false, y);
            checkDecoded(code, y);
          }
        });
  }

  /** y += what a message stands for. */
  static GpuTask int8Accumulate(GpuArrays a, GpuScale scale) {
    long cols = scale.columns(25 * M);
    DeviceMatrix x = a.filled(TestData.X, 1, cols, DType.F32);
    DeviceMatrix message = messages(a, 1, INT8, cols);
    DeviceMatrix y = a.zeros(1, cols, DType.F32);
    Quantize.quantize(INT8, Optional.empty(), x, message);
    return GpuTask.streaming(
        () -> Quantize.accumulate(INT8, message, y),
        8 * cols + 4 * message.cols(),
        List.of(),
        () -> checkDecoded(INT8, y));
  }

  /** Half a step of 127 to the largest element off, or a whole step of 7 to the norm. */
  private static void checkDecoded(Code code, DeviceMatrix y) {
    for (long c : new long[] {0, y.cols() * 3 / 7, y.cols() - 1}) {
      double squares = 0;
      double largest = 0;
      long block = code.equals(INT8) ? 256 : QSGD_BLOCK;
      long begin = c / block * block;
      for (long i = begin; i < Math.min(begin + block, y.cols()); i++) {
        squares += (double) x(0, i) * x(0, i);
        largest = Math.max(largest, Math.abs(x(0, i)));
      }
      double step = code.equals(INT8) ? largest / 254 : Math.sqrt(squares) / QSGD_LEVELS;
      GpuTask.expect("element " + c, x(0, c), y.get(0, c), step * (1 + TREE));
    }
  }

  static GpuTask signPack(GpuArrays a, GpuScale scale) {
    long cols = scale.columns(64 * M);
    DeviceMatrix x = a.filled(TestData.X, 1, cols, DType.F32);
    DeviceMatrix message = messages(a, 1, Code.sign(), cols);
    return GpuTask.streaming(
        () -> Quantize.quantize(Code.sign(), Optional.empty(), x, message),
        4 * (cols + message.cols()),
        List.of(),
        () -> checkSigns(message, cols, 1));
  }

  static GpuTask signMajority(GpuArrays a, GpuScale scale) {
    int rows = 16;
    long cols = scale.columns(4 * M);
    DeviceMatrix x = a.filled(TestData.X, rows, cols, DType.F32);
    DeviceMatrix all = messages(a, rows, Code.sign(), cols);
    DeviceMatrix most = messages(a, 1, Code.sign(), cols);
    Quantize.quantize(Code.sign(), Optional.empty(), x, all);
    return GpuTask.streaming(
        () -> Quantize.majority(all, cols, most),
        4L * (rows + 1) * most.cols(),
        List.of(),
        () -> checkSigns(most, cols, rows));
  }

  /** A bit is set where half of the rows at least are not negative. */
  private static void checkSigns(DeviceMatrix bits, long cols, int rows) {
    int[] words = bits.toInts();
    for (long c : new long[] {0, cols * 3 / 7, cols - 1}) {
      int ones = 0;
      for (int r = 0; r < rows; r++) {
        ones += x(r, c) >= 0 ? 1 : 0;
      }
      int bit = (words[(int) (c / 32)] >>> (c % 32)) & 1;
      GpuTask.expect("bit " + c, 2 * ones >= rows ? 1 : 0, bit, 0);
    }
  }

  /** A square tensor to factors of rank 4 and back. */
  static GpuTask powerSgd(GpuArrays a, GpuScale scale) {
    int side = (int) Math.sqrt((double) scale.columns(4096L * 4096));
    long cols = (long) side * side;
    DeviceMatrix x = a.filled(TestData.X, 1, cols, DType.F32);
    LowRank lowRank = LowRank.of(List.of(new LowRank.Shape(0, side, side, RANK)));
    DeviceMatrix start = a.filled(TestData.GRADIENT, 1, lowRank.rightSize(), DType.F32);
    DeviceMatrix p = a.zeros(1, lowRank.leftSize(), DType.F32);
    DeviceMatrix q = a.zeros(1, lowRank.rightSize(), DType.F32);
    DeviceMatrix y = a.zeros(1, cols, DType.F32);
    GpuTask.Pass read = new GpuTask.Pass(List.of(x), List.of());
    return GpuTask.streaming(
        () -> {
          lowRank.left(x, NONE, NONE, start, p, NONE);
          lowRank.orthonormaliseLeft(p);
          lowRank.right(x, NONE, NONE, p, q);
          lowRank.accumulate(p, q, false, y);
        },
        12 * cols,
        List.of(read, read, new GpuTask.Pass(List.of(), List.of(y))),
        () -> checkFactors(side, p.toFloats(), q.toFloats(), y));
  }

  /** P has orthonormal columns, the first along X Q; then Q is X' P, and Y is P Q'. */
  private static void checkFactors(int side, float[] p, float[] q, DeviceMatrix y) {
    for (int k = 0; k < RANK; k++) {
      for (int l = 0; l <= k; l++) {
        double dot = 0;
        for (int i = 0; i < side; i++) {
          dot += (double) p[k * side + i] * p[l * side + i];
        }
        // Each of the two passes and the division by the norm is a sum on the tree.
        GpuTask.expect("p%d p%d".formatted(k, l), k == l ? 1 : 0, dot, 3 * TREE);
      }
    }
    double[] along = new double[side];
    double[] size = new double[side];
    double norm = 0;
    for (int i = 0; i < side; i++) {
      for (int j = 0; j < side; j++) {
        double product = (double) x(0, (long) i * side + j) * GpuArrays.at(TestData.GRADIENT, 0, j);
        along[i] += product;
        size[i] += Math.abs(product);
      }
      norm += along[i] * along[i];
    }
    norm = Math.sqrt(norm);
    int[] places = {0, side * 3 / 7, side - 1};
    for (int i : places) {
      GpuTask.expect("p(%d, 0)".formatted(i), along[i] / norm, p[i], 3 * TREE * size[i] / norm);
    }
    for (int j : places) {
      double sum = 0;
      double sizes = 0;
      for (int i = 0; i < side; i++) {
        double product = (double) x(0, (long) i * side + j) * p[i];
        sum += product;
        sizes += Math.abs(product);
      }
      GpuTask.expect("q(%d, 0)".formatted(j), sum, q[j], TREE * sizes);
      int row = side - 1 - j;
      double value = 0;
      double values = 0;
      for (int k = 0; k < RANK; k++) {
        double product = (double) p[k * side + row] * q[k * side + j];
        value += product;
        values += Math.abs(product);
      }
      GpuTask.expect(
          "y(%d, %d)".formatted(row, j),
          value,
          y.get(0, (long) row * side + j),
          RANK * 0x1p-24 * values);
    }
  }
}
