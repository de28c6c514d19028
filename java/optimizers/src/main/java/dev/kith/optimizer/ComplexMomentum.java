package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * D-SGD with complex momentum: heavy ball whose decay beta is a complex number, which converges in
 * games where every real one circles or diverges.
 *
 * <pre>
 * m_i' = beta m_i - g_i(x_i)                      m complex, beta = |beta| e^(i arg)
 * x_i' = sum_j w_ij (x_j + alpha Re m_j')
 * </pre>
 *
 * <p>In a game g is what all players' own gradients make together: for min_x max_y f it is (df/dx,
 * -df/dy). A momentum with an angle oscillates, remembers with both signs, and so damps the
 * rotation of an adversarial game without losing the speed of a cooperative one. Angle 0 is heavy
 * ball, pi is negative momentum; both halves of m are kept. alpha has to shrink with a small angle:
 * |beta| = 0.9, angle pi / 8 and alpha = 0.1 diverge on min_x max_y x y. A node sends d numbers to
 * each neighbour a round.
 *
 * <p>Source: Lorraine, Acuna, Vicol, Duvenaud, "Complex Momentum for Optimization in Games", 2022,
 * and Lorraine, "Scalable Nested Optimization for Deep Learning", 2024; the equations are exact.
 */
public final class ComplexMomentum extends LockstepOptimizer {
  private final double stepSize;
  private final double modulus;
  private final double angle;
  private final TwoBuffers x;
  private final TwoBuffers real;
  private final TwoBuffers imaginary;
  private final DeviceMatrix gradient;

  private ComplexMomentum(Builder builder) {
    super("complex-momentum", builder.problem, builder.network);
    requireWeights(builder.network.schedule().at(0));
    this.stepSize = builder.stepSize;
    this.modulus = builder.modulus;
    this.angle = builder.angle;
    DeviceMatrix start = start(builder.initial);
    this.x = own(new TwoBuffers(start));
    x.now().copyFrom(start);
    this.real = own(new TwoBuffers(start));
    this.imaginary = own(new TwoBuffers(start));
    this.gradient = own(start.like());
  }

  /**
   * @param problem the local objectives, or the players' own gradients
   * @param network weights whose rows sum to 1, for the same nodes as the problem; none fails
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void requireWeights(MixingMatrix w) {
    requireRowsSumToOne(w);
    requireAllNodes();
  }

  @Override
  void iterate() {
    problem().gradient(x.now(), gradient, round());
    double re = modulus * StrictMath.cos(angle);
    double im = modulus * StrictMath.sin(angle);
    Mixing.combine(
        Expression.outer(re, real.now()).plusOuter(-im, imaginary.now()).plusOuter(-1, gradient),
        real.next());
    Mixing.combine(
        Expression.outer(im, real.now()).plusOuter(re, imaginary.now()), imaginary.next());
    network().mix(Expression.inner(x.now()).plusInner(stepSize, real.next()), x.next());
    requireFinite();
    requireFinite(imaginary.next(), "the momentum");
    x.flip();
    real.flip();
    imaginary.flip();
  }

  @Override
  public DeviceMatrix parameters() {
    return x.now();
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x.now());
    state.put("real", real.now());
    state.put("imaginary", imaginary.now());
    return state;
  }

  @Override
  String variant() {
    return "beta " + modulus + " at " + angle;
  }

  /** Settings of {@link ComplexMomentum}. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private double modulus = 0.9;
    private double angle = Math.PI / 8;

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * beta = modulus e^(i angle). Default: 0.9 at pi / 8, the paper's choice for games that are
     * partly cooperative and partly adversarial.
     *
     * @param modulus from 0 to below 1
     * @param angle in radians, finite
     */
    public Builder momentum(double modulus, double angle) {
      if (!(modulus >= 0 && modulus < 1) || !Double.isFinite(angle)) {
        throw new IllegalArgumentException(
            "a momentum of "
                + modulus
                + " at angle "
                + angle
                + " is impossible: give a modulus from 0 to below 1 and a finite angle");
      }
      this.modulus = modulus;
      this.angle = angle;
      return this;
    }

    /** {@link #momentum} with the angle as it is. */
    public Builder modulus(double modulus) {
      return momentum(modulus, angle);
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or rows of W do
     *     not sum to 1
     */
    public ComplexMomentum build() {
      return new ComplexMomentum(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
