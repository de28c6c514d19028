package dev.kith.privacy;

/**
 * The covariance R that minimises tr(A R) subject to (R^-1)_ii &lt;= b for all i.
 *
 * <p>With P = R^-1 the optimum satisfies P Lambda P = A for a diagonal Lambda &gt;= 0, hence P =
 * Lambda^(-1/2) M Lambda^(-1/2) with M = (Lambda^(1/2) A Lambda^(1/2))^(1/2), and diag(P) = b is
 * the fixed point lambda = diag(M) / b, which is iterated from 1. The optimum is b sum lambda_i.
 * The same problem with A^T A of a workload A is the matrix mechanism of least mean square error
 * (card "Noise correlated over time"; Denisov et al., NeurIPS 2022).
 *
 * @param covariance R
 * @param precision P = R^-1, with max P_ii = b
 * @param multipliers lambda
 * @param residual max |M_ii / lambda_i - b| / b at the end: how far P_ii is from b before scaling
 * @param iterations how many eigen-decompositions it took
 * @param ridge what was added to A's diagonal; 0 unless A was (nearly) singular
 */
public record OptimalCovariance(
    double[][] covariance,
    double[][] precision,
    double[] multipliers,
    double residual,
    int iterations,
    double ridge) {
  /** The share of A's mean eigenvalue that is added when A is singular. */
  public static final double RIDGE = 1e-6;

  private static final int MOST_ITERATIONS = 500;
  private static final double SETTLED = 1e-13;

  /**
   * Solves with the default {@link #RIDGE}.
   *
   * @param objective A, n x n, symmetric, positive semidefinite
   * @param b the bound on the diagonal of R^-1, positive
   */
  public static OptimalCovariance of(double[][] objective, double b) {
    return of(objective, b, RIDGE);
  }

  /**
   * Solves by the fixed point, at most {@value #MOST_ITERATIONS} eigen-decompositions.
   *
   * <p>Where A has a null space, as W^T W of a ring of length 3 m with weights 1/3 has, noise there
   * is free and the minimum is not attained: R grows without bound. When the least eigenvalue of A
   * is below {@code ridge} times its mean one, that product is added to A's diagonal. 1e-6 loses
   * nothing that matters of the objective; 1e-3 loses some percent for a far better conditioned R.
   *
   * @param objective A, n x n, symmetric, positive semidefinite
   * @param b the bound on the diagonal of R^-1, positive
   * @param ridge positive
   * @throws IllegalArgumentException when an argument is outside its range, or A is not square,
   *     symmetric and positive semidefinite
   */
  public static OptimalCovariance of(double[][] objective, double b, double ridge) {
    Checks.positive("the bound on the precision", b);
    Checks.positive("the ridge", ridge);
    int n = Checks.symmetric("the objective", objective);
    double mean = 0;
    for (int i = 0; i < n; i++) {
      mean += objective[i][i] / n;
    }
    Checks.positive("the mean of the objective's diagonal", mean);
    double smallest = SymmetricMatrix.of(objective).smallest();
    if (smallest < -1e-12 * n * mean) {
      throw new IllegalArgumentException(
          "the objective has the eigenvalue "
              + smallest
              + ": it must be positive semidefinite, such as W^T W");
    }
    double added = smallest < ridge * mean ? ridge * mean : 0;
    double[] lambda = new double[n];
    java.util.Arrays.fill(lambda, 1);
    double residual = Double.POSITIVE_INFINITY;
    int iterations = 0;
    SymmetricMatrix scaled = null;
    double[] roots = new double[n];
    double[] used = lambda;
    while (iterations < MOST_ITERATIONS && residual > SETTLED) {
      used = lambda;
      scaled = SymmetricMatrix.of(scaled(objective, added, used));
      for (int k = 0; k < n; k++) {
        roots[k] = Math.sqrt(Math.max(0, scaled.eigenvalues()[k]));
      }
      double[] diagonal = scaled.diagonal(roots);
      lambda = new double[n];
      residual = 0;
      for (int i = 0; i < n; i++) {
        lambda[i] = diagonal[i] / b;
        residual = Math.max(residual, Math.abs(lambda[i] / used[i] - 1));
      }
      iterations++;
    }
    return finish(scaled, roots, used, b, residual, iterations, added);
  }

  private static double[][] scaled(double[][] objective, double ridge, double[] lambda) {
    int n = lambda.length;
    double[][] product = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        double entry = objective[i][j] + (i == j ? ridge : 0);
        product[i][j] = entry * Math.sqrt(lambda[i] * lambda[j]);
      }
    }
    return product;
  }

  private static OptimalCovariance finish(
      SymmetricMatrix scaled,
      double[] roots,
      double[] lambda,
      double b,
      double residual,
      int iterations,
      double ridge) {
    int n = lambda.length;
    double[] inverses = new double[n];
    for (int k = 0; k < n; k++) {
      inverses[k] = 1 / roots[k];
    }
    double[][] precision = scaled.function(roots);
    double[][] covariance = scaled.function(inverses);
    double largest = 0;
    for (int i = 0; i < n; i++) {
      largest = Math.max(largest, precision[i][i] / lambda[i]);
    }
    double scale = b / largest;
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        double root = Math.sqrt(lambda[i] * lambda[j]);
        precision[i][j] *= scale / root;
        covariance[i][j] *= root / scale;
      }
    }
    return new OptimalCovariance(covariance, precision, lambda, residual, iterations, ridge);
  }

  /** sum_i lambda_i b: the optimum of tr((A + ridge I) R), up to the residual. */
  public double value(double b) {
    double sum = 0;
    for (double lambda : multipliers) {
      sum += lambda * b;
    }
    return sum;
  }
}
