package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Decentralized SGD whose averaging is {@link PowerGossip}: every edge carries a low-rank part of
 * the difference of its two ends.
 *
 * <pre>
 * Y_i  = X_i - eta g_i(X_i)
 * X_i' = Y_i - sum_j w_ij lowrank(Y_i - Y_j)
 * </pre>
 *
 * <p>Any rule and any number of local steps take the place of x - eta g. The mean moves as in
 * central SGD, and there is no consensus step size. Where the factors hold the whole difference it
 * is {@link DecentralizedSgd} in its form ATC.
 *
 * <p>Source: Vogels, Karimireddy, Jaggi, "Practical Low-Rank Communication Compression in
 * Decentralized Deep Learning", 2020, algorithm 1; the gradient step comes before the gossip.
 */
public final class PowerGossipSgd extends LockstepOptimizer {
  private final String variant;
  private final LocalSteps local;
  private final PowerGossip gossip;
  private final DeviceMatrix formed;
  private DeviceMatrix x;
  private DeviceMatrix next;

  private PowerGossipSgd(Builder builder) {
    super("powergossip", builder.problem, builder.network);
    this.x = start(builder.initial);
    this.next = own(x.like());
    this.formed = own(x.like());
    this.gossip =
        own(
            PowerGossip.builder(builder.network, x)
                .layout(problem().layout())
                .rank(builder.rank)
                .warmStart(builder.warm)
                .seed(builder.seed)
                .build());
    this.local = own(new LocalSteps(this, builder, x));
    this.variant =
        LocalSteps.variant(builder)
            + ", rank "
            + builder.rank
            + (builder.warm ? ", warm" : ", cold");
  }

  /**
   * @param problem the local objectives; its layout says which tensors there are
   * @param network one fixed symmetric doubly stochastic matrix, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  /** The averaging, with the directions of the edges. */
  public PowerGossip gossip() {
    return gossip;
  }

  @Override
  void undo() {
    local.undo();
  }

  @Override
  void iterate() {
    gossip.mix(local.advance(x).formed(formed), next, round());
    DeviceMatrix done = x;
    x = next;
    next = done;
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.putAll(gossip.state());
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

  /** Settings of {@link PowerGossipSgd}. */
  public static final class Builder extends LocalStepBuilder<Builder> {
    private int rank = 1;
    private boolean warm = true;
    private long seed = 1;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** r, 1 to 64. Default: 1, as in the paper. */
    public Builder rank(int rank) {
      this.rank = rank;
      return this;
    }

    /** Whether directions go on from round to round. Default: yes. */
    public Builder warmStart(boolean warm) {
      this.warm = warm;
      return this;
    }

    /** The seed of the first directions, the same in all processes. Default: 1. */
    public Builder seed(long seed) {
      this.seed = seed;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the weights
     *     change, are not symmetric or not doubly stochastic, the start is not F32, or the rank is
     *     out of range
     */
    public PowerGossipSgd build() {
      return new PowerGossipSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
