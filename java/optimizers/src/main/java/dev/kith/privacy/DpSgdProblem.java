package dev.kith.privacy;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.NoiseField.Distribution;
import dev.kith.kernel.NoiseField.PublicRow;
import dev.kith.kernel.NoiseField.SecretRow;
import dev.kith.kernel.Secret;
import dev.kith.problem.PerExampleClipping;
import dev.kith.problem.Problem;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;

/**
 * The gradients of DP-SGD: examples sampled by Poisson, clipped one by one, and noise on their sum.
 *
 * <pre>
 * g_i = (1 / (q N_i)) (sum over sampled e of min(1, C / |grad f_ie|) grad f_ie + N(0, (sigma C)^2 I))
 *       + grad r
 * </pre>
 *
 * <p>It is a {@link Problem}, so that every optimizer is private as it stands: what an optimizer
 * makes of these gradients, and sends, depends on the data through them alone. With one node and
 * {@code CentralSgd} it is DP-SGD; with n nodes each protects the examples of its own by noise of
 * its own, against the other nodes too. Example e of node i joins round t with probability q,
 * independently of all else: when word e of its row is below q 2^32, so that the rate is at most q.
 * The divisor is the expected size of the batch, never the realised one; the numbers N_i are
 * public, and under add-remove a neighbouring input has an example more or less and the same
 * divisor. The regularization r depends on no example and is neither clipped nor sampled.
 *
 * <p><b>Which randomness.</b> Noise and sampling are drawn from the secrets of the nodes (ChaCha20,
 * streams {@link Stream#NODE_NOISE} and {@link Stream#BATCH}). The sampling has to be secret as
 * well: who knows which examples joined a round learns as much as without sampling, so a batch
 * drawn from public numbers amplifies nothing. {@link Builder#simulated} draws both from a public
 * seed, for experiments that are to be repeated; nothing is certified then. Whoever resumes a run
 * needs the secrets and the settings that it began with, so that rounds that are done again are the
 * same; a run with other settings needs new secrets.
 *
 * <p>A round is drawn once: rounds must ascend, for two gradients with the same noise differ by
 * what the noise was to hide. Noise is that of the kernels, in f32, and sums are rounded;
 * guarantees are those of real arithmetic.
 *
 * <p>Source: M. Abadi et al., "Deep learning with differential privacy" (CCS 2016), algorithm 1,
 * with Poisson sampling. Used by one thread at a time; closing it closes neither the problem nor
 * the secrets.
 */
public final class DpSgdProblem implements Problem {
  /** 2^32: as many values as a word has. */
  private static final double WORDS = 0x1p32;

  private final Problem problem;
  private final PerExampleClipping examples;
  private final double clip;
  private final double noiseMultiplier;
  private final double rate;
  private final List<Secret> secrets;
  private final long seed;
  private final double[] divisors;
  private MixingWeights scales;
  private DeviceMatrix words;
  private long rounds;

  private <P extends Problem & PerExampleClipping> DpSgdProblem(Builder<P> builder) {
    this.problem = builder.problem;
    this.examples = builder.problem;
    this.clip = builder.clip;
    this.noiseMultiplier = builder.noiseMultiplier;
    this.rate = builder.rate;
    this.secrets = builder.secrets;
    this.seed = builder.seed;
    this.divisors = new double[problem.localNodes()];
    for (int i = 0; i < divisors.length; i++) {
      // A node without examples has nothing to hide; its divisor is of no meaning.
      divisors[i] = Math.max(1, examples.examples(i)) * rate;
    }
  }

  /**
   * @param problem whose examples are protected; its own mini-batches are not used
   * @param clip C, the bound on the norm of the gradient of one example, in the units of gradients;
   *     finite, above 0
   * @param noiseMultiplier sigma, the standard deviation of the noise over C; finite, above 0
   * @throws IllegalArgumentException when a number is outside
   */
  public static <P extends Problem & PerExampleClipping> Builder<P> builder(
      P problem, double clip, double noiseMultiplier) {
    return new Builder<>(problem, clip, noiseMultiplier);
  }

