package dev.kith.solver;

import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.factory.DecompositionFactory_DDRM;
import org.ejml.interfaces.decomposition.EigenDecomposition_F64;

/**
 * The largest eigenvalues of a symmetric operator on a few up to some millions of numbers, with
 * their vectors, by block Lanczos iteration with full orthogonalisation in f64 on the host. It
 * starts from as many normal vectors of the seed as pairs are wanted, so that an eigenvalue that
 * occurs several times is found as often, and goes on with what the pairs found so far lack: A u -
 * lambda u. With k products it keeps 2 k vectors.
 *
 * <p>Equal operators give equal bits.
 *
 * <p>Source: Lanczos, "An iteration method for the solution of the eigenvalue problem of linear
 * differential and integral operators", 1950; Parlett, "The Symmetric Eigenvalue Problem", 1980,
 * chapters 11 and 13.
 *
 * @param values the eigenvalues, descending
 * @param vectors row k belongs to values[k], of length 1, orthogonal to the others
 * @param residual the largest |A u - lambda u|, relative to the largest |lambda| that was met
 * @param products how many products were taken
 */
public record TopEigenpairs(double[] values, double[][] vectors, double residual, int products) {
  /** A symmetric operator y = A x. */
  @FunctionalInterface
  public interface Operator {
    /**
     * Writes A x into y.
     *
     * @param x not changed
     * @param y every element written
     */
    void apply(double[] x, double[] y);
  }

  /**
   * Iterates until the wanted pairs are found.
   *
   * @param size of the operator, 1 or larger
   * @param operator symmetric
   * @param count how many pairs, 1 to {@code size}
   * @param tolerance of the residual; positive
   * @param maxProducts products at most; the result then says what residual is left
   * @param seed of the start, stream {@code PERTURBATION}
   * @throws ArithmeticException when a product is not finite
   */
  public static TopEigenpairs of(
      int size, Operator operator, int count, double tolerance, int maxProducts, long seed) {
    if (count < 1 || count > size || maxProducts < count || !(tolerance > 0)) {
      throw new IllegalArgumentException(
          "%d of %d eigenpairs to %s in %d products cannot be had: ask for 1 to the size, in as many products or more, to a positive tolerance"
              .formatted(count, size, tolerance, maxProducts));
    }
    Subspace space = new Subspace(size, operator);
    SharedRandom random = new SharedRandom(seed, Stream.PERTURBATION, 0, 0);
    for (int k = 0; k < count; k++) {
      long from = (long) k * size;
      double[] v = new double[size];
      Arrays.setAll(v, i -> random.normal(from + i));
      space.add(v);
    }
    int most = Math.min(size, maxProducts);
    while (true) {
      List<double[]> lacking = new ArrayList<>();
      TopEigenpairs found = space.ritz(count, tolerance, lacking);
      int before = space.basis.size();
      for (double[] r : lacking) {
        if (space.basis.size() < most) {
          space.add(r);
        }
      }
      if (space.basis.size() == before) {
        return found;
      }
    }
  }

  /** Orthonormal vectors, and their products. */
  private static final class Subspace {
    private final int size;
    private final Operator operator;
    private final List<double[]> basis = new ArrayList<>();
    private final List<double[]> products = new ArrayList<>();

    Subspace(int size, Operator operator) {
      this.size = size;
      this.operator = operator;
    }

    /** Adds a direction, unless it lies in the space but for roundings. */
    void add(double[] v) {
      double length = Math.sqrt(dot(v, v));
      // Twice is enough for full orthogonality.
      for (int j = 0; j < 2 * basis.size(); j++) {
        double[] old = basis.get(j % basis.size());
        double part = dot(old, v);
        for (int i = 0; i < size; i++) {
          v[i] -= part * old[i];
        }
      }
      double left = Math.sqrt(dot(v, v));
      if (left <= 0x1p-40 * length) {
        return;
      }
      for (int i = 0; i < size; i++) {
        v[i] /= left;
      }
      double[] product = new double[size];
      operator.apply(v, product);
      if (!Double.isFinite(dot(v, product))) {
        throw new ArithmeticException(
            "v.Av of product %d is %s: look at what the operator returns there"
                .formatted(products.size(), dot(v, product)));
      }
      basis.add(v);
      products.add(product);
    }

    /** The best pairs of the space; fills in what those that are not good enough lack. */
    TopEigenpairs ritz(int count, double tolerance, List<double[]> lacking) {
      int k = basis.size();
      DMatrixRMaj form = new DMatrixRMaj(k, k);
      for (int a = 0; a < k; a++) {
        for (int b = 0; b <= a; b++) {
          double entry = dot(basis.get(b), products.get(a));
          form.set(a, b, entry);
          form.set(b, a, entry);
        }
      }
      EigenDecomposition_F64<DMatrixRMaj> eigen = DecompositionFactory_DDRM.eig(k, true, true);
      if (!eigen.decompose(form)) {
        throw new ArithmeticException("the eigenvalues of a small matrix did not converge");
      }
      Integer[] order = new Integer[k];
      Arrays.setAll(order, e -> e);
      Arrays.sort(
          order,
          (a, b) ->
              Double.compare(eigen.getEigenvalue(b).getReal(), eigen.getEigenvalue(a).getReal()));
      double largest = 0;
      for (int e = 0; e < k; e++) {
        largest = Math.max(largest, Math.abs(eigen.getEigenvalue(e).getReal()));
      }
      double[] values = new double[count];
      double[][] vectors = new double[count][];
      double residual = 0;
      for (int e = 0; e < count; e++) {
        values[e] = eigen.getEigenvalue(order[e]).getReal();
        DMatrixRMaj weights = eigen.getEigenVector(order[e]);
        vectors[e] = sum(basis, weights);
        double[] lack = sum(products, weights);
        for (int i = 0; i < size; i++) {
          lack[i] -= values[e] * vectors[e][i];
        }
        double norm = Math.sqrt(dot(lack, lack));
        if (norm > tolerance * largest) {
          lacking.add(lack);
        }
        residual = Math.max(residual, largest == 0 ? 0 : norm / largest);
      }
      return new TopEigenpairs(values, vectors, residual, k);
    }

    private double[] sum(List<double[]> rows, DMatrixRMaj weights) {
      double[] sum = new double[size];
      for (int j = 0; j < rows.size(); j++) {
        double weight = weights.get(j);
        double[] row = rows.get(j);
        for (int i = 0; i < size; i++) {
          sum[i] += weight * row[i];
        }
      }
      return sum;
    }
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }
}
