package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.problem.BilevelProblem;
import dev.kith.problem.LowerCurvature;
import dev.kith.problem.LowerGradientInUpper;
import dev.kith.problem.Regularizer;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * PBGD, penalty-based bilevel gradient descent: minimise f(x, y) over x in C and y among the
 * minimisers of g(x, .), by steps on f plus a penalty that is zero there and only there. f and g
 * are the means over the nodes.
 *
 * <pre>
 * V-PBGD, penalty g(x, y) - min g(x, .):
 *   T times:  omega &larr; omega - beta dg/dy (x, omega)
 *   (x, y) &larr; P[(x, y) - alpha s (grad f + gamma (grad g(x, y) - (dg/dx (x, omega), 0)))]
 * G-PBGD, penalty |dg/dy|^2:
 *   (x, y) &larr; P[(x, y) - alpha s (grad f + 2 gamma (d2g/dxdy v, d2g/dy2 v))],   v = dg/dy (x, y)
 * </pre>
 *
 * <p>P projects x onto C; s is 1, or min(1 / gamma, 1) on request. g need not be strongly convex in
 * y: it is enough that its gradient bounds how far it is above its minimum (PL). V-PBGD needs first
 * derivatives alone. What it ends at is stationary for the penalised problem and misses the lower
 * minimum by O(1 / gamma); alpha is at most 1 / (L_f + gamma (2 L_g + L_g^2 / mu)), so the number
 * of steps grows with gamma. All nodes hold the same (x, y): a round averages T q + p + q numbers
 * over all nodes (G-PBGD p + 2 q), and the graph is not used.
 *
 * <p>Source: Shen, Chen, "On Penalty-based Bilevel Gradient Descent Method", 2023. V-PBGD, gamma =
 * 10 and alpha = 0.1 / gamma are those of its official code; G-PBGD and the bounds are
 * reconstructed.
 */
public final class Pbgd extends LockstepOptimizer {
  /** What measures how far y is from the lower minimum. */
  public enum Penalty {
    /** g(x, y) - min g(x, .): V-PBGD. */
    VALUE,
    /** |dg/dy|^2: G-PBGD. */
    GRADIENT
  }

  private final BilevelProblem objectives;
  private final Optional<LowerGradientInUpper> whole;
  private final Optional<LowerCurvature> curvature;
  private final Builder settings;
  private final UpperAndLower rows;
  private final UpperAndLower gradients;
  private final CommonModel model;
  private final CommonModel lower;
  private final DeviceMatrix lowerRows;
  private final DeviceMatrix slope;
  private final DeviceMatrix second;
  private final DeviceMatrix upperSlope;
  private final DeviceMatrix mean;
  private final DeviceMatrix lowerMean;
  private final DeviceMatrix omega;
  private final DeviceMatrix moved;

  private Pbgd(
      Builder builder, Optional<LowerGradientInUpper> whole, Optional<LowerCurvature> curvature) {
    super(builder.penalty == Penalty.VALUE ? "v-pbgd" : "g-pbgd", builder.bilevel, builder.network);
    if (builder.initial.rows() != 1) {
      throw new IllegalArgumentException(
          name()
              + " was given "
              + builder.initial.rows()
              + " rows to start from: give the one that all nodes have in common");
    }
    this.objectives = builder.bilevel;
    this.whole = whole;
    this.curvature = curvature;
    this.settings = new Builder(builder);
    DeviceMatrix start = start(builder.initial);
    this.rows = own(UpperAndLower.of(objectives, start));
    this.gradients = own(UpperAndLower.of(objectives, own(start.like())));
    this.model = own(new CommonModel(start));
    this.lowerRows = own(rows.y().like());
    lowerRows.copyFrom(rows.y());
    this.lower = own(new CommonModel(lowerRows));
    this.slope = own(rows.y().like());
    this.second = own(rows.y().like());
    this.upperSlope = own(rows.x().like());
    this.mean = own(model.row().like());
    this.lowerMean = own(lower.row().like());
    this.omega = own(lower.row().like());
    this.moved = own(rows.x().like(1, rows.x().cols(), start.dtype()));
  }

