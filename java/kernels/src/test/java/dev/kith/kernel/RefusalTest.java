package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/**
 * What operations refuse: in one sentence, with the operation and the offending value, before
 * anything is written.
 */
class RefusalTest {
  private Queue queue;
  private DeviceMatrix x;
  private DeviceMatrix y;
  private DeviceMatrix row;
  private MixingWeights half;
  private final List<DeviceMatrix> made = new ArrayList<>();

  @BeforeEach
  void open() {
    queue = Rig.chosen().newQueue();
    x = DeviceMatrix.of(queue, new float[][] {{1, 2, 3}, {4, 5, 6}});
    y = x.like();
    row = matrix(1, 2, DType.F64);
    half = MixingWeights.dense(queue, 2, 2, new double[] {0.5, 0.5, 0.5, 0.5});
  }

  @AfterEach
  void close() {
    assertEquals(0, Reduction.nonFinite(y));
    for (double value : y.toDoubles()) {
      assertEquals(0, value);
    }
    half.close();
    made.forEach(DeviceMatrix::close);
    y.close();
    x.close();
    queue.close();
  }

  private DeviceMatrix matrix(long rows, long cols, DType dtype) {
    return kept(DeviceMatrix.allocate(queue, rows, cols, dtype));
  }

  private DeviceMatrix kept(DeviceMatrix matrix) {
    made.add(matrix);
    return matrix;
  }

  private static void refused(Executable action, String... parts) {
    String text = assertThrows(IllegalArgumentException.class, action).getMessage();
    for (String part : parts) {
      assertTrue(text.contains(part), () -> "\"" + part + "\" is not in: " + text);
    }
    assertEquals(-1, text.indexOf('\n'), text);
  }

  @Test
  void termsThatDoNotFitY() {
    refused(
        () -> Mixing.combine(Expression.inner(x).plusOuter(matrix(2, 4, DType.F32)), y),
        "combine: an outer term is 2 x 4 F32 and y is 2 x 3 F32");
    refused(
        () -> Mixing.combine(Expression.outer(matrix(3, 3, DType.F32)), y),
        "combine: an outer term is 3 x 3 F32 and y is 2 x 3 F32");
    refused(
        () -> Mixing.combine(Expression.inner(matrix(3, 3, DType.F32)), y),
        "combine: inner terms have 3 rows and y is 2 x 3 F32");
    refused(
        () -> Mixing.combine(Expression.inner(x).plusInner(matrix(3, 3, DType.F32)), y),
        "combine: inner terms have 2 and 3 rows");
    refused(
        () -> Mixing.combine(Expression.inner(matrix(2, 3, DType.F64)), y),
        "combine: an inner term is 2 x 3 F64, wider than y");
    refused(() -> Expression.inner(matrix(2, 3, DType.I32)), "I32");
    refused(
        () -> Expression.inner(1, matrix(1, 3, DType.F64), x),
        "must be 1 x 2 F64 and are 1 x 3 F64");
    refused(() -> Expression.inner(1, kept(x.row(0)), x), "must be 1 x 2 F64 and are 1 x 3 F32");
    refused(
        () -> Mixing.combine(Expression.inner(x), matrix(2, 3, DType.I32)),
        "combine: y is 2 x 3 I32 and must be floating-point");
    refused(() -> Mixing.combine(Expression.inner(x).withMessageType(DType.F64), y), "F64");
    refused(() -> Expression.inner(x).withMessageType(DType.I32), "I32");
  }

  @Test
  void aFifthTerm() {
    Expression four = Expression.inner(x).plusInner(x).plusInner(x).plusInner(x);
    refused(() -> four.plusInner(x), "at most 4 inner terms");
    assertEquals(4, four.innerTerms().size());
    assertDoesNotThrow(() -> four.plusOuter(x));
  }

