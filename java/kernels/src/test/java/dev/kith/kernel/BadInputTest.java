package dev.kith.kernel;

import static dev.kith.kernel.Contract.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.random.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * The caller's mistakes: each is refused in a sentence that names the offending value, before
 * anything is written. Those of memory and steps stand in their own suites.
 */
class BadInputTest {
  private Rig.Session session;

  @BeforeEach
  void open() {
    session = Rig.best().open();
  }

  @AfterEach
  void close() {
    session.release();
    session.close();
  }

  private DeviceMatrix m(DType t, int rows, int cols) {
    return session.matrix(t, new double[rows][cols], cols);
  }

  private DeviceMatrix f32(int rows, int cols) {
    return m(DType.F32, rows, cols);
  }

  private DeviceMatrix f64(int rows, int cols) {
    return m(DType.F64, rows, cols);
  }

  // ---- mixing

  private MixingWeights ring() {
    return MixingWeights.sparse(
        session.queue(),
        3,
        3,
        new long[] {0, 2, 4, 6},
        new int[] {0, 1, 1, 2, 0, 2},
        new double[] {.5, .5, .5, .5, .5, .5});
  }

  private MixingWeights swap() {
    return MixingWeights.sparse(
        session.queue(), 2, 2, new long[] {0, 1, 2}, new int[] {1, 0}, new double[] {1, 1});
  }

  private void sparse(String offending, long rows, long cols, long[] offsets, int[] columns) {
    refused(
        offending,
        () ->
            MixingWeights.sparse(
                session.queue(), rows, cols, offsets, columns, new double[columns.length]));
  }

