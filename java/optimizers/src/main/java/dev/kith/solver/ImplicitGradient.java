package dev.kith.solver;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Memory;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.BilevelProblem;
import dev.kith.problem.LowerCurvature;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Implicit differentiation: the gradient of f(x, y*(x)) by the implicit function theorem, from
 * products with vectors,
 *
 * <pre>
 * h = df/dx - (d2g/dxdy) z,     (d2g/dy2) z = df/dy     at (x, y), y near the lower minimum y*(x)
 * </pre>
 *
 * <p>The system is solved by conjugate gradient, or by the first terms of its Neumann series,
 *
 * <pre>
 * z = alpha sum_{j = 0..J} (I - alpha H)^j df/dy
 * </pre>
 *
 * which are J + 1 gradient steps of size alpha from 0 on z H z / 2 - z df/dy, and what unrolling J
 * steps of the lower descent at y* gives. J = 0 takes H for I / alpha ("T1 - T2"). The error of z
 * is at most (1 - alpha mu)^(J+1) |df/dy| / mu for alpha up to 1 / L.
 *
 * <p>Every row by itself belongs to the problem of that node alone. {@link #over} makes it that of
 * the whole: f and g become the means over a network's nodes, all rows of z = (x, y) have to be
 * alike, and all rows of h are. The average of rows taken by themselves is another vector where the
 * nodes' Hessians differ.
 *
 * <p>Source: Lorraine, Vicol, Duvenaud, "Optimizing Millions of Hyperparameters by Implicit
 * Differentiation", 2020 (Neumann); Pedregosa, "Hyperparameter Optimization with Approximate
 * Gradient", 2016 (conjugate gradient). Used by one thread at a time.
 */
public final class ImplicitGradient implements AutoCloseable {
  private final BilevelProblem problem;
  private final LowerCurvature curvature;
  private final Optional<ConjugateGradient> conjugate;
  private final Optional<Neumann> neumann;
  private final double step;
  private final List<DeviceMatrix> owned = new ArrayList<>();
  private final DeviceMatrix gradients;
  private final DeviceMatrix right;
  private final DeviceMatrix solution;
  private final DeviceMatrix mixed;
  private final DeviceMatrix mean;
  private final DeviceMatrix upperMean;
  private final DeviceMatrix first;
  private Optional<Network> network = Optional.empty();

  private ImplicitGradient(
      BilevelProblem problem,
      DeviceMatrix like,
      Optional<ConjugateGradient.Builder> solver,
      int terms,
      double step) {
    if (!(problem instanceof LowerCurvature products)) {
      throw new IllegalArgumentException(
          "implicit differentiation needs products with the second derivatives of the lower"
              + " problem, and "
              + problem.getClass().getSimpleName()
              + " has none: take a problem that is LowerCurvature");
    }
    this.problem = problem;
    this.curvature = products;
    this.step = step;
    long rows = like.rows();
    this.gradients = keep(like.like());
    this.right = keep(like.like(rows, problem.lowerSize(), like.dtype()));
    this.solution = keep(right.like());
    this.mixed = keep(like.like(rows, problem.upperSize(), like.dtype()));
    this.mean = keep(right.like(1, problem.lowerSize(), like.dtype()));
    this.upperMean = keep(mixed.like(1, problem.upperSize(), like.dtype()));
    this.first = keep(like.like(1, rows, DType.I32));
    this.conjugate = solver.map(s -> s.build(right));
    this.neumann = terms > 0 ? Optional.of(new Neumann(step, terms, right)) : Optional.empty();
  }

  private DeviceMatrix keep(DeviceMatrix m) {
    owned.add(m);
    return m;
  }

  /**
   * By conjugate gradient.
   *
   * @param problem both levels; {@link LowerCurvature}
   * @param like rows (x, y): shape, dtype and queue; not kept
   * @param solver its tolerance, iterations and what happens when they are not enough
   */
  public static ImplicitGradient byConjugateGradient(
      BilevelProblem problem, DeviceMatrix like, ConjugateGradient.Builder solver) {
    return new ImplicitGradient(problem, like, Optional.of(solver), 0, 0);
  }

  /**
   * By the Neumann series.
   *
   * @param problem both levels; {@link LowerCurvature}
   * @param like rows (x, y): shape, dtype and queue; not kept
   * @param terms J, products that are taken; 3 to 20 are common, 0 takes none
   * @param step alpha, below 2 / L, safely at most 1 / L; the step size of the lower descent
   */
  public static ImplicitGradient byNeumann(
      BilevelProblem problem, DeviceMatrix like, int terms, double step) {
    if (terms < 0 || !(step > 0 && step < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          terms
              + " terms with a step of "
              + step
              + " are no Neumann series: give 0 terms or more and a finite step above 0");
    }
    return new ImplicitGradient(problem, like, Optional.empty(), terms, step);
  }

  /** For the mean f and g over all nodes of a network. */
  public ImplicitGradient over(Network all) {
    network = Optional.of(all);
    return this;
  }

  /**
   * The gradient at a point. Second derivatives and df are of the sample of one draw.
   *
   * @param z rows (x, y), localNodes x (p + q); not changed; all alike over a network
   * @param out localNodes x p
   * @param round number of the draw
   * @throws NotConvergedException when the solver was asked to throw it
   * @throws ArithmeticException when a product is not finite
   */
  public void apply(DeviceMatrix z, DeviceMatrix out, long round) {
    long p = problem.upperSize();
    problem.gradient(z, gradients, round);
    try (DeviceMatrix x = z.columns(0, p);
        DeviceMatrix y = z.columns(p, z.cols());
        DeviceMatrix direct = gradients.columns(0, p);
        DeviceMatrix b = gradients.columns(p, z.cols())) {
      right.copyFrom(b);
      average(right, mean);
      LinearOperator hessian =
          (v, hv) -> {
            curvature.lowerHessianVector(x, y, v, hv, round);
            average(hv, mean);
          };
      if (conjugate.isPresent()) {
        conjugate.get().solve(hessian, right, solution);
      } else if (neumann.isPresent()) {
        neumann.get().solve(hessian, right, solution);
      } else {
        Mixing.combine(Expression.outer(step, right), solution);
      }
      curvature.lowerMixedVector(x, y, solution, mixed, round);
      Mixing.combine(Expression.outer(direct).plusOuter(-1, mixed), out);
      average(out, upperMean);
    }
  }

  /** Over a network every row becomes the mean of all. */
  private void average(DeviceMatrix rows, DeviceMatrix to) {
    if (network.isPresent()) {
      network.get().average(rows, to);
      Memory.gatherRows(to, first, rows);
    }
  }

  @Override
  public void close() {
    conjugate.ifPresent(ConjugateGradient::close);
    neumann.ifPresent(Neumann::close);
    owned.forEach(DeviceMatrix::close);
    owned.clear();
  }
}
