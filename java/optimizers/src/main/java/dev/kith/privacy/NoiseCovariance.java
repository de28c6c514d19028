package dev.kith.privacy;

import dev.kith.graph.Graph;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/**
 * How the noise of the nodes is correlated: in every round and for every parameter V ~ N(0, R), R
 * the n x n covariance over the nodes, in units of the squared clipped gradients.
 *
 * <p>What somebody sees who sees all messages is a Gaussian mechanism: replacing node i's data
 * moves row i by at most Delta, and costs mu^2 = Delta^2 (R^-1)_ii a round, with R the covariance
 * of what remains unknown to them. Node data are as safe as their largest (R^-1)_ii; utility
 * depends on what mixing leaves of R ({@link MixingObjective}).
 *
 * <table>
 *   <caption>Who holds which secret, and against whom it protects</caption>
 *   <tr><th>kind</th><th>R</th><th>secrets</th><th>protects against</th></tr>
 *   <tr><td>{@link #independent}</td><td>s I</td><td>one a node</td><td>everybody</td></tr>
 *   <tr><td>{@link #pairwise}</td><td>s I + t L</td><td>one a node, one an edge</td><td>everybody;
 *       colluding nodes cost their edges</td></tr>
 *   <tr><td>{@link #optimal}, {@link #joint}</td><td>any</td><td>one that all share</td><td>outsiders
 *       only</td></tr>
 *   <tr><td>{@link #central}</td><td>I/(n b)</td><td>a server's</td><td>who sees the mean
 *       only</td></tr>
 * </table>
 *
 * <p>Sources: CorN-DSGD, "Optimizing privacy-utility trade-off in decentralized learning with
 * generalized correlated noise"; DECOR, Y. Allouah et al., "The privacy power of correlated noise
 * in decentralized learning" (ICML 2024).
 */
public final class NoiseCovariance {
  /** How the noise is made. */
  public enum Kind {
    /** Every node by itself (local differential privacy). */
    INDEPENDENT,
    /** By itself, and with each neighbour (DECOR). */
    PAIRWISE,
    /** All from one secret (CorN). */
    JOINT,
    /** By a trusted server, on the mean (central differential privacy). */
    CENTRAL
  }

  /**
   * How well R can be worked with.
   *
   * @param smallest the least eigenvalue
   * @param largest the largest eigenvalue
   * @param maxVariance max_i R_ii: noise much larger than what it hides costs digits in f32, once
   *     it has cancelled
   */
  public record Conditioning(double smallest, double largest, double maxVariance) {
    /** largest / smallest. */
    public double condition() {
      return largest / smallest;
    }
  }

  /** More coalitions than this are not tried one by one. */
  private static final long MOST_COALITIONS = 100_000;

  private final Kind kind;
  private final double[][] covariance;
  private final Graph edges;
  private final double variance;
  private final double edgeVariance;
  private final BitSet absent;
  private final Conditioning conditioning;

  private NoiseCovariance(
      Kind kind,
      double[][] covariance,
      Graph edges,
      double variance,
      double edgeVariance,
      BitSet absent) {
    this.kind = kind;
    this.covariance = covariance;
    this.edges = edges;
    this.variance = variance;
    this.edgeVariance = edgeVariance;
    this.absent = absent;
    SymmetricMatrix spectrum = SymmetricMatrix.of(covariance);
    double largest = spectrum.largest();
    double smallest = spectrum.smallest();
    if (!(smallest > covariance.length * 0x1p-52 * largest)) {
      throw new IllegalArgumentException(
          "the noise covariance is not positive definite, its smallest eigenvalue is "
              + smallest
              + ": some combination of the nodes' data would be sent without noise, so add"
              + " independent noise");
    }
    double most = 0;
    for (int i = 0; i < covariance.length; i++) {
      most = Math.max(most, covariance[i][i]);
    }
    this.conditioning = new Conditioning(smallest, largest, most);
  }

  private static double[][] diagonal(int nodes, double value) {
    double[][] r = new double[nodes][nodes];
    for (int i = 0; i < nodes; i++) {
      r[i][i] = value;
    }
    return r;
  }

  private static void checkNodes(int nodes) {
    if (nodes < 1) {
      throw new IllegalArgumentException("noise needs at least one node, not " + nodes);
    }
  }

  /**
   * R = variance I: every node adds its own.
   *
   * @param variance positive
   */
  public static NoiseCovariance independent(int nodes, double variance) {
    checkNodes(nodes);
    Checks.positive("the variance", variance);
    return new NoiseCovariance(
        Kind.INDEPENDENT,
        diagonal(nodes, variance),
        Graph.undirected(nodes, new int[0], new int[0]),
        variance,
        0,
        new BitSet());
  }

