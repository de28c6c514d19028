package dev.kith.bench;

/**
 * {@link Operation#POWERSGD_R4} in f64, in obvious loops: Gram-Schmidt on P = M Q, then Q = M' P.
 * The tensor is square, and Q starts with the first numbers of a stream, one column after another.
 */
final class PowerSgdReference {
  /** Columns of the factors. */
  static final int RANK = 4;

  private final int side;
  private final double[][] p = new double[RANK][];
  private final double[][] q = new double[RANK][];

  PowerSgdReference(Workload workload) {
    side = side(workload);
    for (int k = 0; k < RANK; k++) {
      p[k] = new double[side];
      q[k] = new double[side];
    }
    for (int i = 0; i < side; i++) {
      for (int j = 0; j < side; j++) {
        double m = TestData.at(TestData.X, (long) i * side + j);
        for (int k = 0; k < RANK; k++) {
          p[k][i] += m * start(side, k, j);
        }
      }
    }
    for (int k = 0; k < RANK; k++) {
      for (int b = 0; b < k; b++) {
        add(p[k], p[b], -dot(p[b], p[k]));
      }
      double norm = Math.sqrt(dot(p[k], p[k]));
      for (int i = 0; i < side; i++) {
        p[k][i] /= norm;
      }
    }
    for (int i = 0; i < side; i++) {
      for (int j = 0; j < side; j++) {
        double m = TestData.at(TestData.X, (long) i * side + j);
        for (int k = 0; k < RANK; k++) {
          q[k][j] += m * p[k][i];
        }
      }
    }
  }

  /** Rows and columns of the tensor. */
  static int side(Workload workload) {
    int side = (int) Math.round(Math.sqrt((double) workload.cols()));
    if (workload.rows() != 1 || (long) side * side != workload.cols()) {
      throw new IllegalArgumentException(
          workload.name() + " is no square tensor in one row; give 1 x the square of its side");
    }
    return side;
  }

  /** What Q starts from. */
  static float start(int side, int column, int row) {
    return TestData.at(TestData.GRADIENT, (long) column * side + row);
  }

  double at(long index) {
    double sum = 0;
    for (int k = 0; k < RANK; k++) {
      sum += p[k][(int) (index / side)] * q[k][(int) (index % side)];
    }
    return sum;
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  private static void add(double[] to, double[] from, double factor) {
    for (int i = 0; i < to.length; i++) {
      to[i] += factor * from[i];
    }
  }
}
