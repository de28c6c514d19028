package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Memory;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.Reduction;
import dev.kith.kernel.Secret;
import dev.kith.network.Network;
import dev.kith.privacy.Accountant;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;
import dev.kith.privacy.Guarantee;
import dev.kith.privacy.Mechanism;
import dev.kith.privacy.NoiseOrigin;
import dev.kith.problem.Problem;
import dev.kith.problem.Proximal;
import dev.kith.problem.Regularizer;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.IntStream;

/**
 * ADMM as a noisy fixed-point iteration: minimises (1/n) sum_i f_i(x) + r(x) by proximal operators
 * alone. In a round m of the n nodes take part:
 *
 * <pre>
 * z     = prox_{gamma r}(ubar)
 * x_i   = prox_{gamma f_i}(2 z - u_i)
 * D_i   = 2 lambda (clip_c(x_i - z) + eta_i / 2),     eta_i ~ N(0, sigma^2 I)
 * u_i'  = u_i + D_i      of those that take part
 * ubar' = ubar + (1/n) sum of their D_i
 * </pre>
 *
 * <p>ubar is the mean of all u_i and is never thresholded itself; the parameters are z. lambda =
 * 1/2 is classical ADMM, lambda = 1 Peaceman-Rachford. One code has the three forms of the source:
 *
 * <ul>
 *   <li>centralised: all nodes take part. The noise of the mean then has the standard deviation
 *       sigma / sqrt(n) before the factor lambda, which is what the source adds once;
 *   <li>federated: m nodes, drawn anew in every round;
 *   <li>decentralised: one node at a time, the holder of a token with ubar, which goes to a node
 *       drawn uniformly (complete graph).
 * </ul>
 *
 * <p>Who takes part is drawn from a public seed (stream {@link Stream#SCHEDULE}), and no
 * amplification by sampling is counted. The noise of a node comes from its secret (stream {@link
 * Stream#NODE_NOISE}), or {@link Builder#simulated from a public seed}; a secret serves one run,
 * and a run that goes on from a snapshot needs it again. It is that of the kernels, in f32;
 * guarantees are those of real arithmetic.
 *
 * <p>Source: "From Noisy Fixed-Point Iterations to Private ADMM for Centralized and Federated
 * Learning", 2023. The updates are those of the source with its program's two slips corrected: the
 * threshold is applied to a copy of ubar, and sigma is a standard deviation. What a message costs
 * is derived again: clip_c(x_i - z) moves by at most 2 c when a node's data are replaced, against
 * noise of sigma / 2.
 */
public final class PrivateAdmm extends LockstepOptimizer {
  /** Who sees what. */
  public enum View {
    /** Every D_i by itself: curious servers, neighbours, and whoever listens. */
    MESSAGES,
    /**
     * The sum over the nodes of a round and no part of it. That takes secure aggregation, or a
     * server that is trusted; rows travel here as they are, so nothing is certified.
     */
    SUMS
  }

  private final Proximal objectives;
  private final Optional<Regularizer> regularizer;
  private final double proximalStep;
  private final double relaxation;
  private final double clip;
  private final double deviation;
  private final int participants;
  private final boolean token;
  private final List<Secret> secrets;
  private final long noiseSeed;
  private final long seed;
  private final DeviceMatrix u;
  private final DeviceMatrix changes;
  private final DeviceMatrix rows;
  private final DeviceMatrix mean;
  private final DeviceMatrix z;
  private DeviceMatrix average;
  private DeviceMatrix nextAverage;

  private PrivateAdmm(Builder builder, Proximal objectives) {
    super("private-admm", builder.problem, builder.network);
    this.objectives = objectives;
    this.regularizer = builder.regularizer;
    this.proximalStep = builder.proximalStep;
    this.relaxation = builder.relaxation;
    this.clip = builder.clip;
    this.deviation = builder.deviation;
    this.token = builder.token;
    this.participants = token ? 1 : builder.participants.orElse(network().nodes());
    this.secrets = builder.secrets;
    this.noiseSeed = builder.noiseSeed.orElse(0);
    this.seed = builder.seed;
    if (participants > network().nodes()) {
      throw new IllegalArgumentException(
          participants
              + " nodes cannot take part in a round where there are "
              + network().nodes()
              + ": take at most all");
    }
    if (builder.initial.rows() != 1) {
      throw new IllegalArgumentException(
          "private-admm was given "
              + builder.initial.rows()
              + " rows to start from: give the one that all nodes have in common");
    }
    if (builder.noiseSeed.isEmpty() && deviation > 0 && secrets.size() != network().localNodes()) {
      throw new IllegalArgumentException(
          secrets.size()
              + " secrets are given where this process has "
              + network().localNodes()
              + " nodes: give one for each of its nodes, or simulate the noise");
    }
    this.u = start(builder.initial);
    this.average = own(builder.initial.like());
    average.copyFrom(builder.initial);
    this.nextAverage = own(average.like());
    this.mean = own(average.like());
    this.z = own(average.like());
    this.changes = own(u.like());
    this.rows = own(u.like());
  }

