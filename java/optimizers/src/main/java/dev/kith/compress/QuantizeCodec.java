package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Code;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.Quantize;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/** The codec of {@link Quantizer}. */
final class QuantizeCodec extends Codec {
  private final Quantizer quantizer;
  private final Code code;

  QuantizeCodec(Quantizer compressor, DeviceMatrix like, Sender sender) {
    super(compressor, like, sender);
    this.quantizer = compressor;
    this.code = compressor.code();
  }

  @Override
  void encodeRows(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      Messages messages) {
    Quantize.quantize(
        code,
        quantizer.draw(sender(), messages.round()),
        x,
        minus,
        residual,
        messages.words(),
        Optional.of(messages.flags()));
  }

  @Override
  void accumulateRows(
      Optional<MixingWeights> weights,
      Messages messages,
      Optional<Messages> halo,
      boolean add,
      DeviceMatrix y) {
    Quantize.accumulate(weights, code, messages.words(), halo.map(Messages::words), add, y);
  }

  @Override
  void checkPayload(MemorySegment payload) {
    try {
      Quantize.check(like().device(), code, layout().size(), payload);
    } catch (IllegalArgumentException e) {
      throw forged(e);
    }
  }
}
