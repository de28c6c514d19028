package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Factorization;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Product;
import dev.kith.kernel.StepRule;
import dev.kith.problem.Problem;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * Shampoo: one matrix of second moments for each mode of a tensor. For a matrix, p x q,
 *
 * <pre>
 * L' = L + G G'      R' = R + G' G      X' = (1 - eta lambda) X - eta L'^(-1/4) G R'^(-1/4)
 * </pre>
 *
 * <p>and for a tensor of k dimensions as many matrices, each of its gradient unfolded along one of
 * them, and the exponent -1/(2k): for a vector that is full-matrix AdaGrad. With a decay b the
 * statistics are b L + (1 - b) G G'. The roots come from eigenvalues, V diag(max(l, 0) + epsilon
 * tr(L) / p)^(-1/(2k)) V', and are taken anew in each of the first f steps, whose few gradients
 * lack directions, and then every f steps; a mode that had seen zeros alone by then has root 0, and
 * its tensor stays until the next time. Sides that are too long have no matrix; tensors that have
 * no other take AdaGrad.
 *
 * <p>Used as the rule of local steps, for instance in {@link DecentralizedSgd}; every node has its
 * own statistics.
 *
 * <p>Source: V. Gupta, T. Koren, Y. Singer, "Shampoo: Preconditioned Stochastic Tensor
 * Optimization", ICML 2018, algorithms 1 and 2.
 *
 * <p>Immutable and thread-safe.
 */
public final class Shampoo implements LocalRule {
  private final double stepSize;
  private final double epsilon;
  private final double weightDecay;
  private final double decay;
  private final int period;
  private final int longest;

  private Shampoo(Builder builder) {
    stepSize = builder.stepSize;
    epsilon = builder.epsilon;
    weightDecay = builder.weightDecay;
    decay = builder.decay;
    period = builder.period;
    longest = builder.longest;
  }

  /** Starts with the defaults. */
  public static Builder builder() {
    return new Builder();
  }

  /** Sums without decay, step size 0.1, roots anew in every step. */
  public static Shampoo withDefaults() {
    return builder().build();
  }

  /** The step size eta. */
  public double stepSize() {
    return stepSize;
  }

  @Override
  public String name() {
    return "shampoo, longest side " + longest;
  }

  private boolean takes(Layout.Tensor tensor) {
    return Arrays.stream(tensor.shape()).anyMatch(side -> side <= longest);
  }

  @Override
  public State start(Problem problem, DeviceMatrix x) {
    return new ShampooState(problem.layout(), x);
  }

  /**
   * A mode of a tensor, which is `slices` matrices of side x width one after another, with its
   * square in the rows of statistics and roots. The last mode has width 1: it is one matrix of
   * slices x side.
   */
  private record Mode(Layout.Tensor tensor, long slices, long side, long width, long square) {
    boolean last() {
      return width == 1;
    }

    long calls() {
      return last() ? 1 : slices;
    }

    Batch of(DeviceMatrix m, long call) {
      long rows = last() ? slices : side;
      long cols = last() ? side : width;
      return Batch.of(m, tensor.offset() + call * side * width, rows, cols, cols, m.stride());
    }

    Batch squareOf(DeviceMatrix m) {
      return Batch.of(m, square, side, side, side, m.stride());
    }
  }

  private final class ShampooState implements State {
    private final List<List<Mode>> tensors = new ArrayList<>();
    private final List<DeviceMatrix> owned = new ArrayList<>();
    private final DeviceMatrix statistics;
    private final DeviceMatrix roots;
    private final DeviceMatrix one;
    private final DeviceMatrix other;
    private final RestSteps others;
    private long count;

    ShampooState(Layout layout, DeviceMatrix x) {
      long squares = 0;
      for (Layout.Tensor tensor : layout.tensors()) {
        if (tensor.size() == 0 || !takes(tensor)) {
          continue;
        }
        List<Mode> modes = new ArrayList<>();
        long slices = 1;
        for (long side : tensor.shape()) {
          if (side <= longest) {
            long width = tensor.size() / slices / side;
            modes.add(new Mode(tensor, slices, side, width, squares));
            squares += side * side;
          }
          slices *= side;
        }
        tensors.add(modes);
      }
      statistics = own(x.like(x.rows(), squares, x.dtype()));
      roots = own(statistics.like());
      one = own(x.like());
      other = own(x.like());
      TensorSplit split = new TensorSplit(layout, Shampoo.this::takes);
      others = new RestSteps(split.rest(), new StepRule.Adagrad(stepSize, 1e-10), weightDecay, x);
    }

    private DeviceMatrix own(DeviceMatrix matrix) {
      owned.add(matrix);
      return matrix;
    }

