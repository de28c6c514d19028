package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.problem.GaussNewtonVector;
import dev.kith.solver.ConjugateGradient;

/**
 * Solves (G + damping I) s = g for the mean G of the Gauss-Newton matrices of all nodes at their
 * common point, by conjugate gradient with a mean over all nodes in every product.
 */
final class NaturalDirection implements AutoCloseable {
  private final CommonModelOptimizer optimizer;
  private final GaussNewtonVector curvature;
  private final double damping;
  private final ConjugateGradient solver;
  private final DeviceMatrix directions;
  private final DeviceMatrix products;

  NaturalDirection(CommonModelOptimizer optimizer, double damping, int iterations) {
    this.optimizer = optimizer;
    if (!(optimizer.problem() instanceof GaussNewtonVector g)) {
      throw new IllegalArgumentException(
          optimizer.name()
              + " multiplies vectors by the Fisher or Gauss-Newton matrix, and "
              + optimizer.problem().getClass().getSimpleName()
              + " cannot: give a problem that is a GaussNewtonVector");
    }
    this.curvature = g;
    this.damping = damping;
    this.solver =
        ConjugateGradient.builder()
            .maxIterations(iterations)
            .tolerance(1e-10)
            .build(optimizer.model().row());
    this.directions = optimizer.parameters().like();
    this.products = directions.like();
  }

  /**
   * @param g 1 x d, the same in every process
   * @param s 1 x d, written
   */
  void solve(DeviceMatrix g, DeviceMatrix s) {
    solver.solve(
        (v, product) -> {
          optimizer.model().spread(v, directions);
          curvature.gaussNewtonVector(
              optimizer.parameters(), directions, products, optimizer.round());
          optimizer.average(products, product);
          Mixing.combine(Expression.outer(product).plusOuter(damping, v), product);
        },
        g,
        s);
  }

  @Override
  public void close() {
    solver.close();
    directions.close();
    products.close();
  }
}
