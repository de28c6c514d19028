package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.random.Stream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiFunction;
import java.util.function.Function;
import org.junit.jupiter.api.Test;

/**
 * Every operation of the library with every dtype: it works, says UNSUPPORTED, or says INVALID
 * where kith.h forbids the combination. Nothing pretends: where it works, the result of all twos or
 * ones is looked at.
 */
class OperationsTest {
  /**
   * Columns: F32 F64 BF16 F16 I32. w works, u UNSUPPORTED, - INVALID. Two dtypes stand as row /
   * columns; the first is that of the matrix named first.
   */
  private static final String TABLE =
      """
      fill m                          wwwww
      upload to                       wwwww
      download from                   wwwww
      convert from F32 to             wwwwu
      convert from F64 to             wwwwu
      convert from BF16 to            wwwwu
      convert from F16 to             wwwwu
      convert from I32 to             uuuuw
      gather from and to              wwwww
      combine y                       wwwwu
      combine y, with noise           wwwwu
      combine F32 y, noise, message   w-ww-
      combine F32 y, inner            w-ww-
      combine F64 y, inner            wwww-
      combine F32 y, outer            w-ww-
      combine F64 y, outer            wwww-
      combine F32 y, message          w-ww-
      combine F64 y, message          wwww-
      mix F32 y, halo and message     w-ww-
      mix F64 y, halo and message     wwww-
      rows SUM a                      wwwwu
      rows ABS_SUM a                  wwwwu
      rows SQUARES a                  wwwwu
      rows DOT a and b                wwwwu
      rows DISTANCE a and b           wwwwu
      rows MIN a                      wwwwu
      rows MAX a                      wwwwu
      rows MAX_ABS a                  wwwwu
      rows NONFINITE a                wwwwu
      rows DOT F32 a, b               w----
      segments a                      wwwwu
      gram a                          wwwwu
      nodes x                         wwwwu
      nodes F32 x, out                w-wwu
      nodes F64 x, out                -w--u
      nodes F32 x, remote             w----
      nodes F64 x, remote             -w---
      nodes BF16 x, remote            w-w--
      nodes F16 x, remote             w--w-
      step x                          wwuuu
      step F32 x, gradient            wuwwu
      step F64 x, gradient            uwwwu
      step F32 x, copy                uuwwu
      multiply a, b, c                wwuuu
      symmetric a, d, c               wwuuu
      bias h                          wwuuu
      bias backward d                 wwuuu
      softmax curvature u             wwuuu
      softmax logits                  wwuuu
      top x                           wuuuu
      top F32 x, minus                w----
      top F32 x, residual             w----
      top F32 x, messages             ----w
      top F32 x, flags                ----w
      at x                            wuuuu
      at F32 x, indices               ----w
      above x                         wuuuu
      above F32 x, thresholds         -w---
      thresholds x                    wuuuu
      thresholds F32 x, thresholds    -w---
      sparse accumulate y             wuuuu
      sparse accumulate messages      ----w
      sparse accumulate halo          ----w
      sparse accumulate indices       ----w
      quantize x                      wuuuu
      quantize F32 x, minus           w----
      quantize F32 x, residual        w----
      quantize F32 x, uniforms        w----
      quantize F32 x, messages        ----w
      quantize F32 x, flags           ----w
      quantize accumulate y           wuuuu
      quantize accumulate, messages   ----w
      quantize accumulate, halo       ----w
      majority messages               ----w
      majority out                    ----w
      lowrank left x                  wuuuu
      lowrank left F32 x, minus       w----
      lowrank left F32 x, residual    w----
      lowrank left F32 x, q           w----
      lowrank left F32 x, p           w----
      lowrank right x                 wuuuu
      lowrank right F32 x, q          w----
      lowrank orthonormalise factors  wuuuu
      lowrank residual x              wuuuu
      lowrank residual F32 x, out     w----
      lowrank accumulate y            wuuuu
      lowrank accumulate F32 y, q     w----
      noise y                         wwuuu
      noise words, y                  ----w
      adahessian x                    wwuuu
      adahessian F32 x, g and h       wuwwu
      sophia F32 x, g                 wuwwu
      sophia F32 x, h                 wuuuu
      hutchinson d                    wwuuu
      hutchinson F32 d, hz            wuwwu
      statistics d                    wwuuu
      statistics F32 d, hz            w----
      statistics F32 d, norms         -w---
      scaled step x                   wwuuu
      scaled step F32 x, g            w----
      scaled step F32 x, eta          -w---
      dots r                          wwuuu
      dots F32 r, out                 -w---
      conjugate x                     wwuuu
      conjugate F32 x, alpha          -w---
      eigen a                         wwuuu
      eigen F32 a, values             w-uuu
      eigen F32 a, vectors            w-uuu
      eigen F32 a, sweeps             ----w
      qr a                            wwuuu
      qr F32 a, q                     w-uuu
      qr F32 a, r                     w-uuu
      polar y                         wwuuu
      polar F32 y, x                  w-uuu
      polar F32 y, distance           -w---
      polar F32 y, rank               ----w
      tangent x                       wwuuu
      tangent F32 x, z                w-uuu
      cholesky a                      wwuuu
      cholesky F32 a, failed          ----w
      cholesky solve l                wwuuu
      cholesky update l               wwuuu
      cholesky update F32 l, v        w-uuu
      twin source and target          wwwwu
      """;

  private final List<String> measured = new ArrayList<>();

