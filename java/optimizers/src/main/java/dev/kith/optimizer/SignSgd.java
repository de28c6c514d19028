package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.Messages;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Code;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Quantize;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * signSGD with majority vote: every node sends one bit for each element, and all step by what the
 * majority says.
 *
 * <pre>
 * m_i' = beta m_i + (1 - beta) g_i
 * s_i  = sign(m_i')                        is sent, one bit an element, sign(0) = +1
 * x'   = x - gamma sign(sum_i s_i)         ties are +1
 * </pre>
 *
 * <p>With beta above 0 it is Signum. A step changes every element by gamma, so it ends in a cube of
 * that size around a minimum, and nodes that differ may keep it from the optimum; a minority of
 * nodes that send anything cannot turn the vote. A message goes from every node to each of the
 * others; the graph is not used.
 *
 * <p>Source: Bernstein, Wang, Azizzadenesheli, Anandkumar, "signSGD: Compressed Optimisation for
 * Non-Convex Problems", 2018; Bernstein, Zhao, Azizzadenesheli, Anandkumar, "signSGD with Majority
 * Vote is Communication Efficient and Fault Tolerant", 2019, algorithm 1.
 */
public final class SignSgd extends CommonModelOptimizer {
  private final double stepSize;
  private final double momentum;
  private final Code code = Code.sign();
  private final Messages messages;
  private final DeviceMatrix gradient;
  private final DeviceMatrix votes;
  private final DeviceMatrix sign;
  private DeviceMatrix velocity;
  private DeviceMatrix nextVelocity;

  private SignSgd(Builder builder) {
    super("sign-sgd", builder);
    this.stepSize = builder.stepSize;
    this.momentum = builder.momentum;
    Codec codec =
        own(
            Compressor.parse("sign")
                .bind(parameters(), new Codec.Sender(network().firstNode(), 0, 0)));
    this.messages = own(codec.messages());
    this.gradient = own(parameters().like());
    this.velocity = own(parameters().like());
    this.nextVelocity = own(parameters().like());
    this.sign = own(model().row().like());
    this.votes = own(sign.like(1, codec.words(), DType.I32));
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
  void iterate() {
    problem().gradient(parameters(), gradient, round());
    Mixing.combine(
        Expression.outer(momentum, velocity).plusOuter(1 - momentum, gradient), nextVelocity);
    messages.codec().encode(nextVelocity, messages, round());
    Messages all = network().gather(messages);
    OptionalInt node = all.nonFiniteNode();
    if (node.isPresent()) {
      throw new NonFiniteException(node.getAsInt(), round(), "the gradient");
    }
    Quantize.majority(all.words(), sign.cols(), votes);
    Quantize.accumulate(Optional.empty(), code, votes, Optional.empty(), false, sign);
    propose(Expression.outer(model().row()).plusOuter(-stepSize, sign));
    DeviceMatrix old = velocity;
    velocity = nextVelocity;
    nextVelocity = old;
    model().accept();
  }

  @Override
  String variant() {
    return "momentum " + momentum;
  }

  /** Signs are sent and nothing is kept for later. */
  @Override
  public Optional<Compression> compression() {
    return Optional.of(Compression.of(messages.codec().ratio(), 0, network().localNodes()));
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>(super.state());
    state.put("velocity", velocity);
    return state;
  }

  /** Settings of {@link SignSgd}. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private double momentum;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** beta, 0 or larger and below 1. Default: 0, signSGD; the papers use 0.9 for Signum. */
    public Builder momentum(double momentum) {
      if (!(momentum >= 0 && momentum < 1)) {
        throw new IllegalArgumentException("a momentum of " + momentum + " is not in [0, 1)");
      }
      this.momentum = momentum;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit
     */
    public SignSgd build() {
      return new SignSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
