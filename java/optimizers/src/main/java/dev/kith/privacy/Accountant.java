package dev.kith.privacy;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleFunction;

/**
 * Turns a schedule of mechanisms into (epsilon, delta) for a stated adjacency and adversary. What
 * it cannot certify it refuses by name.
 *
 * <pre>{@code
 * Guarantee g =
 *     Accountant.of(Adjacency.addRemoveRecord(), Adversary.eavesdropper(), NoiseOrigin.SECRET)
 *         .plus(new Mechanism.PoissonGaussian(1.5, 0.04), 2250)
 *         .epsilon(1e-5);
 * }</pre>
 *
 * <p>Of the certified methods that apply to the schedule {@link #epsilon(double)} takes the one
 * with the least epsilon: exact &lt;= PLD &lt;= RDP &lt;= RDP with the classic conversion, up to
 * the discretisation of PLD. Mechanisms may be chosen adaptively, but their kinds, multipliers,
 * rates and number are fixed beforehand.
 */
public final class Accountant {
  /**
   * A mechanism and how often it runs.
   *
   * @param mechanism the mechanism
   * @param times how often
   */
  record Steps(Mechanism mechanism, long times) {}

  private final Adjacency adjacency;
  private final Adversary adversary;
  private final NoiseOrigin origin;
  private final List<Steps> schedule;

  /** The divergences at the orders that are tried; racing threads find equal ones. */
  private volatile double[] curve;

  private volatile PrivacyLoss losses;

  private Accountant(
      Adjacency adjacency, Adversary adversary, NoiseOrigin origin, List<Steps> schedule) {
    this.adjacency = adjacency;
    this.adversary = adversary;
    this.origin = origin;
    this.schedule = List.copyOf(schedule);
  }

  /** An accountant that has counted nothing yet. */
  public static Accountant of(Adjacency adjacency, Adversary adversary, NoiseOrigin origin) {
    return new Accountant(adjacency, adversary, origin, List.of());
  }

  /**
   * This accountant after {@code times} more releases.
   *
   * @throws IllegalArgumentException when {@code times} is negative, the mechanism is not
   *     certified, or it has no proven bound for the adjacency or the adversary; the message names
   *     it
   */
  public Accountant plus(Mechanism mechanism, long times) {
    if (times < 0) {
      throw new IllegalArgumentException(
          "a mechanism cannot run " + times + " times: give 0 or more");
    }
    boolean replaced = adjacency.change() == Adjacency.Change.REPLACE_ONE;
    switch (mechanism) {
      case Mechanism.NotCertified unknown ->
          throw new IllegalArgumentException(
              unknown.name()
                  + " is not certified, since "
                  + unknown.reason()
                  + ": take another mechanism, or report it without a guarantee");
      case Mechanism.PoissonGaussian poisson -> {
        if (replaced && poisson.rate() < 1) {
          throw new IllegalArgumentException(
              "Poisson sampling under "
                  + adjacency
                  + " has no proven worst pair of inputs: account for add-remove, or draw batches"
                  + " without replacement");
        }
      }
      case Mechanism.BatchGaussian batch -> {
        if (!replaced && batch.batch() < batch.population()) {
          throw new IllegalArgumentException(
              "batches without replacement under "
                  + adjacency
                  + " are not certified: account for replace-one, or sample by Poisson");
        }
      }
      case Mechanism.NodeGaussian node -> node.covariance().worstPrecision(adversary);
      case Mechanism.Gaussian plain -> {}
      case Mechanism.MatrixGaussian matrix -> {}
    }
    List<Steps> more = new ArrayList<>(schedule);
    more.add(new Steps(mechanism, times));
    return new Accountant(adjacency, adversary, origin, more);
  }

  /** How often it was told that {@code mechanism} runs, with these very parameters. */
  public long times(Mechanism mechanism) {
    return schedule.stream()
        .filter(steps -> steps.mechanism().equals(mechanism))
        .mapToLong(Steps::times)
        .sum();
  }

  /** What neighbouring inputs are. */
  public Adjacency adjacency() {
    return adjacency;
  }

