package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;

/**
 * No compression: all numbers travel as f32. C(x) = x, so omega is 0.
 *
 * <p>Payload: the bits of d f32.
 */
public record Identity() implements Compressor {
  @Override
  public String name() {
    return "identity";
  }

  @Override
  public int kind() {
    return 1;
  }

  @Override
  public long words(Layout layout) {
    return layout.size();
  }

  @Override
  public Constants constants(long columns) {
    return Constants.unbiased(0);
  }

  @Override
  public Codec bind(DeviceMatrix like, Codec.Sender sender) {
    return new DenseCodec(this, like, sender);
  }
}