  @Test
  void everyOperationWorksOrSaysThatItDoesNot() {
    try (Rig.Session session = Rig.best().open()) {
      memory(session);
      mixing(session);
      reductions(session);
      steps(session);
      products(session);
      sparse(session);
      codes(session);
      lowRank(session);
      noise(session);
      curvature(session);
      factorization(session);
    }
    assertEquals(TABLE.lines().sorted().toList(), measured.stream().sorted().toList());
  }

  /** One line of the table: a letter for each dtype. */
  private void line(String name, Function<DType, String> letter) {
    StringBuilder letters = new StringBuilder();
    for (DType t : DType.values()) {
      letters.append(letter.apply(t));
    }
    measured.add(String.format("%-32s%s", name, letters));
  }

  /** Runs a call; a result where it works must be all of this value. */
  private static String letter(
      Rig.Session session, double value, Operand result, NativeCalls.Body body) {
    int status = NativeCalls.status(session, body);
    if (status == Abi.OK) {
      for (double[] row : result.values()) {
        for (double v : row) {
          assertEquals(value, v);
        }
      }
      session.release();
      return "w";
    }
    session.release();
    String text = NativeCalls.error(session);
    assertTrue(text.startsWith("kith_") && text.length() > 20, "a sentence, not: " + text);
    return switch (status) {
      case Abi.UNSUPPORTED -> "u";
      case Abi.INVALID -> "-";
      default -> Abi.statusName(status);
    };
  }

  private static double[][] all(double value, int rows, int cols) {
    double[][] m = new double[rows][cols];
    for (double[] row : m) {
      Arrays.fill(row, value);
    }
    return m;
  }

  private static Operand operand(Rig.Session session, DType t, double value, int rows, int cols) {
    return session.operand(t, all(value, rows, cols), cols);
  }

  private static DeviceMatrix matrix(
      Rig.Session session, DType t, double value, int rows, int cols) {
    return operand(session, t, value, rows, cols).matrix();
  }

  private void memory(Rig.Session session) {
    line(
        "fill m",
        t -> {
          Operand m = operand(session, t, 1, 3, 5);
          return letter(session, 7, m, (n, abi, q, c) -> abi.fill(q, n.matrix(m.matrix()), 7, c));
        });
    line(
        "upload to",
        t -> {
          Operand m = operand(session, t, 1, 3, 5);
          return letter(
              session,
              0,
              m,
              (n, abi, q, c) -> abi.upload(q, n.host(512), 5, n.matrix(m.matrix()), c));
        });
    line(
        "download from",
        t -> {
          Operand m = operand(session, t, 1, 3, 5);
          return letter(
              session,
              1,
              m,
              (n, abi, q, c) -> {
                MemorySegment host = n.host(512);
                int status = abi.download(q, n.matrix(m.matrix()), host, 5, c);
                assertTrue(
                    status != Abi.OK
                        || host.get(ValueLayout.JAVA_SHORT, 14L * t.bytes() + t.bytes() - 2) != 0
                        || t == DType.I32);
                return status;
              });
        });
    for (DType from : DType.values()) {
      line(
          "convert from " + from + " to",
          to -> {
            DeviceMatrix a = matrix(session, from, 2, 3, 5);
            Operand b = operand(session, to, 1, 3, 5);
            return letter(
                session,
                2,
                b,
                (n, abi, q, c) -> abi.convert(q, n.matrix(a), n.matrix(b.matrix()), c));
          });
    }
    line(
        "gather from and to",
        t -> {
          DeviceMatrix a = matrix(session, t, 2, 3, 5);
          DeviceMatrix index = matrix(session, DType.I32, 2, 1, 4);
          Operand b = operand(session, t, 1, 4, 5);
          return letter(
              session,
              2,
              b,
              (n, abi, q, c) ->
                  abi.gatherRows(q, n.matrix(a), n.matrix(index), n.matrix(b.matrix()), c));
        });
    line(
        "twin source and target",
        t -> {
          DeviceMatrix a = matrix(session, t, 2, 3, 5);
          Operand b = operand(session, t, 1, 3, 5);
          return letter(
              session,
              b.values()[0][0] + 2,
              b,
              (n, abi, q, c) ->
                  abi.twin(
                      q, n.pointers(a), 1, n.pointers(b.matrix()), 1, 0, MemorySegment.NULL, c));
        });
  }

  private void mixing(Rig.Session session) {
    line("combine y", t -> combine(session, t, DType.F32, DType.F32, DType.F32));
    line("combine y, with noise", t -> noisy(session, t, DType.F32));
    line("combine F32 y, noise, message", t -> noisy(session, DType.F32, t));
    for (DType y : List.of(DType.F32, DType.F64)) {
      line("combine " + y + " y, inner", t -> combine(session, y, t, y, y));
      line("combine " + y + " y, outer", t -> combine(session, y, y, t, y));
      line("combine " + y + " y, message", t -> combine(session, y, y, y, t));
      line("mix " + y + " y, halo and message", t -> mix(session, y, t));
    }
  }

  private static String combine(
      Rig.Session session, DType y, DType inner, DType outer, DType message) {
    DeviceMatrix z = matrix(session, inner, 2, 3, 5);
    DeviceMatrix u = matrix(session, outer, 1, 3, 5);
    Operand out = operand(session, y, 0, 3, 5);
    return letter(
        session,
        3,
        out,
        (n, abi, q, c) ->
            abi.mix(
                q,
                MemorySegment.NULL,
                n.expression(Abi.number(message), List.of(z), List.of(u)),
                n.matrix(out.matrix()),
                MemorySegment.NULL,
                c));
  }