  @Test
  void weightsThatAreNoMatrix() {
    sparse("-1", -1, 3, new long[] {0}, new int[0]);
    sparse("2", 2, 3, new long[] {0, 1}, new int[] {0});
    sparse("3", 1, 3, new long[] {0, 1}, new int[] {3});
    sparse("-2", 1, 3, new long[] {0, 1}, new int[] {-2});
    sparse("2", 1, 3, new long[] {0, 2}, new int[] {0});
    sparse("1", 1, 3, new long[] {1, 1}, new int[] {0});
    sparse("rowOffsets[2] is 0", 2, 3, new long[] {0, 1, 0}, new int[0]);
    for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
      refused(
          bad > 0 ? "inf" : "nan",
          () ->
              MixingWeights.sparse(
                  session.queue(), 1, 1, new long[] {0, 1}, new int[] {0}, new double[] {bad}));
      refused(
          bad > 0 ? "inf" : "nan",
          () -> MixingWeights.dense(session.queue(), 1, 1, new double[] {bad}));
    }
    refused(
        "outputRows[1] is 4",
        () ->
            MixingWeights.sparse(
                session.queue(),
                2,
                1,
                new long[] {0, 0, 0},
                new int[0],
                new double[0],
                new int[] {4, 4}));
    refused(
        "outputRows[0] is -1",
        () ->
            MixingWeights.sparse(
                session.queue(),
                1,
                1,
                new long[] {0, 0},
                new int[0],
                new double[0],
                new int[] {-1}));
    refused("5000", () -> MixingWeights.dense(session.queue(), 5000, 1, new double[5000]));
    refused("3", () -> MixingWeights.dense(session.queue(), 2, 2, new double[3]));
  }

  @Test
  void shapesAndTypesThatDoNotFitTheExpression() {
    DeviceMatrix x = f32(3, 5);
    DeviceMatrix y = f32(3, 5);
    try (MixingWeights w = ring()) {
      refused("3 x 4", () -> Mixing.mix(w, Expression.inner(f32(3, 4)), y));
      refused("2", () -> Mixing.mix(w, Expression.inner(f32(2, 5)), y));
      refused("2", () -> Mixing.mix(w, Expression.inner(x).plusInner(f32(2, 5)), y));
      refused("4 x 5", () -> Mixing.mix(w, Expression.inner(x).plusOuter(f32(4, 5)), y));
      refused("2", () -> Mixing.mix(w, Expression.inner(x), f32(2, 5)));
      refused("I32", () -> Mixing.mix(w, Expression.inner(x), m(DType.I32, 3, 5)));
      refused("F64", () -> Mixing.mix(w, Expression.inner(f64(3, 5)), m(DType.BF16, 3, 5)));
      refused(
          "F64",
          () -> {
            Expression e = Expression.inner(x).withMessageType(DType.F64);
            Mixing.mix(w, e, m(DType.F16, 3, 5));
          });
      refused("F64", () -> Mixing.mix(w, Expression.inner(f64(3, 5)), y));
      refused("F64", () -> Mixing.mix(w, Expression.inner(x).plusOuter(f64(3, 5)), y));
      refused("F64", () -> Mixing.mix(w, Expression.inner(x).withMessageType(DType.F64), y));
      refused("I32", () -> Expression.inner(x).withMessageType(DType.I32));
      refused("I32", () -> Mixing.mix(w, Expression.inner(m(DType.I32, 3, 5)), y));
      refused("combine", () -> Mixing.mix(w, Expression.outer(x), y));
      refused("1", () -> Mixing.mix(w, Expression.inner(x).withHalo(f32(1, 5)), y));
      refused("3 x 5", () -> Mixing.mix(w, Expression.inner(x), f32(3, 6)));
      refused("1 x 2", () -> Mixing.mix(w, Expression.inner(x), y, m(DType.I32, 1, 2)));
      refused("F32", () -> Mixing.mix(w, Expression.inner(x), y, f32(1, 3)));
    }
    refused("halo", () -> Mixing.combine(Expression.inner(x).withHalo(f32(1, 5)), y));
    refused("3 x 5", () -> Mixing.combine(Expression.inner(f32(2, 5)), y));
    refused("1 x 2 F64", () -> Expression.inner(1, f64(1, 2), x));
    refused("1 x 3 F32", () -> Expression.inner(1, f32(1, 3), x));
    refused("4", () -> Expression.inner(x).plusInner(x).plusInner(x).plusInner(x).plusInner(x));
    refused("4", () -> Expression.outer(x).plusOuter(x).plusOuter(x).plusOuter(x).plusOuter(x));
  }

  @Test
  void noiseThatDoesNotFitTheMessages() {
    DeviceMatrix x = f32(3, 5);
    DeviceMatrix y = f32(3, 5);
    NoiseField three = noise(NoiseField.Distribution.NORMAL, 3);
    NoiseField two = noise(NoiseField.Distribution.NORMAL, 2);
    Expression e = Expression.inner(x);
    refused("WORDS", () -> e.plusNoise(1, noise(NoiseField.Distribution.WORDS, 3)));
    refused("NaN", () -> e.plusNoise(Double.NaN, three));
    refused("Infinity", () -> e.plusNoise(Double.POSITIVE_INFINITY, three));
    refused("once", () -> e.plusNoise(1, three).plusNoise(1, three));
    refused("2 rows", () -> Mixing.combine(e.plusNoise(1, two), y));
    refused("2 rows", () -> Mixing.combine(Expression.noise(1, two), y));
    try (MixingWeights w = ring();
        MixingWeights wide = MixingWeights.dense(session.queue(), 2, 3, new double[6]);
        MixingWeights scattered =
            MixingWeights.sparse(
                session.queue(),
                3,
                3,
                new long[] {0, 0, 0, 0},
                new int[0],
                new double[0],
                new int[] {2, 1, 0})) {
      refused("2 rows", () -> Mixing.mix(w, e.plusNoise(1, two), y));
      refused("2 rows", () -> Mixing.mix(w, e.plusNoise(1, wide, three), y));
      refused("3 columns", () -> e.plusNoise(1, wide, two));
      refused("output rows", () -> e.plusNoise(1, scattered, three));
      refused("combine", () -> Mixing.mix(w, Expression.noise(1, three), y));
      Mixing.mix(w, e.plusNoise(1, three), y);
      MixingWeights closed = MixingWeights.dense(session.queue(), 3, 3, new double[9]);
      Expression late = e.plusNoise(1, closed, three);
      closed.close();
      assertThrows(IllegalStateException.class, () -> Mixing.combine(late, y));
    }
    Secret secret = Secret.random();
    NoiseField.SecretRow row = new NoiseField.SecretRow(secret, 0, 0);
    NoiseField own =
        NoiseField.secret(
            NoiseField.Distribution.NORMAL, Stream.NODE_NOISE, List.of(row, row, row));
    secret.close();
    assertThrows(IllegalStateException.class, () -> Mixing.combine(e.plusNoise(1, own), y));
  }

  private static NoiseField noise(NoiseField.Distribution d, int count) {
    return NoiseField.shared(d, Stream.TEST, 0, 0, 0, count);
  }

  @Test
  void halosThatDoNotFit() {
    DeviceMatrix x = f32(2, 5);
    DeviceMatrix y = f32(3, 5);
    try (MixingWeights w = ring()) {
      refused("2 of the halo", () -> Mixing.mix(w, Expression.inner(x).withHalo(f32(2, 5)), y));
      refused("1 x 4", () -> Mixing.mix(w, Expression.inner(x).withHalo(f32(1, 4)), y));
      refused("BF16", () -> Mixing.mix(w, Expression.inner(x).withHalo(m(DType.BF16, 1, 5)), y));
      Mixing.mix(w, Expression.inner(x).withHalo(f32(1, 5)), y);
      // Without a message type of their own, messages for a result of 16 bits are F32.
      DeviceMatrix half = m(DType.BF16, 3, 5);
      refused("F32", () -> Mixing.mix(w, Expression.inner(x).withHalo(m(DType.BF16, 1, 5)), half));
      Mixing.mix(w, Expression.inner(x).withHalo(f32(1, 5)), half);
    }
  }

  @Test
  void overlapsThatMixingCannotWorkWith() {
    DeviceMatrix big = f32(4, 11);
    try (DeviceMatrix x = big.columns(0, 5);
        DeviceMatrix y = big.columns(4, 9);
        DeviceMatrix aside = big.columns(5, 10);
        DeviceMatrix three = x.rows(0, 3);
        DeviceMatrix two = x.rows(0, 2);
        DeviceMatrix below = x.rows(1, 3);
        MixingWeights w = ring();
        MixingWeights pair = swap()) {
      refused("overlap", () -> Mixing.combine(Expression.inner(x), y));
      refused("overlap", () -> Mixing.combine(Expression.outer(x), y));
      refused("overlap", () -> Mixing.mix(w, Expression.inner(three), three));
      refused("overlap", () -> Mixing.mix(pair, Expression.inner(two), below));
      refused(
          "overlap",
          () -> Mixing.mix(pair, Expression.inner(two).plusOuter(f32(2, 5)).plusOuter(below), two));
      Mixing.mix(pair, Expression.inner(two), two);
      Mixing.mix(pair, Expression.inner(two).plusOuter(two), two);
      Mixing.combine(Expression.inner(x).plusOuter(x), x);
      Mixing.combine(Expression.inner(x), aside);
    }
    DeviceMatrix one = f64(1, 1);
    refused("overlap", () -> Mixing.combine(Expression.inner(1, one, f64(1, 1)), one));
    DeviceMatrix flags = m(DType.I32, 1, 3);
    refused("F32", () -> Mixing.combine(Expression.inner(f32(3, 5)), f32(3, 5), f32(1, 3)));
    refused("I32", () -> Mixing.combine(Expression.inner(flags), f32(1, 3), flags));
  }

  // ---- reductions

  @Test
  void reductionsThatDoNotFit() {
    DeviceMatrix a = f32(3, 5);
    DeviceMatrix b = f32(3, 5);
    DeviceMatrix out = f64(1, 3);
    refused("I32", () -> Reduction.rows(Reduction.Kind.SUM, m(DType.I32, 3, 5), out));
    refused("1 x 4", () -> Reduction.rows(Reduction.Kind.SUM, a, f64(1, 4)));
    refused("F32", () -> Reduction.rows(Reduction.Kind.SUM, a, f32(1, 3)));
    refused("DOT", () -> Reduction.rows(Reduction.Kind.DOT, a, out));
    refused("SUM", () -> Reduction.rows(Reduction.Kind.SUM, a, b, out));
    refused("2 x 5", () -> Reduction.rows(Reduction.Kind.DOT, a, f32(2, 5), out));
    refused("3 x 4", () -> Reduction.rows(Reduction.Kind.DOT, a, f32(3, 4), out));
    refused("F64", () -> Reduction.rows(Reduction.Kind.DOT, a, f64(3, 5), out));
    try (DeviceMatrix row = out.columns(0, 1)) {
      refused("overlap", () -> Reduction.rows(Reduction.Kind.SUM, out, row));
    }
    long[] good = {0, 2, 5};
    refused(
        "bounds[1] is 6",
        () -> Reduction.segments(Reduction.Kind.SUM, a, new long[] {0, 6}, f64(3, 1)));
    refused(
        "bounds[2] is 1",
        () -> Reduction.segments(Reduction.Kind.SUM, a, new long[] {0, 2, 1}, f64(3, 2)));
    refused(
        "bounds[0] is -1",
        () -> Reduction.segments(Reduction.Kind.SUM, a, new long[] {-1, 2}, f64(3, 1)));
    refused("1 bounds", () -> Reduction.segments(Reduction.Kind.SUM, a, new long[] {0}, f64(3, 1)));
    refused("3 x 3", () -> Reduction.segments(Reduction.Kind.SUM, a, good, f64(3, 3)));
    refused("3 x 4", () -> Reduction.gram(a, f64(3, 4)));
    refused("4 x 4", () -> Reduction.gram(a, f32(4, 4), f64(3, 4)));
    refused("F64", () -> Reduction.gram(a, f64(3, 5), f64(3, 3)));
    refused("I32", () -> Reduction.gram(m(DType.I32, 3, 5), f64(3, 3)));
  }

  private void nodes(String offending, int[] program, DeviceMatrix out) {
    DeviceMatrix x = f32(3, 5);
    refused(offending, () -> Reduction.nodes(program, x, 1, out));
  }

  @Test
  void programsThatAreNoTree() {
    nodes("3", new int[] {0, 1, -1, 3, -1}, f32(1, 5));
    nodes("-2", new int[] {0, -2}, f32(1, 5));
    nodes("program[1] adds", new int[] {0, -1}, f32(1, 5));
    nodes("2 results", new int[] {0, 1}, f32(1, 5));
    nodes("0 results", new int[0], f32(1, 5));
    nodes("1 x 4", new int[] {0}, f32(1, 4));
    nodes("I32", new int[] {0}, m(DType.I32, 1, 5));
    DeviceMatrix x = f32(3, 5);
    int[] sum = NodeTree.program(3);
    Optional<DeviceMatrix> none = Optional.empty();
    refused("neither", () -> Reduction.nodes(sum, x, none, 3, none, none));
    refused("1 x 2", () -> Reduction.nodes(sum, x, none, 3, none, Optional.of(f64(1, 2))));
    refused(
        "F64",
        () -> Reduction.nodes(sum, x, Optional.of(f64(1, 5)), 3, none, Optional.of(f64(1, 3))));
    refused(
        "1 x 4",
        () -> Reduction.nodes(sum, x, Optional.of(f32(1, 4)), 3, none, Optional.of(f64(1, 3))));
    try (DeviceMatrix row = x.row(1)) {
      refused("overlap", () -> Reduction.nodes(sum, x, 3, row));
    }
    for (double bad : new double[] {0, Double.NaN}) {
      refused("the divisor is " + bad, () -> Reduction.nodes(sum, x, bad, f32(1, 5)));
    }
  }

  // ---- host memory

  @Test
  void memoryThatIsGone() throws Exception {
    DeviceMatrix x = f32(1, 4);
    MemorySegment closed;
    try (Arena arena = Arena.ofConfined()) {
      closed = arena.allocate(64, 64);
    }
    String[] texts = new String[3];
    texts[0] = assertThrows(IllegalStateException.class, () -> x.upload(closed, 4)).getMessage();
    texts[1] = assertThrows(IllegalStateException.class, () -> x.download(closed, 4)).getMessage();
    texts[2] =
        assertThrows(
                IllegalStateException.class,
                () -> DeviceMatrix.wrap(x.queue(), closed, 1, 4, 4, DType.F32))
            .getMessage();
    for (String text : texts) {
      assertTrue(text.contains("was closed"), text);
    }
    Arena mine = Arena.ofConfined();
    MemorySegment foreign = mine.allocate(16, 4);
    Thread other =
        new Thread(
            () ->
                texts[0] =
                    assertThrows(IllegalStateException.class, () -> x.upload(foreign, 4))
                        .getMessage());
    other.start();
    other.join();
    mine.close();
    assertTrue(texts[0].contains("another thread"), texts[0]);
  }

  @Test
  void refusedIntegersLeaveTheMatrixAlone() {
    DeviceMatrix x = m(DType.I32, 1, 400_000);
    double[] values = new double[400_000];
    Arrays.fill(values, 7);
    values[399_999] = 3e9;
    assertThrows(IllegalArgumentException.class, () -> x.upload(values));
    assertEquals(0, x.get(0, 0));
  }

  // ---- factorizations

  @Test
  void factorizations() {
    Batch a = Batch.of(m(DType.F32, 3, 3));
    Batch b = Batch.of(m(DType.F32, 3, 3));
    Batch wide = Batch.of(m(DType.F32, 3, 4));
    Batch row = Batch.of(m(DType.F32, 1, 3));
    DeviceMatrix one = m(DType.I32, 1, 1);
    DeviceMatrix two = m(DType.I32, 1, 2);
    Optional<DeviceMatrix> no = Optional.empty();
    refused("3 x 4", () -> Factorization.eigen(1, wide, row, Optional.empty(), no));
    refused("3 x 3", () -> Factorization.eigen(1, a, b, Optional.empty(), no));
    refused("1 x 2", () -> Factorization.eigen(1, a, row, Optional.empty(), Optional.of(two)));
    refused("-1", () -> Factorization.eigen(-1, a, row, Optional.empty(), no));
    refused("3 x 4", () -> Factorization.qr(1, wide, wide, Optional.empty()));
    refused("F64", () -> Factorization.qr(1, a, Batch.of(f64(3, 3)), Optional.empty()));
    refused("3 x 4", () -> Factorization.polar(1, wide, wide, no, no));
    refused("I32", () -> Factorization.polar(1, a, b, Optional.of(one), no));
    refused("batch stride 0", () -> Factorization.polar(2, a, b, no, no));
    refused("1 x 3", () -> Factorization.tangent(1, a, row, b));
    refused("1 x 3", () -> Factorization.cholesky(1, a, row, one));
    refused("1 x 2", () -> Factorization.cholesky(1, a, b, two));
    refused("1 x 3", () -> Factorization.choleskySolve(1, a, row, row));
    refused("1 x 4", () -> Factorization.choleskyUpdate(1, a, Batch.of(m(DType.F32, 1, 4)), one));
    refused("F64", () -> Factorization.choleskyDowndate(1, a, Batch.of(f64(1, 3)), one));
  }

  // ---- products

  private static void symmetric(Batch a, boolean ta, Optional<Batch> d, Batch c) {
    Product.multiplySymmetric(1, 1, a, ta, 1, d, 0, c);
  }

  @Test
  void productsThatDoNotFit() {
    DeviceMatrix a = f32(3, 4);
    DeviceMatrix b = f32(4, 5);
    DeviceMatrix c = f32(3, 5);
    refused("3 x 4", () -> Product.multiply(a, true, b, false, c));
    refused("4 x 5", () -> Product.multiply(a, false, b, true, c));
    refused("F64", () -> Product.multiply(a, false, f64(4, 5), false, c));
    refused("BF16", () -> Product.multiply(m(DType.BF16, 3, 4), false, b, false, c));
    refused(
        "overlap",
        () ->
            Product.multiply(
                f32(3, 3),
                false,
                session.keep(c.columns(0, 3)),
                false,
                session.keep(c.columns(2, 5))));
    refused(
        "-1",
        () -> Product.multiply(-1, 1, Batch.of(a), false, Batch.of(b), false, 0, Batch.of(c)));
    refused(
        "2 batches",
        () ->
            Product.multiply(
                2,
                1,
                Batch.of(a, 0, 3, 4, 4, 12),
                false,
                Batch.of(b, 0, 4, 5, 5, 20),
                false,
                0,
                Batch.of(c)));
    refused("3 x 600", () -> Batch.of(c, 0, 3, 600, 600, 0));
    Batch square = Batch.of(f32(3, 3));
    refused("c is 3 x 5", () -> symmetric(Batch.of(a), false, Optional.empty(), Batch.of(c)));
    refused("a is 3 x 4", () -> symmetric(Batch.of(a), true, Optional.empty(), square));
    refused("d is 4 x 5", () -> symmetric(Batch.of(a), false, Optional.of(Batch.of(b)), square));
    refused("F64", () -> symmetric(Batch.of(a), false, Optional.of(Batch.of(f64(3, 3))), square));
    refused("overlap", () -> symmetric(square, false, Optional.empty(), square));
    DeviceMatrix wide = f32(3, 4);
    refused(
        "overlap",
        () ->
            symmetric(
                Batch.of(a),
                false,
                Optional.of(Batch.of(session.keep(wide.columns(0, 3)))),
                Batch.of(session.keep(wide.columns(1, 4)))));
    refused("at -1", () -> Batch.of(c, -1, 3, 5, 5, 0));
    refused("stride 4", () -> Batch.of(c, 0, 3, 5, 4, 0));
    refused("batch stride -15", () -> Batch.of(c, 0, 3, 5, 5, -15));
    refused(
        Long.toString(Long.MAX_VALUE),
        () ->
            Product.biasActivate(
                3, Batch.of(c, 0, 3, 5, 5, Long.MAX_VALUE), Batch.of(f32(1, 5)), true));
  }

  @Test
  void passesThatDoNotFit() {
    Batch h = Batch.of(f32(3, 5));
    refused("2 x 5", () -> Product.biasActivate(1, h, Batch.of(f32(2, 5)), true));
    refused("1 x 4", () -> Product.biasActivate(1, h, Batch.of(f32(1, 4)), true));
    refused("F64", () -> Product.biasActivate(1, h, Batch.of(f64(1, 5)), true));
    DeviceMatrix big = f32(4, 5);
    refused(
        "overlap",
        () -> Product.biasActivate(1, Batch.of(big), Batch.of(session.keep(big.row(2))), true));
    refused(
        "3 x 4",
        () -> Product.biasActivateBackward(1, Batch.of(f32(3, 4)), h, Batch.of(f32(1, 5)), true));
    refused(
        "1 x 6",
        () -> Product.biasActivateBackward(1, h, Batch.of(f32(3, 5)), Batch.of(f32(1, 6)), true));
  }

  @Test
  void directionsThatDoNotFitTheirLogits() {
    DeviceMatrix z = f32(3, 5);
    refused("3 x 4", () -> Product.softmaxCurvature(1, Batch.of(z), Batch.of(f32(3, 4))));
    refused("F64", () -> Product.softmaxCurvature(1, Batch.of(z), Batch.of(f64(3, 5))));
    refused("overlap", () -> Product.softmaxCurvature(1, Batch.of(z), Batch.of(z)));
    refused("-1", () -> Product.softmaxCurvature(-1, Batch.of(z), Batch.of(f32(3, 5))));
  }

  @Test
  void labelsAndLogitsThatDoNotFit() {
    Batch z = Batch.of(f32(3, 5));
    DeviceMatrix labels = m(DType.I32, 1, 3);
    Optional<Batch> noGradient = Optional.empty();
    Optional<DeviceMatrix> none = Optional.empty();
    Optional<DeviceMatrix> loss = Optional.of(f64(1, 1));
    refused(
        "1 x 2",
        () -> Product.softmaxCrossEntropy(1, z, m(DType.I32, 1, 2), noGradient, loss, none));
    refused("F32", () -> Product.softmaxCrossEntropy(1, z, f32(1, 3), noGradient, loss, none));
    refused(
        "3 x 4",
        () ->
            Product.softmaxCrossEntropy(
                1, z, labels, Optional.of(Batch.of(f32(3, 4))), loss, none));
    refused(
        "1 x 2",
        () -> Product.softmaxCrossEntropy(1, z, labels, noGradient, Optional.of(f64(1, 2)), none));
    refused(
        "F32",
        () -> Product.softmaxCrossEntropy(1, z, labels, noGradient, Optional.of(f32(1, 1)), none));
    refused(
        "F64",
        () -> Product.softmaxCrossEntropy(1, z, labels, noGradient, none, Optional.of(f64(1, 1))));
    for (int bad : new int[] {-1, 5, Integer.MAX_VALUE}) {
      labels.set(0, 1, bad);
      refused(
          Integer.toString(bad),
          () -> {
            Product.softmaxCrossEntropy(1, z, labels, noGradient, loss, none);
            session.queue().sync();
          });
    }
  }

  @Test
  void sparseMessagesThatDoNotFit() {
    Optional<DeviceMatrix> none = Optional.empty();
    DeviceMatrix x = f32(2, 5);
    DeviceMatrix sent = m(DType.I32, 2, 11);
    refused("F32", () -> Sparsify.top(x, none, none, 2, 0, f32(2, 11), none));
    refused("3 x 11", () -> Sparsify.top(x, none, none, 2, 0, m(DType.I32, 3, 11), none));
    refused("block", () -> Sparsify.top(x, none, none, 2, -3, sent, none));
    refused("2 x 4", () -> Sparsify.top(x, Optional.of(f32(2, 4)), none, 2, 0, sent, none));
    refused("F64", () -> Sparsify.top(x, none, Optional.of(f64(2, 5)), 2, 0, sent, none));
    refused(
        "overlap",
        () ->
            Sparsify.top(
                x,
                none,
                none,
                1,
                0,
                sent,
                Optional.of(session.keep(session.keep(sent.row(1)).columns(0, 2)))));
    refused("F32", () -> Sparsify.at(x, none, none, f32(2, 3), 1, sent, none));
    refused("overlap", () -> Sparsify.at(x, none, none, sent, 1, sent, none));
    refused("1 x 3", () -> Sparsify.above(x, none, none, f64(1, 3), 2, sent, none));
    refused("-1", () -> Sparsify.above(x, none, none, f64(1, 2), -1, sent, none));
    Draw draw = Draw.ofSample(1, 0, 0);
    refused("-1", () -> Sparsify.sampleThresholds(x, none, none, draw, 1, -1, f64(1, 2)));
    refused("6", () -> Sparsify.sampleThresholds(x, none, none, draw, 1, 6, f64(1, 2)));
    refused(
        "0 columns", () -> Sparsify.sampleThresholds(f32(2, 0), none, none, draw, 1, 1, f64(1, 2)));
    refused("k is 3", () -> Sparsify.sampleThresholds(x, none, none, draw, 3, 2, f64(1, 2)));
    refused("1 x 3", () -> Sparsify.sampleThresholds(x, none, none, draw, 1, 2, f64(1, 3)));
    refused(
        "3 x 5",
        () -> Sparsify.sampleThresholds(x, Optional.of(f32(3, 5)), none, draw, 1, 2, f64(1, 2)));
    DeviceMatrix y = f32(3, 5);
    Optional<MixingWeights> identity = Optional.empty();
    refused(
        "3 x 5", () -> Sparsify.accumulate(identity, Sparsify.Form.TOP, 2, sent, none, true, y));
    refused(
        "halo",
        () ->
            Sparsify.accumulate(
                identity, Sparsify.Form.TOP, 2, sent, Optional.of(sent), true, f32(2, 5)));
    try (MixingWeights w = ring()) {
      Optional<MixingWeights> three = Optional.of(w);
      Optional<DeviceMatrix> halo = Optional.of(m(DType.I32, 1, 11));
      DeviceMatrix lists = m(DType.I32, 2, 2);
      refused(
          "2 messages",
          () -> Sparsify.accumulate(three, Sparsify.Form.TOP, 2, sent, none, true, y));
      refused("haloIndices", () -> Sparsify.accumulateAt(three, lists, none, sent, halo, true, y));
      refused(
          "3 x 2",
          () ->
              Sparsify.accumulateAt(
                  three, lists, Optional.of(m(DType.I32, 3, 2)), sent, halo, true, y));
      refused(
          "writes 3 rows",
          () -> Sparsify.accumulate(three, Sparsify.Form.TOP, 2, sent, halo, true, f32(2, 5)));
    }
    int[] tooFar = {0, 5};
    refused(
        "5",
        () -> {
          DeviceMatrix columns = session.keep(DeviceMatrix.rowOf(session.queue(), tooFar));
          Sparsify.at(x, none, none, columns, 1, sent, none);
          session.queue().sync();
        });
  }

  @Test
  void codedMessagesThatDoNotFit() {
    Optional<DeviceMatrix> none = Optional.empty();
    Optional<Draw> nothing = Optional.empty();
    Code int8 = Code.absmax(8, false, 4);
    Code random = Code.natural();
    DeviceMatrix x = f32(2, 5);
    DeviceMatrix sent = m(DType.I32, 2, 4);
    refused("F32", () -> Quantize.quantize(int8, nothing, x, f32(2, 4)));
    refused("3 x 4", () -> Quantize.quantize(int8, nothing, x, m(DType.I32, 3, 4)));
    refused("2 x 3", () -> Quantize.quantize(int8, nothing, x, m(DType.I32, 2, 3)));
    refused("F64", () -> Quantize.quantize(int8, nothing, f64(2, 5), sent));
    refused("NATURAL", () -> Quantize.quantize(random, nothing, x, sent));
    Optional<DeviceMatrix> narrow = Optional.of(f32(2, 4));
    refused("2 x 4", () -> Quantize.quantize(int8, nothing, x, narrow, none, sent, none));
    refused("2 x 4", () -> Quantize.quantize(int8, nothing, x, none, narrow, sent, none));
    refused("2 x 4", () -> Quantize.quantize(random, Optional.of(Draw.of(narrow.get())), x, sent));
    refused(
        "overlap",
        () ->
            Quantize.quantize(
                int8,
                nothing,
                x,
                none,
                none,
                sent,
                Optional.of(session.keep(session.keep(sent.row(1)).columns(0, 2)))));
    DeviceMatrix wide = m(DType.I32, 2, 9);
    DeviceMatrix floats = session.keep(session.keep(wide.bits(DType.F32)).columns(0, 5));
    DeviceMatrix later = session.keep(wide.columns(4, 8));
    refused("overlap", () -> Quantize.quantize(int8, nothing, floats, later));
    refused(
        "overlap",
        () -> {
          Optional<DeviceMatrix> residual = Optional.of(floats);
          Quantize.quantize(int8, nothing, x, none, residual, later, none);
        });
    DeviceMatrix y = f32(3, 5);
    Optional<MixingWeights> identity = Optional.empty();
    refused("3 x 5", () -> Quantize.accumulate(identity, int8, sent, none, true, y));
    refused("F64", () -> Quantize.accumulate(identity, int8, sent, none, true, f64(2, 5)));
    refused("2 x 9", () -> Quantize.accumulate(identity, int8, f32(2, 9), none, true, f32(2, 5)));
    refused("overlap", () -> Quantize.accumulate(identity, int8, later, none, true, floats));
    refused(
        "halo",
        () -> Quantize.accumulate(identity, int8, sent, Optional.of(sent), true, f32(2, 5)));
    try (MixingWeights w = ring()) {
      Optional<MixingWeights> three = Optional.of(w);
      Optional<DeviceMatrix> halo = Optional.of(m(DType.I32, 1, 4));
      refused("2 messages", () -> Quantize.accumulate(three, int8, sent, none, true, y));
      refused(
          "1 x 3",
          () -> Quantize.accumulate(three, int8, sent, Optional.of(m(DType.I32, 1, 3)), true, y));
      refused("writes 3 rows", () -> Quantize.accumulate(three, int8, sent, halo, true, f32(2, 5)));
    }
    refused("2 x 4", () -> Quantize.majority(sent, 129, m(DType.I32, 1, 5)));
    refused("2 x 4", () -> Quantize.majority(sent, 128, sent));
    refused("F32", () -> Quantize.majority(f32(2, 4), 128, m(DType.I32, 1, 4)));
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment words = arena.allocate(12);
      refused("12 bytes", () -> Quantize.check(session.queue().device(), int8, 5, words));
    }
  }

  @Test
  void tensorsAndFactorsThatDoNotFit() {
    refused("rank 5", () -> new LowRank.Shape(0, 4, 7, 5));
    refused("rank 0", () -> new LowRank.Shape(0, 4, 7, 0));
    refused("rank 65", () -> new LowRank.Shape(0, 70, 70, 65));
    refused("0 x 7", () -> new LowRank.Shape(0, 0, 7, 1));
    refused("column -1", () -> new LowRank.Shape(-1, 4, 7, 1));
    refused("too many", () -> new LowRank.Shape(0, 1L << 32, 1L << 32, 1));
    LowRank.Shape first = new LowRank.Shape(0, 4, 3, 1);
    refused("column 11", () -> LowRank.of(List.of(first, new LowRank.Shape(11, 2, 2, 1))));
    refused("65", () -> LowRank.of(Layout.builder().build(), 65));
    LowRank lowRank = LowRank.of(List.of(first));
    Optional<DeviceMatrix> none = Optional.empty();
    DeviceMatrix x = f32(3, 12);
    DeviceMatrix p = f32(3, 4);
    DeviceMatrix q = f32(3, 3);
    refused("F64", () -> lowRank.left(f64(3, 12), none, none, q, p, none));
    refused("3 x 11", () -> lowRank.left(f32(3, 11), none, none, q, p, none));
    refused("2 x 3", () -> lowRank.left(x, none, none, f32(2, 3), p, none));
    refused("3 x 2", () -> lowRank.left(x, none, none, f32(3, 2), p, none));
    refused("1 x 4", () -> lowRank.left(x, none, none, q, f32(1, 4), none));
    refused("2 x 12", () -> lowRank.left(x, Optional.of(f32(2, 12)), none, q, p, none));
    refused("3 x 13", () -> lowRank.left(x, none, Optional.of(f32(3, 13)), q, p, none));
    refused("1 x 2", () -> lowRank.left(x, none, none, q, p, Optional.of(m(DType.I32, 1, 2))));
    refused("overlap", () -> lowRank.left(x, none, none, q, session.keep(x.columns(0, 4)), none));
    refused("3 x 2", () -> lowRank.right(x, none, none, p, f32(3, 2)));
    refused("1 x 3", () -> lowRank.right(x, none, none, p, f32(1, 3)));
    refused("overlap", () -> lowRank.right(x, none, none, p, p));
    refused("3 x 3", () -> lowRank.orthonormaliseLeft(q));
    refused("BF16", () -> lowRank.orthonormaliseRight(m(DType.BF16, 3, 3)));
    refused("2 x 12", () -> lowRank.residual(x, none, none, p, q, f32(2, 12)));
    refused("overlap", () -> lowRank.residual(x, none, none, session.keep(x.columns(0, 4)), q, x));
    DeviceMatrix wide = f32(3, 13);
    refused(
        "overlap",
        () ->
            lowRank.residual(
                session.keep(wide.columns(0, 12)),
                none,
                none,
                p,
                q,
                session.keep(wide.columns(1, 13))));
    refused("3 x 11", () -> lowRank.accumulate(p, q, true, f32(3, 11)));
    refused("2 x 4", () -> lowRank.accumulate(f32(2, 4), q, true, x));
    refused("overlap", () -> lowRank.accumulate(session.keep(x.columns(2, 6)), q, true, x));
    try (MixingWeights five =
        MixingWeights.sparse(
            session.queue(), 3, 5, new long[] {0, 1, 1, 1}, new int[] {4}, new double[1])) {
      refused("5 columns", () -> lowRank.accumulate(five, p, q, none, none, true, x));
      refused(
          "3 x 3",
          () ->
              lowRank.accumulate(
                  five, p, q, Optional.of(f32(2, 4)), Optional.of(f32(3, 3)), true, x));
      refused(
          "no halo",
          () ->
              lowRank.accumulate(
                  five, f32(1, 4), q, Optional.of(f32(2, 4)), Optional.of(f32(2, 3)), true, x));
      refused("4", () -> lowRank.accumulate(five, p, q, none, none, true, f32(4, 12)));
    }
    try (MixingWeights dense =
        MixingWeights.dense(session.queue(), 3, 3, new double[] {1, 0, 0, 0, 1, 0, 0, 0, 1})) {
      assertThrows(
          UnsupportedOperationException.class,
          () -> lowRank.accumulate(dense, p, q, none, none, true, x));
    }
  }

  @Test
  void twinsThatDoNotFit() {
    refused("nothing", () -> Twin.run(List.of(), List.of(), false, Optional.empty()));
    refused("sink", () -> Twin.run(List.of(f32(3, 5)), List.of(), false, Optional.empty()));
    refused(
        "3 x 4", () -> Twin.run(List.of(f32(3, 4)), List.of(f32(3, 5)), false, Optional.empty()));
    refused("F32", () -> Twin.run(List.of(f32(3, 5)), List.of(), false, Optional.of(f32(1, 1))));
  }
}