  /**
   * @param problem both levels; {@link LowerGradientInUpper} for {@link Penalty#VALUE}, {@link
   *     LowerCurvature} for {@link Penalty#GRADIENT}
   * @param network any schedule for the same nodes, none of which fails
   * @param initial the start (x, y), one row; F32 or F64; copied. omega starts as y
   */
  public static Builder builder(BilevelProblem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void requireWeights(MixingMatrix w) {
    requireAllNodes();
  }

  /** gamma of the present round. */
  public double penaltyWeight() {
    double share =
        settings.rampRounds == 0 ? 1 : Math.min(1, (double) round() / settings.rampRounds);
    return settings.from + share * (settings.to - settings.from);
  }

  @Override
  void iterate() {
    double gamma = penaltyWeight();
    omega.copyFrom(lower.row());
    if (settings.penalty == Penalty.VALUE) {
      solveLower();
    }
    objectives.gradient(rows.both(), gradients.both(), round());
    if (settings.penalty == Penalty.VALUE) {
      addValue(gamma);
    } else {
      addGradient(gamma);
    }
    average(gradients.both(), mean);
    step(gamma);
    lower.propose(Expression.outer(omega));
    lower.accept();
    model.accept();
  }

  private void solveLower() {
    for (int t = 0; t < settings.lowerSteps; t++) {
      lower.spread(omega, lowerRows);
      objectives.lowerGradient(
          rows.x(), lowerRows, slope, round() * (settings.lowerSteps + 1L) + t);
      average(slope, lowerMean);
      Mixing.combine(Expression.outer(omega).plusOuter(-settings.lowerStepSize, lowerMean), omega);
    }
    lower.spread(omega, lowerRows);
  }

  private void addValue(double gamma) {
    long draw = round() * (settings.lowerSteps + 1L) + settings.lowerSteps;
    LowerGradientInUpper inUpper = whole.orElseThrow();
    objectives.lowerGradient(rows.x(), rows.y(), slope, draw);
    Mixing.combine(Expression.outer(gradients.y()).plusOuter(gamma, slope), gradients.y());
    inUpper.lowerGradientInUpper(rows.x(), rows.y(), upperSlope, round());
    Mixing.combine(Expression.outer(gradients.x()).plusOuter(gamma, upperSlope), gradients.x());
    inUpper.lowerGradientInUpper(rows.x(), lowerRows, upperSlope, round());
    Mixing.combine(Expression.outer(gradients.x()).plusOuter(-gamma, upperSlope), gradients.x());
  }

  private void addGradient(double gamma) {
    LowerCurvature products = curvature.orElseThrow();
    objectives.lowerGradient(rows.x(), rows.y(), slope, round());
    average(slope, lowerMean);
    lower.spread(lowerMean, slope);
    products.lowerHessianVector(rows.x(), rows.y(), slope, second, round());
    Mixing.combine(Expression.outer(gradients.y()).plusOuter(2 * gamma, second), gradients.y());
    products.lowerMixedVector(rows.x(), rows.y(), slope, upperSlope, round());
    Mixing.combine(Expression.outer(gradients.x()).plusOuter(2 * gamma, upperSlope), gradients.x());
  }

  /** Forms the next (x, y). */
  private void step(double gamma) {
    double scale = settings.scaled && gamma > 1 ? 1 / gamma : 1;
    try (UpperAndLower from = UpperAndLower.of(objectives, model.row());
        UpperAndLower along = UpperAndLower.of(objectives, mean);
        UpperAndLower to = UpperAndLower.of(objectives, model.next())) {
      double upperStep = scale * settings.upperStepSize.orElse(settings.stepSize);
      Mixing.combine(Expression.outer(from.x()).plusOuter(-upperStep, along.x()), moved);
      Mixing.combine(
          Expression.outer(from.y()).plusOuter(-scale * settings.stepSize, along.y()), to.y());
      // The projection may map what is infinite to something finite.
      if (Reduction.nonFinite(moved) != 0 || Reduction.nonFinite(to.y()) != 0) {
        throw new NonFiniteException(
            0, round(), "the step that all nodes take, starting with that");
      }
      if (settings.constraint.isPresent()) {
        try (DeviceMatrix projected = moved.like()) {
          settings.constraint.get().proximal(moved, upperStep, projected);
          to.x().copyFrom(projected);
        }
      } else {
        to.x().copyFrom(moved);
      }
    }
  }

  private void average(DeviceMatrix from, DeviceMatrix to) {
    network().average(from, to);
    requireFiniteAverage(from, to);
  }

  /** {@inheritDoc} All rows are the same (x, y). */
  @Override
  public DeviceMatrix parameters() {
    return rows.both();
  }

  /** omega of V-PBGD, 1 x q, which follows the lower minimum at x; valid until the next step. */
  public DeviceMatrix lowerSolution() {
    return lower.row();
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> all = new LinkedHashMap<>();
    all.put("xy", rows.both());
    all.put("common", model.row());
    all.put("omega", lower.row());
    return all;
  }

  @Override
  String variant() {
    return "gamma %s to %s in %d, lower steps %d%s%s"
        .formatted(
            settings.from,
            settings.to,
            settings.rampRounds,
            settings.lowerSteps,
            settings.scaled ? ", scaled" : "",
            settings.constraint.map(c -> ", " + c.name()).orElse(""));
  }

  /** Settings of {@link Pbgd}. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private final BilevelProblem bilevel;
    private Penalty penalty = Penalty.VALUE;
    private double from = 10;
    private double to = 10;
    private long rampRounds;
    private boolean scaled;
    private Optional<Double> upperStepSize = Optional.empty();
    private int lowerSteps = 1;
    private double lowerStepSize = 0.01;
    private Optional<Regularizer> constraint = Optional.empty();

    private Builder(BilevelProblem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
      this.bilevel = problem;
      this.stepSize = 0.01;
    }

    private Builder(Builder other) {
      this(other.bilevel, other.network, other.initial);
      this.stepSize = other.stepSize;
      this.penalty = other.penalty;
      this.from = other.from;
      this.to = other.to;
      this.rampRounds = other.rampRounds;
      this.scaled = other.scaled;
      this.upperStepSize = other.upperStepSize;
      this.lowerSteps = other.lowerSteps;
      this.lowerStepSize = other.lowerStepSize;
      this.constraint = other.constraint;
    }

    /** V-PBGD or G-PBGD. Default: V-PBGD, which needs first derivatives alone. */
    public Builder penalty(Penalty penalty) {
      this.penalty = penalty;
      return this;
    }

    /** A fixed gamma. Default: 10, with steps of 0.01: alpha = 0.1 / gamma of the official code. */
    public Builder penaltyWeight(double gamma) {
      return penaltyWeight(gamma, gamma, 0);
    }

    /** gamma grows evenly between two values over so many rounds, and stays. */
    public Builder penaltyWeight(double from, double to, long rounds) {
      if (!(from >= 0 && to >= from && to < Double.POSITIVE_INFINITY) || rounds < 0) {
        throw new IllegalArgumentException(
            "a penalty from %s to %s over %d rounds does not grow: give finite weights from 0 up"
                .formatted(from, to, rounds));
      }
      this.from = from;
      this.to = to;
      this.rampRounds = rounds;
      return this;
    }

    /** Multiplies steps by min(1 / gamma, 1), as the official code does in its data cleaning. */
    public Builder scaled() {
      this.scaled = true;
      return this;
    }

    /** alpha of x, where it is another than that of y. Default: the step size. */
    public Builder upperStepSize(double stepSize) {
      if (!(stepSize >= 0 && stepSize < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "a step size of " + stepSize + " is not a finite number from 0 up");
      }
      this.upperStepSize = Optional.of(stepSize);
      return this;
    }

    /** T and beta, beta at most 1 / L_g. Default: 1 step of 0.01, as in the official code. */
    public Builder lowerSteps(int count, double stepSize) {
      if (count < 1 || !(stepSize > 0 && stepSize < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            count + " steps of " + stepSize + " lead nowhere: give at least 1, finite and above 0");
      }
      this.lowerSteps = count;
      this.lowerStepSize = stepSize;
      return this;
    }

    /** C, by its projection. Default: none. */
    public Builder constraint(Regularizer constraint) {
      this.constraint = Optional.of(constraint);
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the problem
     *     lacks the derivatives that the penalty needs
     */
    public Pbgd build() {
      boolean value = penalty == Penalty.VALUE;
      return new Pbgd(
          this,
          value
              ? Optional.of(
                  UpperAndLower.capability(
                      "v-pbgd",
                      bilevel,
                      LowerGradientInUpper.class,
                      "the gradient of the lower problem in x"))
              : Optional.empty(),
          value
              ? Optional.empty()
              : Optional.of(
                  UpperAndLower.capability(
                      "g-pbgd",
                      bilevel,
                      LowerCurvature.class,
                      "products with the second derivatives of the lower problem")));
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
