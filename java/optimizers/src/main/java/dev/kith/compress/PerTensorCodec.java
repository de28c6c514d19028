package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.MixingWeights;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The codec of {@link PerTensor}: one of each encoded tensor, on views of its columns. */
final class PerTensorCodec extends Codec {
  /** Where a part lies; {@code codec} is empty where it travels as it is. */
  private record Part(Optional<Codec> codec, String name, long from, long to, long at, long end) {}

  private final List<Part> parts = new ArrayList<>();

  PerTensorCodec(PerTensor compressor, DeviceMatrix like, Sender sender) {
    super(compressor, like, sender);
    long at = 0;
    for (PerTensor.Part part : compressor.parts(layout())) {
      Optional<Codec> codec = Optional.empty();
      if (part.encoded()) {
        Sender own =
            new Sender(
                sender.firstNode(), sender.seed() ^ (long) part.tensor() << 32, sender.channel());
        try (DeviceMatrix columns = like.columns(part.from(), part.to())) {
          codec = Optional.of(compressor.each().bind(columns, own));
        }
      }
      String name = layout().tensors().get(part.tensor()).name();
      parts.add(new Part(codec, name, part.from(), part.to(), at, at + part.words()));
      at += part.words();
    }
  }

  /** Those of the encoded tensors, in order. */
  @Override
  List<Messages> parts(Messages whole) {
    List<Messages> own = new ArrayList<>();
    for (Part part : parts) {
      part.codec().ifPresent(c -> own.add(whole.part(c, part.at(), part.end())));
    }
    return own;
  }

  @Override
  void draw(Messages messages) {
    messages.parts().forEach(part -> part.round(messages.round()));
  }

  @Override
  void encodeRows(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      Messages messages) {
    int next = 0;
    for (Part part : parts) {
      try (Columns xs = new Columns(Optional.of(x), part.from(), part.to());
          Columns ms = new Columns(minus, part.from(), part.to());
          Columns es = new Columns(residual, part.from(), part.to())) {
        if (part.codec().isPresent()) {
          Messages own = messages.parts().get(next++);
          part.codec().get().encodeRows(xs.present(), ms.view(), es.view(), own);
        } else {
          try (DeviceMatrix target = messages.words().columns(part.at(), part.end())) {
            DenseColumns.encode(xs.present(), ms.view(), es.view(), target, messages.flags());
          }
        }
      }
    }
  }

  @Override
  void accumulateRows(
      Optional<MixingWeights> weights,
      Messages messages,
      Optional<Messages> halo,
      boolean add,
      DeviceMatrix y) {
    int next = 0;
    for (Part part : parts) {
      try (DeviceMatrix target = y.columns(part.from(), part.to())) {
        if (part.codec().isPresent()) {
          int k = next++;
          Optional<Messages> received = halo.map(h -> h.parts().get(k));
          Messages own = messages.parts().get(k);
          part.codec().get().accumulateRows(weights, own, received, add, target);
        } else {
          try (Columns own = new Columns(Optional.of(messages.words()), part.at(), part.end());
              Columns received = new Columns(halo.map(Messages::words), part.at(), part.end())) {
            DenseColumns.accumulate(weights, own.present(), received.view(), add, target);
          }
        }
      }
    }
  }

  @Override
  void checkPayload(MemorySegment payload) {
    for (Part part : parts) {
      MemorySegment own = payload.asSlice(4 * part.at(), 4 * (part.end() - part.at()));
      part.codec().ifPresent(c -> c.checkPayload(own));
    }
  }

  @Override
  public Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    for (Part part : parts) {
      part.codec()
          .ifPresent(c -> c.state().forEach((key, m) -> state.put(part.name() + "." + key, m)));
    }
    return state;
  }

  @Override
  public void undo() {
    parts.forEach(part -> part.codec().ifPresent(Codec::undo));
  }

  @Override
  public void close() {
    parts.forEach(part -> part.codec().ifPresent(Codec::close));
    super.close();
  }
}
