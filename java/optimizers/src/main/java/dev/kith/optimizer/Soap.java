package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.Batch;
import dev.kith.kernel.CurvatureRule;
import dev.kith.kernel.CurvatureStep;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Factorization;
import dev.kith.kernel.MatrixRun;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Product;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import dev.kith.problem.Problem;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * SOAP: Adam in the eigenbasis of Shampoo's statistics. For every tensor of two dimensions or more
 * as a matrix, p x q, with bases Q_L and Q_R, and b_t = 1 - (1 - b) / (1 - b^t):
 *
 * <pre>
 * G~ = Q_L' G Q_R
 * M' = b1_t M + (1 - b1_t) G              M~ = Q_L' M' Q_R
 * V' = b2_t V + (1 - b2_t) G~ * G~        element by element
 * X' = (1 - eta lambda) X - eta Q_L (M~ / (sqrt(V') + epsilon)) Q_R'
 * L' = c L + (1 - c) G G'                 R' = c R + (1 - c) G' G
 * </pre>
 *
 * <p>The first step moves nothing: L = G G', R = G' G, and the bases are their eigenvectors. Every
 * f steps a basis takes one step of power iteration: T = L Q, columns sorted by the diagonal of Q'
 * T, the largest first, V with them, and Q the orthonormal factor of T. All other tensors, and
 * sides that are too long for a basis, keep the coordinates they have; a tensor of two long sides
 * and vectors take Adam.
 *
 * <p>A step is 6 products of p x q with a square, 2 symmetric ones, and every f steps 2 products of
 * squares and a factorization on each side.
 *
 * <p>Used as the rule of local steps, for instance in {@link DecentralizedSgd}; every node has its
 * own statistics and bases.
 *
 * <p>Source: N. Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024, with the
 * paper's defaults. epsilon is added to the root, as in Adam and in the code that the authors
 * released with the paper, which adds it before the correction of V, so that theirs counts as
 * epsilon / sqrt(1 - b2^t); a variant of that code takes the larger of root and epsilon. The three
 * differ where a rotated gradient is as small as epsilon alone.
 *
 * <p>Immutable and thread-safe.
 */
public final class Soap implements LocalRule {
  private final double stepSize;
  private final double beta1;
  private final double beta2;
  private final double decay;
  private final double epsilon;
  private final double weightDecay;
  private final int period;
  private final int longest;

  private Soap(Builder builder) {
    stepSize = builder.stepSize;
    beta1 = builder.beta1;
    beta2 = builder.beta2;
    decay = builder.decay;
    epsilon = builder.epsilon;
    weightDecay = builder.weightDecay;
    period = builder.period;
    longest = builder.longest;
  }

  /** Starts with the defaults. */
  public static Builder builder() {
    return new Builder();
  }

  /** SOAP as in the paper: step size 0.003, a refresh every 10 steps. */
  public static Soap withDefaults() {
    return builder().build();
  }

  /** The step size eta. */
  public double stepSize() {
    return stepSize;
  }

  @Override
  public String name() {
    return "soap, longest side " + longest;
  }

  private boolean takes(Layout.Tensor tensor) {
    return tensor.shape().length > 1 && Math.min(tensor.rows(), tensor.cols()) <= longest;
  }

  @Override
  public State start(Problem problem, DeviceMatrix x) {
    return new SoapState(new TensorSplit(problem.layout(), this::takes), problem.layout(), x);
  }

  /** Equal matrices of the parameters, and their squares among the statistics and the bases. */
  private record Group(MatrixRun matrices, Optional<MatrixRun> left, Optional<MatrixRun> right) {}

  private final class SoapState implements State {
    private final List<Group> groups = new ArrayList<>();
    private final List<DeviceMatrix> owned = new ArrayList<>();
    private final DeviceMatrix momentum;
    private final DeviceMatrix statistics;
    private final DeviceMatrix bases;
    private final DeviceMatrix rotatedMomentum;
    private final DeviceMatrix rotatedGradient;
    private final DeviceMatrix direction;
    private final DeviceMatrix products;
    private final DeviceMatrix values;
    private final CurvatureStep adam;
    private final RestSteps others;
    private long count;

