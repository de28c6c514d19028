package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/**
 * Decentralized SGD: a step on the own gradient, and a weighted average with the neighbours.
 *
 * <pre>
 * ATC (adapt then combine):  x_i' = sum_j w_ij (x_j - eta g_j(x_j))
 * CTA (combine then adapt):  x_i' = sum_j w_ij x_j - eta g_i(x_i)
 * </pre>
 *
 * <p>With plain SGD and one local step a round is a single pass over the parameters. Any other rule
 * R and any number of local steps take the place of x - eta g: ATC mixes R(x), CTA gives W x +
 * (R(x) - x). With W = J (all weights 1 / n) and several local steps it is FedAvg; with W = I the
 * nodes run alone.
 *
 * <p>A node sends d numbers to each neighbour a round. W needs rows that sum to 1; only where its
 * columns do too, the mean moves as in central SGD. With a fixed step size and nodes that differ it
 * stops O(eta) beside the optimum; {@link GradientTracking}, {@link Extra} and {@link DSquared} do
 * not.
 *
 * <p>Source: Lian et al., "Can Decentralized Algorithms Outperform Centralized Algorithms?", 2017
 * (CTA); Sayed, "Adaptation, Learning, and Optimization over Networks", 2014 (both forms); McMahan
 * et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", 2017
 * (FedAvg).
 */
public final class DecentralizedSgd extends LockstepOptimizer {
  /** The order of step and average. */
  public enum Form {
    /** Adapt, then combine. */
    ATC,
    /** Combine, then adapt: the exchange does not depend on the gradient. */
    CTA
  }

  private final Form form;
  private final String variant;
  private final LocalSteps local;
  private DeviceMatrix x;
  private DeviceMatrix next;

  private DecentralizedSgd(Builder builder) {
    super(builder.form == Form.ATC ? "dsgd" : "dsgd-cta", builder.problem, builder.network);
    requireWeights(builder.network.schedule().at(0));
    this.form = builder.form;
    this.variant = LocalSteps.variant(builder);
    this.x = start(builder.initial);
    this.next = own(x.like());
    this.local = own(new LocalSteps(this, builder, x));
  }

  /**
   * @param problem the local objectives
   * @param network the graph, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void requireWeights(MixingMatrix w) {
    requireRowsSumToOne(w);
  }

  @Override
  void undo() {
    local.undo();
  }

  @Override
  void iterate() {
    Combination stepped = local.advance(x);
    if (form == Form.ATC) {
      network().mix(stepped.inner(1), next);
    } else if (!local.aside()) {
      network().mix(stepped.tail().plusOuter(Expression.inner(x), 1), next);
    } else {
      network().mix(stepped.plusOuter(Expression.inner(x), 1).plusOuter(-1, x), next);
    }
    requireFinite();
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

  /** Settings of {@link DecentralizedSgd}. */
  public static final class Builder extends LocalStepBuilder<Builder> {
    private Form form = Form.ATC;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** The order of step and average. Default: ATC, which tolerates the larger step sizes. */
    public Builder form(Form form) {
      this.form = Objects.requireNonNull(form, "form");
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or rows of W do
     *     not sum to 1
     */
    public DecentralizedSgd build() {
      return new DecentralizedSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
