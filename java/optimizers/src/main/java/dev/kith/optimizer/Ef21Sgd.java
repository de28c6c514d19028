package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.Ef21;
import dev.kith.compress.Messages;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * EF21: descent along estimates of the gradients that every node corrects by compressed messages.
 *
 * <pre>
 * x'   = x - gamma g
 * c_i  = C(grad f_i(x') - g_i)      is sent
 * g_i' = g_i + c_i,   g' = g + (1/n) sum_i c_i,   both 0 at first
 * </pre>
 *
 * <p>For a contractive C, biased or not. The first round does not move, so that the estimates begin
 * as C(grad f_i(x)). It converges to the exact optimum although the nodes differ, and needs no
 * bound on the gradients; the theorem's gamma is 1 / (L + L~ sqrt(beta / theta)), theta = 1 -
 * sqrt(1 - delta), beta = (1 - delta) / theta, L~^2 = mean L_i^2. A message goes from every node to
 * each of the others; the graph is not used.
 *
 * <p>Source: Richtarik, Sokolov, Fatkhullin, "EF21: A New, Simpler, Theoretically Better, and
 * Practically Faster Error Feedback", 2021, algorithm 2; with stochastic gradients EF21-SGD of
 * Fatkhullin et al., "EF21 with Bells and Whistles", 2021.
 */
public final class Ef21Sgd extends CommonModelOptimizer {
  private final String variant;
  private final double stepSize;
  private final Ef21 estimates;
  private final DeviceMatrix trial;
  private final DeviceMatrix gradient;
  private final DeviceMatrix mean;
  private boolean encoded;
  private boolean gradientKnown;

  private Ef21Sgd(Builder builder) {
    super("ef21", builder);
    this.variant = builder.compressor.name();
    this.stepSize = builder.stepSize;
    Codec codec =
        own(
            builder.compressor.bind(
                parameters(), new Codec.Sender(network().firstNode(), builder.seed, 0)));
    this.estimates = own(new Ef21(codec, parameters()));
    this.trial = own(parameters().like());
    this.gradient = own(parameters().like());
    this.mean = own(model().row().like());
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
      estimates.undo();
    }
  }

  @Override
  void iterate() {
    encoded = false;
    DeviceMatrix next =
        propose(Expression.outer(model().row()).plusOuter(-stepSize, estimates.mean()));
    model().spread(next, trial);
    problem().gradient(trial, gradient, round());
    gradientKnown = true;
    Messages messages = estimates.encode(gradient, round());
    encoded = true;
    average(messages, mean);
    estimates.absorb(mean);
    model().accept();
  }

  /** g_i of the own nodes, localNodes x d. */
  public DeviceMatrix estimates() {
    return estimates.estimates();
  }

  /** g, the mean of the estimates of all nodes, 1 x d. */
  public DeviceMatrix meanEstimate() {
    return estimates.mean();
  }

  @Override
  String variant() {
    return variant;
  }

  @Override
  public Optional<Compression> compression() {
    double ratio = estimates.codec().ratio();
    return Optional.of(
        gradientKnown || round() == 0
            ? Compression.of(ratio, gradient, estimates.estimates())
            : Compression.of(ratio, Double.NaN, network().localNodes()));
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>(super.state());
    state.putAll(estimates.state());
    return state;
  }

  /** Settings of {@link Ef21Sgd}. */
  public static final class Builder extends CompressedBuilder<Builder> {
    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the
     *     compressor is not contractive
     */
    public Ef21Sgd build() {
      Promise.requireContractive("EF21", compressor, problem.layout());
      return new Ef21Sgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
