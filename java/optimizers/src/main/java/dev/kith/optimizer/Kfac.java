package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Factorization;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Product;
import dev.kith.kernel.Reduction;
import dev.kith.problem.KroneckerFactors;
import dev.kith.problem.Problem;
import java.util.ArrayList;
import java.util.List;

/**
 * K-FAC: a natural gradient step with the Fisher matrix of every layer taken as a Kronecker
 * product. With the factors A, (p + 1) x (p + 1), and G, q x q, of {@link KroneckerFactors}, and W~
 * = [W b]:
 *
 * <pre>
 * A' = e A + (1 - e) A_t      G' = e G + (1 - e) G_t                    e = min(1 - 1/t, b)
 * D  = (G' + (sqrt(lambda) / pi) I)^-1  grad W~  (A' + pi sqrt(lambda) I)^-1
 * pi = sqrt((tr A' / (p + 1)) / (tr G' / q))
 * W~' = W~ - eta nu D         nu = min(1, sqrt(kappa / (eta^2 sum over layers of D . grad W~)))
 * </pre>
 *
 * <p>nu bounds the quadratic model of the KL divergence of a step (KL clipping). The inverses come
 * from eigenvalues and are taken anew at the first step and every f steps. Where a factor is zero,
 * as for a node without data, pi is 1. Columns that belong to no layer take a gradient step.
 *
 * <p>Used as the rule of local steps, for instance in {@link DecentralizedSgd}; every node has its
 * own factors. The problem has to be {@link KroneckerFactors}, with sides up to {@link
 * Factorization#MAX_SIDE}.
 *
 * <p>Source: J. Martens, R. Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate
 * Curvature", ICML 2015, sections 5 and 6.3; KL clipping: J. Ba, R. Grosse, J. Martens,
 * "Distributed Second-Order Optimization using Kronecker-Factored Approximations", ICLR 2017.
 *
 * <p>Immutable and thread-safe.
 */
public final class Kfac implements LocalRule {
  private final double stepSize;
  private final double damping;
  private final double decay;
  private final double bound;
  private final boolean sampled;
  private final int period;

  private Kfac(Builder builder) {
    stepSize = builder.stepSize;
    damping = builder.damping;
    decay = builder.decay;
    bound = builder.bound;
    sampled = builder.sampled;
    period = builder.period;
  }

  /** Starts with the defaults. */
  public static Builder builder() {
    return new Builder();
  }

  /** Step size 0.1, damping 0.01, kappa 0.001, inverses anew every 20 steps. */
  public static Kfac withDefaults() {
    return builder().build();
  }

  /** The step size eta. */
  public double stepSize() {
    return stepSize;
  }

  @Override
  public String name() {
    return "kfac";
  }

  @Override
  public State start(Problem problem, DeviceMatrix x) {
    if (!(problem instanceof KroneckerFactors factors)) {
      throw new IllegalArgumentException(
          "K-FAC needs a problem of layers that is KroneckerFactors, and "
              + problem.getClass().getSimpleName()
              + " is not: take a perceptron or softmax regression");
    }
    return new KfacState(factors, x);
  }

  private final class KfacState implements State {
    private final KroneckerFactors problem;
    private final List<DeviceMatrix> owned = new ArrayList<>();
    private final DeviceMatrix drawn;
    private final DeviceMatrix factors;
    private final DeviceMatrix inverses;
    private final DeviceMatrix direction;
    private final DeviceMatrix half;
    private final DeviceMatrix scale;
    private final DeviceMatrix dots;
    private long count;

    KfacState(KroneckerFactors problem, DeviceMatrix x) {
      this.problem = problem;
      long widest = 0;
      for (KroneckerFactors.Layer layer : problem.layers()) {
        long p = layer.weight().cols() + 1;
        long q = layer.weight().rows();
        widest = Math.max(widest, p * q);
        if (Math.max(p, q) > Factorization.MAX_SIDE) {
          throw new IllegalArgumentException(
              "layer %s has factors of %d and %d rows: K-FAC takes at most %d"
                  .formatted(layer.weight().name(), p, q, Factorization.MAX_SIDE));
        }
      }
      long rows = x.rows();
      factors = own(x.like(rows, problem.factorLayout().size(), x.dtype()));
      drawn = own(factors.like());
      inverses = own(factors.like());
      direction = own(x.like());
      half = own(x.like(rows, widest, x.dtype()));
      scale = own(x.like(1, rows, DType.F64));
      dots = own(x.like(1, rows, DType.F64));
    }

    private DeviceMatrix own(DeviceMatrix matrix) {
      owned.add(matrix);
      return matrix;
    }

    @Override
    public void apply(DeviceMatrix x, DeviceMatrix g, DeviceMatrix at, double factor, long draw) {
      problem.kroneckerFactors(at, drawn, sampled, draw);
      double kept = Math.min(1 - 1 / (count + 1.0), decay);
      Mixing.combine(Expression.outer(kept, factors).plusOuter(1 - kept, drawn), factors);
      List<KroneckerFactors.Layer> layers = problem.layers();
      if (count % period == 0) {
        for (int l = 0; l < layers.size(); l++) {
          invert(l);
        }
      }
      direction.copyFrom(g);
      for (int l = 0; l < layers.size(); l++) {
        precondition(layers.get(l), l, g);
      }
      double eta = factor * stepSize;
      Reduction.rows(Reduction.Kind.DOT, direction, g, dots);
      double[] products = dots.toDoubles();
      for (int r = 0; r < products.length; r++) {
        double model = eta * eta * products[r];
        products[r] = -eta * (model > bound ? Math.sqrt(bound / model) : 1);
      }
      scale.upload(products);
      Mixing.combine(Expression.outer(x).plusOuter(1, scale, direction), x);
      count++;
    }

