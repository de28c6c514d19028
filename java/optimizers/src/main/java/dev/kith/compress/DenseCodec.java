package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.MixingWeights;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/** The codec of {@link Identity}. */
final class DenseCodec extends Codec {
  DenseCodec(Identity compressor, DeviceMatrix like, Sender sender) {
    super(compressor, like, sender);
  }

  @Override
  void encodeRows(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      Messages messages) {
    DenseColumns.encode(x, minus, residual, messages.words(), messages.flags());
  }

  @Override
  void accumulateRows(
      Optional<MixingWeights> weights,
      Messages messages,
      Optional<Messages> halo,
      boolean add,
      DeviceMatrix y) {
    DenseColumns.accumulate(weights, messages.words(), halo.map(Messages::words), add, y);
  }

  @Override
  void checkPayload(MemorySegment payload) {
    // Any word is a number.
  }
}