  /** Against whom it accounts. */
  public Adversary adversary() {
    return adversary;
  }

  /**
   * Sensitivity over noise of a mechanism that samples nothing.
   *
   * @throws IllegalArgumentException when it samples
   */
  private double ratio(Mechanism mechanism) {
    int factor = adjacency.sensitivity();
    return switch (mechanism) {
      case Mechanism.Gaussian plain -> factor / plain.noiseMultiplier();
      case Mechanism.PoissonGaussian poisson -> factor / poisson.noiseMultiplier();
      case Mechanism.BatchGaussian batch -> factor / batch.noiseMultiplier();
      case Mechanism.NodeGaussian node ->
          factor * node.clip() * Math.sqrt(node.covariance().worstPrecision(adversary));
      case Mechanism.MatrixGaussian matrix ->
          factor * matrix.factor().sensitivity(matrix.participation()) / matrix.noiseMultiplier();
      case Mechanism.NotCertified unknown ->
          throw new IllegalArgumentException(unknown.name() + " is not certified");
    };
  }

  private static boolean samples(Mechanism mechanism) {
    return switch (mechanism) {
      case Mechanism.PoissonGaussian poisson -> poisson.rate() < 1;
      case Mechanism.BatchGaussian batch -> batch.batch() < batch.population();
      default -> false;
    };
  }

  private boolean sampled() {
    return schedule.stream().anyMatch(steps -> samples(steps.mechanism()));
  }

  private boolean batched() {
    return schedule.stream()
        .anyMatch(
            steps ->
                steps.mechanism() instanceof Mechanism.BatchGaussian && samples(steps.mechanism()));
  }

  /**
   * The ratio mu of the one Gaussian mechanism that the schedule amounts to: mu^2 = sum of times
   * mu_k^2. It is mu-GDP, and rho-zCDP with rho = mu^2 / 2.
   *
   * @throws IllegalArgumentException when a step samples its data: it is no Gaussian mechanism then
   */
  public double mu() {
    double square = 0;
    for (Steps steps : schedule) {
      if (samples(steps.mechanism())) {
        throw new IllegalArgumentException(
            steps.mechanism()
                + " samples its data and is no Gaussian mechanism: account for it by RDP or PLD");
      }
      double mu = ratio(steps.mechanism());
      square += steps.times() * mu * mu;
    }
    return Math.sqrt(square);
  }

  /**
   * The Renyi divergence of the schedule at an order: the sum over its steps.
   *
   * @param order above 1
   * @throws IllegalArgumentException when the order is not above 1
   */
  public double renyi(double order) {
    if (!(order > 1 && order < Integer.MAX_VALUE)) {
      throw new IllegalArgumentException(
          "the order is " + order + ": give a finite number above 1");
    }
    double sum = 0;
    for (Steps steps : schedule) {
      double one = steps.times() == 0 ? 0 : renyi(steps.mechanism(), order);
      sum += steps.times() * one;
    }
    return sum;
  }

  private double renyi(Mechanism mechanism, double order) {
    if (!samples(mechanism)) {
      return RenyiDivergence.gaussian(order, ratio(mechanism));
    }
    return mechanism instanceof Mechanism.PoissonGaussian poisson
        ? RenyiDivergence.poisson(order, poisson.noiseMultiplier(), poisson.rate())
        : RenyiDivergence.batch(order, ratio(mechanism), rate((Mechanism.BatchGaussian) mechanism));
  }

  private static double rate(Mechanism.BatchGaussian batch) {
    return (double) batch.batch() / batch.population();
  }

  /**
   * The least certified epsilon for a delta.
   *
   * @throws IllegalArgumentException when delta is outside (0, 1)
   */
  public Guarantee epsilon(double delta) {
    Checks.delta(delta);
    if (!sampled()) {
      return epsilon(delta, Method.EXACT);
    }
    Guarantee renyi = epsilon(delta, Method.RDP);
    if (batched() || delta < PrivacyLoss.LEAST_DELTA) {
      return renyi;
    }
    Guarantee loss = epsilon(delta, Method.PLD);
    return loss.epsilon() <= renyi.epsilon() ? loss : renyi;
  }

