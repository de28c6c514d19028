package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The family reduction against the oracle, bit for bit, on every tier, thread count and cut. */
class ReductionTest {
  private static final List<DType> FLOATING = List.of(DType.F32, DType.F64, DType.BF16, DType.F16);

  /** Forty rows pushed, then added from the last to the first; and forty rows as they are. */
  private static final int[] DEEP = new int[79];

  private static final int[] WIDE_RESULT = new int[40];

  static {
    Arrays.setAll(DEEP, i -> i < 40 ? 39 - i : -1);
    Arrays.setAll(WIDE_RESULT, i -> i);
  }

  private static final List<Contract.Case> ROWS = rowCases();
  private static final List<Contract.Case> SEGMENTS = segmentCases();
  private static final List<Contract.Case> GRAMS = gramCases();
  private static final List<Contract.Case> NODES = nodeCases();

  private static boolean binary(Reduction.Kind kind) {
    return kind == Reduction.Kind.DOT || kind == Reduction.Kind.DISTANCE;
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void rowsFollowTheTree(Rig rig) {
    Contract.run(rig, ROWS);
  }

  /** Above 256 chunks, above 1024 and above 4096: the sums of CUDA's chunks take several passes. */
  @Test
  void rowsOfManyChunks() {
    List<Contract.Case> cases =
        List.of(
            rows(Reduction.Kind.SUM, DType.F64, 1, 1_100_003, Samples.Kind.WIDE, 1, 5000),
            rows(Reduction.Kind.DOT, DType.F32, 1, 4_300_003, Samples.Kind.WIDE, 1, 5001),
            rows(Reduction.Kind.MAX, DType.BF16, 1, 4_300_003, Samples.Kind.WIDE, 1, 5002),
            rows(Reduction.Kind.SQUARES, DType.BF16, 1, 16_900_003, Samples.Kind.WIDE, 1, 5003));
    for (Contract.Case c : cases) {
      Contract.run(Rig.best(), List.of(c));
      if (Rig.onCpu()) {
        Contract.run(Rig.cutUp(), List.of(c));
      }
    }
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void segmentsFollowTheTreeAnewInEachSegment(Rig rig) {
    Contract.run(rig, SEGMENTS);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void gramsAreDotsOfRows(Rig rig) {
    Contract.run(rig, GRAMS);
  }

  /** So many pairs of tiles that their sums do not stand in the scratch at once. */
  @Test
  void gramInRounds() {
    assumeTrue(Rig.onCpu(), "the scratch is the CPU library's; emulated, this takes minutes");
    Contract.Case c = gram(DType.F32, 2900, 1, 3, true, 3900);
    Contract.run(Rig.best(), List.of(c));
    Contract.run(Rig.cutUp(), List.of(c));
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void nodeProgramsSumInTheOrderTheyState(Rig rig) {
    Contract.run(rig, NODES);
  }

  private static List<Contract.Case> rowCases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 1000;
    for (DType t : FLOATING) {
      for (Reduction.Kind kind : Reduction.Kind.values()) {
        for (int cols : Contract.SIZES) {
          cases.add(rows(kind, t, 3, cols, Samples.Kind.WIDE, 3, seed++));
          cases.add(rows(kind, t, 2, cols, Samples.Kind.SPECIAL, 1, seed++));
        }
        cases.add(rows(kind, t, 0, 33, Samples.Kind.WIDE, 0, seed++));
        cases.add(rows(kind, t, 1, Contract.LARGE, Samples.Kind.WIDE, 1, seed++));
      }
    }
    for (Reduction.Kind kind : Reduction.Kind.values()) {
      cases.add(rows(kind, DType.F32, 5000, 7, Samples.Kind.WIDE, 1, seed++));
    }
    return cases;
  }

  private static Contract.Case rows(
      Reduction.Kind kind, DType t, int rows, int cols, Samples.Kind sample, int bRows, long seed) {
    Supplier<double[][]> a = Contract.once(() -> Samples.matrix(sample, t, rows, cols, seed));
    Supplier<double[][]> b =
        Contract.once(() -> Samples.matrix(sample, t, bRows, cols, seed + 500_000));
    Supplier<double[]> expected =
        Contract.once(
            () -> {
              double[] out = new double[rows];
              for (int r = 0; r < rows; r++) {
                double[] second = binary(kind) ? b.get()[bRows == 1 ? 0 : r] : null;
                out[r] = Oracle.reduce(kind, t, a.get()[r], second);
              }
              return out;
            });
    return new Contract.Case(
        "%s of %d x %d %s %s with b of %d rows, seed %d"
            .formatted(kind, rows, cols, t, sample, bRows, seed),
        session -> {
          Operand out = session.operand(DType.F64, new double[1][rows], rows);
          DeviceMatrix first = session.matrix(t, a.get(), cols);
          if (binary(kind)) {
            Reduction.rows(kind, first, session.matrix(t, b.get(), cols), out.matrix());
          } else {
            Reduction.rows(kind, first, out.matrix());
          }
          out.expect(expected.get());
        });
  }

  private static List<Contract.Case> segmentCases() {
    long[][] bounds = {
      {0, 0}, {0, 5}, {0, 1, 2, 63, 64, 65, 129}, {3, 3, 4100, 4100, 8195, 9000}, {17, 9000}
    };
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 2000;
    for (DType t : FLOATING) {
      for (Reduction.Kind kind : Reduction.Kind.values()) {
        for (long[] b : bounds) {
          cases.add(segments(kind, t, 3, 9000, b, seed++));
        }
      }
    }
    long[] many = new long[600];
    for (int i = 0; i < many.length; i++) {
      many[i] = i * (i + 1L) / 2;
    }
    cases.add(segments(Reduction.Kind.SQUARES, DType.F32, 2, 180_000, many, seed));
    return cases;
  }

  private static Contract.Case segments(
      Reduction.Kind kind, DType t, int rows, int cols, long[] bounds, long seed) {
    int segments = bounds.length - 1;
    Supplier<double[][]> a =
        Contract.once(() -> Samples.matrix(Samples.Kind.WIDE, t, rows, cols, seed));
    Supplier<double[][]> b =
        Contract.once(() -> Samples.matrix(Samples.Kind.WIDE, t, 1, cols, seed + 500_000));
    Supplier<double[][]> expected =
        Contract.once(
            () -> {
              double[][] out = new double[rows][segments];
              for (int r = 0; r < rows; r++) {
                for (int s = 0; s < segments; s++) {
                  out[r][s] =
                      Oracle.reduce(
                          kind,
                          t,
                          a.get()[r],
                          binary(kind) ? b.get()[0] : null,
                          (int) bounds[s],
                          (int) bounds[s + 1]);
                }
              }
              return out;
            });
    return new Contract.Case(
        "%s of %d segments of %d x %d %s, seed %d".formatted(kind, segments, rows, cols, t, seed),
        session -> {
          Operand out = session.operand(DType.F64, new double[rows][segments], segments);
          DeviceMatrix first = session.matrix(t, a.get(), cols);
          if (binary(kind)) {
            DeviceMatrix second = session.matrix(t, b.get(), cols);
            Reduction.segments(kind, first, second, bounds, out.matrix());
          } else {
            Reduction.segments(kind, first, bounds, out.matrix());
          }
          out.expect(expected.get());
        });
  }

  private static List<Contract.Case> gramCases() {
    int[][] shapes = {
      {0, 0, 5},
      {1, 1, 0},
      {1, 1, 1},
      {3, 0, 65},
      {5, 4, 1023},
      {33, 2, 1025},
      {65, 65, 129},
      {2, 3, 4097},
      {40, 35, 4500},
      {4, 4, 70_001}
    };
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 3000;
    for (DType t : FLOATING) {
      for (int[] s : shapes) {
        for (boolean self : new boolean[] {false, true}) {
          cases.add(gram(t, s[0], s[1], s[2], self, seed++));
        }
      }
    }
    return cases;
  }

  private static Contract.Case gram(
      DType t, int rows, int otherRows, int cols, boolean self, long seed) {
    int width = self ? rows : otherRows;
    Supplier<double[][]> a =
        Contract.once(() -> Samples.matrix(Samples.Kind.WIDE, t, rows, cols, seed));
    Supplier<double[][]> b =
        Contract.once(() -> Samples.matrix(Samples.Kind.WIDE, t, otherRows, cols, seed + 500_000));
    Supplier<double[][]> expected =
        Contract.once(
            () -> {
              double[][] out = new double[rows][width];
              for (int i = 0; i < rows; i++) {
                for (int j = 0; j < width; j++) {
                  out[i][j] =
                      Oracle.reduce(Reduction.Kind.DOT, t, a.get()[i], (self ? a : b).get()[j]);
                }
              }
              return out;
            });
    return new Contract.Case(
        "gram of %d x %d %s %s, seed %d"
            .formatted(rows, cols, t, self ? "with itself" : "with " + otherRows + " rows", seed),
        session -> {
          Operand out = session.operand(DType.F64, new double[rows][width], width);
          DeviceMatrix first = session.matrix(t, a.get(), cols);
          if (self) {
            Reduction.gram(first, out.matrix());
          } else {
            Reduction.gram(first, session.matrix(t, b.get(), cols), out.matrix());
          }
          out.expect(expected.get());
        });
  }

  private static List<Contract.Case> nodeCases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 4000;
    for (DType t : FLOATING) {
      for (int n : new int[] {1, 2, 3, 5, 7, 8, 9, 16, 31, 33}) {
        int[] mean = NodeTree.program(n);
        cases.add(nodes(mean, t, t, n, 0, 1, 1025, n, true, true, seed++));
        cases.add(nodes(mean, t, t, n, 0, 1, 33, 1, true, false, seed++));
        cases.add(nodes(mean, t, t, n, 0, 1, 4097, n, false, true, seed++));
      }
      int[] right = {4, 3, 2, 1, 0, -1, -1, -1, -1};
      int[] several = {0, 1, -1, 2, 3, 2, -1, 4, 5, -1, 6, -1};
      for (int cols : Contract.SIZES) {
        cases.add(nodes(right, t, t, 5, 0, 1, cols, 3, true, true, seed++));
        cases.add(nodes(several, t, t, 5, 2, 4, cols, 1, true, false, seed++));
        cases.add(nodes(several, t, wide(t), 5, 2, 4, cols, 7, true, false, seed++));
      }
      cases.add(
          nodes(NodeTree.program(9), t, t, 9, 0, 1, Contract.LARGE / 4, 9, true, true, seed++));
      // Too deep for shared memory.
      for (int cols : new int[] {33, 4097}) {
        cases.add(nodes(DEEP, t, t, 30, 10, 1, cols, 40, true, true, seed++));
        cases.add(nodes(DEEP, t, wide(t), 30, 10, 1, cols, 1, true, true, seed++));
        cases.add(nodes(WIDE_RESULT, t, t, 30, 10, 40, cols, 3, true, false, seed++));
      }
    }
    for (DType out : List.of(DType.F32, DType.BF16, DType.F16)) {
      for (DType x : List.of(DType.F32, DType.BF16)) {
        cases.add(nodes(NodeTree.program(9), x, x, out, 9, 0, 1, 1025, 9, true, true, seed++));
      }
    }
    cases.add(
        nodes(NodeTree.program(1500), DType.F32, DType.F32, 1500, 0, 1, 70, 9, true, true, seed));
    return cases;
  }

  private static DType wide(DType t) {
    return t == DType.F64 ? DType.F64 : DType.F32;
  }

  private static Contract.Case nodes(
      int[] program,
      DType t,
      DType remoteType,
      int rows,
      int remoteRows,
      int results,
      int cols,
      double divisor,
      boolean withOut,
      boolean withDistances,
      long seed) {
    return nodes(
        program,
        t,
        remoteType,
        t,
        rows,
        remoteRows,
        results,
        cols,
        divisor,
        withOut,
        withDistances,
        seed);
  }

  private static Contract.Case nodes(
      int[] program,
      DType t,
      DType remoteType,
      DType outType,
      int rows,
      int remoteRows,
      int results,
      int cols,
      double divisor,
      boolean withOut,
      boolean withDistances,
      long seed) {
    Supplier<double[][]> x =
        Contract.once(() -> Samples.matrix(Samples.Kind.WIDE, t, rows, cols, seed));
    Supplier<double[][]> remote =
        Contract.once(
            () -> Samples.matrix(Samples.Kind.WIDE, remoteType, remoteRows, cols, seed + 500_000));
    Supplier<double[][]> expected =
        Contract.once(
            () ->
                Oracle.round(
                    outType, Oracle.nodes(program, t, x.get(), remote.get(), divisor, cols)));
    Supplier<double[]> distances =
        Contract.once(
            () -> {
              double[] out = new double[rows];
              for (int r = 0; r < rows && withDistances; r++) {
                out[r] = Oracle.reduce(Reduction.Kind.DISTANCE, t, x.get()[r], expected.get()[0]);
              }
              return out;
            });
    return new Contract.Case(
        "a program of %d on %d x %d %s, %d remote rows of %s, divisor %s, seed %d"
            .formatted(program.length, rows, cols, t, remoteRows, remoteType, divisor, seed),
        session -> {
          Operand out = session.operand(outType, new double[withOut ? results : 0][cols], cols);
          Operand far = session.operand(DType.F64, new double[1][rows], rows);
          DeviceMatrix remoteMatrix = session.matrix(remoteType, remote.get(), cols);
          Reduction.nodes(
              program,
              session.matrix(t, x.get(), cols),
              remoteRows == 0 ? Optional.empty() : Optional.of(remoteMatrix),
              divisor,
              withOut ? Optional.of(out.matrix()) : Optional.empty(),
              withDistances ? Optional.of(far.matrix()) : Optional.empty());
          if (withOut) {
            out.expect(expected.get());
          }
          far.expect(distances.get());
        });
  }

  /**
   * The same result whether the rows are reduced by the kernel on one process or by Java from f64
   * sums.
   */
  @Test
  void treeOfValuesPairsNeighbours() {
    for (int n : new int[] {0, 1, 2, 3, 5, 6, 7, 100, 1025}) {
      double[] values = n == 0 ? new double[0] : Samples.row(Samples.Kind.WIDE, DType.F64, n, n);
      assertEquals(Oracle.tree(values), Reduction.tree(values));
    }
    assertEquals((1e16 + 1) + (-1e16 + 1), Reduction.tree(new double[] {1e16, 1, -1e16, 1}));
  }

  @Test
  void conveniencesAgreeWithTheKernels() {
    try (Rig.Session session = Rig.best().open()) {
      double[][] a = Samples.matrix(Samples.Kind.WIDE, DType.F32, 5, 1025, 7);
      double[][] b = Samples.matrix(Samples.Kind.WIDE, DType.F32, 5, 1025, 8);
      DeviceMatrix first = session.matrix(DType.F32, a, 1025);
      DeviceMatrix second = session.matrix(DType.F32, b, 1025);
      double[] squares = new double[5];
      double[] norms = new double[5];
      double[] dots = new double[5];
      for (int r = 0; r < 5; r++) {
        squares[r] = Oracle.reduce(Reduction.Kind.SQUARES, DType.F32, a[r], null);
        norms[r] = Math.sqrt(squares[r]);
        dots[r] = Oracle.reduce(Reduction.Kind.DOT, DType.F32, a[r], b[r]);
      }
      assertArrayEquals(squares, Reduction.squares(first));
      assertArrayEquals(norms, Reduction.norms(first));
      assertArrayEquals(dots, Reduction.dots(first, second));
      assertEquals(0, Reduction.nonFinite(first));
      first.set(3, 1024, Double.NaN);
      first.set(0, 0, Double.NEGATIVE_INFINITY);
      assertEquals(2, Reduction.nonFinite(first));
      session.release();
    }
  }
}
