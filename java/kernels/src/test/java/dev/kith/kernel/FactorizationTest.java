package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The family factorization: the bits of one thread of the CPU on every tier, thread count, cut and
 * device, and nothing written beside the results. What the bits are worth {@link
 * FactorizationLawsTest} says.
 */
class FactorizationTest {
  private static final List<DType> TYPES = List.of(DType.F32, DType.F64);
  private static final List<Contract.Case> EIGEN = eigenCases();
  private static final List<Contract.Case> QR = qrCases();
  private static final List<Contract.Case> STIEFEL = stiefelCases();
  private static final List<Contract.Case> CHOLESKY = choleskyCases();

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void eigen(Rig rig) {
    Contract.run(rig, EIGEN);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void qr(Rig rig) {
    Contract.run(rig, QR);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void polarFactorsAndTangents(Rig rig) {
    Contract.run(rig, STIEFEL);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void cholesky(Rig rig) {
    Contract.run(rig, CHOLESKY);
  }

  /** Matrices in the rows of an operand, with gaps between their rows or none. */
  static final class Family {
    final DType dtype;
    final int rows;
    final int cols;
    final int stride;
    final double[][] values;

    Family(DType t, Samples.Kind kind, int batches, int rows, int cols, int gap, long seed) {
      dtype = t;
      this.rows = rows;
      this.cols = cols;
      stride = cols + gap;
      // A batch of none has a base all the same.
      values = Samples.matrix(kind, t, Math.max(batches, 1), rows * stride, seed);
    }

    int width() {
      return rows * stride;
    }

    Batch batch(DeviceMatrix m) {
      return Batch.of(m, 0, rows, cols, stride, m.stride());
    }

    double at(int b, int i, int j) {
      return values[b][i * stride + j];
    }

    double[][] matrix(double[][] of, int b) {
      double[][] m = new double[rows][cols];
      for (int i = 0; i < rows; i++) {
        System.arraycopy(of[b], i * stride, m[i], 0, cols);
      }
      return m;
    }
  }

  /** What an operation writes into each of some matrices, in order. */
  interface Run {
    void on(List<DeviceMatrix> matrices);
  }

  /** Runs an operation on the CPU with one thread on matrices with these values. */
  static List<double[][]> plainly(List<DType> types, List<double[][]> values, Run run) {
    Device cpu = Device.cpu();
    int threads = cpu.threads();
    cpu.threads(1);
    try (Queue queue = cpu.newQueue()) {
      List<DeviceMatrix> matrices = new ArrayList<>();
      for (int i = 0; i < types.size(); i++) {
        int cols = values.get(i).length == 0 ? 0 : values.get(i)[0].length;
        DeviceMatrix m = DeviceMatrix.allocate(queue, values.get(i).length, cols, types.get(i));
        double[] all = Arrays.stream(values.get(i)).flatMapToDouble(Arrays::stream).toArray();
        switch (types.get(i)) {
          case F64 -> m.upload(all);
          case F32 -> {
            float[] narrow = new float[all.length];
            for (int k = 0; k < all.length; k++) {
              narrow[k] = (float) all[k];
            }
            m.upload(narrow);
          }
          default -> m.upload(Arrays.stream(all).mapToInt(v -> (int) v).toArray());
        }
        matrices.add(m);
      }
      run.on(matrices);
      List<double[][]> results = new ArrayList<>();
      for (DeviceMatrix m : matrices) {
        double[] all = m.toDoubles();
        double[][] rows = new double[(int) m.rows()][(int) m.cols()];
        for (int r = 0; r < rows.length; r++) {
          System.arraycopy(all, r * rows[r].length, rows[r], 0, rows[r].length);
        }
        results.add(rows);
        m.close();
      }
      return results;
    } finally {
      cpu.threads(threads);
    }
  }

  private static Contract.Case sameBits(
      String name, List<DType> types, List<double[][]> values, Run run) {
    Supplier<List<double[][]>> expected = Contract.once(() -> plainly(types, values, run));
    return new Contract.Case(
        name,
        session -> {
          List<double[][]> right = expected.get();
          List<Operand> operands = new ArrayList<>();
          for (int i = 0; i < types.size(); i++) {
            int cols = values.get(i).length == 0 ? 0 : values.get(i)[0].length;
            operands.add(session.operand(types.get(i), values.get(i), cols));
          }
          run.on(operands.stream().map(Operand::matrix).toList());
          for (int i = 0; i < types.size(); i++) {
            operands.get(i).expect(right.get(i));
          }
        });
  }

  private static List<Contract.Case> eigenCases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 70_000;
    for (DType t : TYPES) {
      for (int n : new int[] {1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 33}) {
        cases.add(eigen(t, Samples.Kind.ORDINARY, 1 + (int) (seed % 5), n, seed++));
      }
      cases.add(eigen(t, Samples.Kind.SPECIAL, 40, 4, seed++));
      cases.add(eigen(t, Samples.Kind.INTEGERS, 300, 7, seed++));
      cases.add(eigen(t, Samples.Kind.ORDINARY, 0, 5, seed++));
    }
    // One that is worked by rounds.
    cases.add(eigen(DType.F64, Samples.Kind.ORDINARY, 1, 201, seed));
    return cases;
  }

  private static Contract.Case eigen(DType t, Samples.Kind kind, int batches, int n, long seed) {
    Family a = new Family(t, kind, batches, n, n, (int) (seed % 3), seed);
    Family vectors = new Family(t, Samples.Kind.ORDINARY, batches, n, n, (int) (seed % 2), -seed);
    boolean inPlace = seed % 4 == 0;
    return sameBits(
        "eigen of %d %s matrices of %d, %s, seed %d".formatted(batches, t, n, kind, seed),
        List.of(t, t, t, DType.I32),
        List.of(
            a.values, new double[Math.max(batches, 1)][n], vectors.values, new double[1][batches]),
        m ->
            Factorization.eigen(
                batches,
                a.batch(m.get(0)),
                Batch.of(m.get(1), 0, 1, n, n, m.get(1).stride()),
                Optional.of(inPlace ? a.batch(m.get(0)) : vectors.batch(m.get(2))),
                Optional.of(m.get(3))));
  }

  private static List<Contract.Case> qrCases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 71_000;
    int[][] shapes = {
      {1, 1}, {2, 1}, {5, 2}, {3, 3}, {8, 8}, {64, 8}, {33, 17}, {31, 31}, {70, 33}, {1025, 3},
      {97, 70}
    };
    for (DType t : TYPES) {
      for (int[] s : shapes) {
        cases.add(qr(t, Samples.Kind.WIDE, 1 + (int) (seed % 5), s, seed++));
      }
      cases.add(qr(t, Samples.Kind.SPECIAL, 40, new int[] {6, 3}, seed++));
      cases.add(qr(t, Samples.Kind.INTEGERS, 300, new int[] {8, 5}, seed++));
      cases.add(qr(t, Samples.Kind.WIDE, 0, new int[] {4, 2}, seed++));
      cases.add(qr(t, Samples.Kind.WIDE, 3, new int[] {4, 0}, seed++));
    }
    // One that is worked by panels.
    cases.add(qr(DType.F64, Samples.Kind.ORDINARY, 2, new int[] {261, 259}, seed));
    return cases;
  }

  private static Contract.Case qr(DType t, Samples.Kind kind, int batches, int[] s, long seed) {
    int m = s[0];
    int n = s[1];
    Family a = new Family(t, kind, batches, m, n, (int) (seed % 3), seed);
    Family q = new Family(t, Samples.Kind.ORDINARY, batches, m, n, (int) (seed % 2), -seed);
    Family r = new Family(t, Samples.Kind.ORDINARY, batches, n, n, (int) (seed % 2), ~seed);
    boolean inPlace = seed % 4 == 0;
    return sameBits(
        "qr of %d %s matrices of %d x %d, %s, seed %d".formatted(batches, t, m, n, kind, seed),
        List.of(t, t, t),
        List.of(a.values, q.values, r.values),
        x ->
            Factorization.qr(
                batches,
                a.batch(x.get(0)),
                inPlace ? a.batch(x.get(0)) : q.batch(x.get(1)),
                seed % 5 == 0 ? Optional.empty() : Optional.of(r.batch(x.get(2)))));
  }

  private static List<Contract.Case> stiefelCases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 72_000;
    int[][] shapes = {
      {1, 1}, {2, 1}, {5, 2}, {3, 3}, {8, 8}, {64, 8}, {33, 17}, {31, 31}, {1025, 3}, {40, 33}
    };
    for (DType t : TYPES) {
      for (int[] s : shapes) {
        int batches = 1 + (int) (seed % 5);
        cases.add(polar(t, Samples.Kind.WIDE, batches, s, seed++));
        cases.add(tangent(t, Samples.Kind.WIDE, batches, s, seed++));
      }
      cases.add(polar(t, Samples.Kind.SPECIAL, 40, new int[] {6, 3}, seed++));
      cases.add(tangent(t, Samples.Kind.SPECIAL, 40, new int[] {6, 3}, seed++));
      // Many of them have columns that depend on each other.
      cases.add(polar(t, Samples.Kind.INTEGERS, 300, new int[] {3, 2}, seed++));
      cases.add(polar(t, Samples.Kind.WIDE, 0, new int[] {4, 2}, seed++));
      cases.add(tangent(t, Samples.Kind.WIDE, 3, new int[] {4, 0}, seed++));
    }
    // Ones that are worked by parts.
    cases.add(polar(DType.F32, Samples.Kind.ORDINARY, 2, new int[] {1300, 47}, seed++));
    cases.add(tangent(DType.F32, Samples.Kind.ORDINARY, 2, new int[] {2300, 37}, seed));
    return cases;
  }

