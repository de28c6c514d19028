package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.Call;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * The family {@code quantize}: rows into messages of few bits per element, and messages into sums
 * over neighbours without ever being expanded in memory. A message is a row of an I32 matrix;
 * {@link Code} says what is in it. Results have the same bits at any number of threads, on any
 * instruction set and device.
 *
 * <p>Thread-safe; each operation runs on the queue of its output.
 *
 * <p>Errors of all: {@link IllegalArgumentException} when shapes, dtypes or devices do not fit or
 * matrices overlap; {@link IllegalStateException} when something is closed or the queue is in use
 * by another thread.
 */
public final class Quantize {
  private Quantize() {}

  /**
   * messages(r) = C(x(r)).
   *
   * @param code the code C
   * @param draw the random numbers; empty where the code does not round at random
   * @param x F32
   * @param messages I32, the rows of x, {@link Code#words} columns or more
   */
  public static void quantize(
      Code code, Optional<Draw> draw, DeviceMatrix x, DeviceMatrix messages) {
    quantize(code, draw, x, Optional.empty(), Optional.empty(), messages, Optional.empty());
  }

  /**
   * messages(r) = C(v(r)) and residual' = v - decode(C(v)), in one pass, with v = residual + (x -
   * minus), each sum and difference rounded to f32, without what is not given.
   *
   * @param code the code C
   * @param draw the random numbers; empty where the code does not round at random
   * @param x F32
   * @param minus what is subtracted from x, of its shape
   * @param residual what earlier messages left out, of the shape of x; receives what this one
   *     leaves
   * @param messages I32, the rows of x, {@link Code#words} columns or more; those beyond stay
   * @param flags I32, 1 x rows of x: receives 1 by OR at r if v(r) or what its message decodes to
   *     is not finite; nothing is cleared
   */
  public static void quantize(
      Code code,
      Optional<Draw> draw,
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      DeviceMatrix messages,
      Optional<DeviceMatrix> flags) {
    Window from = Access.window(x);
    Window to = Access.window(messages);
    Window difference = Access.windowOrNull(minus);
    Window rest = Access.windowOrNull(residual);
    Window found = Access.windowOrNull(flags);
    Window given =
        draw.isPresent() && code.stochastic() ? Access.windowOrNull(draw.get().uniforms()) : null;
    Arguments.expect("quantize", "x", from, from.rows(), from.cols(), DType.F32);
    likeX("minus", difference, from, to, rest);
    likeX("uniforms", given, from, to, rest);
    likeX("residual", rest, from, to, null);
    checkMessages("quantize", "messages", to, from.rows(), code.words(from.cols()));
    Arguments.sameDevice("quantize", "messages", to, "x", from);
    Arguments.disjoint("quantize", "messages", to, "x", from);
    if (rest != null) {
      Arguments.disjoint("quantize", "residual", rest, "x", from);
    }
    if (found != null) {
      Arguments.expect("quantize", "flags", found, 1, from.rows(), DType.I32);
      Arguments.sameDevice("quantize", "flags", found, "x", from);
      Arguments.disjoint("quantize", "flags", found, "messages", to);
    }
    if (code.stochastic() && draw.isEmpty()) {
      throw new IllegalArgumentException(
          "quantize: " + code.kind() + " rounds at random and no draw is given");
    }
    if (draw.isPresent() && draw.get().firstNode() + from.rows() > 1L << 31) {
      throw new IllegalArgumentException(
          "quantize: %d rows from node %d on lead beyond node 2^31 - 1"
              .formatted(from.rows(), draw.get().firstNode()));
    }
    NativeQueue q = to.queue();
    int mark = q.begin("quantize");
    try (Arena arena = Arena.ofConfined()) {
      q.use(to);
      q.use(from);
      MemorySegment m = q.useOrNull(difference);
      MemorySegment e = q.useOrNull(rest);
      MemorySegment f = q.useOrNull(found);
      MemorySegment c = describe(arena, code);
      MemorySegment d =
          draw.isPresent() ? draw.get().describe(arena, q.useOrNull(given)) : MemorySegment.NULL;
      int status;
      do {
        status =
            q.abi()
                .quantize(q.handle(), c, d, from.descriptor(), m, e, to.descriptor(), f, q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * y(i) += decode(messages(i)).
   *
   * @param code the code of the messages
   * @param messages I32, the rows of y, {@link Code#words} columns or more
   * @param y F32
   */
  public static void accumulate(Code code, DeviceMatrix messages, DeviceMatrix y) {
    accumulate(Optional.empty(), code, messages, Optional.empty(), true, y);
  }

  /**
   * y(i) = sum over j of w(i, j) decode(m(j)), by fused multiply-adds in the order in which the
   * weights are given, onto y(i) or onto 0. Column j of W names row j of the messages, or row j -
   * (rows of messages) of the halo.
   *
   * @param weights W, sparse; empty for the identity
   * @param code the code of the messages
   * @param messages I32, {@link Code#words} columns or more
   * @param halo messages from other processes, likewise; only with weights
   * @param add whether to add to y, else y is overwritten
   * @param y F32
   * @throws UnsupportedOperationException if W is dense
   */
  public static void accumulate(
      Optional<MixingWeights> weights,
      Code code,
      DeviceMatrix messages,
      Optional<DeviceMatrix> halo,
      boolean add,
      DeviceMatrix y) {
    Window to = Access.window(y);
    Window from = Access.window(messages);
    Window far = Access.windowOrNull(halo);
    Arguments.expect("accumulate", "y", to, to.rows(), to.cols(), DType.F32);
    long words = code.words(to.cols());
    checkMessages("accumulate", "messages", from, from.rows(), words);
    Arguments.sameDevice("accumulate", "messages", from, "y", to);
    Arguments.disjoint("accumulate", "messages", from, "y", to);
    if (far != null) {
      checkMessages("accumulate", "halo", far, far.rows(), words);
      Arguments.sameDevice("accumulate", "halo", far, "y", to);
      Arguments.disjoint("accumulate", "halo", far, "y", to);
    }
    if (weights.isEmpty() && (far != null || from.rows() != to.rows())) {
      throw new IllegalArgumentException(
          "accumulate: without weights there is no halo and as many messages as rows, but there are %d for %s"
              .formatted(from.rows() + (far == null ? 0 : far.rows()), to));
    }
    if (weights.isPresent()) {
      long columns = from.rows() + (far == null ? 0 : far.rows());
      if (weights.get().cols() != columns) {
        throw new IllegalArgumentException(
            "accumulate: the mixing matrix has %d columns and there are %d messages"
                .formatted(weights.get().cols(), columns));
      }
      weights.get().checkResult(to.rows());
    }
    NativeQueue q = to.queue();
    int mark = q.begin("accumulate");
    try (Arena arena = Arena.ofConfined()) {
      q.use(to);
      q.use(from);
      MemorySegment h = q.useOrNull(far);
      MemorySegment w = MemorySegment.NULL;
      if (weights.isPresent()) {
        q.use(weights.get().behind());
        w = weights.get().behind().handle();
      }
      MemorySegment c = describe(arena, code);
      int status;
      do {
        status =
            q.abi()
                .quantizeAccumulate(
                    q.handle(), w, c, from.descriptor(), h, add ? 1 : 0, to.descriptor(), q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * The majority vote of signSGD (Bernstein et al., ICML 2018): bit c of the result is 1 if it is 1
   * in at least half of the messages, so that ties go to 1.
   *
   * @param messages I32, one of {@link Code#sign} in each row
   * @param cols columns of the rows that were signed
   * @param out I32, 1 x a message's words or more: a message of {@link Code#sign}
   */
  public static void majority(DeviceMatrix messages, long cols, DeviceMatrix out) {
    Window from = Access.window(messages);
    Window to = Access.window(out);
    long words = Code.sign().words(cols);
    checkMessages("majority", "messages", from, from.rows(), words);
    checkMessages("majority", "out", to, 1, words);
    Arguments.sameDevice("majority", "messages", from, "out", to);
    Arguments.disjoint("majority", "messages", from, "out", to);
    NativeQueue q = to.queue();
    int mark = q.begin("majority");
    try {
      q.use(to);
      q.use(from);
      int status;
      do {
        status =
            q.abi().signMajority(q.handle(), from.descriptor(), cols, to.descriptor(), q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * Refuses words that {@link #quantize} cannot have written: a wrong number of them, scales that
   * no row gives, codes out of range, padding that is not zero. Any bytes are safe.
   *
   * @param device whose library looks
   * @param code the code of the message
   * @param cols columns of the row it stands for
   * @param words the message in native memory
   * @throws IllegalArgumentException saying what is wrong and where
   */
  public static void check(Device device, Code code, long cols, MemorySegment words) {
    long expected = code.words(cols);
    if (words.byteSize() != 4 * expected) {
      throw new IllegalArgumentException(
          "check: the message has %d bytes and %d columns take %d"
              .formatted(words.byteSize(), cols, 4 * expected));
    }
    try (Arena arena = Arena.ofConfined();
        Call call = new Call()) {
      call.check(
          "check",
          Access.device(device)
              .abi()
              .codeCheck(describe(arena, code), cols, words, expected, call.segment()));
    }
  }

  private static void likeX(String name, Window m, Window x, Window messages, Window residual) {
    if (m == null) {
      return;
    }
    Arguments.expect("quantize", name, m, x.rows(), x.cols(), DType.F32);
    Arguments.sameDevice("quantize", name, m, "x", x);
    Arguments.disjoint("quantize", name, m, "messages", messages);
    if (residual != null) {
      Arguments.disjoint("quantize", name, m, "residual", residual);
    }
  }

  private static void checkMessages(
      String operation, String name, Window messages, long rows, long words) {
    if (messages.rows() != rows || messages.cols() < words || messages.dtype() != DType.I32) {
      throw new IllegalArgumentException(
          "%s: %s is %s and must be %d x %d I32 or wider"
              .formatted(operation, name, messages, rows, words));
    }
  }

  private static MemorySegment describe(Arena arena, Code code) {
    MemorySegment c = arena.allocate(Abi.CODE);
    code.write(c);
    return c;
  }
}
