package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.problem.Value;
import dev.kith.solver.LbfgsMemory;
import dev.kith.solver.WolfeSearch;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/**
 * L-BFGS on F(x) = (1/n) sum_i f_i(x), with the mean gradient of all nodes:
 *
 * <pre>
 *   d = -H g,     x' = x + t d,     s = x' - x,  y = g' - g
 * </pre>
 *
 * <p>H is made of the last m pairs, see {@link LbfgsMemory}; t satisfies the strong Wolfe
 * conditions, see {@link WolfeSearch}, and is tried first with 1, or in the first round with min(1,
 * 1 / |g|). A node sends d numbers and one more up the tree of nodes and gets as many for each
 * evaluation, of which a round mostly takes one. All nodes remember the same pairs.
 *
 * <p>A pair whose s.y is not clearly positive is left out and not damped (Powell): it is met by
 * roundings alone, as the Wolfe conditions make s.y positive, and for those the pairs before it say
 * more.
 *
 * <p>Where no step goes down, the parameters stay and the memory is forgotten, so that the next
 * round follows the gradient; so a run that stands at the precision of its values stays there.
 *
 * <p>Needs exact gradients: all local data in every one. Pairs of gradients with different noise
 * hold no curvature.
 *
 * <p>Source: D. Liu, J. Nocedal, "On the limited memory BFGS method for large scale optimization",
 * Math. Programming 45, 1989.
 */
public final class Lbfgs extends CommonModelOptimizer {
  private final Value values;
  private final WolfeSearch search;
  private final LbfgsMemory memory;
  private final String variant;
  private final DeviceMatrix gradients;
  private final DeviceMatrix mean;
  private final DeviceMatrix trials;
  private final DeviceMatrix direction;
  private final NodeValues nodeValues;
  private final DeviceMatrix value;
  private final double epsilon;
  private WolfeSearch.Result last;
  private long[] savedCounters = new long[0];

  private Lbfgs(Builder builder) {
    super("lbfgs", builder.problem, builder.network, builder.initial);
    this.values = capability(Value.class, "values");
    this.search = builder.search;
    this.variant = "m = " + builder.pairs;
    this.memory = own(new LbfgsMemory(builder.pairs, model().row()));
    this.gradients = own(parameters().like());
    this.trials = own(parameters().like());
    this.mean = own(model().row().like());
    this.direction = own(mean.like());
    this.nodeValues = own(new NodeValues(this, values));
    this.value = own(mean.like(1, 1, DType.F64));
    this.epsilon = mean.dtype() == DType.F64 ? 0x1p-52 : 0x1p-23;
    this.last = new WolfeSearch.Result(new WolfeSearch.Point(0, 0, 0), false, 0);
  }

  /**
   * @param problem the local objectives; {@link Value}
   * @param network any schedule for the same nodes, none of which fails
   * @param initial the start, one row; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    if (!memory.started()) {
      problem().gradient(parameters(), gradients, round());
      average(gradients, mean);
      value.set(0, 0, nodeValues.mean(parameters()));
      memory.start(mean);
    }
    double here = value.get(0, 0);
    if (memory.gradientSquares() == 0) {
      last = new WolfeSearch.Result(new WolfeSearch.Point(0, here, 0), true, 0);
      return;
    }
    double slope = memory.direction(direction);
    if (!(slope < 0)) {
      // By roundings of the products: the pairs say nothing any more.
      forget();
      slope = memory.direction(direction);
    }
    double first = memory.pairs() == 0 ? Math.min(1, 1 / Math.sqrt(memory.gradientSquares())) : 1;
    last = search.search(this::at, new WolfeSearch.Point(0, here, slope), first, epsilon);
    if (last.point().t() == 0) {
      requireFiniteAverage(gradients, mean);
      forget();
      return;
    }
    memory.advance(model().next(), model().row(), mean);
    value.set(0, 0, last.point().value());
    model().accept();
  }

  /** Keeps the gradient and nothing else. */
  private void forget() {
    try (DeviceMatrix g = memory.gradient()) {
      mean.copyFrom(g);
    }
    memory.start(mean);
  }

  /** The value and the slope at x + t d, which is then the proposed model. */
  private WolfeSearch.Point at(double t) {
    DeviceMatrix next = model().next();
    Mixing.combine(Expression.outer(model().row()).plusOuter(t, direction), next);
    model().spread(next, trials);
    problem().gradient(trials, gradients, round());
    network().average(gradients, mean);
    return new WolfeSearch.Point(t, nodeValues.mean(trials), Reduction.dots(mean, direction)[0]);
  }

  /** What the line search of the last round found: the step and how often it evaluated. */
  public WolfeSearch.Result search() {
    return last;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>(super.state());
    state.put("value", value);
    state.put("memory", memory.rows());
    return state;
  }

  @Override
  String variant() {
    return variant;
  }

  @Override
  long[] counters() {
    return memory.counters();
  }

  @Override
  void counters(long[] values) {
    savedCounters = values;
  }

  @Override
  void restored() {
    memory.restore(savedCounters);
  }

  /** Settings of {@link Lbfgs}. */
  public static final class Builder {
    private final Problem problem;
    private final Network network;
    private final DeviceMatrix initial;
    private int pairs = 10;
    private WolfeSearch search = WolfeSearch.withDefaults();

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      this.problem = Objects.requireNonNull(problem, "problem");
      this.network = Objects.requireNonNull(network, "network");
      this.initial = Objects.requireNonNull(initial, "initial");
    }

    /**
     * How many pairs are remembered, m. Default: 10, as is usual.
     *
     * @throws IllegalArgumentException if it is negative
     */
    public Builder pairs(int m) {
      if (m < 0) {
        throw new IllegalArgumentException(
            "a memory of " + m + " pairs is not possible; take 0 or more");
      }
      pairs = m;
      return this;
    }

    /** How steps are found. Default: {@link WolfeSearch#withDefaults}. */
    public Builder search(WolfeSearch search) {
      this.search = Objects.requireNonNull(search, "search");
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the problem
     *     has no values
     */
    public Lbfgs build() {
      return new Lbfgs(this);
    }
  }
}