  @Test
  void weightsThatDoNotFit() {
    refused(
        () -> Mixing.mix(half, Expression.inner(matrix(3, 3, DType.F32)), y),
        "mix: the mixing matrix has 2 columns and there are 3 messages (3 inner rows)");
    refused(
        () -> Mixing.mix(half, Expression.inner(x).withHalo(matrix(1, 3, DType.F32)), y),
        "there are 3 messages (2 inner rows and 1 of the halo)");
    refused(
        () -> Mixing.mix(half, Expression.inner(x), matrix(3, 3, DType.F32)),
        "mix: the mixing matrix writes 2 rows and y has 3");
    refused(() -> Mixing.mix(half, Expression.outer(x), y), "mix: ", "use combine");
    refused(
        () -> Mixing.combine(Expression.inner(x).withHalo(matrix(1, 3, DType.F32)), y),
        "combine: without a mixing matrix there is no halo");
    try (MixingWeights wide = MixingWeights.dense(queue, 2, 3, new double[6])) {
      refused(
          () -> Mixing.mix(wide, Expression.inner(x).withHalo(matrix(1, 3, DType.F16)), y),
          "mix: the halo is 1 x 3 F16 and messages are F32");
    }
    refused(
        () -> Mixing.mix(half, Expression.inner(x), y, matrix(1, 3, DType.I32)),
        "mix: flags is 1 x 3 I32 and must be 1 x 2 I32");
  }

  @Test
  void mixingInPlaceUnlessPairwise() {
    refused(() -> Mixing.mix(half, Expression.inner(x), x), "mix: y (2 x 3 F32)", "overlap");
    try (DeviceMatrix left = x.columns(0, 2);
        DeviceMatrix right = x.columns(1, 3)) {
      refused(
          () -> Mixing.combine(Expression.inner(right), left), "overlap without being the same");
    }
    try (MixingWeights pair =
        MixingWeights.sparse(
            queue, 2, 2, new long[] {0, 2, 4}, new int[] {0, 1, 0, 1}, new double[] {1, 0, 0, 1})) {
      assertTrue(pair.isPairwise());
      assertDoesNotThrow(() -> Mixing.mix(pair, Expression.inner(x), x));
    }
  }

  @Test
  void arraysThatAreNoMixingMatrix() {
    refused(() -> sparse(2, 2, new long[] {0, 1}, 0), "2 rows need 3 row offsets");
    refused(() -> sparse(1, 2, new long[] {0, 2}, 0), "run from 0 to 2, with 1 columns");
    refused(() -> sparse(2, 2, new long[] {0, 2, 1}, 0), "rowOffsets[2] is 1");
    refused(() -> sparse(1, 2, new long[] {0, 1}, 2), "columns[0] is 2, not in [0, 2)");
    refused(() -> sparse(-1, 2, new long[0]), "-1 x 2");
    refused(
        () ->
            MixingWeights.sparse(
                queue, 1, 1, new long[] {0, 1}, new int[1], new double[] {Double.NaN}),
        "sparse: the weight of row 0 and column 0 is nan");
    refused(() -> scattered(0, 0), "outputRows[1] is 0 for the second time");
    refused(() -> scattered(0, -1), "outputRows[1] is -1");
    refused(() -> scattered(3), "2 rows need as many output rows and there are 1");
    refused(() -> MixingWeights.dense(queue, 2, 2, new double[3]), "has 4 weights and the array 3");
    refused(() -> MixingWeights.dense(queue, 5000, 1, new double[5000]), "5000 x 1", "sparse");
  }

  private MixingWeights sparse(long rows, long cols, long[] offsets, int... columns) {
    return MixingWeights.sparse(queue, rows, cols, offsets, columns, new double[columns.length]);
  }

  private MixingWeights scattered(int... outputRows) {
    return MixingWeights.sparse(
        queue, 2, 1, new long[] {0, 1, 2}, new int[2], new double[2], outputRows);
  }

  @Test
  void scatteredRowsNeedRoom() {
    try (MixingWeights w = scattered(0, 2)) {
      DeviceMatrix one = matrix(1, 3, DType.F32);
      refused(() -> Mixing.mix(w, Expression.inner(one), y), "writes 3 rows and y has 2");
      assertDoesNotThrow(() -> Mixing.mix(w, Expression.inner(one), matrix(4, 3, DType.F32)));
    }
  }

