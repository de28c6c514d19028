package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.problem.Value;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;

/**
 * Training with one byte a gradient: SPSA (MeZO) on shared randomness. All nodes hold the same
 * parameters. In round t sample j of node i stands for a direction that every node can make again,
 * and all that travels is how much the loss of node i changes along it:
 *
 * <pre>
 * z_k = N(0, I) from (seed, t, k),     k = i m + j,     m samples a node
 * g_k = (f_i(x + epsilon z_k) - f_i(x - epsilon z_k)) / (2 epsilon)
 * x'  = x - sum over all k of (eta / sqrt(N)) g_k z_k,     N scalars in this round
 * </pre>
 *
 * <p>with g_k as it arrives, see {@link ScalarCode}. The sum over all directions is one pass over
 * the parameters, without a stored direction; it runs in the order of k, so that all replicas keep
 * the same bits, and n nodes with one sample are one node with n samples. Perturbed parameters are
 * formed beside x, never by adding and subtracting in place, so no rounding piles up. The factor is
 * 1/sqrt(N) as in the source's program, not 1/N.
 *
 * <p>Nodes may leave and come back: whoever takes part and did not in the round before first
 * fetches the parameters, once, from the lowest node that did. Every so many rounds, and whenever
 * somebody came, the parameters are backed up; {@link #replay} makes the present ones again from
 * the backup and the scalars since, in one pass and bit for bit. The mixing matrix is not used:
 * every node sends its scalars to each of the others that take part.
 *
 * <p>Losses are those of {@link Value}, on all data of a node. The source also perturbs log
 * epsilon; here epsilon is fixed.
 *
 * <p>Source: "Just One Byte (per gradient): A Note on Low-Bandwidth Decentralized Language Model
 * Finetuning Using Shared Randomness", 2023, and its program; Spall, "Multivariate Stochastic
 * Approximation Using a Simultaneous Perturbation Gradient Approximation", 1992.
 */
public final class SharedRandomnessSpsa extends LockstepOptimizer {
  private final Value losses;
  private final double stepSize;
  private final double epsilon;
  private final int samples;
  private final int backupRounds;
  private final long seed;
  private final ScalarCode code;
  private final NoiseField.Distribution directions;
  private final DeviceMatrix perturbed;
  private final DeviceMatrix plus;
  private final DeviceMatrix minus;
  private final DeviceMatrix backup;
  private final int[] log;
  private DeviceMatrix x;
  private DeviceMatrix joined;
  private long backupRound;

  private SharedRandomnessSpsa(Builder builder, Value losses) {
    super("spsa", builder.problem, builder.network);
    this.losses = losses;
    this.stepSize = builder.stepSize;
    this.epsilon = builder.epsilon;
    this.samples = builder.samples;
    this.backupRounds = builder.backupRounds;
    this.seed = builder.seed;
    this.code = builder.code;
    this.directions = builder.directions;
    if ((long) samples * network().nodes() * backupRounds > MAX_LOG) {
      throw new IllegalArgumentException(
          samples
              + " samples of "
              + network().nodes()
              + " nodes in "
              + backupRounds
              + " rounds are more than the "
              + MAX_LOG
              + " scalars between two backups that are kept: back up more often, or take fewer");
    }
    if (builder.initial.rows() != 1) {
      throw new IllegalArgumentException(
          "spsa was given "
              + builder.initial.rows()
              + " rows to start from: give the one that all nodes have in common");
    }
    this.x = start(builder.initial);
    this.joined = own(x.like());
    this.perturbed = own(x.like());
    this.backup = own(x.like());
    this.plus = own(x.like(1, x.rows(), DType.F64));
    this.minus = own(plus.like());
    this.log = new int[samples * network().nodes() * backupRounds];
  }

  private static final int MAX_LOG = 1 << 20;

