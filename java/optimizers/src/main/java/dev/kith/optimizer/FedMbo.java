package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.problem.BilevelProblem;
import dev.kith.problem.LowerCurvature;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * FedMBO, federated multi-sequence bilevel optimization: a server and m clients, n of which take
 * part at a time, minimise (1/m) sum_i f_i(x, y*(x)), where y*(x) minimises the mean of the g_i.
 *
 * <pre>
 * T times:  n clients,  h = mean dg_i/dy (x, y)
 *           each takes tau steps  y_i &larr; y_i - beta (dg_i/dy (x, y_i) - dg_i/dy (x, y) + h),  y = mean y_i
 * n chains: J' uniform in 0 .. J - 1, a client c_0, p = J lambda df/dy of c_0
 *           J' times: go to a client c drawn anew, p &larr; p - lambda (d2g_c/dy2) p
 *           go to a client i drawn anew, h = df_i/dx - (d2g_i/dxdy) p
 * x &larr; x - alpha mean h
 * </pre>
 *
 * <p>Every factor belongs to a client drawn for itself, so that the expectation of p is that of the
 * mean Hessian, lambda sum_{j < J} (I - lambda H)^j b; one client for a whole chain gives the mean
 * of the clients' own inverses instead. Chains that move at the same time go to different clients,
 * which changes no chain's law. With a fixed h, tau local steps on x are one of size tau alpha, so
 * that there is none of them here. All draws are public, from one seed.
 *
 * <p>A client sends q numbers to the server twice in each of the T times, and gets as many; a hop
 * of a chain carries q numbers, and at its end a client sends p numbers. lambda is at most 1 / L of
 * the g_i. With n = m = 1 this is the method of a single node with a randomly truncated Neumann
 * series. The graph is not used.
 *
 * <p>Source: Huang, Zhang, Ji, "Achieving Linear Speedup in Non-IID Federated Bilevel Learning",
 * 2023; reconstructed: the equations are the paper's to the best of our knowledge.
 */
public final class FedMbo extends LockstepOptimizer {
  private final BilevelProblem objectives;
  private final LowerCurvature curvature;
  private final Builder settings;
  private final UpperAndLower rows;
  private final CommonModel upper;
  private final CommonModel lower;
  private final UpperAndLower point;
  private final UpperAndLower gradients;
  private final DeviceMatrix clients;
  private final DeviceMatrix anchor;
  private final DeviceMatrix slope;
  private final DeviceMatrix before;
  private final DeviceMatrix mean;
  private final DeviceMatrix spreadMean;
  private final TwoBuffers chains;
  private final DeviceMatrix product;
  private final DeviceMatrix ended;
  private final DeviceMatrix direction;
  private final DeviceMatrix hypergradient;
  private final DeviceMatrix nextY;

  private FedMbo(Builder builder, LowerCurvature curvature) {
    super("fedmbo", builder.bilevel, builder.network);
    this.objectives = builder.bilevel;
    this.curvature = curvature;
    this.settings = new Builder(builder);
    if (settings.participants > network().nodes()) {
      throw new IllegalArgumentException(
          settings.participants
              + " clients cannot take part where there are "
              + network().nodes()
              + ": take as many or fewer");
    }
    if (builder.initial.rows() != 1) {
      throw new IllegalArgumentException(
          "fedmbo was given "
              + builder.initial.rows()
              + " rows to start from: give the one that the server has");
    }
    DeviceMatrix start = start(builder.initial);
    this.rows = own(UpperAndLower.of(objectives, start));
    this.point = own(UpperAndLower.of(objectives, own(start.like())));
    this.gradients = own(UpperAndLower.of(objectives, own(start.like())));
    this.upper = own(new CommonModel(rows.x()));
    this.lower = own(new CommonModel(rows.y()));
    DeviceMatrix y = rows.y();
    this.clients = own(y.like());
    this.anchor = own(y.like());
    this.slope = own(y.like());
    this.before = own(y.like());
    this.spreadMean = own(y.like());
    this.product = own(y.like());
    this.ended = own(y.like());
    this.chains = own(new TwoBuffers(y));
    this.mean = own(lower.row().like());
    this.nextY = own(lower.row().like());
    this.direction = own(rows.x().like());
    this.hypergradient = own(upper.row().like());
  }