  private static Contract.Case polar(DType t, Samples.Kind kind, int batches, int[] s, long seed) {
    Family y = new Family(t, kind, batches, s[0], s[1], (int) (seed % 3), seed);
    Family x = new Family(t, Samples.Kind.ORDINARY, batches, s[0], s[1], 0, -seed);
    if (kind == Samples.Kind.INTEGERS) {
      for (double[] row : y.values) {
        Arrays.setAll(row, i -> Math.rint(row[i] / 8));
      }
    }
    boolean inPlace = seed % 4 == 0;
    return sameBits(
        "polar of %d %s matrices of %d x %d, %s, seed %d"
            .formatted(batches, t, s[0], s[1], kind, seed),
        List.of(t, t, DType.F64, DType.I32, DType.F64),
        List.of(
            y.values,
            x.values,
            new double[1][batches],
            new double[1][batches],
            new double[1][batches]),
        m -> {
          Factorization.distance(batches, y.batch(m.get(0)), m.get(4));
          Factorization.polar(
              batches,
              y.batch(m.get(0)),
              inPlace ? y.batch(m.get(0)) : x.batch(m.get(1)),
              Optional.of(m.get(2)),
              Optional.of(m.get(3)));
        });
  }

  private static Contract.Case tangent(
      DType t, Samples.Kind kind, int batches, int[] s, long seed) {
    Family x = new Family(t, kind, batches, s[0], s[1], (int) (seed % 3), seed);
    Family z = new Family(t, kind, batches, s[0], s[1], (int) (seed % 2), -seed);
    Family out = new Family(t, Samples.Kind.ORDINARY, batches, s[0], s[1], 0, ~seed);
    int place = (int) (seed % 3);
    return sameBits(
        "tangent of %d %s matrices of %d x %d, %s, seed %d"
            .formatted(batches, t, s[0], s[1], kind, seed),
        List.of(t, t, t),
        List.of(x.values, z.values, out.values),
        m ->
            Factorization.tangent(
                batches,
                x.batch(m.get(0)),
                z.batch(m.get(1)),
                List.of(x, z, out).get(place).batch(m.get(place))));
  }

