package dev.kith.problem;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Product;

/**
 * A convex function h that all nodes know, added to the mean of what each knows alone: minimise
 * (1/n) sum_i f_i(z) + h(z), or find z with &lt;F(z), u - z&gt; + h(u) - h(z) &gt;= 0 for all u. An
 * algorithm meets it by its proximal operator alone.
 *
 * <p>Immutable and thread-safe.
 *
 * <p>Source: Parikh, Boyd, "Proximal Algorithms", 2014, sections 1.1, 6.1.1 and 6.5.2.
 */
public interface Regularizer {
  /** A name that two regularizers share only when they are the same; snapshots carry it. */
  String name();

  /**
   * Writes prox_{t h}(v) = argmin_z h(z) + |z - v|^2 / (2 t), row by row. A NaN stays.
   *
   * @param v points, F32 or F64
   * @param t step, not negative and finite
   * @param out the shape and type of v; shares no memory with it
   */
  void proximal(DeviceMatrix v, double t, DeviceMatrix out);

  /**
   * The regularizer of a name: {@code l1:0.001}, {@code squared-norm:0.001} or {@code
   * non-negative}.
   *
   * @throws IllegalArgumentException when there is none of this name
   */
  static Regularizer parse(String name) {
    int colon = name.indexOf(':');
    String kind = colon < 0 ? name : name.substring(0, colon);
    try {
      if (colon >= 0 && kind.equals("l1")) {
        return l1(Double.parseDouble(name.substring(colon + 1)));
      }
      if (colon >= 0 && kind.equals("squared-norm")) {
        return squaredNorm(Double.parseDouble(name.substring(colon + 1)));
      }
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "the regularizer '" + name + "' has no number behind the colon", e);
    }
    if (name.equals("non-negative")) {
      return nonNegative();
    }
    throw new IllegalArgumentException(
        "there is no regularizer '"
            + name
            + "': take l1:LAMBDA, squared-norm:LAMBDA or non-negative");
  }

  /**
   * h(z) = lambda/2 |z|^2, with prox v / (1 + t lambda).
   *
   * @param lambda not negative and finite
   */
  static Regularizer squaredNorm(double lambda) {
    requireWeight(lambda);
    return new Regularizer() {
      @Override
      public String name() {
        return "squared-norm:" + lambda;
      }

      @Override
      public void proximal(DeviceMatrix v, double t, DeviceMatrix out) {
        requireStep(t);
        Mixing.combine(Expression.outer(1 / (1 + t * lambda), v), out);
      }
    };
  }

  /**
   * h(z) = lambda sum_c |z_c|, with prox sign(v_c) max(|v_c| - t lambda, 0): numbers up to t lambda
   * become 0, which makes the solution sparse.
   *
   * @param lambda not negative and finite
   */
  static Regularizer l1(double lambda) {
    requireWeight(lambda);
    return new Regularizer() {
      @Override
      public String name() {
        return "l1:" + lambda;
      }

      @Override
      public void proximal(DeviceMatrix v, double t, DeviceMatrix out) {
        requireStep(t);
        // max(v - s, 0) - max(-v - s, 0): one of the two is 0.
        try (DeviceMatrix negative = v.like()) {
          Mixing.combine(Expression.outer(-1, v), negative);
          Mixing.combine(Expression.outer(v), out);
          shiftAndCut(out, -t * lambda);
          shiftAndCut(negative, -t * lambda);
          Mixing.combine(Expression.outer(out).plusOuter(-1, negative), out);
        }
      }
    };
  }

  /** h(z) = 0 where no z_c is negative, else infinite: prox is max(v, 0) whatever t is. */
  static Regularizer nonNegative() {
    return new Regularizer() {
      @Override
      public String name() {
        return "non-negative";
      }

      @Override
      public void proximal(DeviceMatrix v, double t, DeviceMatrix out) {
        requireStep(t);
        Mixing.combine(Expression.outer(v), out);
        shiftAndCut(out, 0);
      }
    };
  }

  /**
   * h(z) = 0 where all low <= z_c <= high, else infinite: prox is the projection onto the box
   * whatever t is. What lies inside stays as it is; what is moved lands on the border to a
   * rounding, and what is infinite becomes NaN.
   *
   * @param low finite
   * @param high finite, {@code low} or larger
   */
  static Regularizer box(double low, double high) {
    if (!(Double.NEGATIVE_INFINITY < low && low <= high && high < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "the box from " + low + " to " + high + " is empty or without end: give finite borders");
    }
    return new Regularizer() {
      @Override
      public String name() {
        return "box:" + low + ":" + high;
      }

      @Override
      public void proximal(DeviceMatrix v, double t, DeviceMatrix out) {
        requireStep(t);
        try (DeviceMatrix above = v.like()) {
          Mixing.combine(Expression.outer(v), above);
          shiftAndCut(above, -high);
          Mixing.combine(Expression.outer(-1, v), out);
          shiftAndCut(out, low);
          Mixing.combine(Expression.outer(v).plusOuter(out).plusOuter(-1, above), out);
        }
      }
    };
  }

  private static void requireWeight(double lambda) {
    if (!(lambda >= 0 && lambda < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "a lambda of " + lambda + " is not a finite number from 0 up");
    }
  }

  private static void requireStep(double t) {
    if (!(t >= 0 && t < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "a proximal step of " + t + " is not a finite number from 0 up");
    }
  }

  /** x = max(x + shift, 0). */
  private static void shiftAndCut(DeviceMatrix x, double shift) {
    try (DeviceMatrix bias = x.like(1, x.cols(), x.dtype())) {
      bias.fill(shift);
      Product.biasActivate(1, Batch.of(x), Batch.of(bias), true);
    }
  }
}
