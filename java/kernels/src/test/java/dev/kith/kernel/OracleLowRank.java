package dev.kith.kernel;

import java.util.Arrays;
import java.util.List;

/**
 * What kith.h says of the family lowrank, as obvious loops. Elements are doubles that F32 holds.
 */
final class OracleLowRank {
  private static final int LANES = 16;
  private static final int LEFT_CHUNK = 4096;
  private static final int RIGHT_CHUNK = 256;
  private static final int DOT_LANES = 32;
  private static final int DOT_CHUNK = 1024;

  private OracleLowRank() {}

  /** v = [residual +] (x [- minus]); null where there is none. */
  static double[][] source(double[][] x, double[][] minus, double[][] residual) {
    double[][] v = new double[x.length][];
    for (int r = 0; r < x.length; r++) {
      v[r] = x[r].clone();
      for (int c = 0; c < v[r].length; c++) {
        if (minus != null) {
          v[r][c] = Arithmetic.F32.subtract(v[r][c], minus[r][c]);
        }
        if (residual != null) {
          v[r][c] = Arithmetic.F32.add(residual[r][c], v[r][c]);
        }
      }
    }
    return v;
  }

  static double[] row(double[][] factor, int r) {
    return factor[factor.length == 1 ? 0 : r];
  }

  static int leftSize(List<LowRank.Shape> shapes) {
    return shapes.stream().mapToInt(s -> (int) (s.rank() * s.rows())).sum();
  }

  static int rightSize(List<LowRank.Shape> shapes) {
    return shapes.stream().mapToInt(s -> (int) (s.rank() * s.cols())).sum();
  }

  /** Writes P over the first columns of each row of p. */
  static void left(List<LowRank.Shape> shapes, double[][] v, double[][] q, double[][] p) {
    for (int r = 0; r < v.length; r++) {
      int leftAt = 0;
      int rightAt = 0;
      for (LowRank.Shape s : shapes) {
        int n = (int) s.rows();
        int m = (int) s.cols();
        for (int k = 0; k < s.rank(); k++) {
          for (int i = 0; i < n; i++) {
            p[r][leftAt + k * n + i] =
                leftSum(v[r], (int) s.offset() + i * m, row(q, r), rightAt + k * m, m);
          }
        }
        leftAt += s.rank() * n;
        rightAt += s.rank() * m;
      }
    }
  }

  private static double leftSum(double[] v, int vAt, double[] q, int qAt, int m) {
    double[] chunks = new double[(m + LEFT_CHUNK - 1) / LEFT_CHUNK];
    for (int chunk = 0; chunk < chunks.length; chunk++) {
      float[] lanes = new float[LANES];
      int start = chunk * LEFT_CHUNK;
      for (int j = start; j < Math.min(m, start + LEFT_CHUNK); j++) {
        lanes[j % LANES] = Math.fma((float) v[vAt + j], (float) q[qAt + j], lanes[j % LANES]);
      }
      for (int s = LANES / 2; s > 0; s /= 2) {
        for (int l = 0; l < s; l++) {
          lanes[l] += lanes[l + s];
        }
      }
      chunks[chunk] = lanes[0];
    }
    return (float) Oracle.tree(chunks);
  }

  /** Writes Q over the first columns of each row of q. */
  static void right(List<LowRank.Shape> shapes, double[][] v, double[][] p, double[][] q) {
    for (int r = 0; r < v.length; r++) {
      int leftAt = 0;
      int rightAt = 0;
      for (LowRank.Shape s : shapes) {
        int n = (int) s.rows();
        int m = (int) s.cols();
        for (int k = 0; k < s.rank(); k++) {
          for (int j = 0; j < m; j++) {
            double[] chunks = new double[(n + RIGHT_CHUNK - 1) / RIGHT_CHUNK];
            for (int i = 0; i < n; i++) {
              chunks[i / RIGHT_CHUNK] =
                  Math.fma(
                      (float) v[r][(int) s.offset() + i * m + j],
                      (float) row(p, r)[leftAt + k * n + i],
                      (float) chunks[i / RIGHT_CHUNK]);
            }
            q[r][rightAt + k * m + j] = (float) Oracle.tree(chunks);
          }
        }
        leftAt += s.rank() * n;
        rightAt += s.rank() * m;
      }
    }
  }

  /** In place, factors of P (right false) or Q. */
  static void orthonormalise(List<LowRank.Shape> shapes, boolean right, double[][] factors) {
    for (double[] row : factors) {
      int at = 0;
      for (LowRank.Shape s : shapes) {
        int n = (int) (right ? s.cols() : s.rows());
        double[][] columns = new double[s.rank()][];
        for (int k = 0; k < s.rank(); k++) {
          columns[k] = Arrays.copyOfRange(row, at + k * n, at + (k + 1) * n);
          column(columns, k, n);
          System.arraycopy(columns[k], 0, row, at + k * n, n);
        }
        at += s.rank() * n;
      }
    }
  }

