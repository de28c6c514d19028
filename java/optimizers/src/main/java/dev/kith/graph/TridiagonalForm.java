package dev.kith.graph;

import java.util.Arrays;

/**
 * A symmetric matrix brought to tridiagonal form T = Q^T A Q by Householder reflections, and its
 * eigenvalues by bisection on Sturm counts.
 *
 * <p>4/3 n^3 operations for the form in one pass over the matrix per reflection (the update of one
 * reflection and the product for the next are fused), 60 n more for each eigenvalue. Only
 * eigenvalues that are asked for are computed, each to a few n 2^-53 ||A||.
 */
final class TridiagonalForm {
  private final double[][] reflectors;
  private final double[] scales;
  private final double[] diagonal;
  private final double[] below;

  /**
   * Reduces a matrix.
   *
   * @param a its lower triangle, row i with at least i + 1 entries; destroyed
   */
  TridiagonalForm(double[][] a) {
    int n = a.length;
    reflectors = a;
    scales = new double[n];
    diagonal = new double[n];
    below = new double[n];
    double[] u = {};
    double[] q = {};
    for (int i = n - 1; i > 0; i--) {
      update(a[i], i, u, q);
      diagonal[i] = a[i][i];
      scales[i] = reflect(a[i], i);
      double[] next = a[i];
      double[] p = new double[i];
      for (int j = 0; j < i; j++) {
        update(a[j], j, u, q);
        if (scales[i] != 0) {
          multiply(a[j], j, next, p);
        }
      }
      u = scales[i] == 0 ? new double[0] : next;
      q = finish(p, u, scales[i]);
    }
    if (n > 0) {
      diagonal[0] = a[0][0];
    }
  }

  /** A tridiagonal matrix: below[i] stands left of diagonal[i], below[0] is not read. */
  TridiagonalForm(double[] diagonal, double[] below) {
    this.reflectors = new double[0][];
    this.scales = new double[0];
    this.diagonal = diagonal;
    this.below = below;
  }

  /** row[0..j] -= u[j] q + q[j] u, the change that a reflection makes. */
  private static void update(double[] row, int j, double[] u, double[] q) {
    if (u.length == 0) {
      return;
    }
    double uj = u[j];
    double qj = q[j];
    for (int k = 0; k <= j; k++) {
      row[k] -= uj * q[k] + qj * u[k];
    }
  }

  /**
   * Turns row[0..i-1] into the u of the reflection I - u u^T / h that leaves only its last entry,
   * and gives h.
   */
  private double reflect(double[] row, int i) {
    double rest = 0;
    for (int k = 0; k < i - 1; k++) {
      rest += row[k] * row[k];
    }
    double last = row[i - 1];
    below[i] = last;
    if (rest == 0) {
      return 0;
    }
    double norm = Math.sqrt(rest + last * last);
    below[i] = last > 0 ? -norm : norm;
    row[i - 1] = last - below[i];
    return rest + last * last - last * below[i];
  }

  /**
   * Adds what row j of the lower triangle contributes to p = A u; four sums hide the latency of the
   * addition.
   */
  private static void multiply(double[] row, int j, double[] u, double[] p) {
    double uj = u[j];
    double s0 = 0;
    double s1 = 0;
    double s2 = 0;
    double s3 = 0;
    int k = 0;
    for (; k + 3 < j; k += 4) {
      s0 += row[k] * u[k];
      s1 += row[k + 1] * u[k + 1];
      s2 += row[k + 2] * u[k + 2];
      s3 += row[k + 3] * u[k + 3];
    }
    for (; k < j; k++) {
      s0 += row[k] * u[k];
    }
    for (k = 0; k < j; k++) {
      p[k] += uj * row[k];
    }
    p[j] += (s0 + s1) + (s2 + s3) + row[j] * uj;
  }

  /** q = p / h - (u^T p / (2 h^2)) u. */
  private static double[] finish(double[] p, double[] u, double h) {
    if (h == 0) {
      return p;
    }
    double dot = 0;
    for (int k = 0; k < p.length; k++) {
      p[k] /= h;
      dot += u[k] * p[k];
    }
    double half = dot / (2 * h);
    for (int k = 0; k < p.length; k++) {
      p[k] -= half * u[k];
    }
    return p;
  }

  int size() {
    return diagonal.length;
  }