  /**
   * @param problem the local objectives; a {@link Value}
   * @param network any schedule for the same nodes as the problem; {@link
   *     dev.kith.graph.MixingSchedule#isAlive} says who takes part
   * @param initial the common start, one row; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  private boolean takesPart(long round, int node) {
    return network().schedule().isAlive(round, node);
  }

  private int[] nodesWhere(IntPredicate holds) {
    return IntStream.range(0, network().nodes()).filter(holds).toArray();
  }

  @Override
  void iterate() {
    long t = round();
    int[] newcomers =
        t == 0 ? new int[0] : nodesWhere(i -> takesPart(t, i) && !takesPart(t - 1, i));
    DeviceMatrix base = newcomers.length == 0 ? x : joined;
    if (newcomers.length > 0) {
      fetch(newcomers);
    }
    byte[] sent = new byte[network().localNodes() * samples * code.bytes()];
    for (int j = 0; j < samples; j++) {
      double[] g = derivatives(base, j);
      for (int r = 0; r < g.length; r++) {
        code.write(g[r], sent, (r * samples + j) * code.bytes());
      }
    }
    byte[] all = network().gather(sent);
    int[] codes = new int[samples * network().nodes()];
    for (int k = 0; k < codes.length; k++) {
      codes[k] = code.read(all, k * code.bytes());
      if (!Double.isFinite(code.decode(codes[k]))) {
        throw new NonFiniteException(k / samples, t, "the change of the loss along a direction");
      }
    }
    if (newcomers.length > 0) {
      joined = x;
      x = base;
    }
    if (newcomers.length > 0 || t - backupRound == backupRounds) {
      backup.copyFrom(x);
      backupRound = t;
    } else if (t == 0) {
      backup.copyFrom(x);
    }
    System.arraycopy(codes, 0, log, Math.toIntExact(t - backupRound) * codes.length, codes.length);
    apply(x, t, t + 1);
  }

  /** Forms the parameters with those of a node that has them in the place of the newcomers'. */
  private void fetch(int[] newcomers) {
    int n = network().nodes();
    int[] sources = nodesWhere(i -> takesPart(round(), i) && takesPart(round() - 1, i));
    if (sources.length == 0) {
      throw new IllegalStateException(
          "nobody who takes part in round "
              + round()
              + " took part in the round before, so nobody has the parameters: let at least one"
              + " node stay");
    }
    long[] offsets = new long[n + 1];
    int[] columns = new int[n];
    double[] ones = new double[n];
    for (int i = 0; i < n; i++) {
      offsets[i + 1] = i + 1L;
      columns[i] = Arrays.binarySearch(newcomers, i) >= 0 ? sources[0] : i;
      ones[i] = 1;
    }
    network()
        .mix(
            MixingMatrix.of(MixingMatrix.Kind.ROW_STOCHASTIC, n, offsets, columns, ones),
            Expression.inner(x).withMessageType(x.dtype()),
            joined);
  }

  /** g of sample j of every own node. */
  private double[] derivatives(DeviceMatrix base, int j) {
    List<NoiseField.PublicRow> rows = new ArrayList<>();
    for (int r = 0; r < network().localNodes(); r++) {
      rows.add(direction(round(), (network().firstNode() + r) * samples + j));
    }
    NoiseField field = NoiseField.shared(directions, Stream.PERTURBATION, rows);
    perturbed.copyFrom(base);
    Noise.add(field, epsilon, perturbed);
    losses.values(perturbed, plus);
    perturbed.copyFrom(base);
    Noise.add(field, -epsilon, perturbed);
    losses.values(perturbed, minus);
    double[] up = plus.toDoubles();
    double[] down = minus.toDoubles();
    Arrays.setAll(up, r -> (up[r] - down[r]) / (2 * epsilon));
    return up;
  }

  private NoiseField.PublicRow direction(long round, int k) {
    return new NoiseField.PublicRow(seed, round, k);
  }

  /**
   * Takes the steps of rounds [from, to), which the log has, in one pass over the own rows of y.
   */
  private void apply(DeviceMatrix y, long from, long to) {
    int perRound = samples * network().nodes();
    List<NoiseField.PublicRow> rows = new ArrayList<>();
    List<Double> coefficients = new ArrayList<>();
    List<Long> rounds = new ArrayList<>();
    for (long t = from; t < to; t++) {
      int[] present = presentIn(t);
      double scale = stepSize / Math.sqrt((double) present.length * samples);
      int at = Math.toIntExact(t - backupRound) * perRound;
      for (int i : present) {
        for (int k = i * samples; k < (i + 1) * samples; k++) {
          rows.add(direction(t, k));
          coefficients.add(-scale * code.decode(log[at + k]));
          rounds.add(t);
        }
      }
    }
    int local = network().localNodes();
    long[] offsets = new long[local + 1];
    List<Integer> columns = new ArrayList<>();
    for (int r = 0; r < local; r++) {
      for (int c = 0; c < rows.size(); c++) {
        if (takesPart(rounds.get(c), network().firstNode() + r)) {
          columns.add(c);
        }
      }
      offsets[r + 1] = columns.size();
    }
    try (MixingWeights weights =
        MixingWeights.sparse(
            y.queue(),
            local,
            rows.size(),
            offsets,
            columns.stream().mapToInt(Integer::intValue).toArray(),
            columns.stream().mapToDouble(coefficients::get).toArray())) {
      Noise.sum(weights, NoiseField.shared(directions, Stream.PERTURBATION, rows), 1, true, y);
    }
  }

