package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import java.util.Objects;

/**
 * Threshold: the entries with |x_i| at least t travel, from the lowest column up, as many as a
 * message takes; the others are taken for 0. What does not fit raises flag 4 and stays in the
 * residual.
 *
 * <p>Where everything fits |C(x) - x|^2 &lt; d t^2, whatever |x| is: nothing is promised relative
 * to |x|, so use it with {@link ErrorFeedback}. A NaN is always sent.
 *
 * <p>Payload: how many entries there are (u32), then room for the capacity: their columns,
 * ascending (u32), then their values (f32); unused words are 0.
 *
 * <p>Source: Strom, "Scalable Distributed DNN Training Using Commodity GPU Cloud Computing", 2015;
 * Dutta et al., "On the Discrepancy between the Theoretical Analysis and Practical Implementations
 * of Compressed Communication for Distributed Deep Learning", 2020 (hard threshold).
 *
 * @param threshold t, not negative
 * @param capacity the most entries of a message
 */
public record Threshold(double threshold, Amount capacity) implements Compressor {
  /** Checks. */
  public Threshold {
    Objects.requireNonNull(capacity, "capacity");
    if (!(threshold >= 0)) {
      throw new IllegalArgumentException(
          "the threshold " + threshold + " is not a number from 0 up");
    }
  }

  @Override
  public String name() {
    return "threshold:" + threshold + ":capacity=" + capacity;
  }

  @Override
  public int kind() {
    return 4;
  }

  @Override
  public int parameter(Layout layout) {
    return Math.toIntExact(capacity.of(layout.size()));
  }

  @Override
  public long words(Layout layout) {
    return 1 + 2 * capacity.of(layout.size());
  }

  @Override
  public Constants constants(long columns) {
    return Constants.none();
  }

  @Override
  public Codec bind(DeviceMatrix like, Codec.Sender sender) {
    return SparseCodec.of(this, like, sender);
  }
}
