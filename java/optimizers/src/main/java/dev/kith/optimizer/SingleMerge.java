package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Sparse gossip and a single global merge: nodes train almost alone, and one average at the end
 * recovers the model of a server.
 *
 * <pre>
 * theta_i'    = R(theta_i)                          s steps of a rule
 * theta_i(t+1) = sum_j w_ij(t) theta_j'             mostly w_ii = 1: a node meets a random peer in a fifth of the rounds
 * theta       = (1/m) sum_i theta_i                 once, after the last round
 * </pre>
 *
 * <p>The weights are those of the network; the paper's are {@code MixingSchedule.sparseGossip} with
 * rate 0.2, which keep a common value but not the mean. Rounds of a dense window average over all
 * nodes instead. {@link #counterfactual} gives the model that a merge would give now. Cost: rate d
 * numbers a node and round, and two times d for the merge.
 *
 * <p>Source: Zhu et al., "A Single Merging Suffices: Recovering Server-based Learning Performance
 * in Decentralized Learning", 2025, with its official gossip generator; 100 local steps between
 * rounds and a merge at 99.7 percent of the training are its defaults, one local step and no merge
 * those of this class.
 */
public final class SingleMerge extends LockstepOptimizer {
  private final String variant;
  private final long mergeAfter;
  private final long denseBegin;
  private final long denseEnd;
  private final LocalSteps local;
  private final GlobalAverage average;
  private DeviceMatrix x;
  private DeviceMatrix next;

  private SingleMerge(Builder builder) {
    super("single-merge", builder.problem, builder.network);
    requireWeights(builder.network.schedule().at(0));
    this.variant = LocalSteps.variant(builder);
    this.mergeAfter = builder.mergeAfter;
    this.denseBegin = builder.denseBegin;
    this.denseEnd = builder.denseEnd;
    this.x = start(builder.initial);
    this.next = own(x.like());
    this.local = own(new LocalSteps(this, builder, x));
    this.average = own(new GlobalAverage(this, x));
  }

  /**
   * @param problem the local objectives
   * @param network a schedule whose rows sum to 1, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied. Merging
   *     needs a common start: models from different ones do not average
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
    if (round() >= denseBegin && round() < denseEnd) {
      average.apply(stepped.formed(next), next);
    } else {
      network().mix(stepped.inner(1), next);
      requireFinite();
    }
    if (round() + 1 == mergeAfter) {
      average.apply(next, next);
    }
    DeviceMatrix done = x;
    x = next;
    next = done;
  }

  /** Merges now: every node gets the average over all nodes. */
  public void merge() {
    average.apply(x, x);
  }

  /**
   * The average that a merge would give now; not counted by the meter.
   *
   * @param mean 1 x d
   */
  public void counterfactual(DeviceMatrix mean) {
    network().observeAverage(x, mean);
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

  /** Settings of {@link SingleMerge}. */
  public static final class Builder extends LocalStepBuilder<Builder> {
    private long mergeAfter;
    private long denseBegin;
    private long denseEnd;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * Merges at the end of the round in which this number of rounds is reached. Default: never by
     * itself; see {@link SingleMerge#merge}.
     */
    public Builder mergeAfter(long rounds) {
      if (rounds < 1) {
        throw new IllegalArgumentException(
            "a merge after " + rounds + " rounds is too early: give at least 1");
      }
      this.mergeAfter = rounds;
      return this;
    }

    /**
     * Averages over all nodes in the rounds [begin, end) instead of gossiping. Default: in none.
     */
    public Builder denseWindow(long begin, long end) {
      if (begin < 0 || end < begin) {
        throw new IllegalArgumentException(
            "the rounds [" + begin + ", " + end + ") are not a window");
      }
      this.denseBegin = begin;
      this.denseEnd = end;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or rows of W do
     *     not sum to 1
     */
    public SingleMerge build() {
      return new SingleMerge(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
