package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalInt;

/**
 * Decentralized SGD that averages by {@link ChebyshevGossip}: x_i' = sum_j P_ij (x_j - eta
 * g_j(x_j)) with a polynomial P of degree K of the weights.
 *
 * <p>A round costs K exchanges, d numbers to each neighbour in each, and comes as near to the mean
 * as about K^2 plain ones. Any rule and any number of local steps take the place of x - eta g. The
 * gossip needs one fixed symmetric matrix.
 *
 * <p>Source: the gossip of Scaman et al., 2017, in the place of W in decentralized SGD.
 */
public final class ChebyshevSgd extends LockstepOptimizer {
  private final ChebyshevGossip gossip;
  private final String variant;
  private final LocalSteps local;
  private DeviceMatrix x;
  private DeviceMatrix a;
  private DeviceMatrix b;

  private ChebyshevSgd(Builder builder) {
    super("chebyshev", builder.problem, builder.network);
    MixingMatrix w =
        fixedSymmetric(
            "Chebyshev gossip",
            builder.network,
            MixingMatrix.Kind.DOUBLY_STOCHASTIC,
            MixingMatrix.Kind.ZERO_ROW_SUMS);
    this.gossip =
        builder.gossipRounds.isPresent()
            ? ChebyshevGossip.of(w, builder.gossipRounds.getAsInt())
            : ChebyshevGossip.of(w);
    this.variant = LocalSteps.variant(builder) + ", gossip rounds " + gossip.rounds();
    this.x = start(builder.initial);
    this.a = own(x.like());
    this.b = own(x.like());
    this.local = own(new LocalSteps(this, builder, x));
  }

  /**
   * @param problem the local objectives
   * @param network one fixed symmetric matrix, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  /** The gossip of every round. */
  public ChebyshevGossip gossip() {
    return gossip;
  }

  @Override
  void undo() {
    local.undo();
  }

  @Override
  void iterate() {
    DeviceMatrix mixed = gossip.mix(network(), local.advance(x), a, b, this::requireFinite);
    DeviceMatrix done = x;
    if (mixed == a) {
      a = done;
    } else {
      b = done;
    }
    x = mixed;
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.putAll(local.state());
    return state;
  }

  @Override
  String variant() {
    return variant;
  }

  @Override
  long[] counters() {
    return new long[] {local.steps()};
  }

  @Override
  void counters(long[] values) {
    local.steps(values[0]);
  }

  /** Settings of {@link ChebyshevSgd}. */
  public static final class Builder extends LocalStepBuilder<Builder> {
    private OptionalInt gossipRounds = OptionalInt.empty();

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** K, the exchanges of a round. Default: floor(1 / sqrt gamma), the choice of Scaman et al. */
    public Builder gossipRounds(int rounds) {
      this.gossipRounds = OptionalInt.of(rounds);
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the weights
     *     change, are not symmetric, or do not connect the nodes
     */
    public ChebyshevSgd build() {
      return new ChebyshevSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
