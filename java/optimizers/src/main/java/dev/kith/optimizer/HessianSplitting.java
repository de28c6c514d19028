package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.problem.HessianVector;
import dev.kith.solver.ConjugateGradient;
import java.util.Arrays;
import java.util.List;

/**
 * Directions against the Hessian of a function of all rows whose off-diagonal blocks are those of a
 * mixing matrix, D - B with
 *
 * <pre>
 *   D_ii = a H_i(x_i) + (e + 2 c (1 - w_ii)) I,   B_ii = c (1 - w_ii) I,   B_ij = c w_ij I
 *   d(0) = -D^-1 g,   d(k + 1) = D^-1 (B d(k) - g):   d(K) = -sum_(k &le; K) (D^-1 B)^k D^-1 g
 * </pre>
 *
 * <p>A term takes one exchange of d and one system a node, solved by conjugate gradient.
 */
final class HessianSplitting implements AutoCloseable {
  private final LockstepOptimizer owner;
  private final HessianVector curvature;
  private final MixingMatrix w;
  private final int terms;
  private final double[] own;
  private final ConjugateGradient solver;
  private final DeviceMatrix right;
  private final DeviceMatrix direction;
  private final DeviceMatrix shift;
  private final DeviceMatrix excess;

  /**
   * @param w fixed, symmetric, doubly stochastic
   * @param terms K
   */
  HessianSplitting(
      LockstepOptimizer owner,
      HessianVector curvature,
      MixingMatrix w,
      int terms,
      NewtonBuilder<?> builder,
      DeviceMatrix like) {
    this.owner = owner;
    this.curvature = curvature;
    this.w = w;
    this.terms = terms;
    int first = owner.network().firstNode();
    this.own = new double[owner.network().localNodes()];
    Arrays.setAll(own, r -> w.get(first + r, first + r));
    this.right = owner.own(like.like());
    this.direction = owner.own(like.like());
    this.shift = owner.own(like.like(1, like.rows(), DType.F64));
    this.excess = owner.own(shift.like());
    excess.upload(Arrays.stream(own).map(v -> 1 - 2 * v).toArray());
    this.solver = builder.solver().build(like);
  }

  /**
   * The direction d(K), valid until the next call.
   *
   * @param x where the Hessians are taken
   * @param g the gradient, a row a node
   * @param hessian a
   * @param coupling c
   * @param proximal e
   */
  DeviceMatrix direction(
      DeviceMatrix x, DeviceMatrix g, double hessian, double coupling, double proximal) {
    shift.upload(Arrays.stream(own).map(v -> proximal + 2 * coupling * (1 - v)).toArray());
    Mixing.combine(Expression.outer(-1, g), right);
    solve(x, hessian);
    for (int k = 0; k < terms; k++) {
      owner
          .network()
          .mix(
              w,
              Expression.inner(coupling, direction)
                  .plusOuter(coupling, excess, direction)
                  .plusOuter(-1, g),
              right);
      owner.requireFinite();
      solve(x, hessian);
    }
    return direction;
  }

  private void solve(DeviceMatrix x, double hessian) {
    List<ConjugateGradient.Row> rows =
        solver.solve(
            (v, out) -> {
              curvature.hessianVector(x, v, out, owner.round());
              Mixing.combine(Expression.outer(hessian, out).plusOuter(1, shift, v), out);
            },
            right,
            direction);
    for (int r = 0; r < rows.size(); r++) {
      if (rows.get(r).outcome() == ConjugateGradient.Outcome.NEGATIVE_CURVATURE) {
        throw new ArithmeticException(
            owner.name()
                + " needs a positive definite matrix at each node, and that of node "
                + (owner.network().firstNode() + r)
                + " is not in round "
                + owner.round()
                + ": its objective is not convex there; give it a regulariser, or more weight to"
                + " the coupling");
      }
    }
  }

  @Override
  public void close() {
    solver.close();
  }
}
