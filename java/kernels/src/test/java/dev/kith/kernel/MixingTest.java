package dev.kith.kernel;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The family mixing against the oracle, bit for bit, on every tier, thread count and cut. */
class MixingTest {
  private static final List<Contract.Case> SMALL = cases(10_000, 4, Contract.SIZES, 12);
  private static final List<Contract.Case> LARGE = cases(20_000, 1, new int[] {70_001}, 9);
  private static final List<Contract.Case> MANY_NODES =
      cases(30_000, 1, new int[] {8, 64, 65}, 20_000);

  private static List<Contract.Case> cases(long seed, int repeats, int[] sizes, int maxRows) {
    List<Contract.Case> cases = new ArrayList<>();
    for (MixingCase.Form form : MixingCase.Form.values()) {
      for (int cols : sizes) {
        for (int i = 0; i < repeats; i++) {
          if (form == MixingCase.Form.DENSE && maxRows > 4096) {
            continue;
          }
          MixingCase c = new MixingCase(seed++, form, cols, 1, maxRows, 4);
          cases.add(new Contract.Case(c.toString(), c::run));
        }
      }
    }
    return cases;
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
    for (int terms : new int[] {1, 3}) {
      MixingCase c = new MixingCase(seed++, form, cols, rows, rows, terms);
      Contract.run(Rig.best(), List.of(new Contract.Case(c.toString(), c::run)));
      if (Rig.onCpu()) {
        Contract.run(Rig.cutUp(), List.of(new Contract.Case(c.toString(), c::run)));
      }
    }
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void manyNodes(Rig rig) {
    Contract.run(rig, MANY_NODES);
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
    MixingCase c = new MixingCase(40_000 + rows, form, cols, rows, rows, 1);
    for (Rig rig : Rig.all()) {
      if (!Rig.onCpu() || rig.threads() == 2 || rig.threads() == 3) {
        Contract.run(rig, List.of(new Contract.Case(c.toString(), c::run)));
      }
    }
  }
}
