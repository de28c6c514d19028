package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Curvature;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.Step;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import dev.kith.random.Stream;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * Scaled local SGD (SAVIC): local steps divided by a diagonal that all nodes have in common and
 * refresh when they meet.
 *
 * <pre>
 * when all meet, at the common x, round t from 0:  H = (1/n) sum_i H_i
 *   ADAM        H_i = g_i,         D^2 = b_t D^2 + (1 - b_t) H^2
 *   RMSPROP     H_i = g_i,         D^2 = b D^2 + (1 - b) H^2
 *   OASIS       H_i = z * (H z)_i, D = b_t D + (1 - b_t) H        with its sign
 *   ADAHESSIAN  H_i = z * (H z)_i, D^2 = b_t D^2 + (1 - b_t) H^2
 * s times at every node:  x_i = x_i - gamma g_i(x_i) / D^,   D^ = max(|D|, alpha)  or  |D| + alpha
 * then:  x_i = (1/n) sum_j x_j
 * </pre>
 *
 * <p>with b_t = (b - b^(t+1)) / (1 - b^(t+1)), which makes D the weighted mean of what it has seen:
 * b_0 = 0. z is random signs, the same at all nodes. The gradient of H is that of the first local
 * step. D is as new as x: it is refreshed at the start of a round.
 *
 * <p>A round averages two rows over all nodes, 2 d numbers up the tree of nodes and down. The graph
 * of the network is not used, and all nodes take part in every round. There is no momentum.
 *
 * <p>Source: Beznosikov, Chayti, Karimireddy, Koloskova and others, "Local Methods with Adaptivity
 * via Scaling", 2024; reconstructed from descriptions of the framework: that D is refreshed after
 * averaging, from statistics at the common point, is a reading of it.
 */
public final class ScaledLocalSgd extends LockstepOptimizer {
  /** Where the diagonal comes from. */
  public enum Scaling {
    /** Squares of gradients, averaged with Adam's correction. */
    ADAM,
    /** Squares of gradients, averaged with a constant decay. */
    RMSPROP,
    /** Signed products of Hutchinson. */
    OASIS,
    /** Squares of the products of Hutchinson. */
    ADAHESSIAN;

    boolean curved() {
      return this == OASIS || this == ADAHESSIAN;
    }

    boolean squared() {
      return this != OASIS;
    }
  }

  private final Scaling scaling;
  private final double beta;
  private final double alpha;
  private final Curvature.Floor floor;
  private final int localSteps;
  private final long seed;
  private final DeviceMatrix x;
  private final DeviceMatrix moved;
  private final DeviceMatrix gradient;
  private final DeviceMatrix product;
  private final DeviceMatrix probe;
  private final DeviceMatrix statistic;
  private final DeviceMatrix scales;
  private final DeviceMatrix eta;
  private final DeviceMatrix nowhere;
  private final DeviceMatrix diagonal;
  private final DeviceMatrix diagonalBefore;
  private final Optional<Step> squares;
  private final GlobalAverage average;

  private ScaledLocalSgd(Builder builder) {
    super("savic", builder.problem, builder.network);
    this.scaling = builder.scaling;
    if (scaling.curved() && !(builder.problem instanceof HessianVector)) {
      throw new IllegalArgumentException(
          "the scaling "
              + scaling
              + " multiplies vectors by the Hessian, and "
              + builder.problem.getClass().getSimpleName()
              + " cannot: give a problem that is a HessianVector, or take ADAM or RMSPROP");
    }
    this.beta = builder.beta;
    this.alpha = builder.alpha;
    this.floor = floor(builder.added, scaling.squared());
    this.localSteps = builder.localSteps;
    this.seed = builder.seed;
    if (builder.initial.rows() != 1) {
      throw new IllegalArgumentException(
          "savic was given "
              + builder.initial.rows()
              + " rows to start from: give the one that all nodes have in common");
    }
    this.x = start(builder.initial);
    this.moved = own(x.like());
    this.gradient = own(x.like());
    this.product = own(x.like());
    this.probe = own(x.like());
    this.scales = own(x.like());
    this.statistic = own(x.like(1, x.cols(), x.dtype()));
    this.nowhere = own(statistic.like());
    this.squares =
        scaling.squared()
            ? Optional.of(own(new Step(averaging(beta), StepOptions.none(), nowhere)))
            : Optional.empty();
    this.diagonal = squares.map(s -> s.state().getFirst()).orElseGet(() -> own(nowhere.like()));
    this.diagonalBefore = own(diagonal.like());
    this.eta = own(x.like(1, x.rows(), DType.F64));
    eta.fill(builder.stepSize);
    this.average = own(new GlobalAverage(this, x));
  }

