package dev.kith.optimizer;

import dev.kith.compress.AdaptiveLowRank;
import dev.kith.compress.Codec;
import dev.kith.compress.ErrorFeedback;
import dev.kith.compress.Messages;
import dev.kith.compress.PowerSgd;
import dev.kith.compress.RankWindow;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

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
  private final Optional<ErrorFeedback> feedback;
  private final Optional<AdaptiveLowRank> adaptive;
  private final Optional<DeviceMatrix> gradient;
  private final DeviceMatrix mean;
  private DeviceMatrix velocity;
  private DeviceMatrix nextVelocity;
  private boolean encoded;

  private EfSgd(Builder builder) {
    super("ef-sgd", builder);
    this.variant =
        builder.compressor.name()
            + ", momentum "
            + builder.momentum
            + builder
                .share
                .map(share -> ", rank for " + share + " of " + builder.window)
                .orElse("");
    this.stepSize = builder.stepSize;
    this.momentum = builder.momentum;
    Codec.Sender sender = new Codec.Sender(network().firstNode(), builder.seed, 0);
    if (builder.share.isPresent()) {
      if (!(builder.compressor instanceof PowerSgd largest)) {
        throw new IllegalArgumentException(
            "the compressor "
                + builder.compressor.name()
                + " has no rank that could adapt: take power-sgd, or leave the rank alone");
      }
      this.adaptive =
          Optional.of(
              own(
                  new AdaptiveLowRank(
                      largest, parameters(), sender, builder.share.get(), builder.window)));
      this.feedback = Optional.empty();
    } else {
      Codec codec = own(builder.compressor.bind(parameters(), sender));
      this.feedback = Optional.of(own(new ErrorFeedback(codec, parameters())));
      this.adaptive = Optional.empty();
    }
    this.gradient = adaptive.map(rank -> own(parameters().like()));
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
      feedback.ifPresent(ErrorFeedback::undo);
      adaptive.ifPresent(AdaptiveLowRank::undo);
    }
  }

  @Override
  void iterate() {
    encoded = false;
    Messages messages = encode();
    encoded = true;
    average(messages, mean);
    Expression next = Expression.outer(model().row()).plusOuter(-stepSize, mean);
    if (momentum != 0) {
      Mixing.combine(Expression.outer(momentum, velocity).plusOuter(mean), nextVelocity);
      next = next.plusOuter(-stepSize * momentum, nextVelocity);
    }
    propose(next);
    adaptive.ifPresent(rank -> rank.observe(mean));
    if (momentum != 0) {
      DeviceMatrix old = velocity;
      velocity = nextVelocity;
      nextVelocity = old;
    }
    model().accept();
  }

  private Messages encode() {
    if (adaptive.isPresent()) {
      DeviceMatrix g = gradient.orElseThrow();
      problem().gradient(parameters(), g, round());
      return adaptive.get().encode(g, round());
    }
    ErrorFeedback errors = feedback.orElseThrow();
    problem().gradient(parameters(), errors.input(), round());
    return errors.encode(round());
  }

  /** What the messages have lost so far, e_i of the own nodes, localNodes x d. */
  public DeviceMatrix residual() {
    return adaptive
        .map(AdaptiveLowRank::residual)
        .orElseGet(() -> feedback.orElseThrow().residual());
  }

  @Override
  long[] counters() {
    return adaptive.map(AdaptiveLowRank::counters).orElseGet(super::counters);
  }

  @Override
  void counters(long[] values) {
    adaptive.ifPresent(rank -> rank.counters(values));
  }

  @Override
  String variant() {
    return variant;
  }

  @Override
  public Optional<Compression> compression() {
    double ratio =
        adaptive
            .map(AdaptiveLowRank::ratio)
            .orElseGet(() -> feedback.orElseThrow().codec().ratio());
    return Optional.of(Compression.of(ratio, residual()));
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>(super.state());
    state.put("velocity", velocity);
    feedback.ifPresent(f -> state.putAll(f.state()));
    adaptive.ifPresent(rank -> state.putAll(rank.state()));
    return state;
  }

  /** Settings of {@link EfSgd}. */
  public static final class Builder extends CompressedBuilder<Builder> {
    private double momentum;
    private Optional<Double> share = Optional.empty();
    private int window = RankWindow.LENGTH;

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
     * Lets the rank of the compressor, which is power-sgd with or without a quantizer, follow what
     * is sent, as {@link AdaptiveLowRank} says; DiLoCoX takes {@code power-sgd:r+int4}. Default:
     * the rank stays.
     *
     * @param share of the squared singular values, above 0 and at most 1; {@link
     *     AdaptiveLowRank#SHARE}
     * @param window how many rounds the rank is the mean of; {@link RankWindow#LENGTH}
     */
    public Builder adaptiveRank(double share, int window) {
      this.share = Optional.of(share);
      this.window = window;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the
     *     compressor is not contractive, or has no rank that is to adapt
     */
    public EfSgd build() {
      Promise.requireRepairable("EF-SGD", compressor, problem.layout());
      return new EfSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
