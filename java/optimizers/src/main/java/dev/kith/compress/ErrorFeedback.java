package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * Error feedback: what a message loses is added to the next one.
 *
 * <pre>
 * v_i = e_i + x_i;   m_i = C(v_i);   e_i' = v_i - m_i
 * </pre>
 *
 * <p>e starts at 0. For a contractive C (biased or not) the sum of all messages is the sum of all
 * x, up to the last e. EF-SGD sends x_i = gamma g_i and steps by the mean message: then x~ = x -
 * mean e_i moves as plain SGD does.
 *
 * <p>Encoding and the new residual are one pass, which reads e and x and writes e' over x: so e is
 * there still when a round fails, and {@link #undo} takes it back without a copy. Whoever writes
 * the rows to {@link #input} has nothing copied at all. Used by one thread at a time.
 *
 * <p>Source: Seide et al., "1-Bit Stochastic Gradient Descent", 2014; Karimireddy et al., "Error
 * Feedback Fixes SignSGD and other Gradient Compression Schemes", 2019.
 */
public final class ErrorFeedback implements AutoCloseable {
  private Codec codec;
  private Messages messages;
  private DeviceMatrix residual;
  private DeviceMatrix input;
  private boolean undoable;

  /**
   * @param codec of the rows; stays the caller's to close
   * @param like the rows that are to be encoded, or others of their shape
   */
  public ErrorFeedback(Codec codec, DeviceMatrix like) {
    this.codec = codec;
    this.messages = codec.messages();
    this.residual = like.like();
    this.input = like.like();
  }

  /**
   * Where {@link #encode(long)} takes x from, rows x d: another matrix in every round. What stands
   * there is lost by an encoding.
   */
  public DeviceMatrix input() {
    return input;
  }

  /**
   * Encodes e + x, x being what stands in {@link #input}, and keeps what the message loses.
   *
   * @param round the round, larger than that of the encoding before
   * @return the messages, valid until the next encoding
   */
  public Messages encode(long round) {
    codec.encode(residual, Optional.empty(), Optional.of(input), messages, round);
    swap();
    undoable = true;
    return messages;
  }

  private void swap() {
    DeviceMatrix last = residual;
    residual = input;
    input = last;
  }

  /**
   * The same of rows that stand elsewhere and stay as they are, which costs a copy.
   *
   * @param x rows x d, F32
   * @param round the round, larger than that of the encoding before
   * @return the messages, valid until the next encoding
   * @throws IllegalArgumentException when x has another shape than the residual
   */
  public Messages encode(DeviceMatrix x, long round) {
    return encode(x, Optional.empty(), round);
  }

  /** {@link #encode(DeviceMatrix, long)} of the difference x - minus. */
  public Messages encode(DeviceMatrix x, Optional<DeviceMatrix> minus, long round) {
    if (x.rows() != input.rows() || x.cols() != input.cols()) {
      throw new IllegalArgumentException(
          "the rows are "
              + x.rows()
              + " x "
              + x.cols()
              + " where the residual is "
              + input.rows()
              + " x "
              + input.cols()
              + ": start with a new one when the shape changes");
    }
    if (minus.isPresent()) {
      Mixing.combine(Expression.inner(x).plusInner(-1, minus.get()), input);
    } else {
      input.copyFrom(x);
    }
    return encode(round);
  }

  /**
   * Goes on with another codec of rows of the same shape: what is not sent yet stays. An encoding
   * that is to be undone is undone before.
   *
   * @param next stays the caller's to close, as the one before does
   */
  public void continueWith(Codec next) {
    if (next.rows() != residual.rows() || next.layout().size() != residual.cols()) {
      throw new IllegalArgumentException(
          "the codec is for "
              + next.rows()
              + " x "
              + next.layout().size()
              + " and the residual is "
              + residual.rows()
              + " x "
              + residual.cols()
              + ": start with a new one when the shape changes");
    }
    Messages empty = next.messages();
    messages.close();
    messages = empty;
    codec = next;
    undoable = false;
  }

  /** Puts back residual and codec from before the last encoding; a second time nothing happens. */
  public void undo() {
    if (undoable) {
      swap();
      codec.undo();
      undoable = false;
    }
  }

  /** Of the rows. */
  public Codec codec() {
    return codec;
  }

  /** e, rows x d: another matrix in every round. */
  public DeviceMatrix residual() {
    return residual;
  }

  /** |e_i| of every row. Waits. */
  public double[] residualNorms() {
    return Reduction.norms(residual);
  }

  /** The matrices that a snapshot keeps, by name. */
  public Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("residual", residual);
    codec.state().forEach((name, matrix) -> state.put("codec." + name, matrix));
    return state;
  }

  /** Releases the residual and the messages, not the codec; idempotent. */
  @Override
  public void close() {
    messages.close();
    residual.close();
    input.close();
  }
}
