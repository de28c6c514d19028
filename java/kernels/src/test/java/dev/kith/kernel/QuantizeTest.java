package dev.kith.kernel;

import static dev.kith.kernel.Contract.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
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
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The family quantize against the oracle, bit for bit, on every tier, thread count and cut, and the
 * numbers that the papers' definitions give.
 */
class QuantizeTest {
  private static final List<Contract.Case> CASES = cases();

  /** Every kind, with blocks of one word, of part of one, of an odd number of columns. */
  private static List<Code> codes() {
    List<Code> codes = new ArrayList<>();
    codes.add(Code.qsgd(4, 7, Code.Norm.TWO, 512));
    codes.add(Code.qsgd(4, 4, Code.Norm.MAX, 4));
    codes.add(Code.qsgd(8, 127, Code.Norm.TWO, 0));
    codes.add(Code.qsgd(2, 1, Code.Norm.TWO, 33));
    codes.add(Code.ternGrad(0));
    codes.add(Code.natural());
    codes.add(Code.sign());
    codes.add(Code.scaledSign(0));
    codes.add(Code.scaledSign(64));
    codes.add(Code.oneBit(0));
    codes.add(Code.oneBit(100));
    codes.add(Code.affine(0));
    codes.add(Code.affine(1024));
    codes.add(Code.affine(7));
    for (boolean random : new boolean[] {false, true}) {
      codes.add(Code.absmax(8, random, 256));
      codes.add(Code.absmax(8, random, 1));
      codes.add(Code.absmax(4, random, 0));
      codes.add(Code.absmax(4, random, 5));
      codes.add(Code.reduced(Code.Kind.BF16, random));
      codes.add(Code.reduced(Code.Kind.E4M3, random));
      codes.add(Code.reduced(Code.Kind.E5M2, random));
    }
    return codes;
  }

  private static List<Contract.Case> cases() {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 170_000;
    for (Code code : codes()) {
      for (int cols : Contract.SIZES) {
        add(cases, new QuantizeCase(seed++, code, cols < 100 ? 1 + (int) (seed % 4) : 2, cols));
      }
      add(cases, new QuantizeCase(seed++, code, 0, 17));
      add(cases, new QuantizeCase(seed++, code, 200, 11));
      if (code.stochastic()) {
        add(cases, new QuantizeCase(seed++, code, 1, 40_009));
      }
    }
    // Blocks that are measured in a pass of their own: odd ones, and ones of several parts.
    for (Code code :
        List.of(
            Code.qsgd(4, 7, Code.Norm.TWO, 0),
            Code.scaledSign(0),
            Code.oneBit(70_001),
            Code.affine(0),
            Code.absmax(8, false, 4_099),
            Code.ternGrad(65_537))) {
      add(cases, new QuantizeCase(seed++, code, 1, Contract.LARGE));
      add(cases, new QuantizeCase(seed++, code, 1, 65_537));
    }
    return cases;
  }

