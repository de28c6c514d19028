package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.Graph;
import dev.kith.graph.Matching;
import dev.kith.graph.MixingMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;
import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.factory.LinearSolverFactory_DDRM;
import org.ejml.interfaces.linsol.LinearSolverDense;

/**
 * D-BFGS, decentralized quasi-Newton on the penalised problem of {@link NetworkNewton}, Psi(X) =
 * 1/2 tr X'(I - W) X + alpha sum_i f_i(x_i), from gradients alone. Node i keeps a matrix B_i of
 * size m_i d over its own variables and those of its m_i - 1 neighbours, N_i; with D = blockdiag_(j
 * in N_i)(I / m_j) and g = grad Psi,
 *
 * <pre>
 *   v   = D (x'_N - x_N),     r = g'_N - g_N - gamma v
 *   B  &larr; B + r r' / r'v - B v v' B / v'Bv + gamma I     where r'v is above 1e-12 |r| |v|
 *   e_i = -(B^-1 + Gamma D) g_N,   of which block j goes to neighbour j
 *   x_i &larr; x_i + epsilon t0 / (t0 + t) sum_(j in N_i) block i of e_j
 * </pre>
 *
 * <p>B v = r + gamma v after each update. Where r'v is below that, as objectives that are not
 * convex can make it, B stays as it is; nothing is damped (Powell), which would break this
 * equation. A node sends x, g and a block of e of d numbers each to each neighbour a round, and
 * solves a dense system of size m_i d on the host: for some hundreds of parameters. Numbers travel
 * as f64.
 *
 * <p>Needs exact gradients: all local data in every one.
 *
 * <p>Source: M. Eisen, A. Mokhtari, A. Ribeiro, "Decentralized Quasi-Newton Methods", IEEE Trans.
 * Signal Processing 65, 2017; reconstructed.
 */
public final class DecentralizedBfgs extends LockstepOptimizer {
  /** The pair is left out where r'v is at most this times |r| |v|. */
  private static final double LEAST_COSINE = 1e-12;

  private final MixingMatrix w;
  private final Graph graph;
  private final List<Matching> matchings;
  private final List<Graph> pairs;
  private final double penalty;
  private final double stepSize;
  private final double decay;
  private final double regularisation;
  private final double mixture;
  private final int d;
  private final DeviceMatrix x;
  private final DeviceMatrix next;
  private final DeviceMatrix gradient;
  private final DeviceMatrix saved;
  private Node[] nodes;

  /** What a node keeps: B over its neighbourhood, and x and g there in the round before. */
  private record Node(int[] members, double[] weights, DMatrixRMaj b, double[] x, double[] g) {
    int size() {
      return x.length;
    }
  }

  private DecentralizedBfgs(Builder builder) {
    super("dbfgs", builder.problem, builder.network);
    this.w = fixedSymmetric("D-BFGS", builder.network, MixingMatrix.Kind.DOUBLY_STOCHASTIC);
    this.graph = w.graph();
    this.matchings = Matching.of(w);
    this.pairs = matchings.stream().map(DecentralizedBfgs::graph).toList();
    this.penalty = builder.penalty;
    this.stepSize = builder.stepSize;
    this.decay = builder.decay;
    this.regularisation = builder.regularisation;
    this.mixture = builder.mixture;
    this.x = start(builder.initial);
    this.next = own(x.like());
    this.gradient = own(x.like());
    this.d = Math.toIntExact(x.cols());
    int first = network().firstNode();
    this.nodes =
        IntStream.range(first, first + network().localNodes())
            .mapToObj(this::node)
            .toArray(Node[]::new);
    long numbers = 0;
    for (Node node : nodes) {
      numbers += (long) node.size() * (node.size() + 2);
    }
    this.saved = own(x.like(1, numbers, DType.F64));
  }

  private static Graph graph(Matching matching) {
    int[] from =
        IntStream.range(0, matching.nodes()).filter(i -> matching.partner(i) > i).toArray();
    return Graph.undirected(
        matching.nodes(), from, Arrays.stream(from).map(matching::partner).toArray());
  }

  /** With B = I. */
  private Node node(int i) {
    int[] members =
        IntStream.concat(IntStream.of(i), Arrays.stream(graph.neighbours(i))).sorted().toArray();
    int size = members.length * d;
    double[] weights = new double[size];
    DMatrixRMaj b = new DMatrixRMaj(size, size);
    for (int k = 0; k < size; k++) {
      weights[k] = 1.0 / (graph.degree(members[k / d]) + 1);
      b.set(k, k, 1);
    }
    return new Node(members, weights, b, new double[size], new double[size]);
  }

