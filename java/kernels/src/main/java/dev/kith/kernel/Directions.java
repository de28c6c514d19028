package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Access;
import dev.kith.internal.Window;
import dev.kith.random.SharedRandom;

/**
 * Uniform random directions: a row of normals divided by its norm lies uniformly on the sphere (M.
 * E. Muller, Communications of the ACM 2(4), 1959), and u^(1/d) times that uniformly in the ball. A
 * row is a function of its address in the field alone, with the same bits at any number of threads,
 * on any device, and however rows are cut over processes.
 *
 * <p>Thread-safe; each operation runs on the queue of y and waits for it, since the norms of the
 * normals are needed before their factors.
 *
 * <p>Errors of all: {@link IllegalArgumentException} when the field is not of {@link
 * NoiseField.Distribution#NORMAL} or has not as many rows as y, y is not F32 or F64, or the radius
 * is negative or not finite.
 */
public final class Directions {
  private Directions() {}

  /**
   * y(r) = c(r) z(r) with c(r) = radius / sqrt(s(r)) in f64, rounded to the dtype of y once, and
   * s(r) the sum of the squares of z(r) on the reduction tree of y's dtype.
   *
   * @param normals z, as many rows as y
   * @param radius the norm of each row, but for rounding; not negative
   * @param y F32 or F64
   */
  public static void sphere(NoiseField normals, double radius, DeviceMatrix y) {
    scale("sphere", normals, radius, false, y);
  }

  /**
   * As {@link #sphere}, with c(r) = radius u(r)^(1/d) / sqrt(s(r)), d the columns of y. The uniform
   * u(r) is made of words 0 and 1 of the same row, which no normal is made of, as {@link
   * SharedRandom#uniform} says.
   *
   * @param normals z, as many rows as y
   * @param radius of the ball; not negative
   * @param y F32 or F64
   */
  public static void ball(NoiseField normals, double radius, DeviceMatrix y) {
    scale("ball", normals, radius, true, y);
  }

  private static void scale(
      String operation, NoiseField normals, double radius, boolean inside, DeviceMatrix y) {
    if (normals.distribution() != NoiseField.Distribution.NORMAL) {
      throw new IllegalArgumentException(
          operation + ": the field is " + normals.distribution() + " and must be NORMAL");
    }
    if (!(radius >= 0) || Double.isInfinite(radius)) {
      throw new IllegalArgumentException(
          operation + ": the radius is " + radius + " and must be a finite number from 0 on");
    }
    Window to = Access.window(y);
    Arguments.computed(operation, "y", to);
    Noise.draw(normals, 1, y);
    if (y.rows() == 0 || y.cols() == 0) {
      return;
    }
    double[] factors;
    try (DeviceMatrix squares = y.like(1, y.rows(), DType.F64)) {
      Reduction.rows(Reduction.Kind.SQUARES, y, squares);
      factors = squares.toDoubles();
      double[] shares = inside ? uniforms(normals, y) : new double[0];
      for (int r = 0; r < factors.length; r++) {
        double length = inside ? StrictMath.pow(shares[r], 1.0 / y.cols()) : 1;
        factors[r] = radius * length / Math.sqrt(factors[r]);
      }
      squares.upload(factors);
      Mixing.combine(Expression.outer(1, squares, y), y);
      y.queue().sync();
    }
  }

  private static double[] uniforms(NoiseField normals, DeviceMatrix y) {
    try (DeviceMatrix words = y.like(y.rows(), 2, DType.I32)) {
      Noise.draw(normals.as(NoiseField.Distribution.WORDS), 1, words);
      int[] w = words.toInts();
      double[] u = new double[w.length / 2];
      for (int r = 0; r < u.length; r++) {
        u[r] = SharedRandom.uniform(w[2 * r], w[2 * r + 1]);
      }
      return u;
    }
  }
}
