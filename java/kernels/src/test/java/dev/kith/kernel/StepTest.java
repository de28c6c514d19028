package dev.kith.kernel;

import static dev.kith.kernel.Contract.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The family step against the oracle, bit for bit, on every tier, thread count and cut. */
class StepTest {
  private static final List<StepRule> DEFAULTS =
      List.of(
          StepRule.Sgd.withDefaults(),
          StepRule.HeavyBall.withDefaults(),
          StepRule.Nesterov.withDefaults(),
          StepRule.Adagrad.withDefaults(),
          StepRule.Adadelta.withDefaults(),
          StepRule.RmsProp.withDefaults(),
          StepRule.Adam.withDefaults(),
          StepRule.AdaMax.withDefaults(),
          StepRule.Nadam.withDefaults(),
          StepRule.Yogi.withDefaults());

  static List<StepRule> defaults() {
    return DEFAULTS;
  }

  private static final List<Contract.Case> CASES = cases();

  private static List<Contract.Case> cases() {
    List<Contract.Case> cases = new ArrayList<>();
    cases(90_000, 0, StepCase.PLAIN).forEach(c -> add(cases, c));
    return cases;
  }

  /** Rules [from, to) at every size. */
  static List<StepCase> cases(long firstSeed, int from, int to) {
    List<StepCase> cases = new ArrayList<>();
    long seed = firstSeed;
    for (int rule = from; rule < to; rule++) {
      for (DType t : List.of(DType.F32, DType.F64)) {
        for (int cols : Contract.SIZES) {
          for (int i = 0; i < 2; i++) {
            cases.add(new StepCase(seed++, rule, t, 3, cols));
          }
        }
        cases.add(new StepCase(seed++, rule, t, 2, 40_009));
        cases.add(new StepCase(seed++, rule, t, 3000, 11));
      }
    }
    return cases;
  }

