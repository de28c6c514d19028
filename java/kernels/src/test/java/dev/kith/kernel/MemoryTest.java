package dev.kith.kernel;

import static dev.kith.kernel.Contract.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The family memory against the oracle, bit for bit, on every tier, thread count and cut. */
class MemoryTest {
  private static final List<Contract.Case> FILLS = fillCases();
  private static final List<Contract.Case> CONVERSIONS = conversionCases();
  private static final List<Contract.Case> GATHERS = gatherCases();
  private static final List<Contract.Case> PATTERNS = patternCases();

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void fillsRoundOnce(Rig rig) {
    Contract.run(rig, FILLS);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void conversionsRoundOnce(Rig rig) {
    Contract.run(rig, CONVERSIONS);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void gathersPickRows(Rig rig) {
    Contract.run(rig, GATHERS);
  }

  private static List<Contract.Case> fillCases() {
    double[] values = {
      0,
      -0.0,
      1.0 / 3,
      -1e-30,
      Double.MIN_VALUE,
      65520,
      -1e300,
      Double.NaN,
      Double.NEGATIVE_INFINITY
    };
    List<Contract.Case> cases = new ArrayList<>();
    for (DType t : DType.values()) {
      int i = 0;
      for (int cols : Contract.SIZES) {
        double value = t == DType.I32 ? -2147483648.5 + i : values[i % values.length];
        cases.add(fill(t, 3, cols, value));
        i++;
      }
      cases.add(fill(t, 2, Contract.LARGE, t == DType.I32 ? 2147483647.5 : -0.0));
      cases.add(fill(t, 30_000, 3, t == DType.I32 ? -0.9 : 0.1));
    }
    return cases;
  }

  private static Contract.Case fill(DType t, int rows, int cols, double value) {
    return new Contract.Case(
        "fill of %d x %d %s with %s".formatted(rows, cols, t, value),
        session -> {
          Operand m =
              session.operand(t, Samples.matrix(Samples.Kind.INTEGERS, t, rows, cols, 5), cols);
          Memory.fill(m.matrix(), value);
          double[][] expected = new double[rows][cols];
          for (double[] row : expected) {
            Arrays.fill(row, Oracle.round(t, value));
          }
          m.expect(expected);
        });
  }

  private static List<Contract.Case> conversionCases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 70_000;
    for (DType from : DType.values()) {
      for (DType to : DType.values()) {
        if ((from == DType.I32) != (to == DType.I32)) {
          continue;
        }
        for (int cols : Contract.SIZES) {
          cases.add(convert(from, to, 3, cols, seed++));
        }
        cases.add(convert(from, to, 1, Contract.LARGE, seed++));
        cases.add(convert(from, to, 20_011, 5, seed++));
      }
    }
    return cases;
  }

  private static Contract.Case convert(DType from, DType to, int rows, int cols, long seed) {
    Samples.Kind kind = from == DType.I32 ? Samples.Kind.INTEGERS : Samples.Kind.SPECIAL;
    Supplier<double[][]> source = Contract.once(() -> Samples.matrix(kind, from, rows, cols, seed));
    Supplier<double[][]> expected = Contract.once(() -> Oracle.round(to, source.get()));
    return new Contract.Case(
        "%d x %d from %s to %s, seed %d".formatted(rows, cols, from, to, seed),
        session -> {
          Operand a = session.operand(from, source.get(), cols);
          Operand b = session.operand(to, new double[rows][cols], cols);
          Memory.convert(a.matrix(), b.matrix());
          b.expect(expected.get());
          a.expect(source.get());
        });
  }

  private static List<Contract.Case> gatherCases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 80_000;
    for (DType t : DType.values()) {
      for (int cols : Contract.SIZES) {
        cases.add(gather(t, 7, 12, cols, seed++));
      }
      cases.add(gather(t, 5, 0, 9, seed++));
      cases.add(gather(t, 3, 4, 70_001, seed++));
      cases.add(gather(t, 9_973, 20_011, 5, seed++));
    }
    return cases;
  }

