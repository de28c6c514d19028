package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import java.util.Arrays;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;

/** What the step rules are to each other, whatever the kernel does. */
class StepLawsTest {
  private static final int TRIES = 60;
  private static final String SEED = "20260103";

  /** Runs steps from x with gradients drawn by seed; returns the parameters after the last. */
  private static double[][] run(
      Rig.Session session,
      StepRule rule,
      StepOptions options,
      DType t,
      double[][] x,
      int steps,
      long seed) {
    int cols = x[0].length;
    Operand parameters = session.operand(t, x, cols);
    try (Step step = new Step(rule, options, parameters.matrix())) {
      for (int i = 1; i <= steps; i++) {
        double[][] g = gradient(t, x.length, cols, seed, i);
        step.apply(parameters.matrix(), session.matrix(t, g, cols));
      }
    }
    return parameters.values();
  }

  private static double[][] gradient(DType t, int rows, int cols, long seed, int step) {
    return Samples.matrix(Samples.Kind.ORDINARY, t, rows, cols, seed + 1000L * step);
  }

  private static double[][] start(DType t, int rows, int cols, long seed) {
    return Samples.matrix(Samples.Kind.ORDINARY, t, rows, cols, seed);
  }

  /** From x = 0 one SGD step of size 1 shows the clipped gradient. */
  @Property(tries = TRIES, seed = SEED)
  void clippingNeverLengthensAndKeepsShortGradients(
      @ForAll @IntRange(min = 1, max = 3000) int cols,
      @ForAll @DoubleRange(min = 0.01, max = 100) double bound,
      @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      double[][] y =
          run(
              session,
              new StepRule.Sgd(1),
              StepOptions.builder().clipNorm(bound).build(),
              DType.F32,
              new double[2][cols],
              1,
              seed);
      double[][] g = gradient(DType.F32, 2, cols, seed, 1);
      for (int r = 0; r < 2; r++) {
        double before = norm(g[r]);
        double after = norm(y[r]);
        // The measured norm, the factor and the products are off by 72, 2 and 1 roundings at most.
        double slack = 1 + 80 * 0x1p-24;
        assertTrue(after <= Math.min(before, bound * slack), after + " of " + before);
        if (before < bound / slack) {
          assertArrayEquals(Arrays.stream(g[r]).map(v -> 0.0 - v).toArray(), y[r]);
        } else {
          assertTrue(after * slack * slack >= Math.min(before, bound), after + " of " + before);
        }
      }
      session.release();
    }
  }

  private static double norm(double[] v) {
    return Math.sqrt(Arrays.stream(v).map(a -> a * a).sum());
  }

  /** With beta1 = 0 Adam divides by the bias-corrected root of RMSProp's average. */
  @Property(tries = TRIES, seed = SEED)
  void adamWithoutMomentumIsBiasCorrectedRmsProp(
      @ForAll @IntRange(min = 1, max = 200) int cols,
      @ForAll @IntRange(min = 1, max = 6) int steps,
      @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      double eta = 0.01;
      double beta2 = 0.9;
      double eps = 1e-4;
      double[][] x = start(DType.F64, 1, cols, seed);
      double[][] y =
          run(
              session,
              new StepRule.Adam(eta, 0, beta2, eps),
              StepOptions.none(),
              DType.F64,
              x,
              steps,
              seed);
      double[] average = new double[cols];
      double[] expected = x[0].clone();
      for (int t = 1; t <= steps; t++) {
        double[] g = gradient(DType.F64, 1, cols, seed, t)[0];
        for (int c = 0; c < cols; c++) {
          average[c] = beta2 * average[c] + (1 - beta2) * g[c] * g[c];
          double corrected = average[c] / (1 - Math.pow(beta2, t));
          expected[c] -= eta * g[c] / (Math.sqrt(corrected) + eps);
        }
      }
      for (int c = 0; c < cols; c++) {
        // A step is at most eta / sqrt(1 - beta2) long and takes some fifteen roundings; |x| stays
        // below 3.
        assertEquals(expected[c], y[0][c], steps * 0x1p-53 * (3 + 20 * eta / Math.sqrt(0.1)));
      }
      session.release();
    }
  }

  /**
   * Without momentum heavy ball and Nesterov are one rule, and SGD up to the rounding that its fma
   * saves.
   */
  @Property(tries = TRIES, seed = SEED)
  void withoutMomentumTheMomentumRulesAreSgd(
      @ForAll @IntRange(min = 1, max = 200) int cols,
      @ForAll @IntRange(min = 1, max = 6) int steps,
      @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      double[][] x = start(DType.F32, 2, cols, seed);
      StepOptions none = StepOptions.none();
      double[][] ball =
          run(session, new StepRule.HeavyBall(0.1, 0), none, DType.F32, x, steps, seed);
      double[][] ahead =
          run(session, new StepRule.Nesterov(0.1, 0), none, DType.F32, x, steps, seed);
      double[][] sgd = run(session, new StepRule.Sgd(0.1), none, DType.F32, x, steps, seed);
      for (int r = 0; r < 2; r++) {
        assertArrayEquals(ball[r], ahead[r]);
        for (int c = 0; c < cols; c++) {
          // |x| < 4, |eta g| < 0.4; three roundings a step between the two.
          assertEquals(sgd[r][c], ball[r][c], steps * 3 * 0x1p-24 * 4);
        }
      }
      session.release();
    }
  }

  @Property(tries = TRIES, seed = SEED)
  void aStepOfSizeZeroChangesNothing(
      @ForAll @IntRange(min = 1, max = 200) int cols,
      @ForAll @IntRange(min = 0, max = 9) int rule,
      @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      StepRule still = StepTest.defaults().get(rule).withStepSize(0);
      double[][] x = start(DType.F32, 2, cols, seed);
      StepOptions decay = StepOptions.builder().weightDecay(0.5).decoupled(true).build();
      // The momentum rules move by their velocity, which without a step size stays 0.
      assertArrayEquals(x, run(session, still, decay, DType.F32, x, 3, seed), still.name());
      session.release();
    }
  }

  /** Rows are nodes: no rule looks across them. */
  @Property(tries = TRIES, seed = SEED)
  void nodesDoNotSeeEachOther(
      @ForAll @IntRange(min = 2, max = 9) int n,
      @ForAll @IntRange(min = 1, max = 200) int cols,
      @ForAll @IntRange(min = 0, max = 9) int rule,
      @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      StepRule each = StepTest.defaults().get(rule);
      StepOptions options = StepOptions.builder().weightDecay(0.1).clipNorm(1).build();
      double[][] x = start(DType.F32, n, cols, seed);
      double[][] g = gradient(DType.F32, n, cols, seed, 1);
      double[][] together = one(session, each, options, x, g);
      for (int r = 0; r < n; r++) {
        double[][] alone =
            one(session, each, options, new double[][] {x[r]}, new double[][] {g[r]});
        assertArrayEquals(together[r], alone[0]);
      }
      session.release();
    }
  }

  private static double[][] one(
      Rig.Session session, StepRule rule, StepOptions options, double[][] x, double[][] g) {
    int cols = x[0].length;
    Operand parameters = session.operand(DType.F32, x, cols);
    DeviceMatrix gradient = session.matrix(DType.F32, g, cols);
    try (Step step = new Step(rule, options, parameters.matrix())) {
      step.apply(parameters.matrix(), gradient);
    }
    return parameters.values();
  }

  /** L2 decay is a gradient of lambda x; decoupled decay shrinks and leaves the rule alone. */
  @Property(tries = TRIES, seed = SEED)
  void decayWithoutGradientShrinks(
      @ForAll @IntRange(min = 1, max = 200) int cols, @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      double[][] x = start(DType.F64, 1, cols, seed);
      double[][] zero = new double[1][cols];
      double factor = 1 - 0.25 * 0.5;
      for (boolean decoupled : new boolean[] {false, true}) {
        Operand parameters = session.operand(DType.F64, x, cols);
        StepOptions options = StepOptions.builder().weightDecay(0.5).decoupled(decoupled).build();
        try (Step step = new Step(new StepRule.Sgd(0.25), options, parameters.matrix())) {
          step.apply(parameters.matrix(), session.matrix(DType.F64, zero, cols));
        }
        // All factors are powers of two or sums of few of them, and x has 53 bits: one rounding.
        parameters.expect(Arrays.stream(x[0]).map(v -> v * factor).toArray());
      }
      session.release();
    }
  }
}