    SoapState(TensorSplit split, Layout layout, DeviceMatrix x) {
      long squares = 0;
      long widest = 0;
      for (MatrixRun run :
          MatrixRun.of(layout.tensors().stream().filter(Soap.this::takes).toList())) {
        Optional<MatrixRun> left = square(run, run.rows(), squares);
        squares = left.map(MatrixRun::end).orElse(squares);
        Optional<MatrixRun> right = square(run, run.cols(), squares);
        squares = right.map(MatrixRun::end).orElse(squares);
        groups.add(new Group(run, left, right));
        for (Optional<MatrixRun> side : List.of(left, right)) {
          widest = Math.max(widest, side.map(m -> m.count() * m.rows()).orElse(0L));
        }
      }
      long rows = x.rows();
      momentum = own(x.like());
      statistics = own(x.like(rows, squares, x.dtype()));
      bases = own(statistics.like());
      products = own(statistics.like());
      values = own(x.like(rows, widest, x.dtype()));
      rotatedMomentum = own(x.like());
      rotatedGradient = own(x.like());
      direction = own(x.like());
      adam =
          new CurvatureStep(
              new CurvatureRule.AdaHessian(1, 0, beta2, epsilon), StepOptions.none(), x);
      others =
          new RestSteps(
              split.rest(), new StepRule.Adam(stepSize, beta1, beta2, epsilon), weightDecay, x);
      bases.upload(identities(Math.toIntExact(rows), Math.toIntExact(squares)));
    }

    private DeviceMatrix own(DeviceMatrix matrix) {
      owned.add(matrix);
      return matrix;
    }

    private Optional<MatrixRun> square(MatrixRun run, long side, long column) {
      return side <= longest ? Optional.of(run.with(column, side, side)) : Optional.empty();
    }

    private List<MatrixRun> squares() {
      return groups.stream()
          .flatMap(group -> java.util.stream.Stream.of(group.left(), group.right()))
          .flatMap(Optional::stream)
          .toList();
    }

    /** A node that has seen no gradient stands in the coordinates it has. */
    private double[] identities(int rows, int width) {
      double[] all = new double[rows * width];
      for (MatrixRun run : squares()) {
        int side = Math.toIntExact(run.rows());
        for (int r = 0; r < rows; r++) {
          for (long k = 0; k < run.count(); k++) {
            int at = Math.toIntExact(r * (long) width + run.offset() + k * side * side);
            for (int i = 0; i < side; i++) {
              all[at + i * (side + 1)] = 1;
            }
          }
        }
      }
      return all;
    }

    @Override
    public void apply(DeviceMatrix x, DeviceMatrix g, DeviceMatrix at, double factor, long draw) {
      if (count == 0) {
        accumulate(g, 0);
        groups.forEach(this::eigenvectors);
      } else {
        move(x, g, factor);
        others.apply(x, g, factor);
        accumulate(g, decay);
        if (count % period == 0) {
          refresh();
        }
      }
      count++;
    }

    private void move(DeviceMatrix x, DeviceMatrix g, double factor) {
      double b = 1 - (1 - beta1) / (1 - Math.pow(beta1, (double) count));
      Mixing.combine(Expression.outer(b, momentum).plusOuter(1 - b, g), momentum);
      for (Group group : groups) {
        rotate(group, g, rotatedGradient);
        rotate(group, momentum, rotatedMomentum);
      }
      direction.fill(0);
      adam.apply(direction, rotatedMomentum, rotatedGradient);
      double eta = factor * stepSize;
      for (Group group : groups) {
        rotateBack(group, eta, 1 - eta * weightDecay, x);
      }
    }

    /** to = Q_L' from Q_R, by way of the direction's memory. */
    private void rotate(Group group, DeviceMatrix from, DeviceMatrix to) {
      MatrixRun run = group.matrices();
      long batches = run.batches(from);
      for (long k = 0; k < run.calls(from); k++) {
        Batch out = run.batch(to, k);
        Batch in = run.batch(from, k);
        if (group.left().isPresent()) {
          Batch left = group.left().get().batch(bases, k);
          Batch half = group.right().isPresent() ? run.batch(direction, k) : out;
          Product.multiply(batches, 1, left, true, in, false, 0, half);
          in = half;
        }
        if (group.right().isPresent()) {
          Batch right = group.right().get().batch(bases, k);
          Product.multiply(batches, 1, in, false, right, false, 0, out);
        }
      }
    }

