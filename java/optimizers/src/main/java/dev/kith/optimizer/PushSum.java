package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Stochastic gradient push (SGP): decentralized SGD on directed graphs, by push-sum.
 *
 * <pre>
 * x_i' = x_i - eta g_i(z_i)
 * x_i  = sum_j p_ij x_j'
 * w_i  = sum_j p_ij w_j          w_i = 1 at the start
 * z_i  = x_i / w_i
 * </pre>
 *
 * <p>P needs columns that sum to 1 only: a node has to know how many it sends to, not how many send
 * to it. Then the sums of x and of w over the nodes never change by mixing, and z tends to the mean
 * on every strongly connected graph. {@link #parameters} are the z. With doubly stochastic weights
 * w stays 1 and this is {@link DecentralizedSgd} in ATC form. Any rule and any number of local
 * steps take the place of x - eta g, with gradients at z. A node sends d numbers and one double to
 * each out-neighbour a round.
 *
 * <p>Source: Assran, Loizou, Ballas, Rabbat, "Stochastic Gradient Push for Distributed Deep
 * Learning", 2019; Kempe, Dobra, Gehrke, "Gossip-Based Computation of Aggregate Information", 2003
 * (push-sum).
 */
public final class PushSum extends LockstepOptimizer {
  private final String variant;
  private final LocalSteps local;
  private final DeviceMatrix z;
  private final DeviceMatrix inverse;
  private DeviceMatrix x;
  private DeviceMatrix next;
  private DeviceMatrix weights;
  private DeviceMatrix nextWeights;

  private PushSum(Builder builder) {
    super("push-sum", builder.problem, builder.network);
    requireWeights(builder.network.schedule().at(0));
    this.variant = LocalSteps.variant(builder);
    this.x = start(builder.initial);
    this.next = own(x.like());
    this.z = own(x.like());
    z.copyFrom(x);
    this.weights = own(x.like(x.rows(), 1, DType.F64));
    weights.fill(1);
    this.nextWeights = own(weights.like());
    this.inverse = own(x.like(1, x.rows(), DType.F64));
    inverse.fill(1);
    this.local = own(new LocalSteps(this, builder, x));
  }

  /**
   * @param problem the local objectives
   * @param network weights whose columns sum to 1, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void requireWeights(MixingMatrix p) {
    if (!p.kind().columnsSumToOne()) {
      throw new IllegalArgumentException(
          "push-sum needs a mixing matrix whose columns sum to 1, not one of kind "
              + p.kind()
              + " as in round "
              + round()
              + ": take out-degree weights, and FailingSchedule.of(base, failures,"
              + " Kind.COLUMN_STOCHASTIC) where links fail");
    }
  }

  @Override
  void undo() {
    local.undo();
    debias(x);
  }

  @Override
  void iterate() {
    MixingMatrix p = network().weights();
    network().mix(p, local.advance(x, z, this::debias).inner(1), next);
    requireFinite();
    network().mixRider(p, Expression.inner(weights).withMessageType(DType.F64), nextWeights);
    double[] w = nextWeights.toDoubles();
    for (int r = 0; r < w.length; r++) {
      if (!(w[r] > 0)) {
        throw new NonFiniteException(
            network().firstNode() + r, round(), "the reciprocal of the push-sum weight " + w[r]);
      }
      w[r] = 1 / w[r];
    }
    inverse.upload(w);
    DeviceMatrix done = x;
    x = next;
    next = done;
    DeviceMatrix doneWeights = weights;
    weights = nextWeights;
    nextWeights = doneWeights;
    debias(x);
  }

  /** z = numerators / w. */
  private DeviceMatrix debias(DeviceMatrix numerators) {
    Mixing.combine(Expression.outer(1, inverse, numerators), z);
    return z;
  }

  /** The de-biased z, localNodes x d. */
  @Override
  public DeviceMatrix parameters() {
    return z;
  }

  /**
   * The x, whose sum over the nodes mixing does not change, localNodes x d; valid until the next
   * step.
   */
  public DeviceMatrix numerators() {
    return x;
  }

  /** The w, f64, localNodes x 1; valid until the next step. */
  public DeviceMatrix weights() {
    return weights;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.put("z", z);
    state.put("weights", weights);
    state.put("inverse", inverse);
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

  /** Settings of {@link PushSum}. */
  public static final class Builder extends LocalStepBuilder<Builder> {
    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or columns of
     *     the weights do not sum to 1
     */
    public PushSum build() {
      return new PushSum(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
