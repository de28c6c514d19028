package dev.kith.privacy;

import dev.kith.device.Queue;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.NoiseField.PublicRow;
import dev.kith.kernel.NoiseField.SecretRow;
import dev.kith.network.Network;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * The noise V = F Z that the own nodes add in each round, V ~ N(0, R) over the nodes for a {@link
 * NoiseCovariance} R = F F', independent for every round and parameter.
 *
 * <p>Row k of Z has the address (stream {@link Stream#GROUP_NOISE}, node k, round) under the secret
 * of column k of F, so that all who hold it draw the same row wherever they run. With {@link
 * #simulated} the rows of these addresses come from a public seed: whoever knows it takes the noise
 * away, and nothing is certified with it.
 *
 * <p>In a round in which nodes do not take part, the noise of their edges is retired ({@link
 * NoiseCovariance#without}).
 *
 * <p>The noise of a round is drawn once: two messages of one node with the same noise would show
 * their difference. Used by one thread at a time.
 */
public final class NodeNoise implements AutoCloseable {
  /**
   * What the own nodes add in a round: row i is scale times the sum over k of weights(i, k) z(k).
   *
   * @param weights localNodes x field.count(), of {@link NodeNoise}; empty: row i is scale times
   *     z(i)
   * @param field the rows z
   * @param scale a factor of all
   */
  public record Draw(Optional<MixingWeights> weights, NoiseField field, double scale) {}

  /** The rows of F of the own nodes, and who draws the rows of Z that they need. */
  private record Part(int[] absent, List<Column> columns, Optional<MixingWeights> weights) {}

  /** A column of F, and who has its secret. */
  private record Column(int number, NoiseFactor.Secret holder) {}

  private final Network network;
  private final NoiseCovariance covariance;
  private final Optional<NoiseSecrets> secrets;
  private final long seed;
  private Optional<Part> part = Optional.empty();
  private long next;

  private NodeNoise(
      Network network, NoiseCovariance covariance, Optional<NoiseSecrets> secrets, long seed) {
    this.network = network;
    this.covariance = covariance;
    this.secrets = secrets;
    this.seed = seed;
    if (covariance.nodes() != network.nodes()) {
      throw new IllegalArgumentException(
          "the noise is over "
              + covariance.nodes()
              + " nodes and the network has "
              + network.nodes()
              + ": make both for the same nodes");
    }
  }

  /**
   * Noise from secrets.
   *
   * @param network on which the nodes run
   * @param covariance R
   * @param secrets agreed for this covariance; stay the caller's to close, after the noise
   * @throws IllegalStateException when the secrets serve another noise already, or one is missing
   */
  public static NodeNoise secret(
      Network network, NoiseCovariance covariance, NoiseSecrets secrets) {
    NodeNoise noise = new NodeNoise(network, covariance, Optional.of(secrets), 0);
    noise.columns(covariance.factor()).forEach(column -> secrets.of(column.holder()));
    secrets.take();
    return noise;
  }

  /**
   * SIMULATED noise, which everybody can draw again: for research that has to be repeatable.
   *
   * @param network on which the nodes run
   * @param covariance R
   * @param seed the seed of the experiment
   */
  public static NodeNoise simulated(Network network, NoiseCovariance covariance, long seed) {
    return new NodeNoise(network, covariance, Optional.empty(), seed);
  }

  /** Whether it is made of secrets. */
  public NoiseOrigin origin() {
    return secrets.isPresent() ? NoiseOrigin.SECRET : NoiseOrigin.SIMULATED;
  }

  /** R, with all nodes. */
  public NoiseCovariance covariance() {
    return covariance;
  }

  /** The network whose nodes add it. */
  public Network network() {
    return network;
  }

  /** By which a snapshot knows the noise again: a public name of the secrets, or the seed. */
  public String id() {
    return secrets.map(s -> "secrets " + s.id()).orElse("SIMULATED from seed " + seed);
  }

  /** Who holds what the noise is made of, and against whom it protects: a sentence for reports. */
  public String holders() {
    if (secrets.isEmpty()) {
      return "everybody who knows the seed: the noise is SIMULATED and protects nothing";
    }
    return switch (covariance.kind()) {
      case INDEPENDENT -> "every node its own secret: it protects against all others";
      case PAIRWISE ->
          "every node its own secret, and the two ends of an edge one that they agreed on: it"
              + " protects against outsiders, and against other nodes as far as they do not collude";
      case JOINT -> "all nodes one secret: it protects against outsiders only";
      case CENTRAL -> "a trusted server: it protects against those who see the mean only";
    };
  }

  /**
   * Draws the noise of a round, with what nodes take part in it; reused by the next call.
   *
   * @param round 0 to 2^40 - 1, later than all before
   * @param queue on which it is added
   * @return empty where none of the own nodes takes part
   * @throws IllegalArgumentException when the round is outside: the counter would wrap
   * @throws IllegalStateException when the round's noise has been drawn, or jointly drawn noise is
   *     wanted without some of the nodes
   */
  public Optional<Draw> draw(long round, Queue queue) {
    if (round < 0 || round >= SharedRandom.MAX_ROUNDS) {
      throw new IllegalArgumentException(
          "there is no noise for round "
              + round
              + ", whose counter would wrap: rounds are 0 to 2^40 - 1, start anew with new"
              + " secrets");
    }
    if (round < next) {
      throw new IllegalStateException(
          "the noise of round "
              + round
              + " has been drawn, and a second message with it would show the difference of the"
              + " two: resume from a snapshot, or go on with round "
              + next);
    }
    Part own = part(absent(round), queue);
    next = round + 1;
    if (own.columns().isEmpty()) {
      return Optional.empty();
    }
    double scale =
        covariance.kind() == NoiseCovariance.Kind.CENTRAL
            ? Math.sqrt(covariance.conditioning().maxVariance() / covariance.nodes())
            : 1;
    return Optional.of(new Draw(own.weights(), field(own.columns(), round), scale));
  }

  /**
   * Lets the noise of rounds from this one on be drawn again, by a run that goes on from a snapshot
   * of then: the same state and the same data give the messages that were sent already, bit for
   * bit.
   */
  public void rewind(long round) {
    next = Math.min(next, round);
  }

  /** The nodes that do not take part in a round, ascending. */
  public int[] absent(long round) {
    return IntStream.range(0, network.nodes())
        .filter(node -> !network.schedule().isAlive(round, node))
        .toArray();
  }

  private Part part(int[] absent, Queue queue) {
    if (part.isEmpty() || !Arrays.equals(part.get().absent(), absent)) {
      Part made = make(absent, queue);
      closeWeights();
      part = Optional.of(made);
    }
    return part.get();
  }

  /** The covariance of the noise of a round without some nodes. */
  public NoiseCovariance covariance(int... absent) {
    return absent.length == 0 ? covariance : covariance.without(absent);
  }

  /** The columns that own rows have entries in, ascending. */
  private List<Column> columns(NoiseFactor factor) {
    if (covariance.kind() == NoiseCovariance.Kind.CENTRAL) {
      return List.of(new Column(0, factor.secrets().getFirst()));
    }
    int begin = factor.offsets()[network.firstNode()];
    int end = factor.offsets()[network.firstNode() + network.localNodes()];
    return Arrays.stream(factor.columns(), begin, end)
        .sorted()
        .distinct()
        .mapToObj(column -> new Column(column, factor.secrets().get(column)))
        .toList();
  }

  private Part make(int[] absent, Queue queue) {
    NoiseFactor factor = covariance(absent).factor();
    List<Column> used = columns(factor);
    if (used.isEmpty() || covariance.kind() == NoiseCovariance.Kind.CENTRAL) {
      return new Part(absent, used, Optional.empty());
    }
    int[] number = used.stream().mapToInt(Column::number).toArray();
    int first = network.firstNode();
    int rows = network.localNodes();
    int begin = factor.offsets()[first];
    int end = factor.offsets()[first + rows];
    long[] offsets = new long[rows + 1];
    Arrays.setAll(offsets, r -> factor.offsets()[first + r] - begin);
    int[] places = new int[end - begin];
    Arrays.setAll(places, k -> Arrays.binarySearch(number, factor.columns()[begin + k]));
    return new Part(
        absent,
        used,
        Optional.of(
            MixingWeights.sparse(
                queue,
                rows,
                number.length,
                offsets,
                places,
                Arrays.copyOfRange(factor.values(), begin, end))));
  }

  private NoiseField field(List<Column> columns, long round) {
    NoiseField.Distribution normal = NoiseField.Distribution.NORMAL;
    return secrets.isPresent()
        ? NoiseField.secret(
            normal,
            Stream.GROUP_NOISE,
            columns.stream()
                .map(c -> new SecretRow(secrets.get().of(c.holder()), round, c.number()))
                .toList())
        : NoiseField.shared(
            normal,
            Stream.GROUP_NOISE,
            columns.stream().map(c -> new PublicRow(seed, round, c.number())).toList());
  }

  private void closeWeights() {
    part.flatMap(Part::weights).ifPresent(MixingWeights::close);
    part = Optional.empty();
  }

  /** Releases the rows of F, not the secrets; idempotent. */
  @Override
  public void close() {
    closeWeights();
  }
}
