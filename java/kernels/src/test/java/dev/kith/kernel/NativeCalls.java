package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;
import dev.kith.random.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * The ABI without the checks of the Java operations, for what only native code can be asked: its
 * own checks, and what it does not have.
 */
final class NativeCalls {
  private static final long WAIT_NANOS = 100_000_000;

  private final NativeQueue queue;
  private final Arena arena;

  /** A call with its descriptors; returns a status, which may be AGAIN. */
  interface Body {
    int call(NativeCalls calls, Abi abi, MemorySegment queue, MemorySegment call);
  }

  private NativeCalls(NativeQueue queue, Arena arena) {
    this.queue = queue;
    this.arena = arena;
  }

  /** Runs one operation to its end and returns its status. */
  static int status(Rig.Session session, Body body) {
    NativeQueue queue = Access.queue(session.queue());
    int mark = queue.begin("test");
    try (Arena arena = Arena.ofConfined()) {
      NativeCalls calls = new NativeCalls(queue, arena);
      int status;
      do {
        status = body.call(calls, queue.abi(), queue.handle(), queue.call());
      } while (status == Abi.AGAIN);
      if (status == Abi.OK) {
        // Host memory of the call may be in use until then, and its data may be found wrong.
        do {
          status = queue.abi().queueSync(queue.handle(), WAIT_NANOS, queue.call());
        } while (status == Abi.TIMEOUT);
      }
      queue.call().set(ValueLayout.JAVA_LONG, Abi.offset(Abi.CALL, "cursor"), 0);
      return status;
    } finally {
      queue.end(mark);
    }
  }

  /** kith_code_words. */
  static long words(Rig.Session session, Code code, long cols) {
    long[] words = new long[1];
    int status =
        status(
            session,
            (n, abi, q, call) -> {
              MemorySegment out = n.host(8);
              int result = abi.codeWords(n.code(code), cols, out, call);
              words[0] = out.get(ValueLayout.JAVA_LONG, 0);
              return result;
            });
    assertEquals(Abi.OK, status, error(session));
    return words[0];
  }

  /** A kith_code. */
  MemorySegment code(Code code) {
    MemorySegment segment = arena.allocate(Abi.CODE);
    code.write(segment);
    return segment;
  }

  /** A kith_draw of round 0 from node 0 on. */
  MemorySegment draw(MemorySegment uniforms) {
    MemorySegment segment = arena.allocate(Abi.DRAW);
    segment.set(ValueLayout.JAVA_INT, Abi.offset(Abi.DRAW, "stream"), Stream.ROUNDING.tag());
    segment.set(ValueLayout.ADDRESS, Abi.offset(Abi.DRAW, "uniforms"), uniforms);
    return segment;
  }