  /**
   * Epsilon for a delta by one method.
   *
   * @throws IllegalArgumentException when delta is outside (0, 1), or the method does not apply to
   *     the schedule
   */
  public Guarantee epsilon(double delta, Method method) {
    Checks.delta(delta);
    double epsilon =
        switch (method) {
          case EXACT -> AnalyticGaussian.epsilon(mu(), delta);
          case ZCDP -> {
            double rho = mu() * mu() / 2;
            yield rho + 2 * Math.sqrt(rho * -Math.log(delta));
          }
          case RDP -> bestOrder(delta, true);
          case RDP_CLASSIC -> bestOrder(delta, false);
          case PLD -> losses().epsilon(delta);
          case GDP_LIMIT -> AnalyticGaussian.epsilon(limitMu(), delta);
        };
    return guarantee(epsilon, delta, method);
  }

  /**
   * Delta for an epsilon by one method.
   *
   * @throws IllegalArgumentException when epsilon is negative or not finite, or the method does not
   *     apply to the schedule
   */
  public Guarantee delta(double epsilon, Method method) {
    Checks.epsilon(epsilon);
    double delta =
        switch (method) {
          case EXACT -> AnalyticGaussian.delta(mu(), epsilon);
          case ZCDP -> {
            double rho = mu() * mu() / 2;
            double over = Math.max(0, epsilon - rho);
            yield rho == 0 ? 0 : Math.exp(-over * over / (4 * rho));
          }
          case RDP, RDP_CLASSIC -> {
            double least = 1;
            double[] orders = RenyiDivergence.orders();
            double[] values = curve();
            for (int k = 0; k < orders.length; k++) {
              double one =
                  RenyiDivergence.delta(orders[k], values[k], epsilon, method == Method.RDP);
              least = Math.min(least, one);
            }
            yield least;
          }
          case PLD -> losses().delta(epsilon);
          case GDP_LIMIT -> AnalyticGaussian.delta(limitMu(), epsilon);
        };
    return guarantee(epsilon, delta, method);
  }

  private double bestOrder(double delta, boolean tight) {
    double least = Double.POSITIVE_INFINITY;
    double[] orders = RenyiDivergence.orders();
    double[] values = curve();
    for (int k = 0; k < orders.length; k++) {
      least = Math.min(least, RenyiDivergence.epsilon(orders[k], values[k], delta, tight));
    }
    return least;
  }

  private double[] curve() {
    double[] found = curve;
    if (found == null) {
      found = Arrays.stream(RenyiDivergence.orders()).map(this::renyi).toArray();
      curve = found;
    }
    return found;
  }

  /** mu of the central limit: sum of times (q^2 (e^(1/sigma^2) - 1)). */
  private double limitMu() {
    double square = 0;
    for (Steps steps : schedule) {
      if (steps.mechanism() instanceof Mechanism.PoissonGaussian poisson && samples(poisson)) {
        double one = poisson.rate() * poisson.rate();
        double sigma = poisson.noiseMultiplier();
        square += steps.times() * one * Math.expm1(1 / (sigma * sigma));
      } else if (samples(steps.mechanism())) {
        throw new IllegalArgumentException(
            steps.mechanism() + " has no limit form here: account for it by RDP");
      } else {
        double mu = ratio(steps.mechanism());
        square += steps.times() * mu * mu;
      }
    }
    return Math.sqrt(square);
  }

  private PrivacyLoss losses() {
    PrivacyLoss found = losses;
    if (found == null) {
      found = composed();
      losses = found;
    }
    return found;
  }

