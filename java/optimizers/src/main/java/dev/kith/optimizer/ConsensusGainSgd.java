package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.Map;
import java.util.Objects;

/**
 * Distributed SGD with a gain for consensus and one for the gradient, both diminishing:
 *
 * <pre>x_i(t+1) = x_i(t) - beta_t (Q x(t))_i - alpha_t g_i(x_i(t)),   t = 1, 2, ...</pre>
 *
 * <p>Q is the Laplacian of the graph, (Q x)_i = sum over neighbours (x_i - x_j), or I - W of a
 * mixing matrix; alpha_t = c_a t^(-tau_a), beta_t = c_b t^(-tau_b). With 1/2 &lt; tau_a &lt;= 1 and
 * 0 &lt;= tau_b &lt; tau_a the consensus term dominates: iterates reach consensus at critical
 * points, also of nonsmooth functions, and avoid saddles with probability 1. Stable when c_b l_n
 * &lt;= 1, l_n the largest eigenvalue of Q. The consensus term keeps the sum over the nodes. A node
 * sends d numbers to each neighbour a round.
 *
 * <p>Source: Swenson, Murray, Poor, Kar, "Distributed Stochastic Gradient Descent: Nonconvexity,
 * Nonsmoothness, and Convergence to Local Minima", 2022; the standard form, reconstructed from its
 * statement.
 */
public final class ConsensusGainSgd extends LockstepOptimizer {
  private final GossipOperator operator;
  private final Gain gradientGain;
  private final Gain consensusGain;
  private final DeviceMatrix gradient;
  private DeviceMatrix x;
  private DeviceMatrix next;

  /** scale * t^(-exponent). */
  private record Gain(double scale, double exponent) {
    Gain {
      if (!(scale >= 0 && scale < Double.POSITIVE_INFINITY) || !(exponent >= 0 && exponent <= 1)) {
        throw new IllegalArgumentException(
            "a gain of "
                + scale
                + " t^(-"
                + exponent
                + ") needs a finite scale from 0 up and an exponent in [0, 1]");
      }
    }

    double at(long t) {
      return scale * StrictMath.pow((double) t, -exponent);
    }
  }

  private ConsensusGainSgd(Builder builder) {
    super("dsgd-gains", builder.problem, builder.network);
    this.operator =
        new GossipOperator(
            fixedSymmetric(
                "SGD with gains",
                builder.network,
                MixingMatrix.Kind.DOUBLY_STOCHASTIC,
                MixingMatrix.Kind.ZERO_ROW_SUMS));
    this.gradientGain = builder.gradientGain;
    this.consensusGain = builder.consensusGain;
    this.x = start(builder.initial);
    this.next = own(x.like());
    this.gradient = own(x.like());
  }

  /**
   * @param problem the local objectives
   * @param network one fixed symmetric matrix, a Laplacian or doubly stochastic, for the same nodes
   *     as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    double alpha = gradientGain.at(round() + 1);
    double beta = consensusGain.at(round() + 1);
    problem().gradient(x, gradient, round());
    network()
        .mix(
            operator.matrix(),
            Expression.inner(operator.inner(beta), x)
                .plusOuter(operator.outer(beta), x)
                .plusOuter(-alpha, gradient),
            next);
    requireFinite();
    DeviceMatrix done = x;
    x = next;
    next = done;
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    return Map.of("x", x);
  }

  /** Settings of {@link ConsensusGainSgd}. */
  public static final class Builder {
    private final Problem problem;
    private final Network network;
    private final DeviceMatrix initial;
    private Gain gradientGain = new Gain(0.1, 0.6);
    private Gain consensusGain = new Gain(0.1, 0);

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      this.problem = Objects.requireNonNull(problem, "problem");
      this.network = Objects.requireNonNull(network, "network");
      this.initial = Objects.requireNonNull(initial, "initial");
    }

    /**
     * alpha_t = scale t^(-exponent). Default: 0.1 and 0.6, inside the range (1/2, 1] of the paper.
     */
    public Builder gradientGain(double scale, double exponent) {
      this.gradientGain = new Gain(scale, exponent);
      return this;
    }

    /**
     * beta_t = scale t^(-exponent). Default: 0.1 and 0, stable where the largest eigenvalue of Q is
     * at most 10.
     */
    public Builder consensusGain(double scale, double exponent) {
      this.consensusGain = new Gain(scale, exponent);
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the weights
     *     change or are not symmetric
     */
    public ConsensusGainSgd build() {
      return new ConsensusGainSgd(this);
    }
  }
}
