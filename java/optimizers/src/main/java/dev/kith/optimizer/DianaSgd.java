package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.Diana;
import dev.kith.compress.Messages;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.problem.Regularizer;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * DIANA: descent with unbiased compression of what a gradient differs from a shift that learns it.
 *
 * <pre>
 * m_i  = Q(g_i - h_i)                      is sent
 * x'   = prox_{gamma R}(x - gamma (h + (1/n) sum_i m_i))
 * h_i' = h_i + alpha m_i,   h' = h + alpha (1/n) sum_i m_i,   both 0 at first
 * </pre>
 *
 * <p>R is a regularizer that all nodes know; without one prox is the identity. On strongly convex
 * objectives it converges linearly to the exact optimum although the nodes differ, where plain
 * compressed gradients stop beside it, for alpha up to 1 / (1 + omega) and gamma up to 1 / (L (1 +
 * 6 omega / n)). alpha = 0 is plain compressed gradient descent (QSGD, DCGD). A message goes from
 * every node to each of the others; the graph is not used.
 *
 * <p>Source: Mishchenko, Gorbunov, Takac, Richtarik, "Distributed Learning with Compressed Gradient
 * Differences", 2019, algorithm 1; Horvath et al., "Stochastic Distributed Learning with Gradient
 * Quantization and Variance Reduction", 2019 (any unbiased Q).
 */
public final class DianaSgd extends CommonModelOptimizer {
  private final String variant;
  private final double stepSize;
  private final ProximalStep prox;
  private final Diana shifts;
  private final DeviceMatrix gradient;
  private final DeviceMatrix mean;
  private final DeviceMatrix estimate;
  private boolean encoded;
  private boolean gradientKnown;

  private DianaSgd(Builder builder) {
    super("diana", builder);
    Codec codec =
        own(
            builder.compressor.bind(
                parameters(), new Codec.Sender(network().firstNode(), builder.seed, 0)));
    this.shifts = own(new Diana(codec, parameters(), builder.alpha));
    this.stepSize = builder.stepSize;
    this.prox = own(new ProximalStep(builder.regularizer, stepSize, model().row()));
    this.variant =
        builder.compressor.name()
            + ", alpha "
            + shifts.alpha()
            + prox.name().map(name -> ", " + name).orElse("");
    this.gradient = own(parameters().like());
    this.mean = own(model().row().like());
    this.estimate = own(mean.like());
  }

  /**
   * @param problem the local objectives
   * @param network any schedule for the same nodes as the problem, none of which fails
   * @param initial the common start, one row; F32; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void undo() {
    if (encoded) {
      shifts.undo();
    }
  }

  @Override
  void iterate() {
    encoded = false;
    problem().gradient(parameters(), gradient, round());
    gradientKnown = true;
    Messages messages = shifts.encode(gradient, round());
    encoded = true;
    average(messages, mean);
    shifts.estimate(mean, estimate);
    propose(Expression.outer(model().row()).plusOuter(-stepSize, estimate), prox);
    shifts.absorb(mean);
    model().accept();
  }

  /** h_i of the own nodes, localNodes x d. */
  public DeviceMatrix shifts() {
    return shifts.shifts();
  }

  /** h + (1/n) sum_i m_i of the last round, 1 x d: what the parameters stepped by. */
  public DeviceMatrix estimate() {
    return estimate;
  }

  @Override
  String variant() {
    return variant;
  }

  @Override
  public Optional<Compression> compression() {
    double ratio = shifts.codec().ratio();
    return Optional.of(
        gradientKnown || round() == 0
            ? Compression.of(ratio, gradient, shifts.shifts())
            : Compression.of(ratio, Double.NaN, network().localNodes()));
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>(super.state());
    state.putAll(shifts.state());
    return state;
  }

  /** Settings of {@link DianaSgd}. */
  public static final class Builder extends CompressedBuilder<Builder> {
    private OptionalDouble alpha = OptionalDouble.empty();
    private Optional<Regularizer> regularizer = Optional.empty();

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** How fast the shifts learn, 0 to 1. Default: 1 / (1 + omega), the largest of the theorem. */
    public Builder alpha(double alpha) {
      if (!(alpha >= 0 && alpha <= 1)) {
        throw new IllegalArgumentException("an alpha of " + alpha + " is not in 0 to 1");
      }
      this.alpha = OptionalDouble.of(alpha);
      return this;
    }

    /** R, added to the mean of the objectives. Default: none, R = 0. */
    public Builder regularizer(Regularizer regularizer) {
      this.regularizer = Optional.of(regularizer);
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the
     *     compressor is not unbiased
     */
    public DianaSgd build() {
      Promise.requireUnbiased("DIANA", compressor, problem.layout());
      return new DianaSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
