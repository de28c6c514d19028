package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * Gradient tracking with variance-reduced aggregation (VRA-DGT, and VRA-DSGT with hybrid
 * gradients), for messages that arrive inexactly: quantised, with noise for privacy, or through a
 * noisy channel. With
 *
 * <pre>gamma_k = k0 / (k + k0)      a_k = a_0 k0 / (k + k0)</pre>
 *
 * <p>every node keeps a cumulative tracker S and two estimates Q_x of W X and Q_s of W S:
 *
 * <pre>
 * S' = S + gamma_k (Q_s - S) + a_k D                        S = 0, Q_s = 0 at first
 * X' = X + gamma_k (Q_x - X) - (S' - S)                     Q_x = W X at first
 * Q' = (1 - gamma_k) Q + gamma_k W (Z + (Z' - Z) / gamma_k)  for both, of the message in brackets
 * </pre>
 *
 * <p>What travels is the message in brackets, and its errors enter with the weight gamma_k: without
 * errors Q is W Z exactly, with errors of variance s^2 and a fixed gamma its error has the variance
 * gamma / (2 - gamma) s^2 at most. S' - S follows a_k times the mean gradient, and errors do not
 * add up in it. D is G(X) in VRA-DGT. In VRA-DSGT it is, with the same sample xi in both gradients,
 *
 * <pre>D^k = G(X^k; xi) + (1 - gamma_k) (D^(k-1) - G(X^(k-1); xi)),      D^0 = G(X^0; xi)</pre>
 *
 * <p>so two gradients a round. On strongly convex objectives the mean squared error falls as 1 / k,
 * where plain {@link GradientTracking} with a fixed step size adds the errors up and diverges. A
 * node sends 2 d numbers to each neighbour a round, in two messages, and d more in the first. k0 =
 * infinity fixes both gains, gamma = 1: then it is {@link GradientTracking} (CTA) with a_0 as the
 * step size.
 *
 * <p>Source: "Efficient Gradient Tracking Algorithms for Distributed Optimization Problems with
 * Inexact Communication". Reconstructed from its abstract and the literature on cumulative
 * trackers.
 */
public final class VraGradientTracking extends LockstepOptimizer {
  private final double stepSize;
  private final double dampingRounds;
  private final boolean hybrid;
  private final String variant;
  private final DeviceMatrix gradient;
  private final Optional<Encoder> positions;
  private final Optional<Encoder> trackers;
  private final double ratio;
  private DeviceMatrix x;
  private DeviceMatrix s;
  private DeviceMatrix mixedX;
  private DeviceMatrix mixedS;
  private DeviceMatrix nextX;
  private DeviceMatrix nextS;
  private DeviceMatrix nextMixedX;
  private DeviceMatrix nextMixedS;

  /** Only of hybrid gradients: X and D of the round before, and where D is formed. */
  private Optional<Hybrid> estimate = Optional.empty();

  private record Hybrid(DeviceMatrix before, DeviceMatrix direction, DeviceMatrix next) {}

  private VraGradientTracking(Builder builder) {
    super(builder.hybrid ? "vra-dsgt" : "vra-dgt", builder.problem, builder.network);
    if (builder.network.schedule().period() != 1) {
      throw new IllegalArgumentException(
          name() + " needs one fixed mixing matrix, not a schedule that changes");
    }
    requireWeights(builder.network.schedule().at(0));
    this.stepSize = builder.stepSize;
    this.dampingRounds = builder.dampingRounds;
    this.hybrid = builder.hybrid;
    this.x = start(builder.initial);
    this.s = own(x.like());
    this.mixedX = own(x.like());
    this.mixedS = own(x.like());
    this.nextX = own(x.like());
    this.nextS = own(x.like());
    this.nextMixedX = own(x.like());
    this.nextMixedS = own(x.like());
    this.gradient = own(x.like());
    if (hybrid) {
      this.estimate = Optional.of(new Hybrid(own(x.like()), own(x.like()), own(x.like())));
    }
    this.positions = builder.compressor.map(c -> own(encoder(c, builder.seed, 0)));
    this.trackers = builder.compressor.map(c -> own(encoder(c, builder.seed, 1)));
    this.ratio = positions.map(Encoder::ratio).orElse(1.0);
    this.variant = "k0 " + dampingRounds + builder.compressor.map(c -> ", " + c.name()).orElse("");
  }

  private Encoder encoder(Compressor compressor, long seed, int channel) {
    return new Encoder(
        compressor, x, new Codec.Sender(network().firstNode(), seed, channel), false);
  }

  /**
   * @param problem the local objectives
   * @param network one fixed doubly stochastic matrix, for the same nodes as the problem; with
   *     {@link dev.kith.network.ChannelNoise} messages arrive inexactly
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64, with a
   *     compressor F32; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void requireWeights(MixingMatrix w) {
    if (w.kind() != MixingMatrix.Kind.DOUBLY_STOCHASTIC) {
      throw new IllegalArgumentException(
          name()
              + " needs doubly stochastic weights, not a matrix of kind "
              + w.kind()
              + ": take an undirected graph");
    }
  }

  /** gamma_k. */
  private double gain() {
    return 1 / (1 + round() / dampingRounds);
  }

  @Override
  void undo() {
    positions.ifPresent(Encoder::undo);
    trackers.ifPresent(Encoder::undo);
  }

