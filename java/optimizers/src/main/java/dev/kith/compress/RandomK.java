package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import java.util.Objects;

/**
 * Random-k: k columns S, drawn uniformly among all sets of k, travel; the others are taken for 0.
 *
 * <pre>
 * C(x)_i = (d/k) x_i for i in S:   unbiased, omega = d/k - 1, with equality for every x
 * C(x)_i = x_i for i in S:         unscaled, contractive, delta = k/d in the mean
 * </pre>
 *
 * <p>S is a function of (seed, channel, node, round), so the columns are never sent. With a common
 * S the nodes of a round draw the same columns: messages can then be summed as they are.
 *
 * <p>Payload: the k values (f32), in ascending order of their columns.
 *
 * <p>Source: Stich, Cordonnier and Jaggi, "Sparsified SGD with Memory", 2018; Wangni et al.,
 * "Gradient Sparsification for Communication-Efficient Distributed Optimization", 2018.
 *
 * @param amount k
 * @param scaled whether values are multiplied by d/k
 * @param common whether all nodes draw the same columns
 */
public record RandomK(Amount amount, boolean scaled, boolean common) implements Compressor {
  /** Checks. */
  public RandomK {
    Objects.requireNonNull(amount, "amount");
  }

  @Override
  public String name() {
    return "random-k:" + amount + (scaled ? "" : ":unscaled") + (common ? ":common" : "");
  }

  @Override
  public int kind() {
    return 3;
  }

  @Override
  public int parameter(Layout layout) {
    return Math.toIntExact(amount.of(layout.size()));
  }

  @Override
  public String settings(Layout layout, long seed) {
    return name() + " seed=" + seed;
  }

  @Override
  public long words(Layout layout) {
    return amount.of(layout.size());
  }

  /** What values are multiplied by. */
  double scale(long columns) {
    return scaled && columns > 0 ? (double) columns / amount.of(columns) : 1;
  }

  @Override
  public Constants constants(long columns) {
    double share = columns == 0 ? 1 : (double) amount.of(columns) / columns;
    return scaled ? Constants.unbiased(1 / share - 1) : Constants.contractive(share);
  }

  @Override
  public Codec bind(DeviceMatrix like, Codec.Sender sender) {
    return SparseCodec.of(this, like, sender);
  }
}