  private static Curvature.Floor floor(boolean added, boolean squared) {
    if (squared) {
      return added ? Curvature.Floor.SUM_WITH_ROOT : Curvature.Floor.MAXIMUM_OF_ROOT;
    }
    return added ? Curvature.Floor.SUM : Curvature.Floor.MAXIMUM;
  }

  /** A step of size 0 moves the average of the squares alone. */
  private static StepRule averaging(double decay) {
    return new StepRule.RmsProp(0, decay, 1);
  }

  /**
   * @param problem the local objectives; a {@link HessianVector} for the scalings by curvature
   * @param network any schedule for the same nodes as the problem, none of which fails
   * @param initial the common start, one row; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void requireWeights(MixingMatrix w) {
    requireAllNodes();
  }

  @Override
  void undo() {
    diagonal.copyFrom(diagonalBefore);
  }

  @Override
  void iterate() {
    diagonalBefore.copyFrom(diagonal);
    long draw = round() * localSteps;
    problem().gradient(x, gradient, draw);
    requireFinite(gradient, "the gradient");
    refresh(draw);
    spread(diagonal, scales);
    moved.copyFrom(x);
    for (int s = 0; s < localSteps; s++) {
      if (s > 0) {
        problem().gradient(moved, gradient, draw + s);
        requireFinite(gradient, "the gradient");
      }
      Curvature.scaledStep(alpha, floor, eta, scales, gradient, moved);
    }
    average.apply(moved, x);
  }

  /** Takes what all nodes see at the common point into the diagonal. */
  private void refresh(long draw) {
    DeviceMatrix seen = gradient;
    if (scaling.curved()) {
      Noise.draw(signs(draw, x.rows()), 1, probe);
      ((HessianVector) problem()).hessianVector(x, probe, product, draw);
      requireFinite(product, "the product with the Hessian");
      seen = product;
    }
    network().average(seen, statistic);
    requireFiniteAverage(seen, statistic);
    if (squares.isPresent()) {
      Step step = squares.get();
      step.rule(averaging(decay()));
      step.apply(nowhere, statistic);
    } else {
      Curvature.hutchinson(signs(draw, 1), decay(), statistic, diagonal);
    }
  }

  private double decay() {
    if (scaling == Scaling.RMSPROP) {
      return beta;
    }
    double power = Math.pow(beta, round() + 1.0);
    return (beta - power) / (1 - power);
  }

  /** The probe that all nodes have in common, once for each of some rows. */
  private NoiseField signs(long draw, long rows) {
    return NoiseField.shared(
        NoiseField.Distribution.RADEMACHER,
        Stream.PROBE,
        Collections.nCopies(Math.toIntExact(rows), new NoiseField.PublicRow(seed, draw, 0)));
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  /** D, or D^2 where the scaling averages squares, 1 x d; valid until the next step. */
  public DeviceMatrix diagonal() {
    return diagonal;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.put("diagonal", diagonal);
    return state;
  }

  @Override
  String variant() {
    return scaling.name().toLowerCase(Locale.ROOT) + ", local steps " + localSteps;
  }

  /** Settings of {@link ScaledLocalSgd}; {@link #stepSize} is gamma. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private Scaling scaling = Scaling.ADAM;
    private double beta = 0.999;
    private double alpha = 1e-3;
    private boolean added;
    private int localSteps = 1;
    private long seed = 1;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** Where the diagonal comes from. Default: ADAM, which needs gradients alone. */
    public Builder scaling(Scaling scaling) {
      this.scaling = Objects.requireNonNull(scaling, "scaling");
      return this;
    }

    /** Decay b of the diagonal, in [0, 1). Default: 0.999, that of Adam. */
    public Builder beta(double beta) {
      if (!(beta >= 0 && beta < 1)) {
        throw new IllegalArgumentException("a decay of " + beta + " does not lie in [0, 1)");
      }
      this.beta = beta;
      return this;
    }

    /** The least D^, positive. Default: 1e-3, the largest of the usual values down to 1e-8. */
    public Builder alpha(double alpha) {
      if (!(alpha > 0 && alpha < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "an alpha of " + alpha + " is not a finite number above 0");
      }
      this.alpha = alpha;
      return this;
    }

    /** Takes D^ = |D| + alpha instead of max(|D|, alpha). Default: the maximum. */
    public Builder addAlpha() {
      this.added = true;
      return this;
    }

    /** s, steps of every node between two meetings. Default: 1. */
    public Builder localSteps(int localSteps) {
      if (localSteps < 1) {
        throw new IllegalArgumentException(
            localSteps + " local steps are too few: take at least 1");
      }
      this.localSteps = localSteps;
      return this;
    }

    /** Of the probes. Default: 1. */
    public Builder seed(long seed) {
      this.seed = seed;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the scaling
     *     needs products with the Hessian that the problem does not have
     */
    public ScaledLocalSgd build() {
      return new ScaledLocalSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
