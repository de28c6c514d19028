package dev.kith.graph;

import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import java.util.NavigableSet;
import java.util.TreeSet;
import java.util.stream.IntStream;

/**
 * What breaks during a run: nodes and links that disappear for good from a round on, and links that
 * fail in single rounds, each with the same probability and independently. A link fails in both
 * directions at once.
 *
 * <p>{@link FailingSchedule} applies it. Random failures read {@link SharedRandom} in the stream
 * {@link Stream#FAILURE}, element (round, smaller node, larger node): all processes see the same
 * ones.
 *
 * <p>Immutable and safe for use by several threads.
 */
public final class Failures {
  private final Map<Integer, Long> nodes;
  private final Map<Link, Long> links;
  private final NavigableSet<Long> changes;
  private final double probability;
  private final long seed;

  private record Link(int low, int high) {
    static Link of(int i, int j) {
      return new Link(Math.min(i, j), Math.max(i, j));
    }
  }

  private Failures(Builder builder) {
    this.nodes = Map.copyOf(builder.nodes);
    this.links = Map.copyOf(builder.links);
    this.changes = new TreeSet<>(nodes.values());
    this.changes.addAll(links.values());
    this.probability = builder.probability;
    this.seed = builder.seed;
  }

  /** Nothing fails until the builder is told so. */
  public static Builder builder() {
    return new Builder();
  }

  /** Collects failures. */
  public static final class Builder {
    private final Map<Integer, Long> nodes = new HashMap<>();
    private final Map<Link, Long> links = new HashMap<>();
    private double probability;
    private long seed;

    private Builder() {}

    /**
     * From this round on the nodes are gone; a node given twice is gone from the earlier round on.
     *
     * @throws IllegalArgumentException when the round or a node is negative
     */
    public Builder removeNodes(long round, int... gone) {
      RandomSchedule.checkRound(round);
      for (int node : gone) {
        if (node < 0) {
          throw new IllegalArgumentException("node " + node + " is negative: nodes count from 0");
        }
        nodes.merge(node, round, Math::min);
      }
      return this;
    }

    /**
     * From this round on the link between i and j is gone, in both directions.
     *
     * @throws IllegalArgumentException when the round or a node is negative, or i = j
     */
    public Builder removeLink(long round, int i, int j) {
      RandomSchedule.checkRound(round);
      if (i < 0 || j < 0 || i == j) {
        throw new IllegalArgumentException("there is no link between " + i + " and " + j);
      }
      links.merge(Link.of(i, j), round, Math::min);
      return this;
    }

    /**
     * In every round every link fails with this probability.
     *
     * @throws IllegalArgumentException when the probability is outside [0, 1]
     */
    public Builder linkFailure(double probability, long seed) {
      if (!(probability >= 0 && probability <= 1)) {
        throw new IllegalArgumentException(
            "links cannot fail with probability " + probability + ": give one in [0, 1]");
      }
      this.probability = probability;
      this.seed = seed;
      return this;
    }

    /** What was collected. */
    public Failures build() {
      return new Failures(this);
    }
  }

  /** Whether a node is still there in a round. */
  public boolean isAlive(long round, int node) {
    return round < nodes.getOrDefault(node, Long.MAX_VALUE);
  }

  /**
   * Whether a link between i and j, if there is one, works in a round; both ends must be alive for
   * it.
   */
  public boolean isUp(long round, int i, int j) {
    return isAlive(round, i)
        && isAlive(round, j)
        && (links.isEmpty() || round < links.getOrDefault(Link.of(i, j), Long.MAX_VALUE))
        && (probability == 0
            || new SharedRandom(seed, Stream.FAILURE, Math.min(i, j), round).uniform(Math.max(i, j))
                >= probability);
  }

  /** Whether there are failures of single rounds. */
  boolean random() {
    return probability > 0;
  }

  /** Whether nothing ever fails. */
  boolean none() {
    return changes.isEmpty() && probability == 0;
  }

  /** The latest round up to this one in which something disappeared for good, or 0. */
  long latestChange(long round) {
    Long latest = changes.floor(round);
    return latest == null ? 0 : latest;
  }

  /** The largest node number, or -1. */
  int largestNode() {
    return Math.max(
        nodes.keySet().stream().mapToInt(i -> i).max().orElse(-1),
        links.keySet().stream().mapToInt(Link::high).max().orElse(-1));
  }

  /**
   * The nodes with the highest degrees, round(fraction n) of them; of equal ones those with lower
   * numbers.
   */
  public static int[] highestDegree(Graph graph, double fraction) {
    return byDegree(graph, fraction, -1);
  }

  /**
   * The nodes with the lowest degrees, round(fraction n) of them; of equal ones those with lower
   * numbers.
   */
  public static int[] lowestDegree(Graph graph, double fraction) {
    return byDegree(graph, fraction, 1);
  }

  private static int[] byDegree(Graph graph, double fraction, int sign) {
    return IntStream.range(0, graph.nodes())
        .boxed()
        .sorted(Comparator.comparingInt(i -> sign * graph.degree(i)))
        .limit(share(graph.nodes(), fraction))
        .mapToInt(i -> i)
        .sorted()
        .toArray();
  }

  /** round(fraction n) nodes, any set of them equally likely, in ascending order. */
  public static int[] random(int nodes, double fraction, long seed) {
    int[] order = new SharedRandom(seed, Stream.FAILURE, 0, 0).permutation(nodes);
    int[] chosen = Arrays.copyOf(order, share(nodes, fraction));
    Arrays.sort(chosen);
    return chosen;
  }

  private static int share(int nodes, double fraction) {
    if (!(fraction >= 0 && fraction <= 1)) {
      throw new IllegalArgumentException(
          "the fraction " + fraction + " of the nodes is not in [0, 1]");
    }
    return (int) Math.round(fraction * nodes);
  }
}
