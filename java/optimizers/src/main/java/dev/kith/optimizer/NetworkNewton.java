package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Network Newton NN-K: Newton's method on the penalised problem
 *
 * <pre>
 *   Psi(X) = 1/2 tr X'(I - W) X + alpha sum_i f_i(x_i)
 *   g_i     = x_i - sum_j w_ij x_j + alpha grad f_i(x_i)
 *   D_ii    = alpha H_i(x_i) + 2 (1 - w_ii) I
 *   d_i     = -D_ii^-1 g_i
 *   K times d_i &larr; D_ii^-1 ((1 - w_ii) d_i + sum_(j != i) w_ij d_j - g_i)
 *   x_i'    = x_i + epsilon d_i
 * </pre>
 *
 * <p>The K + 1 first terms of the series for the inverse of the Hessian of Psi: what is left of it
 * falls with rho^(K+1). A node sends d numbers to each neighbour K + 1 times a round. The fixed
 * point is that of {@link DecentralizedSgd} with step alpha, O(alpha) beside the optimum: {@link
 * Builder#shrink} makes alpha smaller when all nodes are near it, which costs a sum of one number
 * over all nodes a round.
 *
 * <p>Needs exact gradients: all local data in every one.
 *
 * <p>Source: A. Mokhtari, Q. Ling, A. Ribeiro, "Network Newton Distributed Optimization Methods",
 * IEEE Trans. Signal Processing 65, 2017; constants reconstructed.
 */
public final class NetworkNewton extends LockstepOptimizer {
  private final MixingMatrix w;
  private final HessianSplitting splitting;
  private final int terms;
  private final double penalty;
  private final double stepSize;
  private final double shrinkBy;
  private final double shrinkBelow;
  private final DeviceMatrix gradient;
  private final DeviceMatrix total;
  private DeviceMatrix x;
  private DeviceMatrix next;
  private long stage;

  private NetworkNewton(Builder builder) {
    super("nn", builder.problem, builder.network);
    HessianVector curvature = capability(HessianVector.class, "products with its Hessians");
    this.w = fixedSymmetric("Network Newton", builder.network, MixingMatrix.Kind.DOUBLY_STOCHASTIC);
    this.terms = builder.terms;
    this.penalty = builder.penalty;
    this.stepSize = builder.stepSize;
    this.shrinkBy = builder.shrinkBy;
    this.shrinkBelow = builder.shrinkBelow;
    this.x = start(builder.initial);
    this.next = own(x.like());
    this.gradient = own(x.like());
    this.total = own(x.like());
    this.splitting = own(new HessianSplitting(this, curvature, w, terms, builder, x));
  }

  /**
   * @param problem the local objectives; {@link HessianVector}
   * @param network one fixed symmetric matrix, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    double alpha = penalty();
    problem().gradient(x, gradient, round());
    network().mix(w, Expression.inner(-1, x).plusOuter(x).plusOuter(alpha, gradient), total);
    requireFinite();
    DeviceMatrix direction = splitting.direction(x, total, alpha, 1, 0);
    Mixing.combine(Expression.outer(x).plusOuter(stepSize, direction), next);
    requireFinite(next, "the step");
    boolean near = shrinkBy < 1 && allBelow(shrinkBelow);
    DeviceMatrix old = x;
    x = next;
    next = old;
    stage += near ? 1 : 0;
  }

  /** Whether |g_i| is at most a bound at every node. */
  private boolean allBelow(double bound) {
    double[] norms = Reduction.norms(total);
    double[] above = new double[norms.length];
    for (int r = 0; r < norms.length; r++) {
      above[r] = norms[r] <= bound ? 0 : 1;
    }
    try (DeviceMatrix each = total.like(norms.length, 1, DType.F64);
        DeviceMatrix mean = total.like(1, 1, DType.F64)) {
      each.upload(above);
      network().average(each, mean);
      return mean.get(0, 0) == 0;
    }
  }

  /** alpha of the next round. */
  public double penalty() {
    return penalty * StrictMath.pow(shrinkBy, (double) stage);
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  /** The g_i of the last round, localNodes x d; valid until the next step. */
  public DeviceMatrix gradient() {
    return total;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    return state;
  }

  @Override
  long[] counters() {
    return new long[] {stage};
  }

  @Override
  void counters(long[] values) {
    stage = values[0];
  }

  @Override
  String variant() {
    return "K = " + terms;
  }

  /** Settings of {@link NetworkNewton}. */
  public static final class Builder extends NewtonBuilder<Builder> {
    private int terms = 1;
    private double penalty = 0.01;
    private double stepSize = 1;
    private double shrinkBy = 1;
    private double shrinkBelow;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial, 1e-6, 100);
    }

    /**
     * K, exchanges of the direction a round. Default: 1, the NN-1 that the authors recommend.
     *
     * @throws IllegalArgumentException if it is negative
     */
    public Builder terms(int k) {
      if (k < 0) {
        throw new IllegalArgumentException("K = " + k + " is negative; take 0 or more");
      }
      terms = k;
      return this;
    }

    /**
     * alpha, the weight of the objectives beside that of consensus. Default: 0.01, of the reference
     * run.
     *
     * @throws IllegalArgumentException if it is not positive and finite
     */
    public Builder penalty(double alpha) {
      if (!(alpha > 0 && alpha < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "alpha is " + alpha + " and must be positive and finite");
      }
      penalty = alpha;
      return this;
    }

    /**
     * epsilon. Default: 1, a full Newton step.
     *
     * @throws IllegalArgumentException if it is negative or not finite
     */
    public Builder stepSize(double epsilon) {
      if (!(epsilon >= 0 && epsilon < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "a step size of " + epsilon + " is not a finite number from 0 up");
      }
      stepSize = epsilon;
      return this;
    }

    /**
     * Adaptive NN: multiplies alpha by a factor after each round in which all |g_i| were at most a
     * bound. Default: alpha stays.
     *
     * @param factor eta, in (0, 1)
     * @param below the bound, positive
     * @throws IllegalArgumentException if a number is out of its range
     */
    public Builder shrink(double factor, double below) {
      if (!(factor > 0 && factor < 1 && below > 0 && below < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "a factor of "
                + factor
                + " below "
                + below
                + " is not possible: the factor is in (0, 1) and the bound positive and finite");
      }
      shrinkBy = factor;
      shrinkBelow = below;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the problem has
     *     no Hessians, or the weights change or are not symmetric and doubly stochastic
     */
    public NetworkNewton build() {
      return new NetworkNewton(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