  /**
   * @param problem both levels; {@link LowerCurvature}
   * @param network any schedule for the same nodes, none of which fails
   * @param initial the start (x, y), one row; F32 or F64; copied
   */
  public static Builder builder(BilevelProblem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void requireWeights(MixingMatrix w) {
    requireAllNodes();
  }

  @Override
  void iterate() {
    nextY.copyFrom(lower.row());
    for (int t = 0; t < settings.lowerRounds; t++) {
      solveLower(t);
    }
    point.x().copyFrom(rows.x());
    upper.spread(nextY, point.y());
    int[] ends = runChains();
    objectives.gradient(point.both(), gradients.both(), 2 * round() + 1);
    curvature.lowerMixedVector(point.x(), point.y(), ended, direction, round());
    double[] count = new double[network().localNodes()];
    int[] sent = new int[network().nodes()];
    for (int node : ends) {
      sent[node]++;
      int r = node - network().firstNode();
      if (r >= 0 && r < count.length) {
        count[r]++;
      }
    }
    try (DeviceMatrix counts = DeviceMatrix.row(direction.queue(), count)) {
      Mixing.combine(
          Expression.outer(1, counts, gradients.x()).plusOuter(-1, direction), direction);
    }
    clear(direction, ends);
    average(sent, direction, ends.length, hypergradient);
    DeviceMatrix next =
        upper.propose(Expression.outer(upper.row()).plusOuter(-settings.stepSize, hypergradient));
    if (Reduction.nonFinite(next) != 0) {
      throw new NonFiniteException(0, round(), "the step of the server, starting with that");
    }
    upper.accept();
    lower.propose(Expression.outer(nextY));
    lower.accept();
  }

  /** The clients of draw k of this round: so many of all, in a random order. */
  private int[] draw(int k, int count) {
    int[] order =
        new SharedRandom(settings.seed, Stream.SCHEDULE, k, round()).permutation(network().nodes());
    return Arrays.copyOf(order, count);
  }

  /** One FedIn round on {@link #nextY}. */
  private void solveLower(int t) {
    int[] present = draw(t, settings.participants);
    long draws = (round() * settings.lowerRounds + t) * settings.lowerSteps;
    lower.spread(nextY, clients);
    objectives.lowerGradient(rows.x(), clients, anchor, draws);
    clear(anchor, present);
    average(sent(present), anchor, present.length, mean);
    lower.spread(mean, spreadMean);
    // The first step has the same sample and point as the anchor: it is one along the mean.
    Mixing.combine(
        Expression.outer(clients).plusOuter(-settings.lowerStepSize, spreadMean), clients);
    lower.spread(nextY, before);
    for (int s = 1; s < settings.lowerSteps; s++) {
      objectives.lowerGradient(rows.x(), before, anchor, draws + s);
      objectives.lowerGradient(rows.x(), clients, slope, draws + s);
      Mixing.combine(Expression.outer(slope).plusOuter(-1, anchor).plusOuter(spreadMean), slope);
      Mixing.combine(Expression.outer(clients).plusOuter(-settings.lowerStepSize, slope), clients);
    }
    clear(clients, present);
    average(sent(present), clients, present.length, nextY);
  }

  /**
   * Runs the chains; leaves the sums of those that ended at a node in its row of {@link #ended}.
   *
   * @return where each ended
   */
  private int[] runChains() {
    int count = settings.participants;
    int draw = settings.lowerRounds;
    int[] at = draw(draw++, count);
    int[] length = new int[count];
    Arrays.setAll(
        length,
        k ->
            (int)
                new SharedRandom(settings.seed, Stream.TRUNCATION, k, round())
                    .below(0, settings.terms));
    objectives.gradient(point.both(), gradients.both(), 2 * round());
    Mixing.combine(
        Expression.outer(settings.terms * settings.neumannStep, gradients.y()), chains.now());
    clear(chains.now(), at);
    ended.fill(0);
    for (int hop = 0; ; hop++) {
      int steps = hop;
      int[] moving = IntStream.range(0, count).filter(k -> length[k] >= steps).toArray();
      if (!settings.oneClient) {
        int[] to = draw(draw++, moving.length);
        move(at, moving, to);
      }
      int[] ending = nodes(at, moving, length, steps);
      if (ending.length > 0) {
        end(ending);
      }
      int[] going = IntStream.of(moving).filter(k -> length[k] > steps).map(k -> at[k]).toArray();
      if (going.length == 0) {
        return at;
      }
      clear(chains.now(), going);
      curvature.lowerHessianVector(
          point.x(), point.y(), chains.now(), product, round() * settings.terms + hop);
      Mixing.combine(
          Expression.outer(chains.now()).plusOuter(-settings.neumannStep, product), chains.next());
      clear(chains.next(), going);
      chains.flip();
    }
  }

  private static int[] nodes(int[] at, int[] moving, int[] length, int steps) {
    return IntStream.of(moving).filter(k -> length[k] == steps).map(k -> at[k]).toArray();
  }

  /** Sends chain moving[k] to client to[k], all at once. */
  private void move(int[] at, int[] moving, int[] to) {
    int n = network().nodes();
    int[] from = IntStream.range(0, n).toArray();
    for (int k = 0; k < moving.length; k++) {
      from[to[k]] = at[moving[k]];
      at[moving[k]] = to[k];
    }
    double[] ones = new double[n];
    Arrays.fill(ones, 1);
    MixingMatrix hop =
        MixingMatrix.of(
            MixingMatrix.Kind.ROW_STOCHASTIC,
            n,
            IntStream.rangeClosed(0, n).asLongStream().toArray(),
            from,
            ones);
    network().mix(hop, Expression.inner(chains.now()), chains.next());
    requireFinite();
    chains.flip();
    clear(chains.now(), to);
  }

  /** Adds the rows of chains that end at these nodes to what ended there before. */
  private void end(int[] nodes) {
    product.copyFrom(chains.now());
    clear(product, nodes);
    Mixing.combine(Expression.outer(ended).plusOuter(product), ended);
  }

  /** Leaves the rows of these nodes and clears all others, whatever stands there. */
  private void clear(DeviceMatrix m, int[] nodes) {
    boolean[] kept = new boolean[network().nodes()];
    for (int node : nodes) {
      kept[node] = true;
    }
    for (int r = 0; r < m.rows(); r++) {
      if (!kept[network().firstNode() + r]) {
        try (DeviceMatrix row = m.row(r)) {
          row.fill(0);
        }
      }
    }
  }

  /** The sum of all rows divided by a count, through the server. */
  private void average(int[] sent, DeviceMatrix from, int count, DeviceMatrix to) {
    network().average(sent, from, to);
    requireFiniteAverage(from, to);
    Mixing.combine(Expression.outer((double) network().nodes() / count, to), to);
  }

  /** A row each to the server beside the lowest of them, and its answer to the others. */
  private int[] sent(int[] present) {
    int[] sent = new int[network().nodes()];
    int server = Arrays.stream(present).min().orElseThrow();
    for (int node : present) {
      sent[node] = 1;
    }
    sent[server] = present.length - 1;
    return sent;
  }

  /** {@inheritDoc} All rows are (x, y) of the server. */
  @Override
  public DeviceMatrix parameters() {
    return rows.both();
  }

  /**
   * The mean of the h of the last round, 1 x p; valid until the next step, zero before the first.
   */
  public DeviceMatrix hypergradient() {
    return hypergradient;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> all = new LinkedHashMap<>();
    all.put("xy", rows.both());
    all.put("x", upper.row());
    all.put("y", lower.row());
    return all;
  }

  @Override
  String variant() {
    return "participants %d, lower rounds %d of %d steps, terms %d, seed %d%s"
        .formatted(
            settings.participants,
            settings.lowerRounds,
            settings.lowerSteps,
            settings.terms,
            settings.seed,
            settings.oneClient ? ", one client a chain" : "");
  }

  /** Settings of {@link FedMbo}. Defaults without another origin are common first tries. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private final BilevelProblem bilevel;
    private int participants;
    private int lowerRounds = 1;
    private int lowerSteps = 5;
    private double lowerStepSize = 0.05;
    private int terms = 20;
    private double neumannStep = 0.05;
    private boolean oneClient;
    private long seed = 1;

    private Builder(BilevelProblem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
      this.bilevel = problem;
      this.participants = network.nodes();
    }

    private Builder(Builder other) {
      this(other.bilevel, other.network, other.initial);
      this.stepSize = other.stepSize;
      this.participants = other.participants;
      this.lowerRounds = other.lowerRounds;
      this.lowerSteps = other.lowerSteps;
      this.lowerStepSize = other.lowerStepSize;
      this.terms = other.terms;
      this.neumannStep = other.neumannStep;
      this.oneClient = other.oneClient;
      this.seed = other.seed;
    }

    /** n, the clients that take part at a time, and the chains. Default: all. */
    public Builder participants(int participants) {
      if (participants < 1) {
        throw new IllegalArgumentException(
            participants + " clients at a time are too few: take at least 1");
      }
      this.participants = participants;
      return this;
    }

    /** T times tau steps of size beta on y in a round. Default: 1 times 5 steps of 0.05. */
    public Builder lowerSteps(int rounds, int steps, double stepSize) {
      if (rounds < 1) {
        throw new IllegalArgumentException(rounds + " rounds on y are too few: take at least 1");
      }
      requireSteps(steps, stepSize);
      this.lowerRounds = rounds;
      this.lowerSteps = steps;
      this.lowerStepSize = stepSize;
      return this;
    }

    /** J and lambda of the Neumann series; lambda at most 1 / L. Default: 20 terms of 0.05. */
    public Builder neumann(int terms, double lambda) {
      requireSteps(terms, lambda);
      this.terms = terms;
      this.neumannStep = lambda;
      return this;
    }

    private static void requireSteps(int count, double stepSize) {
      if (count < 1 || !(stepSize > 0 && stepSize < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            count + " steps of " + stepSize + " lead nowhere: give at least 1, finite and above 0");
      }
    }

    /**
     * A chain stays where it starts. Its expectation is that of the client's own inverse, which is
     * <b>biased</b> where the Hessians differ: it is here to be compared with.
     */
    public Builder oneClientPerChain() {
      this.oneClient = true;
      return this;
    }

    /** The public seed of all draws, the same in all processes. Default: 1. */
    public Builder seed(long seed) {
      this.seed = seed;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, more clients
     *     take part than there are, or the problem is not {@link LowerCurvature}
     */
    public FedMbo build() {
      return new FedMbo(
          this,
          UpperAndLower.capability(
              "fedmbo",
              bilevel,
              LowerCurvature.class,
              "products with the second derivatives of the lower problem"));
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