  private PrivacyLoss composed() {
    List<PrivacyLoss.Part> parts = new ArrayList<>();
    double square = 0;
    for (Steps steps : schedule) {
      if (steps.times() == 0) {
        continue;
      }
      if (steps.mechanism() instanceof Mechanism.BatchGaussian batch && samples(batch)) {
        throw new IllegalArgumentException(
            batch + " has no proven worst pair of outputs: account for it by RDP");
      }
      if (steps.mechanism() instanceof Mechanism.PoissonGaussian poisson && samples(poisson)) {
        parts.add(new PrivacyLoss.Part(poisson.noiseMultiplier(), poisson.rate(), steps.times()));
      } else {
        double mu = ratio(steps.mechanism());
        square += steps.times() * mu * mu;
      }
    }
    if (square > 0) {
      // All Gaussian mechanisms together are one.
      parts.add(new PrivacyLoss.Part(1 / Math.sqrt(square), 1, 1));
    }
    return new PrivacyLoss(parts);
  }

  private Guarantee guarantee(double epsilon, double delta, Method method) {
    boolean limit = method == Method.GDP_LIMIT && sampled();
    String remark;
    if (origin == NoiseOrigin.SIMULATED) {
      remark = "the noise is SIMULATED from a public seed, and whoever knows the seed removes it";
    } else if (limit) {
      remark = "the central-limit form underestimates epsilon";
    } else {
      remark = "the noise is made from secrets that the adversary does not hold";
    }
    boolean certified =
        origin == NoiseOrigin.SECRET && !limit && epsilon < Double.POSITIVE_INFINITY;
    return new Guarantee(epsilon, delta, adjacency, adversary, method, certified, remark);
  }

  /**
   * The bound b on max_i (R^-1)_ii, as {@link NoiseCovariance} takes it, with which a number of
   * rounds of noise over nodes meets (epsilon, delta): b = mu^2 / (rounds (factor clip)^2), mu the
   * ratio that the method allows, less one part in 10^8 for the rounding of R.
   *
   * @param epsilon positive
   * @param delta in (0, 1)
   * @param method {@link Method#EXACT}, or {@link Method#ZCDP}, the form of the papers, mu^2 / 2 =
   *     (sqrt(ln(1/delta) + epsilon) - sqrt(ln(1/delta)))^2
   * @param adjacency what neighbouring inputs are
   * @param clip the bound on one unit's part, positive
   * @param rounds how often it is released, positive
   * @throws IllegalArgumentException when an argument is outside its range, or the method is
   *     another
   */
  public static double precisionBound(
      double epsilon, double delta, Method method, Adjacency adjacency, double clip, long rounds) {
    Checks.targetEpsilon(epsilon);
    Checks.delta(delta);
    Checks.positive("the clip norm", clip);
    if (rounds < 1) {
      throw new IllegalArgumentException(
          "noise for " + rounds + " rounds has no bound: give 1 or more");
    }
    double mu =
        switch (method) {
          case EXACT -> 1 / AnalyticGaussian.standardDeviation(epsilon, delta);
          case ZCDP -> {
            double log = -Math.log(delta);
            yield Math.sqrt(2) * epsilon / (Math.sqrt(log + epsilon) + Math.sqrt(log));
          }
          default ->
              throw new IllegalArgumentException(
                  "noise over nodes is calibrated by EXACT or ZCDP, not by " + method);
        };
    double perUnit = mu / (adjacency.sensitivity() * clip);
    return perUnit * perUnit / rounds * (1 - 1e-8);
  }

  /**
   * The least noise multiplier, from above to one part in a million (by PLD, in ten thousand),
   * whose schedule meets (epsilon, delta).
   *
   * @param epsilon positive
   * @param delta in (0, 1)
   * @param method by which it is accounted
   * @param schedule the accountant for a noise multiplier; a larger one must not cost more
   * @throws IllegalArgumentException when a target is outside its range, or no multiplier meets it
   */
  public static double calibrate(
      double epsilon, double delta, Method method, DoubleFunction<Accountant> schedule) {
    Checks.targetEpsilon(epsilon);
    Checks.delta(delta);
    return Bisection.leastWhere(
        multiplier -> schedule.apply(multiplier).epsilon(delta, method).epsilon() <= epsilon,
        1,
        method == Method.PLD ? 1e-4 : 1e-6);
  }
}
