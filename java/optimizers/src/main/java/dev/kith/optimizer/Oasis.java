package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Curvature;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.network.Network;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import dev.kith.random.Stream;
import java.util.Collections;
import java.util.Map;

/**
 * OASIS: steps scaled by the diagonal of the Hessian, of a size that needs no tuning. f = (1/n)
 * sum_i f_i, all nodes hold the same w, and z is the same for all:
 *
 * <pre>
 * D_0   = mean of z * H z over some z at w_0,   w_1 = w_0 - eta_0 grad f(w_0) / D_0^
 * D_k   = beta D_{k-1} + (1 - beta) z * H(w_k) z            element by element, with its sign
 * D_k^  = max(|D_k|, alpha)
 * eta_k = min( sqrt(1 + theta_{k-1}) eta_{k-1},
 *              |w_k - w_{k-1}|_D / (2 |grad f(w_k) - grad f(w_{k-1})|_{1/D}) )
 * w_{k+1} = w_k - eta_k grad f(w_k) / D_k^,     theta_k = eta_k / eta_{k-1},  theta_0 infinite
 * </pre>
 *
 * <p>with |x|_D^2 = sum of D^ x^2. The size is that of the curvature between the last two points in
 * the scaled norm: where D^ is the Hessian it is 1/2. If both gradients are equal the first branch
 * decides, and at k = 1 eta_0 stays.
 *
 * <p>Both gradients of eta_k are of the same mini-batch, so a round takes two gradients and one
 * product, and averages three rows over all nodes, 3 d numbers each way. {@link
 * Builder#fullGradients} keeps the gradient of the round before instead: one gradient, 2 d numbers.
 * The start takes the mean of as many products as {@link Builder#warmUp} says, on the full local
 * data, and sends one row for them. With one node nothing is sent.
 *
 * <p>Source: Jahani, Rusakov, Shi, Richtarik, Mahoney, Takac, "Doubly Adaptive Scaled Algorithm for
 * Machine Learning Using Second-Order Information", 2022, algorithm 1; with D = 1 it is the
 * adaptive gradient descent of Malitsky and Mishchenko, 2020. Grids of the defaults reconstructed.
 */
public final class Oasis extends CommonModelOptimizer {
  private final HessianVector curvature;
  private final double beta;
  private final double alpha;
  private final double initialStepSize;
  private final int warmUp;
  private final long seed;
  private final boolean fullGradients;
  private final DeviceMatrix local;
  private final DeviceMatrix probe;
  private final DeviceMatrix beforeRows;
  private final DeviceMatrix product;
  private final DeviceMatrix norms;
  private final DeviceMatrix eta;
  private DeviceMatrix before;
  private DeviceMatrix nextBefore;
  private DeviceMatrix diagonal;
  private DeviceMatrix nextDiagonal;
  private DeviceMatrix gradient;
  private DeviceMatrix nextGradient;
  private final DeviceMatrix sizes;

  private Oasis(Builder builder) {
    super("oasis", builder);
    if (!(builder.problem instanceof HessianVector h)) {
      throw new IllegalArgumentException(
          "oasis multiplies vectors by the Hessian, and "
              + builder.problem.getClass().getSimpleName()
              + " cannot: give a problem that is a HessianVector");
    }
    this.curvature = h;
    this.beta = builder.beta;
    this.alpha = builder.alpha;
    this.initialStepSize = builder.stepSize;
    this.warmUp = builder.warmUp;
    this.seed = builder.seed;
    this.fullGradients = builder.fullGradients;
    DeviceMatrix row = model().row();
    this.local = own(parameters().like());
    this.probe = own(parameters().like());
    this.beforeRows = own(parameters().like());
    this.product = own(row.like());
    this.norms = own(row.like(2, 1, DType.F64));
    this.eta = own(row.like(1, 1, DType.F64));
    this.before = own(row.like());
    this.nextBefore = own(row.like());
    this.diagonal = own(row.like());
    this.nextDiagonal = own(row.like());
    this.gradient = own(row.like());
    this.nextGradient = own(row.like());
    this.sizes = own(row.like(1, 2, DType.F64));
    sizes.upload(new double[] {initialStepSize, Double.POSITIVE_INFINITY});
  }

