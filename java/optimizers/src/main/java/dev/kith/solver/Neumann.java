package dev.kith.solver;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;

/**
 * Approximates H(k)&#8315;&sup1; b(k) without reductions, by the Neumann series
 *
 * <pre>
 *   x = lambda sum_(j = 0 .. J) (I - lambda H)^j b
 * </pre>
 *
 * <p>which converges for positive definite H and lambda &lt; 2 / L, with an error of at most (1 -
 * lambda mu)^(J + 1) |b| / mu for lambda &le; 1 / L; L and mu are the extreme eigenvalues. It is
 * the point of J + 1 steps of gradient descent on x.Hx / 2 - b.x from 0. {@link ConjugateGradient}
 * comes far nearer with as many products; this one needs no sums over the columns and stays
 * unbiased with products that are only right on average ({@link #sample}).
 *
 * <p>A term takes a product and two passes. Used by one thread at a time; keeps two matrices of the
 * size of b.
 *
 * <p>Source: S. Ghadimi, M. Wang, "Approximation methods for bilevel programming", 2018, for the
 * randomised form.
 */
public final class Neumann implements AutoCloseable {
  private final double step;
  private final int terms;
  private final DeviceMatrix power;
  private final DeviceMatrix product;
  private final DeviceMatrix coefficients;

  /**
   * @param step lambda, positive: at most 1 / L is safe
   * @param terms J, how many products are made; at least 1
   * @param like F32 or F64: shape, dtype and queue of b and x; not kept
   * @throws IllegalArgumentException if a number is out of its range
   */
  public Neumann(double step, int terms, DeviceMatrix like) {
    if (!(step > 0 && step < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "the step is " + step + " and must be positive and finite, and below 2 / L to converge");
    }
    if (terms < 1) {
      throw new IllegalArgumentException(terms + " terms are too few: take at least 1");
    }
    this.step = step;
    this.terms = terms;
    this.power = like.like();
    this.product = like.like();
    this.coefficients = like.like(1, like.rows(), DType.F64);
  }

  /**
   * The sum of the J + 1 first terms.
   *
   * @param operator multiplies by H
   * @param b not changed
   * @param x written, not read; not b
   * @return of each row the norm of the last term over that of the first, at most 1 where the
   *     series converges: what is left of the residual before that term; 0 where b is 0
   * @throws ArithmeticException if a sum is not finite, with the row
   */
  public double[] solve(LinearOperator operator, DeviceMatrix b, DeviceMatrix x) {
    power.copyFrom(b);
    x.copyFrom(b);
    for (int j = 0; j < terms; j++) {
      operator.apply(power, product);
      Mixing.combine(Expression.outer(power).plusOuter(-step, product), power);
      Mixing.combine(Expression.outer(x).plusOuter(power), x);
    }
    Mixing.combine(Expression.outer(step, x), x);
    double[] last = Reduction.norms(power);
    double[] first = Reduction.norms(b);
    double[] shares = new double[last.length];
    for (int k = 0; k < last.length; k++) {
      if (!Double.isFinite(last[k])) {
        throw new ArithmeticException(
            "the last term of row "
                + k
                + " has the norm "
                + last[k]
                + ": take a step below 2 / L, or look at what the operator returns there");
      }
      shares[k] = first[k] == 0 ? 0 : last[k] / first[k];
    }
    return shares;
  }

  /**
   * One term in place of the sum of J: J lambda (I - lambda H)^j b with j drawn uniformly from 0 to
   * J - 1, for each row by itself; its mean over j is the sum of the J first terms. With fresh
   * products for each factor it stays so on average where these are unbiased and independent.
   *
   * @param operator multiplies by H, or by an unbiased estimate of it that is drawn anew at each
   *     call; called J - 1 times at most, with rows of the last factor for those that are done
   * @param b not changed
   * @param seed of the draw, stream {@code TRUNCATION}
   * @param firstNode global number of the node of row 0, whose draw is its own
   * @param round number of the draw
   * @param x written, not read; not b
   * @return j of each row
   * @throws ArithmeticException if a term is not finite, with the row
   */
  public int[] sample(
      LinearOperator operator,
      DeviceMatrix b,
      long seed,
      int firstNode,
      long round,
      DeviceMatrix x) {
    int[] factors = new int[Math.toIntExact(b.rows())];
    Arrays.setAll(
        factors,
        k -> (int) new SharedRandom(seed, Stream.TRUNCATION, firstNode + k, round).below(0, terms));
    x.copyFrom(b);
    int most = Arrays.stream(factors).max().orElse(0);
    for (int j = 0; j < most; j++) {
      int factor = j;
      operator.apply(x, product);
      double[] steps = new double[factors.length];
      Arrays.setAll(steps, k -> factor < factors[k] ? -step : 0);
      coefficients.upload(steps);
      Mixing.combine(Expression.outer(x).plusOuter(1, coefficients, product), x);
    }
    Mixing.combine(Expression.outer(step * terms, x), x);
    double[] norms = Reduction.norms(x);
    for (int k = 0; k < norms.length; k++) {
      if (!Double.isFinite(norms[k])) {
        throw new ArithmeticException(
            "the term of row "
                + k
                + " has the norm "
                + norms[k]
                + ": take a step below 2 / L, or look at what the operator returns there");
      }
    }
    return factors;
  }

  @Override
  public void close() {
    power.close();
    product.close();
    coefficients.close();
  }
}
