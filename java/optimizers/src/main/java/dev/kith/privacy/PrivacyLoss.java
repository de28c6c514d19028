package dev.kith.privacy;

import java.util.ArrayList;
import java.util.List;

/**
 * The privacy loss of a schedule on a grid, an upper bound in every step.
 *
 * <p>P's and Q's mass of a bin (l_k, l_(k+1)] go to its two ends so that both are kept: merging the
 * ends gives back the original, so that the original is a post-processing of what is accounted
 * (which is what connecting the dots of the hockey-stick curve amounts to; V. Doroshenko et al.,
 * PoPETs 2022). Moving mass of P upwards or adding some never lowers delta = sum P(l) (1 - e^(eps -
 * l))_+; rounding errors of the masses are covered that way. What Fourier transforms add is bounded
 * frequency by frequency and added to delta, and so is what lies beyond the grid.
 */
final class PrivacyLoss {
  /** Below this delta the rounding of the transforms may weigh more than delta itself. */
  static final double LEAST_DELTA = 1e-8;

  /** Mass that is cut off above the grid, and that may wrap round from below it. */
  private static final double TAIL = 1e-16;

  /** The spread that the grid adds to the composed loss is at most this. */
  private static final double SPREAD = 5e-3;

  private static final int MAX_SIZE = 1 << 21;

  /** Covers the rounding of bin borders and tails: far above 100 units in the last place. */
  private static final double SLACK = 0x1p-42;

  private static final double UNIT = 0x1p-53;

  /**
   * Steps of one kind: the Gaussian with sensitivity 1.
   *
   * @param sigma standard deviation
   * @param rate of the Poisson sample, in (0, 1]
   * @param times how often
   */
  record Part(double sigma, double rate, long times) {}

  /**
   * Steps of one pair of distributions.
   *
   * @param pair the pair
   * @param times how often
   */
  record Run(LossPair pair, long times) {}

  /** Masses of P at the multiples of the width, first to first + mass.length - 1. */
  private record Grid(int first, double[] mass, double infinite, long times) {}

  /**
   * A composed loss.
   *
   * @param lowest the loss of the first mass
   * @param width between masses
   * @param mass P's masses, none negative
   * @param beyond what is added to delta: infinite losses, tails, rounding
   */
  private record Composed(double lowest, double width, double[] mass, double beyond) {}

  private final List<Composed> directions = new ArrayList<>();

  /** Both directions of the adjacency: the record is in P only, or in Q only. */
  PrivacyLoss(List<Part> parts) {
    List<Run> removed = new ArrayList<>();
    List<Run> added = new ArrayList<>();
    boolean symmetric = true;
    for (Part part : parts) {
      LossPair pair = new LossPair.Removed(part.sigma(), part.rate());
      removed.add(new Run(pair, part.times()));
      added.add(new Run(new LossPair.Exchanged(pair), part.times()));
      symmetric &= part.rate() == 1;
    }
    if (!parts.isEmpty()) {
      directions.add(compose(removed));
      if (!symmetric) {
        directions.add(compose(added));
      }
    }
  }

  /** One direction of any pairs. */
  static PrivacyLoss of(List<Run> runs) {
    PrivacyLoss loss = new PrivacyLoss(List.of());
    loss.directions.add(compose(runs));
    return loss;
  }

  private static Composed compose(List<Run> runs) {
    long steps = runs.stream().mapToLong(Run::times).sum();
    double width = SPREAD / Math.sqrt((double) steps);
    double[][] ranges = new double[runs.size()][];
    for (int r = 0; r < ranges.length; r++) {
      LossPair pair = runs.get(r).pair();
      double tail = TAIL / steps;
      double high = Bisection.leastWhere(loss -> pair.above(loss) <= tail, 1, 1e-3);
      // Mass below the range moves up into it, so that its lower end costs tightness only.
      double low =
          pair.below(0) <= tail
              ? 0
              : -Bisection.leastWhere(loss -> pair.below(-loss) <= tail, 1, 1e-3);
      ranges[r] = new double[] {low, high};
      width = Math.max(width, (high - low) / (MAX_SIZE / 2));
    }
    while (true) {
      List<Grid> grids = new ArrayList<>();
      for (int r = 0; r < ranges.length; r++) {
        grids.add(discretise(runs.get(r), ranges[r][0], ranges[r][1], width));
      }
      double top = reach(grids, width, 1);
      double bottom = -reach(grids, width, -1);
      long first = (long) Math.floor(bottom / width);
      long needed = (long) Math.ceil(top / width) - first + 2;
      if (needed <= MAX_SIZE) {
        int size = Math.max(2, Integer.highestOneBit((int) needed - 1) * 2);
        return convolve(grids, width, first, size);
      }
      width *= 2;
    }
  }