  private static List<Contract.Case> choleskyCases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 73_000;
    for (DType t : TYPES) {
      for (int n : new int[] {1, 2, 3, 5, 8, 9, 17, 33, 70}) {
        cases.add(cholesky(t, Samples.Kind.ORDINARY, 1 + (int) (seed % 4), n, seed++));
      }
      cases.add(cholesky(t, Samples.Kind.SPECIAL, 40, 4, seed++));
      // Every one fails at some pivot.
      cases.add(cholesky(t, Samples.Kind.INTEGERS, 40, 7, seed++));
      cases.add(cholesky(t, Samples.Kind.ORDINARY, 0, 5, seed++));
    }
    // One that is worked by panels.
    cases.add(cholesky(DType.F64, Samples.Kind.ORDINARY, 1, 371, seed));
    return cases;
  }

  /** Factor, update, solve, and a downdate that some of them refuse. */
  private static Contract.Case cholesky(DType t, Samples.Kind kind, int batches, int n, long seed) {
    Family a = new Family(t, kind, batches, n, n, (int) (seed % 3), seed);
    if (kind == Samples.Kind.ORDINARY) {
      for (double[] row : a.values) {
        for (int i = 0; i < n; i++) {
          row[i * a.stride + i] = 2 * n + row[i * a.stride + i];
        }
      }
    }
    int some = 1 + (int) (seed % 3);
    Family v = new Family(t, kind, batches, some, n, (int) (seed % 2), -seed);
    Family b = new Family(t, kind, batches, n, some, (int) (seed % 2), ~seed);
    Family l = new Family(t, Samples.Kind.ORDINARY, batches, n, n, 0, 3 * seed);
    boolean inPlace = seed % 4 == 0;
    return sameBits(
        "cholesky of %d %s matrices of %d, %s, seed %d".formatted(batches, t, n, kind, seed),
        List.of(t, t, t, t, DType.I32, DType.I32, DType.I32),
        List.of(
            a.values,
            l.values,
            v.values,
            b.values,
            new double[1][batches],
            new double[1][batches],
            new double[1][batches]),
        m -> {
          Batch factor = inPlace ? a.batch(m.get(0)) : l.batch(m.get(1));
          Factorization.cholesky(batches, a.batch(m.get(0)), factor, m.get(4));
          Factorization.choleskyUpdate(batches, factor, v.batch(m.get(2)), m.get(5));
          Factorization.choleskySolve(batches, factor, b.batch(m.get(3)), b.batch(m.get(3)));
          Factorization.choleskyDowndate(batches, factor, v.batch(m.get(2)), m.get(6));
        });
  }

  /**
   * Neighbours do not matter: a matrix alone gives the bits it gives in a batch, whatever the
   * others are. Some are not finite, of lower rank, or converge later; the batch is no multiple of
   * what is worked together.
   */
  @Test
  void matricesAreWorkedEachByItself() {
    for (DType t : TYPES) {
      for (int[] s : new int[][] {{12, 5}, {64, 8}, {9, 9}, {40, 3}}) {
        double[][] tall = mixed(t, s[0], s[1]);
        apartAsTogether(
            "polar of %dx%d".formatted(s[0], s[1]),
            List.of(t, t, DType.F64, DType.I32),
            batch ->
                List.of(
                    chosen(tall, batch),
                    new double[batch.length][s[0] * s[1]],
                    new double[1][batch.length],
                    new double[1][batch.length]),
            m ->
                Factorization.polar(
                    m.get(0).rows(),
                    all(m.get(0), s[0], s[1]),
                    all(m.get(1), s[0], s[1]),
                    Optional.of(m.get(2)),
                    Optional.of(m.get(3))));
        apartAsTogether(
            "qr of %dx%d".formatted(s[0], s[1]),
            List.of(t, t, t),
            batch ->
                List.of(
                    chosen(tall, batch),
                    new double[batch.length][s[0] * s[1]],
                    new double[batch.length][s[1] * s[1]]),
            m ->
                Factorization.qr(
                    m.get(0).rows(),
                    all(m.get(0), s[0], s[1]),
                    all(m.get(1), s[0], s[1]),
                    Optional.of(all(m.get(2), s[1], s[1]))));
        apartAsTogether(
            "tangent of %dx%d".formatted(s[0], s[1]),
            List.of(t, t),
            batch -> List.of(chosen(tall, batch), chosen(tall, turned(batch))),
            m ->
                Factorization.tangent(
                    m.get(0).rows(),
                    all(m.get(0), s[0], s[1]),
                    all(m.get(1), s[0], s[1]),
                    all(m.get(1), s[0], s[1])));
      }
      for (int n : new int[] {1, 5, 8}) {
        double[][] square = mixed(t, n, n);
        apartAsTogether(
            "eigen of %d".formatted(n),
            List.of(t, t, t, DType.I32),
            batch ->
                List.of(
                    chosen(square, batch),
                    new double[batch.length][n],
                    new double[batch.length][n * n],
                    new double[1][batch.length]),
            m ->
                Factorization.eigen(
                    m.get(0).rows(),
                    all(m.get(0), n, n),
                    all(m.get(1), 1, n),
                    Optional.of(all(m.get(2), n, n)),
                    Optional.of(m.get(3))));
        double[][] definite = mixed(t, n, n);
        for (int b = 0; b < MANY; b++) {
          for (int i = 0; i < n; i++) {
            // Some of them are not.
            definite[b][i * n + i] += b % 3 == 0 ? 1 : 2 * n;
          }
        }
        apartAsTogether(
            "cholesky of %d".formatted(n),
            List.of(t, t, t, t, DType.I32, DType.I32, DType.I32),
            batch ->
                List.of(
                    chosen(definite, batch),
                    new double[batch.length][n * n],
                    chosen(square, batch),
                    chosen(square, turned(batch)),
                    new double[1][batch.length],
                    new double[1][batch.length],
                    new double[1][batch.length]),
            m -> {
              long batches = m.get(0).rows();
              Batch l = all(m.get(1), n, n);
              Factorization.cholesky(batches, all(m.get(0), n, n), l, m.get(4));
              Factorization.choleskyUpdate(batches, l, all(m.get(2), 1, n), m.get(5));
              Batch b = all(m.get(3), n, n);
              Factorization.choleskySolve(batches, l, b, b);
              Factorization.choleskyDowndate(batches, l, all(m.get(2), n, n), m.get(6));
            });
      }
    }
  }

  private static final int MANY = 29;

  /** Ordinary ones; some not finite, some with equal or with zero columns, some diagonal. */
  private static double[][] mixed(DType t, int rows, int cols) {
    double[][] values =
        Samples.matrix(Samples.Kind.ORDINARY, t, MANY, rows * cols, 100L * rows + cols);
    for (int b = 0; b < MANY; b++) {
      for (int i = 0; i < rows; i++) {
        for (int j = 0; j < cols; j++) {
          int at = i * cols + j;
          switch (b % 7) {
            case 2 -> values[b][at] = b == 9 && at == rows * cols / 2 ? Double.NaN : values[b][at];
            case 3 -> values[b][at] = j == cols - 1 && b > 9 ? values[b][i * cols] : values[b][at];
            case 4 -> values[b][at] = b == 11 ? 0 : values[b][at];
            case 5 -> values[b][at] = i == j ? values[b][at] : 0;
            default -> {}
          }
        }
      }
    }
    return values;
  }

  private static Batch all(DeviceMatrix m, int rows, int cols) {
    return Batch.of(m, 0, rows, cols, cols, m.stride());
  }

  private static double[][] chosen(double[][] values, int[] batch) {
    return Arrays.stream(batch).mapToObj(b -> values[b].clone()).toArray(double[][]::new);
  }

  private static int[] turned(int[] batch) {
    return Arrays.stream(batch).map(b -> (b + 1) % MANY).toArray();
  }

  /** Each result has a row for each matrix, or a column of its one row. */
  private static void apartAsTogether(
      String name, List<DType> types, Function<int[], List<double[][]>> values, Run run) {
    List<double[][]> together =
        plainly(types, values.apply(IntStream.range(0, MANY).toArray()), run);
    for (int b = 0; b < MANY; b++) {
      List<double[][]> alone = plainly(types, values.apply(new int[] {b}), run);
      for (int k = 0; k < types.size(); k++) {
        double[][] of = together.get(k);
        double[] right = of.length == MANY ? of[b] : new double[] {of[0][b]};
        assertEquals(
            Arrays.toString(alone.get(k)[0]),
            Arrays.toString(right),
            "%s, %s, matrix %d, result %d".formatted(name, types.get(0), b, k));
      }
    }
  }
}
