package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.NativeWeights;
import dev.kith.internal.Window;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;
import java.util.Optional;

/**
 * The family {@code mixing}: one fused kernel that reads and writes each parameter once,
 *
 * <pre>y_i = sum_j w_ij m_j + sum_k b_k u_k,i      m_j = round(sum_k c_k z_k,j + noise_j)</pre>
 *
 * <p>with all sums as chains of fused multiply-adds in the compute type of y (F64 for F64, F32 for
 * all others), in the order in which terms and weights are given. A y of BF16 or F16 is rounded
 * once, at the end, to nearest even. Terms and messages are F64 only where y is; messages without a
 * type of their own have the compute type. Thread-safe; each operation runs on the queue of y.
 *
 * <p>Errors of all: {@link IllegalArgumentException} when shapes, dtypes or devices do not fit or
 * matrices overlap where they must not; {@link IllegalStateException} when something is closed or
 * the queue is in use by another thread.
 */
public final class Mixing {
  private static final long INNER_COUNT = Abi.offset(Abi.EXPRESSION, "inner_count");
  private static final long OUTER_COUNT = Abi.offset(Abi.EXPRESSION, "outer_count");
  private static final long MESSAGE_DTYPE = Abi.offset(Abi.EXPRESSION, "message_dtype");
  private static final long INNER = Abi.offset(Abi.EXPRESSION, "inner");
  private static final long OUTER = Abi.offset(Abi.EXPRESSION, "outer");
  private static final long HALO = Abi.offset(Abi.EXPRESSION, "halo");
  private static final long NOISE = Abi.offset(Abi.EXPRESSION, "noise");
  private static final long NOISE_FACTOR = Abi.offset(Abi.NOISE_TERM, "factor");
  private static final long NOISE_FIELD = Abi.offset(Abi.NOISE_TERM, "field");
  private static final long NOISE_SCALE = Abi.offset(Abi.NOISE_TERM, "scale");
  private static final long TERM_BYTES = Abi.TERM.byteSize();
  private static final long TERM_MATRIX = Abi.offset(Abi.TERM, "matrix");
  private static final long TERM_ROWS = Abi.offset(Abi.TERM, "row_coefficients");
  private static final long TERM_COEFFICIENT = Abi.offset(Abi.TERM, "coefficient");

  private Mixing() {}

  /**
   * y = W (inner sum) + outer sum.
   *
   * @param w a mixing matrix: its columns count the rows of the inner terms, then those of the halo
   * @param e an expression with at least one inner term; terms have as many columns as y, outer
   *     terms as many rows
   * @param y the result, of any floating dtype; may be an outer term, and an inner one if W is
   *     pairwise and there is no halo
   */
  public static void mix(MixingWeights w, Expression e, DeviceMatrix y) {
    run("mix", Objects.requireNonNull(w, "w"), e, Access.window(y), null);
  }

  /**
   * y = W (inner sum) + outer sum, and notes rows that are not finite.
   *
   * @param w a mixing matrix: its columns count the rows of the inner terms, then those of the halo
   * @param e an expression with at least one inner term; terms have as many columns as y, outer
   *     terms as many rows
   * @param y the result, of any floating dtype; may be an outer term, and an inner one if W is
   *     pairwise and there is no halo
   * @param flags I32, 1 x the larger of the rows of y and of the inner terms: receives 1 by OR at j
   *     if W refers to message j and it is not finite, 2 at i if row i of y is not; nothing is
   *     cleared
   */
  public static void mix(MixingWeights w, Expression e, DeviceMatrix y, DeviceMatrix flags) {
    run("mix", Objects.requireNonNull(w, "w"), e, Access.window(y), Access.window(flags));
  }

  /**
   * y = inner sum + outer sum: W is the identity.
   *
   * @param e an expression with at least one term; inner terms are rounded to the message type
   *     first
   * @param y the result, of any floating dtype; may be any of the terms
   */
  public static void combine(Expression e, DeviceMatrix y) {
    run("combine", null, e, Access.window(y), null);
  }

  /**
   * y = inner sum + outer sum, and notes rows that are not finite.
   *
   * @param e an expression with at least one term; inner terms are rounded to the message type
   *     first
   * @param y the result, of any floating dtype; may be any of the terms
   * @param flags I32, 1 x rows of y: receives 1 by OR at i if message i is not finite, 2 if row i
   *     of y is not
   */
  public static void combine(Expression e, DeviceMatrix y, DeviceMatrix flags) {
    run("combine", null, e, Access.window(y), Access.window(flags));
  }