  /**
   * @param problem the local objectives; {@link Proximal}
   * @param network any schedule for the same nodes, none of which fails
   * @param initial the common start of the u_i, one row; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  /** The nodes that take part in a round, ascending; the same in every process. */
  public int[] participants(long round) {
    int n = network().nodes();
    return participants == n
        ? IntStream.range(0, n).toArray()
        : new SharedRandom(seed, Stream.SCHEDULE, 0, round).subset(participants, n);
  }

  @Override
  void iterate() {
    requireAllNodes();
    int[] present = participants(round());
    int first = network().firstNode();
    int[] local =
        Arrays.stream(present)
            .map(i -> i - first)
            .filter(r -> r >= 0 && r < network().localNodes())
            .toArray();
    threshold(average, z);
    changes.fill(0);
    try (Rows own = new Rows(local, u)) {
      own.change();
      network().average(sent(present), changes, mean);
      requireFiniteAverage(changes, mean);
      Mixing.combine(Expression.outer(average).plusOuter(mean), nextAverage);
      if (Reduction.nonFinite(nextAverage) != 0) {
        throw new NonFiniteException(0, round(), "the mean over all nodes, starting with that");
      }
      own.keep();
    }
    DeviceMatrix old = average;
    average = nextAverage;
    nextAverage = old;
  }

  /** A row each to the server beside the lowest of them and back, or the token to the next. */
  private int[] sent(int[] present) {
    int[] sent = new int[network().nodes()];
    for (int node : present) {
      sent[node] = 1;
    }
    if (!token) {
      sent[present[0]] = present.length - 1;
    }
    return sent;
  }

  private void threshold(DeviceMatrix from, DeviceMatrix to) {
    if (regularizer.isPresent()) {
      regularizer.get().proximal(from, proximalStep, to);
    } else {
      to.copyFrom(from);
    }
  }

  /** What the own nodes do that take part in a round. */
  private final class Rows implements AutoCloseable {
    private final int[] local;
    private final DeviceMatrix before;
    private final DeviceMatrix change;
    private final Optional<MixingWeights> places;

    Rows(int[] local, DeviceMatrix like) {
      this.local = local;
      int count = local.length;
      this.before = like.like(Math.max(1, count), like.cols(), like.dtype());
      this.change = before.like();
      this.places =
          count == 0
              ? Optional.empty()
              : Optional.of(
                  MixingWeights.sparse(
                      like.queue(),
                      count,
                      count,
                      IntStream.rangeClosed(0, count).asLongStream().toArray(),
                      IntStream.range(0, count).toArray(),
                      IntStream.range(0, count).mapToDouble(k -> 1).toArray(),
                      local));
    }

    /** Forms D_i in the rows of {@code changes}. */
    void change() {
      if (places.isEmpty()) {
        return;
      }
      try (DeviceMatrix index = DeviceMatrix.rowOf(u.queue(), local);
          DeviceMatrix common = before.like();
          DeviceMatrix point = before.like()) {
        Memory.gatherRows(u, index, before);
        spread(z, common);
        Mixing.combine(Expression.outer(2, common).plusOuter(-1, before), point);
        objectives.proximal(local, point, proximalStep, change);
        Mixing.combine(Expression.outer(change).plusOuter(-1, common), change);
      }
      try (DeviceMatrix scales = DeviceMatrix.row(u.queue(), scales())) {
        Mixing.combine(Expression.outer(2 * relaxation, scales, change), change);
      }
      if (deviation > 0) {
        Noise.add(field(), relaxation * deviation, change);
      }
      Mixing.mix(places.get(), Expression.inner(change), changes);
    }

