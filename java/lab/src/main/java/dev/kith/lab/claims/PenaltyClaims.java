package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.lab.data.DataSets;
import dev.kith.lab.data.Scaling;
import dev.kith.network.Network;
import dev.kith.optimizer.Pbgd;
import dev.kith.problem.BilevelProblem;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.DataCleaning;
import dev.kith.problem.LowerGradientInUpper;
import dev.kith.problem.Regularizer;
import dev.kith.problem.SineBilevel;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.Optional;
import java.util.stream.IntStream;

/** Experiments with penalties for bilevel problems. */
final class PenaltyClaims {
  private static final double[] MINIMA = {0.382, 1.215, 2.830};
  private static final double STATIONARY = 1e-5;
  private static final int MAX_STEPS = 60_000;

  /** How near a minimum a start has to come: that of the claim. */
  private static final double NEAR = 0.06;

  private PenaltyClaims() {}

  /** V-PBGD from many starts on a lower level that is not convex, with two penalties. */
  static Measurement constrained(Setting setting) {
    int starts = setting.pick(100, 200);
    Runs ten = runs(setting, starts, 10);
    Runs hundred = runs(setting, starts, 100);
    Measurement measurement =
        Measurement.under(
                "%d starts, x in (0, 3.5) and y in (-5, 8.5), C = [0, 3], alpha = 0.1 / gamma, one lower step of 0.1, until the projected gradient is below 1e-5, f64; cost is that of all starts within 0.06 of a minimum in 2000 rounds, two nodes, gamma = 10, the best of 1/4, 1/2, 1, 2 times 0.01 (V-PBGD) and 1/1280 (G-PBGD); cleaning: %d digits, half of the labels wrong, %d clean ones, 4 nodes, alpha 300 and 1, beta 0.5, gamma to 0.2 over 300 of 400 steps"
                    .formatted(starts, DIRTY, CLEAN))
            .with("unfinished", ten.unfinished() + hundred.unfinished())
            .with("worstDistance", ten.worstDistance())
            .with("worstGap", ten.worstGap())
            .with("worstGap100", hundred.worstGap())
            .with("medianSteps", ten.medianSteps())
            .with("medianSteps100", hundred.medianSteps());
    return setting.sabotaged()
        ? measurement
        : withCleaning(setting, withCosts(setting, starts, measurement));
  }

  private static final int DIRTY = 300;
  private static final int CLEAN = 100;

  /** Digits half of whose labels are wrong, with trust that is learnt and with none. */
  private static Measurement withCleaning(Setting setting, Measurement measurement) {
    DataSets digits = DataSets.load("digits", Optional.empty(), "last", Scaling.UNIT, 1);
    ClassificationData all = digits.train();
    int[] dirty = IntStream.range(0, DIRTY).toArray();
    int[] clean = IntStream.range(DIRTY, DIRTY + CLEAN).toArray();
    int[] labels = all.labels(dirty);
    boolean[] wrong = new boolean[DIRTY];
    SharedRandom random = new SharedRandom(1, Stream.DATA, 0, 1);
    for (int k : random.subset(DIRTY / 2, DIRTY)) {
      wrong[k] = true;
      labels[k] = (labels[k] + 1 + (int) random.below(DIRTY + k, 9)) % all.classes();
    }
    ClassificationData train =
        ClassificationData.of(
            "digits with wrong labels", all.features(), all.classes(), all.rows(dirty), labels);
    try (DataCleaning problem = new DataCleaning(train, all.subset("clean digits", clean), 4)) {
      double[] learnt = clean(setting, problem, 300);
      double[] none = clean(setting, problem, 0);
      int flagged = (int) IntStream.range(0, DIRTY).filter(k -> learnt[k] < 0 == wrong[k]).count();
      return measurement
          .with("cleanedAccuracy", problem.accuracy(learnt, digits.test()))
          .with("uncleanedAccuracy", problem.accuracy(none, digits.test()))
          .with("labelsJudgedRight", (double) flagged / DIRTY);
    }
  }