  private int[] presentIn(long t) {
    return nodesWhere(i -> takesPart(t, i));
  }

  /**
   * Makes the parameters of the own nodes again, from the backup and the scalars since: they get
   * the bits that they had, whatever has become of them.
   */
  public void replay() {
    if (round() > 0) {
      x.copyFrom(backup);
      apply(x, backupRound, round());
    }
  }

  /**
   * Whether all nodes that took part in the last round hold the same bits; all processes call it
   * and come to the same. Not counted by the meter.
   */
  public boolean replicasAgree() {
    double[] sums = network().gather(checksums());
    long last = Math.max(0, round() - 1);
    return Arrays.stream(presentIn(last)).mapToDouble(i -> sums[i]).distinct().count() <= 1;
  }

  /** CRC-32C of the bits of every own row. */
  private double[] checksums() {
    double[] values = x.toDoubles();
    int cols = Math.toIntExact(x.cols());
    double[] sums = new double[network().localNodes()];
    for (int r = 0; r < sums.length; r++) {
      CRC32C crc = new CRC32C();
      for (int c = 0; c < cols; c++) {
        long bits = Double.doubleToRawLongBits(values[r * cols + c]);
        for (int b = 0; b < 64; b += 8) {
          crc.update((int) (bits >>> b));
        }
      }
      sums[r] = crc.getValue();
    }
    return sums;
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.put("backup", backup);
    return state;
  }

  @Override
  String variant() {
    return String.join(
        ", ",
        code.name(),
        directions.name(),
        "step " + stepSize,
        "epsilon " + epsilon,
        samples + " samples",
        "backup " + backupRounds,
        "seed " + seed);
  }

  /** The round of the backup, then the codes since. */
  @Override
  long[] counters() {
    long[] counters = new long[1 + log.length];
    counters[0] = backupRound;
    for (int k = 0; k < log.length; k++) {
      counters[1 + k] = Integer.toUnsignedLong(log[k]);
    }
    return counters;
  }

  @Override
  void counters(long[] values) {
    backupRound = values[0];
    for (int k = 0; k < log.length; k++) {
      log[k] = (int) values[1 + k];
    }
  }

  /** Settings of {@link SharedRandomnessSpsa}; the step size is eta. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private double epsilon = 1e-3;
    private int samples = 1;
    private int backupRounds = 16;
    private long seed = 1;
    private ScalarCode code = ScalarCode.ONE_BYTE;
    private NoiseField.Distribution directions = NoiseField.Distribution.NORMAL;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** How far losses are looked at along a direction, above 0. Default: 1e-3, the source's. */
    public Builder epsilon(double epsilon) {
      if (!(epsilon > 0 && epsilon < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "a perturbation of size " + epsilon + " is impossible: give a finite number above 0");
      }
      this.epsilon = epsilon;
      return this;
    }

    /** m, directions of each node in a round. Default: 1. */
    public Builder samples(int samples) {
      if (samples < 1) {
        throw new IllegalArgumentException(
            samples + " samples a node are too few: take at least 1");
      }
      this.samples = samples;
      return this;
    }

    /** Rounds from one backup to the next. Default: 16, the source's. */
    public Builder backupRounds(int rounds) {
      if (rounds < 1) {
        throw new IllegalArgumentException(
            "a backup every " + rounds + " rounds is impossible: give at least 1");
      }
      this.backupRounds = rounds;
      return this;
    }

    /** The seed of all directions, the same at all nodes. Default: 1. */
    public Builder seed(long seed) {
      this.seed = seed;
      return this;
    }

    /** How scalars travel. Default: one byte each. */
    public Builder code(ScalarCode code) {
      this.code = Objects.requireNonNull(code, "code");
      return this;
    }

    /** What directions are drawn from, NORMAL or RADEMACHER. Default: NORMAL, the source's. */
    public Builder directions(NoiseField.Distribution directions) {
      if (directions != NoiseField.Distribution.NORMAL
          && directions != NoiseField.Distribution.RADEMACHER) {
        throw new IllegalArgumentException(
            "directions of the distribution "
                + directions
                + " do not estimate a gradient: take NORMAL or RADEMACHER");
      }
      this.directions = directions;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, the problem is
     *     no {@link Value}, or too many scalars lie between two backups
     */
    public SharedRandomnessSpsa build() {
      if (!(problem instanceof Value losses)) {
        throw new IllegalArgumentException(
            "spsa looks at losses alone, and "
                + problem.getClass().getSimpleName()
                + " cannot give them: take a problem that is a Value");
      }
      return new SharedRandomnessSpsa(this, losses);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
