package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * CHOCO-SGD: decentralized SGD whose averaging is {@link ChocoGossip}, so that messages may be
 * compressed as far as one likes.
 *
 * <pre>
 * y_i   = x_i - eta g_i(x_i)
 * q_i   = Q(y_i - xh_i)               is sent to the neighbours
 * xh_i' = xh_i + q_i
 * s_i'  = s_i + sum_j w_ij q_j
 * x_i'  = y_i + gamma (s_i' - xh_i')
 * </pre>
 *
 * <p>Any rule and any number of local steps take the place of x - eta g. The mean moves as in
 * central SGD whatever Q loses. With Q = identity and gamma = 1 it is {@link DecentralizedSgd} in
 * its form ATC. xh is 0 at first, as in the paper.
 *
 * <p>Source: Koloskova, Stich, Jaggi, "Decentralized Stochastic Optimization and Gossip Algorithms
 * with Compressed Communication", 2019, algorithm 2; Koloskova, Lin, Stich, Jaggi, "Decentralized
 * Deep Learning with Arbitrary Communication Compression", 2020.
 */
public final class ChocoSgd extends LockstepOptimizer {
  private final String variant;
  private final LocalSteps local;
  private final ChocoGossip gossip;
  private final DeviceMatrix formed;
  private DeviceMatrix x;
  private DeviceMatrix next;

  private ChocoSgd(Builder builder) {
    super("choco", builder.problem, builder.network);
    this.x = start(builder.initial);
    this.next = own(x.like());
    this.formed = own(x.like());
    ChocoGossip.Builder settings =
        ChocoGossip.builder(builder.network, x).compressor(builder.compressor).seed(builder.seed);
    builder.consensusStepSize.ifPresent(settings::consensusStepSize);
    this.gossip = own(settings.build());
    this.local = own(new LocalSteps(this, builder, x));
    this.variant =
        LocalSteps.variant(builder)
            + ", "
            + builder.compressor.name()
            + ", consensus step size "
            + gossip.consensusStepSize();
  }

  /**
   * @param problem the local objectives
   * @param network one fixed symmetric doubly stochastic matrix, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  /** The averaging, with what the nodes know of each other. */
  public ChocoGossip gossip() {
    return gossip;
  }

  @Override
  void undo() {
    local.undo();
    gossip.undo();
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
  public Optional<Compression> compression() {
    return Optional.of(Compression.of(gossip.ratio(), x, gossip.known()));
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

  /** Settings of {@link ChocoSgd}. */
  public static final class Builder extends CompressedLocalBuilder<Builder> {
    private OptionalDouble consensusStepSize = OptionalDouble.empty();

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * gamma, above 0 and at most 1. Default: {@link ChocoGossip#theoreticalStepSize}, which is
     * small; tuned values of the literature are 0.03 for the top 1 % and 0.4 for signs.
     */
    public Builder consensusStepSize(double consensusStepSize) {
      this.consensusStepSize = OptionalDouble.of(consensusStepSize);
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the weights
     *     change, are not symmetric or not doubly stochastic, or the compressor is not contractive
     *     and no consensus step size is given
     */
    public ChocoSgd build() {
      return new ChocoSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