  /**
   * R = variance I + edgeVariance L, L = D - A of the graph: every node adds noise of its own, and
   * the two ends of an edge add the same with opposite signs.
   *
   * @param graph undirected
   * @param variance sigma^2, positive
   * @param edgeVariance sigma_cor^2, 0 or more
   * @throws IllegalArgumentException when the graph is directed, or R is not positive definite
   */
  public static NoiseCovariance pairwise(Graph graph, double variance, double edgeVariance) {
    return pairwise(graph, variance, edgeVariance, new BitSet());
  }

  private static NoiseCovariance pairwise(
      Graph graph, double variance, double edgeVariance, BitSet absent) {
    if (graph.directed()) {
      throw new IllegalArgumentException(
          "noise that two neighbours share needs an undirected graph: " + graph + " is directed");
    }
    if (!(variance >= 0 && edgeVariance >= 0)
        || Double.isInfinite(variance)
        || Double.isInfinite(edgeVariance)) {
      throw new IllegalArgumentException(
          "the variances are "
              + variance
              + " and "
              + edgeVariance
              + ": give finite numbers, 0 or more");
    }
    double[][] r = diagonal(graph.nodes(), variance);
    for (int i = 0; i < graph.nodes(); i++) {
      r[i][i] += graph.degree(i) * edgeVariance;
      for (int j : graph.neighbours(i)) {
        r[i][j] = -edgeVariance;
      }
    }
    return new NoiseCovariance(Kind.PAIRWISE, r, graph, variance, edgeVariance, absent);
  }

  /**
   * Any covariance, drawn from one secret that every node holds.
   *
   * @param covariance R, symmetric and positive definite; copied
   * @throws IllegalArgumentException when it is not; the message names its smallest eigenvalue
   */
  public static NoiseCovariance joint(double[][] covariance) {
    int n = Checks.symmetric("the noise covariance", covariance);
    double[][] copy = Arrays.stream(covariance).map(double[]::clone).toArray(double[][]::new);
    return new NoiseCovariance(
        Kind.JOINT, copy, Graph.undirected(n, new int[0], new int[0]), 0, 0, new BitSet());
  }

  /**
   * CorN: the covariance of least tr(A R) with (R^-1)_ii &lt;= b for all nodes; see {@link
   * OptimalCovariance} for the iteration and what it does where A is singular.
   *
   * @param objective A, of {@link MixingObjective}
   * @param b the bound, positive
   */
  public static NoiseCovariance optimal(double[][] objective, double b) {
    return joint(OptimalCovariance.of(objective, b).covariance());
  }

  /**
   * DECOR tuned for an objective: of all pairwise covariances with max_i (R^-1)_ii = b the one of
   * least tr(A R). With A = W^T W that is the baseline of the CorN paper, with the horizon-aware A
   * one for long runs.
   *
   * <p>For the ratio r = sigma_cor^2 / sigma^2 the bound gives sigma^2 = max_i ((I + r L)^-1)_ii /
   * b; r is searched from 0 over 1e-4 to 1e6 on 241 points, and between the neighbours of the best
   * by golden section.
   *
   * @param graph undirected
   * @param objective A
   * @param b the bound, positive
   */
  public static NoiseCovariance tunedPairwise(Graph graph, double[][] objective, double b) {
    Checks.positive("the bound on the precision", b);
    int n = Checks.symmetric("the objective", objective);
    double[][] laplacian = pairwise(graph, 1, 1).covariance();
    if (graph.nodes() != n) {
      throw new IllegalArgumentException(
          "the objective is over " + n + " nodes and the graph has " + graph.nodes());
    }
    double trace = 0;
    double between = 0;
    for (int i = 0; i < n; i++) {
      laplacian[i][i] -= 1;
      trace += objective[i][i];
      for (int j = 0; j < n; j++) {
        between += objective[i][j] * laplacian[i][j];
      }
    }
    PairwiseSearch search =
        new PairwiseSearch(SymmetricMatrix.of(laplacian), trace, Math.max(0, between));
    double ratio = search.best();
    double variance = search.variance(ratio) / b;
    return pairwise(graph, variance, ratio * variance);
  }

  /** The objective of pairwise noise against the ratio of its variances, at b = 1. */
  private record PairwiseSearch(SymmetricMatrix laplacian, double trace, double between) {
    private static final double LOWEST = 1e-4;
    private static final double HIGHEST = 1e6;
    private static final int POINTS = 241;

