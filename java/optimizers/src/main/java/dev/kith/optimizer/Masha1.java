package dev.kith.optimizer;

import dev.kith.compress.Messages;
import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * MASHA1: extragradient for variational inequalities with unbiased compression, made exact by a
 * reference point w that moves seldom.
 *
 * <pre>
 * z_bar  = tau z + (1 - tau) w
 * z_half = z_bar - gamma F(w)
 * c_i    = Q(F_i(z_half) - F_i(w))                      is sent
 * z'     = z_bar - gamma (F(w) + (1/n) sum_i c_i)
 * w'     = z' with probability 1 - tau, and then F(w') is averaged in full; else w
 * </pre>
 *
 * <p>F = (1/n) sum_i F_i, and {@link Problem#gradient} gives the F_i. It converges linearly to the
 * solution of a strongly monotone F, where extragradient with compressed operators stops beside it.
 * The theorem asks for gamma up to min(sqrt(1 - tau) / (2 L sqrt(omega' / n + 1)), (1 - tau) / (2
 * mu)), omega' = 1 + omega, up to constants. A message goes from every node to each of the others,
 * so that nothing is compressed on a way back from a server (the one-sided form of the paper, with
 * h = 0). All nodes toss the same coin.
 *
 * <p>Source: Beznosikov, Richtarik, Diskin, Ryabinin, Gasnikov, "Distributed Methods with
 * Compressed Communication for Solving Variational Inequalities, with Theoretical Guarantees",
 * 2022, algorithm 1; w' = z' is the choice with which tau = 0 is plain {@link Extragradient}.
 */
public final class Masha1 extends Masha {
  private final Messages messages;

  private Masha1(Builder builder) {
    super("masha1", builder, builder.defaultProbability());
    this.messages = own(codec().messages());
  }

  /**
   * @param problem the local operators
   * @param network any schedule for the same nodes as the problem, none of which fails
   * @param initial the common start, one row; F32; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  Messages encode(DeviceMatrix operator, DeviceMatrix referenceOperator) {
    codec().encode(operator, Optional.of(referenceOperator), Optional.empty(), messages, round());
    return messages;
  }

  @Override
  void undoEncoding() {
    codec().undo();
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>(super.state());
    codec().state().forEach((key, matrix) -> state.put("codec." + key, matrix));
    return state;
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
      Promise.requireUnbiased("MASHA1", compressor, problem.layout().size());
      return Math.clamp(1 / compressor.ratio(problem.layout()), Double.MIN_NORMAL, 1);
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the
     *     compressor is not unbiased
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
