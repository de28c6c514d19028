package dev.kith.graph;

import java.util.Arrays;
import java.util.function.Supplier;

/**
 * Eigenvalues of a matrix on the vectors that sum to zero, and ||W - J||_2; each is computed once,
 * when first asked for.
 */
final class Spectrum {
  /** Dense at once to so many nodes: a fraction of a second. */
  static final int DENSE_FIRST = 1024;

  /** Dense to so many nodes where the iteration does not converge: half a minute. */
  static final int DENSE_LIMIT = 4096;

  /** The relative residual to which the iteration goes. */
  static final double TOLERANCE = 1e-8;

  /** The longest iteration. */
  static final int MAX_STEPS = 5000;

  private Lanczos.Extremes centred;
  private double rho = Double.NaN;

  synchronized double largest(MixingMatrix w) {
    return centred(w).largest();
  }

  synchronized double smallest(MixingMatrix w) {
    return centred(w).smallest();
  }

  synchronized double rho(MixingMatrix w) {
    if (Double.isNaN(rho)) {
      if (w.nodes() == 1) {
        rho = 0;
      } else if (w.symmetric() && w.kind() != MixingMatrix.Kind.ZERO_ROW_SUMS) {
        rho = Math.max(Math.abs(centred(w).largest()), Math.abs(centred(w).smallest()));
      } else {
        rho = Math.sqrt(Math.max(0, largestOfGram(w)));
      }
    }
    return rho;
  }

  private Lanczos.Extremes centred(MixingMatrix w) {
    if (centred == null) {
      centred = solve(new Lanczos(w.nodes(), w::times, true), MAX_STEPS, () -> centredRows(w));
    }
    return centred;
  }

  static Lanczos.Extremes solve(Lanczos iteration, int maxSteps, Supplier<double[][]> dense) {
    if (iteration.size() > DENSE_FIRST) {
      Lanczos.Outcome outcome = iteration.run(TOLERANCE, maxSteps);
      if (outcome.converged() || iteration.size() > DENSE_LIMIT) {
        return outcome.extremes(TOLERANCE);
      }
    }
    TridiagonalForm form = new TridiagonalForm(dense.get());
    return new Lanczos.Extremes(form.eigenvalue(0), form.eigenvalue(form.size() - 1));
  }

  /**
   * The lower triangle of a symmetric matrix on the vectors that sum to zero, in the basis of
   * {@link #expand}. The reflection H = I - v v^T / h with v = 1 / sqrt(n) + e_1 and h = |v|^2 / 2
   * = v_1 turns the constant vector into a multiple of e_1; what is left of H W H without its first
   * row and column has the eigenvalues asked for.
   */
  static double[][] centredRows(MixingMatrix w) {
    int n = w.nodes();
    double[] v = reflector(n);
    double h = v[0];
    double[] p = new double[n];
    w.times(v, p);
    double dot = 0;
    for (int i = 0; i < n; i++) {
      p[i] /= h;
      dot += v[i] * p[i];
    }
    for (int i = 0; i < n; i++) {
      p[i] -= dot / (2 * h) * v[i];
    }
    double[][] rows = new double[n - 1][];
    for (int i = 1; i < n; i++) {
      rows[i - 1] = new double[i];
      for (int k = w.rowBegin(i); k < w.rowBegin(i + 1); k++) {
        int j = w.column(k);
        if (j >= 1 && j <= i) {
          rows[i - 1][j - 1] = w.value(k);
        }
      }
      for (int j = 1; j <= i; j++) {
        rows[i - 1][j - 1] -= v[i] * p[j] + p[i] * v[j];
      }
    }
    return rows;
  }

  /**
   * The vector on the nodes, with sum zero, that x stands for in the basis of {@link #centredRows}.
   */
  static double[] expand(double[] x) {
    int n = x.length + 1;
    double[] v = reflector(n);
    double h = v[0];
    double[] y = new double[n];
    double dot = 0;
    for (int i = 1; i < n; i++) {
      y[i] = x[i - 1];
      dot += v[i] * y[i];
    }
    for (int i = 0; i < n; i++) {
      y[i] -= dot / h * v[i];
    }
    return y;
  }

  private static double[] reflector(int n) {
    double[] v = new double[n];
    Arrays.fill(v, 1 / Math.sqrt(n));
    v[0] += 1;
    return v;
  }

  /** The largest eigenvalue of (W - J)^T (W - J). */
  private static double largestOfGram(MixingMatrix w) {
    int n = w.nodes();
    MixingMatrix turned = w.turned(w.kind());
    double[] middle = new double[n];
    Lanczos.Operator gram =
        (x, y) -> {
          w.times(x, middle);
          addTo(middle, -sum(x) / n);
          double mean = sum(middle) / n;
          turned.times(middle, y);
          addTo(y, -mean);
        };
    return solve(new Lanczos(n, gram, false), MAX_STEPS, () -> gramRows(w)).largest();
  }

  /**
   * The lower triangle of (W - J)^T (W - J) = W^T W - (c 1^T + 1 c^T) / n + J for the column sums
   * c.
   */
  private static double[][] gramRows(MixingMatrix w) {
    int n = w.nodes();
    double[] sums = new double[n];
    double[][] rows = new double[n][];
    for (int i = 0; i < n; i++) {
      rows[i] = new double[i + 1];
    }
    for (int i = 0; i < n; i++) {
      for (int k = w.rowBegin(i); k < w.rowBegin(i + 1); k++) {
        sums[w.column(k)] += w.value(k);
        for (int l = w.rowBegin(i); l <= k; l++) {
          rows[w.column(k)][w.column(l)] += w.value(k) * w.value(l);
        }
      }
    }
    for (int i = 0; i < n; i++) {
      for (int j = 0; j <= i; j++) {
        rows[i][j] += (1 - sums[i] - sums[j]) / n;
      }
    }
    return rows;
  }

  private static double sum(double[] x) {
    double sum = 0;
    for (double value : x) {
      sum += value;
    }
    return sum;
  }

  private static void addTo(double[] x, double value) {
    for (int i = 0; i < x.length; i++) {
      x[i] += value;
    }
  }
}