  /** A kith_field of Philox rows of seed 0, round 0 and node 0. */
  MemorySegment field(NoiseField.Distribution distribution, int count) {
    MemorySegment segment = arena.allocate(Abi.FIELD);
    segment.set(
        ValueLayout.JAVA_INT, Abi.offset(Abi.FIELD, "distribution"), Abi.number(distribution));
    segment.set(ValueLayout.JAVA_INT, Abi.offset(Abi.FIELD, "stream"), Stream.PERTURBATION.tag());
    segment.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.FIELD, "count"), count);
    segment.set(
        ValueLayout.ADDRESS,
        Abi.offset(Abi.FIELD, "sources"),
        arena.allocate(Abi.SOURCE, Math.max(count, 1)));
    return segment;
  }

  /** What the last operation of the session said. */
  static String error(Rig.Session session) {
    return Access.queue(session.queue())
        .call()
        .get(ValueLayout.ADDRESS, Abi.offset(Abi.CALL, "error"))
        .reinterpret(1024)
        .getString(0);
  }

  /** A kith_matrix. */
  MemorySegment matrix(DeviceMatrix m) {
    Window window = Access.window(m);
    queue.use(window);
    return window.descriptor();
  }

  /** A copy of a kith_matrix, for changing. */
  MemorySegment copy(DeviceMatrix m) {
    return arena.allocate(Abi.MATRIX).copyFrom(matrix(m));
  }

  /** A kith_batch of one matrix. */
  MemorySegment batch(DeviceMatrix m) {
    MemorySegment batch = arena.allocate(Abi.BATCH);
    batch.set(ValueLayout.ADDRESS, Abi.offset(Abi.BATCH, "base"), matrix(m));
    set(batch, Abi.offset(Abi.BATCH, "rows"), m.rows());
    set(batch, Abi.offset(Abi.BATCH, "cols"), m.cols());
    set(batch, Abi.offset(Abi.BATCH, "row_stride"), m.stride());
    return batch;
  }

  private static void set(MemorySegment struct, long offset, long value) {
    struct.set(ValueLayout.JAVA_LONG, offset, value);
  }

  MemorySegment longs(long... values) {
    return arena.allocateFrom(ValueLayout.JAVA_LONG, values);
  }

  MemorySegment ints(int... values) {
    return arena.allocateFrom(ValueLayout.JAVA_INT, values);
  }

  MemorySegment pointers(DeviceMatrix... matrices) {
    MemorySegment array = arena.allocate(ValueLayout.ADDRESS, matrices.length);
    for (int i = 0; i < matrices.length; i++) {
      array.setAtIndex(ValueLayout.ADDRESS, i, matrix(matrices[i]));
    }
    return array;
  }

  /** A kith_expression with coefficients 1. */
  MemorySegment expression(int message, List<DeviceMatrix> inner, List<DeviceMatrix> outer) {
    MemorySegment e = arena.allocate(Abi.EXPRESSION);
    e.set(ValueLayout.JAVA_INT, Abi.offset(Abi.EXPRESSION, "inner_count"), inner.size());
    e.set(ValueLayout.JAVA_INT, Abi.offset(Abi.EXPRESSION, "outer_count"), outer.size());
    e.set(ValueLayout.JAVA_INT, Abi.offset(Abi.EXPRESSION, "message_dtype"), message);
    terms(e, Abi.offset(Abi.EXPRESSION, "inner"), inner);
    terms(e, Abi.offset(Abi.EXPRESSION, "outer"), outer);
    return e;
  }

  /** Gives an expression noise. */
  void noise(MemorySegment expression, MemorySegment factor, MemorySegment field, double scale) {
    MemorySegment term = arena.allocate(Abi.NOISE_TERM);
    term.set(ValueLayout.ADDRESS, Abi.offset(Abi.NOISE_TERM, "factor"), factor);
    term.set(ValueLayout.ADDRESS, Abi.offset(Abi.NOISE_TERM, "field"), field);
    term.set(ValueLayout.JAVA_DOUBLE, Abi.offset(Abi.NOISE_TERM, "scale"), scale);
    expression.set(ValueLayout.ADDRESS, Abi.offset(Abi.EXPRESSION, "noise"), term);
  }

  private void terms(MemorySegment e, long base, List<DeviceMatrix> terms) {
    for (int k = 0; k < terms.size(); k++) {
      MemorySegment term = e.asSlice(base + k * Abi.TERM.byteSize(), Abi.TERM);
      term.set(ValueLayout.ADDRESS, Abi.offset(Abi.TERM, "matrix"), matrix(terms.get(k)));
      term.set(ValueLayout.JAVA_DOUBLE, Abi.offset(Abi.TERM, "coefficient"), 1);
    }
  }

  /** A kith_step of SGD with step size 1. */
  MemorySegment step() {
    MemorySegment step = arena.allocate(Abi.STEP);
    for (String one : List.of("step_size", "bias1", "bias2")) {
      step.set(ValueLayout.JAVA_DOUBLE, Abi.offset(Abi.STEP, one), 1);
    }
    return step;
  }

  MemorySegment host(int bytes) {
    return arena.allocate(bytes, 8);
  }
}
