package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.problem.Regularizer;
import java.util.Optional;

/**
 * Extragradient for variational inequalities, with the mean operator F = (1/n) sum_i F_i that
 * {@link Problem#gradient} gives the parts of: a trial step, then a step from where it started with
 * the operator of the trial point.
 *
 * <pre>
 * z_half = prox_{gamma h}(z - gamma F(z))
 * z'     = prox_{gamma h}(z - gamma F(z_half))
 * </pre>
 *
 * <p>prox is the identity where no h is given. It converges for a monotone L-Lipschitz F and gamma
 * below 1 / L, linearly where F is strongly monotone; plain descent circles around the solution of
 * a bilinear saddle problem. Nothing is compressed: a round averages two rows over all nodes, and
 * the graph is not used.
 *
 * <p>Source: Korpelevich, "The extragradient method for finding saddle points and other problems",
 * 1976.
 */
public final class Extragradient extends CommonModelOptimizer {
  private final double stepSize;
  private final ProximalStep prox;
  private final DeviceMatrix operator;
  private final DeviceMatrix mean;
  private final DeviceMatrix half;
  private final DeviceMatrix halfRows;

  private Extragradient(Builder builder) {
    super("extragradient", builder);
    this.stepSize = builder.stepSize;
    this.prox = own(new ProximalStep(builder.regularizer, stepSize, model().row()));
    this.operator = own(parameters().like());
    this.halfRows = own(parameters().like());
    this.mean = own(model().row().like());
    this.half = own(mean.like());
  }

  /**
   * @param problem the local operators
   * @param network any schedule for the same nodes as the problem, none of which fails
   * @param initial the common start, one row; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void iterate() {
    Expression here = Expression.outer(model().row());
    problem().gradient(parameters(), operator, 2 * round());
    average(operator, mean);
    prox.apply(here.plusOuter(-stepSize, mean), this::requireFiniteStep, half);
    model().spread(half, halfRows);
    problem().gradient(halfRows, operator, 2 * round() + 1);
    average(operator, mean);
    propose(here.plusOuter(-stepSize, mean), prox);
    model().accept();
  }

  @Override
  String variant() {
    return prox.name().orElse("");
  }

  /** Settings of {@link Extragradient}. */
  public static final class Builder extends GradientStepBuilder<Builder> {
    private Optional<Regularizer> regularizer = Optional.empty();

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /** h of the inequality, such as a constraint. Default: none, h = 0. */
    public Builder regularizer(Regularizer regularizer) {
      this.regularizer = Optional.of(regularizer);
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit
     */
    public Extragradient build() {
      return new Extragradient(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
