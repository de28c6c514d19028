package dev.kith.solver;

/**
 * Finds a step t along a direction with the strong Wolfe conditions
 *
 * <pre>
 *   phi(t) &le; phi(0) + c1 t phi'(0),      |phi'(t)| &le; c2 |phi'(0)|
 * </pre>
 *
 * by bracketing and then by cubic interpolation within the bracket, kept a tenth of its length away
 * from its ends (J. Nocedal, S. Wright, "Numerical Optimization", 2006, algorithms 3.5 and 3.6).
 * Where phi(t) and phi(0) differ by no more than roundings of phi(0), the first condition is
 * replaced by phi'(t) &le; (2 c1 - 1) phi'(0), which equals it on a parabola and does not subtract
 * nearly equal numbers (W. Hager, H. Zhang, SIAM J. Optim. 16, 2005).
 *
 * @param decrease c1, in (0, 1/2)
 * @param curvature c2, in (c1, 1): a small one makes the search nearly exact
 * @param maxEvaluations how often phi is evaluated at most, at least 1
 */
public record WolfeSearch(double decrease, double curvature, int maxEvaluations) {
  /** How far the bracket grows at most in one evaluation. */
  private static final double GROWTH = 10;

  /** Steps beyond are not tried. */
  private static final double LARGEST = 1e20;

  /** Of phi(0): what values differ by that are the same but for roundings. */
  private static final double ROUNDINGS = 16;

  /**
   * phi and its slope somewhere.
   *
   * @param t the step
   * @param value phi(t)
   * @param slope phi'(t)
   */
  public record Point(double t, double value, double slope) {
    boolean finite() {
      return Double.isFinite(value) && Double.isFinite(slope);
    }
  }

  /** The function along the direction. */
  @FunctionalInterface
  public interface Function {
    /** Evaluates it. */
    Point at(double t);
  }

  /**
   * What was found.
   *
   * @param point where; with t = 0 nothing better than the start
   * @param satisfied whether both conditions hold there
   * @param evaluations how often phi was evaluated; the last time at {@code point} unless t = 0
   */
  public record Result(Point point, boolean satisfied, int evaluations) {}

  /**
   * @throws IllegalArgumentException if a number is out of its range
   */
  public WolfeSearch {
    if (!(decrease > 0 && decrease < 0.5 && curvature > decrease && curvature < 1)) {
      throw new IllegalArgumentException(
          "c1 = %s and c2 = %s do not satisfy 0 < c1 < 1/2 and c1 < c2 < 1"
              .formatted(decrease, curvature));
    }
    if (maxEvaluations < 1) {
      throw new IllegalArgumentException(
          "a search of " + maxEvaluations + " evaluations is not possible; allow at least 1");
    }
  }

  /** c1 = 1e-4, c2 = 0.9, the values of Nocedal and Wright for quasi-Newton methods, and 30. */
  public static WolfeSearch withDefaults() {
    return new WolfeSearch(1e-4, 0.9, 30);
  }

  /**
   * Searches.
   *
   * @param phi called with positive steps; values that are not finite are too far away
   * @param start at t = 0
   * @param first the step tried first, positive
   * @param epsilon the relative rounding of values: 2^-52 for f64, 2^-23 for f32
   * @throws IllegalArgumentException if the slope at the start is not negative, or a number is not
   *     finite
   */
  public Result search(Function phi, Point start, double first, double epsilon) {
    if (!(start.finite() && start.slope < 0)) {
      throw new IllegalArgumentException(
          "the direction does not go down: the value is "
              + start.value
              + " and the slope "
              + start.slope
              + " at the start");
    }
    if (!(first > 0 && first < LARGEST)) {
      throw new IllegalArgumentException(
          "a first step of " + first + " is not positive and below " + LARGEST);
    }
    double allowance = ROUNDINGS * epsilon * Math.abs(start.value);
    Point low = start;
    Point high = null;
    double t = first;
    for (int k = 1; k <= maxEvaluations; k++) {
      Point p = phi.at(t);
      boolean decreases = p.finite() && decreases(start, p, allowance);
      if (decreases && Math.abs(p.slope) <= -curvature * start.slope) {
        return new Result(p, true, k);
      }
      if (!decreases || p.value > low.value + allowance) {
        high = p;
      } else {
        if (p.slope * (high == null ? 1 : high.t - low.t) >= 0) {
          high = low;
        }
        low = p;
      }
      if (high == null && t > LARGEST / GROWTH) {
        return best(phi, start, low, k);
      }
      double next = high == null ? farther(start, low, t) : within(low, high, allowance);
      if (next == t || next == low.t) {
        return best(phi, start, low, k);
      }
      t = next;
    }
    return best(phi, start, low, maxEvaluations);
  }

  private Result best(Function phi, Point start, Point low, int evaluations) {
    return low.t == 0
        ? new Result(start, false, evaluations)
        : new Result(phi.at(low.t), false, evaluations + 1);
  }

  private boolean decreases(Point start, Point p, double allowance) {
    if (p.value <= start.value + decrease * p.t * start.slope) {
      return true;
    }
    return Math.abs(p.value - start.value) <= allowance
        && p.slope <= (2 * decrease - 1) * start.slope;
  }

  /** Still going down: where the slope would vanish if it went on as it did, at most ten times. */
  private static double farther(Point start, Point low, double t) {
    double bend = low.slope - start.slope;
    double secant = bend > 0 ? -start.slope * low.t / bend : Double.POSITIVE_INFINITY;
    return Math.max(2 * t, Math.min(GROWTH * t, secant));
  }

  /** Between two points. */
  private static double within(Point low, Point high, double allowance) {
    double width = high.t - low.t;
    double share = 0.5;
    if (high.finite()) {
      // Of the parabola through the slopes where values tell nothing, else of the cubic.
      double rise = high.value - low.value;
      double a = low.slope * width;
      double b = high.slope * width;
      if (Math.abs(rise) <= allowance) {
        share = b > a ? -a / (b - a) : 0.5;
      } else {
        double theta = a + b - 3 * rise;
        double root = Math.sqrt(Math.max(0, theta * theta - a * b));
        share = 1 - (b + root - theta) / (b - a + 2 * root);
      }
    }
    return low.t + (Double.isNaN(share) ? 0.5 : Math.clamp(share, 0.1, 0.9)) * width;
  }
}