  /**
   * @param problem the local objectives, a {@link HessianVector}
   * @param network any schedule for the same nodes as the problem, none of which fails
   * @param initial the common start, one row; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    problem().gradient(parameters(), local, round());
    average(local, nextGradient);
    double size;
    double theta;
    if (round() == 0) {
      firstDiagonal();
      size = initialStepSize;
      theta = Double.POSITIVE_INFINITY;
    } else {
      double last = sizes.get(0, 0);
      size = nextSize(last, sizes.get(0, 1));
      theta = size / last;
    }
    DeviceMatrix next = model().next();
    next.copyFrom(model().row());
    eta.set(0, 0, size);
    Curvature.oasisStep(
        alpha, Curvature.Floor.MAXIMUM, eta, nextDiagonal, nextGradient, next, nextBefore);
    requireFiniteStep(next);
    sizes.upload(new double[] {size, theta});
    model().accept();
    swap();
  }

  private void swap() {
    DeviceMatrix old = before;
    before = nextBefore;
    nextBefore = old;
    old = diagonal;
    diagonal = nextDiagonal;
    nextDiagonal = old;
    old = gradient;
    gradient = nextGradient;
    nextGradient = old;
  }

  /** The mean over the warm-up of the own nodes is formed first, so that one row is sent. */
  private void firstDiagonal() {
    DeviceMatrix estimates = beforeRows;
    estimates.fill(0);
    for (int k = 0; k < warmUp; k++) {
      NoiseField signs = signs(0, k, problem().localNodes());
      Noise.draw(signs, 1, probe);
      curvature.hessianVector(parameters(), probe, local);
      Curvature.hutchinson(signs, 1 - 1.0 / (k + 1), local, estimates);
    }
    average(estimates, nextDiagonal);
  }

  /** Forms the diagonal of this round, and gives the size of its step. */
  private double nextSize(double last, double theta) {
    DeviceMatrix past = gradient;
    if (!fullGradients) {
      model().spread(before, beforeRows);
      problem().gradient(beforeRows, local, round());
      average(local, product);
      gradient.copyFrom(product);
    }
    Noise.draw(signs(round(), 0, problem().localNodes()), 1, probe);
    curvature.hessianVector(parameters(), probe, local, round());
    average(local, product);
    nextDiagonal.copyFrom(diagonal);
    Curvature.oasisStatistics(
        signs(round(), 0, 1),
        beta,
        alpha,
        product,
        nextDiagonal,
        model().row(),
        before,
        nextGradient,
        past,
        norms);
    double moved = Math.sqrt(norms.get(0, 0));
    double turned = Math.sqrt(norms.get(1, 0));
    double grown = Math.sqrt(1 + theta) * last;
    double measured = turned == 0 ? Double.POSITIVE_INFINITY : moved / turned / 2;
    double size = Math.min(grown, measured);
    return size == Double.POSITIVE_INFINITY ? last : size;
  }

  /** The probe that all nodes have in common, once for each of some rows. */
  private NoiseField signs(long round, int number, int rows) {
    return NoiseField.shared(
        NoiseField.Distribution.RADEMACHER,
        Stream.PROBE,
        Collections.nCopies(rows, new NoiseField.PublicRow(seed, round, number)));
  }

  /** The step size that the last round took; the initial one before the first. */
  public double stepSize() {
    return sizes.get(0, 0);
  }

  /** D, the present estimate of the diagonal, 1 x d; valid until the next step. */
  public DeviceMatrix diagonal() {
    return diagonal;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = super.state();
    state.put("before", before);
    state.put("diagonal", diagonal);
    state.put("sizes", sizes);
    if (fullGradients) {
      state.put("gradient", gradient);
    }
    return state;
  }

  @Override
  String variant() {
    return fullGradients ? "full gradients" : "";
  }

  /** Settings of {@link Oasis}; {@link #stepSize} is eta_0, of which little depends. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private double beta = 0.95;
    private double alpha = 1e-5;
    private int warmUp = 10;
    private long seed = 1;
    private boolean fullGradients;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
      stepSize(1e-3);
    }

    /**
     * Decay of the diagonal, in [0, 1). Default: 0.95, the least of the paper's grid 0.95, 0.99,
     * 0.995, 0.999.
     */
    public Builder beta(double beta) {
      if (!(beta >= 0 && beta < 1)) {
        throw new IllegalArgumentException("a decay of " + beta + " does not lie in [0, 1)");
      }
      this.beta = beta;
      return this;
    }

    /** The least |D|, positive. Default: 1e-5, within the paper's 1e-7 to 1e-1. */
    public Builder alpha(double alpha) {
      if (!(alpha > 0 && alpha < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "an alpha of " + alpha + " is not a finite number above 0");
      }
      this.alpha = alpha;
      return this;
    }

    /** Products with the Hessian that D_0 is the mean of. Default: 10. */
    public Builder warmUp(int products) {
      if (products < 1) {
        throw new IllegalArgumentException(
            "a warm-up of " + products + " products gives no diagonal: take at least 1");
      }
      this.warmUp = products;
      return this;
    }

    /** Of the probes. Default: 1. */
    public Builder seed(long seed) {
      this.seed = seed;
      return this;
    }

    /**
     * Says that the problem gives the same gradient at the same point in every round, so that the
     * gradient of the round before serves again. Default: it does not.
     */
    public Builder fullGradients() {
      this.fullGradients = true;
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the problem
     *     has no products with its Hessian
     */
    public Oasis build() {
      return new Oasis(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