  @Test
  void reductionsThatDoNotFit() {
    refused(() -> Reduction.rows(Reduction.Kind.DOT, x, row), "DOT takes two matrices");
    refused(() -> Reduction.rows(Reduction.Kind.SUM, x, x, row), "SUM takes one matrix, not two");
    refused(
        () -> Reduction.rows(Reduction.Kind.SUM, x, matrix(1, 3, DType.F64)),
        "rows: out is 1 x 3 F64 and must be 1 x 2 F64");
    refused(
        () -> Reduction.rows(Reduction.Kind.DOT, x, matrix(2, 3, DType.F64), row),
        "rows: b is 2 x 3 F64 and must be 2 x 3 F32");
    refused(
        () -> Reduction.rows(Reduction.Kind.SUM, matrix(2, 3, DType.I32), row),
        "2 x 3 I32 and must be floating-point");
    refused(
        () -> Reduction.segments(Reduction.Kind.SUM, x, new long[] {0, 2, 1}, row),
        "bounds[2] is 1");
    refused(() -> Reduction.segments(Reduction.Kind.SUM, x, new long[] {0, 4}, row), "[0, 3]");
    refused(() -> Reduction.segments(Reduction.Kind.SUM, x, new long[] {0}, row), "at least 2");
    refused(() -> Reduction.gram(x, row), "gram: out is 1 x 2 F64 and must be 2 x 2 F64");
    refused(
        () -> Reduction.nodes(new int[] {0, 2, -1}, x, 1, kept(y.row(0))),
        "program[1] is 2",
        "0 to 1");
    refused(() -> Reduction.nodes(new int[] {0, -1}, x, 1, kept(y.row(0))), "program[1] adds");
    refused(() -> Reduction.nodes(new int[] {0, 1}, x, 1, kept(y.row(0))), "leaves 2 results");
    refused(
        () ->
            Reduction.nodes(
                new int[] {0}, x, Optional.empty(), 1, Optional.empty(), Optional.empty()),
        "neither out nor distances");
  }

