package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.random.SharedRandom;
import java.util.Arrays;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;

/** What mixing is for, whatever the kernel does: the laws that the optimizers rely on. */
class MixingLawsTest {
  private static final int TRIES = 60;
  private static final String SEED = "20260101";

  /** A sparse matrix, rows of (column, weight); never compared. */
  @SuppressWarnings("ArrayRecordComponent")
  private record Csr(long[][] rows, double[][] weights) {
    MixingWeights on(Rig.Session session, int cols) {
      long[] offsets = new long[rows.length + 1];
      for (int r = 0; r < rows.length; r++) {
        offsets[r + 1] = offsets[r] + rows[r].length;
      }
      int[] columns =
          Arrays.stream(rows).flatMapToLong(Arrays::stream).mapToInt(c -> (int) c).toArray();
      double[] values = Arrays.stream(weights).flatMapToDouble(Arrays::stream).toArray();
      return MixingWeights.sparse(session.queue(), rows.length, cols, offsets, columns, values);
    }
  }

  /** The mean of three permutations: doubly stochastic, by Birkhoff. */
  private static Csr doublyStochastic(int n, long seed) {
    int[][] p = new int[3][];
    for (int k = 0; k < 3; k++) {
      p[k] = Samples.random(seed + k).permutation(n);
    }
    double[] share = {0.5, 0.3125, 0.1875};
    long[][] rows = new long[n][];
    double[][] weights = new double[n][];
    for (int r = 0; r < n; r++) {
      double[] dense = new double[n];
      for (int k = 0; k < 3; k++) {
        dense[p[k][r]] += share[k];
      }
      int row = r;
      rows[r] = java.util.stream.LongStream.range(0, n).filter(c -> dense[(int) c] > 0).toArray();
      weights[r] = Arrays.stream(rows[row]).mapToDouble(c -> dense[(int) c]).toArray();
    }
    return new Csr(rows, weights);
  }

  private static double[][] mixed(Rig.Session session, Csr w, Expression e, DType t, int cols) {
    int n = w.rows().length;
    Operand y = session.operand(t, new double[n][cols], cols);
    try (MixingWeights weights = w.on(session, n)) {
      Mixing.mix(weights, e, y.matrix());
      return y.values();
    }
  }