  private static Contract.Case gather(DType t, int rows, int picks, int cols, long seed) {
    Supplier<double[][]> source =
        Contract.once(() -> Samples.matrix(Samples.Kind.INTEGERS, t, rows, cols, seed));
    double[] index = new double[picks];
    Arrays.setAll(index, i -> Samples.random(seed).below(i, rows));
    return new Contract.Case(
        "%d of %d rows of %d %s, seed %d".formatted(picks, rows, cols, t, seed),
        session -> {
          Operand to = session.operand(t, new double[picks][cols], cols);
          DeviceMatrix rowsToPick = session.matrix(DType.I32, new double[][] {index}, picks);
          Memory.gatherRows(session.matrix(t, source.get(), cols), rowsToPick, to.matrix());
          double[][] expected = new double[picks][];
          Arrays.setAll(expected, i -> source.get()[(int) index[i]]);
          to.expect(expected);
        });
  }

  /** Every 16-bit pattern survives the way up and back, and ties round to even on the way down. */
  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void everyHalfPrecisionNumber(Rig rig) {
    Contract.run(rig, PATTERNS);
  }

  private static List<Contract.Case> patternCases() {
    List<Contract.Case> cases = new ArrayList<>();
    for (DType half : List.of(DType.BF16, DType.F16)) {
      double[] all = new double[1 << 16];
      for (int i = 0; i < all.length; i++) {
        all[i] =
            half == DType.F16 ? Float.float16ToFloat((short) i) : Float.intBitsToFloat(i << 16);
      }
      double[] between = new double[all.length];
      for (int i = 0; i < all.length; i++) {
        double next = all[(i + 1) % all.length];
        between[i] = (all[i] + next) / 2;
      }
      for (DType wide : List.of(DType.F32, DType.F64)) {
        cases.add(convert(half, wide, all));
        cases.add(convert(wide, half, all));
        cases.add(convert(wide, half, between));
      }
      // Beside a tie by less than an f32 can tell: rounding twice would go wrong.
      cases.add(convert(DType.F64, half, nudged(between, 1)));
      cases.add(convert(DType.F64, half, nudged(between, -1)));
    }
    return cases;
  }

  private static double[] nudged(double[] values, int sign) {
    return Arrays.stream(values).map(v -> sign > 0 ? Math.nextUp(v) : Math.nextDown(v)).toArray();
  }

  private static Contract.Case convert(DType from, DType to, double[] values) {
    double[][] source = Oracle.round(from, new double[][] {values});
    double[][] expected = Oracle.round(to, source);
    return new Contract.Case(
        "all 16-bit patterns from " + from + " to " + to,
        session -> {
          Operand b = session.operand(to, new double[1][values.length], values.length);
          Memory.convert(session.matrix(from, source, values.length), b.matrix());
          b.expect(expected);
        });
  }

  @ParameterizedTest
  @EnumSource(DType.class)
  void arraysTravelBothWays(DType t) {
    double[] values = t == DType.I32 ? new double[] {0, -7, 2147483647, 3} : SPECIAL;
    double[] rounded = Oracle.round(t, new double[][] {values})[0];
    int n = values.length / 2;
    try (Rig.Session session = Rig.best().open()) {
      Operand m = session.operand(t, new double[2][n], n);
      m.matrix().upload(values);
      m.expect(new double[][] {Arrays.copyOf(rounded, n), Arrays.copyOfRange(rounded, n, 2 * n)});
      assertArrayEquals(rounded, m.matrix().toDoubles());
      assertEquals(rounded[n + 1], m.matrix().get(1, 1));
      float[] floats = m.matrix().toFloats();
      for (int i = 0; i < floats.length; i++) {
        assertEquals((float) rounded[i], floats[i]);
      }
      m.matrix().set(1, 0, 3);
      assertEquals(3, m.matrix().get(1, 0));
      m.matrix().upload(new int[2 * n]);
      assertArrayEquals(new int[2 * n], m.matrix().toInts());
      session.release();
    }
  }