    /** x = scale x + eta Q_L direction Q_R', by way of the rotated gradient's memory. */
    private void rotateBack(Group group, double eta, double scale, DeviceMatrix x) {
      MatrixRun run = group.matrices();
      long batches = run.batches(x);
      for (long k = 0; k < run.calls(x); k++) {
        Batch in = run.batch(direction, k);
        Batch out = run.batch(x, k);
        if (group.left().isPresent() && group.right().isPresent()) {
          Batch half = run.batch(rotatedGradient, k);
          Product.multiply(
              batches, 1, group.left().get().batch(bases, k), false, in, false, 0, half);
          in = half;
        }
        if (group.right().isPresent()) {
          Batch right = group.right().get().batch(bases, k);
          Product.multiply(batches, eta, in, false, right, true, scale, out);
        } else {
          Batch left = group.left().orElseThrow().batch(bases, k);
          Product.multiply(batches, eta, left, false, in, false, scale, out);
        }
      }
    }

    /** L = c L + (1 - c) G G' and R = c R + (1 - c) G' G. */
    private void accumulate(DeviceMatrix g, double c) {
      for (Group group : groups) {
        MatrixRun run = group.matrices();
        for (long k = 0; k < run.calls(g); k++) {
          Batch in = run.batch(g, k);
          long call = k;
          group.left().ifPresent(left -> accumulate(run.batches(g), in, false, c, left, call));
          group.right().ifPresent(right -> accumulate(run.batches(g), in, true, c, right, call));
        }
      }
    }

    private void accumulate(
        long batches, Batch g, boolean transposed, double c, MatrixRun square, long call) {
      Batch to = square.batch(statistics, call);
      Product.multiplySymmetric(
          batches, 1 - c, g, transposed, c, c == 0 ? Optional.empty() : Optional.of(to), 0, to);
    }

    private void eigenvectors(Group group) {
      for (Optional<MatrixRun> side : List.of(group.left(), group.right())) {
        if (side.isEmpty()) {
          continue;
        }
        MatrixRun run = side.get();
        MatrixRun row = run.with(0, 1, run.rows());
        for (long k = 0; k < run.calls(bases); k++) {
          Factorization.eigen(
              run.batches(bases),
              run.batch(statistics, k),
              row.batch(values, k),
              Optional.of(run.batch(bases, k)),
              Optional.empty());
        }
      }
    }

    /** One step of power iteration on every basis. */
    private void refresh() {
      for (MatrixRun run : squares()) {
        for (long k = 0; k < run.calls(bases); k++) {
          Product.multiply(
              run.batches(bases),
              1,
              run.batch(statistics, k),
              false,
              run.batch(bases, k),
              false,
              0,
              run.batch(products, k));
        }
      }
      sort();
      for (MatrixRun run : squares()) {
        for (long k = 0; k < run.calls(bases); k++) {
          Factorization.qr(
              run.batches(bases), run.batch(products, k), run.batch(bases, k), Optional.empty());
        }
      }
    }

    /** The columns of the products in the order of their eigenvalues, and V with them. */
    private void sort() {
      DeviceMatrix second = adam.state().get(1);
      double[] q = bases.toDoubles();
      double[] t = products.toDoubles();
      double[] v = second.toDoubles();
      boolean changed = false;
      int rows = Math.toIntExact(bases.rows());
      for (int r = 0; r < rows; r++) {
        for (Group group : groups) {
          MatrixRun run = group.matrices();
          int p = Math.toIntExact(run.rows());
          int n = Math.toIntExact(run.cols());
          for (int k = 0; k < run.count(); k++) {
            int at = Math.toIntExact(r * second.cols() + run.offset()) + k * p * n;
            if (group.left().isPresent()) {
              int[] order = order(q, t, at(group.left().get(), r, k), p);
              changed |= apply(order, t, at(group.left().get(), r, k), p, p, 1, p);
              apply(order, v, at, p, n, n, 1);
            }
            if (group.right().isPresent()) {
              int[] order = order(q, t, at(group.right().get(), r, k), n);
              changed |= apply(order, t, at(group.right().get(), r, k), n, n, 1, n);
              apply(order, v, at, n, p, 1, n);
            }
          }
        }
      }
      if (changed) {
        products.upload(t);
        second.upload(v);
      }
    }

