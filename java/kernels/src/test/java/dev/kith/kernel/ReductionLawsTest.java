package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import java.util.Arrays;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;

/** Laws of sums, whatever the tree. */
class ReductionLawsTest {
  private static final int TRIES = 60;
  private static final String SEED = "20260102";

  private static double[] rows(Rig.Session session, Reduction.Kind kind, DeviceMatrix... ab) {
    Operand out = session.operand(DType.F64, new double[1][(int) ab[0].rows()], (int) ab[0].rows());
    if (ab.length == 1) {
      Reduction.rows(kind, ab[0], out.matrix());
    } else {
      Reduction.rows(kind, ab[0], ab[1], out.matrix());
    }
    return out.values()[0];
  }

  /** Integers below 2^24 in all partial sums: no rounding, so every order gives the sum. */
  @Property(tries = TRIES, seed = SEED)
  void sumsOfSmallIntegersAreExact(
      @ForAll @IntRange(min = 1, max = 5) int n,
      @ForAll @IntRange(max = 20_000) int cols,
      @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      double[][] x = Samples.matrix(Samples.Kind.INTEGERS, DType.F32, n, cols, seed);
      double[][] z = Samples.matrix(Samples.Kind.INTEGERS, DType.F32, n, cols, seed + 1);
      DeviceMatrix mx = session.matrix(DType.F32, x, cols);
      DeviceMatrix mz = session.matrix(DType.F32, z, cols);
      double[] sum = rows(session, Reduction.Kind.SUM, mx);
      double[] absolute = rows(session, Reduction.Kind.ABS_SUM, mx);
      double[] squares = rows(session, Reduction.Kind.SQUARES, mx);
      double[] dot = rows(session, Reduction.Kind.DOT, mx, mz);
      double[] distance = rows(session, Reduction.Kind.DISTANCE, mx, mz);
      for (int r = 0; r < n; r++) {
        double[] a = x[r];
        double[] b = z[r];
        assertEquals(Arrays.stream(a).sum() + 0.0, sum[r] + 0.0);
        assertEquals(Arrays.stream(a).map(Math::abs).sum(), absolute[r]);
        assertEquals(Arrays.stream(a).map(v -> v * v).sum(), squares[r]);
        double ab = 0;
        double d2 = 0;
        for (int c = 0; c < cols; c++) {
          ab += a[c] * b[c];
          d2 += (a[c] - b[c]) * (a[c] - b[c]);
        }
        assertEquals(ab + 0.0, dot[r] + 0.0);
        assertEquals(d2, distance[r]);
      }
      session.release();
    }
  }

  @Property(tries = TRIES, seed = SEED)
  void reductionsAgreeWithEachOther(
      @ForAll @IntRange(min = 1, max = 6) int n,
      @ForAll @IntRange(min = 1, max = 9000) int cols,
      @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      double[][] x = Samples.matrix(Samples.Kind.WIDE, DType.F32, n, cols, seed);
      double[][] z = Samples.matrix(Samples.Kind.WIDE, DType.F32, n, cols, seed + 1);
      double[][] minus =
          Arrays.stream(x)
              .map(r -> Arrays.stream(r).map(v -> -v).toArray())
              .toArray(double[][]::new);
      DeviceMatrix mx = session.matrix(DType.F32, x, cols);
      DeviceMatrix mz = session.matrix(DType.F32, z, cols);
      DeviceMatrix negative = session.matrix(DType.F32, minus, cols);
      double[] squares = rows(session, Reduction.Kind.SQUARES, mx);
      assertArrayEquals(squares, rows(session, Reduction.Kind.DOT, mx, mx));
      assertArrayEquals(
          rows(session, Reduction.Kind.DISTANCE, mx, mz),
          rows(session, Reduction.Kind.DISTANCE, mz, mx));
      double[] least = rows(session, Reduction.Kind.MIN, mx);
      double[] most = rows(session, Reduction.Kind.MAX, mx);
      double[] mirrored = rows(session, Reduction.Kind.MAX, negative);
      double[] largest = rows(session, Reduction.Kind.MAX_ABS, mx);
      for (int r = 0; r < n; r++) {
        assertEquals(-least[r], mirrored[r]);
        assertEquals(largest[r], Math.max(Math.abs(least[r]), Math.abs(most[r])));
      }
      Operand gram = session.operand(DType.F64, new double[n][n], n);
      Reduction.gram(mx, gram.matrix());
      double[][] g = gram.values();
      for (int i = 0; i < n; i++) {
        assertEquals(squares[i], g[i][i]);
        for (int j = 0; j < n; j++) {
          assertEquals(g[i][j], g[j][i]);
        }
      }
      session.release();
    }
  }

  /** |a . b| <= |a| |b| up to the roundings of the three. */
  @Property(tries = TRIES, seed = SEED)
  void dotsObeyCauchySchwarz(
      @ForAll @IntRange(min = 1, max = 9000) int cols, @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix a =
          session.matrix(
              DType.F32, Samples.matrix(Samples.Kind.WIDE, DType.F32, 1, cols, seed), cols);
      DeviceMatrix b =
          session.matrix(
              DType.F32, Samples.matrix(Samples.Kind.WIDE, DType.F32, 1, cols, seed + 1), cols);
      double bound = Reduction.norms(a)[0] * Reduction.norms(b)[0];
      // A lane adds at most 64 of a chunk's elements, then six folds; f64 beyond that.
      assertTrue(Math.abs(Reduction.dots(a, b)[0]) <= bound * (1 + 2 * 72 * 0x1p-24));
      session.release();
    }
  }

  /** Scaling by a power of two scales all roundings along. */
  @Property(tries = TRIES, seed = SEED)
  void normsAreHomogeneous(
      @ForAll @IntRange(min = 1, max = 9000) int cols,
      @ForAll @IntRange(min = -20, max = 20) int exponent,
      @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      double scale = Math.scalb(1.0, exponent);
      double[][] x = Samples.matrix(Samples.Kind.ORDINARY, DType.F32, 1, cols, seed);
      double[][] scaled = {Arrays.stream(x[0]).map(v -> v * scale).toArray()};
      double[] norm = Reduction.norms(session.matrix(DType.F32, x, cols));
      double[] other = Reduction.norms(session.matrix(DType.F32, scaled, cols));
      assertEquals(norm[0] * scale, other[0]);
      session.release();
    }
  }

  /** The mean of equal rows is that row, and nobody is away from it. */
  @Property(tries = TRIES, seed = SEED)
  void theMeanOfEqualRowsIsThatRow(
      @ForAll @IntRange(min = 0, max = 6) int levels,
      @ForAll @IntRange(min = 1, max = 300) int cols,
      @ForAll @IntRange(max = 100_000) int seed) {
    int n = 1 << levels;
    try (Rig.Session session = Rig.best().open()) {
      double[] row = Samples.row(Samples.Kind.WIDE, DType.F32, cols, seed);
      double[][] x = new double[n][];
      Arrays.fill(x, row);
      Operand mean = session.operand(DType.F32, new double[1][cols], cols);
      Operand far = session.operand(DType.F64, new double[1][n], n);
      Reduction.nodes(
          NodeTree.program(n),
          session.matrix(DType.F32, x, cols),
          java.util.Optional.empty(),
          n,
          java.util.Optional.of(mean.matrix()),
          java.util.Optional.of(far.matrix()));
      mean.expect(row);
      far.expect(new double[n]);
      session.release();
    }
  }
}
