package dev.kith.graph;

import dev.kith.graph.MixingMatrix.Kind;
import java.util.Arrays;

/**
 * A schedule under {@link Failures}. Nodes keep their numbers: one that is gone has weight 1 for
 * itself and exchanges nothing, and so has one that lost all its links. A network that falls apart
 * is not refused; {@link #connectivity} tells what is left of it.
 *
 * <p>Source: "Exploring the impact of disrupted peer-to-peer communications on fully decentralized
 * learning in disaster scenarios"; weights are computed anew at every change.
 */
public final class FailingSchedule implements MixingSchedule {
  private final MixingSchedule base;
  private final Failures failures;
  private final RandomSchedule matrices;

  private FailingSchedule(MixingSchedule base, Failures failures, RandomSchedule matrices) {
    this.base = base;
    this.failures = failures;
    this.matrices = matrices;
    if (failures.largestNode() >= base.nodes()) {
      throw new IllegalArgumentException(
          "failures name node "
              + failures.largestNode()
              + ", but the nodes are 0 to "
              + (base.nodes() - 1));
    }
  }

  /**
   * A graph of which parts disappear: every round has the rule's weights for the links that are
   * left.
   *
   * @throws IllegalArgumentException when the failures name a node that does not exist, or the rule
   *     does not suit the graph or, on a directed one, what failures would leave of it
   */
  public static FailingSchedule of(Graph graph, WeightRule rule, Failures failures) {
    MixingMatrix whole = rule.weights(graph);
    if (!failures.none() && graph.directed() && whole.kind() == Kind.DOUBLY_STOCHASTIC) {
      throw new IllegalArgumentException(
          rule.text()
              + " weights do not suit a directed graph that loses links, which leaves it with unequal"
              + " degrees: give the constant schedule of the whole graph in its place, or out-degree"
              + " weights and push-sum");
    }
    return new FailingSchedule(
        MixingSchedule.constant(whole),
        failures,
        new RandomSchedule(
            graph.nodes(),
            round -> rule.weights(graph.keeping((i, j) -> failures.isUp(round, i, j)))));
  }

  /**
   * {@link #of(MixingSchedule, Failures, MixingMatrix.Kind)} that keeps the rows, which averaging
   * needs.
   */
  public static FailingSchedule of(MixingSchedule base, Failures failures) {
    return of(base, failures, Kind.ROW_STOCHASTIC);
  }

  /**
   * Any schedule: the weight of a failed link goes back to a self weight, that of the sender in a
   * column-stochastic matrix and that of the receiver in the others. Symmetric matrices stay
   * symmetric and doubly stochastic. Where a doubly stochastic matrix that is not symmetric loses a
   * link, rows and columns cannot both be kept.
   *
   * @param keep what still sums to 1 there: {@code COLUMN_STOCHASTIC} gives the weight to the
   *     sender, as push-sum needs, {@code ROW_STOCHASTIC} to the receiver
   * @throws IllegalArgumentException when the failures name a node that does not exist, or {@code
   *     keep} is another kind
   */
  public static FailingSchedule of(MixingSchedule base, Failures failures, Kind keep) {
    if (keep != Kind.ROW_STOCHASTIC && keep != Kind.COLUMN_STOCHASTIC) {
      throw new IllegalArgumentException(
          "a matrix that loses a link cannot stay "
              + keep.words()
              + ": keep it row-stochastic or column-stochastic");
    }
    return new FailingSchedule(
        base,
        failures,
        new RandomSchedule(
            base.nodes(), round -> surviving(base.at(round), failures, round, keep)));
  }

  private static MixingMatrix surviving(MixingMatrix w, Failures failures, long round, Kind keep) {
    int n = w.nodes();
    Kind kind = w.kind() == Kind.DOUBLY_STOCHASTIC && !w.symmetric() ? keep : w.kind();
    boolean toSender = kind == Kind.COLUMN_STOCHASTIC;
    double[] lost = new double[n];
    boolean broken = false;
    int[] offsets = new int[n + 1];
    int[] columns = new int[w.entries() + n];
    double[] values = new double[columns.length];
    int[] own = new int[n];
    int count = 0;
    for (int i = 0; i < n; i++) {
      own[i] = -1;
      for (int k = w.rowBegin(i); k < w.rowBegin(i + 1); k++) {
        int j = w.column(k);
        if (own[i] < 0 && j >= i) {
          own[i] = count;
          columns[count++] = i;
        }
        if (j == i) {
          values[own[i]] = w.value(k);
        } else if (failures.isUp(round, i, j)) {
          columns[count] = j;
          values[count++] = w.value(k);
        } else {
          lost[toSender ? j : i] += w.value(k);
          broken = true;
        }
      }
      if (own[i] < 0) {
        own[i] = count;
        columns[count++] = i;
      }
      offsets[i + 1] = count;
    }
    if (!broken) {
      return w;
    }
    for (int i = 0; i < n; i++) {
      values[own[i]] += lost[i];
    }
    return MixingMatrix.checked(
        kind, offsets, Arrays.copyOf(columns, count), Arrays.copyOf(values, count));
  }

  @Override
  public int nodes() {
    return base.nodes();
  }

  @Override
  public MixingMatrix at(long round) {
    RandomSchedule.checkRound(round);
    boolean eachRound = failures.random() || base.period() != 1;
    return failures.none()
        ? base.at(round)
        : matrices.at(eachRound ? round : failures.latestChange(round));
  }

  /** That of the schedule when nothing fails, and 0 otherwise. */
  @Override
  public long period() {
    return failures.none() ? base.period() : 0;
  }

  @Override
  public boolean isAlive(long round, int node) {
    return failures.isAlive(round, node);
  }

  /** What is left of the network in a round. */
  public Connectivity connectivity(long round) {
    return Connectivity.of(this, round);
  }
}
