package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.ErrorFeedback;
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
 * DeepSqueeze: decentralized SGD whose nodes send their compressed parameters and add what a
 * message lost to the next one.
 *
 * <pre>
 * y_i  = x_i - eta g_i(x_i)
 * v_i  = y_i + e_i
 * c_i  = C(v_i)                        is sent to the neighbours,   e_i' = v_i - c_i
 * x_i' = y_i + gamma (sum_j w_ij c_j - c_i)
 * </pre>
 *
 * <p>For a contractive C, biased or not. Unlike {@link ChocoSgd} nothing has to be known of the
 * neighbours, so W may change from round to round; but whole parameters are compressed and not
 * differences, which stops farther from consensus. The mean moves as in central SGD. Any rule and
 * any number of local steps take the place of x - eta g. With C = identity and gamma = 1 it is
 * {@link DecentralizedSgd} in its form ATC.
 *
 * <p>Source: Tang, Lian, Qiu, Yuan, Zhang, Zhang, Liu, "DeepSqueeze: Decentralization Meets
 * Error-Compensated Compression", 2019, algorithm 1.
 */
public final class DeepSqueeze extends LockstepOptimizer {
  private final String variant;
  private final double consensusStepSize;
  private final LocalSteps local;
  private final Codec codec;
  private final ErrorFeedback feedback;
  private final DeviceMatrix formed;
  private final DeviceMatrix sum;
  private final DeviceMatrix own;
  private DeviceMatrix x;
  private DeviceMatrix next;
  private boolean encoded;

  private DeepSqueeze(Builder builder) {
    super("deepsqueeze", builder.problem, builder.network);
    requireWeights(builder.network.schedule().at(0));
    this.consensusStepSize = builder.consensusStepSize;
    this.x = start(builder.initial);
    this.next = own(x.like());
    this.formed = own(x.like());
    this.sum = own(x.like());
    this.own = own(x.like());
    this.codec =
        own(builder.compressor.bind(x, new Codec.Sender(network().firstNode(), builder.seed, 0)));
    this.feedback = own(new ErrorFeedback(codec, x));
    this.local = own(new LocalSteps(this, builder, x));
    this.variant =
        LocalSteps.variant(builder)
            + ", "
            + builder.compressor.name()
            + ", consensus step size "
            + consensusStepSize;
  }

  /**
   * @param problem the local objectives
   * @param network doubly stochastic weights, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void requireWeights(MixingMatrix w) {
    if (w.kind() != MixingMatrix.Kind.DOUBLY_STOCHASTIC) {
      throw new IllegalArgumentException(
          "DeepSqueeze needs doubly stochastic weights, not a matrix of kind "
              + w.kind()
              + ": only they keep the mean");
    }
    requireAllNodes();
  }

  @Override
  void undo() {
    local.undo();
    if (encoded) {
      feedback.undo();
    }
  }

  @Override
  void iterate() {
    encoded = false;
    DeviceMatrix stepped = local.advance(x).formed(formed);
    Messages messages = feedback.encode(stepped, round());
    encoded = true;
    MessageMixing exchanged = network().exchange(messages);
    requireFinite();
    exchanged.accumulate(false, sum);
    codec.decode(messages, own);
    Mixing.combine(
        Expression.outer(stepped)
            .plusOuter(consensusStepSize, sum)
            .plusOuter(-consensusStepSize, own),
        next);
    DeviceMatrix done = x;
    x = next;
    next = done;
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  /** What the messages have lost so far, e_i of the own nodes, localNodes x d. */
  public DeviceMatrix residual() {
    return feedback.residual();
  }

  @Override
  public Optional<Compression> compression() {
    return Optional.of(Compression.of(feedback.codec().ratio(), feedback.residual()));
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.putAll(feedback.state());
    state.putAll(local.state());
    return state;
  }

  @Override
  String variant() {
    return variant;
  }

  @Override
  long[] counters() {
    return new long[] {local.steps()};
  }

  @Override
  void counters(long[] values) {
    local.steps(values[0]);
  }

  /** Settings of {@link DeepSqueeze}. */
  public static final class Builder extends CompressedLocalBuilder<Builder> {
    private double consensusStepSize = 0.1;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * gamma (the paper's eta), above 0 and at most 1. Default: 0.1; the more is lost, the smaller
     * it has to be.
     */
    public Builder consensusStepSize(double consensusStepSize) {
      if (!(consensusStepSize > 0 && consensusStepSize <= 1)) {
        throw new IllegalArgumentException(
            "a consensus step size of " + consensusStepSize + " is not above 0 and at most 1");
      }
      this.consensusStepSize = consensusStepSize;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the weights are
     *     not doubly stochastic, or the compressor is not contractive
     */
    public DeepSqueeze build() {
      Promise.requireRepairable("DeepSqueeze", compressor, problem.layout());
      return new DeepSqueeze(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