  @Override
  public Layout layout() {
    return problem.layout();
  }

  @Override
  public int nodes() {
    return problem.nodes();
  }

  @Override
  public int firstNode() {
    return problem.firstNode();
  }

  @Override
  public int localNodes() {
    return problem.localNodes();
  }

  /**
   * {@inheritDoc}
   *
   * @throws IllegalStateException when the round, or a later one, was drawn before
   */
  @Override
  public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
    if (round < rounds) {
      throw new IllegalStateException(
          "the noise of round "
              + round
              + " was drawn before, and used twice it hides nothing: ask for rounds in ascending"
              + " order, each once");
    }
    if (round < 0 || round >= SharedRandom.MAX_ROUNDS) {
      throw new IllegalArgumentException(
          "round "
              + round
              + " draws nothing: rounds are in [0, 2^40); begin a run with new secrets");
    }
    // Before anything is computed: a round that fails has been drawn.
    rounds = round + 1;
    examples.clippedGradient(x, g, sample(g, round), clip, divisors);
    Noise.sum(
        scales(g),
        field(Distribution.NORMAL, Stream.NODE_NOISE, round, 0, divisors.length),
        1,
        true,
        g);
  }

  /** Which examples of every local row join the round. */
  private int[][] sample(DeviceMatrix like, long round) {
    int[][] picked = new int[divisors.length][];
    long bound = (long) (rate * WORDS);
    for (int i = 0; i < picked.length; i++) {
      int count = examples.examples(i);
      picked[i] = IntStream.range(0, count).toArray();
      if (rate < 1 && count > 0) {
        if (words == null || words.cols() != count) {
          closeWords();
          words = like.like(1, count, DType.I32);
        }
        Noise.draw(field(Distribution.WORDS, Stream.BATCH, round, i, i + 1), 1, words);
        int[] drawn = words.toInts();
        picked[i] =
            Arrays.stream(picked[i])
                .filter(e -> Integer.toUnsignedLong(drawn[e]) < bound)
                .toArray();
      }
    }
    return picked;
  }

  /** sigma C / (q N_i) on the diagonal. */
  private MixingWeights scales(DeviceMatrix like) {
    if (scales == null) {
      int n = divisors.length;
      double[] values =
          IntStream.range(0, n)
              .mapToDouble(
                  i -> examples.examples(i) == 0 ? 0 : noiseMultiplier * clip / divisors[i])
              .toArray();
      scales =
          MixingWeights.sparse(
              like.queue(),
              n,
              n,
              IntStream.rangeClosed(0, n).asLongStream().toArray(),
              IntStream.range(0, n).toArray(),
              values);
    }
    return scales;
  }

  /** Rows of the local nodes [from, to). */
  private NoiseField field(Distribution distribution, Stream stream, long round, int from, int to) {
    List<SecretRow> secretRows = new ArrayList<>();
    List<PublicRow> publicRows = new ArrayList<>();
    for (int i = from; i < to; i++) {
      int node = problem.firstNode() + i;
      if (origin() == NoiseOrigin.SECRET) {
        secretRows.add(new SecretRow(secrets.get(i), round, node));
      } else {
        publicRows.add(new PublicRow(seed, round, node));
      }
    }
    return origin() == NoiseOrigin.SECRET
        ? NoiseField.secret(distribution, stream, secretRows)
        : NoiseField.shared(distribution, stream, publicRows);
  }

  /** Whether noise and sampling are secret. */
  public NoiseOrigin origin() {
    return secrets.isEmpty() ? NoiseOrigin.SIMULATED : NoiseOrigin.SECRET;
  }

  /** One round of it, as an {@link Accountant} counts it. */
  public Mechanism mechanism() {
    return new Mechanism.PoissonGaussian(noiseMultiplier, rate);
  }

  /** Rounds that were drawn: the number of the last one and 1, also in a run that was resumed. */
  public long rounds() {
    return rounds;
  }

  /**
   * What the rounds up to now guarantee to every single example, when it is added or removed.
   *
   * @param adversary who sees every gradient of every node, and knows no secret of the node that
   *     holds the example
   * @param delta in (0, 1)
   * @throws IllegalArgumentException when delta is outside
   */
  public Guarantee guarantee(Adversary adversary, double delta) {
    return Accountant.of(Adjacency.addRemoveRecord(), adversary, origin())
        .plus(mechanism(), rounds)
        .epsilon(delta);
  }

  /**
   * Refuses an accountant that was told of another mechanism or of fewer rounds than were drawn:
   * its figures would not be those of this run.
   *
   * @throws IllegalArgumentException naming what it was not told of
   */
  public void requireAccounted(Accountant accountant) {
    Mechanism here = mechanism();
    long told = accountant.times(here);
    if (told < rounds) {
      throw new IllegalArgumentException(
          "the accountant was told of "
              + told
              + " rounds of "
              + here
              + " and "
              + rounds
              + " were drawn: count every round, with this noise multiplier and sampling rate");
    }
  }

  private void closeWords() {
    if (words != null) {
      words.close();
      words = null;
    }
  }

  @Override
  public void close() {
    closeWords();
    if (scales != null) {
      scales.close();
      scales = null;
    }
  }

  /**
   * Settings of {@link DpSgdProblem}.
   *
   * @param <P> the problem's type
   */
  public static final class Builder<P extends Problem & PerExampleClipping> {
    private final P problem;
    private final double clip;
    private final double noiseMultiplier;
    private double rate = 1;
    private List<Secret> secrets = List.of();
    private long seed;
    private boolean simulated;

    private Builder(P problem, double clip, double noiseMultiplier) {
      this.problem = Objects.requireNonNull(problem, "problem");
      Checks.positive("the clip norm", clip);
      Checks.positive("the noise multiplier", noiseMultiplier);
      this.clip = clip;
      this.noiseMultiplier = noiseMultiplier;
    }

    /**
     * q, the probability that an example joins a round, in (0, 1]. Default: 1, all in every one.
     */
    public Builder<P> rate(double rate) {
      Checks.rate(rate);
      if ((long) (rate * WORDS) < 1) {
        throw new IllegalArgumentException(
            "the sampling rate is " + rate + ": below 2^-32 no example would ever join");
      }
      this.rate = rate;
      return this;
    }

    /**
     * The secrets of the local nodes, one each, which never leave them. They must stay open.
     *
     * @throws IllegalArgumentException when their number is not that of the local nodes, or two are
     *     equal
     */
    public Builder<P> secrets(List<Secret> secrets) {
      if (secrets.size() != problem.localNodes()) {
        throw new IllegalArgumentException(
            "there are "
                + secrets.size()
                + " secrets for "
                + problem.localNodes()
                + " local nodes: give each its own");
      }
      for (int i = 0; i < secrets.size(); i++) {
        if (secrets.indexOf(secrets.get(i)) < i) {
          throw new IllegalArgumentException(
              "two nodes have the same secret, so one can make the noise of the other: draw one for"
                  + " each");
        }
      }
      this.secrets = List.copyOf(secrets);
      return this;
    }

    /** Draws noise and samples from a public seed: the run can be repeated and protects nothing. */
    public Builder<P> simulated(long seed) {
      this.seed = seed;
      this.simulated = true;
      return this;
    }

    /**
     * @throws IllegalStateException unless there are either secrets or a seed
     */
    public DpSgdProblem build() {
      if (secrets.isEmpty() != simulated) {
        throw new IllegalStateException(
            "the noise needs either secrets or a public seed, and has "
                + (simulated ? "both" : "neither")
                + ": give secrets, or simulate");
      }
      return new DpSgdProblem(this);
    }
  }
}
