package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.ErrorFeedback;
import dev.kith.compress.Messages;
import dev.kith.device.DeviceMatrix;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** What rows are sent by: a codec whose losses are sent later, by error feedback, or forgotten. */
final class Encoder implements AutoCloseable {
  private final Codec codec;
  private final Optional<ErrorFeedback> feedback;
  private final Optional<Messages> messages;
  private boolean undoable;

  Encoder(Compressor compressor, DeviceMatrix like, Codec.Sender sender, boolean repairs) {
    this.codec = compressor.bind(like, sender);
    this.feedback = repairs ? Optional.of(new ErrorFeedback(codec, like)) : Optional.empty();
    this.messages = repairs ? Optional.empty() : Optional.of(codec.messages());
  }

  /** Encodes x, or its difference to another matrix; the messages are valid until the next call. */
  Messages encode(DeviceMatrix x, Optional<DeviceMatrix> minus, long round) {
    undoable = true;
    if (feedback.isPresent()) {
      return feedback.get().encode(x, minus, round);
    }
    codec.encode(x, minus, Optional.empty(), messages.get(), round);
    return messages.get();
  }

  /** The last encoding is part of the state now. */
  void keep() {
    undoable = false;
  }

  /** Puts back what an encoding that was not kept has changed. */
  void undo() {
    if (undoable) {
      feedback.ifPresentOrElse(ErrorFeedback::undo, codec::undo);
      undoable = false;
    }
  }

  /** Bytes of a row in f32 divided by those of the payload of its message. */
  double ratio() {
    return codec.ratio();
  }

  /** What the messages have lost so far; only with error feedback. */
  DeviceMatrix residual() {
    return feedback.orElseThrow().residual();
  }

  /** The matrices that a snapshot keeps, by name. */
  Map<String, DeviceMatrix> state() {
    if (feedback.isPresent()) {
      return feedback.get().state();
    }
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    codec.state().forEach((name, matrix) -> state.put("codec." + name, matrix));
    return state;
  }

  @Override
  public void close() {
    feedback.ifPresent(ErrorFeedback::close);
    messages.ifPresent(Messages::close);
    codec.close();
  }
}