    @Override
    public void apply(DeviceMatrix x, DeviceMatrix g, DeviceMatrix at, double factor, long draw) {
      double eta = factor * stepSize;
      for (List<Mode> modes : tensors) {
        modes.forEach(mode -> accumulate(mode, g));
        if (count < period || count % period == 0) {
          modes.forEach(mode -> root(mode, modes.getFirst().tensor().shape().length));
        }
        DeviceMatrix direction = g;
        for (Mode mode : modes) {
          DeviceMatrix next = direction == one ? other : one;
          multiply(mode, direction, next);
          direction = next;
        }
        Layout.Tensor tensor = modes.getFirst().tensor();
        long end = tensor.offset() + tensor.size();
        try (DeviceMatrix parameters = x.columns(tensor.offset(), end);
            DeviceMatrix step = direction.columns(tensor.offset(), end)) {
          Mixing.combine(
              Expression.outer(1 - eta * weightDecay, parameters).plusOuter(-eta, step),
              parameters);
        }
      }
      others.apply(x, g, factor);
      count++;
    }

    private void accumulate(Mode mode, DeviceMatrix g) {
      Batch square = mode.squareOf(statistics);
      double weight = decay == 1 ? 1 : 1 - decay;
      for (long k = 0; k < mode.calls(); k++) {
        Product.multiplySymmetric(
            g.rows(),
            weight,
            mode.of(g, k),
            mode.last(),
            k == 0 ? decay : 1,
            Optional.of(square),
            0,
            square);
      }
    }

    private void multiply(Mode mode, DeviceMatrix from, DeviceMatrix to) {
      Batch root = mode.squareOf(roots);
      for (long k = 0; k < mode.calls(); k++) {
        if (mode.last()) {
          Product.multiply(from.rows(), 1, mode.of(from, k), false, root, false, 0, mode.of(to, k));
        } else {
          Product.multiply(from.rows(), 1, root, false, mode.of(from, k), false, 0, mode.of(to, k));
        }
      }
    }

    /** (S + epsilon tr(S) / p)^(-1/(2k)); 0 for zeros. */
    private void root(Mode mode, int order) {
      try (Spectrum spectrum = new Spectrum(Math.toIntExact(mode.side()), statistics)) {
        spectrum.decompose(statistics, mode.square());
        spectrum.write(
            (row, l) -> {
              double mean = spectrum.mean(row);
              return mean > 0 ? Math.pow(l + epsilon * mean, -0.5 / order) : 0;
            },
            roots,
            mode.square());
      }
    }

    @Override
    public List<DeviceMatrix> matrices() {
      List<DeviceMatrix> all = new ArrayList<>(List.of(statistics, roots));
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
      others.count(steps);
    }

    @Override
    public void close() {
      owned.forEach(DeviceMatrix::close);
      others.close();
    }
  }

  /** Settings of {@link Shampoo}. Not thread-safe. */
  public static final class Builder {
    private double stepSize = 0.1;
    private double epsilon = 1e-6;
    private double weightDecay;
    private double decay = 1;
    private int period = 1;
    private int longest = Factorization.MAX_SIDE;

    private Builder() {}

    /** The step size eta, 0 or larger. Default: 0.1, a common first try for scaled data. */
    public Builder stepSize(double eta) {
      stepSize = Ranges.notNegative("step size", eta);
      return this;
    }

    /** What is added to eigenvalues, as a share of their mean, above 0. Default: 1e-6. */
    public Builder epsilon(double share) {
      epsilon = Ranges.positive("epsilon", share);
      return this;
    }

    /** The decoupled weight decay lambda of all tensors, 0 or larger. Default: 0. */
    public Builder weightDecay(double lambda) {
      weightDecay = Ranges.notNegative("weight decay", lambda);
      return this;
    }

    /**
     * Lets the statistics decay by b, from 0 to below 1. Default: they are sums, as in the paper.
     */
    public Builder statisticsDecay(double b) {
      decay = Ranges.belowOne("decay", b);
      return this;
    }

    /**
     * Steps f from one computation of the roots to the next, at least 1. Default: 1, as in the
     * paper's algorithms; 10 to 100 are usual where the roots are what a step costs. A longer
     * period wants a larger {@link #epsilon}: a direction that appears between two computations is
     * stretched by up to epsilon^(-1/2).
     */
    public Builder rootPeriod(int steps) {
      period = Ranges.atLeastOne("root period", steps);
      return this;
    }

    /** The longest side that gets a matrix, 1 to {@link Factorization#MAX_SIDE}. Default: that. */
    public Builder longestSide(int side) {
      longest = Ranges.side(side);
      return this;
    }

    /** The rule. */
    public Shampoo build() {
      return new Shampoo(this);
    }
  }
}