    double variance(double ratio) {
      if (ratio == 0) {
        return 1;
      }
      double[] inverse = new double[laplacian.eigenvalues().length];
      for (int k = 0; k < inverse.length; k++) {
        inverse[k] = 1 / (1 + ratio * Math.max(0, laplacian.eigenvalues()[k]));
      }
      return Arrays.stream(laplacian.diagonal(inverse)).max().orElseThrow();
    }

    private double value(double ratio) {
      return variance(ratio) * (trace + ratio * between);
    }

    private static double point(double place) {
      return LOWEST * Math.pow(HIGHEST / LOWEST, place / (POINTS - 1));
    }

    double best() {
      int place = 0;
      for (int p = 1; p < POINTS; p++) {
        if (value(point(p)) < value(point(place))) {
          place = p;
        }
      }
      double low = Math.max(0, place - 1);
      double high = Math.min(POINTS - 1, place + 1);
      double golden = (Math.sqrt(5) - 1) / 2;
      for (int step = 0; step < 60; step++) {
        double left = high - golden * (high - low);
        double right = low + golden * (high - low);
        if (value(point(left)) <= value(point(right))) {
          high = right;
        } else {
          low = left;
        }
      }
      double found = point((low + high) / 2);
      return value(found) < value(0) ? found : 0;
    }
  }

  /**
   * A trusted server adds the noise to the exact mean: R = I / (n b), of which the mean has
   * variance 1/(n^2 b). One node's part moves the mean by Delta / n, so that this gives the same
   * guarantee as max (R^-1)_ii = b, against whoever sees the mean alone.
   *
   * @param b the bound, positive
   */
  public static NoiseCovariance central(int nodes, double b) {
    checkNodes(nodes);
    Checks.positive("the bound on the precision", b);
    return new NoiseCovariance(
        Kind.CENTRAL,
        diagonal(nodes, 1 / (nodes * b)),
        Graph.undirected(nodes, new int[0], new int[0]),
        1 / (nodes * b),
        0,
        new BitSet());
  }

  /** How the noise is made. */
  public Kind kind() {
    return kind;
  }

  /** The number of nodes n. */
  public int nodes() {
    return covariance.length;
  }

  /** R (a copy). */
  public double[][] covariance() {
    return Arrays.stream(covariance).map(double[]::clone).toArray(double[][]::new);
  }

  /** The edges whose two ends draw noise together; none but with {@link Kind#PAIRWISE}. */
  public Graph edges() {
    return edges;
  }

  /**
   * This noise, scaled so that {@link #worstPrecision} against an adversary is b.
   *
   * @param b the bound, positive
   * @throws IllegalArgumentException when the noise does not protect against the adversary
   * @throws IllegalStateException when nodes are gone
   */
  public NoiseCovariance withPrecision(Adversary adversary, double b) {
    Checks.positive("the bound on the precision", b);
    if (!absent.isEmpty()) {
      throw new IllegalStateException("nodes are gone: scale the noise before they go");
    }
    double scale = worstPrecision(adversary) / b;
    double[][] r = covariance();
    for (double[] row : r) {
      for (int j = 0; j < row.length; j++) {
        row[j] *= scale;
      }
    }
    return new NoiseCovariance(kind, r, edges, scale * variance, scale * edgeVariance, absent);
  }

  /** The eigenvalues and variances of R. */
  public Conditioning conditioning() {
    return conditioning;
  }

  /**
   * This noise after nodes were lost: the noise of their edges is retired, that is, no longer drawn
   * by the ends that stay, since nothing would cancel it. Numbering does not change. From the next
   * round on the others are accounted with this covariance, in which they have fewer edges to hide
   * behind; whether those that left still keep their old secrets matters for past rounds only,
   * which an adversary that includes them covers.
   *
   * @throws IllegalArgumentException when one is not a node
   * @throws IllegalStateException when the noise is joint: it is solved anew for the nodes that
   *     stay
   */
  public NoiseCovariance without(int... lost) {
    for (int node : lost) {
      checkNode(node);
    }
    if (kind == Kind.JOINT || kind == Kind.CENTRAL) {
      throw new IllegalStateException(
          "noise of kind " + kind + " depends on all nodes: make it anew for those that stay");
    }
    BitSet gone = (BitSet) absent.clone();
    for (int node : lost) {
      gone.set(node);
    }
    if (gone.cardinality() == nodes()) {
      throw new IllegalArgumentException("all nodes are lost: at least one must stay");
    }
    return new NoiseCovariance(
        kind,
        pairwise(edges.without(lost), variance, edgeVariance).covariance,
        edges.without(lost),
        variance,
        edgeVariance,
        gone);
  }

