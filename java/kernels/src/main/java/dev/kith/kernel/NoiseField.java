package dev.kith.kernel;

import dev.kith.internal.Abi;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * Random rows z(0), z(1), ... that {@link Noise} makes where they are needed. Element c of a row is
 * a function of (key, stream, node, round, distribution, c) alone; {@code docs/randomness.md} has
 * the layout, the conversions and golden values.
 *
 * <p>Rows of a public seed come from Philox4x32-10: everybody can make them again, so they simulate
 * noise, perturb or choose, and protect nothing. Rows of a {@link Secret} come from ChaCha20 (RFC
 * 8439). {@link #isSecret} tells the two apart. Two rows of one secret, stream, node and round are
 * the same noise; that a key is used once is for the caller to see to.
 *
 * <p>Immutable; its secrets must stay open while it is used.
 */
public final class NoiseField {
  /** What the numbers of a row are, one 32-bit word each, but 32 signs a word. */
  public enum Distribution {
    /** 32 uniform bits, for I32. */
    WORDS,
    /** Uniform in (0, 1), as {@link SharedRandom#uniformFloat}. */
    UNIFORM,
    /** 1 or -1 with probability one half each. */
    RADEMACHER,
    /** Normal with mean 0 and variance 1, in f32, |z| below 6.34. */
    NORMAL,
    /** Laplace with mean 0 and scale 1, so of variance 2, in f32, |z| below 22.2. */
    LAPLACE
  }

  /**
   * A row that everybody can make.
   *
   * @param seed the seed of the experiment
   * @param round the round, 0 to 2^40 - 1
   * @param node the number of the node, edge or group, 0 and up
   */
  public record PublicRow(long seed, long round, int node) {
    /**
     * Checks the ranges.
     *
     * @throws IllegalArgumentException when the round or the node is outside
     */
    public PublicRow {
      checkAddress(round, node);
    }
  }

  /**
   * A row that only those who have the secret can make.
   *
   * @param secret the key
   * @param round the round, 0 to 2^40 - 1
   * @param node the number of the node, edge or group, 0 and up
   */
  public record SecretRow(Secret secret, long round, int node) {
    /**
     * Checks the ranges.
     *
     * @throws IllegalArgumentException when the round or the node is outside
     */
    public SecretRow {
      Objects.requireNonNull(secret, "secret");
      checkAddress(round, node);
    }
  }

  private final Distribution distribution;
  private final Stream stream;
  private final List<PublicRow> publicRows;
  private final List<SecretRow> secretRows;
  private final boolean secret;

  private NoiseField(
      Distribution distribution,
      Stream stream,
      List<PublicRow> publicRows,
      List<SecretRow> secretRows,
      boolean secret) {
    this.distribution = Objects.requireNonNull(distribution, "distribution");
    this.stream = Objects.requireNonNull(stream, "stream");
    this.publicRows = List.copyOf(publicRows);
    this.secretRows = List.copyOf(secretRows);
    this.secret = secret;
  }

  private static void checkAddress(long round, int node) {
    if (round < 0 || round >= SharedRandom.MAX_ROUNDS || node < 0) {
      throw new IllegalArgumentException(
          "round "
              + round
              + " and node "
              + node
              + " draw nothing: rounds are in [0, 2^40) and nodes count from 0");
    }
  }

  /**
   * Rows of a public seed for consecutive nodes.
   *
   * @param distribution what the numbers are
   * @param stream what they are for
   * @param seed the seed of the experiment
   * @param round the round, 0 to 2^40 - 1
   * @param firstNode the node of row 0
   * @param count rows
   * @return the field
   * @throws IllegalArgumentException when the count, the round or a node is outside
   */
  public static NoiseField shared(
      Distribution distribution, Stream stream, long seed, long round, int firstNode, int count) {
    if (count < 0 || firstNode > Integer.MAX_VALUE - Math.max(count - 1, 0)) {
      throw new IllegalArgumentException(
          count
              + " rows from node "
              + firstNode
              + " on are impossible: counts are at least 0 and nodes below 2^31");
    }
    List<PublicRow> rows = new ArrayList<>(count);
    for (int k = 0; k < count; k++) {
      rows.add(new PublicRow(seed, round, firstNode + k));
    }
    return shared(distribution, stream, rows);
  }

  /**
   * Rows of public seeds.
   *
   * @param distribution what the numbers are
   * @param stream what they are for
   * @param rows where row k comes from
   * @return the field
   */
  public static NoiseField shared(Distribution distribution, Stream stream, List<PublicRow> rows) {
    return new NoiseField(distribution, stream, rows, List.of(), false);
  }

  /**
   * Rows of secrets.
   *
   * @param distribution what the numbers are
   * @param stream what they are for; {@link Stream#PERTURBATION} and other streams of public
   *     numbers serve as well as the streams of noise, since the keys differ
   * @param rows where row k comes from
   * @return the field
   */
  public static NoiseField secret(Distribution distribution, Stream stream, List<SecretRow> rows) {
    return new NoiseField(distribution, stream, List.of(), rows, true);
  }

  /**
   * What the numbers are.
   *
   * @return the distribution
   */
  public Distribution distribution() {
    return distribution;
  }

  /**
   * The same rows with other numbers: those of different distributions are independent, but for
   * {@link Distribution#UNIFORM} and {@link Distribution#WORDS}, which are made of the same bits.
   *
   * @param other what the numbers are
   * @return the field
   */
  public NoiseField as(Distribution other) {
    return new NoiseField(other, stream, publicRows, secretRows, secret);
  }

  /**
   * Its rows.
   *
   * @return how many
   */
  public int count() {
    return secret ? secretRows.size() : publicRows.size();
  }

  /**
   * Whether the rows come from secrets. Noise of a field that does not is simulated: it protects
   * nothing.
   *
   * @return true for ChaCha20 under secrets, false for Philox under public seeds
   */
  public boolean isSecret() {
    return secret;
  }

  /** A kith_field for one call, with the keys. */
  Description describe() {
    return new Description(this);
  }

  /** Wipes the keys when it is closed. */
  static final class Description implements AutoCloseable {
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment keys;
    private final MemorySegment segment;

    private Description(NoiseField field) {
      int count = field.count();
      keys = arena.allocate((long) Secret.BYTES * (field.secret ? count : 0), 8);
      try {
        MemorySegment sources = arena.allocate(Abi.SOURCE, count);
        for (int k = 0; k < count; k++) {
          MemorySegment source = sources.asSlice(k * Abi.SOURCE.byteSize(), Abi.SOURCE);
          if (field.secret) {
            SecretRow row = field.secretRows.get(k);
            MemorySegment key = keys.asSlice((long) k * Secret.BYTES, Secret.BYTES);
            row.secret().copyTo(key);
            source.set(ValueLayout.ADDRESS, Abi.offset(Abi.SOURCE, "secret"), key);
            address(source, row.round(), row.node());
          } else {
            PublicRow row = field.publicRows.get(k);
            source.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.SOURCE, "seed"), row.seed());
            address(source, row.round(), row.node());
          }
        }
        segment = arena.allocate(Abi.FIELD);
        int generator = field.secret ? Abi.CHACHA : Abi.PHILOX;
        segment.set(ValueLayout.JAVA_INT, Abi.offset(Abi.FIELD, "generator"), generator);
        int distribution = Abi.number(field.distribution);
        segment.set(ValueLayout.JAVA_INT, Abi.offset(Abi.FIELD, "distribution"), distribution);
        segment.set(ValueLayout.JAVA_INT, Abi.offset(Abi.FIELD, "stream"), field.stream.tag());
        segment.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.FIELD, "count"), count);
        segment.set(ValueLayout.ADDRESS, Abi.offset(Abi.FIELD, "sources"), sources);
      } catch (RuntimeException e) {
        close();
        throw e;
      }
    }

    private static void address(MemorySegment source, long round, int node) {
      source.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.SOURCE, "round"), round);
      source.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.SOURCE, "node"), node);
    }

    MemorySegment segment() {
      return segment;
    }

    @Override
    public void close() {
      keys.fill((byte) 0);
      arena.close();
    }
  }
}
