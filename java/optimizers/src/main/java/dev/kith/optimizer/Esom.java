package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * ESOM-K, the exact second-order method: a proximal step by Newton on the augmented Lagrangian of
 * consensus, with K + 1 terms of the series for the inverse Hessian.
 *
 * <pre>
 *   g_i  = grad f_i(x_i) + q_i + alpha (x_i - sum_j w_ij x_j)
 *   D_ii = H_i(x_i) + (epsilon + 2 alpha (1 - w_ii)) I
 *   d_i  = -D_ii^-1 g_i
 *   K times d_i &larr; D_ii^-1 (alpha (1 - w_ii) d_i + alpha sum_(j != i) w_ij d_j - g_i)
 *   x_i' = x_i + d_i
 *   q_i' = q_i + alpha (x_i' - sum_j w_ij x_j'),     q_i = 0 at the start
 * </pre>
 *
 * <p>The sum of all q_i stays 0, and at the fixed point grad f_i(x) = -q_i: the exact optimum, at a
 * linear rate for strongly convex objectives. A node sends d numbers to each neighbour K + 1 times
 * a round, and once more before the first.
 *
 * <p>Needs exact gradients: all local data in every one.
 *
 * <p>Source: A. Mokhtari, W. Shi, Q. Ling, A. Ribeiro, "A Decentralized Second-Order Method with
 * Exact Linear Convergence Rate for Consensus Optimization", IEEE Trans. Signal and Information
 * Processing over Networks 2, 2016; constants reconstructed.
 */
public final class Esom extends LockstepOptimizer {
  private final MixingMatrix w;
  private final HessianSplitting splitting;
  private final int terms;
  private final double penalty;
  private final double proximal;
  private final DeviceMatrix gradient;
  private final DeviceMatrix total;
  private DeviceMatrix x;
  private DeviceMatrix next;
  private DeviceMatrix dual;
  private DeviceMatrix nextDual;
  private DeviceMatrix apart;
  private DeviceMatrix nextApart;
  private boolean started;

  private Esom(Builder builder) {
    super("esom", builder.problem, builder.network);
    HessianVector curvature = capability(HessianVector.class, "products with its Hessians");
    this.w = fixedSymmetric("ESOM", builder.network, MixingMatrix.Kind.DOUBLY_STOCHASTIC);
    this.terms = builder.terms;
    this.penalty = builder.penalty;
    this.proximal = builder.proximal;
    this.x = start(builder.initial);
    this.next = own(x.like());
    this.gradient = own(x.like());
    this.total = own(x.like());
    this.dual = own(x.like());
    this.nextDual = own(x.like());
    this.apart = own(x.like());
    this.nextApart = own(x.like());
    dual.fill(0);
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
    problem().gradient(x, gradient, round());
    if (!started) {
      disagreement(x, apart);
      started = true;
    }
    Mixing.combine(Expression.outer(gradient).plusOuter(dual).plusOuter(apart), total);
    requireFinite(total, "the gradient");
    DeviceMatrix direction = splitting.direction(x, total, 1, penalty, proximal);
    Mixing.combine(Expression.outer(x).plusOuter(direction), next);
    disagreement(next, nextApart);
    Mixing.combine(Expression.outer(dual).plusOuter(nextApart), nextDual);
    DeviceMatrix oldX = x;
    x = next;
    next = oldX;
    DeviceMatrix oldDual = dual;
    dual = nextDual;
    nextDual = oldDual;
    DeviceMatrix oldApart = apart;
    apart = nextApart;
    nextApart = oldApart;
  }

  /** alpha (X - W X). */
  private void disagreement(DeviceMatrix at, DeviceMatrix out) {
    network().mix(w, Expression.inner(-penalty, at).plusOuter(penalty, at), out);
    requireFinite();
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  /** The q_i, localNodes x d; valid until the next step. Zero before the first. */
  public DeviceMatrix duals() {
    return dual;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.put("dual", dual);
    state.put("apart", apart);
    return state;
  }

  @Override
  long[] counters() {
    return new long[] {started ? 1 : 0};
  }

  @Override
  void counters(long[] values) {
    started = values[0] != 0;
  }

  @Override
  String variant() {
    return "K = " + terms;
  }

  /** Settings of {@link Esom}. */
  public static final class Builder extends NewtonBuilder<Builder> {
    private int terms;
    private double penalty = 1;
    private double proximal = 0.1;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial, 1e-6, 100);
    }

    /**
     * K, exchanges of the direction a round. Default: 0: more help in the first rounds only, where
     * the dual step is not yet what limits the rate.
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
     * alpha, the weight of consensus. Default: 1, of the reference run.
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
     * epsilon, the weight of the proximal term. Default: 0.1, of the reference run.
     *
     * @throws IllegalArgumentException if it is negative or not finite
     */
    public Builder proximal(double epsilon) {
      if (!(epsilon >= 0 && epsilon < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "epsilon is " + epsilon + " and must be at least 0 and finite");
      }
      proximal = epsilon;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the problem has
     *     no Hessians, or the weights change or are not symmetric and doubly stochastic
     */
    public Esom build() {
      return new Esom(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
