package dev.kith.compress;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.LowRank;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * The compression of DiLoCoX: factors of a rank that follows what is sent, quantized where the
 * compressor says so ({@code power-sgd:8+int4}), with error feedback.
 *
 * <pre>
 * v_i  = e_i + x_i;   m_i = C_r(v_i);   e_i' = v_i - m_i
 * r'   = effective rank of D = (1/n) sum_i m_i
 * r    = mean of the last c of the r', at most r_1
 * </pre>
 *
 * <p>The effective rank is the smallest one with which the largest singular values of all matrices
 * hold a share of their squared singular values; those are found by two steps of subspace iteration
 * from a fixed start. All nodes know D, so that all come to the same rank without a message; a
 * message of another rank is refused by its header.
 *
 * <p>The directions of the warm start are kept for r_1 columns a matrix: a smaller rank goes on
 * with the first of them, and a larger one takes up those that it left.
 *
 * <p>Used by one thread at a time.
 *
 * <p>Source: DiLoCoX technical report, 2025. How the rank is adapted is reconstructed: the report
 * has a window of ranks; the share of 0.9 and the window of 5 are Kith's.
 */
public final class AdaptiveLowRank implements AutoCloseable {
  /** The share of the squared singular values where nothing else is said. */
  public static final double SHARE = 0.9;

  private final PowerSgd largest;
  private final Layout layout;
  private final DeviceMatrix like;
  private final Codec.Sender sender;
  private final double share;
  private final RankWindow window;
  private final SingularShares shares;
  private final DeviceMatrix residual;
  private final DeviceMatrix before;
  private final DeviceMatrix directions;
  private final DeviceMatrix directionsBefore;
  private Optional<Bound> bound = Optional.empty();
  private boolean undoable;

  /** The codec of the rank in force. */
  private record Bound(PowerSgd compressor, Codec codec, Messages messages)
      implements AutoCloseable {
    @Override
    public void close() {
      messages.close();
      codec.close();
    }
  }

  /** With a share of {@value #SHARE} and a window of {@value RankWindow#LENGTH}. */
  public AdaptiveLowRank(PowerSgd largest, DeviceMatrix like, Codec.Sender sender) {
    this(largest, like, sender, SHARE, RankWindow.LENGTH);
  }

  /**
   * @param largest r_1, warm, and what its factors are quantized by
   * @param like the rows that are to be encoded, or others of their shape and layout, F32
   * @param sender whose rows they are
   * @param share of the squared singular values that the effective rank holds, above 0 and at most
   *     1
   * @param window c, how many effective ranks the rank is the mean of
   * @throws IllegalArgumentException when one is out of range, the compressor starts cold, no
   *     tensor has two dimensions, or the rows are not F32
   */
  public AdaptiveLowRank(
      PowerSgd largest, DeviceMatrix like, Codec.Sender sender, double share, int window) {
    if (!(share > 0 && share <= 1)) {
      throw new IllegalArgumentException("a share of " + share + " is not above 0 and at most 1");
    }
    if (!largest.warm()) {
      throw new IllegalArgumentException(
          "the compressor "
              + largest.name()
              + " starts cold: a rank that adapts goes on with its directions, leave out cold");
    }
    if (like.dtype() != DType.F32) {
      throw new IllegalArgumentException(
          "rows of type "
              + like.dtype()
              + " are not compressed: keep the state that is sent in F32");
    }
    this.largest = largest;
    this.layout = like.layout().orElseGet(() -> Layout.flat(like.cols()));
    this.sender = sender;
    this.share = share;
    this.window = new RankWindow(largest.rank(), window);
    if (layout.tensors().stream().noneMatch(t -> t.shape().length > 1 && t.size() > 0)) {
      throw new IllegalArgumentException(
          "no tensor of the rows has two dimensions: a rank needs matrices, take another compressor");
    }
    this.shares = new SingularShares(layout, largest.rank(), like, sender.drawSeed());
    this.like = like.rows(0, like.rows());
    this.residual = like.like();
    this.before = like.like();
    long width = shares.shapes().stream().mapToLong(shape -> shape.cols() * shape.rank()).sum();
    this.directions = like.like(like.rows(), width, DType.F32);
    this.directionsBefore = directions.like();
    draw(Math.toIntExact(width));
  }