  private static void add(List<Contract.Case> cases, QuantizeCase c) {
    cases.add(new Contract.Case(c.toString(), c::run));
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void codesFollowTheirFormulas(Rig rig) {
    Contract.run(rig, CASES);
  }

  /**
   * Elements half way between two levels, and their neighbours, take the level nearest to the exact
   * quotient, the even one of two, for scales of every size.
   */
  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void levelsAreNearestToTheExactQuotient(Rig rig) {
    int block = 256;
    Code code = Code.absmax(8, false, block);
    int[] exponents = {-140, -126, -125, -102, -101, -100, -99, -30, 0, 90, 119};
    float[] v = new float[exponents.length * 40 * block];
    SharedRandom random = new SharedRandom(9, Stream.TEST, 0, 0);
    for (int b = 0; b < v.length / block; b++) {
      double scale = Math.scalb(1 + random.uniform(b), exponents[b % exponents.length]);
      v[b * block] = (float) (127 * scale);
      // As the definition rounds it.
      float s = v[b * block] / 127;
      for (int i = 1; i < block; i++) {
        float tie = (float) ((random.below(1_000_000L + (long) b * block + i, 127) + 0.5) * s);
        float near = i % 3 == 0 ? tie : i % 3 == 1 ? Math.nextUp(tie) : Math.nextDown(tie);
        v[b * block + i] = i % 2 == 0 ? near : -near;
      }
    }
    try (Rig.Session session = rig.open()) {
      DeviceMatrix x = session.keep(DeviceMatrix.row(session.queue(), v));
      int words = Math.toIntExact(code.words(v.length));
      DeviceMatrix messages = session.keep(x.like(1, words, DType.I32));
      Quantize.quantize(code, Optional.empty(), x, messages);
      int[] message = messages.toInts();
      int blocks = v.length / block;
      for (int c = 0; c < v.length; c++) {
        // In f64 no quotient of two f32 becomes a tie between levels that it is not.
        double scale = Float.intBitsToFloat(message[c / block]);
        int expected = (int) Math.clamp(Math.rint(v[c] / scale), -127, 127);
        assertEquals(
            expected, (byte) (message[blocks + c / 4] >> (c % 4 * 8)), v[c] + " over " + scale);
      }
    }
  }

  // ---- the numbers of the definitions

  private static final float[] X = {1.5f, -0.25f, 3.0f, 0.75f, -2.0f, 0.125f, -0.5f, 1.0f};
  private static final float[] U = {0.1f, 0.9f, 0.5f, 0.3f, 0.7f, 0.2f, 0.6f, 0.4f};

  /** A message of X with the uniforms U, as bytes after the scales, and what it stands for. */
  private static void expect(Code code, float[] scales, int[] bytes, double[] decoded) {
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix x = session.keep(DeviceMatrix.row(session.queue(), X));
      DeviceMatrix u = session.keep(DeviceMatrix.row(session.queue(), U));
      DeviceMatrix e = session.keep(x.like());
      int words = Math.toIntExact(code.words(X.length));
      DeviceMatrix messages = session.keep(x.like(1, words, DType.I32));
      Quantize.quantize(
          code,
          code.stochastic() ? Optional.of(Draw.of(u)) : Optional.empty(),
          x,
          Optional.empty(),
          Optional.of(e),
          messages,
          Optional.empty());
      int[] message = messages.toInts();
      for (int s = 0; s < scales.length; s++) {
        assertEquals(scales[s], Float.intBitsToFloat(message[s]), code + " scale " + s);
      }
      int[] found = new int[bytes.length];
      for (int i = 0; i < bytes.length; i++) {
        found[i] = (message[scales.length + i / 4] >> (8 * (i % 4))) & 255;
      }
      assertArrayEquals(bytes, found, code.toString());
      DeviceMatrix y = session.keep(x.like());
      Quantize.accumulate(code, messages, y);
      // The figures are given with ten digits; codes are f32.
      assertArrayEquals(decoded, y.toDoubles(), 4e-7, code.toString());
      double[] rest = e.toDoubles();
      for (int i = 0; i < X.length; i++) {
        assertEquals(X[i] - (float) y.get(0, i), rest[i], code.toString());
      }
    }
  }

  private static double squaredError(double... decoded) {
    double sum = 0;
    for (int i = 0; i < X.length; i++) {
      sum += (decoded[i] - X[i]) * (decoded[i] - X[i]);
    }
    return sum;
  }

  @Test
  void qsgdGivesThePublishedLevels() {
    float norm = (float) 4.140123790419799;
    expect(
        Code.qsgd(4, 4, Code.Norm.TWO, 0),
        new float[] {norm / 4},
        new int[] {0x02, 0x13, 0x0e, 0x10},
        new double[] {2.070061895, 0, 3.105092843, 1.035030948, -2.070061895, 0, 0, 1.035030948});
    expect(
        Code.qsgd(2, 1, Code.Norm.TWO, 0),
        new float[] {norm},
        new int[] {0x11, 0x00},
        new double[] {4.140123790, 0, 4.140123790, 0, 0, 0, 0, 0});
    expect(
        Code.qsgd(4, 4, Code.Norm.TWO, 4),
        new float[] {(float) 3.4460121882 / 4, (float) 2.2946949688 / 4},
        new int[] {0x02, 0x13, 0x1d, 0x2f},
        new double[] {
          1.723006094,
          0,
          2.584509141,
          0.861503047,
          -1.721021227,
          0.573673742,
          -0.573673742,
          1.147347484
        });
    double[] max = {1.5, 0, 3, 0.75, -1.5, 0, -0.75, 0.75};
    expect(
        Code.qsgd(4, 4, Code.Norm.MAX, 0),
        new float[] {0.75f},
        new int[] {0x02, 0x14, 0x0e, 0x1f},
        max);
  }