  private void checkNode(int node) {
    if (node < 0 || node >= nodes()) {
      throw new IllegalArgumentException(
          "node " + node + " does not exist: the nodes are 0 to " + (nodes() - 1));
    }
  }

  /**
   * max_i (R'^-1)_ii over the honest nodes i that take part, R' the covariance of the noise that
   * the adversary does not know; for coalitions of any nodes the largest over all of them.
   *
   * <p>A coalition knows its own noise and that of its edges, and takes them off: R' = sigma^2 I +
   * sigma_cor^2 L of the graph without it. An honest node all of whose neighbours collude has
   * sigma^2 only.
   *
   * @throws IllegalArgumentException when the noise does not protect against this adversary, nobody
   *     is left to protect, or there are more than 100,000 coalitions to try
   */
  public double worstPrecision(Adversary adversary) {
    return switch (adversary) {
      case Adversary.Eavesdropper outside -> worst(new int[0]);
      case Adversary.Colluding named -> {
        int[] members = named.nodes().stream().mapToInt(Integer::intValue).toArray();
        for (int node : members) {
          checkNode(node);
        }
        checkInside(adversary);
        yield worst(members);
      }
      case Adversary.CuriousNeighbours any -> {
        checkInside(adversary);
        yield worstCoalition(any.coalition());
      }
    };
  }

  private void checkInside(Adversary adversary) {
    if (kind == Kind.JOINT) {
      throw new IllegalArgumentException(
          "jointly drawn noise protects against outsiders only, and every node holds its secret: it"
              + " certifies nothing against "
              + adversary
              + ", take pairwise or independent noise");
    }
  }

