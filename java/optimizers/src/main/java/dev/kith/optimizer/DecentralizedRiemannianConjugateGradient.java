package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/**
 * Decentralized Riemannian conjugate gradient (DRCGD) on Stiefel manifolds.
 *
 * <pre>
 * eta^0  = -grad f_i(x^0)
 * x_i'   = P_St( sum_j (W^t)_ij x_j + alpha eta_i )                      polar projection
 * beta_i = |grad f_i(x_i')|^2 / |grad f_i(x_i)|^2                        {@link Rule}
 * eta_i' = -grad f_i(x_i') + beta_i P_x_i'( sum_j (W^t)_ij eta_j )
 * </pre>
 *
 * <p>grad f = P_x(gradient), P_x(z) = z - x sym(x^T z); norms and beta are a node's own. x is on
 * the manifold after every round. A node sends 2 d r numbers to each neighbour in each of t gossip
 * steps a round. With a fixed alpha nodes stop O(alpha) apart.
 *
 * <p>Needs a problem that is a {@link dev.kith.problem.StiefelConstraint}, doubly stochastic
 * weights and all nodes in every round.
 *
 * <p>Source: reconstructed from the abstract, summaries and reviews of "Decentralized Riemannian
 * Conjugate Gradient Method on the Stiefel Manifold" (Chen, Ye, Wang, Huang, Dai, 2024): structure
 * and fixed steps are confirmed, the rule of beta is not. The paper takes beta plain and alpha from
 * Wolfe's conditions.
 */
public final class DecentralizedRiemannianConjugateGradient extends RiemannianOptimizer {
  /** How the last direction enters the next one. */
  public enum Rule {
    /**
     * min(beta, 1): a gradient that grew, as a fixed step makes it, does not let directions grow.
     */
    CAPPED,
    /** Fletcher and Reeves, as in the paper. */
    FLETCHER_REEVES,
    /** 0: the projected Riemannian gradient method (DPRGD). */
    NONE
  }

  private final Rule rule;
  private final double stepSize;
  private final DeviceMatrix squares;
  private final DeviceMatrix beta;
  private final DeviceMatrix gradient;
  private final DeviceMatrix mixed;
  private DeviceMatrix direction;
  private DeviceMatrix nextX;
  private DeviceMatrix nextDirection;

  private DecentralizedRiemannianConjugateGradient(Builder builder) {
    super("drcgd", builder);
    this.rule = builder.rule;
    this.stepSize = builder.stepSize;
    this.squares = perNode();
    this.beta = perNode();
    this.gradient = own(x.like());
    this.mixed = own(x.like());
    this.direction = own(x.like());
    this.nextX = own(x.like());
    this.nextDirection = own(x.like());
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
      squares.upload(finiteSquares());
      Mixing.combine(Expression.outer(-1, gradient), direction);
    }
    gossip(x, mean -> mean.plusOuter(stepSize, direction), nextX);
    project(nextX);
    riemannianGradient(nextX, gradient, round() + 1);
    double[] now = finiteSquares();
    if (rule == Rule.NONE) {
      Mixing.combine(Expression.outer(-1, gradient), nextDirection);
    } else {
      gossip(direction, mean -> mean, mixed);
      tangent(nextX, mixed);
      beta.upload(ratios(now, squares.toDoubles()));
      Mixing.combine(Expression.outer(-1, gradient).plusOuter(1, beta, mixed), nextDirection);
    }
    squares.upload(now);
    DeviceMatrix oldX = x;
    x = nextX;
    nextX = oldX;
    DeviceMatrix oldDirection = direction;
    direction = nextDirection;
    nextDirection = oldDirection;
  }

  private double[] finiteSquares() {
    double[] all = Reduction.squares(gradient);
    for (int r = 0; r < all.length; r++) {
      if (!Double.isFinite(all[r])) {
        throw new NonFiniteException(network().firstNode() + r, round(), "the gradient");
      }
    }
    return all;
  }

  private double[] ratios(double[] now, double[] before) {
    double[] all = new double[now.length];
    for (int r = 0; r < all.length; r++) {
      // At a point where the gradient vanished there is no direction to go on with.
      double ratio = before[r] > 0 ? now[r] / before[r] : 0;
      all[r] = rule == Rule.CAPPED ? Math.min(ratio, 1) : ratio;
    }
    return all;
  }

  /** The directions eta, localNodes x d; valid until the next step. Zero before the first. */
  public DeviceMatrix direction() {
    return direction;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.put("direction", direction);
    state.put("squares", squares);
    return state;
  }

  @Override
  String variant() {
    return rule.name() + ", " + super.variant();
  }

  /** Settings of {@link DecentralizedRiemannianConjugateGradient}. */
  public static final class Builder extends RiemannianBuilder<Builder> {
    private Rule rule = Rule.CAPPED;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * How the last direction enters the next one. Default: {@link Rule#CAPPED}; plain Fletcher and
     * Reeves with a fixed step size does not beat the gradient method.
     */
    public Builder rule(Rule rule) {
      this.rule = Objects.requireNonNull(rule, "rule");
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the weights are
     *     not doubly stochastic, or the start is off the manifold (the message says how far)
     */
    public DecentralizedRiemannianConjugateGradient build() {
      return new DecentralizedRiemannianConjugateGradient(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
