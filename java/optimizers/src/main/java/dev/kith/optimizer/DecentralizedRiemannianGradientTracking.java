package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Decentralized Riemannian gradient tracking (DRGTA) on Stiefel manifolds: nodes follow the mean of
 * their Riemannian gradients, so that with exact ones they meet at a stationary point of the mean
 * objective at a fixed step size.
 *
 * <pre>
 * y^0  = grad f_i(x^0)
 * x_i' = R_x_i( P_x_i( sum_j (W^t)_ij x_j - alpha y_i ) )
 * y_i' = sum_j (W^t)_ij y_j + grad f_i(x_i') - grad f_i(x_i)
 * </pre>
 *
 * <p>P_x(z) = z - x sym(x^T z), R_x(v) = P_St(x + v) with the polar projection P_St, grad f =
 * P_x(gradient). x is on the manifold after every round, y in no tangent space. A node sends 2 d r
 * numbers to each neighbour in each of t gossip steps a round. The proof asks for a t that brings
 * nodes close in each round; with t = 1 it converges on well-connected graphs.
 *
 * <p>Needs a problem that is a {@link dev.kith.problem.StiefelConstraint}, doubly stochastic
 * weights and all nodes in every round.
 *
 * <p>Source: Chen, Garcia, Hong, Shahrampour, "Decentralized Riemannian Gradient Descent on the
 * Stiefel Manifold", 2021, algorithm 2, with the consensus step 1.
 */
public final class DecentralizedRiemannianGradientTracking extends RiemannianOptimizer {
  private final double stepSize;
  private DeviceMatrix tracker;
  private DeviceMatrix gradient;
  private DeviceMatrix nextX;
  private DeviceMatrix nextTracker;
  private DeviceMatrix nextGradient;

  private DecentralizedRiemannianGradientTracking(Builder builder) {
    super("drgta", builder);
    this.stepSize = builder.stepSize;
    this.tracker = own(x.like());
    this.gradient = own(x.like());
    this.nextX = own(x.like());
    this.nextTracker = own(x.like());
    this.nextGradient = own(x.like());
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
    if (round() == 0) {
      riemannianGradient(x, gradient, 0);
      requireFinite(gradient, "the gradient");
      tracker.copyFrom(gradient);
    }
    // P_x(x) is zero, and what is free moves by the difference.
    gossip(x, mean -> mean.plusOuter(-stepSize, tracker).plusOuter(-1, x), nextX);
    tangent(x, nextX);
    Mixing.combine(Expression.outer(x).plusOuter(nextX), nextX);
    project(nextX);
    riemannianGradient(nextX, nextGradient, round() + 1);
    gossip(tracker, mean -> mean.plusOuter(nextGradient).plusOuter(-1, gradient), nextTracker);
    DeviceMatrix oldX = x;
    x = nextX;
    nextX = oldX;
    DeviceMatrix oldTracker = tracker;
    tracker = nextTracker;
    nextTracker = oldTracker;
    DeviceMatrix oldGradient = gradient;
    gradient = nextGradient;
    nextGradient = oldGradient;
  }

  /** The estimates y of the mean gradient, localNodes x d; valid until the next step. */
  public DeviceMatrix tracker() {
    return tracker;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.put("tracker", tracker);
    state.put("gradient", gradient);
    return state;
  }

  /** Settings of {@link DecentralizedRiemannianGradientTracking}. */
  public static final class Builder extends RiemannianBuilder<Builder> {
    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the weights are
     *     not doubly stochastic, or the start is off the manifold (the message says how far)
     */
    public DecentralizedRiemannianGradientTracking build() {
      return new DecentralizedRiemannianGradientTracking(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
