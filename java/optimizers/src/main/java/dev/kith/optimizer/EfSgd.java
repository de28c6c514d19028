package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.ErrorFeedback;
import dev.kith.compress.Messages;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * EF-SGD: SGD with compressed gradients, whose errors are sent later.
 *
 * <pre>
 * c_i = C(g_i + e_i)        is sent,   e_i' = g_i + e_i - c_i,   e_i = 0 at first
 * m'  = lambda m + (1/n) sum_i c_i
 * x'  = x - gamma ((1/n) sum_i c_i + lambda m')      with momentum
 * x'  = x - gamma (1/n) sum_i c_i                    without, lambda = 0
 * </pre>
 *
 * <p>For a contractive C, biased or not; without the errors e a biased one can diverge. The point x
 * - gamma mean e_i moves by exact SGD steps with the gradients at x. The literature writes C(gamma
 * g_i + e_i); with a fixed step size and a compressor that scales with its row that is the same.
 * Momentum follows the aggregation, in Nesterov's form. A message goes from every node to each of
 * the others; the graph is not used.
 *
 * <p>Source: Karimireddy, Rebjock, Stich, Jaggi, "Error Feedback Fixes SignSGD and other Gradient
 * Compression Schemes", 2019, algorithm 2; Stich, Cordonnier, Jaggi, "Sparsified SGD with Memory",
 * 2018 (many nodes).
 */
public final class EfSgd extends CommonModelOptimizer {
  private final String variant;
  private final double stepSize;
  private final double momentum;
  private final ErrorFeedback feedback;
  private final DeviceMatrix gradient;
  private final DeviceMatrix mean;
  private DeviceMatrix velocity;
  private DeviceMatrix nextVelocity;
  private boolean encoded;

  private EfSgd(Builder builder) {
    super("ef-sgd", builder);
    this.variant = builder.compressor.name() + ", momentum " + builder.momentum;
    this.stepSize = builder.stepSize;
    this.momentum = builder.momentum;
    Codec codec =
        own(
            builder.compressor.bind(
                parameters(), new Codec.Sender(network().firstNode(), builder.seed, 0)));
    this.feedback = own(new ErrorFeedback(codec, parameters()));
    this.gradient = own(parameters().like());
    this.mean = own(model().row().like());
    this.velocity = own(mean.like());
    this.nextVelocity = own(mean.like());
  }

  /**
   * @param problem the local objectives
   * @param network any schedule for the same nodes as the problem, none of which fails
   * @param initial the common start, one row; F32; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void undo() {
    if (encoded) {
      feedback.undo();
    }
  }

  @Override
  void iterate() {
    encoded = false;
    problem().gradient(parameters(), gradient, round());
    Messages messages = feedback.encode(gradient, round());
    encoded = true;
    average(messages, mean);
    Expression next = Expression.outer(model().row()).plusOuter(-stepSize, mean);
    if (momentum == 0) {
      propose(next);
    } else {
      Mixing.combine(Expression.outer(momentum, velocity).plusOuter(mean), nextVelocity);
      propose(next.plusOuter(-stepSize * momentum, nextVelocity));
      DeviceMatrix old = velocity;
      velocity = nextVelocity;
      nextVelocity = old;
    }
    model().accept();
  }

  /** What the messages have lost so far, e_i of the own nodes, localNodes x d. */
  public DeviceMatrix residual() {
    return feedback.residual();
  }

  @Override
  String variant() {
    return variant;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>(super.state());
    state.put("velocity", velocity);
    state.putAll(feedback.state());
    return state;
  }

  /** Settings of {@link EfSgd}. */
  public static final class Builder extends CompressedBuilder<Builder> {
    private double momentum;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** The momentum lambda, 0 or larger and below 1. Default: 0, none. */
    public Builder momentum(double momentum) {
      if (!(momentum >= 0 && momentum < 1)) {
        throw new IllegalArgumentException("a momentum of " + momentum + " is not in [0, 1)");
      }
      this.momentum = momentum;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the
     *     compressor is not contractive
     */
    public EfSgd build() {
      Promise.requireRepairable("EF-SGD", compressor, problem.layout().size());
      return new EfSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