  @Override
  void iterate() {
    double gamma = gain();
    if (round() == 0) {
      exchange(positions, Expression.inner(x), 0, mixedX);
      positions.ifPresent(Encoder::keep);
    }
    problem().gradient(x, gradient, round());
    DeviceMatrix direction = estimate.map(h -> direction(h, gamma)).orElse(gradient);
    Mixing.combine(
        Expression.outer(1 - gamma, s)
            .plusOuter(gamma, mixedS)
            .plusOuter(stepSize * gamma, direction),
        nextS);
    Mixing.combine(
        Expression.outer(1 - gamma, x).plusOuter(gamma, mixedX).plusOuter(-1, nextS).plusOuter(s),
        nextX);
    aggregate(trackers, s, nextS, mixedS, nextMixedS, gamma);
    aggregate(positions, x, nextX, mixedX, nextMixedX, gamma);
    trackers.ifPresent(Encoder::keep);
    positions.ifPresent(Encoder::keep);
    rotate();
  }

  /** D, formed beside the one before. */
  private DeviceMatrix direction(Hybrid h, double gamma) {
    if (round() == 0) {
      h.next.copyFrom(gradient);
      return h.next;
    }
    problem().gradient(h.before, nextS, round());
    Mixing.combine(
        Expression.outer(gradient).plusOuter(1 - gamma, h.direction).plusOuter(-(1 - gamma), nextS),
        h.next);
    return h.next;
  }

  /** Sends Z + (Z' - Z) / gamma and forms Q'. */
  private void aggregate(
      Optional<Encoder> encoder,
      DeviceMatrix z,
      DeviceMatrix next,
      DeviceMatrix mixed,
      DeviceMatrix nextMixed,
      double gamma) {
    exchange(
        encoder,
        Expression.inner(1 - 1 / gamma, z).plusInner(1 / gamma, next),
        round() + 1,
        nextMixed);
    Mixing.combine(Expression.outer(gamma, nextMixed).plusOuter(1 - gamma, mixed), nextMixed);
  }

  /** to = W message, as it arrives. */
  private void exchange(
      Optional<Encoder> encoder, Expression message, long number, DeviceMatrix to) {
    if (encoder.isEmpty()) {
      network().mix(message, to);
    } else {
      Mixing.combine(message, to);
      network().mix(encoder.get().encode(to, Optional.empty(), number), false, to);
    }
    requireFinite();
  }

  /** Takes over what the round has formed. */
  private void rotate() {
    DeviceMatrix oldX = x;
    x = nextX;
    nextX = estimate.map(Hybrid::before).orElse(oldX);
    estimate = estimate.map(h -> new Hybrid(oldX, h.next, h.direction));
    DeviceMatrix oldS = s;
    s = nextS;
    nextS = oldS;
    DeviceMatrix oldMixedX = mixedX;
    mixedX = nextMixedX;
    nextMixedX = oldMixedX;
    DeviceMatrix oldMixedS = mixedS;
    mixedS = nextMixedS;
    nextMixedS = oldMixedS;
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  /** The cumulative tracker S, localNodes x d; valid until the next step. Zero before the first. */
  public DeviceMatrix tracker() {
    return s;
  }

  /** The estimate Q_x of W X, localNodes x d; valid until the next step. */
  public DeviceMatrix mixed() {
    return mixedX;
  }

  @Override
  public Optional<Compression> compression() {
    return positions.map(e -> Compression.of(ratio, 0, network().localNodes()));
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.put("tracker", s);
    state.put("mixed", mixedX);
    state.put("mixedTracker", mixedS);
    estimate.ifPresent(
        h -> {
          state.put("before", h.before);
          state.put("direction", h.direction);
        });
    positions.ifPresent(e -> e.state().forEach((name, m) -> state.put("positions." + name, m)));
    trackers.ifPresent(e -> e.state().forEach((name, m) -> state.put("trackers." + name, m)));
    return state;
  }

  @Override
  String variant() {
    return variant;
  }

  /** Settings of {@link VraGradientTracking}; the step size is a_0. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private double dampingRounds = 20;
    private boolean hybrid;
    private Optional<Compressor> compressor = Optional.empty();
    private long seed = 1;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * k0, after which the gains have halved; infinity keeps them as they are. The rate 1 / k needs
     * a_0 k0 above 1 / mu, mu the strong convexity. Default: 20, of the run that the equations were
     * checked by.
     */
    public Builder dampingRounds(double k0) {
      if (!(k0 > 0)) {
        throw new IllegalArgumentException(
            "gains that halve after " + k0 + " rounds are impossible: give a number above 0");
      }
      this.dampingRounds = k0;
      return this;
    }

    /** Hybrid gradients: VRA-DSGT, for mini-batches. Default: plain ones, VRA-DGT. */
    public Builder hybrid(boolean hybrid) {
      this.hybrid = hybrid;
      return this;
    }

    /**
     * What messages are quantised by, unbiased; a node uses the quantised message of its own too.
     * Default: none, rows travel as they are.
     */
    public Builder compressor(Compressor compressor) {
      this.compressor = Optional.of(compressor);
      return this;
    }

    /** The seed of what the compressor draws, the same in all processes. Default: 1. */
    public Builder seed(long seed) {
      this.seed = seed;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the weights
     *     change or are not doubly stochastic, or the compressor is not unbiased
     */
    public VraGradientTracking build() {
      compressor.ifPresent(c -> Promise.requireUnbiased("VRA-DGT", c, problem.layout()));
      return new VraGradientTracking(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