    private int at(MatrixRun square, int row, int k) {
      return Math.toIntExact(
          row * bases.cols() + square.offset() + k * square.rows() * square.cols());
    }

    /** Columns by the diagonal of Q' T, the largest first, equal ones as they stood. */
    private static int[] order(double[] q, double[] t, int at, int side) {
      double[] diagonal = new double[side];
      for (int i = 0; i < side; i++) {
        for (int j = 0; j < side; j++) {
          int k = at + i * side + j;
          diagonal[j] = Math.fma(q[k], t[k], diagonal[j]);
        }
      }
      return IntStream.range(0, side)
          .boxed()
          .sorted((a, b) -> Double.compare(diagonal[b], diagonal[a]))
          .mapToInt(Integer::intValue)
          .toArray();
    }

    /**
     * Moves line order[j] to j: `side` lines, `step` apart, of `length` numbers, `stride` apart.
     */
    private static boolean apply(
        int[] order, double[] m, int at, int side, int length, int step, int stride) {
      if (IntStream.range(0, side).allMatch(j -> order[j] == j)) {
        return false;
      }
      double[] line = new double[side];
      for (int i = 0; i < length; i++) {
        int begin = at + i * stride;
        Arrays.setAll(line, j -> m[begin + order[j] * step]);
        for (int j = 0; j < side; j++) {
          m[begin + j * step] = line[j];
        }
      }
      return true;
    }

    @Override
    public List<DeviceMatrix> matrices() {
      List<DeviceMatrix> all =
          new ArrayList<>(List.of(momentum, statistics, bases, adam.state().get(1)));
      all.addAll(others.matrices());
      return all;
    }

    @Override
    public long count() {
      return count;
    }

    @Override
    public void count(long steps) {
      count = steps;
      long moved = Math.max(0, steps - 1);
      adam.count(moved);
      others.count(moved);
    }

    @Override
    public void close() {
      owned.forEach(DeviceMatrix::close);
      adam.close();
      others.close();
    }
  }

  /** Settings of {@link Soap}. Not thread-safe. */
  public static final class Builder {
    private double stepSize = 3e-3;
    private double beta1 = 0.95;
    private double beta2 = 0.95;
    private double decay = 0.95;
    private double epsilon = 1e-8;
    private double weightDecay = 0.01;
    private int period = 10;
    private int longest = Factorization.MAX_SIDE;

    private Builder() {}

    /** The step size eta, 0 or larger. Default: 0.003. */
    public Builder stepSize(double eta) {
      stepSize = Ranges.notNegative("step size", eta);
      return this;
    }

    /** The decays b1 and b2 of both moments, from 0 to below 1. Default: 0.95 and 0.95. */
    public Builder decays(double first, double second) {
      beta1 = Ranges.belowOne("decay", first);
      beta2 = Ranges.belowOne("decay", second);
      return this;
    }

    /** The decay c of the statistics, from 0 to below 1. Default: 0.95. */
    public Builder statisticsDecay(double c) {
      decay = Ranges.belowOne("decay", c);
      return this;
    }

    /** What is added to the root, above 0. Default: 1e-8. */
    public Builder epsilon(double added) {
      epsilon = Ranges.positive("epsilon", added);
      return this;
    }

    /** The decoupled weight decay lambda of all tensors, 0 or larger. Default: 0.01. */
    public Builder weightDecay(double lambda) {
      weightDecay = Ranges.notNegative("weight decay", lambda);
      return this;
    }

    /** Steps f from one refresh of the bases to the next, at least 1. Default: 10. */
    public Builder refreshPeriod(int steps) {
      period = Ranges.atLeastOne("refresh period", steps);
      return this;
    }

    /**
     * The longest side that gets a basis, 1 to {@link Factorization#MAX_SIDE}. Default: that, where
     * the authors have 10,000.
     */
    public Builder longestSide(int side) {
      longest = Ranges.side(side);
      return this;
    }

    /** The rule. */
    public Soap build() {
      return new Soap(this);
    }
  }
}
