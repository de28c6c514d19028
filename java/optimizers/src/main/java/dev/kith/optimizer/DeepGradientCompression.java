package dev.kith.optimizer;

import dev.kith.compress.Amount;
import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.ErrorFeedback;
import dev.kith.compress.Messages;
import dev.kith.compress.SampledTopK;
import dev.kith.compress.TopK;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Memory;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import dev.kith.kernel.Sparsify;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * DGC, SGD on the largest elements with momentum correction: every node keeps its momentum and
 * gathers velocities, not gradients, until they are large enough to be sent.
 *
 * <pre>
 * g_i  = min(1, C / (sqrt(n) |g_i|)) g_i                where a clipping norm C is given
 * u_i  = lambda u_i + g_i
 * v_i  = v_i + u_i
 * c_i  = the largest k of v_i          are sent;  v_i and u_i become 0 where c_i has entries
 * x'   = x - gamma (1/n) sum_i c_i
 * </pre>
 *
 * <p>Setting u to 0 there (momentum factor masking) keeps stale momentum from being sent twice. A
 * node clips its own gradient before it is gathered, to C / sqrt(n): the mean of n independent
 * gradients of that norm has about the norm C / n, the sum C. In the warm-up more is sent: with
 * stages of w rounds a round t below 4 w sends the share max(k/d, 4^-(1 + t / w)) of a row, 25 %,
 * 6.25 %, 1.56 % and 0.39 %, so that what is not sent is 75 %, 93.75 %, 98.4 %, 99.6 %. With lambda
 * = 0, no clipping and no warm-up it is {@link EfSgd}. A message goes from every node to each of
 * the others; the graph is not used.
 *
 * <p>Source: Lin, Han, Mao, Wang, Dally, "Deep Gradient Compression: Reducing the Communication
 * Bandwidth for Distributed Training", 2018, algorithm 4, sections 3.2 (clipping) and 3.3 (masking,
 * warm-up over four epochs). The paper's warm-up begins with a smaller step size too; here it is
 * the same in all rounds.
 */
public final class DeepGradientCompression extends CommonModelOptimizer {
  private static final int WARM_UP_STAGES = 4;

  private final String variant;
  private final double stepSize;
  private final double momentum;
  private final OptionalDouble clipNorm;
  private final long warmUpRounds;
  private final List<Codec> stages = new ArrayList<>();
  private final ErrorFeedback feedback;
  private final DeviceMatrix gradient;
  private final DeviceMatrix factors;
  private final DeviceMatrix zeros;
  private final DeviceMatrix mean;
  private DeviceMatrix velocity;
  private DeviceMatrix nextVelocity;
  private int stage;
  private boolean encoded;