  /** Eigenvalue number k in ascending order. */
  double eigenvalue(int k) {
    double low = Double.POSITIVE_INFINITY;
    double high = Double.NEGATIVE_INFINITY;
    for (int i = 0; i < size(); i++) {
      double radius =
          (i > 0 ? Math.abs(below[i]) : 0) + (i + 1 < size() ? Math.abs(below[i + 1]) : 0);
      low = Math.min(low, diagonal[i] - radius);
      high = Math.max(high, diagonal[i] + radius);
    }
    double norm = Math.max(Math.abs(low), Math.abs(high));
    low -= 0x1p-50 * norm;
    high += 0x1p-50 * norm;
    while (high - low > 0x1p-58 * norm) {
      double middle = low + (high - low) / 2;
      if (middle <= low || middle >= high) {
        break;
      }
      if (countBelow(middle) > k) {
        high = middle;
      } else {
        low = middle;
      }
    }
    return low + (high - low) / 2;
  }

  /** All eigenvalues, ascending. */
  double[] eigenvalues() {
    double[] all = new double[size()];
    Arrays.setAll(all, this::eigenvalue);
    return all;
  }

  /** The number of eigenvalues below x: the negative pivots of T - x I. */
  private int countBelow(double x) {
    int count = 0;
    double pivot = 1;
    for (int i = 0; i < diagonal.length; i++) {
      double square = i == 0 ? 0 : below[i] * below[i];
      pivot = diagonal[i] - x - square / pivot;
      if (Math.abs(pivot) < Double.MIN_NORMAL) {
        pivot = -Double.MIN_NORMAL;
      }
      if (pivot < 0) {
        count++;
      }
    }
    return count;
  }

  /**
   * A unit eigenvector of the matrix for an eigenvalue that was computed here: inverse iteration on
   * T, then the reflections. Of a multiple eigenvalue it is some vector of the eigenspace.
   */
  double[] eigenvector(double eigenvalue) {
    double[] x = tridiagonalEigenvector(eigenvalue);
    for (int i = 1; i < scales.length; i++) {
      if (scales[i] != 0) {
        double[] u = reflectors[i];
        double dot = 0;
        for (int k = 0; k < i; k++) {
          dot += u[k] * x[k];
        }
        for (int k = 0; k < i; k++) {
          x[k] -= dot / scales[i] * u[k];
        }
      }
    }
    return x;
  }

  /** A unit eigenvector of T. */
  double[] tridiagonalEigenvector(double eigenvalue) {
    int n = size();
    double[] x = new double[n];
    // Not orthogonal to an eigenvector by symmetry, as a constant would be.
    for (int i = 0; i < n; i++) {
      x[i] = 1 + i * 0.618033988749895 % 1;
    }
    for (int pass = 0; pass < 3; pass++) {
      solveShifted(eigenvalue, x);
      double scale = 0;
      for (double v : x) {
        scale = Math.max(scale, Math.abs(v));
      }
      double squares = 0;
      for (int i = 0; i < n; i++) {
        x[i] /= scale;
        squares += x[i] * x[i];
      }
      for (int i = 0; i < n; i++) {
        x[i] /= Math.sqrt(squares);
      }
    }
    return x;
  }

  /**
   * x becomes the solution of (T - shift I) x = x, by elimination with row exchanges; zero pivots
   * are nudged.
   */
  private void solveShifted(double shift, double[] x) {
    int n = size();
    double norm = Double.MIN_NORMAL;
    for (int i = 0; i < n; i++) {
      norm = Math.max(norm, Math.abs(diagonal[i]) + Math.abs(below[i]));
    }
    double tiny = norm * 0x1p-52;
    double[] main = new double[n];
    double[] upper = new double[n + 1];
    double[] second = new double[n + 1];
    for (int i = 0; i < n; i++) {
      main[i] = diagonal[i] - shift;
      upper[i] = i + 1 < n ? below[i + 1] : 0;
    }
    for (int i = 0; i + 1 < n; i++) {
      double lower = below[i + 1];
      if (Math.abs(lower) > Math.abs(main[i])) {
        double factor = main[i] / lower;
        double pivotUpper = main[i + 1];
        double pivotSecond = upper[i + 1];
        main[i] = lower;
        main[i + 1] = upper[i] - factor * pivotUpper;
        upper[i + 1] = -factor * pivotSecond;
        upper[i] = pivotUpper;
        second[i] = pivotSecond;
        double held = x[i];
        x[i] = x[i + 1];
        x[i + 1] = held - factor * x[i + 1];
      } else {
        main[i] = Math.abs(main[i]) < tiny ? tiny : main[i];
        double factor = lower / main[i];
        main[i + 1] -= factor * upper[i];
        x[i + 1] -= factor * x[i];
      }
    }
    main[n - 1] = Math.abs(main[n - 1]) < tiny ? tiny : main[n - 1];
    for (int i = n - 1; i >= 0; i--) {
      double right = x[i];
      right -= i + 1 < n ? upper[i] * x[i + 1] : 0;
      right -= i + 2 < n ? second[i] * x[i + 2] : 0;
      x[i] = right / main[i];
    }
  }
}