  @Test
  void sparseMessagesThatDoNotFit() {
    Optional<DeviceMatrix> none = Optional.empty();
    DeviceMatrix sent = matrix(2, 4, DType.I32);
    refused(() -> Sparsify.top(x, none, none, 4, 0, sent, none), "top: k is 4", "3 columns");
    refused(() -> Sparsify.top(x, none, none, -1, 0, sent, none), "top: k is -1");
    refused(() -> Sparsify.top(x, none, none, 3, 2, sent, none), "top: k is 3", "2 columns");
    refused(
        () -> Sparsify.top(x, none, none, 3, 0, sent, none),
        "top: messages is 2 x 4 I32 and must be 2 x at least 6 I32");
    refused(
        () -> Sparsify.top(x, Optional.of(row), none, 1, 0, sent, none),
        "top: minus is 1 x 2 F64 and must be 2 x 3 F32");
    refused(
        () -> Sparsify.top(x, none, Optional.of(x), 1, 0, sent, none), "top: residual", "overlap");
    refused(
        () -> Sparsify.top(x, none, none, 1, 0, sent, Optional.of(matrix(1, 3, DType.I32))),
        "top: flags is 1 x 3 I32 and must be 1 x 2 I32");
    refused(() -> Sparsify.above(x, none, none, row, 4, sent, none), "above: the capacity is 4");
    refused(() -> Sparsify.above(x, none, none, row, 2, sent, none), "must be 2 x at least 5 I32");
    Draw draw = Draw.ofSample(1, 0, 0);
    refused(
        () -> Sparsify.sampleThresholds(x, none, none, draw, 1, 4, row),
        "sampleThresholds: 4 samples are no sample of 3 columns");
    refused(
        () -> Sparsify.sampleThresholds(x, none, none, draw, 0, 2, row),
        "sampleThresholds: k is 0",
        "2th largest");
    refused(
        () -> Sparsify.sampleThresholds(x, none, none, Draw.of(x), 1, 2, row),
        "sampleThresholds: the draw has uniforms");
    refused(
        () ->
            Sparsify.sampleThresholds(
                x, none, none, Draw.ofSample(1, 0, Integer.MAX_VALUE), 1, 2, row),
        "2 rows from node 2147483647 on lead beyond");
    refused(
        () -> Sparsify.sampleThresholds(x, none, none, draw, 1, 2, sent),
        "sampleThresholds: thresholds is 2 x 4 I32 and must be 1 x 2 F64");
    refused(
        () -> Sparsify.at(x, none, none, matrix(3, 1, DType.I32), 1, sent, none),
        "at: indices is 3 x 1 I32 and there are 2 rows of x");
    refused(
        () -> Sparsify.accumulate(Optional.empty(), Sparsify.Form.AT, 1, sent, none, true, y),
        "accumulateAt");
    refused(
        () -> Sparsify.accumulate(Optional.empty(), Sparsify.Form.TOP, 3, sent, none, true, y),
        "accumulate: messages is 2 x 4 I32 and must have rows of at least 6 I32");
    refused(
        () -> Sparsify.accumulate(Optional.empty(), Sparsify.Form.TOP, 4, sent, none, true, y),
        "messages of 4 entries do not fit y, which is 2 x 3 F32");
    refused(
        () ->
            Sparsify.accumulate(
                Optional.of(half), Sparsify.Form.TOP, 1, sent, Optional.of(sent), true, y),
        "the mixing matrix has 2 columns and there are 4 messages");
    assertThrows(
        UnsupportedOperationException.class,
        () -> Sparsify.accumulate(Optional.of(half), Sparsify.Form.TOP, 1, sent, none, true, y));
    assertThrows(
        UnsupportedOperationException.class,
        () -> Sparsify.top(row, none, none, 1, 0, matrix(1, 2, DType.I32), none));
    assertThrows(
        UnsupportedOperationException.class,
        () -> Sparsify.sampleThresholds(row, none, none, draw, 1, 1, row));
    assertThrows(
        UnsupportedOperationException.class,
        () -> Sparsify.accumulate(Optional.empty(), Sparsify.Form.TOP, 1, sent, none, true, row));
  }

  @Test
  void codesThatDoNotFit() {
    refused(
        () -> Code.qsgd(3, 1, Code.Norm.TWO, 0),
        "a code QSGD with bits 3 is impossible; use 2, 4 or 8");
    refused(
        () -> Code.qsgd(4, 8, Code.Norm.TWO, 0),
        "a code QSGD with levels 8 is impossible; use 1 to 7");
    refused(() -> Code.qsgd(2, 0, Code.Norm.MAX, 0), "QSGD with levels 0", "use 1 to 1");
    refused(() -> Code.absmax(2, false, 0), "ABSMAX with bits 2 is impossible; use 4 or 8");
    refused(() -> Code.absmax(8, false, -5), "ABSMAX with block -5", "use 0 or more");
    refused(() -> Code.reduced(Code.Kind.SIGN, true), "SIGN with stochastic true", "use false");
    refused(
        () -> new Code(Code.Kind.BF16, 16, 0, Code.Norm.TWO, false, 4),
        "BF16 with block 4",
        "no scales");
    refused(
        () -> new Code(Code.Kind.AFFINE, 8, 3, Code.Norm.TWO, false, 0),
        "AFFINE with levels 3",
        "use 0 to 0");
    refused(
        () -> new Code(Code.Kind.ABSMAX, 8, 0, Code.Norm.MAX, false, 0),
        "ABSMAX with norm MAX",
        "only QSGD has one");
    refused(() -> Code.sign().words(-1), "a row of -1 columns");
  }