  /** Noise of scale 0 leaves what stands there. */
  private static String noisy(Rig.Session session, DType y, DType message) {
    DeviceMatrix z = matrix(session, DType.F32, 2, 3, 5);
    Operand out = operand(session, y, 0, 3, 5);
    return letter(
        session,
        2,
        out,
        (n, abi, q, c) -> {
          MemorySegment e = n.expression(Abi.number(message), List.of(z), List.of());
          n.noise(e, MemorySegment.NULL, n.field(NoiseField.Distribution.NORMAL, 3), 0);
          return abi.mix(q, MemorySegment.NULL, e, n.matrix(out.matrix()), MemorySegment.NULL, c);
        });
  }

  private static String mix(Rig.Session session, DType y, DType message) {
    DeviceMatrix z = matrix(session, y, 2, 3, 5);
    DeviceMatrix halo = matrix(session, message, 4, 1, 5);
    Operand out = operand(session, y, 0, 2, 5);
    try (MixingWeights w =
        MixingWeights.sparse(
            session.queue(),
            2,
            4,
            new long[] {0, 2, 3},
            new int[] {0, 3, 1},
            new double[] {1, 1, 3})) {
      return letter(
          session,
          6,
          out,
          (n, abi, q, c) -> {
            MemorySegment e = n.expression(Abi.number(message), List.of(z), List.of());
            e.set(ValueLayout.ADDRESS, Abi.offset(Abi.EXPRESSION, "halo"), n.matrix(halo));
            return abi.mix(
                q, w.behind().handle(), e, n.matrix(out.matrix()), MemorySegment.NULL, c);
          });
    }
  }

  private void reductions(Rig.Session session) {
    for (Reduction.Kind kind : Reduction.Kind.values()) {
      // Of five twos, and a one where there is a second matrix.
      double want =
          switch (kind) {
            case SUM, ABS_SUM, DOT -> 10;
            case SQUARES -> 20;
            case DISTANCE -> 5;
            case MIN, MAX, MAX_ABS -> 2;
            case NONFINITE -> 0;
          };
      line(
          "rows " + kind + " a" + (kind.isBinary() ? " and b" : ""),
          t -> rows(session, kind, t, t, want));
    }
    line("rows DOT F32 a, b", t -> rows(session, Reduction.Kind.DOT, DType.F32, t, 10));
    line(
        "segments a",
        t -> {
          DeviceMatrix a = matrix(session, t, 2, 3, 5);
          Operand out = operand(session, DType.F64, 0, 3, 2);
          return letter(
              session,
              4,
              out,
              (n, abi, q, c) ->
                  abi.reduceSegments(
                      q,
                      0,
                      n.matrix(a),
                      MemorySegment.NULL,
                      n.longs(1, 3, 5),
                      2,
                      n.matrix(out.matrix()),
                      c));
        });
    line(
        "gram a",
        t -> {
          DeviceMatrix a = matrix(session, t, 2, 3, 5);
          Operand out = operand(session, DType.F64, 0, 3, 3);
          return letter(
              session,
              20,
              out,
              (n, abi, q, c) ->
                  abi.gram(q, n.matrix(a), MemorySegment.NULL, n.matrix(out.matrix()), c));
        });
    line("nodes x", t -> nodes(session, t, t, t));
    line("nodes F32 x, out", t -> nodes(session, DType.F32, DType.F32, t));
    line("nodes F64 x, out", t -> nodes(session, DType.F64, DType.F64, t));
    for (DType x : List.of(DType.F32, DType.F64, DType.BF16, DType.F16)) {
      line("nodes " + x + " x, remote", t -> nodes(session, x, t, x));
    }
  }

  private static String rows(
      Rig.Session session, Reduction.Kind kind, DType a, DType b, double want) {
    DeviceMatrix first = matrix(session, a, 2, 3, 5);
    DeviceMatrix second = matrix(session, b, 1, 1, 5);
    Operand out = operand(session, DType.F64, -1, 1, 3);
    return letter(
        session,
        want,
        out,
        (n, abi, q, c) ->
            abi.reduceRows(
                q,
                Abi.number(kind),
                n.matrix(first),
                kind.isBinary() ? n.matrix(second) : MemorySegment.NULL,
                n.matrix(out.matrix()),
                c));
  }

  private static String nodes(Rig.Session session, DType x, DType remote, DType result) {
    DeviceMatrix own = matrix(session, x, 2, 2, 5);
    DeviceMatrix far = matrix(session, remote, 4, 1, 5);
    Operand out = operand(session, result, 0, 1, 5);
    return letter(
        session,
        4,
        out,
        (n, abi, q, c) ->
            abi.reduceNodes(
                q,
                n.matrix(own),
                n.matrix(far),
                n.ints(0, 1, -1, 2, -1),
                5,
                2,
                n.matrix(out.matrix()),
                MemorySegment.NULL,
                c));
  }

  private void steps(Rig.Session session) {
    line("step x", t -> step(session, t, t, DType.BF16));
    line("step F32 x, gradient", t -> step(session, DType.F32, t, DType.BF16));
    line("step F64 x, gradient", t -> step(session, DType.F64, t, DType.BF16));
    line("step F32 x, copy", t -> step(session, DType.F32, DType.F32, t));
  }

  private static String step(Rig.Session session, DType x, DType gradient, DType copy) {
    Operand parameters = operand(session, x, 5, 3, 5);
    DeviceMatrix g = matrix(session, gradient, 2, 3, 5);
    DeviceMatrix half = matrix(session, copy, 0, 3, 5);
    return letter(
        session,
        3,
        parameters,
        (n, abi, q, c) -> {
          MemorySegment step = n.step();
          step.set(ValueLayout.ADDRESS, Abi.offset(Abi.STEP, "copy"), n.matrix(half));
          return abi.applyStep(
              q,
              step,
              n.matrix(parameters.matrix()),
              n.matrix(g),
              MemorySegment.NULL,
              MemorySegment.NULL,
              c);
        });
  }

