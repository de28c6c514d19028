package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import java.util.Objects;

/**
 * Top-k by a threshold that a sample of the row gives: about k of the largest entries travel, as
 * many as a message takes from the lowest column up; the others are taken for 0.
 *
 * <p>The threshold is the j-th largest |x_c| of s columns, one of each of s equal parts of the row,
 * drawn anew in every round from public randomness; j = k s / d rounded up. The number of entries
 * that reach it has the mean of about k and a relative deviation of about 1 / sqrt(j). There is
 * room for min(d, 2 k); what does not fit raises flag 4 and stays in the residual. So nothing is
 * promised relative to |x|: use it with {@link ErrorFeedback}. Zeros are never sent, a NaN always
 * is.
 *
 * <p>This is what DGC does, which had no fast exact selection; {@link TopK} takes little more than
 * one read of a row too, and keeps its promise. Payload: that of {@link Threshold}.
 *
 * <p>Source: Lin, Han, Mao, Wang, Dally, "Deep Gradient Compression: Reducing the Communication
 * Bandwidth for Distributed Training", 2018, section 5 (0.1 % to 1 % of a row are sampled). The
 * paper selects once more where too many entries reach the threshold; here the next rounds send
 * them.
 *
 * @param amount k
 * @param sample s; 2^20 at most of a row are taken
 */
public record SampledTopK(Amount amount, Amount sample) implements Compressor {
  /** The larger of the paper's sample sizes. */
  static final Amount USUAL = new Amount(0.01);

  /** Checks. */
  public SampledTopK {
    Objects.requireNonNull(amount, "amount");
    Objects.requireNonNull(sample, "sample");
  }

  @Override
  public String name() {
    return "sampled-top-k:" + amount + (sample.equals(USUAL) ? "" : ":sample=" + sample);
  }

  @Override
  public int kind() {
    return 5;
  }

  /** The entries that a message has room for. */
  long capacity(long columns) {
    return Math.min(columns, 2 * amount.of(columns));
  }

  @Override
  public int parameter(Layout layout) {
    return Math.toIntExact(capacity(layout.size()));
  }

  @Override
  public long words(Layout layout) {
    return 1 + 2 * capacity(layout.size());
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
