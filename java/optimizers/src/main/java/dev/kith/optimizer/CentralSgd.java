package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The central baseline: after every round all nodes have the average over all nodes.
 *
 * <pre>x' = (1/n) sum_i (x - eta g_i(x))</pre>
 *
 * <p>With SGD and one local step this is mini-batch SGD on the batches of all nodes together. Any
 * rule and any number of local steps take the place of x - eta g, every node with its own rule
 * state; with several steps it is FedAvg with all clients. It equals {@link DecentralizedSgd} with
 * W = J up to the order of the sum, but forms the average once instead of n times. The graph of the
 * network is not used. A node sends d numbers up the tree of nodes and gets d numbers down it, 2 (n
 * - 1) d in all.
 *
 * <p>Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized
 * Data", 2017 (FedSGD and FedAvg).
 */
public final class CentralSgd extends LockstepOptimizer {
  private final String variant;
  private final LocalSteps local;
  private final GlobalAverage average;
  private final DeviceMatrix x;
  private final DeviceMatrix stepped;

  private CentralSgd(Builder builder) {
    super("central", builder.problem, builder.network);
    this.variant = LocalSteps.variant(builder);
    this.x = start(builder.initial);
    this.stepped = own(x.like());
    this.local = own(new LocalSteps(this, builder, x));
    this.average = own(new GlobalAverage(this, x));
  }

  /**
   * @param problem the local objectives
   * @param network any schedule for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void undo() {
    local.undo();
  }

  @Override
  void iterate() {
    average.apply(local.advance(x).formed(stepped), x);
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

  /** Settings of {@link CentralSgd}. */
  public static final class Builder extends LocalStepBuilder<Builder> {
    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit
     */
    public CentralSgd build() {
      return new CentralSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