  private void products(Rig.Session session) {
    line(
        "multiply a, b, c",
        t -> {
          DeviceMatrix a = matrix(session, t, 2, 3, 4);
          DeviceMatrix b = matrix(session, t, 1, 4, 5);
          Operand out = operand(session, t, 0, 3, 5);
          return letter(
              session,
              8,
              out,
              (n, abi, q, c) ->
                  abi.multiply(q, 1, 1, n.batch(a), 0, n.batch(b), 0, 0, n.batch(out.matrix()), c));
        });
    line(
        "symmetric a, d, c",
        t -> {
          DeviceMatrix a = matrix(session, t, 2, 3, 4);
          DeviceMatrix d = matrix(session, t, 1, 3, 3);
          Operand out = operand(session, t, 0, 3, 3);
          return letter(
              session,
              17,
              out,
              (n, abi, q, c) ->
                  abi.multiplySymmetric(
                      q, 1, 1, n.batch(a), 0, 1, n.batch(d), 0, n.batch(out.matrix()), c));
        });
    BiFunction<Boolean, DType, String> pass =
        (backward, t) -> {
          DeviceMatrix second = matrix(session, t, 1, 3, 5);
          DeviceMatrix bias = matrix(session, t, 1, 1, 5);
          Operand out = operand(session, t, backward ? 3 : 2, 3, 5);
          return letter(
              session,
              3,
              out,
              (n, abi, q, c) ->
                  backward
                      ? abi.biasActivateBackward(
                          q, 1, n.batch(second), n.batch(out.matrix()), n.batch(bias), Abi.RELU, c)
                      : abi.biasActivate(q, 1, n.batch(out.matrix()), n.batch(bias), Abi.RELU, c));
        };
    line("bias h", t -> pass.apply(false, t));
    line("bias backward d", t -> pass.apply(true, t));
    line(
        "softmax curvature u",
        t -> {
          DeviceMatrix logits = matrix(session, t, 1, 3, 4);
          Operand out = operand(session, t, 2, 3, 4);
          return letter(
              session,
              0,
              out,
              (n, abi, q, c) ->
                  abi.softmaxCurvature(q, 1, n.batch(logits), n.batch(out.matrix()), c));
        });
    line(
        "softmax logits",
        t -> {
          DeviceMatrix logits = matrix(session, t, 1, 3, 4);
          DeviceMatrix labels = matrix(session, DType.I32, 0, 1, 3);
          Operand correct = operand(session, DType.I32, 0, 1, 1);
          return letter(
              session,
              3,
              correct,
              (n, abi, q, c) ->
                  abi.softmaxCrossEntropy(
                      q,
                      1,
                      n.batch(logits),
                      n.matrix(labels),
                      MemorySegment.NULL,
                      MemorySegment.NULL,
                      n.matrix(correct.matrix()),
                      c));
        });
  }

  private void sparse(Rig.Session session) {
    DType f = DType.F32;
    DType i = DType.I32;
    line("top x", t -> top(session, t, f, f, i, i));
    line("top F32 x, minus", t -> top(session, f, t, f, i, i));
    line("top F32 x, residual", t -> top(session, f, f, t, i, i));
    line("top F32 x, messages", t -> top(session, f, f, f, t, i));
    line("top F32 x, flags", t -> top(session, f, f, f, i, t));
    line("at x", t -> at(session, t, i));
    line("at F32 x, indices", t -> at(session, f, t));
    line("above x", t -> above(session, t, DType.F64));
    line("above F32 x, thresholds", t -> above(session, f, t));
    line("thresholds x", t -> thresholds(session, t, DType.F64));
    line("thresholds F32 x, thresholds", t -> thresholds(session, f, t));
    line("sparse accumulate y", t -> sparseSum(session, t, i, i, i));
    line("sparse accumulate messages", t -> sparseSum(session, f, t, i, i));
    line("sparse accumulate halo", t -> sparseSum(session, f, i, t, i));
    line("sparse accumulate indices", t -> sparseSum(session, f, i, i, t));
  }

  /** All elements are sent, so that nothing stays in the residual. */
  private static String top(
      Rig.Session session, DType x, DType minus, DType residual, DType messages, DType flags) {
    DeviceMatrix own = matrix(session, x, 2, 3, 5);
    DeviceMatrix less = matrix(session, minus, 1, 3, 5);
    Operand rest = operand(session, residual, 1, 3, 5);
    DeviceMatrix sent = matrix(session, messages, 0, 3, 10);
    DeviceMatrix bad = matrix(session, flags, 0, 1, 3);
    return letter(
        session,
        0,
        rest,
        (n, abi, q, c) ->
            abi.selectTop(
                q,
                n.matrix(own),
                n.matrix(less),
                n.matrix(rest.matrix()),
                5,
                0,
                n.matrix(sent),
                n.matrix(bad),
                c));
  }

  private static double[][] columns() {
    return new double[][] {{0, 1, 2, 3, 4}};
  }

  private static String at(Rig.Session session, DType x, DType indices) {
    DeviceMatrix own = matrix(session, x, 2, 3, 5);
    Operand rest = operand(session, DType.F32, 1, 3, 5);
    DeviceMatrix sent = matrix(session, DType.I32, 0, 3, 5);
    DeviceMatrix columns = session.matrix(indices, columns(), 5);
    return letter(
        session,
        0,
        rest,
        (n, abi, q, c) ->
            abi.selectAt(
                q,
                n.matrix(own),
                MemorySegment.NULL,
                n.matrix(rest.matrix()),
                n.matrix(columns),
                1,
                n.matrix(sent),
                MemorySegment.NULL,
                c));
  }