  private static Grid discretise(Run run, double low, double high, double width) {
    LossPair pair = run.pair();
    int first = (int) Math.floor(low / width);
    int last = (int) Math.ceil(high / width);
    double[] mass = new double[last - first + 1];
    double before = pair.below(first * width);
    double otherBefore = pair.otherBelow(first * width);
    double beforeAbove = pair.above(first * width);
    double otherBeforeAbove = pair.otherAbove(first * width);
    mass[0] = before * (1 + SLACK);
    double share = -Math.expm1(-width);
    for (int k = first; k < last; k++) {
      double end = (k + 1) * width;
      double below = pair.below(end);
      double above = pair.above(end);
      double otherBelow = pair.otherBelow(end);
      double otherAbove = pair.otherAbove(end);
      // The difference of the smaller tails loses the fewest digits.
      boolean upper = beforeAbove < before;
      double p = upper ? beforeAbove - above : below - before;
      double rounding = 8 * UNIT * (upper ? beforeAbove : below);
      boolean otherUpper = otherBeforeAbove < otherBefore;
      double q = otherUpper ? otherBeforeAbove - otherAbove : otherBelow - otherBefore;
      double growth = Math.exp(k * width);
      double otherRounding = 8 * UNIT * (otherUpper ? otherBeforeAbove : otherBelow) * growth;
      p = Math.max(0, p) * (1 + SLACK) + rounding;
      double up = (p - q * growth + SLACK * p + otherRounding) / share;
      up = growth < Double.POSITIVE_INFINITY ? Math.min(p, Math.max(0, up)) : p;
      mass[k - first] += p - up;
      mass[k + 1 - first] += up;
      before = below;
      beforeAbove = above;
      otherBefore = otherBelow;
      otherBeforeAbove = otherAbove;
    }
    return new Grid(first, mass, beforeAbove * (1 + SLACK), run.times());
  }

  /**
   * A loss that the sum passes, upwards (sign 1) or downwards (-1), with probability at most TAIL:
   * Chernoff's bound, for the best of some exponents.
   */
  private static double reach(List<Grid> grids, double width, int sign) {
    double least = Double.POSITIVE_INFINITY;
    for (double theta = 0x1p-6; theta <= 0x1p12; theta *= Math.sqrt(2)) {
      double log = -Math.log(TAIL);
      for (Grid grid : grids) {
        log += grid.times() * logMoment(grid, sign * theta * width);
      }
      least = Math.min(least, log / theta);
    }
    return least;
  }

  /** ln sum_k mass_k e^(exponent k). */
  private static double logMoment(Grid grid, double exponent) {
    double[] mass = grid.mass();
    int far = exponent > 0 ? mass.length - 1 : 0;
    while (mass[far] == 0) {
      far -= exponent > 0 ? 1 : -1;
    }
    double largest = exponent * (grid.first() + far);
    double sum = 0;
    for (int k = 0; k < mass.length; k++) {
      sum += mass[k] * Math.exp(exponent * (grid.first() + k) - largest);
    }
    return largest + Math.log(sum);
  }