  @Test
  void codedMessagesThatDoNotFit() {
    Optional<DeviceMatrix> none = Optional.empty();
    Optional<Draw> draw = Optional.of(Draw.of(1, 0, 0));
    Code int8 = Code.absmax(8, false, 2);
    Code random = Code.qsgd(4, 7, Code.Norm.TWO, 0);
    DeviceMatrix sent = matrix(2, 3, DType.I32);
    refused(
        () -> Quantize.quantize(int8, Optional.empty(), x, matrix(2, 2, DType.I32)),
        "quantize: messages is 2 x 2 I32 and must be 2 x 3 I32 or wider");
    refused(
        () -> Quantize.quantize(int8, Optional.empty(), matrix(2, 3, DType.F64), sent),
        "quantize: x is 2 x 3 F64 and must be 2 x 3 F32");
    refused(
        () -> Quantize.quantize(random, Optional.empty(), x, sent),
        "quantize: QSGD rounds at random and no draw is given");
    refused(
        () -> Quantize.quantize(random, Optional.of(Draw.of(1, 0, Integer.MAX_VALUE)), x, sent),
        "quantize: 2 rows from node 2147483647 on lead beyond node 2^31 - 1");
    refused(
        () -> Quantize.quantize(random, Optional.of(Draw.of(row)), x, sent),
        "quantize: uniforms is 1 x 2 F64 and must be 2 x 3 F32");
    refused(() -> Draw.of(1, -1, 0), "round -1");
    refused(() -> Draw.of(1, 1L << 40, 0), "round 1099511627776");
    refused(() -> Draw.of(1, 0, -1), "node -1");
    refused(
        () -> Quantize.quantize(random, draw, x, Optional.of(row), none, sent, none),
        "quantize: minus is 1 x 2 F64 and must be 2 x 3 F32");
    refused(
        () -> Quantize.quantize(random, draw, x, none, Optional.of(x), sent, none),
        "quantize: residual",
        "overlap");
    refused(
        () ->
            Quantize.quantize(
                random, draw, x, none, none, sent, Optional.of(matrix(1, 3, DType.I32))),
        "quantize: flags is 1 x 3 I32 and must be 1 x 2 I32");
    refused(
        () -> Quantize.accumulate(int8, matrix(2, 2, DType.I32), y),
        "accumulate: messages is 2 x 2 I32 and must be 2 x 3 I32 or wider");
    refused(
        () -> Quantize.accumulate(int8, sent, row),
        "accumulate: y is 1 x 2 F64 and must be 1 x 2 F32");
    refused(
        () -> Quantize.accumulate(int8, matrix(3, 3, DType.I32), y),
        "without weights there is no halo",
        "there are 3 for 2 x 3 F32");
    refused(
        () -> Quantize.accumulate(Optional.empty(), int8, sent, Optional.of(sent), true, y),
        "without weights there is no halo");
    refused(
        () -> Quantize.accumulate(Optional.of(half), int8, sent, Optional.of(sent), true, y),
        "accumulate: the mixing matrix has 2 columns and there are 4 messages");
    assertThrows(
        UnsupportedOperationException.class,
        () -> Quantize.accumulate(Optional.of(half), int8, sent, none, true, y));
    DeviceMatrix votes = matrix(3, 1, DType.I32);
    refused(
        () -> Quantize.majority(votes, 33, matrix(1, 2, DType.I32)),
        "majority: messages is 3 x 1 I32 and must be 3 x 2 I32 or wider");
    refused(
        () -> Quantize.majority(votes, 32, votes),
        "majority: out is 3 x 1 I32 and must be 1 x 1 I32 or wider");
    refused(() -> Quantize.majority(votes, -1, votes), "-1 columns");
    refused(
        () -> Quantize.majority(votes, 32, kept(votes.row(1))),
        "majority: messages (3 x 1 I32) and out (1 x 1 I32) overlap");
  }

