package dev.kith.privacy;

import dev.kith.problem.UserErm;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Optional;

/**
 * Ingredients of user-level private convex optimisation: regularised risk minimisers that are
 * released when leaving out any one user moves them little, which for users with many independent
 * items is far less than in the worst case. <b>Not a certified mechanism</b>: its test was rebuilt
 * from summaries, and the {@link Accountant} refuses {@link Mechanism#USER_LEVEL_RELEASE}.
 *
 * <p>Of the users S a phase
 *
 * <ol>
 *   <li>leaves out users one after the other, always the one whose absence moves xhat(S) most,
 *       until leaving out any one moves it by at most Delta: l users are gone then, S' stay. The
 *       source asks for the least number; finding it takes more than polynomial time, and this is
 *       an upper bound;
 *   <li>fails, and releases nothing, unless l plus a truncated discrete Laplace number of step
 *       epsilon/2 and bound kappa is at most kappa, kappa the least whose end point has a
 *       probability up to delta/2. With l = 0 it never fails, with l above 2 kappa always;
 *   <li>releases xhat(S') + N(0, sigma^2 I), sigma = Delta times that of the analytic Gaussian
 *       mechanism for (epsilon/2, delta/2), as a discrete Gaussian on a grid of sigma / 2^20.
 * </ol>
 *
 * <p>{@link #localise} chains phases with growing strength around what the phase before released:
 * the distance to the minimiser and the noise shrink together.
 *
 * <p>Source: "On User-Level Private Convex Optimization", 2023; reconstructed.
 */
public final class UserLevelRelease {
  /** Grid points of the noise in one standard deviation. */
  private static final long GRID = 1L << 20;

  private static final int MAX_BOUND = 1 << 20;

  private final UserErm erm;
  private final double epsilon;
  private final double delta;
  private final RandomWords words;
  private final TruncatedDiscreteLaplace test;
  private final int bound;
  private final DiscreteGaussian noise;

  /**
   * @param erm the users' risk
   * @param epsilon that each phase is meant for, positive; phases add up
   * @param delta that each phase is meant for, in (0, 1)
   * @param words what test and noise are drawn from
   * @throws IllegalArgumentException when epsilon or delta is outside its range, or epsilon so
   *     small that kappa exceeds 2^20
   */
  public UserLevelRelease(UserErm erm, double epsilon, double delta, RandomWords words) {
    Checks.targetEpsilon(epsilon);
    Checks.delta(delta);
    this.erm = erm;
    this.epsilon = epsilon;
    this.delta = delta;
    this.words = words;
    // The step as a fraction, rounded down: a smaller one is a wider distribution.
    long denominator = 1L << 20;
    long numerator = (long) Math.floor(epsilon / 2 * denominator);
    if (numerator < 1 || endPoint(numerator, denominator, MAX_BOUND) > delta / 2) {
      throw new IllegalArgumentException(
          "an epsilon of "
              + epsilon
              + " asks for a test of more than 2^20 users: give a larger one");
    }
    int low = -1;
    int found = MAX_BOUND;
    while (found - low > 1) {
      int middle = (low + found) / 2;
      if (endPoint(numerator, denominator, middle) > delta / 2) {
        low = middle;
      } else {
        found = middle;
      }
    }
    this.bound = found;
    this.test = new TruncatedDiscreteLaplace(numerator, denominator, bound, words);
    this.noise = new DiscreteGaussian(GRID * GRID, 1, words);
  }

  private double endPoint(long numerator, long denominator, int limit) {
    return new TruncatedDiscreteLaplace(numerator, denominator, limit, words).delta();
  }

  /** kappa. */
  public int bound() {
    return bound;
  }

  /** Whether test and noise come from secret words. */
  public NoiseOrigin origin() {
    return words.origin();
  }

  /** What an accountant is told, and refuses. */
  public Mechanism mechanism() {
    return Mechanism.USER_LEVEL_RELEASE;
  }

