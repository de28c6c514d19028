package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.problem.Regularizer;
import java.util.Optional;

/**
 * MASHA1: extragradient for variational inequalities with unbiased compression, made exact by a
 * reference point w that moves seldom.
 *
 * <pre>
 * z_bar  = tau z + (1 - tau) w
 * z_half = prox_{gamma h}(z_bar - gamma F(w))
 * c_i    = Q(F_i(z_half) - F_i(w))                      is sent
 * g      = Q_serv((1/n) sum_i c_i)                      is sent back, or g = (1/n) sum_i c_i
 * z'     = prox_{gamma h}(z_bar - gamma (F(w) + g))
 * w'     = z' with probability 1 - tau, and then F(w') is averaged in full; else w
 * </pre>
 *
 * <p>F = (1/n) sum_i F_i, and {@link Problem#gradient} gives the F_i; prox is the identity without
 * a regularizer h. It converges linearly to the solution of a strongly monotone F, where
 * extragradient with compressed operators stops beside it. The theorem asks for gamma up to
 * min(sqrt(1 - tau) / (2 C), (1 - tau) / (2 mu)) with C = L sqrt(q_serv (q / n + 1)) up to
 * constants, q = 1 + omega of the compressors and q_serv = 1 where nothing is compressed on the way
 * back. Without a server's compressor a message goes from every node to each of the others; with
 * one ({@link Builder#serverCompressor}) to node 0, whose answer to each of the others is
 * compressed too. All nodes toss the same coin, and F(w') is averaged over the nodes' tree.
 *
 * <p>Source: Beznosikov, Richtarik, Diskin, Ryabinin, Gasnikov, "Distributed Methods with
 * Compressed Communication for Solving Variational Inequalities, with Theoretical Guarantees",
 * 2022, algorithm 1; w' = z' is the choice with which tau = 0 is plain {@link Extragradient}.
 */
public final class Masha1 extends Masha {
  private Masha1(Builder builder) {
    super("masha1", builder, builder.defaultProbability(), false);
  }

  /**
   * @param problem the local operators
   * @param network any schedule for the same nodes as the problem, none of which fails
   * @param initial the common start, one row; F32; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  /** {@inheritDoc} Nothing is kept for later. */
  @Override
  public Optional<Compression> compression() {
    return Optional.of(Compression.of(encoder().ratio(), 0, network().localNodes()));
  }

  /**
   * Settings of {@link Masha1}. The default of the reference probability is the share of the bytes
   * of a row that a message has, which balances the two kinds of messages.
   */
  public static final class Builder extends Masha.Builder<Builder> {
    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    private double defaultProbability() {
      Promise.requireUnbiased("MASHA1", compressor, problem.layout());
      serverCompressor.ifPresent(
          c -> Promise.requireUnbiased("MASHA1's server", c, problem.layout()));
      return Math.clamp(1 / compressor.ratio(problem.layout()), Double.MIN_NORMAL, 1);
    }

    /** h of the inequality, such as a constraint. Default: none, h = 0. */
    public Builder regularizer(Regularizer regularizer) {
      this.regularizer = Optional.of(regularizer);
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or a compressor
     *     is not unbiased
     */
    public Masha1 build() {
      return new Masha1(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
