package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The family mixing against the oracle, bit for bit, on every tier, thread count and cut. */
class MixingTest {
  private static final List<Contract.Case> SMALL =
      cases(10_000, MixingCase.Result.COMPUTED, 4, Contract.SIZES, 12);
  private static final List<Contract.Case> LARGE =
      cases(20_000, MixingCase.Result.COMPUTED, 1, new int[] {70_001}, 9);
  private static final List<Contract.Case> MANY_NODES =
      cases(30_000, MixingCase.Result.COMPUTED, 1, new int[] {8, 64, 65}, 20_000);
  private static final List<Contract.Case> ROUNDED = rounded(50_000, MixingCase.Result.ROUNDED);
  private static final List<Contract.Case> PLAIN = rounded(60_000, MixingCase.Result.PLAIN);

  private static List<Contract.Case> rounded(long seed, MixingCase.Result result) {
    List<Contract.Case> cases = cases(seed, result, 1, Contract.SIZES, 12);
    cases.addAll(cases(seed + 1_000, result, 1, new int[] {40_009}, 5));
    cases.addAll(cases(seed + 2_000, result, 1, new int[] {8, 65}, 600));
    return cases;
  }

  private static List<Contract.Case> cases(
      long seed, MixingCase.Result result, int repeats, int[] sizes, int maxRows) {
    List<Contract.Case> cases = new ArrayList<>();
    for (MixingCase.Form form : MixingCase.Form.values()) {
      for (int cols : sizes) {
        for (int i = 0; i < repeats; i++) {
          if (form == MixingCase.Form.DENSE && maxRows > 4096) {
            continue;
          }
          MixingCase c = new MixingCase(seed++, form, result, cols, 1, maxRows, 4);
          cases.add(new Contract.Case(c.toString(), c::run));
        }
      }
    }
    return cases;
  }

  /** Noise in the messages: all forms and sizes, then several tiles, and many rows and sources. */
  private static final List<Contract.Case> NOISY = noisy();