  /** (x, omega) after the cleaning: the trust, and what training with that trust gives. */
  private static double[] clean(Setting setting, DataCleaning problem, double upperStepSize) {
    try (Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(problem.nodes())))
                .build();
        DeviceMatrix start =
            DeviceMatrix.allocate(setting.queue(), 1, problem.layout(), DType.F64);
        Pbgd optimizer =
            Pbgd.builder(problem, network, start)
                .stepSize(1)
                .upperStepSize(upperStepSize)
                .lowerSteps(1, 0.5)
                .penaltyWeight(0, 0.2, 300)
                .scaled()
                .build()) {
      for (int k = 0; k < 400; k++) {
        optimizer.step();
      }
      try (DeviceMatrix row = optimizer.parameters().row(0)) {
        double[] z = row.toDoubles();
        double[] omega = optimizer.lowerSolution().toDoubles();
        System.arraycopy(omega, 0, z, z.length - omega.length, omega.length);
        return z;
      }
    }
  }

  /** Over all starts: distance to the nearest minimum, |x + y|, steps, and how many did not end. */
  private record Runs(double worstDistance, double worstGap, double medianSteps, int unfinished) {}

  /** x in (0, 3.5) and y in (-5, 8.5), all x before all y. */
  private static double[] starts(int starts) {
    SharedRandom random = new SharedRandom(1, Stream.DATA, 0, 0);
    double[] z = new double[2 * starts];
    for (int k = 0; k < starts; k++) {
      z[k] = 3.5 * random.uniform(2L * k);
      z[starts + k] = -5 + 13.5 * random.uniform(2L * k + 1);
    }
    return z;
  }

  /** From the nearest minimum. */
  private static double distance(double x, double y) {
    return Arrays.stream(MINIMA).map(m -> Math.hypot(x - m, y + m)).min().orElseThrow();
  }

  /** Step sizes that are tried, over 0.1 / gamma for V-PBGD and 1 / (128 gamma) for G-PBGD. */
  private static final double[] STEPS = {0.25, 0.5, 1, 2};

  /** What a target took, and the share of starts that are near a minimum at the end. */
  private record Reached(Cost cost, double share) {}

  /** What it takes until all starts are near a minimum, by first derivatives and by products. */
  private static Measurement withCosts(Setting setting, int starts, Measurement measurement) {
    Reached value = reached(setting, starts, Pbgd.Penalty.VALUE, 0.01);
    Reached gradient = reached(setting, starts, Pbgd.Penalty.GRADIENT, 1.0 / 1280);
    return gradient
        .cost()
        .addTo(value.cost().addTo(measurement, "vpbgd"), "gpbgd")
        .with("vpbgdShare", value.share())
        .with("gpbgdShare", gradient.share());
  }

  /** With gamma = 10 and the best step. */
  private static Reached reached(
      Setting setting, int starts, Pbgd.Penalty penalty, double stepSize) {
    Reached best = new Reached(Cost.NONE, 0);
    for (double times : STEPS) {
      try (SineBilevel problem = new SineBilevel(2, starts);
          Network network =
              Network.builder(MixingSchedule.constant(MixingMatrix.uniform(2))).build();
          DeviceMatrix start = DeviceMatrix.allocate(setting.queue(), 1, 2L * starts, DType.F64)) {
        start.upload(starts(starts));
        try (Pbgd optimizer =
            Pbgd.builder(problem, network, start)
                .penalty(penalty)
                .penaltyWeight(10)
                .stepSize(times * stepSize)
                .lowerSteps(1, 0.1)
                .constraint(Regularizer.box(0, 3))
                .build()) {
          Cost cost =
              Cost.until(
                  optimizer,
                  rows -> 1 - shareNear(rows),
                  0.5 / starts,
                  setting.pick(2000, 20_000),
                  10);
          best =
              new Reached(
                  best.cost().orBetter(cost),
                  Math.max(best.share(), shareNear(optimizer.parameters())));
        }
      }
    }
    return best;
  }

  /** Of the starts, by the first of equal rows. */
  private static double shareNear(DeviceMatrix rows) {
    try (DeviceMatrix row = rows.row(0)) {
      double[] z = row.toDoubles();
      int starts = z.length / 2;
      return IntStream.range(0, starts).filter(k -> distance(z[k], z[starts + k]) <= NEAR).count()
          / (double) starts;
    }
  }

  private static Runs runs(Setting setting, int starts, double gamma) {
    double[] z = starts(starts);
    double stepSize = 0.1 / gamma;
    int[] steps = new int[starts];
    int unfinished = starts;
    SineBilevel honest = new SineBilevel(1, starts);
    BilevelProblem problem = setting.sabotaged() ? new SlippedSlope(honest) : honest;
    try (Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(1))).build();
        DeviceMatrix start = DeviceMatrix.allocate(setting.queue(), 1, 2L * starts, DType.F64)) {
      start.upload(z);
      try (Pbgd optimizer =
          Pbgd.builder(problem, network, start)
              .penaltyWeight(gamma)
              .stepSize(stepSize)
              .lowerSteps(1, 0.1)
              .constraint(Regularizer.box(0, 3))
              .build()) {
        for (int t = 1; t <= MAX_STEPS && unfinished > 0; t++) {
          optimizer.step();
          double[] next = optimizer.parameters().toDoubles();
          for (int k = 0; k < starts; k++) {
            double moved = Math.hypot(next[k] - z[k], next[starts + k] - z[starts + k]);
            if (steps[k] == 0 && moved / stepSize <= STATIONARY) {
              steps[k] = t;
              unfinished--;
            }
          }
          z = next;
        }
      }
    }
    double distance = 0;
    double gap = 0;
    for (int k = 0; k < starts; k++) {
      distance = Math.max(distance, distance(z[k], z[starts + k]));
      gap = Math.max(gap, Math.abs(z[k] + z[starts + k]));
    }
    Arrays.sort(steps);
    return new Runs(distance, gap, steps[starts / 2], unfinished);
  }

  /** df/dx as the published code has it: 1 + (e^(2 - 4 x))^2 for (1 + e^(2 - 4 x))^2. */
  private static final class SlippedSlope implements BilevelProblem, LowerGradientInUpper {
    private final SineBilevel honest;

    SlippedSlope(SineBilevel honest) {
      this.honest = honest;
    }

    @Override
    public void gradient(DeviceMatrix z, DeviceMatrix g, long round) {
      honest.gradient(z, g, round);
      double[] at = z.toDoubles();
      double[] slope = g.toDoubles();
      int copies = at.length / 2;
      for (int k = 0; k < copies; k++) {
        double e = StrictMath.exp(2 - 4 * at[k]);
        double cosine = 4 * e * StrictMath.cos(4 * at[copies + k] + 2);
        slope[k] += cosine / (1 + e * e) - cosine / ((1 + e) * (1 + e));
      }
      g.upload(slope);
    }

    @Override
    public void lowerGradient(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round) {
      honest.lowerGradient(x, y, g, round);
    }

    @Override
    public void lowerGradientInUpper(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round) {
      honest.lowerGradientInUpper(x, y, g, round);
    }

    @Override
    public long upperSize() {
      return honest.upperSize();
    }

    @Override
    public Layout layout() {
      return honest.layout();
    }

    @Override
    public int nodes() {
      return honest.nodes();
    }

    @Override
    public int firstNode() {
      return honest.firstNode();
    }

    @Override
    public int localNodes() {
      return honest.localNodes();
    }

    @Override
    public void close() {}
  }
}