  /**
   * Each y_i is off by (3 + 1) u sum |w x|, and the columns of W sum to 1, so their mean by no more
   * than 4 u mean |x|.
   */
  @Property(tries = TRIES, seed = SEED)
  void doublyStochasticMixingPreservesTheMean(
      @ForAll @IntRange(min = 1, max = 40) int n,
      @ForAll @IntRange(min = 1, max = 70) int cols,
      @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      double[][] x = Samples.matrix(Samples.Kind.WIDE, DType.F32, n, cols, seed);
      double[][] y =
          mixed(
              session,
              doublyStochastic(n, seed),
              Expression.inner(session.matrix(DType.F32, x, cols)),
              DType.F32,
              cols);
      for (int c = 0; c < cols; c++) {
        double before = 0;
        double after = 0;
        double size = 0;
        for (int i = 0; i < n; i++) {
          before += x[i][c] / n;
          after += y[i][c] / n;
          size += Math.abs(x[i][c]) / n;
        }
        assertEquals(before, after, 4 * 0x1p-24 * size + n * 0x1p-52 * size);
      }
      session.release();
    }
  }

  /**
   * W(a x + b z) = a W x + b W z: two formings and two mixings, at most ten roundings of each of
   * the terms.
   */
  @Property(tries = TRIES, seed = SEED)
  void mixingIsLinear(
      @ForAll @IntRange(min = 1, max = 30) int n,
      @ForAll @IntRange(min = 1, max = 70) int cols,
      @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      double a = 0.7;
      double b = -1.3;
      Csr w = doublyStochastic(n, seed);
      double[][] x = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, n, cols, seed);
      double[][] z = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, n, cols, seed + 1);
      DeviceMatrix mx = session.matrix(DType.F64, x, cols);
      DeviceMatrix mz = session.matrix(DType.F64, z, cols);
      double[][] together =
          mixed(session, w, Expression.inner(a, mx).plusInner(b, mz), DType.F64, cols);
      double[][] wx = mixed(session, w, Expression.inner(mx), DType.F64, cols);
      double[][] wz = mixed(session, w, Expression.inner(mz), DType.F64, cols);
      for (int i = 0; i < n; i++) {
        for (int c = 0; c < cols; c++) {
          // |x|, |z| < 2 and the weights of a row sum to 1.
          double size = 2 * (Math.abs(a) + Math.abs(b));
          assertEquals(a * wx[i][c] + b * wz[i][c], together[i][c], 10 * 0x1p-53 * size);
        }
      }
      session.release();
    }
  }

  /**
   * Renaming the nodes renames the rows of the result: the same bits, as entries keep their order.
   */
  @Property(tries = TRIES, seed = SEED)
  void mixingFollowsARenamingOfTheNodes(
      @ForAll @IntRange(min = 1, max = 40) int n,
      @ForAll @IntRange(min = 1, max = 70) int cols,
      @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      Csr w = doublyStochastic(n, seed);
      double[][] x = Samples.matrix(Samples.Kind.WIDE, DType.F32, n, cols, seed);
      int[] name = Samples.random(seed + 9).permutation(n);
      long[][] rows = new long[n][];
      double[][] weights = new double[n][];
      double[][] renamed = new double[n][];
      for (int r = 0; r < n; r++) {
        rows[name[r]] = Arrays.stream(w.rows()[r]).map(c -> name[(int) c]).toArray();
        weights[name[r]] = w.weights()[r];
        renamed[name[r]] = x[r];
      }
      double[][] y =
          mixed(session, w, Expression.inner(session.matrix(DType.F32, x, cols)), DType.F32, cols);
      double[][] other =
          mixed(
              session,
              new Csr(rows, weights),
              Expression.inner(session.matrix(DType.F32, renamed, cols)),
              DType.F32,
              cols);
      for (int r = 0; r < n; r++) {
        assertArrayEquals(y[r], other[name[r]]);
      }
      session.release();
    }
  }

  /**
   * Two processes that each own some rows, with the others' messages in a halo, get the bits of one
   * that owns all: this is what lets one class simulate and run on a cluster.
   */
  @Property(tries = TRIES, seed = SEED)
  void aCutOverProcessesGivesTheSameBits(
      @ForAll @IntRange(min = 2, max = 40) int n,
      @ForAll @IntRange(min = 1, max = 70) int cols,
      @ForAll @IntRange(max = 100_000) int seed) {
    SharedRandom random = Samples.random(seed);
    int cut = 1 + (int) random.below(0, n - 1);
    DType message = random.below(1, 2) == 0 ? DType.BF16 : DType.F32;
    try (Rig.Session session = Rig.best().open()) {
      Csr w = doublyStochastic(n, seed);
      double[][] x = Samples.matrix(Samples.Kind.WIDE, DType.F32, n, cols, seed);
      double[][] g = Samples.matrix(Samples.Kind.WIDE, DType.F32, n, cols, seed + 1);
      double[][] whole =
          mixed(
              session,
              w,
              Expression.inner(session.matrix(DType.F32, x, cols))
                  .plusInner(-0.1, session.matrix(DType.F32, g, cols))
                  .withMessageType(message),
              DType.F32,
              cols);
      for (int part = 0; part < 2; part++) {
        int begin = part == 0 ? 0 : cut;
        int end = part == 0 ? cut : n;
        int own = end - begin;
        // The other process forms its messages with the same kernel.
        DeviceMatrix ox = session.matrix(DType.F32, without(x, begin, end), cols);
        DeviceMatrix og = session.matrix(DType.F32, without(g, begin, end), cols);
        Operand formed = session.operand(DType.F32, new double[n - own][cols], cols);
        Mixing.combine(
            Expression.inner(ox).plusInner(-0.1, og).withMessageType(message), formed.matrix());
        Operand halo = session.operand(message, new double[n - own][cols], cols);
        Memory.convert(formed.matrix(), halo.matrix());
        long[][] rows = new long[own][];
        for (int r = 0; r < own; r++) {
          rows[r] =
              Arrays.stream(w.rows()[begin + r])
                  .map(c -> c >= begin && c < end ? c - begin : own + (c < begin ? c : c - own))
                  .toArray();
        }
        Csr local = new Csr(rows, Arrays.copyOfRange(w.weights(), begin, end));
        Operand y = session.operand(DType.F32, new double[own][cols], cols);
        try (MixingWeights weights = local.on(session, n)) {
          Mixing.mix(
              weights,
              Expression.inner(session.matrix(DType.F32, Arrays.copyOfRange(x, begin, end), cols))
                  .plusInner(
                      -0.1, session.matrix(DType.F32, Arrays.copyOfRange(g, begin, end), cols))
                  .withMessageType(message)
                  .withHalo(halo.matrix()),
              y.matrix());
        }
        y.expect(Arrays.copyOfRange(whole, begin, end));
      }
      session.release();
    }
  }

  private static double[][] without(double[][] x, int begin, int end) {
    double[][] rest = new double[x.length - (end - begin)][];
    for (int i = 0, r = 0; i < x.length; i++) {
      if (i < begin || i >= end) {
        rest[r++] = x[i];
      }
    }
    return rest;
  }

  /**
   * W = I stored as a matrix gives what no matrix gives; so does W = I stored densely, up to the
   * sign of a zero.
   */
  @Property(tries = TRIES, seed = SEED)
  void theIdentityMatrixIsTheIdentity(
      @ForAll @IntRange(min = 1, max = 20) int n,
      @ForAll @IntRange(min = 1, max = 70) int cols,
      @ForAll @IntRange(max = 100_000) int seed) {
    try (Rig.Session session = Rig.best().open()) {
      double[][] x = Samples.matrix(Samples.Kind.WIDE, DType.F32, n, cols, seed);
      DeviceMatrix m = session.matrix(DType.F32, x, cols);
      long[][] rows = new long[n][];
      double[][] weights = new double[n][];
      double[] dense = new double[n * n];
      for (int r = 0; r < n; r++) {
        rows[r] = new long[] {r};
        weights[r] = new double[] {1};
        dense[r * n + r] = 1;
      }
      Operand y = session.operand(DType.F32, new double[n][cols], cols);
      Mixing.combine(Expression.inner(0.3, m), y.matrix());
      double[][] combined = y.values();
      double[][] sparse =
          mixed(session, new Csr(rows, weights), Expression.inner(0.3, m), DType.F32, cols);
      try (MixingWeights w = MixingWeights.dense(session.queue(), n, n, dense)) {
        Mixing.mix(w, Expression.inner(0.3, m), y.matrix());
      }
      double[][] all = y.values();
      for (int r = 0; r < n; r++) {
        assertArrayEquals(combined[r], sparse[r]);
        for (int c = 0; c < cols; c++) {
          assertEquals(0.0, combined[r][c] - all[r][c]);
        }
      }
      session.release();
    }
  }
}