  private static Composed convolve(List<Grid> grids, double width, long first, int size) {
    FourierTransform transform = new FourierTransform(size);
    double[] real = new double[size];
    double[] imaginary = new double[size];
    double beyond = 0;
    double power = 0;
    long shift = 0;
    // At frequency k a grid's exact and computed values f are at most a in size and e apart, so
    // that
    // the products of their powers are at most prod a^times sum (times e / a) apart.
    double[] logs = new double[size];
    double[] apart = new double[size];
    for (int g = 0; g < grids.size(); g++) {
      Grid grid = grids.get(g);
      double[] re = new double[size];
      double[] im = new double[size];
      double sum = 0;
      for (int k = 0; k < grid.mass().length; k++) {
        // A loss of a single step may lie outside the composed range: it wraps round.
        re[k % size] += grid.mass()[k];
        sum += grid.mass()[k];
      }
      transform.forward(re, im);
      double error = transform.relativeError() * sum;
      for (int k = 0; k < size; k++) {
        double most = Math.sqrt(re[k] * re[k] + im[k] * im[k]) + error;
        logs[k] += grid.times() * Math.log(most);
        apart[k] += grid.times() * error / most;
      }
      raise(re, im, grid.times());
      if (g == 0) {
        System.arraycopy(re, 0, real, 0, size);
        System.arraycopy(im, 0, imaginary, 0, size);
      } else {
        for (int k = 0; k < size; k++) {
          double product = real[k] * re[k] - imaginary[k] * im[k];
          imaginary[k] = real[k] * im[k] + imaginary[k] * re[k];
          real[k] = product;
        }
      }
      beyond += grid.times() * grid.infinite();
      power += 3 * UNIT * (grid.times() + 1.0);
      shift += grid.times() * grid.first();
    }
    double errors = 0;
    double squares = 0;
    for (int k = 0; k < size; k++) {
      double most = Math.exp(logs[k]);
      double error = most * (apart[k] + power);
      errors += error * error;
      squares += most * most;
    }
    double off = Math.sqrt(errors / size) + transform.relativeError() * Math.sqrt(squares / size);
    transform.inverse(real, imaginary);
    double[] mass = new double[size];
    for (int k = 0; k < size; k++) {
      int place = (int) Math.floorMod(shift + k - first, (long) size);
      mass[place] = Math.max(0, real[k]);
    }
    return new Composed(
        first * width, width, mass, Math.min(1, beyond + TAIL + off * Math.sqrt(size)));
  }

  /** z^times in every place, by squaring. */
  private static void raise(double[] re, double[] im, long times) {
    for (int k = 0; k < re.length; k++) {
      double baseRe = re[k];
      double baseIm = im[k];
      double powerRe = 1;
      double powerIm = 0;
      for (long rest = times; rest > 0; rest >>= 1) {
        if ((rest & 1) != 0) {
          double next = powerRe * baseRe - powerIm * baseIm;
          powerIm = powerRe * baseIm + powerIm * baseRe;
          powerRe = next;
        }
        double squared = baseRe * baseRe - baseIm * baseIm;
        baseIm = 2 * baseRe * baseIm;
        baseRe = squared;
      }
      re[k] = powerRe;
      im[k] = powerIm;
    }
  }

  double delta(double epsilon) {
    double largest = 0;
    for (Composed loss : directions) {
      double sum = loss.beyond();
      for (int k = loss.mass().length - 1; k >= 0; k--) {
        double over = loss.lowest() + k * loss.width() - epsilon;
        if (over <= 0) {
          break;
        }
        sum += loss.mass()[k] * -Math.expm1(-over);
      }
      largest = Math.max(largest, sum);
    }
    return Math.min(1, largest);
  }

  double epsilon(double delta) {
    double largest = 0;
    for (Composed loss : directions) {
      largest = Math.max(largest, epsilon(loss, delta));
    }
    return largest;
  }

  private static double epsilon(Composed loss, double delta) {
    if (loss.beyond() > delta / 2) {
      throw new IllegalArgumentException(
          "PLD certifies delta to "
              + loss.beyond()
              + " here and cannot answer for "
              + delta
              + ": take RDP, or a larger delta");
    }
    // Downwards from the top: all = mass above, discounted = sum of mass e^(loss here - loss).
    double all = loss.beyond();
    double discounted = 0;
    double step = Math.exp(-loss.width());
    for (int k = loss.mass().length - 1; k >= 0; k--) {
      double here = loss.lowest() + k * loss.width();
      if (all - discounted > delta) {
        // Between here and the next: all - discounted e^(eps - here) = delta.
        double root = here + Math.log((all - delta) / discounted);
        return Math.max(0, root);
      }
      if (here <= 0) {
        return 0;
      }
      all += loss.mass()[k];
      discounted = (discounted + loss.mass()[k]) * step;
    }
    throw new IllegalArgumentException(
        "the loss lies above its grid: ask for a larger delta than " + delta);
  }
}
