package dev.kith.optimizer;

import dev.kith.compress.PowerSgd;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.Expression;
import dev.kith.kernel.LowRank;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * PowerSGD: data-parallel SGD in which a step of subspace iteration on the mean gradient takes two
 * averages of thin factors, with error feedback.
 *
 * <pre>
 * D_i = g_i + e_i                              every tensor of two dimensions or more as n x m
 * P   = orthonormalise((1/N) sum_i D_i Q)      averaged: r n numbers a tensor
 * Q'  = (1/N) sum_i D_i^T P                    averaged: r m numbers a tensor
 * D'  = P Q'^T                                 vectors: the mean of D_i itself
 * e_i' = D_i - D'
 * m'  = lambda m + D',   x' = x - gamma (D' + m')
 * </pre>
 *
 * <p>r is at most the rank given and the sides of a tensor. Q starts as N(0, 1), the same at all
 * nodes, and goes on from round to round (warm start). The vectors travel with the first average.
 * All nodes know D', because the compressor is linear: the average costs no more the more nodes
 * there are. The graph is not used.
 *
 * <p>{@link Form#ALTERNATING} averages one side a round, half as many numbers:
 *
 * <pre>
 * even rounds   P = orthonormalise(P),   Q' = (1/N) sum_i D_i^T P
 * odd rounds    Q = orthonormalise(Q),   P' = (1/N) sum_i D_i Q
 * D' = P Q^T with the new side, which the next round makes orthonormal and projects on
 * </pre>
 *
 * <p>It compresses only tensors with n m &gt; r (n + m), more than two to one over the mean of both
 * sides, and only after some rounds of plain SGD; there is no cold start.
 *
 * <p>Source: Vogels, Karimireddy, Jaggi, "PowerSGD: Practical Low-Rank Gradient Compression for
 * Distributed Optimization", 2019, algorithms 1 and 2, with the errors of the authors' experiments
 * unless told otherwise; columns that others span are completed by {@link LowRank} instead of
 * divided by a small number. The alternating form is that of the authors' later package.
 */
public final class DataParallelPowerSgd extends CommonModelOptimizer {
  /** What a node takes for lost. */
  public enum Errors {
    /** D_i - P Q'^T with the averaged Q', as in the authors' experiments. */
    AGGREGATED,
    /** D_i - P Q_i^T with the node's own Q_i, as in the paper's algorithm 2. */
    LOCAL,
    /** Nothing: no error feedback. */
    NONE
  }

  /** What travels in a round. */
  public enum Form {
    /** Both factors, in two averages, as in the paper. */
    PAPER,
    /** One of them, left and right in turn, as in the authors' later package. */
    ALTERNATING
  }

  private final String variant;
  private final double stepSize;
  private final double momentum;
  private final Errors errors;
  private final Form form;
  private final int uncompressed;
  private final boolean warm;
  private final long seed;
  private final LowRank tensors;
  private final List<long[]> vectors;
  private final DeviceMatrix gradient;
  private final DeviceMatrix sent;
  private final DeviceMatrix sentMean;
  private final DeviceMatrix right;
  private final DeviceMatrix step;
  private DeviceMatrix residual;
  private DeviceMatrix nextResidual;
  private DeviceMatrix start;
  private DeviceMatrix nextStart;
  private DeviceMatrix leftStart;
  private DeviceMatrix nextLeftStart;
  private DeviceMatrix velocity;
  private DeviceMatrix nextVelocity;

  private DataParallelPowerSgd(Builder builder) {
    super("power-sgd", builder);
    if (parameters().dtype() != DType.F32) {
      throw new IllegalArgumentException(
          "the start is of type "
              + parameters().dtype()
              + ": PowerSGD factors are F32, start from F32 parameters");
    }
    this.stepSize = builder.stepSize;
    this.momentum = builder.momentum;
    this.errors = builder.errors;
    this.form = builder.form;
    this.uncompressed = form == Form.PAPER ? 0 : builder.uncompressed;
    this.warm = builder.warm;
    this.seed = builder.seed;
    this.variant =
        "rank "
            + builder.rank
            + (warm ? ", warm" : ", cold")
            + ", errors "
            + errors
            + ", momentum "
            + momentum
            + (form == Form.PAPER ? "" : ", alternating after " + uncompressed);
    if (form == Form.ALTERNATING && !warm) {
      throw new IllegalArgumentException(
          "the alternating form goes on from the round before: it has no cold start, take the form"
              + " of the paper");
    }
    PowerSgd.Parts parts = PowerSgd.ofRank(builder.rank).parts(problem().layout());
    this.tensors =
        form == Form.PAPER
            ? LowRank.of(problem().layout(), builder.rank)
            : LowRank.of(parts.matrices());
    if (tensors.shapes().isEmpty()) {
      throw new IllegalArgumentException(
          form == Form.PAPER
              ? "no tensor of the model has two dimensions: PowerSGD compresses matrices, take EF-SGD"
              : "no tensor of the model has two dimensions and gets shorter with rank "
                  + builder.rank
                  + ": take a smaller rank, or EF-SGD");
    }
    this.vectors = form == Form.PAPER ? vectors(problem().layout()) : parts.dense();
    long side =
        form == Form.PAPER ? tensors.leftSize() : Math.max(tensors.leftSize(), tensors.rightSize());
    long width = side + vectors.stream().mapToLong(v -> v[1] - v[0]).sum();
    DeviceMatrix x = parameters();
    this.gradient = own(x.like());
    this.residual = own(x.like());
    this.nextResidual = own(x.like());
    this.sent = own(x.like(x.rows(), width, DType.F32));
    this.sentMean = own(x.like(1, width, DType.F32));
    this.right = own(x.like(x.rows(), tensors.rightSize(), DType.F32));
    this.start = own(x.like(1, tensors.rightSize(), DType.F32));
    this.nextStart = own(start.like());
    this.leftStart = own(x.like(1, form == Form.PAPER ? 0 : tensors.leftSize(), DType.F32));
    this.nextLeftStart = own(leftStart.like());
    this.step = own(model().row().like());
    this.velocity = own(step.like());
    this.nextVelocity = own(step.like());
    draw(0);
  }

  /** The columns {begin, end} of what travels as it is. */
  private static List<long[]> vectors(Layout layout) {
    List<long[]> vectors = new ArrayList<>();
    for (Layout.Tensor tensor : layout.tensors()) {
      if (tensor.shape().length < 2 && tensor.size() > 0) {
        vectors.add(new long[] {tensor.offset(), tensor.offset() + tensor.size()});
      }
    }
    return vectors;
  }

  /** N(0, 1), drawn for the number behind the last node: they belong to no node. */
  private void draw(long round) {
    SharedRandom random = new SharedRandom(seed, Stream.NORMAL_F64_JAVA, network().nodes(), round);
    long first = 0;
    for (DeviceMatrix factor : List.of(start, leftStart)) {
      float[] drawn = new float[Math.toIntExact(factor.cols())];
      for (int c = 0; c < drawn.length; c++) {
        drawn[c] = (float) random.normal(first + c);
      }
      factor.upload(drawn);
      first += drawn.length;
    }
  }

  /**
   * @param problem the local objectives, with at least one tensor of two dimensions
   * @param network any schedule for the same nodes as the problem, none of which fails
   * @param initial the common start, one row; F32; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    if (!warm) {
      draw(round());
    }
    problem().gradient(parameters(), gradient, round());
    if (round() < uncompressed) {
      average(gradient, step);
      nextResidual.copyFrom(residual);
      nextStart.copyFrom(start);
      nextLeftStart.copyFrom(leftStart);
    } else if (form == Form.ALTERNATING) {
      averageOneSide();
    } else {
      averageBothSides();
    }
    Mixing.combine(Expression.outer(momentum, velocity).plusOuter(step), nextVelocity);
    Expression next = Expression.outer(model().row()).plusOuter(-stepSize, step);
    propose(momentum == 0 ? next : next.plusOuter(-stepSize, nextVelocity));
    accept();
  }

  private Optional<DeviceMatrix> lost() {
    return errors == Errors.NONE ? Optional.empty() : Optional.of(residual);
  }

  private void averageBothSides() {
    long left = tensors.leftSize();
    Optional<DeviceMatrix> e = lost();
    try (DeviceMatrix own = sent.columns(0, left);
        DeviceMatrix p = sentMean.columns(0, left)) {
      tensors.left(gradient, Optional.empty(), e, start, own, Optional.empty());
      copyVectors(gradient, false, sent, left);
      average(sent, sentMean);
      tensors.orthonormaliseLeft(p);
      tensors.right(gradient, Optional.empty(), e, p, right);
      average(right, nextStart);
      tensors.accumulate(p, nextStart, false, step);
      copyVectors(step, true, sentMean, left);
      if (errors != Errors.NONE) {
        DeviceMatrix q = errors == Errors.LOCAL ? right : nextStart;
        tensors.residual(gradient, Optional.empty(), e, p, q, nextResidual);
      }
    }
  }

  /** The side whose turn it is not is made orthonormal, and the other one averaged. */
  private void averageOneSide() {
    boolean rightTurn = (round() - uncompressed) % 2 == 0;
    long side = rightTurn ? tensors.rightSize() : tensors.leftSize();
    long width = side + vectors.stream().mapToLong(v -> v[1] - v[0]).sum();
    Optional<DeviceMatrix> e = lost();
    nextStart.copyFrom(start);
    nextLeftStart.copyFrom(leftStart);
    try (DeviceMatrix packed = sent.columns(0, width);
        DeviceMatrix packedMean = sentMean.columns(0, width);
        DeviceMatrix own = sent.columns(0, side);
        DeviceMatrix mean = sentMean.columns(0, side)) {
      if (rightTurn) {
        tensors.orthonormaliseLeft(nextLeftStart);
        tensors.right(gradient, Optional.empty(), e, nextLeftStart, own);
      } else {
        tensors.orthonormaliseRight(nextStart);
        tensors.left(gradient, Optional.empty(), e, nextStart, own, Optional.empty());
      }
      copyVectors(gradient, false, sent, side);
      average(packed, packedMean);
      (rightTurn ? nextStart : nextLeftStart).copyFrom(mean);
      tensors.accumulate(nextLeftStart, nextStart, false, step);
      copyVectors(step, true, sentMean, side);
      if (errors != Errors.NONE) {
        DeviceMatrix lostSide = errors == Errors.LOCAL ? own : mean;
        tensors.residual(
            gradient,
            Optional.empty(),
            e,
            rightTurn ? nextLeftStart : lostSide,
            rightTurn ? lostSide : nextStart,
            nextResidual);
      }
    }
  }

  private void accept() {
    DeviceMatrix oldResidual = residual;
    residual = nextResidual;
    nextResidual = oldResidual;
    DeviceMatrix oldVelocity = velocity;
    velocity = nextVelocity;
    nextVelocity = oldVelocity;
    if (warm) {
      DeviceMatrix oldStart = start;
      start = nextStart;
      nextStart = oldStart;
      DeviceMatrix oldLeft = leftStart;
      leftStart = nextLeftStart;
      nextLeftStart = oldLeft;
    }
    model().accept();
  }

  /** Copies the vectors from the rows of a model into the room behind the factors, or back. */
  private void copyVectors(DeviceMatrix model, boolean back, DeviceMatrix packed, long from) {
    long at = from;
    for (long[] vector : vectors) {
      try (DeviceMatrix there = model.columns(vector[0], vector[1]);
          DeviceMatrix here = packed.columns(at, at + vector[1] - vector[0])) {
        if (back) {
          there.copyFrom(here);
        } else {
          here.copyFrom(there);
        }
      }
      at += vector[1] - vector[0];
    }
  }

  /** What the steps have lost so far, e_i of the own nodes, localNodes x d. */
  public DeviceMatrix residual() {
    return residual;
  }

  /** D' of the last round, 1 x d: what took the place of the mean gradient. */
  public DeviceMatrix aggregated() {
    return step;
  }

  @Override
  String variant() {
    return variant;
  }

  /** The ratio is that of all that a node sent in the last round: factors and vectors. */
  @Override
  public Optional<Compression> compression() {
    double ratio = (double) residual.cols() / words(Math.max(0, round() - 1));
    return Optional.of(Compression.of(ratio, residual));
  }

  /** What a node sends in a round, in numbers of 32 bits. */
  private long words(long round) {
    if (round < uncompressed) {
      return residual.cols();
    }
    long dense = vectors.stream().mapToLong(v -> v[1] - v[0]).sum();
    if (form == Form.PAPER) {
      return tensors.leftSize() + tensors.rightSize() + dense;
    }
    return dense + ((round - uncompressed) % 2 == 0 ? tensors.rightSize() : tensors.leftSize());
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>(super.state());
    state.put("residual", residual);
    state.put("velocity", velocity);
    state.put("start", start);
    if (form == Form.ALTERNATING) {
      state.put("left", leftStart);
    }
    return state;
  }

  /** Settings of {@link DataParallelPowerSgd}. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private int rank = 2;
    private double momentum;
    private Errors errors = Errors.AGGREGATED;
    private Form form = Form.PAPER;
    private int uncompressed = 100;
    private boolean warm = true;
    private long seed = 1;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** r, 1 to 64. Default: 2, with which the paper's models lose no accuracy. */
    public Builder rank(int rank) {
      this.rank = rank;
      return this;
    }

    /** lambda, 0 or larger and below 1. Default: 0, none; the paper's image models take 0.9. */
    public Builder momentum(double momentum) {
      if (!(momentum >= 0 && momentum < 1)) {
        throw new IllegalArgumentException("a momentum of " + momentum + " is not in [0, 1)");
      }
      this.momentum = momentum;
      return this;
    }

    /** What a node takes for lost. Default: AGGREGATED. */
    public Builder errors(Errors errors) {
      this.errors = Objects.requireNonNull(errors, "errors");
      return this;
    }

    /** What travels in a round. Default: PAPER. */
    public Builder form(Form form) {
      this.form = Objects.requireNonNull(form, "form");
      return this;
    }

    /**
     * Rounds of plain SGD at the beginning of the alternating form. Default: 100, as in the
     * authors' package; the form of the paper has none.
     */
    public Builder uncompressedRounds(int rounds) {
      if (rounds < 0) {
        throw new IllegalArgumentException(rounds + " uncompressed rounds are negative: take 0");
      }
      this.uncompressed = rounds;
      return this;
    }

    /** Whether Q goes on from round to round. Default: yes; else it is drawn anew. */
    public Builder warmStart(boolean warm) {
      this.warm = warm;
      return this;
    }

    /** The seed of the first Q, the same in all processes. Default: 1. */
    public Builder seed(long seed) {
      this.seed = seed;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the rank is out
     *     of range, no tensor has two dimensions or, for the alternating form, gets shorter, or
     *     that form is to start cold
     */
    public DataParallelPowerSgd build() {
      return new DataParallelPowerSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
