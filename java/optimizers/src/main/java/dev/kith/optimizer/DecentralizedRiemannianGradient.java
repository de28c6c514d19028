package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/**
 * Decentralized Riemannian gradient descent on Stiefel manifolds.
 *
 * <pre>
 * PROJECTED (DPRGD):  x_i' = P_St( sum_j (W^t)_ij x_j - alpha grad f_i(x_i) )
 * RETRACTED (DRDGD):  x_i' = R_x_i( P_x_i( sum_j (W^t)_ij x_j ) - alpha grad f_i(x_i) )
 * </pre>
 *
 * <p>P_St is the polar projection, R_x(v) = P_St(x + v) the polar retraction, P_x(z) = z - x
 * sym(x^T z) and grad f = P_x(gradient). x is on the manifold after every round. A node sends d r
 * numbers to each neighbour in each of t gossip steps a round. With a fixed alpha nodes stop
 * O(alpha) apart and beside the optimum.
 *
 * <p>Needs a problem that is a {@link dev.kith.problem.StiefelConstraint}, doubly stochastic
 * weights and all nodes in every round.
 *
 * <p>Source: Chen, Garcia, Hong, Shahrampour, "Decentralized Riemannian Gradient Descent on the
 * Stiefel Manifold", 2021 (DRDGD, with the consensus step 1); Deng, Hu, "Decentralized Projected
 * Riemannian Gradient Method for Smooth Optimization on Compact Submanifolds", 2023 (DPRGD).
 */
public final class DecentralizedRiemannianGradient extends RiemannianOptimizer {
  /** How a step comes back to the manifold. */
  public enum Form {
    /** The mean of the neighbours and the step together are projected. */
    PROJECTED,
    /** Both are brought into the tangent space first, and a retraction follows. */
    RETRACTED
  }

  private final Form form;
  private final double stepSize;
  private final DeviceMatrix gradient;
  private DeviceMatrix next;

  private DecentralizedRiemannianGradient(Builder builder) {
    super(builder.form == Form.PROJECTED ? "dprgd" : "drdgd", builder);
    this.form = builder.form;
    this.stepSize = builder.stepSize;
    this.gradient = own(x.like());
    this.next = own(x.like());
  }

  /**
   * @param problem the local objectives, some tensors of which are on Stiefel manifolds
   * @param network doubly stochastic weights, for the same nodes as the problem
   * @param initial the start, on the manifold: localNodes x d or one row for all nodes; F32 or F64;
   *     copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    requireAllNodes();
    riemannianGradient(x, gradient, round());
    if (form == Form.PROJECTED) {
      gossip(x, mean -> mean.plusOuter(-stepSize, gradient), next);
    } else {
      // P_x(x) is zero, and what is free moves by the difference.
      gossip(x, mean -> mean.plusOuter(-1, x), next);
      tangent(x, next);
      Mixing.combine(Expression.outer(x).plusOuter(next).plusOuter(-stepSize, gradient), next);
      requireFinite(next, "the gradient or the parameters");
    }
    project(next);
    DeviceMatrix done = x;
    x = next;
    next = done;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    return state;
  }

  /** Settings of {@link DecentralizedRiemannianGradient}. */
  public static final class Builder extends RiemannianBuilder<Builder> {
    private Form form = Form.PROJECTED;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** How a step comes back to the manifold. Default: PROJECTED, one projection less. */
    public Builder form(Form form) {
      this.form = Objects.requireNonNull(form, "form");
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the weights are
     *     not doubly stochastic, or the start is off the manifold (the message says how far)
     */
    public DecentralizedRiemannianGradient build() {
      return new DecentralizedRiemannianGradient(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