  private static void column(double[][] columns, int k, int n) {
    double[] v = columns[k];
    double s = dot(v, v);
    if (!Oracle.finite(s)) {
      Arrays.fill(v, Double.NaN);
      return;
    }
    double left = 0;
    if (s > 0) {
      divide(v, s);
      left = project(columns, k);
    }
    if (!(left > 0x1p-40)) {
      int least = 0;
      double leastSum = Double.POSITIVE_INFINITY;
      for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int i = 0; i < k; i++) {
          sum += columns[i][j] * columns[i][j];
        }
        if (sum < leastSum) {
          leastSum = sum;
          least = j;
        }
      }
      Arrays.fill(v, 0);
      v[least] = 1;
      left = project(columns, k);
    }
    divide(v, left);
  }

  private static void divide(double[] v, double square) {
    for (int j = 0; j < v.length; j++) {
      v[j] = (float) (v[j] / Math.sqrt(square));
    }
  }

  private static double project(double[][] columns, int k) {
    double[] v = columns[k];
    for (int time = 0; time < 2; time++) {
      float[] c = new float[k];
      for (int i = 0; i < k; i++) {
        c[i] = (float) dot(columns[i], v);
      }
      for (int j = 0; j < v.length && k > 0; j++) {
        double rest = v[j];
        for (int i = 0; i < k; i++) {
          rest -= c[i] * columns[i][j];
        }
        v[j] = (float) rest;
      }
    }
    return dot(v, v);
  }

  private static double dot(double[] a, double[] b) {
    double[] chunks = new double[(a.length + DOT_CHUNK - 1) / DOT_CHUNK];
    for (int chunk = 0; chunk < chunks.length; chunk++) {
      double[] lanes = new double[DOT_LANES];
      int start = chunk * DOT_CHUNK;
      for (int j = start; j < Math.min(a.length, start + DOT_CHUNK); j++) {
        lanes[j % DOT_LANES] += a[j] * b[j];
      }
      for (int s = DOT_LANES / 2; s > 0; s /= 2) {
        for (int l = 0; l < s; l++) {
          lanes[l] += lanes[l + s];
        }
      }
      chunks[chunk] = lanes[0];
    }
    return Oracle.tree(chunks);
  }

  /** P Q' in the columns of the tensors; elsewhere 0. */
  static double[] product(List<LowRank.Shape> shapes, double[] p, double[] q, int cols) {
    double[] d = new double[cols];
    int leftAt = 0;
    int rightAt = 0;
    for (LowRank.Shape s : shapes) {
      int n = (int) s.rows();
      int m = (int) s.cols();
      for (int i = 0; i < n; i++) {
        for (int j = 0; j < m; j++) {
          float sum = (float) p[leftAt + i] * (float) q[rightAt + j];
          for (int k = 1; k < s.rank(); k++) {
            sum = Math.fma((float) p[leftAt + k * n + i], (float) q[rightAt + k * m + j], sum);
          }
          d[(int) s.offset() + i * m + j] = sum;
        }
      }
      leftAt += s.rank() * n;
      rightAt += s.rank() * m;
    }
    return d;
  }

  /** Whether a column of a row belongs to a tensor. */
  static boolean inside(List<LowRank.Shape> shapes, int column) {
    return shapes.stream().anyMatch(s -> s.offset() <= column && column < s.end());
  }

  /** Overwrites the columns of the tensors in out. */
  static void residual(
      List<LowRank.Shape> shapes, double[][] v, double[][] p, double[][] q, double[][] out) {
    for (int r = 0; r < v.length; r++) {
      double[] d = product(shapes, row(p, r), row(q, r), v[r].length);
      for (LowRank.Shape s : shapes) {
        for (int c = (int) s.offset(); c < s.end(); c++) {
          out[r][c] = Arithmetic.F32.subtract(v[r][c], d[c]);
        }
      }
    }
  }

  /** w null: the identity; halos null: none. */
  static void accumulate(
      Oracle.OracleWeights w,
      List<LowRank.Shape> shapes,
      double[][] p,
      double[][] q,
      double[][] haloP,
      double[][] haloQ,
      boolean add,
      double[][] y) {
    int nodes = Math.max(p.length, q.length);
    int rows = w == null ? y.length : w.rows();
    for (int r = 0; r < rows; r++) {
      int i = w == null || w.outputRows() == null ? r : w.outputRows()[r];
      double[] a = y[i].clone();
      for (int c = 0; c < a.length; c++) {
        a[c] = add || !inside(shapes, c) ? a[c] : 0;
      }
      int first = w == null ? 0 : (int) w.offsets()[r];
      int end = w == null ? 1 : (int) w.offsets()[r + 1];
      for (int e = first; e < end; e++) {
        int j = w == null ? r : w.columns()[e];
        double[] left = j >= nodes && haloP != null ? haloP[j - nodes] : row(p, j);
        double[] right = j >= nodes && haloQ != null ? haloQ[j - nodes] : row(q, j);
        double[] d = product(shapes, left, right, a.length);
        for (LowRank.Shape s : shapes) {
          for (int c = (int) s.offset(); c < s.end(); c++) {
            a[c] =
                w == null
                    ? Arithmetic.F32.add(a[c], d[c])
                    : Arithmetic.F32.fma(Arithmetic.F32.round(w.values()[e]), d[c], a[c]);
          }
        }
      }
      y[i] = a;
    }
  }
}