  /** The mixing matrix is null for the identity, flags and halo where there are none. */
  private static void run(
      String name, MixingWeights weights, Expression e, Window y, Window flags) {
    Window halo = Access.windowOrNull(e.halo());
    DType message = e.messageType().orElse(y.dtype().computeType());
    check(name, weights, e, y, flags, halo, message);
    NativeQueue q = y.queue();
    int mark = q.begin(name);
    try (NoiseField.Description field = e.noise().map(n -> n.field().describe()).orElse(null)) {
      q.use(y);
      MemorySegment w = MemorySegment.NULL;
      if (weights != null) {
        q.use(weights.behind());
        w = weights.behind().handle();
      }
      MemorySegment x = q.expression();
      x.set(ValueLayout.JAVA_INT, INNER_COUNT, e.inner().length);
      x.set(ValueLayout.JAVA_INT, OUTER_COUNT, e.outer().length);
      x.set(ValueLayout.JAVA_INT, MESSAGE_DTYPE, Abi.number(message));
      use(q, x, INNER, e.inner());
      use(q, x, OUTER, e.outer());
      x.set(ValueLayout.ADDRESS, HALO, q.useOrNull(halo));
      x.set(ValueLayout.ADDRESS, NOISE, noise(q, e.noise(), field));
      MemorySegment f = q.useOrNull(flags);
      int status;
      do {
        status = q.abi().mix(q.handle(), w, x, y.descriptor(), f, q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /** The description of the field is null without noise. */
  private static MemorySegment noise(
      NativeQueue q, Optional<NoiseTerm> noise, NoiseField.Description field) {
    if (noise.isEmpty()) {
      return MemorySegment.NULL;
    }
    MemorySegment term = q.noiseTerm();
    MemorySegment f = MemorySegment.NULL;
    if (noise.get().factor().isPresent()) {
      NativeWeights factor = noise.get().factor().get().behind();
      q.use(factor);
      f = factor.handle();
    }
    term.set(ValueLayout.ADDRESS, NOISE_FACTOR, f);
    term.set(ValueLayout.ADDRESS, NOISE_FIELD, field.segment());
    term.set(ValueLayout.JAVA_DOUBLE, NOISE_SCALE, noise.get().scale());
    return term;
  }

  private static void use(NativeQueue q, MemorySegment x, long base, Term[] terms) {
    long at = base;
    for (Term term : terms) {
      q.use(term.window());
      x.set(ValueLayout.ADDRESS, at + TERM_MATRIX, term.window().descriptor());
      x.set(ValueLayout.ADDRESS, at + TERM_ROWS, q.useOrNull(term.rowWindow()));
      x.set(ValueLayout.JAVA_DOUBLE, at + TERM_COEFFICIENT, term.coefficient());
      at += TERM_BYTES;
    }
  }

  private static void check(
      String name,
      MixingWeights weights,
      Expression e,
      Window y,
      Window flags,
      Window halo,
      DType message) {
    Arguments.floating(name, "y", y);
    long nodes = e.inner().length == 0 ? 0 : e.inner()[0].window().rows();
    boolean inPlace = weights == null || (weights.isPairwise() && halo == null);
    for (Term term : e.inner()) {
      checkInner(name, term, y, nodes, inPlace);
    }
    for (Term term : e.outer()) {
      checkOuter(name, term, y);
    }
    if (e.noise().isPresent()) {
      checkNoise(name, e.noise().get(), e.inner().length == 0 ? y.rows() : nodes, y);
    }
    if (weights == null) {
      checkIdentity(name, e, nodes, y, halo);
    } else {
      checkWeights(name, weights, e, nodes, y, halo);
    }
    if (halo != null) {
      checkHalo(name, halo, y, message);
    }
    if (message == DType.F64 && y.dtype() != DType.F64) {
      throw new IllegalArgumentException(
          name + ": messages of F64 are wider than y, which is " + y);
    }
    if (flags != null) {
      Arguments.expect(name, "flags", flags, 1, Math.max(nodes, y.rows()), DType.I32);
      Arguments.sameDevice(name, "flags", flags, "y", y);
      Arguments.disjoint(name, "flags", flags, "y", y);
    }
  }

  private static void checkInner(String name, Term term, Window y, long nodes, boolean inPlace) {
    Window z = term.window();
    checkTerm(name, "an inner term", term, y);
    if (z.rows() != nodes) {
      throw new IllegalArgumentException(
          name
              + ": inner terms have "
              + nodes
              + " and "
              + z.rows()
              + " rows; they must have as many");
    }
    if (inPlace) {
      Arguments.disjointOrSame(name, "y", y, "an inner term", z);
    } else {
      Arguments.disjoint(name, "y", y, "an inner term", z);
    }
  }

  private static void checkOuter(String name, Term term, Window y) {
    Window u = term.window();
    checkTerm(name, "an outer term", term, y);
    if (u.rows() != y.rows()) {
      throw new IllegalArgumentException(
          name + ": an outer term is " + u + " and y is " + y + "; they must have as many rows");
    }
    Arguments.disjointOrSame(name, "y", y, "an outer term", u);
  }

  private static void checkTerm(String name, String kind, Term term, Window y) {
    Window z = term.window();
    Arguments.sameDevice(name, kind, z, "y", y);
    Arguments.sameCols(name, kind, z, "y", y);
    if (z.dtype() == DType.F64 && y.dtype() != DType.F64) {
      throw new IllegalArgumentException(
          name + ": " + kind + " is " + z + ", wider than y, which is " + y);
    }
    Window rows = term.rowWindow();
    if (rows != null) {
      Arguments.sameDevice(name, "row coefficients", rows, "y", y);
      Arguments.disjoint(name, "y", y, "row coefficients", rows);
    }
  }

  private static void checkNoise(String name, NoiseTerm noise, long nodes, Window y) {
    if (noise.rows() != nodes) {
      throw new IllegalArgumentException(
          "%s: noise is for %d rows and messages have %d; let the numbers agree"
              .formatted(name, noise.rows(), nodes));
    }
    if (noise.factor().isPresent() && noise.factor().get().behind().device() != y.device()) {
      throw new IllegalArgumentException(
          "%s: the factor of noise is on device %s and y on %s"
              .formatted(name, noise.factor().get().behind().device().name(), y.device().name()));
    }
    if (y.cols() > Noise.MAX_COLUMNS) {
      throw new IllegalArgumentException(
          "%s: y is %s and a row draws at most 2^42 numbers".formatted(name, y));
    }
  }

  private static void checkWeights(
      String name, MixingWeights w, Expression e, long nodes, Window y, Window halo) {
    if (e.inner().length == 0) {
      throw new IllegalArgumentException(
          name + ": the expression has no inner term to apply the mixing matrix to; use combine");
    }
    if (w.behind().device() != y.device()) {
      throw new IllegalArgumentException(
          name
              + ": the mixing matrix is on device "
              + w.behind().device().name()
              + " and y on "
              + y.device().name());
    }
    w.checkResult(y.rows());
    long messages = nodes + (halo == null ? 0 : halo.rows());
    if (w.cols() != messages) {
      throw new IllegalArgumentException(
          "%s: the mixing matrix has %d columns and there are %d messages (%d inner rows%s)"
              .formatted(
                  name,
                  w.cols(),
                  messages,
                  nodes,
                  halo == null ? "" : " and " + halo.rows() + " of the halo"));
    }
  }

  private static void checkIdentity(String name, Expression e, long nodes, Window y, Window halo) {
    if (halo != null) {
      throw new IllegalArgumentException(name + ": without a mixing matrix there is no halo");
    }
    if (e.inner().length + e.outer().length == 0 && e.noise().isEmpty()) {
      throw new IllegalArgumentException(name + ": the expression has no term");
    }
    if (e.inner().length > 0 && nodes != y.rows()) {
      throw new IllegalArgumentException(
          name
              + ": inner terms have "
              + nodes
              + " rows and y is "
              + y
              + "; they must have as many");
    }
  }

  private static void checkHalo(String name, Window halo, Window y, DType message) {
    Arguments.sameDevice(name, "halo", halo, "y", y);
    Arguments.sameCols(name, "halo", halo, "y", y);
    if (halo.dtype() != message) {
      throw new IllegalArgumentException(
          name + ": the halo is " + halo + " and messages are " + message + "; they must agree");
    }
    Arguments.disjoint(name, "halo", halo, "y", y);
  }
}
