package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.Identity;
import dev.kith.compress.Messages;
import dev.kith.compress.PowerSgd;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.graph.Matching;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.LowRank;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.Reduction;
import dev.kith.network.EdgeExchange;
import dev.kith.network.MessageMixing;
import dev.kith.network.Network;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * PowerGossip: averaging with the neighbours, of which every edge takes one step of subspace
 * iteration on the difference of its two ends.
 *
 * <pre>
 * D_ij  = X_i - X_j, i &lt; j         every tensor of two dimensions or more as n x m
 * P     = X_i Q_ij - X_j Q_ij       each end sends its own half: r n numbers a tensor
 * P     = orthonormalise(P)
 * Q_ij' = X_i' P - X_j' P           again a half from each end: r m numbers a tensor (X' transposed)
 * X_i   = X_i - w_ij P Q_ij'^T,     X_j = X_j + w_ij P Q_ij'^T
 * </pre>
 *
 * <p>All edges start from the same X. Q_ij is known to both ends and goes on from round to round
 * (warm start); it begins as N(0, 1). A difference of rank r or less is met exactly, up to
 * rounding: where all are, or where factors would not be shorter (r (n + m) &gt;= n m), a round is
 * plain gossip, X' = W X. Vectors and such tensors travel whole, with the first half. There is no
 * consensus step size and no error to keep: what a round misses is still there in the next one.
 * Both ends compute the same bits of P Q'^T, so that the sum over the nodes stays, up to the
 * rounding of the two additions.
 *
 * <p>A node sends two messages an edge, in two exchanges. The edges are cut into {@link Matching
 * matchings}; a round takes three passes over the rows for each of them, and keeps factors for
 * each, so that a graph with few neighbours is cheap and a complete one is not.
 *
 * <p>F32. Used by one thread at a time.
 *
 * <p>Source: Vogels, Karimireddy, Jaggi, "Practical Low-Rank Communication Compression in
 * Decentralized Deep Learning", 2020. The authors' code moves X after each of the two halves of an
 * iteration; here both halves belong to one move, which makes it exact for differences of rank r.
 */
public final class PowerGossip implements AutoCloseable {
  private final Network network;
  private final boolean warm;
  private final long seed;
  private final PowerSgd.Parts parts;
  private final LowRank tensors;
  private final List<Matching> matchings;
  private final List<AutoCloseable> owned = new ArrayList<>();
  private final List<MixingWeights> moves = new ArrayList<>();
  private final Sides left;
  private final Sides right;
  private final DeviceMatrix halves;
  private DeviceMatrix directions;
  private DeviceMatrix nextDirections;

  /** The messages of one of the two exchanges, and the differences that they make. */
  private final class Sides {
    final long width;
    final DeviceMatrix own;
    final List<Codec> codecs = new ArrayList<>();
    final List<Messages> messages = new ArrayList<>();
    final EdgeExchange exchange;

    /** Channels run from {@code channel}, every second one. */
    Sides(DeviceMatrix like, long width, long seed, int channel) {
      this.width = width;
      this.own = own(like.like(like.rows(), width, DType.F32));
      for (int m = 0; m < matchings.size(); m++) {
        Codec codec =
            own(
                new Identity()
                    .bind(own, new Codec.Sender(network.firstNode(), seed, channel + 2 * m)));
        codecs.add(codec);
        messages.add(own(codec.messages()));
      }
      this.exchange =
          own(network.edges(matchings.stream().map(Matching::differences).toList(), messages));
    }

    /** Encodes {@link #own} as the messages of a matching. */
    void encode(int matching, long round) {
      codecs.get(matching).encode(own, messages.get(matching), round);
    }

    /** Sends all messages; column block m of {@code differences} becomes what matching m gives. */
    void exchange(long round, DeviceMatrix differences) {
      List<MessageMixing> mixings = network.exchange(exchange);
      OptionalInt node = network.nonFiniteNode();
      if (node.isPresent()) {
        throw new NonFiniteException(node.getAsInt(), round, "the gradient or the parameters");
      }
      for (int m = 0; m < mixings.size(); m++) {
        try (DeviceMatrix block = differences.columns(m * width, (m + 1) * width)) {
          mixings.get(m).accumulate(false, block);
        }
      }
    }
  }

