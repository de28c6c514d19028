package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.NewtonSchulz;
import dev.kith.kernel.StepRule;
import dev.kith.problem.Problem;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Predicate;

/**
 * Muon: momentum, orthogonalised. For every tensor of the hidden layers as a matrix, p x q,
 *
 * <pre>
 * M' = b M + (1 - b) G
 * U  = NS(b M' + (1 - b) G) sqrt(max(1, p / q))       (Nesterov; else NS(M'))
 * X' = (1 - eta lambda) X - eta U
 * </pre>
 *
 * <p>where NS is {@link NewtonSchulz}: all directions of the momentum get steps of about the same
 * length. Tensors of more than two dimensions are p x (the rest). All other tensors take another
 * rule, AdamW unless told otherwise, with the same lambda.
 *
 * <p>Used as the rule of local steps, for instance in {@link DecentralizedSgd}: every node
 * orthogonalises its own momentum and the results are mixed. {@link DecentralizedMuon} mixes the
 * momentum first.
 *
 * <p>Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
 * with the defaults of its released code.
 *
 * <p>Immutable and thread-safe.
 */
public final class Muon implements LocalRule {
  private final double stepSize;
  private final double momentum;
  private final boolean nesterov;
  private final double weightDecay;
  private final NewtonSchulz.Polynomial polynomial;
  private final int iterations;
  private final StepRule rest;
  private final Optional<Predicate<Layout.Tensor>> matrices;

  private Muon(Builder builder) {
    stepSize = builder.stepSize;
    momentum = builder.momentum;
    nesterov = builder.nesterov;
    weightDecay = builder.weightDecay;
    polynomial = builder.polynomial;
    iterations = builder.iterations;
    rest = builder.rest;
    matrices = builder.matrices;
  }

  /** Starts with the defaults. */
  public static Builder builder() {
    return new Builder();
  }

  /** Muon as released: step size 0.02, momentum 0.95, five iterations. */
  public static Muon withDefaults() {
    return builder().build();
  }

  @Override
  public String name() {
    return "muon";
  }

  /** The step size eta of the matrices. */
  public double stepSize() {
    return stepSize;
  }

  double momentum() {
    return momentum;
  }

  boolean nesterov() {
    return nesterov;
  }

  TensorSplit split(Layout layout) {
    TensorSplit split =
        new TensorSplit(layout, matrices.orElseGet(() -> TensorSplit.hidden(layout)));
    if (split.parts().isEmpty()) {
      throw new IllegalArgumentException(
          "Muon takes none of the tensors " + layout + ": it needs one of two dimensions or more");
    }
    return split;
  }

  RestSteps restSteps(TensorSplit split, DeviceMatrix x) {
    return new RestSteps(split.rest(), rest, weightDecay, x);
  }

  NewtonSchulz newtonSchulz(TensorSplit split, DeviceMatrix packed) {
    return new NewtonSchulz(polynomial, iterations, split.packed().tensors(), packed);
  }

  /** X' from the orthogonalised momentum, packed. */
  void move(TensorSplit split, DeviceMatrix x, DeviceMatrix direction, double factor) {
    double eta = factor * stepSize;
    for (TensorSplit.Part part : split.parts()) {
      double p = part.packed().rows();
      double q = part.packed().cols();
      try (DeviceMatrix parameters = part.in(x);
          DeviceMatrix u = part.inPacked(direction)) {
        Mixing.combine(
            Expression.outer(1 - eta * weightDecay, parameters)
                .plusOuter(-eta * Math.sqrt(Math.max(1, p / q)), u),
            parameters);
      }
    }
  }

  @Override
  public State start(Problem problem, DeviceMatrix x) {
    return new MuonState(split(problem.layout()), x);
  }

  private final class MuonState implements State {
    private final TensorSplit split;
    private final DeviceMatrix momentumRows;
    private final DeviceMatrix direction;
    private final NewtonSchulz newtonSchulz;
    private final RestSteps others;
    private long count;

    MuonState(TensorSplit split, DeviceMatrix x) {
      this.split = split;
      momentumRows = x.like(x.rows(), split.packed().size(), x.dtype());
      direction = momentumRows.like();
      newtonSchulz = newtonSchulz(split, momentumRows);
      others = restSteps(split, x);
    }

    @Override
    public void apply(DeviceMatrix x, DeviceMatrix g, DeviceMatrix at, double factor, long draw) {
      split.blend(momentum, momentumRows, 1 - momentum, g);
      direction.copyFrom(momentumRows);
      if (nesterov) {
        split.blend(momentum, direction, 1 - momentum, g);
      }
      newtonSchulz.apply(direction, direction);
      move(split, x, direction, factor);
      others.apply(x, g, factor);
      count++;
    }

    @Override
    public List<DeviceMatrix> matrices() {
      List<DeviceMatrix> all = new ArrayList<>(others.matrices());
      all.addFirst(momentumRows);
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
      momentumRows.close();
      direction.close();
      newtonSchulz.close();
      others.close();
    }
  }

  /** Settings of {@link Muon}. Not thread-safe. */
  public static final class Builder {
    private double stepSize = 0.02;
    private double momentum = 0.95;
    private boolean nesterov = true;
    private double weightDecay;
    private NewtonSchulz.Polynomial polynomial = NewtonSchulz.Polynomial.MUON;
    private int iterations = 5;
    private StepRule rest = new StepRule.Adam(3e-4, 0.9, 0.95, 1e-10);
    private Optional<Predicate<Layout.Tensor>> matrices = Optional.empty();

    private Builder() {}

    /** The step size eta of the matrices, 0 or larger. Default: 0.02. */
    public Builder stepSize(double eta) {
      stepSize = Ranges.notNegative("step size", eta);
      return this;
    }

    /** The momentum b, from 0 to below 1. Default: 0.95. */
    public Builder momentum(double b) {
      momentum = Ranges.belowOne("momentum", b);
      return this;
    }

    /** Whether the gradient enters once more. Default: true. */
    public Builder nesterov(boolean again) {
      nesterov = again;
      return this;
    }

    /** The decoupled weight decay lambda of all tensors, 0 or larger. Default: 0. */
    public Builder weightDecay(double lambda) {
      weightDecay = Ranges.notNegative("weight decay", lambda);
      return this;
    }

    /**
     * The iteration NS. Default: Muon's polynomial, five times. {@link
     * NewtonSchulz.Polynomial#QUINTIC} makes the steps truly orthogonal, with more iterations.
     */
    public Builder newtonSchulz(NewtonSchulz.Polynomial of, int times) {
      polynomial = Objects.requireNonNull(of, "of");
      iterations = Ranges.atLeastOne("number of iterations", times);
      return this;
    }

    /**
     * The rule of all other tensors. Default: Adam with step size 3e-4, decays 0.9 and 0.95 and
     * epsilon 1e-10.
     */
    public Builder rest(StepRule rule) {
      rest = Objects.requireNonNull(rule, "rule");
      return this;
    }

    /**
     * Which tensors are matrices of hidden layers. Default: those of two dimensions or more, but
     * the last of them where there are several, which is the output layer; leave out embeddings by
     * their names.
     */
    public Builder matrices(Predicate<Layout.Tensor> chosen) {
      matrices = Optional.of(chosen);
      return this;
    }

    /** The rule. */
    public Muon build() {
      return new Muon(this);
    }
  }
}