    private Layout.Tensor inputs(int layer) {
      return problem.factorLayout().tensors().get(2 * layer);
    }

    private Layout.Tensor outputs(int layer) {
      return problem.factorLayout().tensors().get(2 * layer + 1);
    }

    private void invert(int layer) {
      Layout.Tensor a = inputs(layer);
      Layout.Tensor g = outputs(layer);
      try (Spectrum left = new Spectrum(Math.toIntExact(g.rows()), factors);
          Spectrum right = new Spectrum(Math.toIntExact(a.rows()), factors)) {
        left.decompose(factors, g.offset());
        right.decompose(factors, a.offset());
        double root = Math.sqrt(damping);
        left.write((row, l) -> 1 / (l + root / pi(left, right, row)), inverses, g.offset());
        right.write((row, l) -> 1 / (l + root * pi(left, right, row)), inverses, a.offset());
      }
    }

    private static double pi(Spectrum outputs, Spectrum inputs, int row) {
      double ratio = inputs.mean(row) / outputs.mean(row);
      return ratio > 0 && ratio < Double.POSITIVE_INFINITY ? Math.sqrt(ratio) : 1;
    }

    /** D = G^-1 [grad W, grad b] A^-1, written where W and b lie. */
    private void precondition(KroneckerFactors.Layer layer, int l, DeviceMatrix g) {
      long rows = g.rows();
      long p = layer.weight().cols();
      long q = layer.weight().rows();
      Batch left = square(outputs(l), q);
      Batch whole = Batch.of(half, 0, q, p + 1, p + 1, half.stride());
      Batch weights = Batch.of(half, 0, q, p, p + 1, half.stride());
      Batch biases = Batch.of(half, p, q, 1, p + 1, half.stride());
      Product.multiply(rows, 1, left, false, weight(layer, g), false, 0, weights);
      Product.multiply(rows, 1, left, false, bias(layer, g), true, 0, biases);
      long at = inputs(l).offset();
      Batch first = Batch.of(inverses, at, p + 1, p, p + 1, inverses.stride());
      Batch last = Batch.of(inverses, at + p * (p + 1), 1, p + 1, p + 1, inverses.stride());
      Product.multiply(rows, 1, whole, false, first, false, 0, weight(layer, direction));
      Product.multiply(rows, 1, last, false, whole, true, 0, bias(layer, direction));
    }

    private Batch square(Layout.Tensor tensor, long side) {
      return Batch.of(inverses, tensor.offset(), side, side, side, inverses.stride());
    }

    private static Batch weight(KroneckerFactors.Layer layer, DeviceMatrix m) {
      Layout.Tensor w = layer.weight();
      return Batch.of(m, w.offset(), w.rows(), w.cols(), w.cols(), m.stride());
    }

    private static Batch bias(KroneckerFactors.Layer layer, DeviceMatrix m) {
      Layout.Tensor b = layer.bias();
      return Batch.of(m, b.offset(), 1, b.size(), b.size(), m.stride());
    }

    @Override
    public List<DeviceMatrix> matrices() {
      return List.of(factors, inverses);
    }

    @Override
    public long count() {
      return count;
    }

    @Override
    public void count(long steps) {
      count = steps;
    }

    @Override
    public void close() {
      owned.forEach(DeviceMatrix::close);
    }
  }

  /** Settings of {@link Kfac}. Not thread-safe. */
  public static final class Builder {
    private double stepSize = 0.1;
    private double damping = 0.01;
    private double decay = 0.95;
    private double bound = 1e-3;
    private boolean sampled = true;
    private int period = 20;

    private Builder() {}

    /** The step size eta, 0 or larger. Default: 0.1, a common first try for scaled data. */
    public Builder stepSize(double eta) {
      stepSize = Ranges.notNegative("step size", eta);
      return this;
    }

    /** The damping lambda, above 0. Default: 0.01, a common first try. */
    public Builder damping(double lambda) {
      damping = Ranges.positive("damping", lambda);
      return this;
    }

    /** The largest decay b of the factors, from 0 to below 1. Default: 0.95, as in the paper. */
    public Builder decay(double b) {
      decay = Ranges.belowOne("decay", b);
      return this;
    }

    /** The bound kappa of KL clipping, above 0; infinity for none. Default: 0.001. */
    public Builder klBound(double kappa) {
      if (!(kappa > 0)) {
        throw new IllegalArgumentException(
            "a bound of " + kappa + " is not above 0: give infinity for none");
      }
      bound = kappa;
      return this;
    }

    /**
     * Whether the factors of outputs come from labels that the model draws, the Fisher matrix, and
     * not from those of the data. Default: true.
     */
    public Builder sampledLabels(boolean draw) {
      sampled = draw;
      return this;
    }

    /** Steps f from one computation of the inverses to the next, at least 1. Default: 20. */
    public Builder inversePeriod(int steps) {
      period = Ranges.atLeastOne("inverse period", steps);
      return this;
    }

    /** The rule. */
    public Kfac build() {
      return new Kfac(this);
    }
  }
}
