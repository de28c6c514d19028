package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.Messages;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.MessageMixing;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * C-GT, gradient tracking with compressed differences of parameters and trackers.
 *
 * <pre>
 * qx = C(x - hx),   qy = C(y - hy)                  are sent to the neighbours
 * X' = X - gamma ((Hx + Qx) - (Hxw + W Qx)) - eta Y
 * Y' = Y - gamma ((Hy + Qy) - (Hyw + W Qy)) + G(X') - G(X),   Y = G(X) at first
 * Hx' = Hx + alpha Qx,   Hxw' = Hxw + alpha W Qx,   and so for y;   all 0 at first
 * </pre>
 *
 * <p>It converges linearly to the exact optimum of strongly convex objectives although the nodes
 * differ, for compressors that are contractive, or unbiased with alpha up to 1 / (1 + omega). The
 * mean of Y is the mean gradient whatever is lost. With C = identity, gamma = 1 and alpha = 1 it is
 * {@link GradientTracking} in its form CTA. A round sends two messages to every neighbour.
 *
 * <p>Source: Liao, Li, Huang, Pu, "A Compressed Gradient Tracking Method for Decentralized
 * Optimization with Linear Convergence", 2022, algorithm 1.
 */
public final class CompressedGradientTracking extends LockstepOptimizer {
  private final String variant;
  private final double stepSize;
  private final double consensusStepSize;
  private final Part position;
  private final Part direction;
  private DeviceMatrix x;
  private DeviceMatrix tracker;
  private DeviceMatrix gradient;
  private DeviceMatrix nextX;
  private DeviceMatrix nextTracker;
  private DeviceMatrix nextGradient;

  /** What is known of one of the two quantities: H and H_w, and what they would become. */
  private static final class Part implements AutoCloseable {
    private final double alpha;
    private final Codec codec;
    private final Messages messages;
    private final DeviceMatrix known;
    private final DeviceMatrix mixed;
    private final DeviceMatrix decoded;
    private final DeviceMatrix mixedDecoded;

    Part(Codec codec, DeviceMatrix like, double alpha) {
      this.alpha = alpha;
      this.codec = codec;
      this.messages = codec.messages();
      this.known = like.like();
      this.mixed = like.like();
      this.decoded = like.like();
      this.mixedDecoded = like.like();
    }

    Messages encode(DeviceMatrix z, long round) {
      codec.encode(z, Optional.of(known), Optional.empty(), messages, round);
      return messages;
    }

    /** Forms H + Q and H_w + W Q. */
    void decode(MessageMixing exchanged) {
      decoded.copyFrom(known);
      codec.accumulate(Optional.empty(), messages, Optional.empty(), true, decoded);
      mixedDecoded.copyFrom(mixed);
      exchanged.accumulate(true, mixedDecoded);
    }

    /** Takes over alpha of what came. */
    void absorb() {
      Mixing.combine(Expression.outer(1 - alpha, known).plusOuter(alpha, decoded), known);
      Mixing.combine(Expression.outer(1 - alpha, mixed).plusOuter(alpha, mixedDecoded), mixed);
    }

    void addState(String name, Map<String, DeviceMatrix> state) {
      state.put(name + ".known", known);
      state.put(name + ".mixed", mixed);
      codec.state().forEach((key, matrix) -> state.put(name + ".codec." + key, matrix));
    }

    @Override
    public void close() {
      messages.close();
      known.close();
      mixed.close();
      decoded.close();
      mixedDecoded.close();
      codec.close();
    }
  }

  private CompressedGradientTracking(Builder builder) {
    super("c-gt", builder.problem, builder.network);
    fixedSymmetric("C-GT", builder.network, MixingMatrix.Kind.DOUBLY_STOCHASTIC);
    this.stepSize = builder.stepSize;
    this.consensusStepSize = builder.consensusStepSize;
    this.x = start(builder.initial);
    this.tracker = own(x.like());
    this.gradient = own(x.like());
    this.nextX = own(x.like());
    this.nextTracker = own(x.like());
    this.nextGradient = own(x.like());
    this.position = own(new Part(codec(builder, 0), x, builder.alpha));
    this.direction = own(new Part(codec(builder, 1), x, builder.alpha));
    this.variant =
        builder.compressor.name()
            + ", consensus step size "
            + consensusStepSize
            + ", alpha "
            + builder.alpha;
  }