  private PowerGossip(Builder builder) {
    DeviceMatrix like = builder.like;
    MixingMatrix w =
        LockstepOptimizer.fixedSymmetric(
            "PowerGossip", builder.network, MixingMatrix.Kind.DOUBLY_STOCHASTIC);
    this.network = builder.network;
    if (like.dtype() != DType.F32 || like.rows() != network.localNodes()) {
      throw new IllegalArgumentException(
          "the rows are "
              + like.rows()
              + " of type "
              + like.dtype()
              + " and this process has "
              + network.localNodes()
              + " nodes: PowerGossip averages one row of F32 a node");
    }
    this.warm = builder.warm;
    this.seed = builder.seed;
    this.matchings = Matching.of(w);
    if (builder.channel + 2 * matchings.size() > 0x10000) {
      throw new IllegalArgumentException(
          "the edges make "
              + matchings.size()
              + " matchings and take two channels each from "
              + builder.channel
              + " on, of 65536: take a graph with fewer neighbours");
    }
    Layout layout = builder.layout.or(like::layout).orElseGet(() -> Layout.flat(like.cols()));
    if (layout.size() != like.cols()) {
      throw new IllegalArgumentException(
          "the layout has " + layout.size() + " columns and the rows " + like.cols());
    }
    this.parts = PowerSgd.ofRank(builder.rank).parts(layout);
    this.tensors = LowRank.of(parts.matrices());
    try {
      long rows = like.rows();
      long count = matchings.size();
      this.left =
          new Sides(like, tensors.leftSize() + parts.denseColumns(), builder.seed, builder.channel);
      this.right = new Sides(like, tensors.rightSize(), builder.seed, builder.channel + 1);
      this.halves = own(like.like(rows, count * left.width, DType.F32));
      this.directions = own(like.like(rows, count * right.width, DType.F32));
      this.nextDirections = own(directions.like());
      for (Matching matching : matchings) {
        moves.add(own(move(like, matching)));
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
    draw(0);
  }

  private <T extends AutoCloseable> T own(T resource) {
    owned.add(resource);
    return resource;
  }

  /** -w_ij for the lower end of an edge, w_ij for the higher one, on the diagonal. */
  private MixingWeights move(DeviceMatrix like, Matching matching) {
    int rows = network.localNodes();
    long[] offsets = new long[rows + 1];
    int[] columns = new int[rows];
    double[] values = new double[rows];
    int count = 0;
    for (int row = 0; row < rows; row++) {
      int node = network.firstNode() + row;
      int partner = matching.partner(node);
      if (partner != node) {
        columns[count] = row;
        values[count++] = node < partner ? -matching.weight(node) : matching.weight(node);
      }
      offsets[row + 1] = count;
    }
    return MixingWeights.sparse(
        like.queue(),
        rows,
        rows,
        offsets,
        Arrays.copyOf(columns, count),
        Arrays.copyOf(values, count));
  }

  /** N(0, 1), the same for all edges, drawn for the number behind the last node. */
  private void draw(long round) {
    SharedRandom random = new SharedRandom(seed, Stream.NORMAL_F64_JAVA, network.nodes(), round);
    float[] q = new float[Math.toIntExact(right.width)];
    for (int c = 0; c < q.length; c++) {
      q[c] = (float) random.normal(c);
    }
    float[] row = new float[Math.toIntExact(directions.cols())];
    for (int m = 0; m < matchings.size(); m++) {
      System.arraycopy(q, 0, row, m * q.length, q.length);
    }
    for (int r = 0; r < directions.rows(); r++) {
      try (DeviceMatrix one = directions.row(r)) {
        one.upload(row);
      }
    }
  }

  /**
   * @param network one fixed symmetric doubly stochastic matrix
   * @param like the rows that are to be averaged, or others of their shape and layout; F32
   */
  public static Builder builder(Network network, DeviceMatrix like) {
    return new Builder(network, like);
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
    network.round(round);
    if (!warm) {
      draw(round);
    }
    if (matchings.isEmpty()) {
      requireFinite(x, round);
    }
    for (int m = 0; m < matchings.size(); m++) {
      project(x, m);
      left.encode(m, round);
    }
    left.exchange(round, halves);
    if (right.width > 0) {
      for (int m = 0; m < matchings.size(); m++) {
        try (DeviceMatrix p = block(halves, m, left.width, 0, tensors.leftSize())) {
          tensors.orthonormaliseLeft(p);
          tensors.right(x, Optional.empty(), Optional.empty(), p, right.own);
        }
        right.encode(m, round);
      }
      right.exchange(round, nextDirections);
    }
    if (result != x) {
      result.copyFrom(x);
    }
    for (int m = 0; m < matchings.size(); m++) {
      move(result, m);
    }
    if (warm) {
      DeviceMatrix old = directions;
      directions = nextDirections;
      nextDirections = old;
    }
  }

  /** With one node, or none that talks, nothing is sent that would be checked. */
  private void requireFinite(DeviceMatrix x, long round) {
    try (DeviceMatrix counts = x.like(1, x.rows(), DType.F64)) {
      Reduction.rows(Reduction.Kind.NONFINITE, x, counts);
      double[] found = counts.toDoubles();
      for (int r = 0; r < found.length; r++) {
        if (found[r] != 0) {
          throw new NonFiniteException(
              network.firstNode() + r, round, "the gradient or the parameters");
        }
      }
    }
  }

  private static DeviceMatrix block(DeviceMatrix all, int m, long width, long from, long to) {
    return all.columns(m * width + from, m * width + to);
  }

  /** The own halves of the first exchange: X_i Q_ij, then what travels whole. */
  private void project(DeviceMatrix x, int m) {
    long at = tensors.leftSize();
    try (DeviceMatrix q = block(directions, m, right.width, 0, right.width);
        DeviceMatrix p = left.own.columns(0, at)) {
      tensors.left(x, Optional.empty(), Optional.empty(), q, p, Optional.empty());
    }
    for (long[] range : parts.dense()) {
      try (DeviceMatrix from = x.columns(range[0], range[1]);
          DeviceMatrix to = left.own.columns(at, at + range[1] - range[0])) {
        to.copyFrom(from);
      }
      at += range[1] - range[0];
    }
  }

  /** X_i -= w_ij D, X_j += w_ij D for the edges of a matching. */
  private void move(DeviceMatrix result, int m) {
    MixingWeights weights = moves.get(m);
    long at = tensors.leftSize();
    try (DeviceMatrix p = block(halves, m, left.width, 0, at);
        DeviceMatrix q = block(nextDirections, m, right.width, 0, right.width)) {
      tensors.accumulate(weights, p, q, Optional.empty(), Optional.empty(), true, result);
    }
    for (long[] range : parts.dense()) {
      long end = at + range[1] - range[0];
      try (DeviceMatrix difference = block(halves, m, left.width, at, end);
          DeviceMatrix part = result.columns(range[0], range[1])) {
        Mixing.mix(weights, Expression.inner(difference).plusOuter(part), part);
      }
      at = end;
    }
  }

  /**
   * Where the next round starts: Q of every matching after one another, as {@link LowRank} packs
   * right factors, localNodes rows. Both ends of an edge hold the same.
   */
  public DeviceMatrix directions() {
    return directions;
  }

  /** The matrices that a snapshot keeps, by name. */
  Map<String, DeviceMatrix> state() {
    return warm ? Map.of("directions", directions) : Map.of();
  }

  /** Releases its state, not the network; idempotent. */
  @Override
  public void close() {
    RuntimeException failure = null;
    for (AutoCloseable resource : owned.reversed()) {
      try {
        resource.close();
      } catch (Exception e) {
        if (failure == null) {
          failure =
              new IllegalStateException(
                  "PowerGossip could not release its state: " + e.getMessage(), e);
        } else {
          failure.addSuppressed(e);
        }
      }
    }
    owned.clear();
    if (failure != null) {
      throw failure;
    }
  }

  /** Settings of {@link PowerGossip}. */
  public static final class Builder {
    private final Network network;
    private final DeviceMatrix like;
    private Optional<Layout> layout = Optional.empty();
    private int rank = 1;
    private boolean warm = true;
    private long seed = 1;
    private int channel;

    private Builder(Network network, DeviceMatrix like) {
      this.network = Objects.requireNonNull(network, "network");
      this.like = Objects.requireNonNull(like, "like");
    }

    /** Which tensors the rows hold. Default: those of the rows; one vector where they have none. */
    public Builder layout(Layout layout) {
      this.layout = Optional.of(layout);
      return this;
    }

    /** r, 1 to 64. Default: 1, as in the paper. */
    public Builder rank(int rank) {
      this.rank = rank;
      return this;
    }

    /**
     * Whether Q goes on from round to round. Default: yes; else every round begins at the first.
     */
    public Builder warmStart(boolean warm) {
      this.warm = warm;
      return this;
    }

    /** The seed of the first Q, the same in all processes. Default: 1. */
    public Builder seed(long seed) {
      this.seed = seed;
      return this;
    }

    /** The first of the channels that it takes, two a matching. Default: 0. */
    public Builder channel(int channel) {
      this.channel = channel;
      return this;
    }

    /**
     * @throws IllegalArgumentException when the weights change, are not symmetric or not doubly
     *     stochastic, the rows are not F32 or not those of this process, or the rank is out of
     *     range
     */
    public PowerGossip build() {
      return new PowerGossip(this);
    }
  }
}