  @Test
  void tensorsAndFactorsThatDoNotFit() {
    Optional<DeviceMatrix> none = Optional.empty();
    refused(
        () -> new LowRank.Shape(0, 2, 3, 3),
        "a tensor of 2 x 3 with rank 3; give a rank from 1 to 64");
    LowRank.Shape tensor = new LowRank.Shape(0, 1, 3, 1);
    refused(() -> LowRank.of(List.of(tensor, tensor)), "column 0");
    LowRank lowRank = LowRank.of(List.of(tensor));
    DeviceMatrix p = matrix(2, 1, DType.F32);
    DeviceMatrix q = matrix(2, 3, DType.F32);
    refused(
        () -> lowRank.left(x, none, none, matrix(2, 2, DType.F32), p, none), "left: ", "2 x 2 F32");
    refused(() -> lowRank.left(x, none, none, q, q, none), "left: ", "2 x 3 F32");
    refused(
        () -> lowRank.left(x, Optional.of(row), none, q, p, none),
        "left: minus is 1 x 2 F64 and must be 2 x 3 F32");
    refused(
        () -> lowRank.left(x, none, Optional.of(row), q, p, none),
        "left: residual is 1 x 2 F64 and must be 2 x 3 F32");
    refused(
        () -> lowRank.left(x, none, none, q, p, Optional.of(matrix(1, 3, DType.I32))),
        "left: flags is 1 x 3 I32 and must be 1 x 2 I32");
    refused(() -> lowRank.right(x, none, none, p, p), "right: ", "2 x 1 F32");
    refused(() -> lowRank.orthonormaliseLeft(row), "1 x 2 F64");
    refused(() -> lowRank.orthonormaliseRight(p), "2 x 1 F32");
    refused(() -> lowRank.residual(x, none, none, p, q, row), "residual: ", "1 x 2 F64");
    refused(
        () -> lowRank.accumulate(p, matrix(3, 3, DType.F32), true, y), "accumulate: q is 3 x 3");
    refused(
        () -> lowRank.accumulate(p, q, true, row),
        "accumulate: y is 1 x 2 F64 and must be F32 with 3 columns or more");
    refused(
        () -> lowRank.accumulate(half, p, q, Optional.of(p), Optional.of(q), true, y),
        "accumulate: the halo of p is 2 x 1 F32 and must be F32 with 0 rows");
    assertThrows(
        UnsupportedOperationException.class,
        () -> lowRank.accumulate(half, p, q, none, none, true, y));
  }

  @Test
  void noiseThatDoesNotFit() {
    NoiseField two =
        NoiseField.shared(NoiseField.Distribution.NORMAL, Stream.PERTURBATION, 1, 2, 0, 2);
    NoiseField three =
        NoiseField.shared(NoiseField.Distribution.NORMAL, Stream.PERTURBATION, 1, 2, 0, 3);
    refused(() -> Noise.draw(three, 1, y), "draw: the field has 3 rows and y is 2 x 3 F32");
    refused(() -> Noise.add(two, Double.NaN, y), "add: scale is NaN");
    refused(
        () -> Noise.sum(half, three, 1, true, y),
        "sum: the matrix has 2 columns and the field 3 rows");
    refused(
        () -> Noise.sum(half, two, 1, true, matrix(3, 3, DType.F32)),
        "the mixing matrix writes 2 rows and y has 3");
    refused(
        () -> Noise.draw(two, 1, matrix(2, 3, DType.BF16)),
        "draw: y is 2 x 3 BF16 and must be F32 or F64");
  }

  @Test
  void batchesThatLeaveTheirBase() {
    refused(() -> Batch.of(x, 0, 2, 2, 1, 0), "rows at least cols apart");
    refused(() -> Batch.of(x, 5, 1, 2, 2, 0), "leaves its base 2 x 3 F32");
    refused(() -> Batch.of(x, -1, 1, 1, 1, 0), "at least 0");
    Batch one = Batch.of(x, 0, 1, 3, 3, 3);
    Batch square = Batch.of(matrix(3, 3, DType.F32));
    refused(
        () -> Product.multiply(3, 1, one, false, square, false, 0, Batch.of(y, 0, 1, 3, 3, 0)),
        "multiply: an argument",
        "leaves its base 2 x 3 F32 with 3 batches");
    refused(
        () -> Product.multiply(x, false, matrix(4, 3, DType.F32), false, y),
        "multiply: b is 4 x 3 and must be 3 x 3");
    refused(
        () -> Product.multiply(x, false, matrix(3, 3, DType.F64), false, y),
        "an argument is F64 and the result F32");
    refused(() -> Product.multiply(x, true, y, false, matrix(3, 2, DType.F32)), "must be 2 x 2");
    refused(
        () ->
            Product.softmaxCrossEntropy(
                1,
                Batch.of(x),
                matrix(1, 3, DType.I32),
                Optional.empty(),
                Optional.empty(),
                Optional.empty()),
        "labels is 1 x 3 I32 and must be 1 x 2 I32");
  }