  @Test
  void ternGradAndNaturalGiveTheirValues() {
    expect(
        Code.ternGrad(0),
        new float[] {3},
        new int[] {0x11, 0x00},
        new double[] {3, 0, 3, 0, 0, 0, 0, 0});
    expect(
        Code.natural(),
        new float[0],
        new int[] {0x52, 0, 0, 0, 128, 125, 128, 127, 128, 124, 126, 127},
        new double[] {2, -0.25, 2, 1, -2, 0.125, -0.5, 1});
  }

  @Test
  void signsGiveTheirBytesAndErrors() {
    expect(Code.sign(), new float[0], new int[] {0xad}, new double[] {1, -1, 1, 1, -1, 1, -1, 1});
    double s = 1.140625;
    double[] scaled = {s, -s, s, s, -s, s, -s, s};
    expect(Code.scaledSign(0), new float[] {1.140625f}, new int[] {0xad}, scaled);
    assertEquals(6.732421875, squaredError(scaled));
    double m = 1.275;
    double n = -0.9166666667;
    double[] two = {m, n, m, m, n, m, n, m};
    expect(Code.oneBit(0), new float[] {1.275f, (float) (-2.75 / 3)}, new int[] {0xad}, two);
    assertEquals(6.4916666667, squaredError(two), 1e-9);
  }

  private static double[] times(float[] scales, int block, int... q) {
    double[] x = new double[q.length];
    for (int i = 0; i < q.length; i++) {
      x[i] = scales[i / block] * (float) q[i];
    }
    return x;
  }

  private static int[] bytes(int... values) {
    int[] bytes = new int[values.length];
    for (int i = 0; i < values.length; i++) {
      bytes[i] = values[i] & 255;
    }
    return bytes;
  }

  @Test
  void absmaxGivesTheStatedBytes() {
    float[] one = {Float.intBitsToFloat(0x3cc18306)};
    float[] two = {one[0], Float.intBitsToFloat(0x3c810204)};
    int[] nearest = {64, -11, 127, 32, -85, 5, -21, 42};
    expect(Code.absmax(8, false, 8), one, bytes(nearest), times(one, 8, nearest));
    assertEquals(4.58219e-4, squaredError(times(one, 8, nearest)), 1e-9);
    int[] random = {64, -11, 127, 32, -85, 6, -21, 42};
    expect(Code.absmax(8, true, 8), one, bytes(random), times(one, 8, random));
    int[] blocks = {64, -11, 127, 32, -127, 8, -32, 64};
    expect(Code.absmax(8, false, 4), two, bytes(blocks), times(two, 4, blocks));
    expect(Code.absmax(8, true, 4), two, bytes(blocks), times(two, 4, blocks));
    float[] wide = {Float.intBitsToFloat(0x3edb6db7)};
    float[] pair = {wide[0], Float.intBitsToFloat(0x3e924925)};
    expect(
        Code.absmax(4, false, 0),
        wide,
        new int[] {0xf3, 0x27, 0x0b, 0x2f},
        times(wide, 8, 3, -1, 7, 2, -5, 0, -1, 2));
    expect(
        Code.absmax(4, true, 0),
        wide,
        new int[] {0xf4, 0x27, 0x1b, 0x2f},
        times(wide, 8, 4, -1, 7, 2, -5, 1, -1, 2));
    expect(
        Code.absmax(4, false, 4),
        pair,
        new int[] {0xf3, 0x27, 0x09, 0x3e},
        times(pair, 4, 3, -1, 7, 2, -7, 0, -2, 3));
    expect(
        Code.absmax(4, true, 4),
        pair,
        new int[] {0xf4, 0x27, 0x19, 0x4e},
        times(pair, 4, 4, -1, 7, 2, -7, 1, -2, 4));
  }