  private static String above(Rig.Session session, DType x, DType thresholds) {
    DeviceMatrix own = matrix(session, x, 2, 3, 5);
    Operand rest = operand(session, DType.F32, 1, 3, 5);
    DeviceMatrix sent = matrix(session, DType.I32, 0, 3, 11);
    DeviceMatrix limits = matrix(session, thresholds, 3, 1, 3);
    return letter(
        session,
        0,
        rest,
        (n, abi, q, c) ->
            abi.selectAbove(
                q,
                n.matrix(own),
                MemorySegment.NULL,
                n.matrix(rest.matrix()),
                n.matrix(limits),
                5,
                n.matrix(sent),
                MemorySegment.NULL,
                c));
  }

  private static String thresholds(Rig.Session session, DType x, DType thresholds) {
    DeviceMatrix own = matrix(session, x, 2, 3, 5);
    Operand out = operand(session, thresholds, 0, 1, 3);
    return letter(
        session,
        2,
        out,
        (n, abi, q, c) ->
            abi.sampleThresholds(
                q,
                n.matrix(own),
                MemorySegment.NULL,
                MemorySegment.NULL,
                n.draw(MemorySegment.NULL),
                2,
                3,
                n.matrix(out.matrix()),
                c));
  }

  /** Messages of ones, one of them from elsewhere. */
  private static String sparseSum(
      Rig.Session session, DType y, DType messages, DType halo, DType indices) {
    int one = Float.floatToRawIntBits(1);
    Operand out = operand(session, y, 5, 2, 5);
    DeviceMatrix own = matrix(session, messages, messages == DType.I32 ? one : 1, 2, 5);
    DeviceMatrix far = matrix(session, halo, halo == DType.I32 ? one : 1, 1, 5);
    DeviceMatrix columns = session.matrix(indices, columns(), 5);
    try (MixingWeights w =
        MixingWeights.sparse(
            session.queue(),
            2,
            3,
            new long[] {0, 2, 3},
            new int[] {0, 2, 1},
            new double[] {2, 1, 3})) {
      return letter(
          session,
          8,
          out,
          (n, abi, q, c) ->
              abi.sparseAccumulate(
                  q,
                  w.behind().handle(),
                  Abi.SPARSE_AT,
                  5,
                  n.matrix(columns),
                  MemorySegment.NULL,
                  n.matrix(own),
                  n.matrix(far),
                  1,
                  n.matrix(out.matrix()),
                  c));
    }
  }

  private void codes(Rig.Session session) {
    DType f = DType.F32;
    DType w = DType.I32;
    line("quantize x", t -> quantize(session, t, f, f, f, w, w));
    line("quantize F32 x, minus", t -> quantize(session, f, t, f, f, w, w));
    line("quantize F32 x, residual", t -> quantize(session, f, f, t, f, w, w));
    line("quantize F32 x, uniforms", t -> quantize(session, f, f, f, t, w, w));
    line("quantize F32 x, messages", t -> quantize(session, f, f, f, f, t, w));
    line("quantize F32 x, flags", t -> quantize(session, f, f, f, f, w, t));
    line("quantize accumulate y", t -> accumulate(session, t, w, w));
    line("quantize accumulate, messages", t -> accumulate(session, f, t, w));
    line("quantize accumulate, halo", t -> accumulate(session, f, w, t));
    line("majority messages", t -> majority(session, t, w));
    line("majority out", t -> majority(session, w, t));
  }

  /** 2 - 2 + 0 in natural compression: exponents 0 and signs 0. */
  private static String quantize(
      Rig.Session session,
      DType x,
      DType minus,
      DType residual,
      DType uniforms,
      DType messages,
      DType flags) {
    DeviceMatrix from = matrix(session, x, 2, 3, 5);
    DeviceMatrix less = matrix(session, minus, 2, 3, 5);
    DeviceMatrix rest = matrix(session, residual, 0, 3, 5);
    DeviceMatrix numbers = matrix(session, uniforms, 0, 3, 5);
    DeviceMatrix found = matrix(session, flags, 0, 1, 3);
    Operand out = operand(session, messages, 1, 3, 3);
    return letter(
        session,
        0,
        out,
        (n, abi, q, c) ->
            abi.quantize(
                q,
                n.code(Code.natural()),
                n.draw(n.matrix(numbers)),
                n.matrix(from),
                n.matrix(less),
                n.matrix(rest),
                n.matrix(out.matrix()),
                n.matrix(found),
                c));
  }

  /** Signs that are all one, with weights 1 and 2. */
  private static String accumulate(Rig.Session session, DType y, DType messages, DType halo) {
    DeviceMatrix own = matrix(session, messages, -1, 2, 1);
    DeviceMatrix far = matrix(session, halo, -1, 1, 1);
    Operand out = operand(session, y, 4, 2, 5);
    try (MixingWeights w =
        MixingWeights.sparse(
            session.queue(),
            2,
            3,
            new long[] {0, 2, 3},
            new int[] {0, 2, 1},
            new double[] {1, 1, 2})) {
      return letter(
          session,
          6,
          out,
          (n, abi, q, c) ->
              abi.quantizeAccumulate(
                  q,
                  w.behind().handle(),
                  n.code(Code.sign()),
                  n.matrix(own),
                  n.matrix(far),
                  1,
                  n.matrix(out.matrix()),
                  c));
    }
  }

