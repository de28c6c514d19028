package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.IntToDoubleFunction;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The family sparsify against the oracle, bit for bit, on every tier, thread count and cut. */
class SparsifyTest {
  private static final Optional<DeviceMatrix> NONE = Optional.empty();

  /** What stands in a message behind its words, and stays there. */
  private static final int BEYOND = -77;

  private static final List<Contract.Case> TOP = topCases();
  private static final List<Contract.Case> LARGE = largeCases();
  private static final List<Contract.Case> AT = atCases();
  private static final List<Contract.Case> ABOVE = aboveCases();
  private static final List<Contract.Case> THRESHOLDS = thresholdCases();
  private static final List<Contract.Case> SUMS = sumCases();

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void topSendsTheLargestOfEveryBlock(Rig rig) {
    Contract.run(rig, TOP);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void topOfLongRowsIsExactWhateverTheSampleSays(Rig rig) {
    Contract.run(rig, LARGE);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void atSendsScaledElements(Rig rig) {
    Contract.run(rig, AT);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void aboveSendsTheFirstThatReachTheThreshold(Rig rig) {
    Contract.run(rig, ABOVE);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void thresholdsAreTheOrderStatisticsOfTheSample(Rig rig) {
    Contract.run(rig, THRESHOLDS);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void sumsFollowTheOrderOfTheWeights(Rig rig) {
    Contract.run(rig, SUMS);
  }

  // ---- selections

  /** One selection of all rows, by the oracle. */
  private interface Choice {
    OracleSparsify.Sent of(float[] v, int row);
  }

  /** One selection, by the library. */
  private interface Call {
    void run(
        Rig.Session session,
        DeviceMatrix x,
        Optional<DeviceMatrix> minus,
        Optional<DeviceMatrix> residual,
        DeviceMatrix messages,
        Optional<DeviceMatrix> flags);
  }

  /** x, and minus and residual where they are given. */
  private record Input(double[][] x, double[][] minus, double[][] residual) {
    static Input of(
        Samples.Kind kind, int rows, int cols, boolean minus, boolean residual, long seed) {
      return new Input(
          Samples.matrix(kind, DType.F32, rows, cols, seed),
          minus ? Samples.matrix(kind, DType.F32, rows, cols, seed + 100_000) : null,
          residual ? Samples.matrix(kind, DType.F32, rows, cols, seed + 200_000) : null);
    }

    static Input made(int cols, boolean residual, IntToDoubleFunction value) {
      double[][] x = new double[1][cols];
      for (int c = 0; c < cols; c++) {
        x[0][c] = (float) value.applyAsDouble(c);
      }
      return new Input(x, null, residual ? new double[1][cols] : null);
    }
  }

  private static Contract.Case selection(
      String name, Supplier<Input> make, int rows, int cols, int words, Choice choice, Call call) {
    Supplier<Input> input = Contract.once(make);
    Supplier<List<OracleSparsify.Sent>> expected =
        Contract.once(
            () -> {
              Input in = input.get();
              List<OracleSparsify.Sent> sent = new ArrayList<>();
              for (int r = 0; r < rows; r++) {
                sent.add(
                    choice.of(
                        OracleSparsify.formed(
                            in.x()[r],
                            in.minus() == null ? null : in.minus()[r],
                            in.residual() == null ? null : in.residual()[r]),
                        r));
              }
              return sent;
            });
    return new Contract.Case(
        name,
        session -> {
          Input in = input.get();
          double[][] before = new double[rows][words + 2];
          double[][] messages = new double[rows][words + 2];
          double[][] residuals = new double[rows][];
          double[][] flags = new double[1][rows];
          for (int r = 0; r < rows; r++) {
            Arrays.fill(before[r], BEYOND);
            Arrays.fill(messages[r], BEYOND);
            OracleSparsify.Sent sent = expected.get().get(r);
            assertEquals(words, sent.words().length);
            double[] row = OracleSparsify.doubles(sent.words());
            System.arraycopy(row, 0, messages[r], 0, words);
            residuals[r] = OracleSparsify.doubles(sent.residual());
            flags[0][r] = 8 | sent.flag();
          }
          double[][] flagsBefore = new double[1][rows];
          Arrays.fill(flagsBefore[0], 8);
          Operand message = session.operand(DType.I32, before, words + 2);
          Operand flag = session.operand(DType.I32, flagsBefore, rows);
          Operand residual =
              in.residual() == null ? null : session.operand(DType.F32, in.residual(), cols);
          call.run(
              session,
              session.matrix(DType.F32, in.x(), cols),
              in.minus() == null ? NONE : Optional.of(session.matrix(DType.F32, in.minus(), cols)),
              Optional.ofNullable(residual).map(Operand::matrix),
              message.matrix(),
              Optional.of(flag.matrix()));
          message.expect(messages);
          flag.expect(flags);
          if (residual != null) {
            residual.expect(residuals);
          }
        });
  }

  private static Contract.Case top(
      String what, Supplier<Input> input, int rows, int cols, int k, int block) {
    return selection(
        "the top %d of %s, %d x %d in blocks of %d".formatted(k, what, rows, cols, block),
        input,
        rows,
        cols,
        (int) (2 * Sparsify.topEntries(cols, k, block)),
        (v, row) -> OracleSparsify.top(v, k, block),
        (session, x, minus, residual, messages, flags) ->
            Sparsify.top(x, minus, residual, k, block, messages, flags));
  }

  private static Contract.Case top(
      Samples.Kind kind,
      int rows,
      int cols,
      int k,
      int block,
      boolean minus,
      boolean residual,
      long seed) {
    String what =
        "%s%s%s, seed %d"
            .formatted(kind, minus ? " less another" : "", residual ? " and residual" : "", seed);
    return top(what, () -> Input.of(kind, rows, cols, minus, residual, seed), rows, cols, k, block);
  }

  private static List<Contract.Case> topCases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 6000;
    Samples.Kind[] kinds = {Samples.Kind.WIDE, Samples.Kind.SPECIAL, Samples.Kind.INTEGERS};
    for (int cols : Contract.SIZES) {
      for (int k : new int[] {0, 1, cols / 100 + 1, cols / 2, cols}) {
        if (k <= cols) {
          int turn = (int) (seed % 4);
          Samples.Kind kind = kinds[(int) (seed % 3)];
          cases.add(top(kind, 3, cols, k, 0, turn % 2 == 1, turn / 2 == 1, seed++));
        }
      }
      for (int block : new int[] {1, 7, 32, 100, 1000}) {
        int turn = (int) (seed % 4);
        Samples.Kind kind = kinds[(int) (seed % 3)];
        int k = 1 + (int) (seed % block);
        cases.add(top(kind, 2, cols, k, block, turn % 2 == 1, turn / 2 == 1, seed++));
      }
    }
    cases.add(top(Samples.Kind.WIDE, 0, 33, 2, 0, true, true, seed++));
    cases.add(top(Samples.Kind.WIDE, 5000, 7, 2, 0, false, true, seed++));
    cases.add(top(Samples.Kind.WIDE, 1, 20_000, 3, 16_384, false, true, seed++));
    cases.add(top(Samples.Kind.WIDE, 1, 100, 64, 1000, false, true, seed));
    cases.add(top("ones", () -> Input.made(4097, true, c -> c % 2 == 0 ? 1 : -1), 1, 4097, 9, 0));
    cases.add(top("zeros", () -> Input.made(4097, true, c -> -0.0), 1, 4097, 9, 100));
    cases.add(top("NaN", () -> Input.made(1025, true, c -> Double.NaN), 1, 1025, 9, 0));
    return cases;
  }

  /** Long rows: where the sample is right, too low, too high, or there is none. */
  private static List<Contract.Case> largeCases() {
    int n = Contract.LARGE;
    int percent = n / 100;
    SharedRandom random = Samples.random(77);
    List<Contract.Case> cases = new ArrayList<>();
    cases.add(top(Samples.Kind.WIDE, 1, n, percent, 0, false, false, 7000));
    cases.add(top(Samples.Kind.WIDE, 1, n, percent, 0, false, true, 7001));
    cases.add(top(Samples.Kind.WIDE, 2, n, 1, 0, true, false, 7002));
    cases.add(top(Samples.Kind.SPECIAL, 2, n, percent, 0, true, true, 7003));
    cases.add(top(Samples.Kind.SPECIAL, 1, n, n / 4, 0, false, true, 7004));
    cases.add(top(Samples.Kind.WIDE, 1, n, n / 2, 0, false, false, 7005));
    cases.add(top(Samples.Kind.WIDE, 1, n, n, 0, false, true, 7006));
    cases.add(top(Samples.Kind.WIDE, 2, n, 300, 20_001, false, true, 7007));
    cases.add(top(Samples.Kind.WIDE, 3, 16_385, 163, 0, false, true, 7008));
    cases.add(top(Samples.Kind.INTEGERS, 1, n, percent, 0, false, true, 7009));
    // A chunk with all of the largest, in a list too short for them.
    cases.add(
        top(
            "a hot spot",
            () -> Input.made(n, true, c -> (c / 16_384 == 3 ? 100 : 1) * (random.uniform(c) - 0.5)),
            1,
            n,
            percent,
            0));
    // The largest lie where no sample looks, and all that it finds is larger than they are.
    cases.add(top("ascending", () -> Input.made(n, true, c -> c), 1, n, percent, 0));
    cases.add(
        top(
            "few nonzeros",
            () -> Input.made(n, true, c -> c % 1000 == 7 ? -c : 0),
            1,
            n,
            percent,
            0));
    cases.add(
        top(
            "many zeros",
            () -> Input.made(n, false, c -> c % 40 == 7 ? c : -0.0),
            1,
            n,
            percent,
            0));
    cases.add(top("ones", () -> Input.made(n, true, c -> 1), 1, n, percent, 0));
    cases.add(top("NaN", () -> Input.made(n, false, c -> Double.NaN), 1, n, percent, 0));
    cases.add(
        top(
            "waves of 4096",
            () -> Input.made(n, false, c -> c % 4096 < 16 ? 1 + c : 1.0 / (1 + c)),
            1,
            n,
            percent,
            0));
    return cases;
  }

  /** k columns of n, ascending. */
  private static int[] columns(int k, int n, long seed) {
    return new SharedRandom(seed, Stream.TEST, 0, 0).subset(k, n);
  }

  private static Contract.Case at(
      Samples.Kind kind,
      int rows,
      int cols,
      int k,
      boolean shared,
      double scale,
      boolean minus,
      boolean residual,
      long seed) {
    int[][] lists = new int[shared ? 1 : rows][];
    for (int r = 0; r < lists.length; r++) {
      lists[r] = columns(k, cols, seed + r);
    }
    double[][] indices = Arrays.stream(lists).map(OracleSparsify::doubles).toArray(double[][]::new);
    return selection(
        "%s times %s at %d of %d x %d, seed %d".formatted(scale, kind, k, rows, cols, seed),
        () -> Input.of(kind, rows, cols, minus, residual, seed),
        rows,
        cols,
        k,
        (v, row) -> OracleSparsify.at(v, lists[shared ? 0 : row], scale),
        (session, x, less, rest, messages, flags) ->
            Sparsify.at(
                x, less, rest, session.matrix(DType.I32, indices, k), scale, messages, flags));
  }

  private static List<Contract.Case> atCases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 8000;
    for (int cols : Contract.SIZES) {
      for (int k : new int[] {0, cols / 100 + 1, cols}) {
        if (k <= cols) {
          boolean odd = seed % 2 == 1;
          Samples.Kind kind = odd ? Samples.Kind.SPECIAL : Samples.Kind.WIDE;
          cases.add(at(kind, 3, cols, k, odd, 1, odd, k != 1, seed++));
          cases.add(at(kind, 3, cols, k, !odd, 1.0 / 3, !odd, k == 1, seed++));
        }
      }
    }
    cases.add(at(Samples.Kind.WIDE, 0, 33, 2, true, 1, false, true, seed++));
    cases.add(at(Samples.Kind.WIDE, 2, Contract.LARGE, 40_000, false, 6.5, true, true, seed));
    return cases;
  }

  private static Contract.Case above(
      Samples.Kind kind,
      int rows,
      int cols,
      double[] thresholds,
      int capacity,
      boolean minus,
      boolean residual,
      long seed) {
    return selection(
        "%s from %s of %d x %d with room for %d, seed %d"
            .formatted(kind, Arrays.toString(thresholds), rows, cols, capacity, seed),
        () -> Input.of(kind, rows, cols, minus, residual, seed),
        rows,
        cols,
        1 + 2 * capacity,
        (v, row) -> OracleSparsify.above(v, thresholds[row], capacity),
        (session, x, less, rest, messages, flags) ->
            Sparsify.above(
                x,
                less,
                rest,
                session.matrix(DType.F64, new double[][] {thresholds}, rows),
                capacity,
                messages,
                flags));
  }

  private static List<Contract.Case> aboveCases() {
    // Between two f32, and just above the largest.
    double between = 1 + 0x1p-25;
    double[] usual = {4, 0x1p-9, between};
    double[] odd = {Double.NaN, Double.POSITIVE_INFINITY, -1};
    double[] ends = {0, Double.MIN_VALUE, 0x1.fffffe0000001p127};
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 9000;
    for (int cols : Contract.SIZES) {
      for (double[] thresholds : List.of(usual, odd, ends)) {
        int capacity = seed % 3 == 0 ? cols : seed % 3 == 1 ? cols / 10 : 0;
        boolean turn = seed % 2 == 1;
        Samples.Kind kind = turn ? Samples.Kind.SPECIAL : Samples.Kind.INTEGERS;
        cases.add(above(kind, 3, cols, thresholds, capacity, seed % 4 < 2, turn, seed++));
      }
    }
    int n = Contract.LARGE;
    cases.add(above(Samples.Kind.WIDE, 0, 33, new double[0], 2, false, true, seed++));
    cases.add(
        above(Samples.Kind.WIDE, 2, n, new double[] {4000, 5000}, n / 10, true, true, seed++));
    cases.add(above(Samples.Kind.WIDE, 2, n, new double[] {1, 1e9}, n / 100, false, true, seed));
    return cases;
  }

  // ---- thresholds

  /** Numbers at the ends of what the layout of random numbers allows, in turn. */
  private static Draw draw(int rows, long seed) {
    long round =
        seed % 3 == 0 ? 0 : seed % 3 == 1 ? (1L << 32) + seed : SharedRandom.MAX_ROUNDS - 1;
    int node = seed % 2 == 0 ? 0 : Integer.MAX_VALUE - rows;
    return Draw.ofSample(seed % 2 == 0 ? seed : -seed, round, node);
  }

  private static Contract.Case threshold(
      String what, Supplier<Input> make, int rows, int cols, int k, int samples, long seed) {
    Supplier<Input> input = Contract.once(make);
    Draw draw = draw(rows, seed);
    Supplier<double[]> expected =
        Contract.once(
            () -> {
              Input in = input.get();
              double[] thresholds = new double[rows];
              for (int r = 0; r < rows; r++) {
                SharedRandom random =
                    new SharedRandom(
                        draw.seed(), Stream.SAMPLE, draw.firstNode() + r, draw.round());
                thresholds[r] =
                    OracleSparsify.threshold(
                        OracleSparsify.formed(
                            in.x()[r],
                            in.minus() == null ? null : in.minus()[r],
                            in.residual() == null ? null : in.residual()[r]),
                        OracleSparsify.sample(cols, samples, random),
                        k);
              }
              return thresholds;
            });
    return new Contract.Case(
        "the %dth of %d of %s, %d x %d, seed %d".formatted(k, samples, what, rows, cols, seed),
        session -> {
          Input in = input.get();
          Operand residual =
              in.residual() == null ? null : session.operand(DType.F32, in.residual(), cols);
          Operand thresholds = session.operand(DType.F64, new double[1][rows], rows);
          Sparsify.sampleThresholds(
              session.matrix(DType.F32, in.x(), cols),
              in.minus() == null ? NONE : Optional.of(session.matrix(DType.F32, in.minus(), cols)),
              Optional.ofNullable(residual).map(Operand::matrix),
              draw,
              k,
              samples,
              thresholds.matrix());
          thresholds.expect(expected.get());
          if (residual != null) {
            residual.expect(in.residual());
          }
        });
  }

  private static Contract.Case threshold(
      Samples.Kind kind, int rows, int cols, int k, int samples, long seed) {
    boolean minus = seed % 4 < 2;
    boolean residual = seed % 2 == 1;
    return threshold(
        kind.toString(),
        () -> Input.of(kind, rows, cols, minus, residual, seed),
        rows,
        cols,
        k,
        samples,
        seed);
  }

  private static List<Contract.Case> thresholdCases() {
    Samples.Kind[] kinds = {Samples.Kind.WIDE, Samples.Kind.SPECIAL, Samples.Kind.INTEGERS};
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 9500;
    for (int cols : Contract.SIZES) {
      for (int samples : new int[] {1, cols / 7 + 1, cols - 1, cols}) {
        for (int k : new int[] {1, samples / 3 + 1, samples}) {
          if (samples >= 1 && samples <= cols) {
            cases.add(threshold(kinds[(int) (seed % 3)], 3, cols, k, samples, seed++));
          }
        }
      }
    }
    int n = Contract.LARGE;
    cases.add(threshold(Samples.Kind.WIDE, 0, 33, 2, 5, seed++));
    cases.add(threshold(Samples.Kind.WIDE, 700, 33, 2, 5, seed++));
    cases.add(threshold(Samples.Kind.WIDE, 2, n, 27, 2_621, seed++));
    cases.add(threshold(Samples.Kind.SPECIAL, 2, n, 9_000, 20_001, seed++));
    cases.add(threshold(Samples.Kind.WIDE, 1, n, n / 100, n, seed++));
    cases.add(threshold("zeros", () -> Input.made(999, true, c -> -0.0), 1, 999, 3, 99, seed++));
    cases.add(threshold("NaN", () -> Input.made(999, true, c -> Double.NaN), 1, 999, 3, 99, seed));
    return cases;
  }

  /** With all columns in the sample the elements that reach its threshold are the top k. */
  @Test
  void theThresholdOfAllColumnsSelectsTheTop() {
    int n = 5000;
    int k = 77;
    try (Rig.Session session = Rig.best().open()) {
      // All different: their order is that of their columns, scattered.
      double[][] v = new double[1][n];
      for (int c = 0; c < n; c++) {
        v[0][c] = (c % 2 == 0 ? 1 : -1) * (c * 1237L % 5003 + 1);
      }
      DeviceMatrix x = session.matrix(DType.F32, v, n);
      Operand thresholds = session.operand(DType.F64, new double[1][1], 1);
      Sparsify.sampleThresholds(x, NONE, NONE, Draw.ofSample(1, 0, 0), k, n, thresholds.matrix());
      Operand above = session.operand(DType.I32, new double[1][1 + 2 * k], 1 + 2 * k);
      Sparsify.above(x, NONE, NONE, thresholds.matrix(), k, above.matrix(), NONE);
      Operand top = session.operand(DType.I32, new double[1][2 * k], 2 * k);
      Sparsify.top(x, NONE, NONE, k, 0, top.matrix(), NONE);
      double[] sent = above.values()[0];
      assertEquals(k, sent[0]);
      assertArrayEquals(top.values()[0], Arrays.copyOfRange(sent, 1, sent.length));
      session.release();
    }
  }

  /**
   * The share of a row that reaches the threshold is that of the k-th of the sample. Of independent
   * numbers its order statistic has the mean k / (s + 1) and a standard deviation below sqrt(k) /
   * s; eight rows are within six of them.
   */
  @Test
  void aSampleLetsAboutItsShareThrough() {
    int n = 200_000;
    int samples = 2_000;
    int k = 100;
    double[][] v = Samples.matrix(Samples.Kind.ORDINARY, DType.F32, 8, n, 5);
    try (Rig.Session session = Rig.best().open()) {
      Operand thresholds = session.operand(DType.F64, new double[1][8], 8);
      Sparsify.sampleThresholds(
          session.matrix(DType.F32, v, n),
          NONE,
          NONE,
          Draw.ofSample(3, 4, 0),
          k,
          samples,
          thresholds.matrix());
      for (int r = 0; r < 8; r++) {
        double t = thresholds.values()[0][r];
        double share = Arrays.stream(v[r]).filter(a -> Math.abs(a) >= t).count() / (double) n;
        assertEquals(k / (samples + 1.0), share, 6 * Math.sqrt(k) / samples);
      }
      session.release();
    }
  }

  // ---- sums

  /** Messages of a form, the halo's among them, with the columns that both sides know. */
  private record Mail(int[][] words, int[][] indices) {
    static Mail of(Sparsify.Form form, int messages, int cols, int entries, long seed) {
      int[][] words = new int[messages][];
      int[][] indices = new int[messages][];
      for (int j = 0; j < messages; j++) {
        float[] v =
            OracleSparsify.formed(
                Samples.row(Samples.Kind.WIDE, DType.F32, cols, seed + j), null, null);
        indices[j] = columns(entries, cols, seed + j);
        OracleSparsify.Sent sent =
            switch (form) {
              case TOP -> OracleSparsify.top(v, entries, 0);
              case AT -> OracleSparsify.at(v, indices[j], 1);
              case ABOVE -> OracleSparsify.above(v, j % 3 == 0 ? 1e9 : 10, entries);
            };
        words[j] = sent.words();
      }
      return new Mail(words, indices);
    }

    double[][] part(int[][] of, int from, int to) {
      return Arrays.stream(of, from, to).map(OracleSparsify::doubles).toArray(double[][]::new);
    }
  }

  /** Row r of W has the next entries, some twice, in no order. */
  private record Graph(long[] offsets, int[] columns, double[] values) {
    static Graph of(int rows, int messages, int degree, long seed) {
      SharedRandom random = Samples.random(seed);
      long[] offsets = new long[rows + 1];
      List<Integer> columns = new ArrayList<>();
      for (int r = 0; r < rows; r++) {
        int entries = messages == 0 ? 0 : r % (degree + 1);
        for (int e = 0; e < entries; e++) {
          columns.add((int) random.below(columns.size(), messages));
        }
        offsets[r + 1] = columns.size();
      }
      double[] values = new double[columns.size()];
      for (int e = 0; e < values.length; e++) {
        values[e] = random.uniform(e) - 0.5;
      }
      return new Graph(offsets, columns.stream().mapToInt(i -> i).toArray(), values);
    }
  }

  private static Contract.Case sum(
      Sparsify.Form form,
      int rows,
      int messages,
      int halo,
      int cols,
      int entries,
      boolean add,
      boolean shared,
      long seed) {
    int all = messages + halo;
    Supplier<Mail> mail =
        Contract.once(
            () -> {
              Mail m = Mail.of(form, all, cols, entries, seed);
              if (shared) {
                Arrays.fill(m.indices(), columns(entries, cols, seed));
              }
              return m;
            });
    Graph w = Graph.of(rows, all, 4, seed);
    Supplier<double[][]> y =
        Contract.once(
            () -> Samples.matrix(Samples.Kind.WIDE, DType.F32, rows, cols, seed + 900_000));
    Supplier<double[][]> expected =
        Contract.once(
            () -> {
              double[][] out = new double[rows][];
              for (int r = 0; r < rows; r++) {
                float[] sum = add ? OracleSparsify.formed(y.get()[r], null, null) : new float[cols];
                for (int e = (int) w.offsets()[r]; e < w.offsets()[r + 1]; e++) {
                  int j = w.columns()[e];
                  OracleSparsify.add(
                      sum,
                      (float) w.values()[e],
                      form,
                      entries,
                      mail.get().indices()[j],
                      mail.get().words()[j]);
                }
                out[r] = OracleSparsify.doubles(sum);
              }
              return out;
            });
    return new Contract.Case(
        "%d rows of %d and %d messages %s of %d entries of %d%s, seed %d"
            .formatted(rows, messages, halo, form, entries, cols, add ? " added" : "", seed),
        session -> {
          int words = (int) form.words(entries);
          Mail m = mail.get();
          Operand out = session.operand(DType.F32, y.get(), cols);
          DeviceMatrix own = session.matrix(DType.I32, m.part(m.words(), 0, messages), words);
          Optional<DeviceMatrix> far =
              halo == 0
                  ? NONE
                  : Optional.of(session.matrix(DType.I32, m.part(m.words(), messages, all), words));
          try (MixingWeights weights =
              MixingWeights.sparse(
                  session.queue(), rows, all, w.offsets(), w.columns(), w.values())) {
            if (form == Sparsify.Form.AT) {
              DeviceMatrix columns =
                  session.matrix(DType.I32, m.part(m.indices(), 0, shared ? 1 : messages), entries);
              Optional<DeviceMatrix> farColumns =
                  shared || halo == 0
                      ? NONE
                      : Optional.of(
                          session.matrix(DType.I32, m.part(m.indices(), messages, all), entries));
              Sparsify.accumulateAt(
                  Optional.of(weights), columns, farColumns, own, far, add, out.matrix());
            } else {
              Sparsify.accumulate(Optional.of(weights), form, entries, own, far, add, out.matrix());
            }
            out.expect(expected.get());
          }
        });
  }

  private static List<Contract.Case> sumCases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 10_000;
    for (Sparsify.Form form : Sparsify.Form.values()) {
      for (int cols : Contract.SIZES) {
        boolean add = seed % 2 == 0;
        cases.add(sum(form, 6, 4, 2, cols, cols / 3, add, seed % 3 == 0, seed++));
        cases.add(sum(form, 3, 3, 0, cols, cols, !add, seed % 3 == 0, seed++));
      }
      cases.add(sum(form, 0, 2, 1, 33, 3, false, false, seed++));
      cases.add(sum(form, 3, 0, 2, 33, 3, true, true, seed++));
      cases.add(sum(form, 900, 20, 20, 7, 2, false, false, seed++));
      cases.add(sum(form, 3, 3, 2, Contract.LARGE, 2_600, true, false, seed++));
      cases.add(sum(form, 3, 3, 2, Contract.LARGE, 100_000, false, true, seed++));
    }
    return cases;
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void withoutWeightsEachRowTakesItsOwnMessage(Rig rig) {
    int cols = 4097;
    int[][] words = new int[2][];
    float[][] sums = new float[2][];
    double[][] y = Samples.matrix(Samples.Kind.SPECIAL, DType.F32, 2, cols, 3);
    for (int r = 0; r < 2; r++) {
      float[] v =
          OracleSparsify.formed(Samples.row(Samples.Kind.SPECIAL, DType.F32, cols, r), null, null);
      words[r] = OracleSparsify.top(v, 500, 1000).words();
      sums[r] = OracleSparsify.formed(y[r], null, null);
      OracleSparsify.add(sums[r], null, Sparsify.Form.TOP, 2097, new int[0], words[r]);
    }
    double[][] expected = {OracleSparsify.doubles(sums[0]), OracleSparsify.doubles(sums[1])};
    double[][] mail = {OracleSparsify.doubles(words[0]), OracleSparsify.doubles(words[1])};
    try (Rig.Session session = rig.open()) {
      Operand out = session.operand(DType.F32, y, cols);
      DeviceMatrix messages = session.matrix(DType.I32, mail, words[0].length);
      Sparsify.accumulate(
          Optional.empty(), Sparsify.Form.TOP, 2097, messages, NONE, true, out.matrix());
      out.expect(expected);
      session.release();
    }
  }

  /** W may write some rows of y only. */
  @Test
  void rowsThatWeightsDoNotWriteAreLeftAlone() {
    try (Rig.Session session = Rig.best().open();
        MixingWeights w =
            MixingWeights.sparse(
                session.queue(),
                1,
                2,
                new long[] {0, 1},
                new int[] {1},
                new double[] {0.5},
                new int[] {2})) {
      Operand y = session.operand(DType.F32, new double[][] {{1, 2}, {3, 4}, {5, 6}}, 2);
      // The first message is none; nobody asks for it.
      double[][] words = {{7, 0}, {1, Float.floatToRawIntBits(8)}};
      DeviceMatrix messages = session.matrix(DType.I32, words, 2);
      Sparsify.accumulate(Optional.of(w), Sparsify.Form.TOP, 1, messages, NONE, false, y.matrix());
      y.expect(new double[][] {{1, 2}, {3, 4}, {0, 4}});
      session.release();
    }
  }

  // ---- the cards

  private static final double[] CARD = {1.5, -0.25, 3.0, 0.75, -2.0, 0.125, -0.5, 1.0};

  private static int[] bits(double... values) {
    int[] bits = new int[values.length];
    for (int i = 0; i < bits.length; i++) {
      bits[i] = Float.floatToRawIntBits((float) values[i]);
    }
    return bits;
  }

  private static int[] joined(int[] a, int[] b) {
    int[] all = Arrays.copyOf(a, a.length + b.length);
    System.arraycopy(b, 0, all, a.length, b.length);
    return all;
  }

  @Test
  void topThreeOfTheCard() {
    try (Rig.Session session = Rig.best().open()) {
      Operand residual = session.operand(DType.F32, new double[1][8], 8);
      Operand message = session.operand(DType.I32, new double[1][6], 6);
      DeviceMatrix x = session.matrix(DType.F32, new double[][] {CARD}, 8);
      Sparsify.top(x, NONE, Optional.of(residual.matrix()), 3, 0, message.matrix(), NONE);
      message.expect(OracleSparsify.doubles(joined(new int[] {0, 2, 4}, bits(1.5, 3.0, -2.0))));
      assertEquals(1.890625, Reduction.squares(residual.matrix())[0]);
      Operand ties = session.operand(DType.I32, new double[1][8], 8);
      DeviceMatrix equal =
          session.matrix(DType.F32, new double[][] {{1, -1, 2, 1, -1, 2, 0, 1}}, 8);
      Sparsify.top(equal, NONE, NONE, 4, 0, ties.matrix(), NONE);
      ties.expect(OracleSparsify.doubles(joined(new int[] {0, 1, 2, 5}, bits(1, -1, 2, 2))));
      session.release();
    }
  }

  @Test
  void randomThreeOfTheCard() {
    try (Rig.Session session = Rig.best().open()) {
      Operand message = session.operand(DType.I32, new double[1][3], 3);
      DeviceMatrix x = session.matrix(DType.F32, new double[][] {CARD}, 8);
      DeviceMatrix indices = session.matrix(DType.I32, new double[][] {{1, 4, 6}}, 3);
      Sparsify.at(x, NONE, NONE, indices, 8.0 / 3, message.matrix(), NONE);
      float s = (float) (8.0 / 3);
      message.expect(OracleSparsify.doubles(bits(s * -0.25f, s * -2f, s * -0.5f)));
      Operand y = session.operand(DType.F32, new double[1][8], 8);
      Sparsify.accumulateAt(
          Optional.empty(), indices, NONE, message.matrix(), NONE, false, y.matrix());
      double error = 0;
      for (int c = 0; c < 8; c++) {
        error += Math.pow(y.values()[0][c] - CARD[c], 2);
      }
      // Card A2, exact to the rounding of scale and products to f32.
      assertEquals(24.8072916667, error, 24.8 * 16 * 0x1p-24);
      session.release();
    }
  }

  /** Error feedback of top-1 on a constant gradient, card EF14. */
  @Test
  void errorFeedbackSendsWhatItKept() {
    int[] columns = {0, 1, 0, 2, 1, 0};
    double[] values = {4, 6, 8, 8, 9, 12};
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix g = session.matrix(DType.F32, new double[][] {{4, 3, 2, 1}}, 4);
      Operand e = session.operand(DType.F32, new double[1][4], 4);
      Operand message = session.operand(DType.I32, new double[1][2], 2);
      for (int t = 0; t < columns.length; t++) {
        Sparsify.top(g, NONE, Optional.of(e.matrix()), 1, 0, message.matrix(), NONE);
        message.expect(new double[] {columns[t], Float.floatToRawIntBits((float) values[t])});
      }
      e.expect(new double[] {0, 3, 4, 6});
      session.release();
    }
  }

  // ---- payloads that are none

  private static void check(Sparsify.Form form, int cols, int entries, int... words) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment payload = arena.allocateFrom(ValueLayout.JAVA_INT, words);
      Sparsify.check(Rig.chosen(), form, payload, cols, entries);
    }
  }