  private Codec codec(Builder builder, int channel) {
    return builder.compressor.bind(
        x, new Codec.Sender(network().firstNode(), builder.seed, channel));
  }

  /**
   * @param problem the local objectives
   * @param network one fixed symmetric doubly stochastic matrix, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    int encoded = 0;
    try {
      if (round() == 0) {
        problem().gradient(x, gradient, 0);
        tracker.copyFrom(gradient);
      }
      Messages positions = position.encode(x, round());
      encoded++;
      Messages directions = direction.encode(tracker, round());
      encoded++;
      MessageMixing mixedPositions = network().exchange(positions);
      requireFinite();
      MessageMixing mixedDirections = network().exchange(directions);
      requireFinite();
      position.decode(mixedPositions);
      direction.decode(mixedDirections);
      Mixing.combine(
          Expression.outer(x)
              .plusOuter(-consensusStepSize, position.decoded)
              .plusOuter(consensusStepSize, position.mixedDecoded)
              .plusOuter(-stepSize, tracker),
          nextX);
      problem().gradient(nextX, nextGradient, round() + 1);
      requireFinite(nextGradient, "the gradient");
    } catch (RuntimeException | Error e) {
      if (encoded > 0) {
        position.codec.undo();
      }
      if (encoded > 1) {
        direction.codec.undo();
      }
      throw e;
    }
    Mixing.combine(
        Expression.inner(nextGradient)
            .plusInner(-1, gradient)
            .plusInner(tracker)
            .plusOuter(-consensusStepSize, direction.decoded)
            .plusOuter(consensusStepSize, direction.mixedDecoded),
        nextTracker);
    position.absorb();
    direction.absorb();
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

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  /** The estimate Y of the mean gradient, localNodes x d; valid until the next step. */
  public DeviceMatrix tracker() {
    return tracker;
  }

  /** The gradient that the tracker last took in, localNodes x d; valid until the next step. */
  public DeviceMatrix gradient() {
    return gradient;
  }

  @Override
  public Optional<Compression> compression() {
    return Optional.of(Compression.of(position.codec.ratio(), x, position.known));
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.put("tracker", tracker);
    state.put("gradient", gradient);
    position.addState("position", state);
    direction.addState("direction", state);
    return state;
  }

  @Override
  String variant() {
    return variant;
  }

  /** Settings of {@link CompressedGradientTracking}. */
  public static final class Builder extends CompressedBuilder<Builder> {
    private double consensusStepSize = 0.1;
    private double alpha = 1;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** gamma, above 0 and at most 1. Default: 0.1; the more is lost, the smaller it has to be. */
    public Builder consensusStepSize(double consensusStepSize) {
      if (!(consensusStepSize > 0 && consensusStepSize <= 1)) {
        throw new IllegalArgumentException(
            "a consensus step size of " + consensusStepSize + " is not above 0 and at most 1");
      }
      this.consensusStepSize = consensusStepSize;
      return this;
    }

    /** How much of a message the nodes take for known, above 0 and at most 1. Default: 1. */
    public Builder alpha(double alpha) {
      if (!(alpha > 0 && alpha <= 1)) {
        throw new IllegalArgumentException(
            "an alpha of " + alpha + " is not above 0 and at most 1");
      }
      this.alpha = alpha;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the weights
     *     change, are not symmetric or not doubly stochastic, or the compressor is neither
     *     contractive nor unbiased with an omega of at most 1 / alpha - 1
     */
    public CompressedGradientTracking build() {
      Promise.requireContractiveOrScaled("C-GT", compressor, problem.layout(), alpha);
      return new CompressedGradientTracking(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