  private double worstCoalition(int size) {
    int present = nodes() - absent.cardinality();
    if (size >= present) {
      throw new IllegalArgumentException(
          "a coalition of "
              + size
              + " of "
              + present
              + " nodes leaves nobody to protect: take a smaller one");
    }
    if (kind != Kind.PAIRWISE) {
      return worst(new int[0]);
    }
    double count = 1;
    for (int k = 0; k < size; k++) {
      count *= (present - k) / (k + 1.0);
    }
    if (count > MOST_COALITIONS) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "there are %.0f coalitions of %d among %d nodes, more than %d: name the colluding nodes",
              count,
              size,
              present,
              MOST_COALITIONS));
    }
    int[] nodes = new int[present];
    for (int i = 0, k = 0; i < nodes(); i++) {
      if (!absent.get(i)) {
        nodes[k++] = i;
      }
    }
    return worstOf(nodes, new int[size], 0, 0);
  }

  /** Over all ways to fill {@code chosen} from its place {@code filled} on. */
  private double worstOf(int[] nodes, int[] chosen, int filled, int from) {
    if (filled == chosen.length) {
      return worst(chosen);
    }
    double worst = 0;
    for (int k = from; k <= nodes.length - (chosen.length - filled); k++) {
      chosen[filled] = nodes[k];
      worst = Math.max(worst, worstOf(nodes, chosen, filled + 1, k + 1));
    }
    return worst;
  }

  private double worst(int[] coalition) {
    BitSet out = (BitSet) absent.clone();
    for (int node : coalition) {
      out.set(node);
    }
    if (out.cardinality() == nodes()) {
      throw new IllegalArgumentException(
          "nobody is left to protect: all " + nodes() + " nodes collude or are gone");
    }
    if (kind == Kind.CENTRAL) {
      // Noise 1/(n^2 b) on a mean that moves by Delta/n.
      return 1 / (variance * nodes());
    }
    if (kind == Kind.INDEPENDENT) {
      return 1 / variance;
    }
    double[][] unknown =
        kind == Kind.PAIRWISE && coalition.length > 0
            ? pairwise(edges.without(coalition), variance, edgeVariance).covariance
            : covariance;
    double[] precision = precisionDiagonal(unknown);
    double worst = 0;
    for (int i = 0; i < precision.length; i++) {
      if (!out.get(i)) {
        worst = Math.max(worst, precision[i]);
      }
    }
    return worst;
  }

  /** (R^-1)_ii for every node, as an eavesdropper sees it. */
  public double[] precisionDiagonal() {
    return precisionDiagonal(covariance);
  }

  private static double[] precisionDiagonal(double[][] covariance) {
    SymmetricMatrix spectrum = SymmetricMatrix.of(covariance);
    double[] inverse = new double[covariance.length];
    for (int k = 0; k < inverse.length; k++) {
      inverse[k] = 1 / spectrum.eigenvalues()[k];
    }
    return spectrum.diagonal(inverse);
  }

  /**
   * F with F F^T = R. Independent and central noise: sqrt(variance) I. Pairwise: column i is node
   * i's own, column n + e edge e's, with + sigma_cor at its lower end and - sigma_cor at its higher
   * one, edges in the order of their lower, then their higher end. Joint: the lower Cholesky
   * factor; where R is diagonal no noise is shared, and its columns are the nodes' own. Nodes that
   * are gone have empty rows.
   */
  public NoiseFactor factor() {
    return kind != Kind.JOINT ? sparse() : diagonal() ? own() : cholesky();
  }

  private boolean diagonal() {
    for (int i = 0; i < nodes(); i++) {
      for (int j = 0; j < nodes(); j++) {
        if (i != j && covariance[i][j] != 0) {
          return false;
        }
      }
    }
    return true;
  }

  private NoiseFactor own() {
    int n = nodes();
    double[] values = new double[n];
    Arrays.setAll(values, i -> Math.sqrt(covariance[i][i]));
    List<NoiseFactor.Secret> secrets = new ArrayList<>();
    for (int i = 0; i < n; i++) {
      secrets.add(new NoiseFactor.Secret.OfNode(i));
    }
    return new NoiseFactor(
        IntStream.rangeClosed(0, n).toArray(),
        IntStream.range(0, n).toArray(),
        values,
        List.copyOf(secrets));
  }

  private NoiseFactor cholesky() {
    int n = nodes();
    double[][] lower = new double[n][n];
    int[] offsets = new int[n + 1];
    int[] columns = new int[n * (n + 1) / 2];
    double[] values = new double[columns.length];
    for (int r = 0, k = 0; r < n; r++) {
      for (int c = 0; c <= r; c++, k++) {
        double sum = covariance[r][c];
        for (int j = 0; j < c; j++) {
          sum -= lower[r][j] * lower[c][j];
        }
        lower[r][c] = r == c ? Math.sqrt(sum) : sum / lower[c][c];
        columns[k] = c;
        values[k] = lower[r][c];
      }
      offsets[r + 1] = k;
    }
    List<NoiseFactor.Secret> secrets =
        java.util.Collections.nCopies(n, new NoiseFactor.Secret.OfGroup());
    return new NoiseFactor(offsets, columns, values, secrets);
  }

  private NoiseFactor sparse() {
    int n = nodes();
    List<NoiseFactor.Secret> secrets = new ArrayList<>();
    for (int i = 0; i < n; i++) {
      secrets.add(
          kind == Kind.CENTRAL
              ? new NoiseFactor.Secret.OfServer()
              : new NoiseFactor.Secret.OfNode(i));
    }
    int entries = n - absent.cardinality() + Math.toIntExact(2 * edges.edges());
    int[] offsets = new int[n + 1];
    int[] columns = new int[entries];
    double[] values = new double[entries];
    int[][] numbers = new int[n][];
    int edge = n;
    for (int i = 0; i < n; i++) {
      int[] neighbours = edges.neighbours(i);
      numbers[i] = new int[neighbours.length];
      for (int k = 0; k < neighbours.length; k++) {
        int j = neighbours[k];
        if (i < j) {
          secrets.add(new NoiseFactor.Secret.OfEdge(i, j));
          numbers[i][k] = edge++;
        } else {
          numbers[i][k] = numbers[j][Arrays.binarySearch(edges.neighbours(j), i)];
        }
      }
    }
    double own = Math.sqrt(variance);
    double shared = Math.sqrt(edgeVariance);
    int k = 0;
    for (int i = 0; i < n; i++) {
      if (!absent.get(i)) {
        columns[k] = i;
        values[k++] = own;
      }
      for (int e = 0; e < numbers[i].length; e++, k++) {
        columns[k] = numbers[i][e];
        values[k] = edges.neighbour(i, e) > i ? shared : -shared;
      }
      offsets[i + 1] = k;
    }
    return new NoiseFactor(offsets, columns, values, List.copyOf(secrets));
  }

  @Override
  public String toString() {
    return String.format(
        Locale.ROOT,
        "%s noise over %d nodes, condition %.3g, largest variance %.3g",
        kind.name().toLowerCase(Locale.ROOT),
        nodes(),
        conditioning.condition(),
        conditioning.maxVariance());
  }
}
