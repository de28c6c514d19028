package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The family lowrank against the oracle, bit for bit, on every tier, thread count and cut. */
class LowRankTest {
  private static final List<Contract.Case> PRODUCTS = new ArrayList<>();
  private static final List<Contract.Case> COLUMNS = new ArrayList<>();
  private static final List<Contract.Case> SUMS = new ArrayList<>();

  static {
    long seed = 9000;
    for (int size : Contract.SIZES) {
      if (size > 0) {
        add(3, List.of(shape(2, 3, size, 3)), Samples.Kind.WIDE, seed++);
        add(2, List.of(shape(0, size, 5, 5)), Samples.Kind.SPECIAL, seed++);
      }
    }
    for (int rank : new int[] {1, 2, 3, 4, 5, 7, 8, 9, 31, 63, 64}) {
      add(2, List.of(shape(1, 70, 67, rank)), Samples.Kind.WIDE, seed++);
    }
    // Gaps, neighbours, ranks of their own, more rows than columns and the reverse; no tensor at
    // all; no row at all.
    List<LowRank.Shape> many =
        List.of(
            shape(3, 1, 1, 1),
            shape(4, 33, 31, 4),
            shape(1100, 1, 1023, 64),
            shape(2200, 1025, 3, 2),
            shape(5300, 2, 2, 64));
    add(3, many, Samples.Kind.WIDE, seed++);
    add(2, many, Samples.Kind.SPECIAL, seed++);
    add(0, many, Samples.Kind.WIDE, seed++);
    add(2, List.of(), Samples.Kind.WIDE, seed++);
    // Several blocks to a tree, and several rows of it.
    add(2, List.of(shape(5, 2, 3 * 65_536 + 5, 2)), Samples.Kind.WIDE, seed++);
    add(2, List.of(shape(0, 5 * 4096 + 3, 2, 2)), Samples.Kind.WIDE, seed++);
    add(1, List.of(shape(0, 300, 1100, 6)), Samples.Kind.WIDE, seed);
  }

  private static LowRank.Shape shape(long offset, long rows, long cols, int rank) {
    return new LowRank.Shape(offset, rows, cols, (int) Math.min(rank, Math.min(rows, cols)));
  }

