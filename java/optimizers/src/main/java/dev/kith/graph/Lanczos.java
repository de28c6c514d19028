package dev.kith.graph;

import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.Locale;

/**
 * The extreme eigenvalues of a large symmetric operator by Lanczos iteration: three vectors of
 * memory, one product a step. Orthogonality of old directions is not kept up, which repeats
 * eigenvalues already found but moves none (C. C. Paige, "Accuracy and effectiveness of the Lanczos
 * algorithm", 1980).
 */
final class Lanczos {
  private static final int CHECK_EVERY = 20;

  /** A symmetric operator y = A x. */
  @FunctionalInterface
  interface Operator {
    void apply(double[] x, double[] y);
  }

  /** The smallest and the largest eigenvalue. */
  record Extremes(double smallest, double largest) {}

  /**
   * Where an iteration ended.
   *
   * @param size the number of nodes
   * @param steps the number of steps
   * @param found the extremes so far
   * @param residual the larger of the two ||A v - theta v||, relative to the larger eigenvalue
   * @param converged whether the residual is small enough
   */
  record Outcome(int size, int steps, Extremes found, double residual, boolean converged) {
    /** The extremes, or the failure to find them to the tolerance. */
    Extremes extremes(double tolerance) {
      if (!converged) {
        throw new IllegalStateException(
            String.format(
                Locale.ROOT,
                "the spectrum of the %d-node matrix did not converge in %d steps: eigenvalues so far"
                    + " from %.12g to %.12g with residual %.1e where %.0e is asked; its spectral gap"
                    + " is too small for the iteration",
                size,
                steps,
                found.smallest,
                found.largest,
                residual,
                tolerance));
      }
      return found;
    }
  }

  private final int size;
  private final Operator operator;
  private final boolean centred;

  /**
   * An iteration.
   *
   * @param centred whether to stay on the vectors that sum to zero; the operator must map them to
   *     themselves
   */
  Lanczos(int size, Operator operator, boolean centred) {
    this.size = size;
    this.operator = operator;
    this.centred = centred;
  }

  int size() {
    return size;
  }

  /** Iterates until the residual is at most the tolerance, or for so many steps. */
  Outcome run(double tolerance, int maxSteps) {
    double[] previous = new double[size];
    double[] v = start();
    double[] next = new double[size];
    double[] diagonal = new double[maxSteps];
    double[] below = new double[maxSteps + 1];
    double scale = 0;
    for (int step = 0; ; step++) {
      operator.apply(v, next);
      diagonal[step] = dot(v, next);
      for (int i = 0; i < size; i++) {
        next[i] -= diagonal[step] * v[i] + below[step] * previous[i];
      }
      centre(next);
      int count = step + 1;
      below[count] = Math.sqrt(dot(next, next));
      scale = Math.max(scale, Math.abs(diagonal[step]) + below[step] + below[count]);
      // The directions so far are an invariant subspace, up to the rounding of weights around 1.
      boolean exhausted = below[count] <= 0x1p-50 * Math.max(scale, 1);
      if (exhausted || count % CHECK_EVERY == 0 || count == maxSteps) {
        TridiagonalForm form =
            new TridiagonalForm(Arrays.copyOf(diagonal, count), Arrays.copyOf(below, count));
        Extremes found = new Extremes(form.eigenvalue(0), form.eigenvalue(count - 1));
        double residual =
            below[count]
                * Math.max(lastEntry(form, found.smallest), lastEntry(form, found.largest))
                / Math.max(Math.abs(found.smallest), Math.abs(found.largest));
        boolean converged = exhausted || residual <= tolerance;
        if (converged || count == maxSteps) {
          return new Outcome(size, count, found, residual, converged);
        }
      }
      double[] free = previous;
      previous = v;
      v = next;
      next = free;
      double inverse = 1 / below[count];
      for (int i = 0; i < size; i++) {
        v[i] *= inverse;
      }
    }
  }

  private static double lastEntry(TridiagonalForm form, double eigenvalue) {
    double[] vector = form.tridiagonalEigenvector(eigenvalue);
    return Math.abs(vector[vector.length - 1]);
  }

  private double[] start() {
    SharedRandom random = new SharedRandom(0, Stream.INITIALIZATION, 0, 0);
    double[] v = new double[size];
    for (int i = 0; i < size; i++) {
      v[i] = random.uniform(i) - 0.5;
    }
    centre(v);
    double norm = Math.sqrt(dot(v, v));
    for (int i = 0; i < size; i++) {
      v[i] /= norm;
    }
    return v;
  }

  private void centre(double[] v) {
    if (centred) {
      double sum = 0;
      for (double value : v) {
        sum += value;
      }
      double mean = sum / size;
      for (int i = 0; i < size; i++) {
        v[i] -= mean;
      }
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