  private static String majority(Rig.Session session, DType messages, DType out) {
    DeviceMatrix votes = matrix(session, messages, 6, 3, 2);
    Operand result = operand(session, out, 0, 1, 2);
    return letter(
        session,
        6,
        result,
        (n, abi, q, c) -> abi.signMajority(q, n.matrix(votes), 64, n.matrix(result.matrix()), c));
  }

  private void lowRank(Rig.Session session) {
    line("lowrank left x", t -> left(session, t, DType.F32, DType.F32, DType.F32, DType.F32));
    line(
        "lowrank left F32 x, minus",
        t -> left(session, DType.F32, t, DType.F32, DType.F32, DType.F32));
    line(
        "lowrank left F32 x, residual",
        t -> left(session, DType.F32, DType.F32, t, DType.F32, DType.F32));
    line(
        "lowrank left F32 x, q", t -> left(session, DType.F32, DType.F32, DType.F32, t, DType.F32));
    line(
        "lowrank left F32 x, p", t -> left(session, DType.F32, DType.F32, DType.F32, DType.F32, t));
    line("lowrank right x", t -> right(session, t, DType.F32));
    line("lowrank right F32 x, q", t -> right(session, DType.F32, t));
    line(
        "lowrank orthonormalise factors",
        t -> {
          Operand p = operand(session, t, 2, 3, 4);
          return letter(
              session,
              0.5,
              p,
              (n, abi, q, c) ->
                  abi.lowrankOrthonormalise(q, n.longs(0, 4, 4, 1), 1, 0, n.matrix(p.matrix()), c));
        });
    line("lowrank residual x", t -> residual(session, t, DType.F32));
    line("lowrank residual F32 x, out", t -> residual(session, DType.F32, t));
    line("lowrank accumulate y", t -> accumulate(session, t, DType.F32));
    line("lowrank accumulate F32 y, q", t -> accumulate(session, DType.F32, t));
  }

  /** A tensor of 4 x 4 of threes, of rank 1: what is left of it, and of the ones around it. */
  private static String left(
      Rig.Session session, DType x, DType minus, DType residual, DType right, DType left) {
    DeviceMatrix own = matrix(session, x, 4, 3, 16);
    DeviceMatrix less = matrix(session, minus, 2, 3, 16);
    DeviceMatrix more = matrix(session, residual, 1, 3, 16);
    DeviceMatrix q = matrix(session, right, 2, 1, 4);
    Operand p = operand(session, left, 0, 3, 4);
    return letter(
        session,
        24,
        p,
        (n, abi, queue, c) ->
            abi.lowrankLeft(
                queue,
                n.longs(0, 4, 4, 1),
                1,
                n.matrix(own),
                n.matrix(less),
                n.matrix(more),
                n.matrix(q),
                n.matrix(p.matrix()),
                MemorySegment.NULL,
                c));
  }

  private static String right(Rig.Session session, DType x, DType right) {
    DeviceMatrix own = matrix(session, x, 3, 3, 16);
    DeviceMatrix p = matrix(session, DType.F32, 2, 3, 4);
    Operand q = operand(session, right, 0, 3, 4);
    return letter(
        session,
        24,
        q,
        (n, abi, queue, c) ->
            abi.lowrankRight(
                queue,
                n.longs(0, 4, 4, 1),
                1,
                n.matrix(own),
                MemorySegment.NULL,
                MemorySegment.NULL,
                n.matrix(p),
                n.matrix(q.matrix()),
                c));
  }

  private static String residual(Rig.Session session, DType x, DType result) {
    DeviceMatrix own = matrix(session, x, 3, 3, 16);
    DeviceMatrix p = matrix(session, DType.F32, 2, 3, 4);
    DeviceMatrix q = matrix(session, DType.F32, 1, 1, 4);
    Operand out = operand(session, result, 0, 3, 16);
    return letter(
        session,
        1,
        out,
        (n, abi, queue, c) ->
            abi.lowrankResidual(
                queue,
                n.longs(0, 4, 4, 1),
                1,
                n.matrix(own),
                MemorySegment.NULL,
                MemorySegment.NULL,
                n.matrix(p),
                n.matrix(q),
                n.matrix(out.matrix()),
                c));
  }

  private static String accumulate(Rig.Session session, DType y, DType right) {
    DeviceMatrix p = matrix(session, DType.F32, 2, 1, 4);
    DeviceMatrix q = matrix(session, right, 3, 1, 4);
    Operand out = operand(session, y, 1, 3, 16);
    return letter(
        session,
        7,
        out,
        (n, abi, queue, c) ->
            abi.lowrankAccumulate(
                queue,
                MemorySegment.NULL,
                n.longs(0, 4, 4, 1),
                1,
                n.matrix(p),
                n.matrix(q),
                MemorySegment.NULL,
                MemorySegment.NULL,
                1,
                n.matrix(out.matrix()),
                c));
  }

  private void noise(Rig.Session session) {
    // Noise of scale 0 is added, and leaves what stands there.
    line(
        "noise y",
        t -> {
          Operand y = operand(session, t, 3, 2, 5);
          return letter(
              session,
              3,
              y,
              (n, abi, q, c) ->
                  abi.noise(
                      q,
                      MemorySegment.NULL,
                      n.field(NoiseField.Distribution.NORMAL, 2),
                      0,
                      1,
                      n.matrix(y.matrix()),
                      c));
        });
    line(
        "noise words, y",
        t -> {
          Operand y = operand(session, t, 3, 1, 1);
          return letter(
              session,
              OracleNoise.publicWord(0, Stream.PERTURBATION, 0, 0, 0, 0),
              y,
              (n, abi, q, c) ->
                  abi.noise(
                      q,
                      MemorySegment.NULL,
                      n.field(NoiseField.Distribution.WORDS, 1),
                      1,
                      0,
                      n.matrix(y.matrix()),
                      c));
        });
  }

