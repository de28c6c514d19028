package dev.kith.optimizer;

import dev.kith.compress.ErrorFeedback;
import dev.kith.compress.Messages;
import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * MASHA2: extragradient for variational inequalities with contractive compression and error
 * feedback, made exact by a reference point w that moves seldom.
 *
 * <pre>
 * z_bar  = tau z + (1 - tau) w
 * z_half = z_bar - gamma F(w)
 * p_i    = F_i(z_half) - F_i(w) + e_i
 * c_i    = C(p_i)                                       is sent,   e_i' = p_i - c_i
 * z'     = z_half - gamma (1/n) sum_i c_i
 * w'     = z' with probability 1 - tau, and then F(w') is averaged in full; else w
 * </pre>
 *
 * <p>F = (1/n) sum_i F_i, and {@link Problem#gradient} gives the F_i. The paper keeps the errors of
 * gamma p_i; with a fixed step size and a compressor that scales with its row this is the same. It
 * converges linearly to the solution of a strongly monotone F for gamma of the order of delta / L.
 * A message goes from every node to each of the others, so that nothing is compressed on a way back
 * from a server (the one-sided form of the paper). All nodes toss the same coin.
 *
 * <p>Source: Beznosikov, Richtarik, Diskin, Ryabinin, Gasnikov, "Distributed Methods with
 * Compressed Communication for Solving Variational Inequalities, with Theoretical Guarantees",
 * 2022, algorithm 2.
 */
public final class Masha2 extends Masha {
  private final ErrorFeedback feedback;

  private Masha2(Builder builder) {
    super("masha2", builder, builder.defaultProbability());
    this.feedback = own(new ErrorFeedback(codec(), parameters()));
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
    return feedback.encode(operator, Optional.of(referenceOperator), round());
  }

  @Override
  void undoEncoding() {
    feedback.undo();
  }

  /** What the messages have lost so far, e_i of the own nodes. */
  public DeviceMatrix residual() {
    return feedback.residual();
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>(super.state());
    state.putAll(feedback.state());
    return state;
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
      long columns = problem.layout().size();
      Promise.requireContractive("MASHA2", compressor, columns);
      return Promise.delta("MASHA2", compressor, columns);
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the
     *     compressor is not contractive
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