    /** min(1, c / |x_i - z|). */
    private double[] scales() {
      double[] norms = Reduction.norms(change);
      // What has no finite norm must not pass for what was clipped to nothing.
      Arrays.setAll(
          norms,
          r ->
              clip == Double.POSITIVE_INFINITY
                  ? 1
                  : Double.isInfinite(norms[r]) ? Double.NaN : Math.min(1, clip / norms[r]));
      return norms;
    }

    private NoiseField field() {
      int first = network().firstNode();
      NoiseField.Distribution normal = NoiseField.Distribution.NORMAL;
      if (secrets.isEmpty()) {
        List<NoiseField.PublicRow> sources = new ArrayList<>();
        for (int r : local) {
          sources.add(new NoiseField.PublicRow(noiseSeed, round(), first + r));
        }
        return NoiseField.shared(normal, Stream.NODE_NOISE, sources);
      }
      List<NoiseField.SecretRow> sources = new ArrayList<>();
      for (int r : local) {
        sources.add(new NoiseField.SecretRow(secrets.get(r), round(), first + r));
      }
      return NoiseField.secret(normal, Stream.NODE_NOISE, sources);
    }

    /** u_i += D_i. */
    void keep() {
      if (places.isPresent()) {
        Mixing.combine(Expression.outer(before).plusOuter(change), change);
        Mixing.mix(places.get(), Expression.inner(change), u);
      }
    }

    @Override
    public void close() {
      before.close();
      change.close();
      places.ifPresent(MixingWeights::close);
    }
  }

  /** Whether the noise comes from secrets. */
  public NoiseOrigin origin() {
    return secrets.isEmpty() ? NoiseOrigin.SIMULATED : NoiseOrigin.SECRET;
  }

  /** The largest number of rounds below this one that one node takes part in. */
  public long mostParticipations(long rounds) {
    if (participants == network().nodes()) {
      return rounds;
    }
    long[] counts = new long[network().nodes()];
    for (long t = 0; t < rounds; t++) {
      for (int node : participants(t)) {
        counts[node]++;
      }
    }
    return Arrays.stream(counts).max().orElse(0);
  }

  /**
   * What some rounds guarantee to the node that takes part most often: so many Gaussian mechanisms
   * with the noise multiplier sigma / (2 c), for {@link View#SUMS} times the root of the number of
   * nodes in a round that do not collude.
   *
   * @param rounds how many, from the first on
   * @param view what is seen of a round
   * @param delta in (0, 1)
   * @param adjacency of nodes: what a neighbouring input changes
   * @param adversary who sees it
   * @throws IllegalArgumentException when delta is outside, nothing is clipped or added, or all
   *     nodes of a round may collude
   */
  public Guarantee guarantee(
      long rounds, View view, double delta, Adjacency adjacency, Adversary adversary) {
    if (clip == Double.POSITIVE_INFINITY || deviation == 0) {
      throw new IllegalArgumentException(
          "steps clipped to "
              + clip
              + " with noise of "
              + deviation
              + " guarantee nothing: set both");
    }
    double multiplier = deviation / (2 * clip);
    if (view == View.SUMS) {
      int colluding =
          switch (adversary) {
            case Adversary.Eavesdropper outside -> 0;
            case Adversary.CuriousNeighbours curious -> curious.coalition();
            case Adversary.Colluding named -> named.nodes().size();
          };
      if (colluding >= participants) {
        throw new IllegalArgumentException(
            "all "
                + participants
                + " nodes of a round may be among "
                + adversary
                + ", who take their own noise away: let more nodes take part");
      }
      multiplier *= Math.sqrt((double) participants - colluding);
    }
    Guarantee found =
        Accountant.of(adjacency, adversary, origin())
            .plus(new Mechanism.Gaussian(multiplier), mostParticipations(rounds))
            .epsilon(delta);
    return view == View.MESSAGES
        ? found
        : new Guarantee(
            found.epsilon(),
            delta,
            adjacency,
            adversary,
            found.method(),
            false,
            "it holds where nobody sees a part of the sum of a round, and "
                + (found.certified() ? "rows are not aggregated securely here" : found.remark()));
  }

  /** {@inheritDoc} All rows are z of the u_i of now. */
  @Override
  public DeviceMatrix parameters() {
    threshold(average, z);
    spread(z, rows);
    return rows;
  }

  /** ubar, 1 x d, the mean of all u_i; valid until the next step. */
  public DeviceMatrix average() {
    return average;
  }

  /** The u_i of the own nodes, localNodes x d; valid until the next step. */
  public DeviceMatrix duals() {
    return u;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("u", u);
    state.put("average", average);
    return state;
  }

