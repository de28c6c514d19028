package dev.kith.compress;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * EF21: every node keeps an estimate g_i of its gradient, which all others know, and sends what it
 * lacks.
 *
 * <pre>
 * c_i = C(grad_i - g_i);   g_i' = g_i + c_i;   g' = g + mean_i c_i
 * </pre>
 *
 * <p>Estimates start at 0. For a contractive C with delta and L-smooth objectives x' = x - gamma g
 * converges for gamma up to 1 / (L + L~ sqrt(beta / theta)), theta = 1 - sqrt(1 - delta), beta = (1
 * - delta) / theta, L~^2 = mean L_i^2, without a bound on the gradients.
 *
 * <p>A round is {@link #encode}, the average of the messages over the network, {@link #absorb}: a
 * round that fails before the last changes no estimate. Used by one thread at a time.
 *
 * <p>Source: Richtarik, Sokolov and Fatkhullin, "EF21: A New, Simpler, Theoretically Better, and
 * Practically Faster Error Feedback", 2021, algorithm 2.
 */
public final class Ef21 implements AutoCloseable {
  private final Codec codec;
  private final Messages messages;
  private final DeviceMatrix estimates;
  private final DeviceMatrix mean;

  /**
   * @param codec of the rows; stays the caller's to close
   * @param like the gradients, or other rows of their shape
   */
  public Ef21(Codec codec, DeviceMatrix like) {
    this.codec = codec;
    this.messages = codec.messages();
    this.estimates = like.like();
    this.mean = like.like(1, like.cols(), DType.F32);
  }

  /**
   * Encodes what the estimates lack.
   *
   * @param gradient rows x d, F32
   * @param round the round, larger than that of the encoding before
   * @return the messages c_i, valid until the next encoding
   */
  public Messages encode(DeviceMatrix gradient, long round) {
    codec.encode(gradient, Optional.of(estimates), Optional.empty(), messages, round);
    return messages;
  }

  /**
   * Adds the messages to the estimates.
   *
   * @param meanMessage mean_i c_i over all nodes, 1 x d
   */
  public void absorb(DeviceMatrix meanMessage) {
    codec.accumulate(Optional.empty(), messages, Optional.empty(), true, estimates);
    Mixing.combine(Expression.outer(mean).plusOuter(meanMessage), mean);
  }

  /** Puts back the codec from before an encoding that was not absorbed. */
  public void undo() {
    codec.undo();
  }

  /** g, the mean of the estimates of all nodes, 1 x d: what the parameters step by. */
  public DeviceMatrix mean() {
    return mean;
  }

  /** Of the rows. */
  public Codec codec() {
    return codec;
  }

  /** g_i of the own nodes. */
  public DeviceMatrix estimates() {
    return estimates;
  }

  /** |grad_i - g_i| of every row. Waits. */
  public double[] residualNorms(DeviceMatrix gradient) {
    try (DeviceMatrix squares = gradient.like(1, gradient.rows(), DType.F64)) {
      Reduction.rows(Reduction.Kind.DISTANCE, gradient, estimates, squares);
      double[] norms = squares.toDoubles();
      for (int i = 0; i < norms.length; i++) {
        norms[i] = Math.sqrt(norms[i]);
      }
      return norms;
    }
  }

  /** The matrices that a snapshot keeps, by name. */
  public Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("estimates", estimates);
    state.put("mean", mean);
    codec.state().forEach((name, matrix) -> state.put("codec." + name, matrix));
    return state;
  }

  /** Releases the estimates and the messages, not the codec; idempotent. */
  @Override
  public void close() {
    messages.close();
    estimates.close();
    mean.close();
  }
}