  private static void refused(
      String part, Sparsify.Form form, int cols, int entries, int... words) {
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> check(form, cols, entries, words), part);
    assertTrue(e.getMessage().contains(part), e.getMessage() + " lacks " + part);
  }

  @Test
  void payloadsThatAreNoMessage() {
    assertDoesNotThrow(() -> check(Sparsify.Form.TOP, 9, 2, 3, 8, 0, -1));
    assertDoesNotThrow(() -> check(Sparsify.Form.AT, 9, 2, -1, Integer.MIN_VALUE));
    assertDoesNotThrow(() -> check(Sparsify.Form.ABOVE, 9, 2, 1, 8, 0, 7, 0));
    assertDoesNotThrow(() -> check(Sparsify.Form.ABOVE, 0, 0, 0));
    assertDoesNotThrow(() -> check(Sparsify.Form.TOP, 0, 0));
    refused("3 words", Sparsify.Form.TOP, 9, 2, 3, 8, 0);
    refused("5 words", Sparsify.Form.TOP, 9, 2, 3, 8, 0, 0, 0);
    refused("word 1 is the column 9", Sparsify.Form.TOP, 9, 2, 3, 9, 0, 0);
    refused("word 1 is the column 3", Sparsify.Form.TOP, 9, 2, 3, 3, 0, 0);
    refused("word 1 is the column 2", Sparsify.Form.TOP, 9, 2, 3, 2, 0, 0);
    refused("word 0 is the column -1", Sparsify.Form.TOP, 9, 2, -1, 2, 0, 0);
    refused("-2147483648", Sparsify.Form.TOP, 9, 2, Integer.MIN_VALUE, 2, 0, 0);
    refused("counts 3", Sparsify.Form.ABOVE, 9, 2, 3, 1, 2, 0, 0);
    refused("counts -1", Sparsify.Form.ABOVE, 9, 2, -1, 0, 0, 0, 0);
    refused("word 2 is 5", Sparsify.Form.ABOVE, 9, 2, 1, 8, 5, 7, 0);
    refused("word 4 is 5", Sparsify.Form.ABOVE, 9, 2, 1, 8, 0, 7, 5);
    refused("word 1 is the column 9", Sparsify.Form.ABOVE, 9, 2, 1, 9, 0, 7, 0);
    refused("3 entries of 2 columns", Sparsify.Form.TOP, 2, 3, 0, 1, 2, 0, 0, 0);
    refused("-1 entries", Sparsify.Form.TOP, 2, -1);
    refused("0 words", Sparsify.Form.ABOVE, 2, 0);
    MemorySegment heap = MemorySegment.ofArray(new byte[] {1, 0, 0, 0, 0, 0, 0, 0, 9});
    assertThrows(
        IllegalArgumentException.class,
        () -> Sparsify.check(Rig.chosen(), Sparsify.Form.TOP, heap, 9, 1));
    assertDoesNotThrow(
        () -> Sparsify.check(Rig.chosen(), Sparsify.Form.TOP, heap.asSlice(0, 8), 9, 1));
    // At an odd address.
    assertDoesNotThrow(
        () -> Sparsify.check(Rig.chosen(), Sparsify.Form.TOP, heap.asSlice(1, 8), 9, 1));
  }

  /** Whatever the words are: a check that passes is a sum that stays inside. */
  @Test
  void anyWordsAreAMessageOrRefused() {
    SharedRandom random = Samples.random(4);
    int passed = 0;
    for (int i = 0; i < 20_000; i++) {
      int entries = (int) random.below(4L * i, 5);
      int[] words = new int[1 + 2 * entries];
      for (int w = 0; w < words.length; w++) {
        int draw = random.word(20L * i + w);
        words[w] = (draw & 7) == 7 ? draw : draw >>> 3 & 7;
      }
      words[0] = i % 2 == 0 ? words[0] : entries;
      try {
        check(Sparsify.Form.ABOVE, 6, entries, words);
      } catch (IllegalArgumentException e) {
        continue;
      }
      passed++;
      int[] seen = new int[6];
      for (int e = 1; e <= words[0]; e++) {
        seen[words[e]]++;
      }
      assertTrue(Arrays.stream(seen).allMatch(n -> n <= 1), Arrays.toString(words));
    }
    assertTrue(passed > 500, passed + " passed");
  }

  private static void refusedSum(String part, double[] words, int entries, Sparsify.Form form) {
    try (Rig.Session session = Rig.best().open()) {
      double[][] before = {{1, 2, 3}};
      Operand y = session.operand(DType.F32, before, 3);
      DeviceMatrix messages = session.matrix(DType.I32, new double[][] {words}, words.length);
      IllegalArgumentException e =
          assertThrows(
              IllegalArgumentException.class,
              () -> {
                Sparsify.accumulate(
                    Optional.empty(), form, entries, messages, NONE, false, y.matrix());
                session.queue().sync();
              });
      assertTrue(e.getMessage().contains(part), e.getMessage() + " lacks " + part);
      if (Rig.onCpu()) {
        y.expect(before);
      }
      session.release();
    }
  }

  @Test
  void messagesThatLeadOutside() {
    refusedSum("3", new double[] {0, 3, 0, 0}, 2, Sparsify.Form.TOP);
    refusedSum("-1", new double[] {-1, 2, 0, 0}, 2, Sparsify.Form.TOP);
    refusedSum("2147483647", new double[] {0, Integer.MAX_VALUE, 0, 0}, 2, Sparsify.Form.TOP);
    refusedSum("1", new double[] {1, 1, 0, 0}, 2, Sparsify.Form.TOP);
    refusedSum("3", new double[] {3, 0, 1, 0, 0}, 2, Sparsify.Form.ABOVE);
    refusedSum("-5", new double[] {-5, 0, 1, 0, 0}, 2, Sparsify.Form.ABOVE);
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix x = session.matrix(DType.F32, new double[1][3], 3);
      Operand e = session.operand(DType.F32, new double[][] {{1, 2, 3}}, 3);
      for (double[] bad : new double[][] {{0, 3}, {2, 1}, {1, 1}, {-1, 0}}) {
        DeviceMatrix indices = session.matrix(DType.I32, new double[][] {bad}, 2);
        DeviceMatrix messages = session.matrix(DType.I32, new double[1][2], 2);
        assertThrows(
            IllegalArgumentException.class,
            () -> {
              Sparsify.at(x, NONE, Optional.of(e.matrix()), indices, 1, messages, NONE);
              session.queue().sync();
            });
      }
      if (Rig.onCpu()) {
        e.expect(new double[] {1, 2, 3});
      }
      session.release();
    }
  }

  @Test
  void entriesOfBlocks() {
    assertEquals(3, Sparsify.topEntries(100, 3, 0));
    assertEquals(0, Sparsify.topEntries(0, 0, 0));
    assertEquals(30, Sparsify.topEntries(100, 3, 10));
    assertEquals(32, Sparsify.topEntries(102, 3, 10));
    assertEquals(33, Sparsify.topEntries(105, 3, 10));
    assertArrayEquals(
        new long[] {6, 3, 7},
        new long[] {
          Sparsify.Form.TOP.words(3), Sparsify.Form.AT.words(3), Sparsify.Form.ABOVE.words(3)
        });
  }
}
