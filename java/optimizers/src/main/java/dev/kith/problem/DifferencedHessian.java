package dev.kith.problem;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import java.util.Arrays;
import java.util.Objects;

/**
 * Products with the Hessian of a problem that offers gradients alone, by central differences, row
 * by row:
 *
 * <pre>H v ~ (g(x + h v) - g(x - h v)) / (2 h),   h = cbrt(eps) (1 + |x|) / |v|</pre>
 *
 * <p>with eps of the type of the parameters, 2^-52 or 2^-23. In exact arithmetic the error is h^2/6
 * times the third derivative along v; rounding in g adds about eps |g| / h. Both are near
 * eps^(2/3), so six digits remain in F32 at best and ten in F64. Not symmetric to more than that. A
 * product costs two gradients; v = 0 gives 0.
 *
 * <p>Used by one thread at a time. Source: Nocedal, Wright, "Numerical Optimization", 2006, section
 * 8.1.
 */
public final class DifferencedHessian implements HessianVector {
  private final Problem problem;

  private DifferencedHessian(Problem problem) {
    this.problem = Objects.requireNonNull(problem, "problem");
  }

  /** Of this problem, which stays open for as long as it is used. */
  public static DifferencedHessian of(Problem problem) {
    return new DifferencedHessian(problem);
  }

  /** {@inheritDoc} Here of the gradients of round 0: full ones, where the problem has full ones. */
  @Override
  public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
    hessianVector(x, v, out, 0);
  }

  /**
   * {@inheritDoc}
   *
   * @param x F32 or F64
   */
  @Override
  public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out, long round) {
    double eps = x.dtype() == DType.F64 ? 0x1p-52 : 0x1p-23;
    double[] sizes = Reduction.squares(x);
    double[] lengths = Reduction.squares(v);
    double[] steps = new double[lengths.length];
    Arrays.setAll(
        steps,
        r ->
            lengths[r] == 0
                ? 0
                : Math.cbrt(eps) * (1 + Math.sqrt(sizes[r])) / Math.sqrt(lengths[r]));
    double[] scales = Arrays.stream(steps).map(h -> h == 0 ? 0 : 0.5 / h).toArray();
    try (DeviceMatrix at = x.like();
        DeviceMatrix other = x.like();
        DeviceMatrix step = DeviceMatrix.row(x.queue(), steps);
        DeviceMatrix scale = DeviceMatrix.row(x.queue(), scales)) {
      Mixing.combine(Expression.outer(x).plusOuter(1, step, v), at);
      problem.gradient(at, out, round);
      Mixing.combine(Expression.outer(x).plusOuter(-1, step, v), at);
      problem.gradient(at, other, round);
      Mixing.combine(Expression.outer(1, scale, out).plusOuter(-1, scale, other), out);
    }
  }
}