  /** N(0, 1), the same in every row. */
  private void draw(int width) {
    SharedRandom random = new SharedRandom(sender.drawSeed(), Stream.NORMAL_F64_JAVA, 0, 0);
    float[] row = new float[width];
    for (int c = 0; c < width; c++) {
      row[c] = (float) random.normal(c);
    }
    for (int r = 0; r < directions.rows(); r++) {
      try (DeviceMatrix one = directions.row(r)) {
        one.upload(row);
      }
    }
  }

  /** The rank of the next message. */
  public int rank() {
    return window.rank();
  }

  /** Bytes of a row in f32 divided by those of the payload of the next message. */
  public double ratio() {
    return new PowerSgd(rank(), true, largest.factors()).ratio(layout);
  }

  /**
   * Encodes e + x with the present rank, and keeps what the message loses.
   *
   * @param x rows x d, F32
   * @param round the round, larger than that of the encoding before
   * @return the messages, valid until the next encoding
   */
  public Messages encode(DeviceMatrix x, long round) {
    Bound now = bound();
    before.copyFrom(residual);
    directionsBefore.copyFrom(directions);
    undoable = true;
    copyDirections(now, true);
    now.codec().encode(x, Optional.empty(), Optional.of(residual), now.messages(), round);
    copyDirections(now, false);
    return now.messages();
  }

  private Bound bound() {
    int rank = window.rank();
    if (bound.isEmpty() || bound.get().compressor().rank() != rank) {
      bound.ifPresent(Bound::close);
      bound = Optional.empty();
      PowerSgd compressor = new PowerSgd(rank, true, largest.factors());
      Codec codec = compressor.bind(like, sender);
      bound = Optional.of(new Bound(compressor, codec, codec.messages()));
    }
    return bound.get();
  }

  /** The first columns of the directions of every matrix that the codec factors, to it or back. */
  private void copyDirections(Bound now, boolean there) {
    DeviceMatrix start = now.codec().state().get("start");
    long from = 0;
    long to = 0;
    int next = 0;
    var matrices = now.compressor().parts(layout).matrices();
    for (LowRank.Shape shape : shares.shapes()) {
      if (next < matrices.size() && matrices.get(next).offset() == shape.offset()) {
        LowRank.Shape smaller = matrices.get(next++);
        long width = smaller.cols() * smaller.rank();
        try (DeviceMatrix kept = directions.columns(from, from + width);
            DeviceMatrix used = start.columns(to, to + width)) {
          if (there) {
            used.copyFrom(kept);
          } else {
            kept.copyFrom(used);
          }
        }
        to += width;
      }
      from += shape.cols() * shape.rank();
    }
  }

  /**
   * Takes the mean of what all nodes sent, from which the rank of the rounds that follow is found.
   *
   * @param mean 1 x d, F32, the same in every process
   * @return its effective rank r'
   * @throws IllegalArgumentException when it has another width or is not finite
   */
  public int observe(DeviceMatrix mean) {
    if (mean.rows() != 1 || mean.cols() != layout.size()) {
      throw new IllegalArgumentException(
          "the mean is "
              + mean.rows()
              + " x "
              + mean.cols()
              + " where a row has "
              + layout.size()
              + " columns");
    }
    int effective = shares.effectiveRank(mean, share);
    window.observe(effective);
    return effective;
  }

  /** Puts back residual and directions from before the last encoding; a second time nothing. */
  public void undo() {
    if (undoable) {
      residual.copyFrom(before);
      directions.copyFrom(directionsBefore);
      undoable = false;
    }
  }

  /** e, rows x d. */
  public DeviceMatrix residual() {
    return residual;
  }

  /** The matrices that a snapshot keeps, by name; beside them it keeps {@link #counters}. */
  public Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("residual", residual);
    state.put("directions", directions);
    return state;
  }

  /** The numbers that a snapshot keeps: those of the window. */
  public long[] counters() {
    return window.counters();
  }

  /**
   * Takes over the {@link #counters} of a snapshot.
   *
   * @throws IllegalArgumentException when they belong to other settings
   */
  public void counters(long[] values) {
    window.counters(values);
  }

  /** Releases everything; idempotent. */
  @Override
  public void close() {
    bound.ifPresent(Bound::close);
    bound = Optional.empty();
    shares.close();
    like.close();
    residual.close();
    before.close();
    directions.close();
    directionsBefore.close();
  }
}
