package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.LowRank;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * PowerSGD as a compressor of one row: every tensor of two or more dimensions is a matrix M of n =
 * s_0 rows and m = s_1 s_2 ... columns, of which one step of subspace iteration travels.
 *
 * <pre>
 * P = M Q;   P = orthonormalise(P);   Q = M^T P;   C(M) = P Q^T
 * </pre>
 *
 * <p>Q is where the next round starts (warm start); it begins as N(0, 1), the same at all nodes.
 * Without the warm start every round begins there. The rank of a tensor is min(r, n, m). Tensors of
 * one dimension travel as they are, and so do matrices that factors would not make shorter, r (n +
 * m) &gt;= n m.
 *
 * <p>Biased, and how much it loses depends on the data: use it with {@link ErrorFeedback}. It is
 * contractive in the sense of |M - C(M)| &lt;= |M|, because P P^T is a projection. The algorithm of
 * the paper averages P and Q over the nodes instead of sending both; that needs two exchanges and
 * is no compressor of a row.
 *
 * <p>The factors can be quantized: {@code low-rank + int4} is the compressor of DiLoCoX.
 *
 * <p>Payload: P of all matrices, transposed (f32), then Q of all of them, transposed (f32), or the
 * payload of the quantizer for the two as one row; then the other tensors in order (f32).
 *
 * <p>Source: Vogels, Karimireddy and Jaggi, "PowerSGD: Practical Low-Rank Gradient Compression for
 * Distributed Optimization", 2019, algorithm 1; DiLoCoX technical report, 2025 (with int4).
 *
 * @param rank r, 1 to 64
 * @param warm whether Q is kept from round to round
 * @param factors what the factors are quantized by
 */
public record PowerSgd(int rank, boolean warm, Optional<Quantizer> factors) implements Compressor {
  /** Checks. */
  public PowerSgd {
    Objects.requireNonNull(factors, "factors");
    if (rank < 1 || rank > LowRank.MAX_RANK) {
      throw new IllegalArgumentException(
          "a rank of " + rank + " is not in 1 to " + LowRank.MAX_RANK + ": give one that is");
    }
  }

  /** Rank r with a warm start, factors in f32. */
  public static PowerSgd ofRank(int rank) {
    return new PowerSgd(rank, true, Optional.empty());
  }

  /** The same with quantized factors. */
  public PowerSgd then(Quantizer quantizer) {
    return new PowerSgd(rank, warm, Optional.of(quantizer));
  }

  @Override
  public String name() {
    return "power-sgd:"
        + rank
        + (warm ? "" : ":cold")
        + factors.map(q -> "+" + q.name()).orElse("");
  }

  @Override
  public int kind() {
    return factors.isPresent() ? 31 : 30;
  }

  @Override
  public int parameter(Layout layout) {
    return rank;
  }

  @Override
  public String settings(Layout layout, long seed) {
    return name()
        + layout.tensors().stream()
            .map(t -> " " + Arrays.toString(t.shape()))
            .collect(Collectors.joining());
  }

  /**
   * How a row is cut.
   *
   * @param matrices what travels as factors
   * @param dense the columns {begin, end} of the rest, neighbouring tensors joined
   */
  public record Parts(List<LowRank.Shape> matrices, List<long[]> dense) {
    long left() {
      return matrices.stream().mapToLong(m -> m.rows() * m.rank()).sum();
    }

    long right() {
      return matrices.stream().mapToLong(m -> m.cols() * m.rank()).sum();
    }

    /** How many columns travel as they are. */
    public long denseColumns() {
      return dense.stream().mapToLong(range -> range[1] - range[0]).sum();
    }
  }

  /** Which tensors of a layout travel as factors: those of two dimensions that get shorter. */
  public Parts parts(Layout layout) {
    List<LowRank.Shape> matrices = new ArrayList<>();
    List<long[]> dense = new ArrayList<>();
    for (Layout.Tensor tensor : layout.tensors()) {
      long n = tensor.rows();
      long m = tensor.cols();
      int r = (int) Math.min(rank, Math.min(n, m));
      if (tensor.shape().length > 1 && r * (n + m) < n * m) {
        matrices.add(new LowRank.Shape(tensor.offset(), n, m, r));
      } else if (tensor.size() > 0) {
        long end = tensor.offset() + tensor.size();
        if (!dense.isEmpty() && dense.getLast()[1] == tensor.offset()) {
          dense.getLast()[1] = end;
        } else {
          dense.add(new long[] {tensor.offset(), end});
        }
      }
    }
    return new Parts(matrices, dense);
  }

  /** Words of the factors. */
  long factorWords(Parts parts) {
    long numbers = parts.left() + parts.right();
    return factors.map(q -> q.words(numbers)).orElse(numbers);
  }

  @Override
  public long words(Layout layout) {
    Parts parts = parts(layout);
    return factorWords(parts) + parts.denseColumns();
  }

  @Override
  public Constants constants(long columns) {
    return Constants.none();
  }

  @Override
  public Codec bind(DeviceMatrix like, Codec.Sender sender) {
    return new LowRankCodec(this, like, sender);
  }
}
