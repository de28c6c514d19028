package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.Reduction;
import dev.kith.kernel.Secret;
import dev.kith.network.Network;
import dev.kith.privacy.Accountant;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;
import dev.kith.privacy.BandedNoise;
import dev.kith.privacy.Guarantee;
import dev.kith.privacy.Mechanism;
import dev.kith.privacy.NoiseOrigin;
import dev.kith.privacy.Participation;
import dev.kith.privacy.ToeplitzFactor;
import dev.kith.problem.Problem;
import dev.kith.problem.Regularizer;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Private training with noise that is correlated over time (DP-FTRL, banded matrix factorization):
 * what is added in one step is partly taken back in the next ones, so that the sums of gradients,
 * which the parameters follow, carry far less of it than of independent noise at the same privacy.
 *
 * <pre>
 * g_t  = (1/n) (sum over i of min(1, C / |g_i|) g_i + sigma C w_t)
 * w_t  = z_t - sum_(j = 1)^(min(t, k - 1)) c_j w_(t - j),      z_t ~ N(0, I)
 * x'   = prox_{eta R}(x - eta g_t)
 * </pre>
 *
 * <p>c_0 = 1, c_1, ..., c_(k-1) are the bands of a {@link ToeplitzFactor}; {@link BandedNoise}
 * keeps the last rows of w. With one band it is DP-SGD. All gradients go to a trusted server, which
 * alone adds the noise: guarantees are about what it releases, the parameters after each step, and
 * hold against whoever sees these and not the messages on their way to it. A node is a unit, with
 * the mean gradient of its examples clipped as a whole. The divisor is n in every round, however
 * many nodes take part.
 *
 * <p>The noise comes from the secret of the server (stream {@link Stream#GROUP_NOISE}, node 0),
 * which every process that does the server's work has to have, or {@link Builder#simulated from a
 * public seed}; then nothing is certified. A secret serves one run, and a run that goes on from a
 * snapshot needs it again: it repeats the noise of rounds that are done again, so that the same
 * data give the same release. The noise is that of the kernels, in f32; guarantees are those of
 * real arithmetic.
 *
 * <p>Snapshots hold no noise: a run that goes on from one makes w again from round 0 before its
 * first step, which takes as long as the noise of the rounds done.
 *
 * <p>Source: Kairouz et al., "Practical and private (deep) learning without sampling or shuffling",
 * 2021; Choquette-Choo et al., "(Amplified) banded matrix factorization", 2023. The amplification
 * by sampling of the latter is {@link ToeplitzFactor#cyclic}.
 */
public final class DpFtrl extends LockstepOptimizer {
  private final CommonModel model;
  private final ProximalStep prox;
  private final double stepSize;
  private final double clip;
  private final double noiseMultiplier;
  private final ToeplitzFactor factor;
  private final Participation participation;
  private final Optional<Secret> secret;
  private final long seed;
  private final DeviceMatrix gradient;
  private final Optional<RowClipping> clipping;
  private final DeviceMatrix mean;
  private final BandedNoise noise;
  private final long[] taken;
  private final long[] lastTaken;

  private DpFtrl(Builder builder) {
    super("dp-ftrl", builder.problem, builder.network);
    if (builder.initial.rows() != 1) {
      throw new IllegalArgumentException(
          "dp-ftrl was given "
              + builder.initial.rows()
              + " rows to start from: give the one that all nodes have in common");
    }
    this.stepSize = builder.stepSize;
    this.clip = builder.clip;
    this.noiseMultiplier = builder.noiseMultiplier;
    this.factor = builder.factor;
    this.participation = builder.participation;
    this.secret = builder.secret;
    this.seed = builder.seed.orElse(0);
    this.model = own(new CommonModel(start(builder.initial)));
    this.prox = own(new ProximalStep(builder.regularizer, stepSize, model.row()));
    this.gradient = own(model.rows().like());
    this.clipping =
        clip < Double.POSITIVE_INFINITY
            ? Optional.of(own(new RowClipping(this, clip, gradient)))
            : Optional.empty();
    this.mean = own(model.row().like());
    this.noise = own(new BandedNoise(factor, mean));
    this.taken = new long[network().nodes()];
    this.lastTaken = new long[network().nodes()];
  }

  /**
   * @param problem the local objectives, one node a unit of privacy
   * @param network any schedule for the same nodes; {@link dev.kith.graph.MixingSchedule#isAlive}
   *     says who takes part in a round
   * @param initial the common start, one row; F32 or F64; copied
   * @param participation the number of rounds, and how often a node takes part in them at most:
   *     what the guarantee counts on, and the optimizer sees to
   */
  public static Builder builder(
      Problem problem, Network network, DeviceMatrix initial, Participation participation) {
    return new Builder(problem, network, initial, participation);
  }

  @Override
  void iterate() {
    requireParticipation();
    problem().gradient(model.rows(), gradient, round());
    clip();
    int present = present();
    if (present > 0) {
      network().average(gradient, mean);
      requireFiniteAverage(gradient, mean);
    } else {
      mean.fill(0);
    }
    DeviceMatrix w = noise(round());
    double n = network().nodes();
    Expression step =
        Expression.outer(model.row())
            .plusOuter(-stepSize * present / n, mean)
            .plusOuter(noiseMultiplier == 0 ? 0 : -stepSize * noiseMultiplier * clip / n, w);
    DeviceMatrix next = model.next();
    prox.apply(step, this::requireFiniteStep, next);
    requireFiniteStep(next);
    model.accept();
    for (int i = 0; i < taken.length; i++) {
      if (network().schedule().isAlive(round(), i)) {
        taken[i]++;
        lastTaken[i] = round();
      }
    }
  }

  private int present() {
    int count = 0;
    for (int i = 0; i < network().nodes(); i++) {
      count += network().schedule().isAlive(round(), i) ? 1 : 0;
    }
    return count;
  }

  /** Refuses a round that the guarantee does not count on; all processes come to the same. */
  private void requireParticipation() {
    if (round() >= participation.steps()) {
      throw new IllegalStateException(
          "the noise was made for "
              + participation.steps()
              + " rounds, and these are done: a longer run needs a guarantee for all of its rounds"
              + " from the start");
    }
    for (int i = 0; i < taken.length; i++) {
      if (!network().schedule().isAlive(round(), i) || taken[i] == 0) {
        continue;
      }
      if (taken[i] == participation.most() || round() - lastTaken[i] < participation.separation()) {
        throw new IllegalStateException(
            "node "
                + i
                + " would take part for the "
                + (taken[i] + 1)
                + "th time in round "
                + round()
                + ", "
                + (round() - lastTaken[i])
                + " after its last, and the guarantee counts on at most "
                + participation.most()
                + " times, at least "
                + participation.separation()
                + " apart: change the schedule or the participation");
      }
    }
  }

  /** Cuts the gradients of the nodes that take part; the rows of the others are 0. */
  private void clip() {
    for (int row : absentRows()) {
      try (DeviceMatrix unused = gradient.row(row)) {
        unused.fill(0);
      }
    }
    if (clipping.isPresent()) {
      DeviceMatrix factors = clipping.get().factors(gradient);
      Mixing.combine(Expression.outer(1, factors, gradient), gradient);
    }
  }

  /** w_t; a round that failed and is done again gets the same. */
  private DeviceMatrix noise(long t) {
    if (noise.step() > t) {
      return noise.ring().get((int) (t % noise.ring().size()));
    }
    while (noise.step() < t) {
      noise.next(field(noise.step()));
    }
    return noise.next(field(t));
  }

  private NoiseField field(long t) {
    return secret
        .map(
            key ->
                NoiseField.secret(
                    NoiseField.Distribution.NORMAL,
                    Stream.GROUP_NOISE,
                    List.of(new NoiseField.SecretRow(key, t, 0))))
        .orElseGet(
            () ->
                NoiseField.shared(
                    NoiseField.Distribution.NORMAL, Stream.GROUP_NOISE, seed, t, 0, 1));
  }

  private void requireFiniteStep(DeviceMatrix row) {
    if (Reduction.nonFinite(row) != 0) {
      throw new NonFiniteException(0, round(), "the step that all nodes take, starting with that");
    }
  }

  /** Whether the noise comes from a secret. */
  public NoiseOrigin origin() {
    return secret.isPresent() ? NoiseOrigin.SECRET : NoiseOrigin.SIMULATED;
  }

  /**
   * What the whole run of {@link Participation#steps} rounds guarantees, whether it is done or not.
   *
   * @param delta in (0, 1)
   * @param adjacency of nodes: what a neighbouring input changes
   * @param adversary who sees the parameters after every step, and no gradient on its way to the
   *     server
   * @throws IllegalArgumentException when delta is outside, or nothing is clipped or added
   */
  public Guarantee guarantee(double delta, Adjacency adjacency, Adversary adversary) {
    if (clip == Double.POSITIVE_INFINITY || noiseMultiplier == 0) {
      throw new IllegalArgumentException(
          "gradients clipped to "
              + clip
              + " with a noise multiplier of "
              + noiseMultiplier
              + " guarantee nothing: set both");
    }
    return Accountant.of(adjacency, adversary, origin())
        .plus(new Mechanism.MatrixGaussian(factor, participation, noiseMultiplier), 1)
        .epsilon(delta);
  }

  /** w of the round before, 1 x d. */
  DeviceMatrix lastNoise() {
    return noise(round() - 1);
  }

  @Override
  public DeviceMatrix parameters() {
    return model.rows();
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", model.rows());
    state.put("common", model.row());
    return state;
  }

  @Override
  long[] counters() {
    long[] counters = Arrays.copyOf(taken, 2 * taken.length);
    System.arraycopy(lastTaken, 0, counters, taken.length, taken.length);
    return counters;
  }

  @Override
  void counters(long[] values) {
    System.arraycopy(values, 0, taken, 0, taken.length);
    System.arraycopy(values, taken.length, lastTaken, 0, taken.length);
  }

  /** The noise of the rounds before belongs to another state of the optimizer, or to none. */
  @Override
  void restored() {
    noise.step(0);
  }

  @Override
  String variant() {
    return "clip "
        + clip
        + ", noise "
        + noiseMultiplier
        + ", bands "
        + Arrays.toString(factor.coefficients())
        + ", "
        + participation
        + ", "
        + (secret.isPresent() ? "SECRET" : "SIMULATED from seed " + seed)
        + prox.name().map(name -> ", " + name).orElse("");
  }

  /** Settings of {@link DpFtrl}; the step size is eta. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private final Participation participation;
    private double clip = 1;
    private double noiseMultiplier = 1;
    private ToeplitzFactor factor = ToeplitzFactor.identity();
    private Optional<Secret> secret = Optional.empty();
    private OptionalLong seed = OptionalLong.empty();
    private Optional<Regularizer> regularizer = Optional.empty();

    private Builder(
        Problem problem, Network network, DeviceMatrix initial, Participation participation) {
      super(problem, network, initial);
      this.participation = Objects.requireNonNull(participation, "participation");
    }

    /**
     * C, which the norm of a node's gradient is cut to; infinity leaves all as they are. Default:
     * 1.
     */
    public Builder clip(double clip) {
      if (!(clip > 0)) {
        throw new IllegalArgumentException(
            "a clip norm of " + clip + " leaves nothing: give a number above 0");
      }
      this.clip = clip;
      return this;
    }

    /**
     * sigma, the standard deviation of Z over C. For a target (epsilon, delta) see {@link
     * Accountant#calibrate}. Default: 1. 0 adds nothing, and guarantees nothing; with an infinite C
     * it has to be 0.
     */
    public Builder noiseMultiplier(double noiseMultiplier) {
      if (!(noiseMultiplier >= 0 && noiseMultiplier < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "a noise multiplier of "
                + noiseMultiplier
                + " is impossible: give a finite number, 0 or larger");
      }
      this.noiseMultiplier = noiseMultiplier;
      return this;
    }

    /** C of the factorization. Default: the identity, independent noise as in DP-SGD. */
    public Builder factor(ToeplitzFactor factor) {
      this.factor = Objects.requireNonNull(factor, "factor");
      return this;
    }

    /** Makes the noise from the server's secret, which stays the caller's to close. */
    public Builder secret(Secret secret) {
      this.secret = Optional.of(secret);
      return this;
    }

    /** SIMULATED noise from a public seed, for experiments: it protects nothing. */
    public Builder simulated(long seed) {
      this.seed = OptionalLong.of(seed);
      return this;
    }

    /** R, whose proximal operator ends every step. Default: none. */
    public Builder regularizer(Regularizer regularizer) {
      this.regularizer = Optional.of(regularizer);
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or not exactly
     *     one of secret and public seed is given
     */
    public DpFtrl build() {
      if (secret.isPresent() == seed.isPresent()) {
        throw new IllegalArgumentException(
            "noise comes from a secret or from a public seed, and "
                + (secret.isPresent() ? "both are" : "none is")
                + " given: give one");
      }
      if (clip == Double.POSITIVE_INFINITY && noiseMultiplier > 0) {
        throw new IllegalArgumentException(
            "noise of "
                + noiseMultiplier
                + " times an infinite clip norm is infinite: give a clip norm, or no noise");
      }
      return new DpFtrl(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
