package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import java.util.function.UnaryOperator;

/**
 * What the methods on Stiefel manifolds share: parameters that are on the manifold after every
 * round, t gossip steps, and Riemannian gradients grad f_i(x) = P_x(gradient), P_x(z) = z - x
 * sym(x^T z).
 */
abstract class RiemannianOptimizer extends LockstepOptimizer {
  private final StiefelPoints points;
  private final int gossipSteps;
  private final DeviceMatrix spareA;
  private final DeviceMatrix spareB;
  DeviceMatrix x;

  RiemannianOptimizer(String name, RiemannianBuilder<?> builder) {
    super(name, builder.problem, builder.network);
    requireWeights(builder.network.schedule().at(0));
    this.points = new StiefelPoints(name, builder.problem);
    this.gossipSteps = builder.gossipSteps;
    this.x = start(builder.initial);
    try {
      points.start(x, builder.network.firstNode());
    } catch (RuntimeException e) {
      close();
      throw e;
    }
    this.spareA = gossipSteps > 1 ? own(x.like()) : x;
    this.spareB = gossipSteps > 2 ? own(x.like()) : x;
  }

  @Override
  void requireWeights(MixingMatrix w) {
    if (w.kind() != MixingMatrix.Kind.DOUBLY_STOCHASTIC) {
      throw new IllegalArgumentException(
          name() + " needs doubly stochastic weights, not a matrix of kind " + w.kind());
    }
  }

  /** to = W^t from, and the outer terms that are added in the last step. */
  final void gossip(DeviceMatrix from, UnaryOperator<Expression> added, DeviceMatrix to) {
    network().mix(added.apply(Expression.inner(beforeLast(from))), to);
    requireFinite();
  }

  private DeviceMatrix beforeLast(DeviceMatrix from) {
    DeviceMatrix present = from;
    for (int step = 1; step < gossipSteps; step++) {
      DeviceMatrix next = step % 2 == 1 ? spareA : spareB;
      network().mix(Expression.inner(present), next);
      requireFinite();
      present = next;
    }
    return present;
  }

  /** Every row goes to the nearest point of the manifold. */
  final void project(DeviceMatrix m) {
    points.project(m);
  }

  /** z = P_at(z), row by row. */
  final void tangent(DeviceMatrix at, DeviceMatrix z) {
    points.tangent(at, z);
  }

  /** The Riemannian gradient of every local objective. */
  final void riemannianGradient(DeviceMatrix at, DeviceMatrix g, long draw) {
    problem().gradient(at, g, draw);
    tangent(at, g);
  }

  /** A row of numbers, one a local node. */
  final DeviceMatrix perNode() {
    return own(x.like(1, x.rows(), DType.F64));
  }

  @Override
  public final DeviceMatrix parameters() {
    return x;
  }

  @Override
  String variant() {
    return gossipSteps + " gossip steps";
  }
}
