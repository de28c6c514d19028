package dev.kith.kernel;

import static dev.kith.kernel.Contract.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The family curvature against the oracle, bit for bit, on every tier, thread count and cut. */
class CurvatureTest {
  private static final List<Contract.Case> STEPS =
      StepTest.cases(190_000, StepCase.PLAIN, StepCase.RULES.size()).stream()
          .map(c -> new Contract.Case(c.toString(), c::run))
          .toList();

  private static final List<Contract.Case> CASES = cases();

  private static List<Contract.Case> cases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 290_000;
    for (CurvatureCase.Operation operation : CurvatureCase.Operation.values()) {
      for (DType t : List.of(DType.F32, DType.F64)) {
        for (int cols : Contract.SIZES) {
          add(cases, new CurvatureCase(seed++, operation, t, 3, cols));
        }
        add(cases, new CurvatureCase(seed++, operation, t, 0, 5));
        add(cases, new CurvatureCase(seed++, operation, t, 2, 140_009));
        add(cases, new CurvatureCase(seed++, operation, t, 3000, 11));
      }
    }
    return cases;
  }

  private static void add(List<Contract.Case> cases, CurvatureCase c) {
    cases.add(new Contract.Case(c.toString(), c::run));
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void rulesFollowTheirFormulas(Rig rig) {
    Contract.run(rig, STEPS);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void operationsFollowTheirFormulas(Rig rig) {
    Contract.run(rig, CASES);
  }

  /** The numbers of a rule reach the kernel: each against the oracle, three steps. */
  @Test
  void rulesOfTheInterfaceAreThoseOfTheOracle() {
    List<CurvatureRule> rules =
        List.of(
            CurvatureRule.AdaHessian.withDefaults(),
            new CurvatureRule.SophiaG(0.2, 0.965, 0.04, 16, 1e-12),
            CurvatureRule.SophiaH.withDefaults());
    try (Rig.Session session = Rig.best().open()) {
      for (CurvatureRule rule : rules) {
        assertEquals(StepCase.RULES.get(StepCase.PLAIN + rules.indexOf(rule)), rule.name());
        double[][] x = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, 2, 70, 1);
        double[][] m = new double[2][70];
        double[][] v = new double[2][70];
        Operand parameters = session.operand(DType.F64, x, 70);
        StepOptions options = StepOptions.builder().weightDecay(0.125).build();
        try (CurvatureStep step = new CurvatureStep(rule, options, parameters.matrix())) {
          for (int t = 1; t <= 3; t++) {
            double[][] g = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, 2, 70, 10 + t);
            double[][] h = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, 2, 70, 20 + t);
            step.apply(
                parameters.matrix(),
                session.matrix(DType.F64, g, 70),
                session.matrix(DType.F64, h, 70));
            assertEquals(t, step.count());
            for (int r = 0; r < 2; r++) {
              oracle(rule, t).apply(x[r], g[r], h[r], m[r], v[r], Double.NaN, 0, 70);
            }
          }
          parameters.expect(x);
          assertEquals(rule.states(), step.state().size());
          assertArrayEquals(m[1], rows(step.state().getFirst(), 1));
          if (rule.states() > 1) {
            assertArrayEquals(v[1], rows(step.state().get(1), 1));
          }
        }
      }
      session.release();
    }
  }

  private static double[] rows(DeviceMatrix m, int r) {
    try (DeviceMatrix row = m.row(r)) {
      return row.toDoubles();
    }
  }

  /** The numbers of a rule, as its record names them; Sophia-G has no bias correction. */
  private static OracleStep oracle(CurvatureRule rule, long t) {
    return switch (rule) {
      case CurvatureRule.AdaHessian r ->
          new OracleStep(
              r.name(),
              Arithmetic.F64,
              r.stepSize(),
              r.beta1(),
              r.beta2(),
              r.epsilon(),
              0.125,
              false,
              t);
      case CurvatureRule.SophiaG r -> {
        // 1 - beta^t is 1 in f64 from t = 2000 on.
        assertEquals(1, 1 - StrictMath.pow(r.beta1(), 2000));
        yield new OracleStep(
            r.name(),
            Arithmetic.F64,
            r.stepSize(),
            r.beta1(),
            0,
            r.epsilon(),
            0.125,
            false,
            2000,
            r.rho() * r.batchSize());
      }
      case CurvatureRule.SophiaH r ->
          new OracleStep(
              r.name(),
              Arithmetic.F64,
              r.stepSize(),
              r.beta1(),
              0,
              r.epsilon(),
              0.125,
              false,
              t,
              r.gamma());
    };
  }

  @Test
  void numbersOutOfRangeAreRefused() {
    refused("NaN", () -> new CurvatureRule.AdaHessian(Double.NaN, 0.9, 0.9, 1e-4));
    refused("1.0", () -> new CurvatureRule.AdaHessian(0.1, 1, 0.9, 1e-4));
    refused("-0.5", () -> new CurvatureRule.AdaHessian(0.1, 0.9, -0.5, 1e-4));
    refused("-1.0E-4", () -> new CurvatureRule.AdaHessian(0.1, 0.9, 0.9, -1e-4));
    refused("Infinity", () -> new CurvatureRule.SophiaG(1.0 / 0, 0.9, 1, 1, 1));
    refused("-2.0", () -> new CurvatureRule.SophiaG(0.1, 0.9, -2, 1, 1));
    refused("batchSize is 0", () -> new CurvatureRule.SophiaG(0.1, 0.9, 1, 0, 1));
    refused("epsilon is 0.0", () -> new CurvatureRule.SophiaG(0.1, 0.9, 1, 1, 0));
    refused("gamma is NaN", () -> new CurvatureRule.SophiaH(0.1, 0.9, Double.NaN, 1));
    refused("epsilon is 0.0", () -> new CurvatureRule.SophiaH(0.1, 0.9, 1, 0));
  }

  @Test
  void operandsThatDoNotFitAreRefused() {
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix x = session.matrix(DType.F32, new double[3][9], 9);
      DeviceMatrix g = session.matrix(DType.F32, new double[3][9], 9);
      DeviceMatrix h = session.matrix(DType.F32, new double[3][9], 9);
      DeviceMatrix half = session.matrix(DType.BF16, new double[3][9], 9);
      DeviceMatrix short1 = session.matrix(DType.F32, new double[3][8], 8);
      DeviceMatrix sums = session.matrix(DType.F64, new double[2][3], 3);
      DeviceMatrix eta = session.matrix(DType.F64, new double[1][3], 3);
      try (CurvatureStep step =
          new CurvatureStep(CurvatureRule.AdaHessian.withDefaults(), StepOptions.none(), x)) {
        refused("3 x 8", () -> step.apply(x, g, short1));
        refused("BF16", () -> step.apply(x, g, half));
        refused("overlap", () -> step.apply(x, g, x));
        step.apply(x, half, half);
        refused("sophia-h", () -> step.rule(CurvatureRule.SophiaH.withDefaults()));
        assertEquals(1, step.count());
      }
      CurvatureStep sophia =
          new CurvatureStep(CurvatureRule.SophiaH.withDefaults(), StepOptions.none(), x);
      refused("BF16", () -> sophia.apply(x, half, half));
      sophia.apply(x, half, h);
      sophia.close();
      sophia.close();
      assertTrue(sophia.state().stream().allMatch(DeviceMatrix::isClosed));
      NoiseField two =
          NoiseField.shared(NoiseField.Distribution.RADEMACHER, Stream.PERTURBATION, 1, 0, 0, 2);
      NoiseField three =
          NoiseField.shared(NoiseField.Distribution.RADEMACHER, Stream.PERTURBATION, 1, 0, 0, 3);
      NoiseField normal =
          NoiseField.shared(NoiseField.Distribution.NORMAL, Stream.PERTURBATION, 1, 0, 0, 3);
      refused("2 rows", () -> Curvature.hutchinson(two, 0.9, g, x));
      refused("NORMAL", () -> Curvature.hutchinson(normal, 0.9, g, x));
      refused("NaN", () -> Curvature.hutchinson(three, Double.NaN, g, x));
      refused("overlap", () -> Curvature.hutchinson(three, 0.9, x, x));
      refused("3 x 8", () -> Curvature.average(0.9, short1, x));
      refused("BF16", () -> Curvature.average(0.9, half, half));
      refused(
          "alpha is 0.0", () -> Curvature.oasisStatistics(three, 0.9, 0, g, x, g, g, h, h, sums));
      refused(
          "gBefore", () -> Curvature.oasisStatistics(three, 0.9, 1, g, x, g, g, h, short1, sums));
      refused("overlap", () -> Curvature.oasisStatistics(three, 0.9, 1, g, x, g, g, h, x, sums));
      refused("2 x 3", () -> Curvature.oasisStatistics(three, 0.9, 1, g, x, g, g, h, h, eta));
      Curvature.Floor floor = Curvature.Floor.SUM;
      refused("Infinity", () -> Curvature.scaledStep(1.0 / 0, floor, eta, h, g, x));
      refused("eta", () -> Curvature.scaledStep(1, floor, sums, h, g, x));
      refused("overlap", () -> Curvature.oasisStep(1, floor, eta, h, g, x, g));
      refused("2 x 3", () -> Curvature.dots(x, g, eta));
      refused("3 x 8", () -> Curvature.dots(x, short1, sums));
      DeviceMatrix p = session.matrix(DType.F32, new double[3][9], 9);
      DeviceMatrix s = session.matrix(DType.F32, new double[3][9], 9);
      refused("overlap", () -> Curvature.conjugateUpdate(eta, eta, g, h, p, p, x));
      refused("beta", () -> Curvature.conjugateUpdate(eta, sums, g, h, p, s, x));
      session.release();
    }
  }
}
