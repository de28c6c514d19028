package dev.kith.problem;

import java.util.Locale;

/**
 * How the training samples are dealt to the nodes. Every sample goes to exactly one node, and the
 * sizes of two nodes differ by at most one, so that the mean of the local objectives is the
 * objective over all samples, whatever the skew.
 *
 * <p>Pure functions of data, node count and seed (stream {@code PARTITION}).
 */
public sealed interface Partition permits IidPartition, DirichletPartition {
  /**
   * For every node the samples that it holds, ascending.
   *
   * @throws IllegalArgumentException when there are fewer samples than nodes
   */
  int[][] split(ClassificationData data, int nodes, long seed);

  /** As {@link #parse} reads it. */
  String name();

  /** Samples are dealt at random: every node sees the same distribution. */
  static Partition iid() {
    return new IidPartition();
  }

  /**
   * Label skew: node i prefers classes by weights {@code q_i ~ Dirichlet(alpha, ..., alpha)}. Of
   * ten classes the largest has about half of the samples of a node at alpha = 0.1, a third at 0.5;
   * at 100 it is close to {@link #iid}. The nodes take turns; each draws one class from its
   * weights, among the classes of which samples are left, and takes the next sample of it.
   *
   * <p>After T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the effects of non-identical data
   * distribution for federated visual classification", 2019, section 3; taking turns keeps the last
   * nodes from getting only leftovers.
   *
   * @param alpha concentration, in [1e-6, 1e6]
   */
  static Partition dirichlet(double alpha) {
    return new DirichletPartition(alpha);
  }

  /**
   * Reads {@code iid} or {@code dirichlet:ALPHA}.
   *
   * @throws IllegalArgumentException naming what is known
   */
  static Partition parse(String text) {
    String value = text.strip().toLowerCase(Locale.ROOT);
    if (value.equals("iid")) {
      return iid();
    }
    if (value.startsWith("dirichlet:")) {
      String alpha = value.substring("dirichlet:".length());
      try {
        return dirichlet(Double.parseDouble(alpha));
      } catch (NumberFormatException e) {
        throw new IllegalArgumentException(
            "'%s' in partition '%s' is not a number; write for example dirichlet:0.5"
                .formatted(alpha, text),
            e);
      }
    }
    throw new IllegalArgumentException(
        "unknown partition '%s'; known are iid and dirichlet:ALPHA".formatted(text));
  }
}