  /**
   * @param problem the local objectives
   * @param network one fixed symmetric matrix, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    problem().gradient(x, gradient, round());
    requireFinite(gradient, "the gradient");
    double[] points = x.toDoubles();
    Map<Integer, double[]> allX = exchange(graph, points, "x");
    double[] total = penalisedGradient(points, gradient.toDoubles(), allX);
    Map<Integer, double[]> allG = exchange(graph, total, "gradients");
    Node[] updated = new Node[nodes.length];
    double[][] parts = new double[nodes.length][];
    for (int r = 0; r < nodes.length; r++) {
      updated[r] = updated(nodes[r], gathered(nodes[r], allX), gathered(nodes[r], allG));
      parts[r] = direction(updated[r]);
    }
    double[] direction = combined(updated, parts);
    double step = Double.isInfinite(decay) ? stepSize : stepSize * decay / (decay + round());
    double[] stepped = new double[points.length];
    Arrays.setAll(stepped, k -> points[k] + step * direction[k]);
    next.upload(stepped);
    requireFinite(next, "the step");
    x.copyFrom(next);
    nodes = updated;
  }

  /** x_i - sum_j w_ij x_j + alpha grad f_i(x_i) of the own nodes, summed in node order. */
  private double[] penalisedGradient(
      double[] points, double[] gradients, Map<Integer, double[]> all) {
    double[] total = new double[points.length];
    for (int r = 0; r < nodes.length; r++) {
      int i = network().firstNode() + r;
      for (int c = 0; c < d; c++) {
        total[r * d + c] = points[r * d + c] + penalty * gradients[r * d + c];
      }
      for (int e = w.rowBegin(i); e < w.rowBegin(i + 1); e++) {
        double[] other = all.get(w.column(e));
        for (int c = 0; c < d; c++) {
          total[r * d + c] -= w.value(e) * other[c];
        }
      }
    }
    return total;
  }

  private double[] gathered(Node node, Map<Integer, double[]> all) {
    double[] values = new double[node.size()];
    for (int k = 0; k < node.members.length; k++) {
      System.arraycopy(all.get(node.members[k]), 0, values, k * d, d);
    }
    return values;
  }