  private void curvature(Rig.Session session) {
    line("adahessian x", t -> curvatureStep(session, Abi.ADAHESSIAN, t, t, t));
    line("adahessian F32 x, g and h", t -> curvatureStep(session, Abi.ADAHESSIAN, DType.F32, t, t));
    line("sophia F32 x, g", t -> curvatureStep(session, Abi.SOPHIA_G, DType.F32, t, DType.F32));
    line("sophia F32 x, h", t -> curvatureStep(session, Abi.SOPHIA_H, DType.F32, DType.F32, t));
    line("hutchinson d", t -> hutchinson(session, t, t));
    line("hutchinson F32 d, hz", t -> hutchinson(session, DType.F32, t));
    line("statistics d", t -> statistics(session, t, t, DType.F64));
    line("statistics F32 d, hz", t -> statistics(session, DType.F32, t, DType.F64));
    line("statistics F32 d, norms", t -> statistics(session, DType.F32, DType.F32, t));
    line("scaled step x", t -> scaledStep(session, t, t, DType.F64));
    line("scaled step F32 x, g", t -> scaledStep(session, DType.F32, t, DType.F64));
    line("scaled step F32 x, eta", t -> scaledStep(session, DType.F32, DType.F32, t));
    line("dots r", t -> dots(session, t, DType.F64));
    line("dots F32 r, out", t -> dots(session, DType.F32, t));
    line("conjugate x", t -> conjugate(session, t, DType.F64));
    line("conjugate F32 x, alpha", t -> conjugate(session, DType.F32, t));
  }

  /** From zeros with zeros: x stays. */
  private static String curvatureStep(
      Rig.Session session, int rule, DType x, DType gradient, DType curvature) {
    Operand parameters = operand(session, x, 5, 3, 5);
    DeviceMatrix g = matrix(session, gradient, 0, 3, 5);
    DeviceMatrix h = matrix(session, curvature, 2, 3, 5);
    DeviceMatrix m = matrix(session, x, 0, 3, 5);
    DeviceMatrix v = matrix(session, x, 0, 3, 5);
    return letter(
        session,
        5,
        parameters,
        (n, abi, q, c) -> {
          MemorySegment step = n.step();
          step.set(ValueLayout.JAVA_INT, Abi.offset(Abi.STEP, "rule"), rule);
          step.set(ValueLayout.JAVA_DOUBLE, Abi.offset(Abi.STEP, "epsilon"), 1);
          return abi.curvatureStep(
              q,
              step,
              1,
              n.matrix(parameters.matrix()),
              n.matrix(g),
              n.matrix(h),
              n.matrix(m),
              rule == Abi.ADAHESSIAN ? n.matrix(v) : MemorySegment.NULL,
              c);
        });
  }

  private static String hutchinson(Rig.Session session, DType d, DType product) {
    Operand average = operand(session, d, 4, 3, 5);
    DeviceMatrix hz = matrix(session, product, 2, 3, 5);
    return letter(
        session,
        3,
        average,
        (n, abi, q, c) ->
            abi.hutchinson(
                q, MemorySegment.NULL, 0.5, n.matrix(hz), n.matrix(average.matrix()), c));
  }

  private static String statistics(Rig.Session session, DType d, DType product, DType norms) {
    Operand out = operand(session, norms, 9, 2, 3);
    DeviceMatrix average = matrix(session, d, 4, 3, 5);
    DeviceMatrix hz = matrix(session, product, 0, 3, 5);
    DeviceMatrix x = matrix(session, d, 3, 3, 5);
    DeviceMatrix before = matrix(session, d, 1, 3, 5);
    return letter(
        session,
        // The average becomes 1, so that both norms are 5 times 2^2.
        20,
        out,
        (n, abi, q, c) ->
            abi.oasisStatistics(
                q,
                MemorySegment.NULL,
                0.25,
                0.5,
                n.matrix(hz),
                n.matrix(average),
                n.matrix(x),
                n.matrix(before),
                n.matrix(x),
                n.matrix(before),
                n.matrix(out.matrix()),
                c));
  }

  private static String scaledStep(Rig.Session session, DType x, DType gradient, DType eta) {
    Operand parameters = operand(session, x, 5, 3, 5);
    DeviceMatrix sizes = matrix(session, eta, 1, 1, 3);
    DeviceMatrix d = matrix(session, x, 2, 3, 5);
    DeviceMatrix g = matrix(session, gradient, 4, 3, 5);
    return letter(
        session,
        3,
        parameters,
        (n, abi, q, c) ->
            abi.oasisStep(
                q,
                1,
                0,
                n.matrix(sizes),
                n.matrix(d),
                n.matrix(g),
                n.matrix(parameters.matrix()),
                MemorySegment.NULL,
                c));
  }

  private static String dots(Rig.Session session, DType r, DType result) {
    Operand out = operand(session, result, 0, 2, 3);
    DeviceMatrix a = matrix(session, r, 2, 3, 5);
    return letter(
        session,
        20,
        out,
        (n, abi, q, c) -> abi.dots(q, n.matrix(a), n.matrix(a), n.matrix(out.matrix()), c));
  }