  private static final double[] SPECIAL = {
    1.0 / 3, -0.0, 1e30, -65519.99, 1e-40, -1e-7, Double.POSITIVE_INFINITY, Double.NaN
  };

  @Test
  void integersThatDoNotFitAreRefused() {
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix m = session.matrix(DType.I32, new double[1][4], 4);
      for (double bad : new double[] {2147483648.0, -2147483649.0, Double.NaN, 1e300}) {
        refused(bad == 1e300 ? "e+300" : "", () -> Memory.fill(m, bad));
        refused(Double.toString(bad), () -> m.set(0, 0, bad));
        refused(Double.toString(bad), () -> m.upload(new double[] {0, 0, bad, 0}));
      }
      session.release();
    }
  }

  @Test
  void segmentsOfTheHostTravelWithAStride() {
    try (Rig.Session session = Rig.best().open()) {
      Operand m = session.operand(DType.F32, new double[3][5], 5);
      float[] host = new float[2 * 8 + 5];
      for (int i = 0; i < host.length; i++) {
        host[i] = i;
      }
      m.matrix().upload(MemorySegment.ofArray(host), 8);
      double[][] expected = new double[3][5];
      for (int r = 0; r < 3; r++) {
        for (int c = 0; c < 5; c++) {
          expected[r][c] = 8 * r + c;
        }
      }
      m.expect(expected);
      float[] back = new float[2 * 6 + 5];
      m.matrix().download(MemorySegment.ofArray(back), 6);
      assertEquals(20, back[2 * 6 + 4]);
      assertEquals(0, back[5]);
      refused("4", () -> m.matrix().upload(MemorySegment.ofArray(host), 4));
      refused("84", () -> m.matrix().upload(MemorySegment.ofArray(host), 9));
      refused("12", () -> m.matrix().download(MemorySegment.ofArray(new float[3]), 5));
      session.release();
    }
  }

  @Test
  void copiesThatOverlapAreRefused() {
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix m = session.matrix(DType.F32, new double[4][9], 9);
      try (DeviceMatrix left = m.columns(0, 5);
          DeviceMatrix right = m.columns(4, 9);
          DeviceMatrix outer = m.columns(5, 9);
          DeviceMatrix inner = m.columns(1, 5);
          DeviceMatrix top = m.rows(0, 2);
          DeviceMatrix bottom = m.rows(2, 4)) {
        refused("overlap", () -> Memory.convert(left, right));
        refused("4 x 5", () -> Memory.convert(left, m));
        Memory.convert(outer, inner);
        Memory.convert(top, bottom);
        Memory.convert(m, m);
        refused(
            "overlap",
            () -> Memory.gatherRows(m, session.matrix(DType.I32, new double[1][2], 2), top));
      }
      session.release();
    }
  }

  @Test
  void indicesThatNameNoRowAreRefused() {
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix from = session.matrix(DType.F32, new double[4][9], 9);
      DeviceMatrix to = session.matrix(DType.F32, new double[2][9], 9);
      for (int bad : new int[] {-1, 4, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
        DeviceMatrix index = session.matrix(DType.I32, new double[][] {{3, bad}}, 2);
        refused(
            Integer.toString(bad),
            () -> {
              Memory.gatherRows(from, index, to);
              session.queue().sync();
            });
      }
      refused(
          "1 x 3",
          () -> Memory.gatherRows(from, session.matrix(DType.I32, new double[1][3], 3), to));
      refused(
          "F32", () -> Memory.gatherRows(from, session.matrix(DType.F32, new double[1][2], 2), to));
      refused(
          "F64",
          () ->
              Memory.gatherRows(
                  session.matrix(DType.F64, new double[4][9], 9),
                  session.matrix(DType.I32, new double[1][2], 2),
                  to));
      session.release();
    }
  }
}