  /** B after the step that led here. */
  private Node updated(Node node, double[] xs, double[] gs) {
    DMatrixRMaj b = node.b.copy();
    if (round() > 0) {
      int size = node.size();
      double[] v = new double[size];
      double[] r = new double[size];
      for (int k = 0; k < size; k++) {
        v[k] = node.weights[k] * (xs[k] - node.x[k]);
        r[k] = gs[k] - node.g[k] - regularisation * v[k];
      }
      double curvature = dot(r, v);
      if (curvature > LEAST_COSINE * Math.sqrt(dot(r, r)) * Math.sqrt(dot(v, v))) {
        double[] image = new double[size];
        for (int k = 0; k < size; k++) {
          for (int c = 0; c < size; c++) {
            image[k] += b.get(k, c) * v[c];
          }
        }
        double before = dot(v, image);
        for (int k = 0; k < size; k++) {
          for (int c = 0; c < size; c++) {
            double change = r[k] * r[c] / curvature - image[k] * image[c] / before;
            b.set(k, c, b.get(k, c) + change + (k == c ? regularisation : 0));
          }
        }
      }
    }
    return new Node(node.members, node.weights, b, xs, gs);
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int k = 0; k < a.length; k++) {
      sum += a[k] * b[k];
    }
    return sum;
  }

  /** -(B^-1 + Gamma D) g. */
  private double[] direction(Node node) {
    int size = node.size();
    LinearSolverDense<DMatrixRMaj> solver = LinearSolverFactory_DDRM.chol(size);
    DMatrixRMaj solution = new DMatrixRMaj(size, 1);
    if (!solver.setA(node.b.copy())) {
      throw new ArithmeticException(
          "B of the neighbourhood of nodes "
              + Arrays.toString(node.members)
              + " is not positive definite in round "
              + round()
              + " by roundings: take a larger regularisation");
    }
    solver.solve(DMatrixRMaj.wrap(size, 1, node.g.clone()), solution);
    double[] e = new double[size];
    Arrays.setAll(e, k -> -solution.get(k) - mixture * node.weights[k] * node.g[k]);
    return e;
  }

  /** The sums over neighbourhoods of the blocks of each own node, in node order. */
  private double[] combined(Node[] local, double[][] parts) {
    List<Map<Integer, double[]>> received = new ArrayList<>();
    for (int m = 0; m < pairs.size(); m++) {
      double[] blocks = new double[local.length * d];
      for (int r = 0; r < local.length; r++) {
        int i = network().firstNode() + r;
        int partner = matchings.get(m).partner(i);
        if (partner != i) {
          System.arraycopy(parts[r], place(local[r], partner), blocks, r * d, d);
        }
      }
      received.add(exchange(pairs.get(m), blocks, "directions"));
    }
    double[] sums = new double[local.length * d];
    for (int r = 0; r < local.length; r++) {
      int i = network().firstNode() + r;
      for (int j : local[r].members) {
        for (int c = 0; c < d; c++) {
          sums[r * d + c] +=
              j == i ? parts[r][place(local[r], i) + c] : received.get(matching(i, j)).get(j)[c];
        }
      }
    }
    return sums;
  }

  private int place(Node node, int member) {
    return Arrays.binarySearch(node.members, member) * d;
  }

  private int matching(int i, int j) {
    return IntStream.range(0, matchings.size())
        .filter(m -> matchings.get(m).partner(i) == j)
        .findFirst()
        .orElseThrow();
  }

  /** A row of each own node to its neighbours; theirs and the own ones by node. */
  private Map<Integer, double[]> exchange(Graph along, double[] rows, String what) {
    List<byte[]> blocks = new ArrayList<>();
    for (int r = 0; r < rows.length / d; r++) {
      ByteBuffer block = ByteBuffer.allocate(8 * d).order(ByteOrder.LITTLE_ENDIAN);
      for (int c = 0; c < d; c++) {
        block.putDouble(rows[r * d + c]);
      }
      blocks.add(block.array());
    }
    Map<Integer, double[]> all = new LinkedHashMap<>();
    network()
        .exchange(along, blocks, what + " of D-BFGS in round " + round())
        .forEach(
            (node, bytes) -> {
              double[] row = new double[d];
              ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asDoubleBuffer().get(row);
              all.put(node, row);
            });
    for (int r = 0; r < rows.length / d; r++) {
      all.put(network().firstNode() + r, Arrays.copyOfRange(rows, r * d, (r + 1) * d));
    }
    return all;
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  /** B of an own node, m_i d x m_i d row-major, its members in ascending order; for tests. */
  double[] curvature(int row) {
    return nodes[row].b.data.clone();
  }

  @Override
  Map<String, DeviceMatrix> state() {
    double[] all = new double[Math.toIntExact(saved.cols())];
    int at = 0;
    for (Node node : nodes) {
      for (double[] part : List.of(node.b.data, node.x, node.g)) {
        System.arraycopy(part, 0, all, at, part.length);
        at += part.length;
      }
    }
    saved.upload(all);
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.put("neighbourhoods", saved);
    return state;
  }

  @Override
  void restored() {
    double[] all = saved.toDoubles();
    int at = 0;
    for (Node node : nodes) {
      for (double[] part : List.of(node.b.data, node.x, node.g)) {
        System.arraycopy(all, at, part, 0, part.length);
        at += part.length;
      }
    }
  }

  /** Settings of {@link DecentralizedBfgs}. */
  public static final class Builder {
    private final Problem problem;
    private final Network network;
    private final DeviceMatrix initial;
    private double penalty = 0.01;
    private double stepSize = 0.01;
    private double decay = Double.POSITIVE_INFINITY;
    private double regularisation = 0.1;
    private double mixture = 0.1;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      this.problem = Objects.requireNonNull(problem, "problem");
      this.network = Objects.requireNonNull(network, "network");
      this.initial = Objects.requireNonNull(initial, "initial");
    }

    private static double positive(String name, double value) {
      if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            name + " is " + value + " and must be positive and finite");
      }
      return value;
    }

    /**
     * alpha, the weight of the objectives beside that of consensus. Default: 0.01, as of {@link
     * NetworkNewton}.
     *
     * @throws IllegalArgumentException if it is not positive and finite
     */
    public Builder penalty(double alpha) {
      penalty = positive("alpha", alpha);
      return this;
    }

    /**
     * epsilon. Default: 0.01, of the source.
     *
     * @throws IllegalArgumentException if it is not positive and finite
     */
    public Builder stepSize(double epsilon) {
      stepSize = positive("the step size", epsilon);
      return this;
    }

    /**
     * t0: step sizes fall as t0 / (t0 + t). Default: they stay.
     *
     * @throws IllegalArgumentException if it is not positive and finite
     */
    public Builder decay(double rounds) {
      decay = positive("t0", rounds);
      return this;
    }

    /**
     * gamma, in the update of B. Default: 0.1, the upper end of what the source uses.
     *
     * @throws IllegalArgumentException if it is not positive and finite
     */
    public Builder regularisation(double gamma) {
      regularisation = positive("gamma", gamma);
      return this;
    }

    /**
     * Gamma, the share of the gradient in the direction. Default: 0.1, the upper end of what the
     * source uses.
     *
     * @throws IllegalArgumentException if it is not positive and finite
     */
    public Builder mixture(double share) {
      mixture = positive("Gamma", share);
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the weights
     *     change or are not symmetric and doubly stochastic
     */
    public DecentralizedBfgs build() {
      return new DecentralizedBfgs(this);
    }
  }
}
