package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import java.util.Objects;

/**
 * Top-k: the k entries of largest |x_i| of every block travel, the others are taken for 0. Ties go
 * to the lowest index.
 *
 * <pre>|C(x) - x|^2 &lt;= (1 - k/d) |x|^2,   delta = k/d</pre>
 *
 * <p>with equality where all |x_i| are equal; with blocks of B columns delta = k/B. Biased: use it
 * with {@link ErrorFeedback}, {@link Ef21} or on differences.
 *
 * <p>Payload: the columns of the chosen entries, ascending (u32), then their values (f32): 2 k
 * words a block.
 *
 * <p>Source: Stich, Cordonnier and Jaggi, "Sparsified SGD with Memory", 2018; Aji and Heafield,
 * "Sparse Communication for Distributed Gradient Descent", 2017.
 *
 * @param amount k of every block
 * @param block columns of a block; 0: the whole row is one
 */
public record TopK(Amount amount, long block) implements Compressor {
  /** Checks. */
  public TopK {
    Objects.requireNonNull(amount, "amount");
    Blocks.check(block);
    if (block > 0) {
      amount.of(block);
    }
  }

  @Override
  public String name() {
    return "top-k:" + amount + (block == 0 ? "" : ":block=" + block);
  }

  @Override
  public int kind() {
    return 2;
  }

  /** k of a block. */
  long k(long columns) {
    return amount.of(block == 0 ? columns : block);
  }

  /** Entries of a message: a last block that is shorter than k is sent whole. */
  long entries(long columns) {
    long k = k(columns);
    if (block == 0) {
      return k;
    }
    return columns / block * k + Math.min(k, columns % block);
  }

  @Override
  public int parameter(Layout layout) {
    return Math.toIntExact(k(layout.size()));
  }

  @Override
  public long words(Layout layout) {
    return 2 * entries(layout.size());
  }

  @Override
  public Constants constants(long columns) {
    return Constants.contractive(
        columns == 0 ? 1 : (double) k(columns) / (block == 0 ? columns : block));
  }

  @Override
  public Codec bind(DeviceMatrix like, Codec.Sender sender) {
    return SparseCodec.of(this, like, sender);
  }
}
