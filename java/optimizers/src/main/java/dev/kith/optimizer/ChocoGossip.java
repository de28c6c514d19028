package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.Identity;
import dev.kith.compress.Messages;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.MessageMixing;
import dev.kith.network.Network;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * CHOCO-gossip: averaging with compressed messages, of any quality, that reaches the exact mean.
 *
 * <pre>
 * q_i = Q(x_i - xh_i)                 is sent to the neighbours
 * xh_i' = xh_i + q_i                  what the others know of x_i, 0 at first
 * s_i'  = s_i + sum_j w_ij q_j        = sum_j w_ij xh_j'
 * x_i'  = x_i + gamma (s_i' - xh_i')
 * </pre>
 *
 * <p>The mean over the nodes stays what it is for every Q, up to rounding, and where Q is
 * contractive the nodes come to it linearly; gossip on compressed iterates stalls. With Q =
 * identity and gamma = 1 it is x' = W x. A node keeps xh and s, two rows, whatever its degree. Used
 * by one thread at a time.
 *
 * <p>Source: Koloskova, Stich, Jaggi, "Decentralized Stochastic Optimization and Gossip Algorithms
 * with Compressed Communication", 2019, algorithm 1 and its memory-efficient form; with the
 * theorem's step size unless told otherwise.
 */
public final class ChocoGossip implements AutoCloseable {
  private final Network network;
  private final double consensusStepSize;
  private final Codec codec;
  private final Messages messages;
  private final DeviceMatrix known;
  private final DeviceMatrix sum;
  private boolean encoded;

  private ChocoGossip(Builder builder) {
    MixingMatrix w =
        LockstepOptimizer.fixedSymmetric(
            "CHOCO", builder.network, MixingMatrix.Kind.DOUBLY_STOCHASTIC);
    Layout layout = builder.like.layout().orElseGet(() -> Layout.flat(builder.like.cols()));
    Promise.requireRepairable("CHOCO", builder.compressor, layout);
    this.network = builder.network;
    this.consensusStepSize =
        builder.consensusStepSize.orElseGet(
            () -> theoreticalStepSize(w, builder.compressor, layout));
    this.codec =
        builder.compressor.bind(
            builder.like, new Codec.Sender(network.firstNode(), builder.seed, builder.channel));
    this.messages = codec.messages();
    this.known = builder.like.like();
    this.sum = builder.like.like();
  }

  /**
   * @param network one fixed symmetric doubly stochastic matrix
   * @param like the rows that are to be averaged, or others of their shape; F32
   */
  public static Builder builder(Network network, DeviceMatrix like) {
    return new Builder(network, like);
  }

  /**
   * The consensus step size of the theorem: rho^2 delta / (16 rho + rho^2 + 4 beta^2 + 2 rho beta^2
   * - 8 rho delta) with rho the spectral gap of W and beta = |I - W|. It is far on the safe side:
   * values of 0.01 to 1 are usual.
   *
   * @throws IllegalArgumentException when the compressor is not contractive
   */
  public static double theoreticalStepSize(MixingMatrix w, Compressor compressor, Layout layout) {
    double delta = Promise.delta("CHOCO's consensus step size", compressor, layout);
    Promise.requireContractive("CHOCO", compressor, layout);
    double gap = w.spectralGap();
    double beta = w.nodes() == 1 ? 0 : 1 - w.smallestEigenvalue();
    return gap
        * gap
        * delta
        / (16 * gap + gap * gap + 4 * beta * beta + 2 * gap * beta * beta - 8 * gap * delta);
  }

  /** gamma. */
  public double consensusStepSize() {
    return consensusStepSize;
  }

  /**
   * One round of gossip; the network's round becomes {@code round}.
   *
   * @param x localNodes x d
   * @param result localNodes x d; may be {@code x}
   * @param round larger than that of the call before
   * @throws NonFiniteException when a row is not finite; nothing has changed then
   */
  public void mix(DeviceMatrix x, DeviceMatrix result, long round) {
    encoded = false;
    network.round(round);
    codec.encode(x, Optional.of(known), Optional.empty(), messages, round);
    encoded = true;
    MessageMixing exchanged = network.exchange(messages);
    OptionalInt node = network.nonFiniteNode();
    if (node.isPresent()) {
      throw new NonFiniteException(node.getAsInt(), round, "the gradient or the parameters");
    }
    codec.accumulate(Optional.empty(), messages, Optional.empty(), true, known);
    exchanged.accumulate(true, sum);
    Mixing.combine(
        Expression.outer(x).plusOuter(consensusStepSize, sum).plusOuter(-consensusStepSize, known),
        result);
    encoded = false;
  }

  /** Puts back what a round that failed has changed. */
  void undo() {
    if (encoded) {
      codec.undo();
      encoded = false;
    }
  }

  /** Bytes of a row in f32 divided by those of the payload of its message. */
  public double ratio() {
    return codec.ratio();
  }

  /** xh_i of the own nodes: what the others know of them, localNodes x d. */
  public DeviceMatrix known() {
    return known;
  }

  /** The matrices that a snapshot keeps, by name. */
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("known", known);
    state.put("sum", sum);
    codec.state().forEach((key, matrix) -> state.put("codec." + key, matrix));
    return state;
  }

  /** Releases its state, not the network; idempotent. */
  @Override
  public void close() {
    messages.close();
    known.close();
    sum.close();
    codec.close();
  }

  /** Settings of {@link ChocoGossip}. */
  public static final class Builder {
    private final Network network;
    private final DeviceMatrix like;
    private Compressor compressor = new Identity();
    private OptionalDouble consensusStepSize = OptionalDouble.empty();
    private long seed = 1;
    private int channel;

    private Builder(Network network, DeviceMatrix like) {
      this.network = Objects.requireNonNull(network, "network");
      this.like = Objects.requireNonNull(like, "like");
    }

    /** What the messages are compressed by. Default: identity, which loses nothing. */
    public Builder compressor(Compressor compressor) {
      this.compressor = Objects.requireNonNull(compressor, "compressor");
      return this;
    }

    /**
     * gamma, above 0 and at most 1. Default: {@link #theoreticalStepSize}, for which the compressor
     * has to be contractive.
     */
    public Builder consensusStepSize(double consensusStepSize) {
      if (!(consensusStepSize > 0 && consensusStepSize <= 1)) {
        throw new IllegalArgumentException(
            "a consensus step size of " + consensusStepSize + " is not above 0 and at most 1");
      }
      this.consensusStepSize = OptionalDouble.of(consensusStepSize);
      return this;
    }

    /** The seed of everything drawn at random, the same in all processes. Default: 1. */
    public Builder seed(long seed) {
      this.seed = seed;
      return this;
    }

    /** Which of several quantities that travel over the network it averages. Default: 0. */
    public Builder channel(int channel) {
      this.channel = channel;
      return this;
    }

    /**
     * @throws IllegalArgumentException when the weights change, are not symmetric or not doubly
     *     stochastic, the rows are not F32, or the compressor is not contractive; power-sgd needs a
     *     consensus step size
     */
    public ChocoGossip build() {
      return new ChocoGossip(this);
    }
  }
}
