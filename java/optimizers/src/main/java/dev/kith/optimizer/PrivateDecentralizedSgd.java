package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
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
 * Decentralized SGD whose nodes clip their gradients and add noise before anybody sees them:
 *
 * <pre>
 * g_i  = min(1, C / |grad f_i(x_i)|) grad f_i(x_i)
 * V    ~ N(0, R) over the nodes, for every parameter and round
 * M'   = beta M + (1 - beta) (G + V)             only where beta is above 0, else M' = G + V
 * X'   = W ((1 - gamma wd) X - gamma M')
 * </pre>
 *
 * <p>The algorithm is in R, a {@link NoiseCovariance}: independent noise is local differential
 * privacy (LDP), pairwise noise that cancels between neighbours is DECOR, jointly drawn noise whose
 * covariance is made for W is CorN-DSGD. All that a node sends is (1 - gamma wd) x_i - gamma m_i,
 * so that whoever sees all messages of T rounds has seen T Gaussian mechanisms: {@link #accountant}
 * counts them. Losses, accuracies and anything else that is computed from the data and published
 * beside the messages is not covered.
 *
 * <p>Without momentum a round is one pass over the gradients for their norms and one over the
 * parameters, in which gradients are scaled, noise is made and added, and messages are formed and
 * mixed.
 *
 * <p>Without clipping and noise it is {@link DecentralizedSgd} in its ATC form, bit for bit. In a
 * round in which nodes do not take part the noise of their edges is not drawn. A round that fails
 * after its noise was drawn is not repeated: the run goes on from a snapshot.
 *
 * <p>Sources: "Optimizing privacy-utility trade-off in decentralized learning with generalized
 * correlated noise" (CorN-DSGD); Y. Allouah et al., "The privacy power of correlated noise in
 * decentralized learning" (DECOR, ICML 2024), momentum and decay after its code.
 */
public final class PrivateDecentralizedSgd extends LockstepOptimizer implements PrivateOptimizer {
  private final double stepSize;
  private final double momentum;
  private final double keep;
  private final String variant;
  private final Optional<NodeNoise> noise;
  private final Optional<RowClipping> clipping;
  private final PrivacyLedger ledger;
  private final DeviceMatrix gradient;
  private DeviceMatrix x;
  private DeviceMatrix next;
  private Optional<DeviceMatrix> velocity;
  private Optional<DeviceMatrix> nextVelocity;

  private PrivateDecentralizedSgd(Builder builder) {
    super("private-dsgd", builder.problem, builder.network);
    requireWeights(builder.network.schedule().at(0));
    if (builder.noise.isPresent()
        && builder.noise.get().covariance().kind() == NoiseCovariance.Kind.CENTRAL) {
      throw new IllegalArgumentException(
          "noise of a server does not protect what nodes send to each other: take"
              + " PrivateCentralSgd, or independent, pairwise or joint noise");
    }
    this.stepSize = builder.stepSize;
    this.momentum = builder.momentum;
    this.keep = 1 - builder.stepSize * builder.decay;
    this.variant = builder.variant();
    this.noise = builder.noise;
    noise.ifPresent(this::own);
    this.ledger = new PrivacyLedger(builder);
    this.x = start(builder.initial);
    this.next = own(x.like());
    this.gradient = own(x.like());
    this.clipping =
        builder.clipNorm.isPresent()
            ? Optional.of(own(new RowClipping(this, builder.clipNorm.getAsDouble(), x)))
            : Optional.empty();
    this.velocity = momentum > 0 ? Optional.of(own(x.like())) : Optional.empty();
    this.nextVelocity = momentum > 0 ? Optional.of(own(x.like())) : Optional.empty();
    velocity.ifPresent(m -> m.fill(0));
  }

  /**
   * @param problem the local objectives
   * @param network the graph, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied, and
   *     public
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void requireWeights(MixingMatrix w) {
    requireRowsSumToOne(w);
  }

  @Override
  void iterate() {
    int[] absent = absentRows();
    problem().gradient(x, gradient, round());
    for (int row : absent) {
      try (DeviceMatrix unused = gradient.row(row)) {
        unused.fill(0);
      }
    }
    Optional<DeviceMatrix> factors = clipping.map(c -> c.factors(gradient));
    if (factors.isEmpty() && noise.isPresent()) {
      // Before the noise is drawn: a round that fails here can be repeated.
      requireFinite(gradient, "the gradient");
    }
    try (FrozenRows kept = FrozenRows.of(x, absent);
        FrozenRows keptVelocity = FrozenRows.of(velocity.orElse(x), absent)) {
      Expression sent = Expression.inner(keep, x);
      if (momentum > 0) {
        DeviceMatrix m = nextVelocity.orElseThrow();
        Expression before = Expression.inner(momentum, velocity.orElseThrow());
        Mixing.combine(noisy(before, 1 - momentum, factors), m);
        keptVelocity.restore(m);
        network().mix(sent.plusInner(-stepSize, m), next);
      } else {
        network().mix(noisy(sent, -stepSize, factors), next);
      }
      requireFinite();
      kept.restore(next);
    }
    DeviceMatrix done = x;
    x = next;
    next = done;
    Optional<DeviceMatrix> old = velocity;
    velocity = nextVelocity;
    nextVelocity = old;
  }

  /** sum + coefficient (diag(factors) G + V), of which V is stored nowhere. */
  private Expression noisy(Expression sum, double coefficient, Optional<DeviceMatrix> factors) {
    Expression clipped =
        factors.isPresent()
            ? sum.plusInner(coefficient, factors.get(), gradient)
            : sum.plusInner(coefficient, gradient);
    return noise
        .flatMap(n -> n.draw(round(), x.queue()))
        .map(
            draw ->
                clipped.plusNoise(
                    coefficient * draw.scale(), draw.weights().orElseThrow(), draw.field()))
        .orElse(clipped);
  }

  @Override
  public Accountant accountant(Adjacency adjacency, Adversary adversary) {
    return ledger.after(round(), adjacency, adversary);
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    velocity.ifPresent(m -> state.put("velocity", m));
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

  /** Settings of {@link PrivateDecentralizedSgd}. */
  public static final class Builder extends PrivateStepBuilder<Builder> {
    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, rows of W do not
     *     sum to 1, or the noise is that of a server
     */
    public PrivateDecentralizedSgd build() {
      return new PrivateDecentralizedSgd(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