  @Override
  String variant() {
    return "gamma "
        + proximalStep
        + ", lambda "
        + relaxation
        + ", clip "
        + clip
        + ", noise "
        + deviation
        + (token ? ", token" : ", participants " + participants)
        + ", seed "
        + seed
        + (secrets.isEmpty() ? ", SIMULATED from seed " + noiseSeed : ", SECRET")
        + regularizer.map(r -> ", " + r.name()).orElse("");
  }

  /** Settings of {@link PrivateAdmm}. */
  public static final class Builder {
    private final Problem problem;
    private final Network network;
    private final DeviceMatrix initial;
    private Optional<Regularizer> regularizer = Optional.empty();
    private double proximalStep = 1;
    private double relaxation = 0.5;
    private double clip = Double.POSITIVE_INFINITY;
    private double deviation;
    private Optional<Integer> participants = Optional.empty();
    private boolean token;
    private List<Secret> secrets = List.of();
    private OptionalLong noiseSeed = OptionalLong.empty();
    private long seed = 1;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      this.problem = problem;
      this.network = network;
      this.initial = initial;
    }

    /** r. Default: none, r = 0. */
    public Builder regularizer(Regularizer regularizer) {
      this.regularizer = Optional.of(regularizer);
      return this;
    }

    /** gamma, the step of both proximal operators. Default: 1, of the exact tests. */
    public Builder proximalStep(double gamma) {
      if (!(gamma > 0 && gamma < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "a proximal step of " + gamma + " is impossible: give a finite number above 0");
      }
      this.proximalStep = gamma;
      return this;
    }

    /** lambda in (0, 1]. Default: 1/2, classical ADMM. */
    public Builder relaxation(double lambda) {
      if (!(lambda > 0 && lambda <= 1)) {
        throw new IllegalArgumentException(
            "a relaxation of " + lambda + " does not lie above 0 and up to 1: give one that does");
      }
      this.relaxation = lambda;
      return this;
    }

    /** c, which the norm of x_i - z is cut to. Default: infinity, and no guarantee. */
    public Builder clip(double clip) {
      if (!(clip > 0)) {
        throw new IllegalArgumentException(
            "a clip norm of " + clip + " leaves nothing: give a number above 0");
      }
      this.clip = clip;
      return this;
    }

    /** sigma, the standard deviation of eta_i. Default: 0, and no guarantee. */
    public Builder noise(double deviation) {
      if (!(deviation >= 0 && deviation < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "noise of standard deviation "
                + deviation
                + " is impossible: give a finite number, 0 or larger");
      }
      this.deviation = deviation;
      return this;
    }

    /** m, the federated form. Default: all nodes, the centralised form. */
    public Builder participants(int participants) {
      if (participants < 1) {
        throw new IllegalArgumentException(
            participants + " nodes in a round are too few: take at least 1");
      }
      this.participants = Optional.of(participants);
      return this;
    }

    /** The decentralised form: a token goes from node to node, and its holder takes part. */
    public Builder token() {
      this.token = true;
      return this;
    }

    /** The secrets of the own nodes, in their order; they stay the caller's to close. */
    public Builder secrets(List<Secret> secrets) {
      this.secrets = List.copyOf(secrets);
      return this;
    }

    /** SIMULATED noise from a public seed, for experiments: it protects nothing. */
    public Builder simulated(long noiseSeed) {
      this.noiseSeed = OptionalLong.of(noiseSeed);
      return this;
    }

    /** The public seed of who takes part, the same in all processes. Default: 1. */
    public Builder seed(long seed) {
      this.seed = seed;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the problem has
     *     no proximal operators, a token goes to several nodes, or noise has no origin or two
     */
    public PrivateAdmm build() {
      if (!(problem instanceof Proximal objectives)) {
        throw new IllegalArgumentException(
            "private-admm needs proximal operators, and "
                + problem.getClass().getSimpleName()
                + " has none: take a problem that is Proximal");
      }
      if (token && participants.isPresent()) {
        throw new IllegalArgumentException(
            "one node holds the token in a round, not "
                + participants.get()
                + ": leave the number of participants out");
      }
      if (!secrets.isEmpty() && noiseSeed.isPresent()) {
        throw new IllegalArgumentException(
            "noise comes from secrets or from a public seed, and both are given: give one");
      }
      return new PrivateAdmm(this, objectives);
    }
  }
}