  private static List<Contract.Case> noisy() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 70_000;
    for (MixingCase.Form form : MixingCase.Form.values()) {
      for (int cols : Contract.SIZES) {
        // Seeds of a suite draw the same: each result with several of them.
        for (MixingCase.Result result : MixingCase.Result.values()) {
          int sources = cols < 100 ? (int) (seed % 14) : 5;
          add(cases, new MixingCase(seed++, form, result, cols, 1, 12, 4, sources));
        }
      }
      add(cases, new MixingCase(seed++, form, MixingCase.Result.COMPUTED, 40_009, 2, 5, 3, 4));
      for (int i = 0; i < 3; i++) {
        add(cases, new MixingCase(seed++, form, MixingCase.Result.COMPUTED, 301, 30, 90, 2, 401));
        add(cases, new MixingCase(seed++, form, MixingCase.Result.COMPUTED, 70, 900, 1100, 2, 37));
      }
      if (form != MixingCase.Form.DENSE) {
        add(cases, new MixingCase(seed++, form, MixingCase.Result.COMPUTED, 37, 9000, 9000, 1, 9));
        add(
            cases,
            new MixingCase(seed++, form, MixingCase.Result.ROUNDED, 5, 17_000, 17_000, 1, 9));
      }
    }
    return cases;
  }

  private static void add(List<Contract.Case> cases, MixingCase c) {
    cases.add(new Contract.Case(c.toString(), c::run));
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void noiseInTheMessages(Rig rig) {
    Contract.run(rig, NOISY);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void expressionsOfEveryShape(Rig rig) {
    Contract.run(rig, SMALL);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void longRows(Rig rig) {
    Contract.run(rig, LARGE);
  }

  /**
   * Weights that reach over 25 to 64 rows, in long rows: CUDA keeps them all in shared memory, up
   * to 48 of them without asking for more of it.
   */
  @ParameterizedTest
  @CsvSource({
    "SPARSE, 40, 1031",
    "SPARSE, 60, 1031",
    "SPARSE, 30, 34001",
    "DENSE, 40, 1031",
    "DENSE, 60, 1031",
    "DENSE, 25, 34001",
    "SCATTERED, 60, 1031"
  })
  void manyNeighbours(MixingCase.Form form, int rows, int cols) {
    long seed = 50_000 + 10 * (rows + cols) + 2L * form.ordinal();
    for (MixingCase.Result result : MixingCase.Result.values()) {
      for (int terms : new int[] {1, 3}) {
        MixingCase c = new MixingCase(seed++, form, result, cols, rows, rows, terms);
        Contract.run(Rig.best(), List.of(new Contract.Case(c.toString(), c::run)));
        if (Rig.onCpu()) {
          Contract.run(Rig.cutUp(), List.of(new Contract.Case(c.toString(), c::run)));
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void manyNodes(Rig rig) {
    Contract.run(rig, MANY_NODES);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void resultsOfSixteenBits(Rig rig) {
    Contract.run(rig, ROUNDED);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void rowsOfSixteenBitsAsTheyAre(Rig rig) {
    Contract.run(rig, PLAIN);
  }

  /** Ties, subnormals, and finite sums that no element of y can hold: a fault of y alone. */
  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void theLastRounding(Rig rig) {
    float[][] bf16 = {
      {1 + 0x1p-8f, 1},
      {1 + 0x3p-8f, 1 + 0x1p-6f},
      {0x1.fefffep127f, 0x1.fep127f},
      {0x1p-134f, 0},
      {0x3p-134f, 0x1p-132f},
      {-0x1p-135f, -0.0f},
      {Float.NaN, Float.NaN}
    };
    float[][] f16 = {
      {1 + 0x1p-11f, 1},
      {1 + 0x3p-11f, 1 + 0x1p-9f},
      {65519.996f, 65504},
      {0x1p-25f, 0},
      {0x3p-25f, 0x1p-23f},
      {-0x1p-26f, -0.0f},
      {Float.NaN, Float.NaN}
    };
    try (Rig.Session session = rig.open()) {
      for (DType t : List.of(DType.BF16, DType.F16)) {
        float[][] pairs = t == DType.BF16 ? bf16 : f16;
        float most = t == DType.BF16 ? -0x1.ffp127f : -65520;
        double[][] x = new double[2][pairs.length];
        double[][] right = new double[2][pairs.length];
        for (int c = 0; c < pairs.length; c++) {
          x[0][c] = pairs[c][0];
          right[0][c] = pairs[c][1];
        }
        x[1][3] = most;
        right[1][3] = Double.NEGATIVE_INFINITY;
        DeviceMatrix from = session.matrix(DType.F32, x, pairs.length);
        Operand y = session.operand(t, new double[2][pairs.length], pairs.length);
        Operand flags = session.operand(DType.I32, new double[1][2], 2);
        Mixing.combine(Expression.inner(from), y.matrix(), flags.matrix());
        y.expect(right);
        flags.expect(new double[] {3, 2});
        long[] offsets = {0, 1, 2};
        int[] columns = {0, 1};
        try (MixingWeights w =
            MixingWeights.sparse(session.queue(), 2, 2, offsets, columns, new double[] {1, 1})) {
          Memory.fill(y.matrix(), 0);
          Mixing.mix(w, Expression.inner(from), y.matrix(), flags.matrix());
        }
        y.expect(right);
        flags.expect(new double[] {3, 2});
        session.release();
      }
    }
  }

  /**
   * Results of 16 MiB and more are written past the caches, in line-aligned pieces; few rows and
   * many. Dense weights of many rows are cut by rows, and of very many do not fit a tile.
   */
  @ParameterizedTest
  @CsvSource({
    "IDENTITY, 7, 600011",
    "SPARSE, 7, 600011",
    "DENSE, 7, 600011",
    "PAIRWISE, 8, 600011",
    "SCATTERED, 11, 600011",
    "IDENTITY, 70001, 65",
    "SPARSE, 70001, 65",
    "PAIRWISE, 70001, 65",
    "DENSE, 130, 257",
    "DENSE, 1100, 67",
    "SPARSE, 1100, 3"
  })
  void largeResults(MixingCase.Form form, int rows, int cols) {
    MixingCase c =
        new MixingCase(40_000 + rows, form, MixingCase.Result.COMPUTED, cols, rows, rows, 1);
    for (Rig rig : Rig.all()) {
      if (!Rig.onCpu() || rig.threads() == 2 || rig.threads() == 3) {
        Contract.run(rig, List.of(new Contract.Case(c.toString(), c::run)));
      }
    }
  }
}
