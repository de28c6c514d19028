package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.ErrorFeedback;
import dev.kith.compress.Messages;
import dev.kith.compress.TopK;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Sparsify;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * DGC, SGD on the largest elements with momentum correction: every node keeps its momentum and
 * gathers velocities, not gradients, until they are large enough to be sent.
 *
 * <pre>
 * u_i  = lambda u_i + g_i
 * v_i  = v_i + u_i
 * c_i  = top-k(v_i)                    is sent;  v_i and u_i become 0 where it has entries
 * x'   = x - gamma (1/n) sum_i c_i
 * </pre>
 *
 * <p>Setting u to 0 there (momentum factor masking) keeps stale momentum from being sent twice.
 * With lambda = 0 it is {@link EfSgd} with top-k. The clipping and the warm-up of the paper are
 * left to the caller. A message goes from every node to each of the others; the graph is not used.
 *
 * <p>Source: Lin, Han, Mao, Wang, Dally, "Deep Gradient Compression: Reducing the Communication
 * Bandwidth for Distributed Training", 2018, algorithm 4.
 */
public final class DeepGradientCompression extends CommonModelOptimizer {
  private final String variant;
  private final double stepSize;
  private final double momentum;
  private final ErrorFeedback feedback;
  private final DeviceMatrix gradient;
  private final DeviceMatrix zeros;
  private final DeviceMatrix masked;
  private final DeviceMatrix mean;
  private DeviceMatrix velocity;
  private DeviceMatrix nextVelocity;
  private boolean encoded;

  private DeepGradientCompression(Builder builder) {
    super("dgc", builder);
    this.variant = builder.compressor.name() + ", momentum " + builder.momentum;
    this.stepSize = builder.stepSize;
    this.momentum = builder.momentum;
    Codec codec =
        own(
            builder.compressor.bind(
                parameters(), new Codec.Sender(network().firstNode(), builder.seed, 0)));
    this.feedback = own(new ErrorFeedback(codec, parameters()));
    this.gradient = own(parameters().like());
    this.zeros = own(parameters().like());
    this.masked = own(zeros.like(zeros.rows(), codec.words() / 2, DType.I32));
    this.velocity = own(parameters().like());
    this.nextVelocity = own(parameters().like());
    this.mean = own(model().row().like());
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
    Mixing.combine(Expression.outer(momentum, velocity).plusOuter(gradient), nextVelocity);
    Messages messages = feedback.encode(nextVelocity, round());
    encoded = true;
    average(messages, mean);
    propose(Expression.outer(model().row()).plusOuter(-stepSize, mean));
    mask(messages);
    DeviceMatrix old = velocity;
    velocity = nextVelocity;
    nextVelocity = old;
    model().accept();
  }

  /** Takes what was sent out of the velocities: all of these elements are "sent" once more. */
  private void mask(Messages messages) {
    try (DeviceMatrix columns = messages.words().columns(0, masked.cols())) {
      Sparsify.at(
          zeros, Optional.empty(), Optional.of(nextVelocity), columns, 1, masked, Optional.empty());
    }
  }

  /** v_i, what is gathered and not sent, localNodes x d. */
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

  /**
   * Settings of {@link DeepGradientCompression}. The default of the compressor is top-k:0.001, the
   * paper's.
   */
  public static final class Builder extends CompressedBuilder<Builder> {
    private double momentum = 0.9;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
      compressor = Compressor.parse("top-k:0.001");
    }

    /** lambda, 0 or larger and below 1. Default: 0.9, the paper's. */
    public Builder momentum(double momentum) {
      if (!(momentum >= 0 && momentum < 1)) {
        throw new IllegalArgumentException("a momentum of " + momentum + " is not in [0, 1)");
      }
      this.momentum = momentum;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the
     *     compressor is not top-k
     */
    public DeepGradientCompression build() {
      if (!(compressor instanceof TopK)) {
        throw new IllegalArgumentException(
            "DGC masks the momentum of the entries it sends, and "
                + compressor.name()
                + " is not top-k: take top-k, or EF-SGD");
      }
      return new DeepGradientCompression(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
