package dev.kith.compress;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * DIANA: every node keeps a shift h_i that learns its gradient, and sends the difference by an
 * unbiased Q.
 *
 * <pre>
 * m_i = Q(g_i - h_i);   ghat = h + mean_i m_i
 * h_i' = h_i + alpha m_i;   h' = h + alpha mean_i m_i
 * </pre>
 *
 * <p>Shifts start at 0. ghat is an unbiased estimate of the mean gradient whose variance goes to 0
 * with g_i - h_i, so x' = x - gamma ghat reaches the optimum of a strongly convex problem although
 * the gradients of the nodes do not vanish there; plain compressed gradients stall around it. alpha
 * is at most 1 / (1 + omega), gamma at most 1 / (L (1 + 6 omega / n)).
 *
 * <p>A round is {@link #encode}, the average of the messages over the network, {@link #estimate},
 * {@link #absorb}: a round that fails before the last changes no shift. Used by one thread at a
 * time.
 *
 * <p>Source: Mishchenko et al., "Distributed Learning with Compressed Gradient Differences", 2019,
 * algorithm 1; Horvath et al., "Stochastic Distributed Learning with Gradient Quantization and
 * Variance Reduction", 2019 (any unbiased Q).
 */
public final class Diana implements AutoCloseable {
  private final Codec codec;
  private final Messages messages;
  private final double alpha;
  private final MixingWeights scaled;
  private final DeviceMatrix shifts;
  private final DeviceMatrix mean;

  /** With alpha = 1 / (1 + omega), the largest that the theorem allows. */
  public Diana(Codec codec, DeviceMatrix like) {
    this(codec, like, OptionalDouble.empty());
  }

  /**
   * @param codec of the rows, of an unbiased compressor; stays the caller's to close
   * @param like the gradients, or other rows of their shape
   * @param alpha how fast shifts learn, 0 to 1; without it 1 / (1 + omega)
   * @throws IllegalArgumentException when the compressor is not unbiased, or alpha not in range
   */
  public Diana(Codec codec, DeviceMatrix like, OptionalDouble alpha) {
    Constants constants = codec.compressor().constants(codec.layout());
    if (constants.kind() != Constants.Kind.UNBIASED) {
      throw new IllegalArgumentException(
          codec.compressor().name()
              + " is not unbiased: DIANA needs random-k, qsgd, natural, terngrad or stochastic rounding; for others take EF21");
    }
    this.alpha = alpha.orElse(1 / (1 + constants.value()));
    if (!(this.alpha >= 0 && this.alpha <= 1)) {
      throw new IllegalArgumentException("alpha is " + this.alpha + " and must be in 0 to 1");
    }
    this.codec = codec;
    this.messages = codec.messages();
    int n = Math.toIntExact(like.rows());
    long[] offsets = new long[n + 1];
    Arrays.setAll(offsets, i -> i);
    int[] columns = new int[n];
    Arrays.setAll(columns, i -> i);
    double[] values = new double[n];
    Arrays.fill(values, this.alpha);
    this.scaled = MixingWeights.sparse(like.queue(), n, n, offsets, columns, values);
    this.shifts = like.like();
    this.mean = like.like(1, like.cols(), DType.F32);
  }

  /** How fast shifts learn. */
  public double alpha() {
    return alpha;
  }

  /**
   * Encodes the differences to the shifts.
   *
   * @param gradient rows x d, F32
   * @param round the round, larger than that of the encoding before
   * @return the messages m_i, valid until the next encoding
   */
  public Messages encode(DeviceMatrix gradient, long round) {
    codec.encode(gradient, Optional.of(shifts), Optional.empty(), messages, round);
    return messages;
  }

  /**
   * ghat = h + mean_i m_i.
   *
   * @param meanMessage mean_i m_i over all nodes, 1 x d
   * @param estimate ghat, 1 x d
   */
  public void estimate(DeviceMatrix meanMessage, DeviceMatrix estimate) {
    Mixing.combine(Expression.outer(mean).plusOuter(meanMessage), estimate);
  }

  /**
   * Moves the shifts.
   *
   * @param meanMessage mean_i m_i over all nodes, 1 x d
   */
  public void absorb(DeviceMatrix meanMessage) {
    codec.accumulate(Optional.of(scaled), messages, Optional.empty(), true, shifts);
    Mixing.combine(Expression.outer(mean).plusOuter(alpha, meanMessage), mean);
  }

  /** Puts back the codec from before an encoding that was not absorbed. */
  public void undo() {
    codec.undo();
  }

  /** Of the rows. */
  public Codec codec() {
    return codec;
  }

  /** h_i of the own nodes. */
  public DeviceMatrix shifts() {
    return shifts;
  }

  /** h, the mean of the shifts of all nodes, 1 x d. */
  public DeviceMatrix mean() {
    return mean;
  }

  /** The matrices that a snapshot keeps, by name. */
  public Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("shifts", shifts);
    state.put("mean", mean);
    codec.state().forEach((name, matrix) -> state.put("codec." + name, matrix));
    return state;
  }

  /** Releases the shifts and the messages, not the codec; idempotent. */
  @Override
  public void close() {
    messages.close();
    scaled.close();
    shifts.close();
    mean.close();
  }
}
