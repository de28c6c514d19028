package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Noise;
import dev.kith.network.Network;
import dev.kith.privacy.Accountant;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;
import dev.kith.privacy.NodeNoise;
import dev.kith.privacy.NoiseCovariance;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * The central baseline of private learning (CDP): a trusted server sees all clipped gradients and
 * adds noise to their exact mean, which is all that others see.
 *
 * <pre>
 * g_i = min(1, C / |grad f_i(x)|) grad f_i(x)
 * m'  = beta m + (1 - beta) ((1/n) sum_i g_i + v)      v ~ N(0, 1/(n^2 b)) in every element
 * x'  = (1 - gamma wd) x - gamma m'
 * </pre>
 *
 * <p>The noise is that of {@link NoiseCovariance#central} for the bound b. One node moves the mean
 * by 1/n of what it moves its own message, so that the same guarantee takes noise of a variance n
 * times below that of the mean of n messages with noise of their own; code of the papers adds 1/(n
 * b) here, n times what the guarantee needs. The graph of the network is not used.
 *
 * <p>Source: the baseline of Y. Allouah et al., "The privacy power of correlated noise in
 * decentralized learning" (ICML 2024).
 */
public final class PrivateCentralSgd extends CommonModelOptimizer implements PrivateOptimizer {
  private final double stepSize;
  private final double momentum;
  private final double keep;
  private final String variant;
  private final Optional<NodeNoise> noise;
  private final Optional<RowClipping> clipping;
  private final PrivacyLedger ledger;
  private final DeviceMatrix gradient;
  private final DeviceMatrix mean;
  private DeviceMatrix velocity;
  private DeviceMatrix nextVelocity;

  private PrivateCentralSgd(Builder builder) {
    super("private-central", builder);
    if (builder.noise.isPresent()
        && builder.noise.get().covariance().kind() != NoiseCovariance.Kind.CENTRAL) {
      throw new IllegalArgumentException(
          "noise of kind "
              + builder.noise.get().covariance().kind()
              + " is added by nodes, and here a server adds it: take NoiseCovariance.central, or"
              + " PrivateDecentralizedSgd");
    }
    this.stepSize = builder.stepSize;
    this.momentum = builder.momentum;
    this.keep = 1 - builder.stepSize * builder.decay;
    this.variant = builder.variant();
    this.noise = builder.noise;
    noise.ifPresent(this::own);
    this.ledger = new PrivacyLedger(builder);
    DeviceMatrix x = parameters();
    this.gradient = own(x.like());
    this.clipping =
        builder.clipNorm.isPresent()
            ? Optional.of(own(new RowClipping(this, builder.clipNorm.getAsDouble(), x)))
            : Optional.empty();
    this.mean = own(x.like(1, x.cols(), x.dtype()));
    this.velocity = own(mean.like());
    this.nextVelocity = own(mean.like());
    velocity.fill(0);
  }

  /**
   * @param problem the local objectives
   * @param network any schedule for the same nodes as the problem, none of which fails
   * @param initial the common start, one row; F32 or F64; copied, and public
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    problem().gradient(parameters(), gradient, round());
    if (clipping.isPresent()) {
      DeviceMatrix factors = clipping.get().factors(gradient);
      Mixing.combine(Expression.outer(1, factors, gradient), gradient);
    }
    average(gradient, mean);
    Mixing.combine(
        Expression.outer(momentum, velocity).plusOuter(1 - momentum, mean), nextVelocity);
    noise
        .flatMap(n -> n.draw(round(), mean.queue()))
        .ifPresent(draw -> Noise.add(draw.field(), (1 - momentum) * draw.scale(), nextVelocity));
    propose(Expression.outer(keep, model().row()).plusOuter(-stepSize, nextVelocity));
    DeviceMatrix old = velocity;
    velocity = nextVelocity;
    nextVelocity = old;
    model().accept();
  }

  @Override
  public Accountant accountant(Adjacency adjacency, Adversary adversary) {
    return ledger.after(round(), adjacency, adversary);
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>(super.state());
    state.put("velocity", velocity);
    return state;
  }

  @Override
  String variant() {
    return variant;
  }

  @Override
  void restored() {
    noise.ifPresent(n -> n.rewind(round()));
  }

  /** Settings of {@link PrivateCentralSgd}. */
  public static final class Builder extends PrivateStepBuilder<Builder> {
    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or the noise is
     *     not that of a server
     */
    public PrivateCentralSgd build() {
      return new PrivateCentralSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