  private static void add(List<Contract.Case> cases, StepCase c) {
    cases.add(new Contract.Case(c.toString(), c::run));
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void rulesFollowTheirFormulas(Rig rig) {
    Contract.run(rig, CASES);
  }

  /** The numbers of a rule reach the kernel: every default against the oracle, three steps. */
  @Test
  void rulesOfTheInterfaceAreThoseOfTheOracle() {
    try (Rig.Session session = Rig.best().open()) {
      for (StepRule rule : DEFAULTS) {
        int at = DEFAULTS.indexOf(rule);
        assertEquals(StepCase.RULES.get(at), rule.name());
        double[][] x = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, 2, 70, 1);
        double[][] zero1 = new double[2][70];
        double[][] zero2 = new double[2][70];
        Operand parameters = session.operand(DType.F64, x, 70);
        try (Step step =
            new Step(rule, StepOptions.builder().weightDecay(0.125).build(), parameters.matrix())) {
          for (int t = 1; t <= 3; t++) {
            double[][] g = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, 2, 70, 10 + t);
            step.apply(parameters.matrix(), session.matrix(DType.F64, g, 70));
            assertEquals(t, step.count());
            for (int r = 0; r < 2; r++) {
              oracle(rule, 1, 0.125, false, t)
                  .apply(x[r], g[r], zero1[r], zero2[r], Double.NaN, 0, 70);
            }
          }
          parameters.expect(x);
          assertEquals(rule.states(), step.state().size());
          for (int s = 0; s < rule.states(); s++) {
            double[][] want = s == 0 ? zero1 : zero2;
            double[] flat = Arrays.stream(want).flatMapToDouble(Arrays::stream).toArray();
            assertArrayEquals(flat, step.state().get(s).toDoubles(), rule.name());
          }
        }
      }
      session.release();
    }
  }

  /** The numbers of a rule, as its record names them. */
  private static OracleStep oracle(
      StepRule rule, double scale, double decay, boolean decoupled, long t) {
    double beta1 =
        switch (rule) {
          case StepRule.HeavyBall r -> r.momentum();
          case StepRule.Nesterov r -> r.momentum();
          case StepRule.Adadelta r -> r.decay();
          case StepRule.RmsProp r -> r.decay();
          case StepRule.Adam r -> r.beta1();
          case StepRule.AdaMax r -> r.beta1();
          case StepRule.Nadam r -> r.beta1();
          case StepRule.Yogi r -> r.beta1();
          default -> 0;
        };
    double beta2 =
        switch (rule) {
          case StepRule.Adam r -> r.beta2();
          case StepRule.AdaMax r -> r.beta2();
          case StepRule.Nadam r -> r.beta2();
          case StepRule.Yogi r -> r.beta2();
          default -> 0;
        };
    double epsilon =
        switch (rule) {
          case StepRule.Adagrad r -> r.epsilon();
          case StepRule.Adadelta r -> r.epsilon();
          case StepRule.RmsProp r -> r.epsilon();
          case StepRule.Adam r -> r.epsilon();
          case StepRule.AdaMax r -> r.epsilon();
          case StepRule.Nadam r -> r.epsilon();
          case StepRule.Yogi r -> r.epsilon();
          default -> 0;
        };
    return new OracleStep(
        rule.name(),
        Arithmetic.F64,
        rule.stepSize() * scale,
        beta1,
        beta2,
        epsilon,
        decay,
        decoupled,
        t);
  }

  private static final Layout LAYOUT =
      Layout.builder()
          .tensor("w1", "weights", 5, 7)
          .tensor("b1", "biases", 7)
          .tensor("w2", "weights", 7, 3)
          .tensor("b2", "biases", 3)
          .build();

  /** The square of such a norm is beyond f32; the gradient is clipped, not dropped. */
  @Test
  void longGradientsAreClipped() {
    for (DType narrow : List.of(DType.F32, DType.BF16)) {
      try (Rig.Session session = Rig.best().open();
          DeviceMatrix x = DeviceMatrix.allocate(session.queue(), 2, 2, DType.F32);
          Step step = new Step(new StepRule.Sgd(1), StepOptions.builder().clipNorm(1).build(), x)) {
        step.apply(x, session.matrix(narrow, new double[][] {{3e19, 4e19}, {3, 4}}, 2));
        // bf16 rounds 3e19 and 4e19 by up to 2^-9.
        assertArrayEquals(new double[] {-0.6, -0.8, -0.6, -0.8}, x.toDoubles(), 0x1p-8);
      }
    }
    try (Rig.Session session = Rig.best().open();
        DeviceMatrix x = DeviceMatrix.allocate(session.queue(), 1, 2, DType.F64);
        Step step = new Step(new StepRule.Sgd(1), StepOptions.builder().clipNorm(1).build(), x)) {
      step.apply(x, session.matrix(DType.F64, new double[][] {{3e200, 4e200}}, 2));
      assertTrue(Double.isNaN(x.get(0, 0)), "a norm that f64 cannot hold is no silent zero");
    }
  }

  /** Groups are found through the layout, and clipping by tensor uses each tensor's own norm. */
  @Test
  void groupsAndClippingFollowTheLayout() {
    int cols = Math.toIntExact(LAYOUT.size());
    StepRule rule = new StepRule.Sgd(0.5);
    for (int clip = 0; clip < 3; clip++) {
      StepOptions.Builder options =
          StepOptions.builder()
              .weightDecay(0.25)
              .decoupled(true)
              .group("biases", 0.5, -0.25)
              .group("weights", 2, 0);
      if (clip == 1) {
        options.clipNorm(3);
      } else if (clip == 2) {
        options.clipNormPerTensor(1.5);
      }
      double[][] x = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, 2, cols, 3);
      double[][] g = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, 2, cols, 4);
      // The gradients of the second row and of two tensors of the first are too short to be
      // clipped.
      for (int c = 0; c < cols; c++) {
        g[1][c] /= 64;
        g[0][c] /= c >= 35 ? 8 : 1;
      }
      try (Rig.Session session = Rig.best().open();
          DeviceMatrix parameters = DeviceMatrix.allocate(session.queue(), 2, LAYOUT, DType.F64);
          Step step = new Step(rule, options.build(), parameters)) {
        parameters.upload(Arrays.stream(x).flatMapToDouble(Arrays::stream).toArray());
        step.apply(parameters, session.matrix(DType.F64, g, cols));
        for (int r = 0; r < 2; r++) {
          for (Layout.Tensor tensor : LAYOUT.tensors()) {
            int begin = (int) tensor.offset();
            int end = begin + (int) tensor.size();
            boolean bias = tensor.group().equals("biases");
            double scale =
                switch (clip) {
                  case 1 -> factor(3, g[r], 0, cols);
                  case 2 -> factor(1.5, g[r], begin, end);
                  default -> Double.NaN;
                };
            oracle(rule, bias ? 0.5 : 2, bias ? 0 : 0.25, true, 1)
                .apply(x[r], g[r], new double[cols], new double[cols], scale, begin, end);
          }
        }
        double[] flat = Arrays.stream(x).flatMapToDouble(Arrays::stream).toArray();
        assertArrayEquals(flat, parameters.toDoubles(), "clipping " + clip);
        session.release();
      }
    }
  }

  private static double factor(double bound, double[] g, int begin, int end) {
    double squares = Oracle.reduce(Reduction.Kind.SQUARES, DType.F64, g, null, begin, end);
    return Math.min(1, bound / Math.sqrt(squares));
  }

  @Test
  void countAndRuleCanBeReplaced() {
    try (Rig.Session session = Rig.best().open()) {
      double[][] x = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, 1, 9, 3);
      double[][] g = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, 1, 9, 4);
      Operand parameters = session.operand(DType.F64, x, 9);
      StepRule.Adam adam = StepRule.Adam.withDefaults();
      try (Step step = new Step(adam, StepOptions.none(), parameters.matrix())) {
        step.count(41);
        step.rule(adam.withStepSize(0.75));
        step.apply(parameters.matrix(), session.matrix(DType.F64, g, 9));
        oracle(adam.withStepSize(0.75), 1, 0, false, 42)
            .apply(x[0], g[0], new double[9], new double[9], Double.NaN, 0, 9);
        parameters.expect(x);
        assertEquals(42, step.count());
        refused("sgd", () -> step.rule(StepRule.Sgd.withDefaults()));
        refused("-1", () -> step.count(-1));
      }
      session.release();
    }
  }

  @Test
  void numbersOutOfRangeAreRefused() {
    refused("NaN", () -> new StepRule.Sgd(Double.NaN));
    refused("Infinity", () -> new StepRule.Sgd(Double.POSITIVE_INFINITY));
    refused("1.0", () -> new StepRule.HeavyBall(0.1, 1));
    refused("-0.5", () -> new StepRule.Nesterov(0.1, -0.5));
    refused("-1.0E-8", () -> new StepRule.Adagrad(0.1, -1e-8));
    refused("1.5", () -> new StepRule.Adadelta(0.1, 1.5, 1e-6));
    refused("NaN", () -> new StepRule.RmsProp(0.1, Double.NaN, 1e-6));
    refused("2.0", () -> new StepRule.Adam(0.1, 0.9, 2, 1e-8));
    refused("-3.0", () -> new StepRule.AdaMax(0.1, -3, 0.9, 1e-8));
    refused("Infinity", () -> new StepRule.Nadam(0.1, 0.9, 0.9, Double.POSITIVE_INFINITY));
    refused("1.0", () -> new StepRule.Yogi(0.1, 0.9, 1, 1e-8));
    refused("NaN", () -> StepOptions.builder().weightDecay(Double.NaN));
    refused("0.0", () -> StepOptions.builder().clipNorm(0));
    refused("-2.0", () -> StepOptions.builder().clipNormPerTensor(-2));
    refused(
        "clipNormPerTensor", () -> StepOptions.builder().clipNorm(1).clipNormPerTensor(1).build());
  }

  @Test
  void operandsThatDoNotFitAreRefused() {
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix x = session.matrix(DType.F32, new double[3][9], 9);
      DeviceMatrix g = session.matrix(DType.F32, new double[3][9], 9);
      DeviceMatrix short1 = session.matrix(DType.F32, new double[3][8], 8);
      DeviceMatrix half = session.matrix(DType.BF16, new double[3][9], 9);
      DeviceMatrix wide = session.matrix(DType.F64, new double[3][9], 9);
      DeviceMatrix integers = session.matrix(DType.I32, new double[3][9], 9);
      StepRule rule = StepRule.Adam.withDefaults();
      try (Step step = new Step(rule, StepOptions.none(), x)) {
        refused("3 x 8", () -> step.apply(x, short1));
        refused("3 x 8", () -> step.apply(short1, g));
        refused("F64", () -> step.apply(x, wide));
        refused("I32", () -> step.apply(x, integers));
        refused("F64", () -> step.apply(wide, g));
        refused("overlap", () -> step.apply(x, x));
        refused("overlap", () -> step.apply(step.state().get(1), g));
        step.apply(x, half);
      }
      refused("BF16", () -> new Step(rule, StepOptions.none(), half));
      refused(
          "3 x 8",
          () -> new Step(rule, copying(session.matrix(DType.F16, new double[3][8], 8)), x));
      refused("F32", () -> new Step(rule, copying(g), x));
      refused(
          "1 x 2",
          () ->
              new Step(
                  rule,
                  StepOptions.builder()
                      .flags(session.matrix(DType.I32, new double[1][2], 2))
                      .build(),
                  x));
      refused("layout", () -> new Step(rule, StepOptions.builder().group("w", 1, 0).build(), x));
      try (DeviceMatrix laid = DeviceMatrix.allocate(session.queue(), 1, LAYOUT, DType.F32)) {
        refused(
            "\"w\"", () -> new Step(rule, StepOptions.builder().group("w", 1, 0).build(), laid));
      }
      session.release();
    }
  }

  private static StepOptions copying(DeviceMatrix to) {
    return StepOptions.builder().copy(to).build();
  }

  /** What a rule keeps is closed with it, and nothing else. */
  @Test
  void closingClosesTheState() {
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix x = session.matrix(DType.F32, new double[3][9], 9);
      Step step = new Step(StepRule.Adam.withDefaults(), StepOptions.none(), x);
      List<DeviceMatrix> state = step.state();
      step.close();
      step.close();
      assertTrue(state.stream().allMatch(DeviceMatrix::isClosed));
      assertTrue(!x.isClosed());
      session.release();
    }
  }
}