  /**
   * The size to which displacements concentrate when items are independent: G sqrt(ln(n / beta)) /
   * (mu n sqrt(m)). In the worst case they reach 2 G / (mu n).
   *
   * @param lipschitz G
   * @param users n
   * @param items m, of each user
   * @param strength mu
   * @param beta the probability that some user moves it more, up to a constant factor
   */
  public static double concentrated(
      double lipschitz, int users, int items, double strength, double beta) {
    return lipschitz * Math.sqrt(Math.log(users / beta)) / (strength * users * Math.sqrt(items));
  }

  /** Users that stay, and how many had to go. */
  record Pruned(BitSet kept, int gone) {}

  /**
   * Leaves users out until leaving out any one more moves xhat by at most {@code sensitivity};
   * stops when more than 2 kappa are gone, since the test fails then whatever it draws.
   */
  Pruned prune(double[] centre, double strength, double sensitivity) {
    BitSet kept = new BitSet();
    kept.set(0, erm.users());
    int gone = 0;
    while (gone <= 2 * bound && kept.cardinality() >= 2) {
      double[] moved = erm.displacements(kept, centre, strength);
      int worst = 0;
      for (int i = 1; i < moved.length; i++) {
        worst = moved[i] > moved[worst] ? i : worst;
      }
      if (moved[worst] <= sensitivity) {
        return new Pruned(kept, gone);
      }
      kept.clear(worst);
      gone++;
    }
    return new Pruned(kept, 2 * bound + 1);
  }

  /**
   * One phase.
   *
   * @param centre d numbers
   * @param strength mu, positive and finite
   * @param sensitivity Delta, positive and finite
   * @return d numbers, or nothing when the test fails
   * @throws IllegalArgumentException when an argument is outside its range
   */
  public Optional<double[]> release(double[] centre, double strength, double sensitivity) {
    Checks.positive("the sensitivity", sensitivity);
    Pruned pruned = prune(centre, strength, sensitivity);
    if (pruned.gone() + test.next() > bound) {
      return Optional.empty();
    }
    double unit = AnalyticGaussian.standardDeviation(epsilon / 2, delta / 2);
    // Rounding to the grid moves neighbours apart by up to sqrt(d) of its steps.
    double rounding = Math.sqrt(erm.dimension()) * unit / GRID;
    if (!(rounding < 0.5)) {
      throw new IllegalArgumentException(
          "noise of "
              + unit
              + " times the sensitivity is too coarse a grid for "
              + erm.dimension()
              + " numbers: give a larger epsilon");
    }
    double step = sensitivity * unit / (1 - rounding) / GRID;
    double[] point = erm.minimiser(pruned.kept(), centre, strength);
    Arrays.setAll(point, c -> step * (Math.rint(point[c] / step) + noise.next()));
    return Optional.of(point);
  }

  /** The sensitivity that a phase is given. */
  public interface Target {
    /**
     * Delta of a phase.
     *
     * @param strength mu of the phase
     */
    double sensitivity(double strength);
  }

  /**
   * Phases with the strengths mu, 4 mu, 16 mu, ..., each around what the one before released;
   * nothing as soon as one of them fails. Together they cost the phases' epsilons and deltas added
   * up.
   *
   * @param start the first centre, d numbers
   * @param strength mu of the first phase
   * @param phases how many, 1 or more; the source takes log2 of the number of users
   * @param target Delta by strength
   * @throws IllegalArgumentException when an argument is outside its range
   */
  public Optional<double[]> localise(double[] start, double strength, int phases, Target target) {
    if (phases < 1) {
      throw new IllegalArgumentException(phases + " phases are too few: take at least 1");
    }
    Optional<double[]> at = Optional.of(start.clone());
    double mu = strength;
    for (int p = 0; p < phases && at.isPresent(); p++) {
      at = release(at.get(), mu, target.sensitivity(mu));
      mu *= 4;
    }
    return at;
  }
}