  private DeepGradientCompression(Builder builder) {
    super("dgc", builder);
    this.variant =
        builder.compressor.name()
            + ", momentum "
            + builder.momentum
            + (builder.clipNorm.isPresent() ? ", clipping " + builder.clipNorm.getAsDouble() : "")
            + (builder.warmUpRounds > 0 ? ", warm-up " + builder.warmUpRounds : "");
    this.stepSize = builder.stepSize;
    this.momentum = builder.momentum;
    this.clipNorm = builder.clipNorm;
    this.warmUpRounds = builder.warmUpRounds;
    for (Compressor compressor : builder.stages()) {
      stages.add(
          own(
              compressor.bind(
                  parameters(), new Codec.Sender(network().firstNode(), builder.seed, 0))));
    }
    this.feedback = own(new ErrorFeedback(stages.getFirst(), parameters()));
    this.gradient = own(parameters().like());
    this.factors = own(parameters().like(1, parameters().rows(), DType.F64));
    this.zeros = own(parameters().like());
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
    enterStage();
    problem().gradient(parameters(), gradient, round());
    if (clipNorm.isPresent()) {
      factors.upload(clipFactors());
      Mixing.combine(
          Expression.outer(momentum, velocity).plusOuter(1, factors, gradient), nextVelocity);
    } else {
      Mixing.combine(Expression.outer(momentum, velocity).plusOuter(gradient), nextVelocity);
    }
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

  /** The codec of a round follows from its number: a resumed run goes on in the right stage. */
  private void enterStage() {
    int now = warmUpRounds == 0 ? 0 : (int) Math.min(round() / warmUpRounds, stages.size() - 1L);
    if (now != stage) {
      feedback.continueWith(stages.get(now));
      stage = now;
    }
  }

  /** min(1, C / (sqrt(n) |g_i|)). What is not finite stays so: 0 times an infinity is NaN. */
  private double[] clipFactors() {
    double bound = clipNorm.getAsDouble() / Math.sqrt(network().nodes());
    double[] norms = Reduction.norms(gradient);
    if (Arrays.stream(norms).anyMatch(Double::isInfinite)) {
      // A finite norm above 1.8e19 overflows in sums of f32.
      try (DeviceMatrix wide = gradient.like(gradient.rows(), gradient.cols(), DType.F64)) {
        Memory.convert(gradient, wide);
        norms = Reduction.norms(wide);
      }
    }
    return Arrays.stream(norms).map(norm -> Math.min(1, bound / norm)).toArray();
  }

  /** Takes what was sent out of the velocities: all of these elements are "sent" once more. */
  private void mask(Messages messages) {
    DeviceMatrix words = messages.words();
    if (messages.codec().compressor() instanceof TopK) {
      mask(zeros, nextVelocity, words, 0, words.cols() / 2);
      return;
    }
    int[] counts;
    try (DeviceMatrix first = words.columns(0, 1)) {
      counts = first.toInts();
    }
    for (int r = 0; r < counts.length; r++) {
      try (DeviceMatrix zero = zeros.row(r);
          DeviceMatrix u = nextVelocity.row(r);
          DeviceMatrix row = words.row(r)) {
        mask(zero, u, row, 1, counts[r]);
      }
    }
  }

  private static void mask(
      DeviceMatrix zero, DeviceMatrix u, DeviceMatrix words, long first, long entries) {
    if (entries == 0) {
      return;
    }
    try (DeviceMatrix columns = words.columns(first, first + entries);
        DeviceMatrix sent = words.like(words.rows(), entries, DType.I32)) {
      Sparsify.at(zero, Optional.empty(), Optional.of(u), columns, 1, sent, Optional.empty());
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
  public Optional<Compression> compression() {
    return Optional.of(Compression.of(feedback.codec().ratio(), feedback.residual()));
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
   * paper's sparsity of 99.9 %, with exact selection; sampled-top-k:0.001 samples as the paper
   * does.
   */
  public static final class Builder extends CompressedBuilder<Builder> {
    private double momentum = 0.9;
    private OptionalDouble clipNorm = OptionalDouble.empty();
    private long warmUpRounds;

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

    /** C, positive and finite. Default: none, no clipping; the paper clips in language models. */
    public Builder clipNorm(double clipNorm) {
      if (!(clipNorm > 0 && clipNorm < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "a clipping norm of " + clipNorm + " is not a finite number above 0");
      }
      this.clipNorm = OptionalDouble.of(clipNorm);
      return this;
    }

    /**
     * w, the rounds of each of the four stages of the warm-up. Default: 0, none; paper: an epoch.
     */
    public Builder warmUpRounds(long warmUpRounds) {
      if (warmUpRounds < 0) {
        throw new IllegalArgumentException(
            "a warm-up stage of " + warmUpRounds + " rounds is negative: give 0 for none");
      }
      this.warmUpRounds = warmUpRounds;
      return this;
    }

    /** The compressors of the warm-up, then that of all other rounds. */
    private List<Compressor> stages() {
      List<Compressor> stages = new ArrayList<>();
      long columns = problem.layout().size();
      for (int s = 1; s <= WARM_UP_STAGES && warmUpRounds > 0; s++) {
        stages.add(withAtLeast(Math.scalb(1.0, -2 * s), columns));
      }
      stages.add(compressor);
      return stages;
    }

    private Compressor withAtLeast(double share, long columns) {
      return switch (compressor) {
        case TopK top ->
            larger(top.amount(), share, top.block() == 0 ? columns : top.block())
                ? new TopK(new Amount(share), top.block())
                : top;
        case SampledTopK sampled ->
            larger(sampled.amount(), share, columns)
                ? new SampledTopK(new Amount(share), sampled.sample())
                : sampled;
        default -> throw notTheLargest();
      };
    }

    private static boolean larger(Amount amount, double share, long columns) {
      return new Amount(share).of(columns) > amount.of(columns);
    }

    private IllegalArgumentException notTheLargest() {
      return new IllegalArgumentException(
          "DGC masks the momentum of the largest entries, which it sends, and "
              + compressor.name()
              + " sends others: take top-k or sampled-top-k, or EF-SGD");
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the
     *     compressor is neither top-k nor sampled-top-k
     */
    public DeepGradientCompression build() {
      if (!(compressor instanceof TopK || compressor instanceof SampledTopK)) {
        throw notTheLargest();
      }
      return new DeepGradientCompression(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