  private static String conjugate(Rig.Session session, DType x, DType alpha) {
    Operand solution = operand(session, x, 5, 3, 5);
    DeviceMatrix a = matrix(session, alpha, 2, 1, 3);
    DeviceMatrix b = matrix(session, DType.F64, 0, 1, 3);
    List<DeviceMatrix> m = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      m.add(matrix(session, x, 1, 3, 5));
    }
    return letter(
        session,
        7,
        solution,
        (n, abi, q, c) ->
            abi.cgUpdate(
                q,
                n.matrix(a),
                n.matrix(b),
                n.matrix(m.get(0)),
                n.matrix(m.get(1)),
                n.matrix(m.get(2)),
                n.matrix(m.get(3)),
                n.matrix(solution.matrix()),
                c));
  }

  private void factorization(Rig.Session session) {
    line("eigen a", t -> eigen(session, t, t, t, DType.I32));
    line("eigen F32 a, values", t -> eigen(session, DType.F32, t, DType.F32, DType.I32));
    line("eigen F32 a, vectors", t -> eigen(session, DType.F32, DType.F32, t, DType.I32));
    line("eigen F32 a, sweeps", t -> eigen(session, DType.F32, DType.F32, DType.F32, t));
    line("qr a", t -> qr(session, t, t, t));
    line("qr F32 a, q", t -> qr(session, DType.F32, t, DType.F32));
    line("qr F32 a, r", t -> qr(session, DType.F32, DType.F32, t));
    line("polar y", t -> polar(session, t, t, DType.F64, DType.I32));
    line("polar F32 y, x", t -> polar(session, DType.F32, t, DType.F64, DType.I32));
    line("polar F32 y, distance", t -> polar(session, DType.F32, DType.F32, t, DType.I32));
    line("polar F32 y, rank", t -> polar(session, DType.F32, DType.F32, DType.F64, t));
    line("tangent x", t -> tangent(session, t, t));
    line("tangent F32 x, z", t -> tangent(session, DType.F32, t));
    line("cholesky a", t -> cholesky(session, t, DType.I32));
    line("cholesky F32 a, failed", t -> cholesky(session, DType.F32, t));
    line("cholesky solve l", t -> choleskySolve(session, t));
    line("cholesky update l", t -> choleskyUpdate(session, t, t));
    line("cholesky update F32 l, v", t -> choleskyUpdate(session, DType.F32, t));
  }

  private static String polar(Rig.Session session, DType y, DType x, DType distance, DType rank) {
    DeviceMatrix from = matrix(session, y, 3, 1, 1);
    Operand to = operand(session, x, 0, 1, 1);
    DeviceMatrix far = matrix(session, distance, 0, 1, 1);
    DeviceMatrix count = matrix(session, rank, 0, 1, 1);
    return letter(
        session,
        1,
        to,
        (n, abi, q, c) ->
            abi.polar(
                q, 1, n.batch(from), n.batch(to.matrix()), n.matrix(far), n.matrix(count), c));
  }

  /** Of the circle's one tangent at 1. */
  private static String tangent(Rig.Session session, DType x, DType z) {
    DeviceMatrix at = matrix(session, x, 1, 1, 1);
    DeviceMatrix from = matrix(session, z, 5, 1, 1);
    Operand to = operand(session, x, 7, 1, 1);
    return letter(
        session,
        0,
        to,
        (n, abi, q, c) -> abi.tangent(q, 1, n.batch(at), n.batch(from), n.batch(to.matrix()), c));
  }

  private static String cholesky(Rig.Session session, DType a, DType failed) {
    DeviceMatrix from = matrix(session, a, 9, 1, 1);
    Operand to = operand(session, a, 0, 1, 1);
    DeviceMatrix flag = matrix(session, failed, 0, 1, 1);
    return letter(
        session,
        3,
        to,
        (n, abi, q, c) ->
            abi.cholesky(q, 1, n.batch(from), n.batch(to.matrix()), n.matrix(flag), c));
  }

  private static String choleskySolve(Rig.Session session, DType l) {
    DeviceMatrix factor = matrix(session, l, 2, 1, 1);
    DeviceMatrix right = matrix(session, l, 12, 1, 1);
    Operand x = operand(session, l, 0, 1, 1);
    return letter(
        session,
        3,
        x,
        (n, abi, q, c) ->
            abi.choleskySolve(q, 1, n.batch(factor), n.batch(right), n.batch(x.matrix()), c));
  }

  private static String choleskyUpdate(Rig.Session session, DType l, DType v) {
    Operand factor = operand(session, l, 3, 1, 1);
    DeviceMatrix vector = matrix(session, v, 4, 1, 1);
    DeviceMatrix flag = matrix(session, DType.I32, 0, 1, 1);
    return letter(
        session,
        5,
        factor,
        (n, abi, q, c) ->
            abi.choleskyUpdate(
                q, 1, 0, n.batch(factor.matrix()), n.batch(vector), n.matrix(flag), c));
  }

  /** Of 1 x 1 matrices. */
  private static String eigen(
      Rig.Session session, DType a, DType values, DType vectors, DType sweeps) {
    DeviceMatrix from = matrix(session, a, 3, 1, 1);
    Operand value = operand(session, values, 0, 1, 1);
    DeviceMatrix vector = matrix(session, vectors, 0, 1, 1);
    DeviceMatrix count = matrix(session, sweeps, 0, 1, 1);
    return letter(
        session,
        3,
        value,
        (n, abi, q, c) ->
            abi.eigen(
                q, 1, n.batch(from), n.batch(value.matrix()), n.batch(vector), n.matrix(count), c));
  }

  private static String qr(Rig.Session session, DType a, DType orthonormal, DType triangle) {
    DeviceMatrix from = matrix(session, a, -3, 1, 1);
    DeviceMatrix left = matrix(session, orthonormal, 0, 1, 1);
    Operand right = operand(session, triangle, 0, 1, 1);
    return letter(
        session,
        3,
        right,
        (n, abi, q, c) -> abi.qr(q, 1, n.batch(from), n.batch(left), n.batch(right.matrix()), c));
  }
}