  @Test
  void affineTruncatesFromTheTrueExtremes() {
    expect(
        Code.affine(0),
        new float[] {-2, 3},
        new int[] {178, 89, 255, 140, 0, 108, 76, 153},
        new double[] {1.490196078, -0.254901961, 3, 0.745098039, -2, 0.117647059, -0.509803922, 1});
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix x = session.keep(DeviceMatrix.row(session.queue(), -3f, -1f, -2f));
      DeviceMatrix messages = session.keep(x.like(1, 3, DType.I32));
      Quantize.quantize(Code.affine(0), Optional.empty(), x, messages);
      assertEquals(-1f, Float.intBitsToFloat(messages.toInts()[1]), "all are negative");
    }
  }

  @Test
  void reducedFloatsGiveTheirTables() {
    float[] values = {
      0.1f, 1 / 3f, -2.7f, (float) 3.14159265, 1000, 0.001f, 1.0625f, 1.1875f, 65504
    };
    int[] bf16 = {0x3dcd, 0x3eab, 0xc02d, 0x4049, 0x447a, 0x3a83, 0x3f88, 0x3f98, 0x4780};
    int[] e4m3 = {0x1d, 0x2b, 0xc3, 0x45, 0x7e, 0x01, 0x38, 0x3a, 0x7e};
    int[] e5m2 = {0x2e, 0x35, 0xc1, 0x42, 0x64, 0x14, 0x3c, 0x3d, 0x7b};
    double[] eight = {0.1015625, 0.34375, -2.75, 3.25, 448, 0.001953125, 1, 1.25, 448};
    double[] five = {0.09375, 0.3125, -2.5, 3, 1024, 0.0009765625, 1, 1.25, 57344};
    reduced(Code.Kind.BF16, values, bf16, new double[0]);
    reduced(Code.Kind.E4M3, values, e4m3, eight);
    reduced(Code.Kind.E5M2, values, e5m2, five);
  }

  private static void reduced(Code.Kind kind, float[] values, int[] codes, double[] decoded) {
    Code code = Code.reduced(kind, false);
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix x = session.keep(DeviceMatrix.row(session.queue(), values));
      DeviceMatrix messages = session.keep(x.like(1, code.words(values.length), DType.I32));
      Quantize.quantize(code, Optional.empty(), x, messages);
      int[] words = messages.toInts();
      for (int i = 0; i < codes.length; i++) {
        int at = i * code.bits();
        int mask = (1 << code.bits()) - 1;
        assertEquals(codes[i], (words[at / 32] >>> (at % 32)) & mask, kind + " of " + values[i]);
      }
      DeviceMatrix y = session.keep(x.like());
      Quantize.accumulate(code, messages, y);
      if (decoded.length > 0) {
        assertArrayEquals(decoded, y.toDoubles(), kind.toString());
      }
    }
  }

  /** Adding 1e-4 to 1 in bf16: nearest never moves, at random it does in the mean. */
  @Test
  void randomRoundingMovesWhereNearestStands() {
    int rows = 256;
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix x = session.keep(DeviceMatrix.allocate(session.queue(), rows, 1, DType.F32));
      DeviceMatrix messages = session.keep(x.like(rows, 1, DType.I32));
      Code random = Code.reduced(Code.Kind.BF16, true);
      x.fill(1);
      for (int t = 0; t < 1000; t++) {
        Quantize.quantize(random, Optional.of(Draw.of(9, t, 0)), x, messages);
        x.fill(1e-4);
        Quantize.accumulate(random, messages, x);
      }
      double mean = 0;
      for (double v : x.toDoubles()) {
        mean += v / rows;
      }
      // A step to the next bf16, 2^-7, is taken with probability 0.0128: the mean of 256 sums of
      // 1000 has a standard deviation of 2^-7 sqrt(1000 * 0.0128 / 256) = 0.0018.
      assertEquals(1.1, mean, 0.009);
      Code nearest = Code.reduced(Code.Kind.BF16, false);
      x.fill(1);
      for (int t = 0; t < 10; t++) {
        Quantize.quantize(nearest, Optional.empty(), x, messages);
        x.fill(1e-4);
        Quantize.accumulate(nearest, messages, x);
      }
      Quantize.quantize(nearest, Optional.empty(), x, messages);
      assertEquals(0x3f80, messages.toInts()[0]);
    }
  }

  /** The mean over many rounds is the row: the error of unbiased codes is noise. */
  @Test
  void stochasticCodesAreUnbiased() {
    int rounds = 4096;
    try (Rig.Session session = Rig.best().open()) {
      float[][] same = new float[rounds][];
      java.util.Arrays.fill(same, X);
      DeviceMatrix x = session.keep(DeviceMatrix.of(session.queue(), same));
      for (Code code :
          List.of(
              Code.qsgd(4, 4, Code.Norm.TWO, 0),
              Code.ternGrad(0),
              Code.natural(),
              Code.absmax(4, true, 0),
              Code.reduced(Code.Kind.E4M3, true),
              Code.reduced(Code.Kind.E5M2, true))) {
        DeviceMatrix messages = session.keep(x.like(rounds, code.words(X.length), DType.I32));
        Quantize.quantize(code, Optional.of(Draw.of(77, 3, 0)), x, messages);
        DeviceMatrix y = session.keep(x.like());
        Quantize.accumulate(code, messages, y);
        double[] decoded = y.toDoubles();
        for (int c = 0; c < X.length; c++) {
          double mean = 0;
          double square = 0;
          for (int r = 0; r < rounds; r++) {
            double v = decoded[r * X.length + c];
            mean += v / rounds;
            square += v * v / rounds;
          }
          double deviation = Math.sqrt(Math.max(0, square - mean * mean) / rounds);
          // Five deviations, and what f32 rounds.
          assertEquals(X[c], mean, 5 * deviation + 1e-6, code + " of " + X[c]);
        }
      }
    }
  }

  /** The kernel's generator is that of docs/randomness.md, at its far ends too. */
  @Test
  void numbersAreThoseOfSharedRandom() {
    int cols = 70;
    long[][] addresses = {
      {1, 0, 0}, {-1, (1L << 40) - 1, Integer.MAX_VALUE}, {Long.MIN_VALUE, 1L << 32, 5}
    };
    try (Rig.Session session = Rig.best().open()) {
      for (long[] at : addresses) {
        DeviceMatrix x = session.keep(DeviceMatrix.allocate(session.queue(), 1, cols, DType.F32));
        x.fill(0.5);
        DeviceMatrix one = session.keep(x.columns(0, 1));
        one.fill(1);
        Code code = Code.qsgd(2, 1, Code.Norm.MAX, 0);
        DeviceMatrix messages = session.keep(x.like(1, code.words(cols), DType.I32));
        Quantize.quantize(code, Optional.of(Draw.of(at[0], at[1], (int) at[2])), x, messages);
        SharedRandom random = new SharedRandom(at[0], Stream.ROUNDING, (int) at[2], at[1]);
        int[] words = messages.toInts();
        for (int c = 1; c < cols; c++) {
          int level = (words[1 + c / 16] >>> (2 * (c % 16))) & 3;
          assertEquals(random.uniformFloat(c) < 0.5f ? 1 : 0, level, "column " + c);
        }
        one.close();
      }
    }
  }

  // ---- majority

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void theMajorityWinsAndTiesAreOne(Rig rig) {
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 5;
    for (int rows : new int[] {0, 1, 2, 3, 7, 8, 9, 16, 17, 63, 64, 65, 300}) {
      for (int cols : new int[] {0, 1, 31, 32, 33, 255, 256, 257, 1025, 7919}) {
        long number = seed++;
        cases.add(
            new Contract.Case(
                rows + " x " + cols + ", seed " + number,
                session -> vote(session, rows, cols, number)));
      }
    }
    cases.add(new Contract.Case("large", session -> vote(session, 5, 300_001, 3)));
    Contract.run(rig, cases);
  }

  private static void vote(Rig.Session session, int rows, int cols, long seed) {
    int words = (cols + 31) / 32;
    SharedRandom random = new SharedRandom(seed, Stream.TEST, 0, 0);
    double[][] messages = new double[rows][words + 1];
    int[] ones = new int[words * 32];
    for (int r = 0; r < rows; r++) {
      for (int w = 0; w < words; w++) {
        int word = random.word(r * (long) words + w);
        // Whole words of agreement too.
        word = w % 5 == 3 ? -1 : w % 5 == 4 ? 0 : word;
        messages[r][w] = word;
        for (int b = 0; b < 32; b++) {
          ones[w * 32 + b] += (word >>> b) & 1;
        }
      }
    }
    double[] expected = new double[words + 2];
    java.util.Arrays.fill(expected, 99);
    for (int w = 0; w < words; w++) {
      int word = 0;
      for (int b = 0; b < 32; b++) {
        int c = w * 32 + b;
        word |= c < cols && 2 * ones[c] >= rows ? 1 << b : 0;
      }
      expected[w] = word;
    }
    double[][] before = new double[1][words + 2];
    java.util.Arrays.fill(before[0], 99);
    Operand out = session.operand(DType.I32, before, words + 2);
    Quantize.majority(session.matrix(DType.I32, messages, words + 1), cols, out.matrix());
    out.expect(expected);
  }

  // ---- messages from outside

  @Test
  void messagesOfTheKernelPassTheCheckAndOthersDoNot() {
    try (Rig.Session session = Rig.best().open();
        Arena arena = Arena.ofConfined()) {
      for (Code code : codes()) {
        for (int cols : new int[] {0, 1, 31, 100, 1025}) {
          for (Samples.Kind kind : List.of(Samples.Kind.WIDE, Samples.Kind.SPECIAL)) {
            DeviceMatrix x =
                session.matrix(DType.F32, Samples.matrix(kind, DType.F32, 1, cols, 4), cols);
            int words = Math.toIntExact(code.words(cols));
            assertEquals(
                words,
                NativeCalls.words(session, code, cols),
                code + " of " + cols + " columns, in Java and in native code");
            DeviceMatrix m =
                session.keep(DeviceMatrix.allocate(session.queue(), 1, words, DType.I32));
            Optional<Draw> draw =
                code.stochastic() ? Optional.of(Draw.of(1, 2, 3)) : Optional.empty();
            Quantize.quantize(code, draw, x, m);
            MemorySegment message =
                arena.allocateFrom(ValueLayout.JAVA_INT, m.toInts()).asSlice(0, 4L * words);
            Quantize.check(session.queue().device(), code, cols, message);
            int used = code.kind() == Code.Kind.NATURAL ? 8 * cols % 32 : code.bits() * cols % 32;
            if (cols > 0 && used != 0) {
              message.setAtIndex(
                  ValueLayout.JAVA_INT, words - 1, m.toInts()[words - 1] | Integer.MIN_VALUE);
              refused(
                  "not zero", () -> Quantize.check(session.queue().device(), code, cols, message));
            }
            session.release();
          }
        }
      }
    }
  }

  private static void bad(String text, Code code, int cols, int... words) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment message = arena.allocateFrom(ValueLayout.JAVA_INT, words);
      refused(text, () -> Quantize.check(Rig.chosen(), code, cols, message));
    }
  }

  @Test
  void messagesThatNoRowGivesAreRefused() {
    int nan = 0x7fc00000;
    int infinite = 0x7f800000;
    int half = 0x3f000000;
    bad("12 bytes", Code.absmax(8, false, 0), 4, half, 1, 2);
    bad("inf", Code.absmax(8, false, 0), 4, infinite, 1);
    bad("-0.5", Code.absmax(8, false, 0), 4, half | Integer.MIN_VALUE, 1);
    bad("-128", Code.absmax(8, false, 0), 4, half, 0x80);
    bad("column 2 is 5", Code.qsgd(4, 4, Code.Norm.TWO, 0), 8, half, 0x500);
    bad("column 1 is -2", Code.ternGrad(0), 2, half, 8);
    bad("is 1 and at most 0", Code.absmax(4, false, 0), 8, 0, 1);
    bad("is 1 and at most 0", Code.absmax(4, false, 0), 8, nan, 1);
    bad("is 1 and at most 0", Code.scaledSign(0), 8, nan, 1);
    bad("block 1", Code.scaledSign(4), 8, half, infinite, 1);
    bad("-0.5", Code.oneBit(0), 8, half | Integer.MIN_VALUE, 0, 1);
    bad("block 0", Code.oneBit(0), 8, half, half, 1);
    bad("block 0", Code.affine(0), 4, half, 0, 1);
    bad("block 0", Code.affine(0), 4, nan, half, 1);
    bad("not zero", Code.sign(), 31, Integer.MIN_VALUE);
    bad("not zero", Code.natural(), 1, 2, 7);
    bad("not zero", Code.natural(), 1, 1, 0x100);
  }

  // ---- refusals

  @Test
  void codesThatDoNotExistAreRefused() {
    refused("bits 3", () -> Code.qsgd(3, 1, Code.Norm.TWO, 0));
    refused("levels 8", () -> Code.qsgd(4, 8, Code.Norm.TWO, 0));
    refused("levels 0", () -> Code.qsgd(4, 0, Code.Norm.TWO, 0));
    refused("bits 2", () -> Code.absmax(2, false, 0));
    refused("block -1", () -> Code.absmax(8, false, -1));
    refused("block 4", () -> new Code(Code.Kind.SIGN, 1, 0, Code.Norm.TWO, false, 4));
    refused("bits 8", () -> new Code(Code.Kind.SIGN, 8, 0, Code.Norm.TWO, false, 0));
    refused("levels 2", () -> new Code(Code.Kind.BF16, 16, 2, Code.Norm.TWO, false, 0));
    refused("norm MAX", () -> new Code(Code.Kind.ABSMAX, 8, 0, Code.Norm.MAX, false, 0));
    refused("stochastic true", () -> new Code(Code.Kind.AFFINE, 8, 0, Code.Norm.TWO, true, 0));
    refused("stochastic false", () -> new Code(Code.Kind.QSGD, 8, 1, Code.Norm.TWO, false, 0));
    refused("-1 columns", () -> Code.sign().words(-1));
    refused("round -1", () -> Draw.of(1, -1, 0));
    refused("round 1099511627776", () -> Draw.of(1, 1L << 40, 0));
    refused("node -2", () -> Draw.of(1, 0, -2));
  }

  @Test
  void operandsThatDoNotFitAreRefused() {
    Code int8 = Code.absmax(8, false, 0);
    Code random = Code.absmax(8, true, 0);
    Optional<Draw> none = Optional.empty();
    Optional<DeviceMatrix> no = Optional.empty();
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix x = session.matrix(DType.F32, new double[2][9], 9);
      DeviceMatrix m = session.matrix(DType.I32, new double[2][4], 4);
      DeviceMatrix narrow = session.matrix(DType.I32, new double[2][3], 3);
      DeviceMatrix wide = session.matrix(DType.F64, new double[2][9], 9);
      DeviceMatrix other = session.matrix(DType.F32, new double[2][8], 8);
      refused("F64", () -> Quantize.quantize(int8, none, wide, m));
      refused("2 x 3 I32", () -> Quantize.quantize(int8, none, x, narrow));
      refused("F32", () -> Quantize.quantize(int8, none, x, x));
      refused("no draw", () -> Quantize.quantize(random, none, x, m));
      refused(
          "2147483647",
          () -> Quantize.quantize(random, Optional.of(Draw.of(1, 0, Integer.MAX_VALUE)), x, m));
      refused("2 x 8", () -> Quantize.quantize(random, Optional.of(Draw.of(other)), x, m));
      refused("2 x 8", () -> Quantize.quantize(int8, none, x, Optional.of(other), no, m, no));
      refused("2 x 8", () -> Quantize.quantize(int8, none, x, no, Optional.of(other), m, no));
      refused("overlap", () -> Quantize.quantize(int8, none, x, no, Optional.of(x), m, no));
      refused(
          "1 x 3",
          () ->
              Quantize.quantize(
                  int8,
                  none,
                  x,
                  no,
                  no,
                  m,
                  Optional.of(session.matrix(DType.I32, new double[1][3], 3))));
      refused("F64", () -> Quantize.accumulate(int8, m, wide));
      refused("2 x 3 I32", () -> Quantize.accumulate(int8, narrow, x));
      refused(
          "halo", () -> Quantize.accumulate(Optional.empty(), int8, m, Optional.of(m), true, x));
      try (MixingWeights w =
              MixingWeights.sparse(session.queue(), 2, 3, new long[3], new int[0], new double[0]);
          MixingWeights dense = MixingWeights.dense(session.queue(), 2, 2, new double[4])) {
        refused("3 columns", () -> Quantize.accumulate(Optional.of(w), int8, m, no, true, x));
        assertTrue(
            assertThrows(
                    UnsupportedOperationException.class,
                    () -> Quantize.accumulate(Optional.of(dense), int8, m, no, true, x))
                .getMessage()
                .contains("dense"));
      }
      refused("1 x 1", () -> Quantize.majority(m, 32, m));
      refused("overlap", () -> Quantize.majority(m, 32, m.row(0)));
    }
  }
}