  private static void add(int rows, List<LowRank.Shape> shapes, Samples.Kind kind, long seed) {
    boolean common = seed % 2 == 0;
    PRODUCTS.add(products(rows, shapes, kind, common, seed));
    COLUMNS.add(columns(rows, shapes, kind, seed));
    SUMS.add(sums(rows, shapes, kind, common, seed));
    SUMS.add(weighted(rows, shapes, kind, seed));
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void productsFollowTheTrees(Rig rig) {
    Contract.run(rig, PRODUCTS);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void columnsAreMadeOrthonormalInTheStatedOrder(Rig rig) {
    Contract.run(rig, COLUMNS);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void reconstructionsAreSubtractedAndAdded(Rig rig) {
    Contract.run(rig, SUMS);
  }

  private static int width(List<LowRank.Shape> shapes) {
    return shapes.isEmpty() ? 4 : (int) shapes.getLast().end() + 2;
  }

  private static Supplier<double[][]> values(Samples.Kind kind, int rows, int cols, long seed) {
    return Contract.once(() -> Samples.matrix(kind, DType.F32, rows, cols, seed));
  }

  private static double[][] copy(double[][] m) {
    double[][] c = new double[m.length][];
    for (int r = 0; r < m.length; r++) {
      c[r] = m[r].clone();
    }
    return c;
  }

  private static String text(String what, int rows, List<LowRank.Shape> shapes, long seed) {
    return "%s of %d rows with %s, seed %d".formatted(what, rows, shapes, seed);
  }

  /** left and right, of all forms of v. */
  private static Contract.Case products(
      int rows, List<LowRank.Shape> shapes, Samples.Kind kind, boolean common, long seed) {
    int cols = width(shapes);
    int left = OracleLowRank.leftSize(shapes);
    int right = OracleLowRank.rightSize(shapes);
    Supplier<double[][]> x = values(kind, rows, cols, seed);
    Supplier<double[][]> minus = values(kind, rows, cols, seed + 100_000);
    Supplier<double[][]> residual = values(kind, rows, cols, seed + 200_000);
    int factorRows = common ? 1 : rows;
    // A column more than is needed, which stays.
    Supplier<double[][]> q = values(kind, factorRows, right + 1, seed + 300_000);
    Supplier<double[][]> p = values(kind, factorRows, left, seed + 400_000);
    boolean withMinus = seed / 2 % 2 == 0;
    boolean withResidual = seed / 4 % 2 == 0;
    Supplier<double[][]> v =
        Contract.once(
            () ->
                OracleLowRank.source(
                    x.get(), withMinus ? minus.get() : null, withResidual ? residual.get() : null));
    Supplier<double[][]> expectedP =
        Contract.once(
            () -> {
              double[][] out = filled(rows, left + 1);
              OracleLowRank.left(shapes, v.get(), q.get(), out);
              return out;
            });
    Supplier<double[][]> expectedQ =
        Contract.once(
            () -> {
              double[][] out = filled(rows, right + 1);
              OracleLowRank.right(shapes, v.get(), p.get(), out);
              return out;
            });
    Supplier<double[]> flags =
        Contract.once(
            () -> {
              double[] out = new double[rows];
              for (int r = 0; r < rows; r++) {
                out[r] = 2;
                for (LowRank.Shape s : shapes) {
                  for (int c = (int) s.offset(); c < s.end(); c++) {
                    out[r] = Oracle.finite(v.get()[r][c]) ? out[r] : 3;
                  }
                }
              }
              return out;
            });
    return new Contract.Case(
        text("products", rows, shapes, seed),
        session -> {
          LowRank lowRank = LowRank.of(shapes);
          DeviceMatrix own = session.matrix(DType.F32, x.get(), cols);
          Optional<DeviceMatrix> less =
              withMinus
                  ? Optional.of(session.matrix(DType.F32, minus.get(), cols))
                  : Optional.empty();
          Optional<DeviceMatrix> more =
              withResidual
                  ? Optional.of(session.matrix(DType.F32, residual.get(), cols))
                  : Optional.empty();
          Operand outP = session.operand(DType.F32, filled(rows, left + 1), left + 1);
          Operand outQ = session.operand(DType.F32, filled(rows, right + 1), right + 1);
          Operand seen = session.operand(DType.I32, twos(rows), rows);
          Optional<DeviceMatrix> watched =
              seed % 3 == 0 ? Optional.empty() : Optional.of(seen.matrix());
          lowRank.left(
              own,
              less,
              more,
              session.matrix(DType.F32, q.get(), right + 1),
              outP.matrix(),
              watched);
          lowRank.right(own, less, more, session.matrix(DType.F32, p.get(), left), outQ.matrix());
          outP.expect(expectedP.get());
          outQ.expect(expectedQ.get());
          seen.expect(watched.isPresent() ? flags.get() : twos(rows)[0]);
        });
  }

  private static double[][] filled(int rows, int cols) {
    double[][] m = new double[rows][cols];
    for (double[] row : m) {
      java.util.Arrays.fill(row, -7);
    }
    return m;
  }

  private static double[][] twos(int cols) {
    double[][] m = new double[1][cols];
    java.util.Arrays.fill(m[0], 2);
    return m;
  }

  /** Both sides; special values, columns that repeat, and columns of zeros among them. */
  private static Contract.Case columns(
      int rows, List<LowRank.Shape> shapes, Samples.Kind kind, long seed) {
    int left = OracleLowRank.leftSize(shapes);
    int right = OracleLowRank.rightSize(shapes);
    Supplier<double[][]> p =
        Contract.once(
            () -> {
              double[][] m = Samples.matrix(kind, DType.F32, rows, left, seed + 500_000);
              spoil(shapes, m, seed);
              return m;
            });
    Supplier<double[][]> q = values(kind, rows, right + 3, seed + 600_000);
    Supplier<double[][]> expectedP =
        Contract.once(
            () -> {
              double[][] out = copy(p.get());
              OracleLowRank.orthonormalise(shapes, false, out);
              return out;
            });
    Supplier<double[][]> expectedQ =
        Contract.once(
            () -> {
              double[][] out = copy(q.get());
              OracleLowRank.orthonormalise(shapes, true, out);
              return out;
            });
    return new Contract.Case(
        text("orthonormal columns", rows, shapes, seed),
        session -> {
          LowRank lowRank = LowRank.of(shapes);
          Operand ownP = session.operand(DType.F32, p.get(), left);
          Operand ownQ = session.operand(DType.F32, q.get(), right + 3);
          lowRank.orthonormaliseLeft(ownP.matrix());
          lowRank.orthonormaliseRight(ownQ.matrix());
          ownP.expect(expectedP.get());
          ownQ.expect(expectedQ.get());
        });
  }

  /** Makes some columns zero, or a sum of those before, in every second row. */
  private static void spoil(List<LowRank.Shape> shapes, double[][] p, long seed) {
    for (int r = 0; r < p.length; r += 2) {
      int at = 0;
      for (LowRank.Shape s : shapes) {
        int n = (int) s.rows();
        for (int k = 0; k < s.rank(); k++) {
          for (int i = 0; i < n; i++) {
            if ((k + seed) % 3 == 0) {
              p[r][at + k * n + i] = 0;
            } else if ((k + seed) % 3 == 1 && k > 1) {
              p[r][at + k * n + i] = (float) (p[r][at + i] / 4 - 3 * p[r][at + (k - 1) * n + i]);
            }
          }
        }
        at += s.rank() * n;
      }
    }
  }

  /** residual apart and in place, and accumulate without weights. */
  private static Contract.Case sums(
      int rows, List<LowRank.Shape> shapes, Samples.Kind kind, boolean common, long seed) {
    int cols = width(shapes);
    int left = OracleLowRank.leftSize(shapes);
    int right = OracleLowRank.rightSize(shapes);
    Supplier<double[][]> x = values(kind, rows, cols, seed);
    Supplier<double[][]> minus = values(kind, rows, cols, seed + 100_000);
    Supplier<double[][]> residual = values(kind, rows, cols, seed + 200_000);
    Supplier<double[][]> p = values(kind, common ? 1 : rows, left, seed + 400_000);
    Supplier<double[][]> q = values(kind, rows, right, seed + 300_000);
    boolean withMinus = seed / 2 % 2 == 0;
    boolean withResidual = seed / 4 % 2 == 0;
    boolean add = seed / 2 % 2 == 0;
    Supplier<double[][]> expected =
        Contract.once(
            () -> {
              double[][] out = copy(residual.get());
              OracleLowRank.residual(
                  shapes,
                  OracleLowRank.source(
                      x.get(),
                      withMinus ? minus.get() : null,
                      withResidual ? residual.get() : null),
                  p.get(),
                  q.get(),
                  out);
              return out;
            });
    Supplier<double[][]> sum =
        Contract.once(
            () -> {
              double[][] y = copy(x.get());
              OracleLowRank.accumulate(null, shapes, p.get(), q.get(), null, null, add, y);
              return y;
            });
    return new Contract.Case(
        text("reconstructions", rows, shapes, seed),
        session -> {
          LowRank lowRank = LowRank.of(shapes);
          Operand own = session.operand(DType.F32, x.get(), cols);
          Optional<DeviceMatrix> less =
              withMinus
                  ? Optional.of(session.matrix(DType.F32, minus.get(), cols))
                  : Optional.empty();
          Operand kept = session.operand(DType.F32, residual.get(), cols);
          DeviceMatrix ownP = session.matrix(DType.F32, p.get(), left);
          DeviceMatrix ownQ = session.matrix(DType.F32, q.get(), right);
          Optional<DeviceMatrix> more =
              withResidual ? Optional.of(kept.matrix()) : Optional.empty();
          lowRank.residual(own.matrix(), less, more, ownP, ownQ, kept.matrix());
          kept.expect(expected.get());
          own.expect(x.get());
          lowRank.accumulate(ownP, ownQ, add, own.matrix());
          own.expect(sum.get());
        });
  }

  /** accumulate under weights: an empty row, repeated columns, rows out of order, a halo. */
  private static Contract.Case weighted(
      int rows, List<LowRank.Shape> shapes, Samples.Kind kind, long seed) {
    int cols = width(shapes);
    int left = OracleLowRank.leftSize(shapes);
    int right = OracleLowRank.rightSize(shapes);
    boolean commonP = seed % 3 == 0 && rows > 1;
    boolean add = seed / 2 % 2 == 0;
    boolean scattered = seed / 4 % 2 == 0;
    int halo = 2;
    Supplier<double[][]> y = values(kind, rows + 1, cols, seed);
    Supplier<double[][]> p = values(kind, commonP ? 1 : rows, left, seed + 400_000);
    Supplier<double[][]> q = values(kind, rows, right, seed + 300_000);
    Supplier<double[][]> farP = values(kind, halo, left, seed + 700_000);
    Supplier<double[][]> farQ = values(kind, halo, right, seed + 800_000);
    int[] columns = new int[2 * rows + 1];
    double[] weights = new double[columns.length];
    long[] offsets = new long[rows + 2];
    for (int e = 0; e < columns.length; e++) {
      columns[e] = (e * 3 + 1) % (rows + halo);
      weights[e] = 0.3 * (e + 1) * (e % 2 == 0 ? 1 : -1);
    }
    for (int r = 0; r <= rows; r++) {
      // The first row is empty.
      offsets[r + 1] = Math.min(2L * r, columns.length);
    }
    offsets[rows + 1] = columns.length;
    int[] outputRows = new int[rows + 1];
    for (int r = 0; r <= rows; r++) {
      outputRows[r] = rows - r;
    }
    Oracle.OracleWeights w =
        new Oracle.OracleWeights(offsets, columns, weights, scattered ? outputRows : null);
    Supplier<double[][]> expected =
        Contract.once(
            () -> {
              double[][] out = copy(y.get());
              OracleLowRank.accumulate(
                  w, shapes, p.get(), q.get(), commonP ? null : farP.get(), farQ.get(), add, out);
              return out;
            });
    return new Contract.Case(
        text("weighted sums", rows, shapes, seed),
        session -> {
          Operand own = session.operand(DType.F32, y.get(), cols);
          try (MixingWeights mixing =
              scattered
                  ? MixingWeights.sparse(
                      session.queue(), rows + 1, rows + halo, offsets, columns, weights, outputRows)
                  : MixingWeights.sparse(
                      session.queue(), rows + 1, rows + halo, offsets, columns, weights)) {
            LowRank.of(shapes)
                .accumulate(
                    mixing,
                    session.matrix(DType.F32, p.get(), left),
                    session.matrix(DType.F32, q.get(), right),
                    commonP
                        ? Optional.empty()
                        : Optional.of(session.matrix(DType.F32, farP.get(), left)),
                    Optional.of(session.matrix(DType.F32, farQ.get(), right)),
                    add,
                    own.matrix());
            own.expect(expected.get());
          }
        });
  }

  /** A result that is stored past the caches, in rows that are aligned for it and in others. */
  @Test
  void largeResultsAreTheSameProducts() {
    for (int offset : new int[] {0, 3}) {
      List<LowRank.Shape> shapes = List.of(shape(offset, 2047, 2064, 2));
      double[][] p = Samples.matrix(Samples.Kind.WIDE, DType.F32, 1, 2 * 2047, 5);
      double[][] q = Samples.matrix(Samples.Kind.WIDE, DType.F32, 1, 2 * 2064, 6);
      int cols = width(shapes);
      double[] expected = OracleLowRank.product(shapes, p[0], q[0], cols);
      for (Rig rig : List.of(Rig.best(), Rig.cutUp())) {
        try (Rig.Session session = rig.open();
            DeviceMatrix y = DeviceMatrix.allocate(session.queue(), 1, cols, DType.F32)) {
          LowRank.of(shapes)
              .accumulate(
                  session.matrix(DType.F32, p, p[0].length),
                  session.matrix(DType.F32, q, q[0].length),
                  false,
                  y);
          double[] actual = y.toDoubles();
          for (int c = 0; c < cols; c++) {
            assertEquals(expected[c] + 0.0, actual[c]);
          }
          session.release();
        }
      }
    }
  }
}
