package dev.kith.solver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.solver.WolfeSearch.Point;
import dev.kith.solver.WolfeSearch.Result;
import java.util.ArrayList;
import java.util.List;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class WolfeSearchTest {
  private static final double EPSILON = 0x1p-52;

  private record Curve(String name, DoubleUnaryOperator value, DoubleUnaryOperator slope) {
    Point at(double t) {
      return new Point(t, value.applyAsDouble(t), slope.applyAsDouble(t));
    }
  }

  /** The first three of J. More, D. Thuente, ACM TOMS 20, 1994, and two with walls. */
  private static List<Curve> curves() {
    List<Curve> all = new ArrayList<>();
    all.add(
        new Curve(
            "rational", t -> -t / (t * t + 2), t -> (t * t - 2) / ((t * t + 2) * (t * t + 2))));
    all.add(
        new Curve(
            "fifth power",
            t -> Math.pow(t + 0.004, 5) - 2 * Math.pow(t + 0.004, 4),
            t -> 5 * Math.pow(t + 0.004, 4) - 8 * Math.pow(t + 0.004, 3)));
    all.add(new Curve("valley", t -> Math.cosh(t - 3) - t, t -> Math.sinh(t - 3) - 1));
    all.add(new Curve("logarithm", t -> -Math.log(1 - t) - 3 * t, t -> 1 / (1 - t) - 3));
    all.add(new Curve("parabola", t -> (t - 0.3) * (t - 0.3), t -> 2 * (t - 0.3)));
    return all;
  }

  @ParameterizedTest
  @ValueSource(doubles = {1e-3, 0.1, 1, 10, 1000})
  void bothConditionsHoldAtWhatIsFound(double first) {
    for (Curve curve : curves()) {
      for (WolfeSearch search :
          List.of(WolfeSearch.withDefaults(), new WolfeSearch(1e-3, 0.01, 60))) {
        List<Point> asked = new ArrayList<>();
        Point start = curve.at(0);
        Result result =
            search.search(
                t -> {
                  asked.add(curve.at(t));
                  return asked.getLast();
                },
                start,
                first,
                EPSILON);
        String what = curve.name + " from " + first + " with " + search + ": " + result;
        Point p = result.point();
        assertTrue(result.satisfied(), what);
        assertEquals(asked.getLast(), p, what);
        assertEquals(asked.size(), result.evaluations(), what);
        assertTrue(p.value() <= start.value() + search.decrease() * p.t() * start.slope(), what);
        assertTrue(Math.abs(p.slope()) <= -search.curvature() * start.slope(), what);
        assertTrue(asked.size() <= 25, what);
      }
    }
  }

  @Test
  void aParabolaTakesTwoEvaluations() {
    WolfeSearch exact = new WolfeSearch(1e-4, 1e-3, 20);
    for (double minimum : new double[] {0.5, 0.25, 3, 8}) {
      Curve parabola =
          new Curve("", t -> 2 * (t - minimum) * (t - minimum) + 5, t -> 4 * (t - minimum));
      Result result = exact.search(parabola::at, parabola.at(0), 1, EPSILON);
      assertEquals(2, result.evaluations(), "minimum at " + minimum);
      assertEquals(minimum, result.point().t(), 1e-12);
    }
  }

  /** All values equal but for their last bits: slopes alone decide. */
  @Test
  void valuesThatRoundingsHideDoNotStopIt() {
    Curve flat = new Curve("", t -> 1e6 + 1e-12 * (t - 1) * (t - 1), t -> 2e-12 * (t - 1));
    Result result = new WolfeSearch(1e-4, 0.1, 30).search(flat::at, flat.at(0), 7, EPSILON);
    assertTrue(result.satisfied(), result.toString());
    assertEquals(1, result.point().t(), 0.1);
  }

  @Test
  void whatDoesNotEndIsSaid() {
    Curve line = new Curve("falls for ever", t -> -t, t -> -1);
    Result result = WolfeSearch.withDefaults().search(line::at, line.at(0), 1, EPSILON);
    assertFalse(result.satisfied());
    assertTrue(result.point().t() > 1, "it has gone far: " + result);
    Curve wrong = new Curve("slope of another sign", t -> t, t -> -1);
    Result none = WolfeSearch.withDefaults().search(wrong::at, wrong.at(0), 1, EPSILON);
    assertEquals(0, none.point().t());
    assertFalse(none.satisfied());
  }

  @Test
  void badNumbersAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> new WolfeSearch(0.6, 0.9, 10));
    assertThrows(IllegalArgumentException.class, () -> new WolfeSearch(0.1, 0.05, 10));
    assertThrows(IllegalArgumentException.class, () -> new WolfeSearch(1e-4, 0.9, 0));
    WolfeSearch search = WolfeSearch.withDefaults();
    Point start = new Point(0, 1, -1);
    assertThrows(
        IllegalArgumentException.class,
        () -> search.search(t -> start, new Point(0, 1, 0), 1, EPSILON));
    assertThrows(
        IllegalArgumentException.class,
        () -> search.search(t -> start, new Point(0, Double.NaN, -1), 1, EPSILON));
    assertThrows(
        IllegalArgumentException.class, () -> search.search(t -> start, start, 0, EPSILON));
  }
}