  @Test
  void factorizationsThatDoNotFit() {
    Batch wide = Batch.of(x);
    Batch result = Batch.of(y);
    Batch square = Batch.of(matrix(3, 3, DType.F32));
    Batch small = Batch.of(y, 0, 1, 3, 3, 0);
    Optional<DeviceMatrix> none = Optional.empty();
    DeviceMatrix count = matrix(1, 1, DType.I32);
    refused(
        () -> Factorization.eigen(1, wide, small, Optional.empty(), none),
        "eigen: a is 2 x 3; give square matrices");
    refused(
        () -> Factorization.eigen(1, square, result, Optional.empty(), none),
        "eigen: values is 2 x 3 and must be 1 x 3");
    refused(
        () -> Factorization.eigen(1, square, small, Optional.of(wide), none),
        "eigen: vectors is 2 x 3 and must be 3 x 3");
    refused(
        () -> Factorization.eigen(1, square, small, Optional.empty(), Optional.of(row)),
        "eigen: sweeps is 1 x 2 F64 and must be 1 x 1 I32");
    refused(
        () -> Factorization.eigen(-1, square, small, Optional.empty(), none),
        "eigen: -1 batches are impossible");
    refused(
        () -> Factorization.eigen(2, square, Batch.of(y, 0, 1, 3, 3, 9), Optional.empty(), none),
        "eigen: ",
        "leaves its base 2 x 3 F32 with 2 batches");
    refused(
        () -> Factorization.qr(1, wide, result, Optional.empty()),
        "qr: a is 2 x 3; give at least as many rows as columns, or its transpose");
    refused(
        () -> Factorization.qr(1, square, result, Optional.empty()),
        "qr: q is 2 x 3 and must be 3 x 3");
    refused(
        () -> Factorization.qr(1, square, square, Optional.of(result)),
        "qr: r is 2 x 3 and must be 3 x 3");
    refused(
        () -> Factorization.polar(1, wide, result, none, none),
        "polar: y is 2 x 3; give at least as many rows as columns");
    refused(
        () -> Factorization.polar(1, square, result, none, none),
        "polar: x is 2 x 3 and must be 3 x 3");
    refused(
        () -> Factorization.polar(1, square, square, Optional.of(count), none),
        "polar: distance is 1 x 1 I32 and must be 1 x 1 F64");
    refused(
        () -> Factorization.polar(1, square, square, none, Optional.of(row)),
        "polar: rank is 1 x 2 F64 and must be 1 x 1 I32");
    refused(
        () -> Factorization.polar(1, Batch.of(matrix(3, 3, DType.F64)), square, none, none),
        "polar: x is F32 and what it is made from F64; they must be of one dtype");
    refused(
        () -> Factorization.distance(1, square, row),
        "distance: distance is 1 x 2 F64 and must be 1 x 1 F64");
    refused(
        () -> Factorization.tangent(1, square, wide, square),
        "tangent: z is 2 x 3 and must be 3 x 3");
    refused(
        () -> Factorization.tangent(1, square, square, result),
        "tangent: out is 2 x 3 and must be 3 x 3");
    refused(
        () -> Factorization.cholesky(1, wide, result, count),
        "cholesky: a is 2 x 3; give square matrices");
    refused(
        () -> Factorization.cholesky(1, square, square, row),
        "cholesky: failed is 1 x 2 F64 and must be 1 x 1 I32");
    refused(
        () -> Factorization.choleskySolve(1, square, wide, result),
        "choleskySolve: b is 2 x 3 and must be 3 x 3");
    refused(
        () -> Factorization.choleskySolve(1, square, square, result),
        "choleskySolve: x is 2 x 3 and must be 3 x 3");
    refused(
        () -> Factorization.choleskyUpdate(1, square, Batch.of(matrix(2, 2, DType.F32)), count),
        "choleskyUpdate: v is 2 x 2 and must be 2 x 3");
    refused(
        () -> Factorization.choleskyDowndate(1, square, wide, row),
        "choleskyDowndate: failed is 1 x 2 F64 and must be 1 x 1 I32");
    int most = Factorization.MAX_SIDE;
    Batch large = Batch.of(matrix(most + 1, most + 1, DType.F32));
    refused(
        () -> Factorization.qr(1, large, large, Optional.empty()),
        "qr: a, ",
        "has more than %d columns".formatted(most));
    refused(() -> Factorization.cholesky(1, large, large, count), "cholesky: a, ", "more than");
  }

