package dev.kith.kernel;

/**
 * Dense products and the passes of a model: exact where kith.h is, else in f64 with a bound on the
 * error.
 */
final class OracleProduct {
  private OracleProduct() {}

  /** What a result may be: a value, and how far from it. */
  record Bounded(double value, double error) {
    boolean holds(double actual) {
      return Double.isNaN(value)
          ? Double.isNaN(actual)
          : actual == value || (Double.isFinite(value) && Math.abs(actual - value) <= error);
    }
  }

  /**
   * alpha op(a) op(b) + beta c. A sum of k products in any order, with or without fma, is off by at
   * most (k + 1) u S to first order, with S the sum of absolute values; alpha, beta and the last
   * sum add three roundings. One in a hundred covers the higher orders, and the same again the
   * rounding of this reference where it is no wider. A result below the normal range is off by half
   * the least number instead, for each rounding.
   */
  static Bounded product(
      Arithmetic t, double alpha, double[] row, double[] column, double beta, double c) {
    double sum = 0;
    double absolute = 0;
    for (int i = 0; i < row.length; i++) {
      sum = Math.fma(row[i], column[i], sum);
      absolute += Math.abs(row[i] * column[i]);
    }
    double a = t.round(alpha);
    double b = t.round(beta);
    double value = b == 0 ? a * sum : Math.fma(a, sum, b * c);
    double scale = Math.abs(a) * absolute + (b == 0 ? 0 : Math.abs(b * c));
    double error = 2.02 * (row.length + 4) * (t.unit() * scale + t.least() * (1 + Math.abs(a)));
    return new Bounded(value, error);
  }

  static double relu(double z) {
    return Double.isNaN(z) ? z : z > 0 ? z : 0.0;
  }

  /** In place. */
  static void biasActivate(Arithmetic t, double[][] h, double[] bias, boolean relu) {
    for (double[] row : h) {
      for (int c = 0; c < row.length; c++) {
        double z = t.add(row[c], bias[c]);
        row[c] = relu ? relu(z) : z;
      }
    }
  }

  /** d in place; returns the gradient of the bias. */
  static double[] biasActivateBackward(
      Arithmetic t, double[][] h, double[][] d, int cols, boolean relu) {
    double[] gradient = new double[cols];
    for (int r = 0; r < d.length; r++) {
      for (int c = 0; c < cols; c++) {
        if (relu) {
          d[r][c] = h[r][c] > 0 ? d[r][c] : 0.0;
        }
        gradient[c] = t.add(gradient[c], d[r][c]);
      }
    }
    return gradient;
  }

  static double largest(double[] z) {
    double max = Double.NEGATIVE_INFINITY;
    for (double v : z) {
      max = Math.max(max, v);
    }
    return max;
  }

  /** The lowest index of the largest logit; NaN is never the largest; -1 when all are NaN. */
  static int argmax(double[] z) {
    int best = -1;
    for (int c = 0; c < z.length; c++) {
      if (!Double.isNaN(z[c]) && (best < 0 || z[c] > z[best])) {
        best = c;
      }
    }
    return best;
  }

  private static double partition(double[] z) {
    double max = largest(z);
    double sum = 0;
    for (double v : z) {
      sum += StrictMath.exp(v - max);
    }
    return sum;
  }

  /** The largest distance to the largest logit that leaves an exponential above 0. */
  private static double spread(double[] z) {
    double max = largest(z);
    double spread = 0;
    for (double v : z) {
      double gap = max - v;
      spread = gap < 800 ? Math.max(spread, gap) : spread;
    }
    return spread;
  }

  /**
   * The loss of one row. The sum of exponentials is off, relative to itself, by the rounding of z -
   * max enlarged by its size, two for an exponential and one per addition; its logarithm is off by
   * as much, absolutely. The rest is f64.
   */
  static Bounded loss(Arithmetic t, double[] z, int label) {
    double max = largest(z);
    double log = StrictMath.log(partition(z));
    double value = log + max - z[label];
    double sum = t.unit() * (spread(z) + z.length + 8);
    double size = Math.abs(max) + Math.abs(z[label]) + Math.abs(log);
    return new Bounded(value, 2 * (sum + 4 * 0x1p-53 * size));
  }

  /** The mean loss of the rows; 0 without rows. */
  static Bounded meanLoss(Arithmetic t, double[][] z, double[] labels) {
    double sum = 0;
    double error = 0;
    for (int r = 0; r < z.length; r++) {
      Bounded one = loss(t, z[r], (int) labels[r]);
      sum += one.value();
      error += one.error() + z.length * 0x1p-53 * Math.abs(one.value());
    }
    return z.length == 0 ? new Bounded(0, 0) : new Bounded(sum / z.length, error / z.length);
  }

  /**
   * One element of the gradient, (softmax - [c == label]) / rows. Relative to the softmax: the
   * rounding of z - max enlarged by its size, cols additions, and eight more for exp, quotient and
   * scaling; relative to 1 for the difference.
   */
  static Bounded gradient(Arithmetic t, double[] z, int label, int c, int rows) {
    double max = largest(z);
    double p = StrictMath.exp(z[c] - max) / partition(z);
    double hit = c == label ? 1 : 0;
    double error = t.unit() * (p * (spread(z) + z.length + 8) + 2 * Math.abs(p - hit));
    // An exponential below the normal range may be flushed to the nearest subnormal.
    double tiny = t == Arithmetic.F32 ? Float.MIN_NORMAL : Double.MIN_NORMAL;
    return new Bounded((p - hit) / rows, 2 * error / rows + tiny);
  }

  /**
   * One element of p_c (u_c - p.u) / rows. With q the relative error of a softmax, as above, T / S
   * is off by 3 q times the mean of |u|: two sums and the products; u - T / S and its scaling add
   * four roundings.
   */
  static Bounded curvature(Arithmetic t, double[] z, double[] u, int c, int rows) {
    double max = largest(z);
    double sum = partition(z);
    double mean = 0;
    double absolute = 0;
    for (int k = 0; k < z.length; k++) {
      double p = StrictMath.exp(z[k] - max) / sum;
      mean += p * u[k];
      absolute += p * Math.abs(u[k]);
    }
    double p = StrictMath.exp(z[c] - max) / sum;
    double q = t.unit() * (spread(z) + z.length + 8);
    double error = p * (3 * q * absolute + (q + 4 * t.unit()) * (Math.abs(u[c]) + absolute));
    double tiny = t == Arithmetic.F32 ? Float.MIN_NORMAL : Double.MIN_NORMAL;
    double flushed = tiny * (1 + Math.abs(u[c]) + absolute);
    return new Bounded(p * (u[c] - mean) / rows, 2 * error / rows + flushed);
  }
}
