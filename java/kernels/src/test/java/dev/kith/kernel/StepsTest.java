package dev.kith.kernel;

import static dev.kith.kernel.Contract.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Many matrices in one call: the bits of a call for each. */
class StepsTest {
  private static final int[][] SHAPES = {
    {1, 1}, {3, 33}, {0, 5}, {1, 4097}, {7, 1024}, {2, 31}, {5, 0}, {1, 20_011}
  };

  private static DeviceMatrix sample(Rig.Session session, DType t, int k, long seed) {
    int rows = SHAPES[k][0];
    int cols = SHAPES[k][1];
    return session.matrix(t, Samples.matrix(Samples.Kind.SPECIAL, t, rows, cols, seed + k), cols);
  }

  private static List<DeviceMatrix> samples(Rig.Session session, DType t, long seed) {
    List<DeviceMatrix> all = new ArrayList<>();
    for (int k = 0; k < SHAPES.length; k++) {
      all.add(sample(session, t, k, seed));
    }
    return all;
  }

  /** What a single step does on every tier is the subject of {@link StepTest}. */
  @Test
  void eachMatrixTakesTheStepThatItWouldTakeAlone() {
    List<Contract.Case> cases = new ArrayList<>();
    for (StepRule rule : StepTest.defaults()) {
      for (DType t : List.of(DType.F32, DType.F64)) {
        for (DType narrow : List.of(t, DType.BF16)) {
          cases.add(
              new Contract.Case(
                  rule.name() + " on " + t + " with " + narrow,
                  session -> compare(session, rule, t, narrow)));
        }
      }
    }
    Contract.run(Rig.best(), cases);
    Contract.run(Rig.cutUp(), cases);
  }

  private static void compare(Rig.Session session, StepRule rule, DType t, DType narrow) {
    StepOptions options = StepOptions.builder().weightDecay(0.01).build();
    List<DeviceMatrix> together = samples(session, t, 90);
    List<DeviceMatrix> apart = samples(session, t, 90);
    try (Steps steps = new Steps(rule, options, together)) {
      for (int i = 1; i <= 3; i++) {
        List<DeviceMatrix> g = samples(session, narrow, 200 + 50L * i);
        steps.apply(together, g);
        assertEquals(i, steps.count());
      }
      for (int k = 0; k < SHAPES.length; k++) {
        try (Step step = new Step(rule, options, apart.get(k))) {
          for (int i = 1; i <= 3; i++) {
            step.apply(apart.get(k), sample(session, narrow, k, 200 + 50L * i));
          }
          assertArrayEquals(apart.get(k).toDoubles(), together.get(k).toDoubles(), "matrix " + k);
          for (int m = 0; m < rule.states(); m++) {
            assertArrayEquals(
                step.state().get(m).toDoubles(), steps.state().get(m).get(k).toDoubles());
          }
        }
      }
    }
  }

  @Test
  void flagsTellWhichMatrixIsNotFinite() {
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix flags = session.matrix(DType.I32, new double[1][3], 3);
      List<DeviceMatrix> x =
          List.of(zeros(session, 2, 5), zeros(session, 1, 7), zeros(session, 3, 1));
      List<DeviceMatrix> g =
          List.of(zeros(session, 2, 5), zeros(session, 1, 7), zeros(session, 3, 1));
      g.get(1).set(0, 6, Double.NaN);
      x.get(2).set(2, 0, Double.POSITIVE_INFINITY);
      try (Steps steps =
          new Steps(StepRule.Sgd.withDefaults(), StepOptions.builder().flags(flags).build(), x)) {
        steps.apply(x, g);
        assertArrayEquals(new int[] {0, 3, 2}, flags.toInts());
      }
      session.release();
    }
  }

  private static DeviceMatrix zeros(Rig.Session session, int rows, int cols) {
    return session.matrix(DType.F32, new double[rows][cols], cols);
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"F32", "F64"})
  void whatDoesNotFitIsRefused(DType t) {
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix a = session.matrix(t, new double[2][3], 3);
      DeviceMatrix b = session.matrix(t, new double[1][4], 4);
      DeviceMatrix other =
          session.matrix(t == DType.F32 ? DType.F64 : DType.F32, new double[1][4], 4);
      StepRule rule = StepRule.HeavyBall.withDefaults();
      StepOptions none = StepOptions.none();
      refused("no parameters", () -> new Steps(rule, none, List.of()));
      refused(other.dtype().name(), () -> new Steps(rule, none, List.of(a, other)));
      refused(
          "clipping",
          () -> new Steps(rule, StepOptions.builder().clipNorm(1).build(), List.of(a, b)));
      DeviceMatrix flags = session.matrix(DType.I32, new double[1][3], 3);
      refused(
          "1 x 3",
          () -> new Steps(rule, StepOptions.builder().flags(flags).build(), List.of(a, b)));
      Steps steps = new Steps(rule, none, List.of(a, b));
      refused("1 matrices", () -> steps.apply(List.of(a), List.of(a, b)));
      refused("1 x 4", () -> steps.apply(List.of(b, a), List.of(b, a)));
      refused("overlap", () -> steps.apply(List.of(a, b), List.of(a, b)));
      refused("sgd", () -> steps.rule(StepRule.Sgd.withDefaults()));
      refused("-1", () -> steps.count(-1));
      assertEquals(0, steps.count());
      steps.close();
      steps.close();
      assertThrows(IllegalStateException.class, () -> steps.apply(List.of(a, b), List.of(a, b)));
      session.release();
    }
  }
}
