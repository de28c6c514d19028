package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * What would corrupt memory, native code refuses by itself: descriptors that lie, lengths that
 * overflow, indices that lead outside. A check that is missing shows as a crash between the guard
 * pages, or as a byte that changed.
 */
class NativeChecksTest {
  private static final MemorySegment NULL = MemorySegment.NULL;

  private Rig.Session session;

  /** A native operation on descriptors that may lie. */
  private interface Operation {
    int call(
        NativeCalls n, Abi abi, MemorySegment queue, List<MemorySegment> m, MemorySegment call);
  }

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
    return session.matrix(t, Samples.matrix(Samples.Kind.INTEGERS, t, rows, cols, 3), cols);
  }

  private static void set(MemorySegment struct, String field, long value) {
    struct.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.MATRIX, field), value);
  }

  /** Ways to lie about a matrix. */
  private static List<Consumer<MemorySegment>> lies() {
    List<Consumer<MemorySegment>> lies = new ArrayList<>();
    lies.add(d -> d.set(ValueLayout.ADDRESS, Abi.offset(Abi.MATRIX, "memory"), NULL));
    for (String field : List.of("offset", "rows", "cols")) {
      lies.add(d -> set(d, field, -1));
      lies.add(d -> set(d, field, 1L << 40));
      lies.add(d -> set(d, field, Long.MAX_VALUE));
      lies.add(d -> set(d, field, Long.MIN_VALUE));
    }
    lies.add(d -> set(d, "offset", 1));
    lies.add(
        d -> {
          set(d, "rows", Long.MAX_VALUE);
          set(d, "cols", Long.MAX_VALUE);
          set(d, "stride", Long.MAX_VALUE);
        });
    lies.add(
        d -> {
          // The last product overflows to a small number of bytes.
          set(d, "rows", (1L << 61) + 1);
          set(d, "cols", 1);
          set(d, "stride", 8);
        });
    for (int dtype : new int[] {-1, 5, 99, Integer.MIN_VALUE}) {
      lies.add(d -> d.set(ValueLayout.JAVA_INT, Abi.offset(Abi.MATRIX, "dtype"), dtype));
    }
    return lies;
  }

  /** Each matrix in turn is missing or lied about. */
  private void refusesLies(String name, List<DeviceMatrix> matrices, Operation operation) {
    List<double[]> before = matrices.stream().map(DeviceMatrix::toDoubles).toList();
    for (int at = 0; at < matrices.size(); at++) {
      List<Consumer<MemorySegment>> lies = lies();
      if (matrices.get(at).rows() > 1) {
        lies.add(d -> set(d, "stride", 0));
        lies.add(d -> set(d, "stride", -1));
        lies.add(d -> set(d, "stride", Long.MAX_VALUE));
      }
      for (int lie = -1; lie < lies.size(); lie++) {
        int which = at;
        int told = lie;
        int status =
            NativeCalls.status(
                session,
                (n, abi, q, call) -> {
                  List<MemorySegment> m = new ArrayList<>();
                  matrices.forEach(matrix -> m.add(n.copy(matrix)));
                  if (told < 0) {
                    m.set(which, NULL);
                  } else {
                    lies.get(told).accept(m.get(which));
                  }
                  return operation.call(n, abi, q, m, call);
                });
        String what = name + ", matrix " + at + ", lie " + lie;
        assertTrue(status == Abi.INVALID || status == Abi.UNSUPPORTED, what + " gave " + status);
        assertTrue(NativeCalls.error(session).startsWith("kith_"), what);
      }
    }
    for (int i = 0; i < before.size(); i++) {
      assertArrayEquals(before.get(i), matrices.get(i).toDoubles(), name);
    }
  }

  @Test
  void matricesThatLie() {
    DeviceMatrix a = m(DType.F32, 3, 5);
    DeviceMatrix b = m(DType.F32, 3, 5);
    DeviceMatrix c = m(DType.F32, 3, 5);
    refusesLies("fill", List.of(a), (n, abi, q, m, call) -> abi.fill(q, m.get(0), 1, call));
    refusesLies(
        "convert", List.of(a, b), (n, abi, q, m, call) -> abi.convert(q, m.get(0), m.get(1), call));
    refusesLies(
        "upload", List.of(a), (n, abi, q, m, call) -> abi.upload(q, n.host(64), 5, m.get(0), call));
    refusesLies(
        "download",
        List.of(a),
        (n, abi, q, m, call) -> abi.download(q, m.get(0), n.host(64), 5, call));
    refusesLies(
        "gather",
        List.of(a, session.matrix(DType.I32, new double[1][3], 3), b),
        (n, abi, q, m, call) -> abi.gatherRows(q, m.get(0), m.get(1), m.get(2), call));
    refusesLies(
        "mix",
        List.of(a, b, c, m(DType.F64, 1, 3), session.matrix(DType.I32, new double[1][3], 3)),
        (n, abi, q, m, call) -> {
          MemorySegment e = n.expression(Abi.number(DType.F32), List.of(a), List.of(b));
          long inner = Abi.offset(Abi.EXPRESSION, "inner");
          long outer = Abi.offset(Abi.EXPRESSION, "outer");
          long matrix = Abi.offset(Abi.TERM, "matrix");
          long perRow = Abi.offset(Abi.TERM, "row_coefficients");
          e.set(ValueLayout.ADDRESS, inner + matrix, m.get(0));
          e.set(ValueLayout.ADDRESS, outer + matrix, m.get(1));
          e.set(ValueLayout.ADDRESS, inner + perRow, present(m.get(3), m.get(0)));
          return abi.mix(q, NULL, e, m.get(2), present(m.get(4), m.get(0)), call);
        });
    DeviceMatrix sums = m(DType.F64, 1, 3);
    refusesLies(
        "rows",
        List.of(a, b, sums),
        (n, abi, q, m, call) ->
            abi.reduceRows(q, Abi.number(Reduction.Kind.DOT), m.get(0), m.get(1), m.get(2), call));
    refusesLies(
        "segments",
        List.of(a, b, m(DType.F64, 3, 1)),
        (n, abi, q, m, call) ->
            abi.reduceSegments(
                q,
                Abi.number(Reduction.Kind.DOT),
                m.get(0),
                m.get(1),
                n.longs(0, 5),
                1,
                m.get(2),
                call));
    refusesLies(
        "gram",
        List.of(a, m(DType.F64, 3, 3)),
        (n, abi, q, m, call) -> abi.gram(q, m.get(0), NULL, m.get(1), call));
    refusesLies(
        "nodes",
        List.of(a, b, m(DType.F32, 1, 5), sums),
        (n, abi, q, m, call) ->
            abi.reduceNodes(
                q,
                m.get(0),
                m.get(1),
                n.ints(0, 3, -1),
                3,
                2,
                present(m.get(2), m.get(0)),
                present(m.get(3), m.get(0)),
                call));
    refusesLies(
        "step",
        List.of(a, b, c, m(DType.F32, 3, 5), m(DType.F64, 3, 1)),
        (n, abi, q, m, call) -> {
          MemorySegment step = n.step();
          step.set(ValueLayout.JAVA_INT, Abi.offset(Abi.STEP, "rule"), Abi.ADAM);
          step.set(
              ValueLayout.ADDRESS, Abi.offset(Abi.STEP, "row_scale"), present(m.get(4), m.get(0)));
          return abi.applyStep(q, step, m.get(0), m.get(1), m.get(2), m.get(3), call);
        });
    sparseMatricesThatLie();
    Code random = Code.absmax(8, true, 0);
    refusesLies(
        "quantize",
        List.of(
            a,
            b,
            c,
            m(DType.I32, 3, 3),
            session.matrix(DType.I32, new double[1][3], 3),
            m(DType.F32, 3, 5)),
        (n, abi, q, m, call) ->
            abi.quantize(
                q,
                n.code(random),
                n.draw(present(m.get(5), m.get(3))),
                m.get(0),
                present(m.get(1), m.get(3)),
                present(m.get(2), m.get(3)),
                m.get(3),
                present(m.get(4), m.get(0)),
                call));
    refusesLies(
        "quantize accumulate",
        List.of(m(DType.I32, 3, 3), a),
        (n, abi, q, m, call) ->
            abi.quantizeAccumulate(q, NULL, n.code(random), m.get(0), NULL, 1, m.get(1), call));
    try (MixingWeights w =
        MixingWeights.sparse(
            session.queue(), 3, 6, new long[] {0, 1, 2, 3}, new int[] {0, 1, 5}, new double[3])) {
      refusesLies(
          "quantize accumulate with a halo",
          List.of(m(DType.I32, 3, 3), m(DType.I32, 3, 3), a),
          (n, abi, q, m, call) ->
              abi.quantizeAccumulate(
                  q,
                  w.behind().handle(),
                  n.code(random),
                  m.get(0),
                  present(m.get(1), m.get(2)),
                  1,
                  m.get(2),
                  call));
    }
    refusesLies(
        "majority",
        List.of(m(DType.I32, 3, 3), session.matrix(DType.I32, new double[1][3], 3)),
        (n, abi, q, m, call) -> abi.signMajority(q, m.get(0), 70, m.get(1), call));
    DeviceMatrix lowRankP = m(DType.F32, 3, 2);
    DeviceMatrix lowRankQ = m(DType.F32, 3, 2);
    refusesLies(
        "lowrank left",
        List.of(a, b, c, lowRankQ, lowRankP, session.matrix(DType.I32, new double[1][3], 3)),
        (n, abi, q, m, call) ->
            abi.lowrankLeft(
                q,
                n.longs(0, 2, 2, 1),
                1,
                m.get(0),
                present(m.get(1), m.get(3)),
                present(m.get(2), m.get(3)),
                m.get(3),
                m.get(4),
                present(m.get(5), m.get(0)),
                call));
    refusesLies(
        "lowrank right",
        List.of(a, b, c, lowRankP, lowRankQ),
        (n, abi, q, m, call) ->
            abi.lowrankRight(
                q,
                n.longs(0, 2, 2, 1),
                1,
                m.get(0),
                present(m.get(1), m.get(3)),
                present(m.get(2), m.get(3)),
                m.get(3),
                m.get(4),
                call));
    refusesLies(
        "lowrank orthonormalise",
        List.of(lowRankP),
        (n, abi, q, m, call) ->
            abi.lowrankOrthonormalise(q, n.longs(0, 2, 2, 1), 1, 0, m.get(0), call));
    refusesLies(
        "lowrank residual",
        List.of(a, lowRankP, lowRankQ, b),
        (n, abi, q, m, call) ->
            abi.lowrankResidual(
                q,
                n.longs(0, 2, 2, 1),
                1,
                m.get(0),
                NULL,
                NULL,
                m.get(1),
                m.get(2),
                m.get(3),
                call));
    refusesLies(
        "lowrank accumulate",
        List.of(lowRankP, lowRankQ, a),
        (n, abi, q, m, call) ->
            abi.lowrankAccumulate(
                q,
                NULL,
                n.longs(0, 2, 2, 1),
                1,
                m.get(0),
                m.get(1),
                NULL,
                NULL,
                0,
                m.get(2),
                call));
    refusesLies(
        "noise",
        List.of(a),
        (n, abi, q, m, call) ->
            abi.noise(q, NULL, n.field(NoiseField.Distribution.NORMAL, 3), 1, 1, m.get(0), call));
    curvatureMatricesThatLie();
    refusesLies(
        "twin",
        List.of(a, b),
        (n, abi, q, m, call) -> {
          MemorySegment source = n.pointers(a);
          MemorySegment target = n.pointers(b);
          source.set(ValueLayout.ADDRESS, 0, m.get(0));
          target.set(ValueLayout.ADDRESS, 0, m.get(1));
          return abi.twin(q, source, 1, target, 1, 0, NULL, call);
        });
  }

  private void curvatureMatricesThatLie() {
    List<DeviceMatrix> m = new ArrayList<>();
    for (int i = 0; i < 6; i++) {
      m.add(m(DType.F32, 3, 5));
    }
    DeviceMatrix sums = session.matrix(DType.F64, new double[2][3], 3);
    DeviceMatrix a = session.matrix(DType.F64, new double[1][3], 3);
    DeviceMatrix b = session.matrix(DType.F64, new double[1][3], 3);
    refusesLies(
        "adahessian",
        m.subList(0, 5),
        (n, abi, q, l, call) ->
            abi.curvatureStep(
                q, n.step(), 0, l.get(0), l.get(1), l.get(2), l.get(3), l.get(4), call));
    refusesLies(
        "hutchinson",
        m.subList(0, 2),
        (n, abi, q, l, call) ->
            abi.hutchinson(
                q, n.field(NoiseField.Distribution.RADEMACHER, 3), 0.5, l.get(0), l.get(1), call));
    refusesLies(
        "oasis statistics",
        List.of(m.get(0), m.get(1), m.get(2), m.get(3), m.get(4), m.get(5), sums),
        (n, abi, q, l, call) ->
            abi.oasisStatistics(
                q,
                n.field(NoiseField.Distribution.RADEMACHER, 3),
                0.5,
                1,
                l.get(0),
                l.get(1),
                l.get(2),
                l.get(3),
                l.get(4),
                l.get(5),
                l.get(6),
                call));
    refusesLies(
        "oasis step",
        List.of(a, m.get(0), m.get(1), m.get(2), m.get(3)),
        (n, abi, q, l, call) ->
            abi.oasisStep(
                q,
                1,
                0,
                l.get(0),
                l.get(1),
                l.get(2),
                l.get(3),
                present(l.get(4), l.get(3)),
                call));
    refusesLies(
        "dots",
        List.of(m.get(0), m.get(1), sums),
        (n, abi, q, l, call) -> abi.dots(q, l.get(0), l.get(1), l.get(2), call));
    refusesLies(
        "cg update",
        List.of(a, b, m.get(0), m.get(1), m.get(2), m.get(3), m.get(4)),
        (n, abi, q, l, call) ->
            abi.cgUpdate(
                q, l.get(0), l.get(1), l.get(2), l.get(3), l.get(4), l.get(5), l.get(6), call));
  }

  /** Numbers and probes that kernels of curvature cannot take, and what may not overlap. */
  @Test
  void curvatureThatLies() {
    DeviceMatrix x = m(DType.F32, 3, 5);
    DeviceMatrix y = m(DType.F32, 3, 5);
    DeviceMatrix z = m(DType.F32, 3, 5);
    DeviceMatrix sums = session.matrix(DType.F64, new double[2][3], 3);
    DeviceMatrix eta = session.matrix(DType.F64, new double[1][3], 3);
    for (int rule : new int[] {-1, 3}) {
      invalid(
          Integer.toString(rule),
          (n, abi, q, call) -> {
            MemorySegment step = n.step();
            step.set(ValueLayout.JAVA_INT, Abi.offset(Abi.STEP, "rule"), rule);
            return abi.curvatureStep(
                q, step, 0, n.matrix(x), n.matrix(y), n.matrix(z), NULL, NULL, call);
          });
    }
    invalid(
        "step is NULL",
        (n, abi, q, call) ->
            abi.curvatureStep(q, NULL, 0, n.matrix(x), n.matrix(y), n.matrix(z), NULL, NULL, call));
    invalid(
        "nan",
        (n, abi, q, call) ->
            abi.curvatureStep(
                q, n.step(), Double.NaN, n.matrix(x), n.matrix(y), n.matrix(z), NULL, NULL, call));
    invalid(
        "same memory",
        (n, abi, q, call) -> abi.hutchinson(q, NULL, 0.5, n.matrix(x), n.matrix(x), call));
    invalid(
        "inf",
        (n, abi, q, call) ->
            abi.hutchinson(q, NULL, Double.POSITIVE_INFINITY, n.matrix(x), n.matrix(y), call));
    invalid(
        "2 sources for 3",
        (n, abi, q, call) ->
            abi.hutchinson(
                q,
                n.field(NoiseField.Distribution.RADEMACHER, 2),
                0.5,
                n.matrix(x),
                n.matrix(y),
                call));
    invalid(
        "distribution 3",
        (n, abi, q, call) ->
            abi.hutchinson(
                q,
                n.field(NoiseField.Distribution.NORMAL, 3),
                0.5,
                n.matrix(x),
                n.matrix(y),
                call));
    for (double alpha : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
      invalid(
          "alpha",
          (n, abi, q, call) ->
              abi.oasisStep(
                  q, alpha, 0, n.matrix(eta), n.matrix(y), n.matrix(z), n.matrix(x), NULL, call));
    }
    invalid(
        "floor is 4",
        (n, abi, q, call) ->
            abi.oasisStep(
                q, 1, 4, n.matrix(eta), n.matrix(y), n.matrix(z), n.matrix(x), NULL, call));
    invalid(
        "same memory",
        (n, abi, q, call) ->
            abi.oasisStatistics(
                q,
                NULL,
                0.5,
                1,
                n.matrix(y),
                n.matrix(x),
                n.matrix(y),
                n.matrix(y),
                n.matrix(y),
                n.matrix(x),
                n.matrix(sums),
                call));
    DeviceMatrix p = m(DType.F32, 3, 5);
    invalid(
        "same memory",
        (n, abi, q, call) ->
            abi.cgUpdate(
                q,
                n.matrix(eta),
                n.matrix(eta),
                n.matrix(x),
                n.matrix(y),
                n.matrix(p),
                n.matrix(p),
                n.matrix(z),
                call));
  }

  private void sparseMatricesThatLie() {
    DeviceMatrix x = m(DType.F32, 3, 5);
    DeviceMatrix minus = m(DType.F32, 3, 5);
    DeviceMatrix residual = m(DType.F32, 3, 5);
    DeviceMatrix sent = m(DType.I32, 3, 7);
    DeviceMatrix flags = session.matrix(DType.I32, new double[1][3], 3);
    DeviceMatrix columns = session.matrix(DType.I32, new double[][] {{0, 3}}, 2);
    refusesLies(
        "top",
        List.of(x, sent, minus, residual, flags),
        (n, abi, q, m, call) ->
            abi.selectTop(
                q,
                m.get(0),
                present(m.get(2), m.get(1)),
                present(m.get(3), m.get(1)),
                2,
                0,
                m.get(1),
                present(m.get(4), m.get(0)),
                call));
    refusesLies(
        "at",
        List.of(x, sent, columns, minus, residual),
        (n, abi, q, m, call) ->
            abi.selectAt(
                q,
                m.get(0),
                present(m.get(3), m.get(1)),
                present(m.get(4), m.get(1)),
                m.get(2),
                1,
                m.get(1),
                NULL,
                call));
    refusesLies(
        "above",
        List.of(x, sent, m(DType.F64, 1, 3)),
        (n, abi, q, m, call) ->
            abi.selectAbove(q, m.get(0), NULL, NULL, m.get(2), 3, m.get(1), NULL, call));
    refusesLies(
        "thresholds",
        List.of(x, m(DType.F64, 1, 3), minus, residual),
        (n, abi, q, m, call) ->
            abi.sampleThresholds(
                q,
                m.get(0),
                present(m.get(2), m.get(1)),
                present(m.get(3), m.get(1)),
                n.draw(NULL),
                2,
                3,
                m.get(1),
                call));
    refusesLies(
        "sparse accumulate",
        List.of(x, sent, columns),
        (n, abi, q, m, call) ->
            abi.sparseAccumulate(
                q, NULL, Abi.SPARSE_AT, 2, m.get(2), NULL, m.get(1), NULL, 1, m.get(0), call));
  }

  @Test
  void selectionsThatLeadOutside() {
    DeviceMatrix x = m(DType.F32, 3, 5);
    DeviceMatrix sent = m(DType.I32, 3, 11);
    DeviceMatrix limits = m(DType.F64, 1, 3);
    long[][] choices = {
      {-1, 0}, {6, 0}, {Long.MAX_VALUE, 0}, {2, -1}, {3, 2}, {Long.MIN_VALUE, 5}, {6, 5}
    };
    for (long[] c : choices) {
      invalid(
          Long.toString(c[1] < 0 ? c[1] : c[0]),
          (n, abi, q, call) ->
              abi.selectTop(q, n.matrix(x), NULL, NULL, c[0], c[1], n.matrix(sent), NULL, call));
    }
    for (long capacity : new long[] {-1, 6, Long.MAX_VALUE}) {
      invalid(
          Long.toString(capacity),
          (n, abi, q, call) ->
              abi.selectAbove(
                  q,
                  n.matrix(x),
                  NULL,
                  NULL,
                  n.matrix(limits),
                  capacity,
                  n.matrix(sent),
                  NULL,
                  call));
    }
    long[][] samples = {
      {1, 0}, {1, -1}, {1, 6}, {1, Long.MAX_VALUE}, {0, 2}, {-1, 2}, {3, 2}, {Long.MAX_VALUE, 5}
    };
    for (long[] s : samples) {
      invalid(
          Long.toString(s[1] < 1 || s[1] > 5 ? s[1] : s[0]),
          (n, abi, q, call) ->
              abi.sampleThresholds(
                  q, n.matrix(x), NULL, NULL, n.draw(NULL), s[0], s[1], n.matrix(limits), call));
    }
    invalid(
        "draw is NULL",
        (n, abi, q, call) ->
            abi.sampleThresholds(q, n.matrix(x), NULL, NULL, NULL, 1, 2, n.matrix(limits), call));
    invalid(
        "uniforms",
        (n, abi, q, call) ->
            abi.sampleThresholds(
                q, n.matrix(x), NULL, NULL, n.draw(n.matrix(x)), 1, 2, n.matrix(limits), call));
    for (String field : List.of("round", "first_node")) {
      invalid(
          "-7",
          (n, abi, q, call) -> {
            MemorySegment draw = n.draw(NULL);
            draw.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.DRAW, field), -7);
            return abi.sampleThresholds(
                q, n.matrix(x), NULL, NULL, draw, 1, 2, n.matrix(limits), call);
          });
    }
    // A message, and the space that a longer one takes.
    DeviceMatrix tight = m(DType.I32, 3, 5);
    invalid(
        "6 words",
        (n, abi, q, call) ->
            abi.selectTop(q, n.matrix(x), NULL, NULL, 3, 0, n.matrix(tight), NULL, call));
    invalid(
        "same memory",
        (n, abi, q, call) ->
            abi.selectTop(
                q, n.matrix(x), n.matrix(x), n.matrix(x), 1, 0, n.matrix(tight), NULL, call));
    for (int form : new int[] {-1, 3}) {
      invalid(
          "form is " + form,
          (n, abi, q, call) ->
              abi.sparseAccumulate(
                  q, NULL, form, 2, NULL, NULL, n.matrix(sent), NULL, 1, n.matrix(x), call));
      invalidCheck("form is " + form, new int[2], form, 2, 5, 1);
    }
    for (long entries : new long[] {-1, 6, Long.MAX_VALUE}) {
      invalid(
          Long.toString(entries),
          (n, abi, q, call) ->
              abi.sparseAccumulate(
                  q, NULL, 0, entries, NULL, NULL, n.matrix(sent), NULL, 1, n.matrix(x), call));
      invalidCheck(Long.toString(entries), new int[2], 0, 2, 5, entries);
    }
    invalid(
        "add is 2",
        (n, abi, q, call) ->
            abi.sparseAccumulate(
                q, NULL, 0, 2, NULL, NULL, n.matrix(sent), NULL, 2, n.matrix(x), call));
    for (long words : new long[] {-1, 0, 1, 3, 1L << 62, Long.MAX_VALUE}) {
      invalidCheck(Long.toString(words), new int[2], 0, words, 5, 1);
    }
    for (long cols : new long[] {-1, 0, 1L << 31, Long.MAX_VALUE}) {
      invalidCheck(Long.toString(cols), new int[2], 0, 2, cols, 1);
    }
    assertEquals(
        Abi.INVALID,
        NativeCalls.status(session, (n, abi, q, call) -> abi.sparseCheck(0, NULL, 2, 5, 1, call)));
    assertEquals(
        Abi.INVALID,
        NativeCalls.status(
            session,
            (n, abi, q, call) -> abi.sparseCheck(0, n.host(16).asSlice(2), 2, 5, 1, NULL)));
  }

  private void invalidCheck(
      String part, int[] words, int form, long count, long cols, long entries) {
    invalid(
        part,
        (n, abi, q, call) -> abi.sparseCheck(form, n.ints(words), count, cols, entries, call));
  }

  /** Where NULL is allowed, something else that is wrong: a matrix of another shape. */
  private static MemorySegment present(MemorySegment m, MemorySegment otherwise) {
    return m.equals(NULL) ? otherwise : m;
  }

  /** Shapes, overlaps and numbers that no factorization can take. */
  @Test
  void factorizationsThatLie() {
    DeviceMatrix a = m(DType.F32, 3, 3);
    DeviceMatrix b = m(DType.F32, 3, 3);
    DeviceMatrix wide = m(DType.F32, 3, 5);
    DeviceMatrix row = m(DType.F32, 1, 3);
    DeviceMatrix longest = m(DType.F32, 1, 1025);
    DeviceMatrix count = m(DType.I32, 1, 1);
    DeviceMatrix counts = m(DType.I32, 1, 2);
    invalid(
        "a is NULL",
        (n, abi, q, call) ->
            abi.eigen(q, 1, NULL, n.batch(row), n.batch(b), n.matrix(count), call));
    invalid(
        "values is NULL",
        (n, abi, q, call) -> abi.eigen(q, 1, n.batch(a), NULL, n.batch(b), n.matrix(count), call));
    invalid(
        "3 x 5; give square",
        (n, abi, q, call) -> abi.eigen(q, 1, n.batch(wide), n.batch(row), NULL, NULL, call));
    invalid(
        "batches is -1",
        (n, abi, q, call) -> abi.eigen(q, -1, n.batch(a), n.batch(row), NULL, NULL, call));
    invalid(
        "sweeps",
        (n, abi, q, call) ->
            abi.eigen(q, 1, n.batch(a), n.batch(row), NULL, n.matrix(counts), call));
    invalid(
        "overlap",
        (n, abi, q, call) -> {
          // The first row of a.
          MemorySegment top = n.batch(a);
          top.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.BATCH, "rows"), 1);
          return abi.eigen(q, 1, n.batch(a), top, NULL, NULL, call);
        });
    invalid(
        "at least as many rows",
        (n, abi, q, call) -> abi.qr(q, 1, n.batch(wide), n.batch(wide), NULL, call));
    invalid(
        "1025 columns",
        (n, abi, q, call) -> {
          MemorySegment none = n.batch(longest);
          none.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.BATCH, "rows"), 2000);
          return abi.qr(q, 0, none, none, NULL, call);
        });
    invalid("overlap", (n, abi, q, call) -> abi.qr(q, 1, n.batch(a), n.batch(b), n.batch(a), call));
    invalid(
        "overlap",
        (n, abi, q, call) -> {
          // Two matrices, one element apart.
          MemorySegment both = n.batch(a);
          both.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.BATCH, "rows"), 2);
          both.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.BATCH, "cols"), 2);
          both.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.BATCH, "batch_stride"), 1);
          return abi.polar(q, 2, both, both, NULL, NULL, call);
        });
    invalid(
        "rank",
        (n, abi, q, call) -> abi.polar(q, 1, n.batch(a), n.batch(b), NULL, n.matrix(counts), call));
    invalid(
        "z is 1 x 3",
        (n, abi, q, call) -> abi.tangent(q, 1, n.batch(a), n.batch(row), n.batch(b), call));
    invalid(
        "l is 1 x 3",
        (n, abi, q, call) -> abi.cholesky(q, 1, n.batch(a), n.batch(row), NULL, call));
    invalid(
        "x and l overlap",
        (n, abi, q, call) -> abi.choleskySolve(q, 1, n.batch(a), n.batch(b), n.batch(a), call));
    invalid(
        "b is 1 x 3",
        (n, abi, q, call) -> abi.choleskySolve(q, 1, n.batch(a), n.batch(row), n.batch(row), call));
    invalid(
        "downdate is 2",
        (n, abi, q, call) -> abi.choleskyUpdate(q, 1, 2, n.batch(a), n.batch(row), NULL, call));
    invalid(
        "overlap",
        (n, abi, q, call) -> abi.choleskyUpdate(q, 1, 0, n.batch(a), n.batch(a), NULL, call));
  }

  /** A batch that leaves its matrix, in every number that can lead out of it. */
  @Test
  void batchesThatLie() {
    DeviceMatrix a = m(DType.F32, 3, 5);
    DeviceMatrix b = m(DType.F32, 5, 3);
    DeviceMatrix c = m(DType.F32, 3, 3);
    DeviceMatrix other = m(DType.F32, 3, 3);
    for (int at = 0; at < 3; at++) {
      for (String field : List.of("offset", "rows", "cols", "row_stride", "batch_stride")) {
        for (long value : new long[] {-1, 1L << 61, Long.MAX_VALUE, Long.MIN_VALUE, 1L << 33}) {
          int which = at;
          int status =
              NativeCalls.status(
                  session,
                  (n, abi, q, call) -> {
                    List<MemorySegment> all = List.of(n.batch(a), n.batch(b), n.batch(c));
                    all.forEach(
                        batch ->
                            batch.set(
                                ValueLayout.JAVA_LONG, Abi.offset(Abi.BATCH, "batch_stride"), 1));
                    all.get(which).set(ValueLayout.JAVA_LONG, Abi.offset(Abi.BATCH, field), value);
                    return abi.multiply(q, 2, 1, all.get(0), 0, all.get(1), 0, 0, all.get(2), call);
                  });
          assertEquals(Abi.INVALID, status, "batch " + at + ", " + field + " = " + value);
          int symmetric =
              NativeCalls.status(
                  session,
                  (n, abi, q, call) -> {
                    List<MemorySegment> all = List.of(n.batch(a), n.batch(c), n.batch(other));
                    all.forEach(
                        batch ->
                            batch.set(
                                ValueLayout.JAVA_LONG, Abi.offset(Abi.BATCH, "batch_stride"), 1));
                    all.get(which).set(ValueLayout.JAVA_LONG, Abi.offset(Abi.BATCH, field), value);
                    return abi.multiplySymmetric(
                        q, 2, 1, all.get(0), 0, 1, all.get(1), 0, all.get(2), call);
                  });
          assertEquals(Abi.INVALID, symmetric, "batch " + at + ", " + field + " = " + value);
        }
      }
    }
    invalid(
        "transpose_a is 2",
        (n, abi, q, call) ->
            abi.multiplySymmetric(q, 1, 1, n.batch(a), 2, 1, NULL, 0, n.batch(c), call));
    invalid(
        "a is NULL",
        (n, abi, q, call) -> abi.multiplySymmetric(q, 1, 1, NULL, 0, 1, NULL, 0, n.batch(c), call));
  }

  private void invalid(String part, NativeCalls.Body body) {
    assertEquals(Abi.INVALID, NativeCalls.status(session, body), part);
    String text = NativeCalls.error(session);
    assertTrue(text.startsWith("kith_") && text.contains(part), text + " lacks " + part);
  }

  private void weights(String part, long rows, long cols, long[] offsets, int[] columns) {
    invalid(
        part,
        (n, abi, q, call) ->
            abi.weightsSparse(
                q,
                rows,
                cols,
                n.longs(offsets),
                n.ints(columns),
                n.host(8 * 8),
                NULL,
                n.host(8),
                call));
  }

  @Test
  void weightsThatLeadOutside() {
    weights("-1", -1, 3, new long[] {0, 0}, new int[] {0});
    weights("3", 1, 3, new long[] {0, 1}, new int[] {3});
    weights("-7", 1, 3, new long[] {0, 1}, new int[] {-7});
    weights("1", 2, 3, new long[] {0, 2, 1}, new int[] {0, 1});
    weights("1", 1, 3, new long[] {1, 2}, new int[] {0, 1});
    invalid(
        "5",
        (n, abi, q, call) ->
            abi.weightsSparse(
                q, 2, 3, n.longs(0, 0, 0), n.ints(0), n.host(8), n.ints(5, 5), n.host(8), call));
  }

  @Test
  void reductionsThatLeadOutside() {
    DeviceMatrix a = m(DType.F32, 3, 5);
    DeviceMatrix out = m(DType.F64, 1, 3);
    for (int reduction : new int[] {-1, 9, 1000}) {
      invalid(
          Integer.toString(reduction),
          (n, abi, q, call) ->
              abi.reduceRows(q, reduction, n.matrix(a), NULL, n.matrix(out), call));
    }
    DeviceMatrix segments = m(DType.F64, 3, 2);
    for (long[] bounds : new long[][] {{0, 6, 6}, {-1, 2, 3}, {0, 3, 2}, {0, 1, Long.MAX_VALUE}}) {
      invalid(
          "bounds",
          (n, abi, q, call) ->
              abi.reduceSegments(
                  q, 0, n.matrix(a), NULL, n.longs(bounds), 2, n.matrix(segments), call));
    }
    DeviceMatrix row = m(DType.F32, 1, 5);
    for (int[] program :
        new int[][] {{3}, {-1}, {0, -1}, {0, 1}, {-2}, {Integer.MAX_VALUE}, {Integer.MIN_VALUE}}) {
      invalid(
          "program",
          (n, abi, q, call) ->
              abi.reduceNodes(
                  q,
                  n.matrix(a),
                  NULL,
                  n.ints(program),
                  program.length,
                  1,
                  n.matrix(row),
                  NULL,
                  call));
    }
  }

  @Test
  void stepsThatLeadOutside() {
    DeviceMatrix x = m(DType.F32, 3, 5);
    DeviceMatrix g = m(DType.F32, 3, 5);
    for (int rule : new int[] {-1, 10}) {
      invalid(
          Integer.toString(rule),
          (n, abi, q, call) -> {
            MemorySegment step = n.step();
            step.set(ValueLayout.JAVA_INT, Abi.offset(Abi.STEP, "rule"), rule);
            return abi.applyStep(q, step, n.matrix(x), n.matrix(g), NULL, NULL, call);
          });
    }
    long[][] groups = {
      {0, 6}, {-1, 5}, {1, 5}, {0, 4}, {0, Long.MAX_VALUE}, {0, 3, 4, 5}, {0, 3, 2, 5}
    };
    for (long[] borders : groups) {
      invalid(
          "groups",
          (n, abi, q, call) -> {
            MemorySegment array = n.host((int) Abi.GROUP.byteSize() * 2);
            for (int i = 0; i < borders.length; i++) {
              array.set(
                  ValueLayout.JAVA_LONG, i / 2 * Abi.GROUP.byteSize() + i % 2 * 8L, borders[i]);
            }
            MemorySegment step = n.step();
            step.set(ValueLayout.ADDRESS, Abi.offset(Abi.STEP, "groups"), array);
            step.set(
                ValueLayout.JAVA_LONG, Abi.offset(Abi.STEP, "group_count"), borders.length / 2);
            return abi.applyStep(q, step, n.matrix(x), n.matrix(g), NULL, NULL, call);
          });
    }
  }

  /** A code is five numbers that must fit each other, and a draw three that must fit the layout. */
  @Test
  void codesThatLie() {
    DeviceMatrix x = m(DType.F32, 3, 5);
    DeviceMatrix messages = m(DType.I32, 3, 40);
    record Lie(String field, long value) {}
    List<Lie> lies =
        List.of(
            new Lie("kind", -1),
            new Lie("kind", 10),
            new Lie("bits", 0),
            new Lie("bits", 3),
            new Lie("bits", 32),
            new Lie("bits", Integer.MIN_VALUE),
            new Lie("levels", 1),
            new Lie("levels", -1),
            new Lie("norm", 1),
            new Lie("stochastic", 2),
            new Lie("block", -1),
            new Lie("block", Long.MIN_VALUE));
    for (Lie lie : lies) {
      invalid(
          Long.toString(lie.value),
          (n, abi, q, call) -> {
            MemorySegment code = n.code(Code.absmax(8, true, 0));
            if (lie.field.equals("block")) {
              code.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.CODE, "block"), lie.value);
            } else {
              code.set(ValueLayout.JAVA_INT, Abi.offset(Abi.CODE, lie.field), (int) lie.value);
            }
            int first =
                abi.quantize(
                    q, code, n.draw(NULL), n.matrix(x), NULL, NULL, n.matrix(messages), NULL, call);
            int second =
                abi.quantizeAccumulate(
                    q, NULL, code, n.matrix(messages), NULL, 0, n.matrix(x), call);
            assertEquals(first, second);
            assertEquals(first, abi.codeCheck(code, 5, n.host(64), 9, call));
            return abi.codeWords(code, 5, n.host(8), call);
          });
    }
    for (Lie lie :
        List.of(
            new Lie("round", -1),
            new Lie("round", 1L << 40),
            new Lie("first_node", -1),
            new Lie("first_node", (1L << 31) - 2),
            new Lie("first_node", Long.MAX_VALUE),
            new Lie("stream", 0),
            new Lie("stream", 256))) {
      invalid(
          Long.toString(lie.value),
          (n, abi, q, call) -> {
            MemorySegment draw = n.draw(NULL);
            if (lie.field.equals("stream")) {
              draw.set(ValueLayout.JAVA_INT, Abi.offset(Abi.DRAW, "stream"), (int) lie.value);
            } else {
              draw.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.DRAW, lie.field), lie.value);
            }
            return abi.quantize(
                q,
                n.code(Code.absmax(8, true, 0)),
                draw,
                n.matrix(x),
                NULL,
                NULL,
                n.matrix(messages),
                NULL,
                call);
          });
    }
    for (long cols : new long[] {-1, (1L << 42) + 1, Long.MAX_VALUE, Long.MIN_VALUE}) {
      invalid(
          Long.toString(cols),
          (n, abi, q, call) -> {
            assertEquals(Abi.INVALID, abi.codeCheck(n.code(Code.sign()), cols, NULL, 0, call));
            assertEquals(
                Abi.INVALID,
                abi.signMajority(q, n.matrix(messages), cols, n.matrix(messages), call));
            return abi.codeWords(n.code(Code.sign()), cols, n.host(8), call);
          });
    }
    invalid("2", (n, abi, q, call) -> abi.codeCheck(n.code(Code.sign()), 33, n.host(8), 3, call));
    invalid("2", (n, abi, q, call) -> abi.codeCheck(n.code(Code.sign()), 33, NULL, 2, call));
    invalid("code is NULL", (n, abi, q, call) -> abi.codeWords(NULL, 1, n.host(8), call));
    invalid(
        "words is NULL", (n, abi, q, call) -> abi.codeWords(n.code(Code.sign()), 1, NULL, call));
    invalid(
        "draw is NULL",
        (n, abi, q, call) ->
            abi.quantize(
                q,
                n.code(Code.natural()),
                NULL,
                n.matrix(x),
                NULL,
                NULL,
                n.matrix(messages),
                NULL,
                call));
    invalid(
        "add is 2",
        (n, abi, q, call) ->
            abi.quantizeAccumulate(
                q, NULL, n.code(Code.natural()), n.matrix(messages), NULL, 2, n.matrix(x), call));
  }

  /** Tensors that leave their row, overlap or overflow, and ranks that leave the factors. */
  @Test
  void tensorsThatLeadOutside() {
    DeviceMatrix x = m(DType.F32, 2, 40);
    DeviceMatrix y = m(DType.F32, 2, 40);
    DeviceMatrix p = m(DType.F32, 2, 8);
    DeviceMatrix q = m(DType.F32, 2, 8);
    long[][] lists = {
      {-1, 4, 4, 1},
      {25, 4, 4, 1},
      {0, 0, 4, 1},
      {0, 4, -4, 1},
      {0, 4, 4, 0},
      {0, 4, 4, 5},
      {0, 4, 4, -1},
      {0, 4, 4, 3},
      {0, 4, 4, Long.MAX_VALUE},
      {0, 1L << 32, 1L << 32, 1},
      {Long.MAX_VALUE, 4, 4, 1},
      {0, Long.MAX_VALUE, Long.MAX_VALUE, 1},
      {0, 4, 4, 1, 15, 4, 4, 1},
      {16, 4, 4, 1, 0, 4, 4, 1},
      {0, 4, 4, 1, 16, 4, 4, 2}
    };
    for (long[] list : lists) {
      int count = list.length / 4;
      invalid(
          "",
          (n, abi, queue, call) ->
              abi.lowrankLeft(
                  queue,
                  n.longs(list),
                  count,
                  n.matrix(x),
                  NULL,
                  NULL,
                  n.matrix(q),
                  n.matrix(p),
                  NULL,
                  call));
      invalid(
          "",
          (n, abi, queue, call) ->
              abi.lowrankRight(
                  queue,
                  n.longs(list),
                  count,
                  n.matrix(x),
                  NULL,
                  NULL,
                  n.matrix(p),
                  n.matrix(q),
                  call));
      invalid(
          "",
          (n, abi, queue, call) ->
              abi.lowrankResidual(
                  queue,
                  n.longs(list),
                  count,
                  n.matrix(x),
                  NULL,
                  NULL,
                  n.matrix(p),
                  n.matrix(q),
                  n.matrix(y),
                  call));
      invalid(
          "",
          (n, abi, queue, call) ->
              abi.lowrankAccumulate(
                  queue,
                  NULL,
                  n.longs(list),
                  count,
                  n.matrix(p),
                  n.matrix(q),
                  NULL,
                  NULL,
                  1,
                  n.matrix(y),
                  call));
    }
    for (long[] list : new long[][] {{0, 4, 4, 3}, {0, 9, 9, 1}, {0, 1L << 62, 2, 1}}) {
      invalid(
          "",
          (n, abi, queue, call) ->
              abi.lowrankOrthonormalise(queue, n.longs(list), 1, 0, n.matrix(p), call));
    }
    invalid(
        "2",
        (n, abi, queue, call) ->
            abi.lowrankOrthonormalise(queue, n.longs(0, 4, 4, 1), 1, 2, n.matrix(p), call));
    invalid(
        "-1",
        (n, abi, queue, call) -> abi.lowrankOrthonormalise(queue, NULL, -1, 0, n.matrix(p), call));
    invalid(
        "NULL",
        (n, abi, queue, call) -> abi.lowrankOrthonormalise(queue, NULL, 1, 0, n.matrix(p), call));
    long[] tensor = {0, 4, 4, 1};
    invalid(
        "7",
        (n, abi, queue, call) ->
            abi.lowrankAccumulate(
                queue,
                NULL,
                n.longs(tensor),
                1,
                n.matrix(p),
                n.matrix(q),
                NULL,
                NULL,
                7,
                n.matrix(y),
                call));
    invalid(
        "halo",
        (n, abi, queue, call) ->
            abi.lowrankAccumulate(
                queue,
                NULL,
                n.longs(tensor),
                1,
                n.matrix(p),
                n.matrix(q),
                n.matrix(p),
                NULL,
                1,
                n.matrix(y),
                call));
    // Columns of W beyond the nodes, without and with too short a halo; rows beyond y.
    try (MixingWeights wide =
            MixingWeights.sparse(
                session.queue(), 2, 5, new long[] {0, 1, 2}, new int[] {4, 0}, new double[2]);
        MixingWeights tall =
            MixingWeights.sparse(
                session.queue(), 3, 2, new long[] {0, 1, 1, 1}, new int[] {1}, new double[1])) {
      invalid("halo_p", accumulate(wide, p, q, y, tensor, NULL, NULL));
      for (DeviceMatrix halo : List.of(p, m(DType.F32, 3, 3))) {
        invalid(
            "halo_p",
            (n, abi, queue, call) ->
                accumulate(wide, p, q, y, tensor, n.matrix(halo), n.matrix(halo))
                    .call(n, abi, queue, call));
      }
      invalid("3 rows", accumulate(tall, p, q, y, tensor, NULL, NULL));
    }
  }

  private static NativeCalls.Body accumulate(
      MixingWeights w,
      DeviceMatrix p,
      DeviceMatrix q,
      DeviceMatrix y,
      long[] tensor,
      MemorySegment haloP,
      MemorySegment haloQ) {
    return (n, abi, queue, call) ->
        abi.lowrankAccumulate(
            queue,
            w.behind().handle(),
            n.longs(tensor),
            1,
            n.matrix(p),
            n.matrix(q),
            haloP,
            haloQ,
            1,
            n.matrix(y),
            call);
  }

  @Test
  void aCallStartsWithItsCursorAtZero() {
    DeviceMatrix a = m(DType.F32, 3, 5);
    invalid(
        "-4",
        (n, abi, q, call) -> {
          call.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.CALL, "cursor"), -4);
          return abi.fill(q, n.matrix(a), 1, call);
        });
  }

  /** Without a call there is no text and no budget, and all else is the same. */
  @Test
  void theCallMayBeMissing() {
    DeviceMatrix a = m(DType.F32, 3, 5);
    assertEquals(
        Abi.OK,
        NativeCalls.status(session, (n, abi, q, call) -> abi.fill(q, n.matrix(a), 9, NULL)));
    assertEquals(9, a.get(2, 4));
    assertEquals(
        Abi.INVALID, NativeCalls.status(session, (n, abi, q, call) -> abi.fill(q, NULL, 9, NULL)));
    assertEquals(
        Abi.INVALID,
        NativeCalls.status(session, (n, abi, q, call) -> abi.fill(NULL, n.matrix(a), 9, call)));
  }

  // ---- noise

  private void invalidField(String offending, String member, long value) {
    DeviceMatrix y = m(DType.F32, 2, 5);
    invalid(
        offending,
        (n, abi, q, call) -> {
          MemorySegment field = n.field(NoiseField.Distribution.NORMAL, 2);
          MemorySegment second =
              field
                  .get(ValueLayout.ADDRESS, Abi.offset(Abi.FIELD, "sources"))
                  .reinterpret(2 * Abi.SOURCE.byteSize())
                  .asSlice(Abi.SOURCE.byteSize());
          switch (member) {
            case "round", "node" ->
                second.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.SOURCE, member), value);
            case "secret" ->
                second.set(
                    ValueLayout.ADDRESS, Abi.offset(Abi.SOURCE, member), n.host(Secret.BYTES));
            case "sources" -> field.set(ValueLayout.ADDRESS, Abi.offset(Abi.FIELD, member), NULL);
            case "count" -> field.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.FIELD, member), value);
            default -> field.set(ValueLayout.JAVA_INT, Abi.offset(Abi.FIELD, member), (int) value);
          }
          return abi.noise(q, NULL, field, 1, 0, n.matrix(y), call);
        });
  }

  @Test
  void fieldsThatLie() {
    invalidField("2", "generator", 2);
    invalidField("-1", "generator", -1);
    invalidField("no secret", "generator", 1);
    invalidField("a secret", "secret", 0);
    invalidField("5", "distribution", 5);
    invalidField("-1", "distribution", -1);
    invalidField("i32", "distribution", 0);
    invalidField("0", "stream", 0);
    invalidField("256", "stream", 256);
    invalidField("-1", "count", -1);
    invalidField("1 sources for 2", "count", 1);
    invalidField("NULL", "sources", 0);
    for (long round : new long[] {-1, 1L << 40, Long.MAX_VALUE, Long.MIN_VALUE}) {
      invalidField(Long.toString(round), "round", round);
    }
    for (long node : new long[] {-1, 1L << 31, Long.MAX_VALUE, Long.MIN_VALUE}) {
      invalidField(Long.toString(node), "node", node);
    }
    DeviceMatrix y = m(DType.F32, 2, 5);
    invalid(
        "field is NULL", (n, abi, q, call) -> abi.noise(q, NULL, NULL, 1, 0, n.matrix(y), call));
    for (int add : new int[] {-1, 2}) {
      invalid(
          Integer.toString(add),
          (n, abi, q, call) ->
              abi.noise(
                  q, NULL, n.field(NoiseField.Distribution.NORMAL, 2), 1, add, n.matrix(y), call));
    }
    for (double scale : new double[] {Double.NaN, Double.NEGATIVE_INFINITY}) {
      invalid(
          scale < 0 ? "-inf" : "nan",
          (n, abi, q, call) ->
              abi.noise(
                  q,
                  NULL,
                  n.field(NoiseField.Distribution.NORMAL, 2),
                  scale,
                  0,
                  n.matrix(y),
                  call));
    }
    try (MixingWeights w =
        MixingWeights.dense(session.queue(), 2, 3, new double[] {1, 2, 3, 4, 5, 6})) {
      invalid(
          "3 columns for 2",
          (n, abi, q, call) ->
              abi.noise(
                  q,
                  w.behind().handle(),
                  n.field(NoiseField.Distribution.NORMAL, 2),
                  1,
                  0,
                  n.matrix(y),
                  call));
      DeviceMatrix three = m(DType.F32, 3, 5);
      invalid(
          "2 rows and y has 3",
          (n, abi, q, call) ->
              abi.noise(
                  q,
                  w.behind().handle(),
                  n.field(NoiseField.Distribution.NORMAL, 3),
                  1,
                  0,
                  n.matrix(three),
                  call));
    }
  }

  private void noiseOfAMix(
      String offending, Optional<MixingWeights> factor, NoiseField.Distribution d, int count) {
    noiseOfAMix(offending, factor, n -> n.field(d, count), 1);
  }

  private void noiseOfAMix(
      String offending,
      Optional<MixingWeights> factor,
      Function<NativeCalls, MemorySegment> field,
      double scale) {
    DeviceMatrix x = m(DType.F32, 2, 5);
    DeviceMatrix y = m(DType.F32, 2, 5);
    invalid(
        offending,
        (n, abi, q, call) -> {
          MemorySegment e = n.expression(Abi.number(DType.F32), List.of(x), List.of());
          n.noise(e, factor.map(f -> f.behind().handle()).orElse(NULL), field.apply(n), scale);
          return abi.mix(q, NULL, e, n.matrix(y), NULL, call);
        });
  }

  @Test
  void noiseOfMessagesThatLies() {
    NoiseField.Distribution normal = NoiseField.Distribution.NORMAL;
    Optional<MixingWeights> none = Optional.empty();
    noiseOfAMix("words", none, NoiseField.Distribution.WORDS, 2);
    noiseOfAMix("3 sources for 2", none, normal, 3);
    noiseOfAMix("NULL", none, n -> NULL, 1);
    noiseOfAMix("nan", none, n -> n.field(normal, 2), Double.NaN);
    noiseOfAMix("inf", none, n -> n.field(normal, 2), Double.POSITIVE_INFINITY);
    noiseOfAMix(
        "stream 0",
        none,
        n -> {
          MemorySegment field = n.field(normal, 2);
          field.set(ValueLayout.JAVA_INT, Abi.offset(Abi.FIELD, "stream"), 0);
          return field;
        },
        1);
    try (MixingWeights f =
            MixingWeights.dense(session.queue(), 2, 3, new double[] {1, 2, 3, 4, 5, 6});
        MixingWeights tall = MixingWeights.dense(session.queue(), 3, 1, new double[3]);
        MixingWeights scattered =
            MixingWeights.sparse(
                session.queue(),
                2,
                1,
                new long[] {0, 1, 2},
                new int[2],
                new double[2],
                new int[] {1, 0})) {
      noiseOfAMix("2 x 3 for 2 inner rows and 2 sources", Optional.of(f), normal, 2);
      noiseOfAMix("3 x 1 for 2", Optional.of(tall), normal, 1);
      noiseOfAMix("output rows", Optional.of(scattered), normal, 1);
    }
  }
}
