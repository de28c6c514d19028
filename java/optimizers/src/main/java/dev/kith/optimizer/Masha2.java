package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.Optional;

/**
 * MASHA2: extragradient for variational inequalities with contractive compression and error
 * feedback, made exact by a reference point w that moves seldom.
 *
 * <pre>
 * z_bar  = tau z + (1 - tau) w
 * z_half = z_bar - gamma F(w)
 * p_i    = F_i(z_half) - F_i(w) + e_i
 * c_i    = C(p_i)                                       is sent,        e_i' = p_i - c_i
 * p      = (1/n) sum_i c_i + e
 * g      = C_serv(p)                                    is sent back,   e'   = p - g;   or g = p
 * z'     = z_half - gamma g
 * w'     = z' with probability 1 - tau, and then F(w') is averaged in full; else w
 * </pre>
 *
 * <p>F = (1/n) sum_i F_i, and {@link Problem#gradient} gives the F_i. The paper keeps the errors of
 * gamma p_i; with a fixed step size and compressors that scale with their rows this is the same. It
 * converges linearly to the solution of a strongly monotone F for gamma of the order of delta / L.
 * Without a server's compressor a message goes from every node to each of the others, and e stays
 * 0; with one ({@link Builder#serverCompressor}) to node 0, whose answer to each of the others is
 * compressed too. The paper has no regularizer here. All nodes toss the same coin, and F(w') is
 * averaged over the nodes' tree.
 *
 * <p>Source: Beznosikov, Richtarik, Diskin, Ryabinin, Gasnikov, "Distributed Methods with
 * Compressed Communication for Solving Variational Inequalities, with Theoretical Guarantees",
 * 2022, algorithm 2.
 */
public final class Masha2 extends Masha {
  private Masha2(Builder builder) {
    super("masha2", builder, builder.defaultProbability(), true);
  }

  /**
   * @param problem the local operators
   * @param network any schedule for the same nodes as the problem, none of which fails
   * @param initial the common start, one row; F32; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  /** What the messages have lost so far, e_i of the own nodes, localNodes x d. */
  public DeviceMatrix residual() {
    return encoder().residual();
  }

  @Override
  public Optional<Compression> compression() {
    return Optional.of(Compression.of(encoder().ratio(), residual()));
  }

  /** What the server's answers have lost so far, e, 1 x d; empty without a server's compressor. */
  public Optional<DeviceMatrix> serverResidual() {
    return server().map(Encoder::residual);
  }

  /**
   * Settings of {@link Masha2}. The default of the reference probability is delta of the
   * compressor, the paper's choice.
   */
  public static final class Builder extends Masha.Builder<Builder> {
    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    private double defaultProbability() {
      Promise.requireContractive("MASHA2", compressor, problem.layout());
      serverCompressor.ifPresent(
          c -> Promise.requireContractive("MASHA2's server", c, problem.layout()));
      return Promise.delta("MASHA2", compressor, problem.layout());
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or a compressor
     *     is not contractive
     */
    public Masha2 build() {
      return new Masha2(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