  @Test
  void factorsOverOtherArguments() {
    DeviceMatrix base = matrix(4, 3, DType.F32);
    Batch a = Batch.of(base, 0, 3, 3, 3, 0);
    Batch shifted = Batch.of(base, 3, 3, 3, 3, 0);
    DeviceMatrix count = matrix(1, 1, DType.I32);
    Optional<DeviceMatrix> none = Optional.empty();
    refused(() -> Factorization.qr(1, a, shifted, Optional.empty()), "qr: ", "q and a overlap");
    refused(() -> Factorization.qr(1, a, a, Optional.of(a)), "qr: ", "r and a overlap");
    refused(() -> Factorization.polar(1, a, shifted, none, none), "polar: ", "x and y overlap");
    refused(() -> Factorization.tangent(1, a, a, shifted), "tangent: ", "out and x overlap");
    refused(() -> Factorization.cholesky(1, a, shifted, count), "cholesky: ", "l and a overlap");
    refused(() -> Factorization.choleskySolve(1, a, a, a), "choleskySolve: ", "x and l overlap");
    refused(
        () -> Factorization.choleskyUpdate(1, a, shifted, count),
        "choleskyUpdate: ",
        "l and v overlap");
    refused(
        () ->
            Factorization.eigen(
                1, a, Batch.of(base, 3, 1, 3, 3, 0), Optional.empty(), Optional.empty()),
        "eigen: ",
        "values and a overlap");
  }

  @Test
  void aProductOverItsOwnArgument() {
    try (DeviceMatrix a = matrix(3, 3, DType.F32)) {
      refused(() -> Product.multiply(a, false, a, false, a), "multiply: ", "overlap");
      refused(
          () ->
              Product.multiplySymmetric(
                  1, 1, Batch.of(a), false, 0, Optional.empty(), 0, Batch.of(a)),
          "multiplySymmetric: ",
          "c and a overlap");
    }
  }

  @Test
  void gathersAndTwinsThatDoNotFit() {
    refused(
        () -> Memory.gatherRows(x, matrix(1, 3, DType.I32), y),
        "gatherRows: index is 1 x 3 I32 and must be 1 x 2 I32");
    try (DeviceMatrix index = DeviceMatrix.rowOf(queue, 0, 2)) {
      refused(
          () -> {
            // Where it is told late, the rows before have been picked.
            Memory.gatherRows(x, index, matrix(2, 3, DType.F32));
            queue.sync();
          },
          "gather",
          "2");
    }
    refused(() -> Twin.run(List.of(), List.of(), false, Optional.empty()), "nothing to read");
    refused(() -> Twin.run(List.of(x), List.of(), false, Optional.empty()), "needs a sink");
    refused(
        () -> Twin.run(List.of(x), List.of(row), false, Optional.empty()),
        "twin: a stream is 2 x 3 F32 and must be 1 x 2 F32");
  }

  @Test
  void aClosedStep() {
    Step step = new Step(StepRule.Sgd.withDefaults(), StepOptions.none(), x);
    step.close();
    assertThrows(IllegalStateException.class, () -> step.apply(x, y));
  }
}
