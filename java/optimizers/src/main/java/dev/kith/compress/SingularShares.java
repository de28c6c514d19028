package dev.kith.compress;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.LowRank;
import dev.kith.kernel.Reduction;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * How much of the matrices of a row their largest singular values hold. The first R of each matrix
 * come from two steps of subspace iteration, which never find more than there is, and the whole
 * from the sum of squares.
 */
final class SingularShares implements AutoCloseable {
  private static final int STEPS = 2;
  private static final int SWEEPS = 60;

  private final LowRank tensors;
  private final int largest;
  private final float[] drawn;
  private final DeviceMatrix left;
  private final DeviceMatrix right;

  SingularShares(Layout layout, int largest, DeviceMatrix like, long seed) {
    this.tensors = LowRank.of(layout, largest);
    this.largest = largest;
    this.left = like.like(1, tensors.leftSize(), DType.F32);
    this.right = like.like(1, tensors.rightSize(), DType.F32);
    SharedRandom random = new SharedRandom(seed, Stream.NORMAL_F64_JAVA, 0, 0);
    this.drawn = new float[Math.toIntExact(tensors.rightSize())];
    for (int c = 0; c < drawn.length; c++) {
      drawn[c] = (float) random.normal(c);
    }
  }

  /** The matrices that are looked at. */
  List<LowRank.Shape> shapes() {
    return tensors.shapes();
  }

  /**
   * The smallest r for which the r largest singular values of every matrix hold, squared and over
   * all matrices, at least this share; the largest rank where none does, 1 where all is zero.
   *
   * @param row 1 x d, F32, finite
   */
  int effectiveRank(DeviceMatrix row, double share) {
    Optional<DeviceMatrix> none = Optional.empty();
    right.upload(drawn);
    for (int step = 0; step < STEPS; step++) {
      tensors.left(row, none, none, right, left, none);
      tensors.orthonormaliseLeft(left);
      tensors.right(row, none, none, left, right);
    }
    float[] q = right.toFloats();
    double[] held = new double[largest];
    double all = 0;
    int at = 0;
    for (LowRank.Shape shape : tensors.shapes()) {
      int cols = Math.toIntExact(shape.cols());
      double[] squares = eigenvalues(gram(q, at, cols, shape.rank()));
      for (int k = 0; k < squares.length; k++) {
        held[k] += squares[k];
      }
      at += cols * shape.rank();
      try (DeviceMatrix tensor = row.columns(shape.offset(), shape.end())) {
        all += Reduction.squares(tensor)[0];
      }
    }
    if (!Double.isFinite(all)) {
      throw new IllegalArgumentException(
          "the row has a NaN or an infinity: check it before its rank is asked for");
    }
    double sum = 0;
    for (int r = 1; r <= largest; r++) {
      sum += held[r - 1];
      if (sum >= share * all) {
        return r;
      }
    }
    return largest;
  }

  /** Q^T Q of a packed factor, in f64. */
  private static double[][] gram(float[] q, int at, int cols, int rank) {
    double[][] gram = new double[rank][rank];
    for (int a = 0; a < rank; a++) {
      for (int b = a; b < rank; b++) {
        double sum = 0;
        for (int j = 0; j < cols; j++) {
          sum += (double) q[at + a * cols + j] * q[at + b * cols + j];
        }
        gram[a][b] = sum;
        gram[b][a] = sum;
      }
    }
    return gram;
  }

  /** Of a symmetric positive semidefinite matrix, by cyclic Jacobi rotations, descending. */
  static double[] eigenvalues(double[][] a) {
    int n = a.length;
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
      boolean rotated = false;
      for (int p = 0; p < n; p++) {
        for (int q = p + 1; q < n; q++) {
          if (Math.abs(a[p][q]) <= 0x1p-52 * Math.sqrt(Math.abs(a[p][p] * a[q][q]))) {
            continue;
          }
          rotated = true;
          double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
          double t = Math.copySign(1, theta) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
          double c = 1 / Math.sqrt(t * t + 1);
          double s = t * c;
          for (int k = 0; k < n; k++) {
            double kp = a[k][p];
            double kq = a[k][q];
            a[k][p] = c * kp - s * kq;
            a[k][q] = s * kp + c * kq;
          }
          for (int k = 0; k < n; k++) {
            double pk = a[p][k];
            double qk = a[q][k];
            a[p][k] = c * pk - s * qk;
            a[q][k] = s * pk + c * qk;
          }
        }
      }
      if (!rotated) {
        break;
      }
    }
    double[] values = new double[n];
    for (int k = 0; k < n; k++) {
      values[k] = -a[k][k];
    }
    Arrays.sort(values);
    return Arrays.stream(values).map(v -> Math.max(0, -v)).toArray();
  }

  @Override
  public void close() {
    left.close();
    right.close();
  }
}
