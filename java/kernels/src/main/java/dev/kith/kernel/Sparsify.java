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
 * The family {@code sparsify}: messages of a few elements of a row, and their sum into the mixing
 * result without ever writing a message out in full.
 *
 * <p>What is compressed is a row of
 *
 * <pre>v = residual + (x - minus)</pre>
 *
 * <p>with one f32 operation each, both optional. A message is a row of 32-bit words in an I32
 * matrix, a row per node, which may have more columns than the message has words; these words,
 * little-endian, are what is sent. Values stand as the bits of an f32, any NaN as {@code
 * 0x7fc00000}. A message's length depends on the arguments, never on the data. Its {@link Form}
 * says how it is laid out; columns ascend. The residual becomes v minus what the receiver decodes:
 * error feedback costs no pass of its own.
 *
 * <p>Elements are ordered by |v|, NaN above infinity, ties to the lowest column, so that results
 * have the same bits at any number of threads, on any instruction set and device. flags (I32, 1 x
 * rows of x) receives 1 by OR at r when row r of v is not finite; nothing is cleared.
 *
 * <p>Thread-safe; each operation runs on the queue of its result.
 *
 * <p>Errors of all: {@link IllegalArgumentException} when shapes, dtypes or devices do not fit, a
 * number is out of its range, or messages, residual or flags overlap anything; {@link
 * IllegalStateException} when something is closed or the queue is in use by another thread; {@link
 * UnsupportedOperationException} when x is not F32.
 */
public final class Sparsify {
  private Sparsify() {}

  /** How the words of a message are laid out. */
  public enum Form {
    /** The columns of all entries, then their values. */
    TOP(Abi.SPARSE_TOP),
    /** The values of all entries; both sides know the columns. */
    AT(Abi.SPARSE_AT),
    /**
     * How many entries there are, then room for the columns of as many as fit, then for their
     * values; what is not used is 0.
     */
    ABOVE(Abi.SPARSE_ABOVE);

    private final int number;

    Form(int number) {
      this.number = number;
    }

    /**
     * How long a message is.
     *
     * @param entries the entries it has, or has room for
     * @return words of 32 bits
     */
    public long words(long entries) {
      return switch (this) {
        case TOP -> 2 * entries;
        case AT -> entries;
        case ABOVE -> 1 + 2 * entries;
      };
    }
  }

  /**
   * How many entries a row sends when the k largest of each block do.
   *
   * @param cols columns of the row
   * @param k elements of a block
   * @param block columns of a block, 0 for the whole row; a shorter last one sends at most all it
   *     has
   * @return entries
   */
  public static long topEntries(long cols, long k, long block) {
    return block == 0 ? Math.min(k, cols) : cols / block * k + Math.min(k, cols % block);
  }

  /**
   * Sends the k largest elements of every block of columns, exactly: top-k.
   *
   * @param x F32, a row per node
   * @param minus F32, the shape of x
   * @param residual F32, the shape of x; read and written
   * @param k elements of a block, 0 to its columns
   * @param block columns of a block, 0 for the whole row
   * @param messages I32, rows of x, form TOP with {@link #topEntries} entries
   * @param flags I32, 1 x rows of x
   */
  public static void top(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      long k,
      long block,
      DeviceMatrix messages,
      Optional<DeviceMatrix> flags) {
    Selection s = new Selection("top", x, minus, residual, messages, flags);
    long limit = block == 0 ? s.x.cols() : block;
    if (block < 0 || k < 0 || k > limit) {
      throw new IllegalArgumentException(
          "top: k is %d and blocks have %d columns; choose 0 to as many elements"
              .formatted(k, limit));
    }
    s.checkRoom(Form.TOP.words(topEntries(s.x.cols(), k, block)));
    NativeQueue q = s.begin();
    int mark = q.begin("selectTop");
    try {
      s.use(q);
      int status;
      do {
        status =
            q.abi()
                .selectTop(
                    q.handle(),
                    s.x.descriptor(),
                    Selection.descriptor(s.minus),
                    Selection.descriptor(s.residual),
                    k,
                    block,
                    s.messages.descriptor(),
                    Selection.descriptor(s.flags),
                    q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * Sends scale times the elements at columns that both sides know: random-k, whose columns {@link
   * dev.kith.random.SharedRandom#subset} draws anew at every receiver. What stays is v - scale v at
   * these columns and v elsewhere; the product and the difference are rounded to f32. Without
   * residual and flags other elements are not read.
   *
   * @param x F32, a row per node
   * @param minus F32, the shape of x
   * @param residual F32, the shape of x; read and written
   * @param indices I32, a row of columns for each row of x or one for all, each ascending strictly
   * @param scale the factor, rounded to f32: cols / k makes random-k unbiased
   * @param messages I32, rows of x, form AT with as many entries as indices has columns
   * @param flags I32, 1 x rows of x
   */
  public static void at(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      DeviceMatrix indices,
      double scale,
      DeviceMatrix messages,
      Optional<DeviceMatrix> flags) {
    Selection s = new Selection("at", x, minus, residual, messages, flags);
    Window columns = Access.window(indices);
    s.checkAside("indices", columns, DType.I32);
    checkLists("at", "indices", columns, s.x.rows(), "rows of x");
    s.checkRoom(Form.AT.words(columns.cols()));
    NativeQueue q = s.begin();
    int mark = q.begin("selectAt");
    try {
      s.use(q);
      q.use(columns);
      int status;
      do {
        status =
            q.abi()
                .selectAt(
                    q.handle(),
                    s.x.descriptor(),
                    Selection.descriptor(s.minus),
                    Selection.descriptor(s.residual),
                    columns.descriptor(),
                    scale,
                    s.messages.descriptor(),
                    Selection.descriptor(s.flags),
                    q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * Sends the elements with |v| of at least a threshold, and NaN, from the lowest column up to as
   * many as there is room for; where there are more, flags receives 4 by OR too, and the residual
   * keeps them.
   *
   * @param x F32, a row per node
   * @param minus F32, the shape of x
   * @param residual F32, the shape of x; read and written
   * @param thresholds F64, 1 x rows of x; compared exactly, and one that is NaN takes NaN only
   * @param capacity the entries of a message, 0 to the columns of x
   * @param messages I32, rows of x, form ABOVE with capacity entries
   * @param flags I32, 1 x rows of x
   */
  public static void above(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      DeviceMatrix thresholds,
      long capacity,
      DeviceMatrix messages,
      Optional<DeviceMatrix> flags) {
    Selection s = new Selection("above", x, minus, residual, messages, flags);
    if (capacity < 0 || capacity > s.x.cols()) {
      throw new IllegalArgumentException(
          "above: the capacity is %d and x has %d columns; give room for 0 to as many elements"
              .formatted(capacity, s.x.cols()));
    }
    Window limits = Access.window(thresholds);
    s.checkAside("thresholds", limits, DType.F64);
    Arguments.expect("above", "thresholds", limits, 1, s.x.rows(), DType.F64);
    s.checkRoom(Form.ABOVE.words(capacity));
    NativeQueue q = s.begin();
    int mark = q.begin("selectAbove");
    try {
      s.use(q);
      q.use(limits);
      int status;
      do {
        status =
            q.abi()
                .selectAbove(
                    q.handle(),
                    s.x.descriptor(),
                    Selection.descriptor(s.minus),
                    Selection.descriptor(s.residual),
                    limits.descriptor(),
                    capacity,
                    s.messages.descriptor(),
                    Selection.descriptor(s.flags),
                    q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /** The most columns of a row that a threshold is estimated from. */
  public static final long MOST_SAMPLES = 1L << 20;

  /**
   * Estimates for every row a threshold that a wanted share of it reaches, from a sample of its
   * columns; {@link #above} takes it.
   *
   * <pre>
   * t_r = max(the k-th largest |v(r, c_i)| of i = 0 .. samples - 1, 2^-149)
   * c_i = a_i + floor(w_i (a_(i+1) - a_i) / 2^32),   a_i = floor(i cols / samples)
   * </pre>
   *
   * <p>w_i is word i of the draw: one column of each of as many equal parts of the row. About k
   * cols / samples elements reach t, and no zeros. With samples = cols every column is in the
   * sample, and the k largest of the row reach t, with those that equal it. t is NaN where the k-th
   * largest is. v is formed as in the other operations and stored nowhere: the residual is read
   * only.
   *
   * <p>Source: Lin, Han, Mao, Wang, Dally, "Deep Gradient Compression", 2018, section 5: sampling
   * 0.1 % to 1 % of the elements to find the threshold.
   *
   * @param x F32, a row per node, with columns
   * @param minus F32, the shape of x
   * @param residual F32, the shape of x
   * @param draw the random numbers, without uniforms given one by one; {@link Draw#ofSample}
   * @param k of the elements of a sample, 1 to samples
   * @param samples columns of a row that are looked at, 1 to the columns of x and {@link
   *     #MOST_SAMPLES}
   * @param thresholds t, F64, 1 x rows of x
   */
  public static void sampleThresholds(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      Draw draw,
      long k,
      long samples,
      DeviceMatrix thresholds) {
    String name = "sampleThresholds";
    Window from = Access.window(x);
    Window difference = Access.windowOrNull(minus);
    Window rest = Access.windowOrNull(residual);
    Window to = Access.window(thresholds);
    checkSource(name, from, difference, rest);
    long most = Math.min(from.cols(), MOST_SAMPLES);
    if (samples < 1 || samples > most) {
      throw new IllegalArgumentException(
          "%s: %d samples are no sample of %d columns; draw at least 1 and at most %d"
              .formatted(name, samples, from.cols(), most));
    }
    if (k < 1 || k > samples) {
      throw new IllegalArgumentException(
          "%s: k is %d; take the 1st to the %dth largest of the sample"
              .formatted(name, k, samples));
    }
    if (draw.uniforms().isPresent()) {
      throw new IllegalArgumentException(
          name + ": the draw has uniforms; a sample is drawn by the generator alone");
    }
    if (draw.firstNode() + from.rows() > 1L << 31) {
      throw new IllegalArgumentException(
          "%s: %d rows from node %d on lead beyond node 2^31 - 1"
              .formatted(name, from.rows(), draw.firstNode()));
    }
    Arguments.expect(name, "thresholds", to, 1, from.rows(), DType.F64);
    Arguments.sameDevice(name, "thresholds", to, "x", from);
    Arguments.disjoint(name, "thresholds", to, "x", from);
    NativeQueue q = to.queue();
    int mark = q.begin(name);
    try (Arena arena = Arena.ofConfined()) {
      q.use(to);
      q.use(from);
      MemorySegment m = q.useOrNull(difference);
      MemorySegment e = q.useOrNull(rest);
      MemorySegment d = draw.describe(arena, MemorySegment.NULL);
      int status;
      do {
        status =
            q.abi()
                .sampleThresholds(
                    q.handle(), from.descriptor(), m, e, d, k, samples, to.descriptor(), q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /** What v is made of; minus and residual may be null. */
  private static void checkSource(String name, Window x, Window minus, Window residual) {
    if (x.dtype() != DType.F32) {
      throw new UnsupportedOperationException(
          name + ": x is " + x + " and selections take F32 only");
    }
    if (x.cols() > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          name + ": x is " + x + "; a message names at most 2147483647 columns");
    }
    expectLike(name, "minus", minus, x);
    expectLike(name, "residual", residual, x);
  }

  private static void expectLike(String name, String what, Window window, Window x) {
    if (window != null) {
      Arguments.expect(name, what, window, x.rows(), x.cols(), DType.F32);
      Arguments.sameDevice(name, what, window, "x", x);
    }
  }

  /**
   * Adds messages to the rows of their receivers:
   *
   * <pre>
   * y_i(c) = a;  a = y_i(c) or 0;  a = fma(w_ij, value, a) for the messages j with an entry at c
   * </pre>
   *
   * <p>in the order in which W has them; without W y_i(c) = a + value of message i. Elements that
   * are in no message are not touched (or become 0). A message that is no message - a column out of
   * range, or not above the one before it, or a wrong count - is refused before y is written; on a
   * device that works asynchronously the next wait says so, and what does not fit was passed over.
   *
   * @param w sparse weights: columns count messages, then rows of the halo; empty for the identity
   * @param form of all messages
   * @param entries the entries of a message, or its capacity
   * @param messages I32, the messages of this process's rows
   * @param halo I32, messages that came from other processes
   * @param add whether to start from y, else from 0
   * @param y F32, the receivers
   */
  public static void accumulate(
      Optional<MixingWeights> w,
      Form form,
      long entries,
      DeviceMatrix messages,
      Optional<DeviceMatrix> halo,
      boolean add,
      DeviceMatrix y) {
    if (form == Form.AT) {
      throw new IllegalArgumentException(
          "accumulate: messages of form AT have no columns; give them with accumulateAt");
    }
    accumulate(w, form, entries, null, null, messages, halo, add, y);
  }

  /**
   * The same for messages whose columns both sides know.
   *
   * @param w sparse weights: columns count messages, then rows of the halo; empty for the identity
   * @param indices I32, the columns: a row for each row of messages, or one for all messages
   * @param haloIndices I32, those of the halo, a row for each or one for all; empty where the one
   *     row of indices serves the halo too
   * @param messages I32, the messages of this process's rows, form AT
   * @param halo I32, messages that came from other processes
   * @param add whether to start from y, else from 0
   * @param y F32, the receivers
   */
  public static void accumulateAt(
      Optional<MixingWeights> w,
      DeviceMatrix indices,
      Optional<DeviceMatrix> haloIndices,
      DeviceMatrix messages,
      Optional<DeviceMatrix> halo,
      boolean add,
      DeviceMatrix y) {
    Window columns = Access.window(indices);
    accumulate(
        w,
        Form.AT,
        columns.cols(),
        columns,
        Access.windowOrNull(haloIndices),
        messages,
        halo,
        add,
        y);
  }

  /** The indices are null where the form has none. */
  private static void accumulate(
      Optional<MixingWeights> weights,
      Form form,
      long entries,
      Window indices,
      Window haloIndices,
      DeviceMatrix messages,
      Optional<DeviceMatrix> halo,
      boolean add,
      DeviceMatrix y) {
    Sum sum =
        new Sum(
            weights,
            form,
            entries,
            indices,
            haloIndices,
            Access.window(messages),
            Access.windowOrNull(halo),
            Access.window(y));
    sum.check();
    NativeQueue q = sum.y.queue();
    int mark = q.begin("sparseAccumulate");
    try {
      q.use(sum.y);
      q.use(sum.messages);
      MemorySegment w = MemorySegment.NULL;
      if (weights.isPresent()) {
        q.use(weights.get().behind());
        w = weights.get().behind().handle();
      }
      MemorySegment h = q.useOrNull(sum.halo);
      MemorySegment columns = q.useOrNull(indices);
      MemorySegment haloColumns = q.useOrNull(haloIndices);
      int status;
      do {
        status =
            q.abi()
                .sparseAccumulate(
                    q.handle(),
                    w,
                    form.number,
                    entries,
                    columns,
                    haloColumns,
                    sum.messages.descriptor(),
                    h,
                    add ? 1 : 0,
                    sum.y.descriptor(),
                    q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * Checks the bytes of a message, whatever they are, before anything is done with them: as many
   * words as its form has, columns that ascend strictly in [0, cols), a count that its room allows
   * and zeros behind it. Nothing is allocated but what a copy to an aligned place takes.
   *
   * @param device any; its library does the work
   * @param form of the message
   * @param payload its bytes, little-endian
   * @param cols columns of the row it is of
   * @param entries the entries it has, or has room for
   * @throws IllegalArgumentException if it is no such message; names word, value and what is right
   */
  public static void check(
      Device device, Form form, MemorySegment payload, long cols, long entries) {
    long bytes = payload.byteSize();
    if (bytes % Integer.BYTES != 0) {
      throw new IllegalArgumentException(
          "check: the payload has " + bytes + " bytes and must have a multiple of 4");
    }
    try (Arena arena = Arena.ofConfined();
        Call call = new Call()) {
      boolean aligned = payload.isNative() && payload.address() % Integer.BYTES == 0;
      MemorySegment words =
          aligned ? payload : arena.allocate(bytes, Integer.BYTES).copyFrom(payload);
      int status =
          Access.device(device)
              .abi()
              .sparseCheck(
                  form.number, words, bytes / Integer.BYTES, cols, entries, call.segment());
      call.check("check", status);
    }
  }

  /** Rows of columns, one for each or one for all. */
  private static void checkLists(
      String name, String what, Window lists, long rows, String counted) {
    if (lists.rows() != 1 && lists.rows() != rows) {
      throw new IllegalArgumentException(
          "%s: %s is %s and there are %d %s; give as many rows, or one for all"
              .formatted(name, what, lists, rows, counted));
    }
  }

  /** What a selection reads and writes; minus, residual and flags may be null. */
  private static final class Selection {
    private final String name;
    private final Window x;
    private final Window minus;
    private final Window residual;
    private final Window messages;
    private final Window flags;

    Selection(
        String name,
        DeviceMatrix x,
        Optional<DeviceMatrix> minus,
        Optional<DeviceMatrix> residual,
        DeviceMatrix messages,
        Optional<DeviceMatrix> flags) {
      this.name = name;
      this.x = Access.window(x);
      this.minus = Access.windowOrNull(minus);
      this.residual = Access.windowOrNull(residual);
      this.messages = Access.window(messages);
      this.flags = Access.windowOrNull(flags);
      check();
    }

    private void check() {
      checkSource(name, x, minus, residual);
      Arguments.sameDevice(name, "messages", messages, "x", x);
      apart("messages", messages);
      if (residual != null) {
        apart("residual", residual);
      }
      if (flags != null) {
        Arguments.expect(name, "flags", flags, 1, x.rows(), DType.I32);
        Arguments.sameDevice(name, "flags", flags, "x", x);
        apart("flags", flags);
      }
    }

    /** Something written meets nothing else. */
    private void apart(String what, Window written) {
      apart(what, written, "x", x);
      apart(what, written, "minus", minus);
      apart(what, written, "residual", residual);
      apart(what, written, "messages", messages);
      apart(what, written, "flags", flags);
    }

    private void apart(String what, Window written, String other, Window with) {
      if (with != null && !other.equals(what)) {
        Arguments.disjoint(name, what, written, other, with);
      }
    }

    /** Something more that is read. */
    void checkAside(String what, Window read, DType dtype) {
      if (read.dtype() != dtype) {
        throw new IllegalArgumentException(
            "%s: %s is %s and must be %s".formatted(name, what, read, dtype));
      }
      Arguments.sameDevice(name, what, read, "x", x);
      Arguments.disjoint(name, "messages", messages, what, read);
      if (residual != null) {
        Arguments.disjoint(name, "residual", residual, what, read);
      }
      if (flags != null) {
        Arguments.disjoint(name, "flags", flags, what, read);
      }
    }

    void checkRoom(long words) {
      if (messages.dtype() != DType.I32 || messages.rows() != x.rows() || messages.cols() < words) {
        throw new IllegalArgumentException(
            "%s: messages is %s and must be %d x at least %d I32"
                .formatted(name, messages, x.rows(), words));
      }
    }

    NativeQueue begin() {
      return messages.queue();
    }

    void use(NativeQueue q) {
      q.use(messages);
      q.use(x);
      q.useOrNull(minus);
      q.useOrNull(residual);
      q.useOrNull(flags);
    }

    static MemorySegment descriptor(Window window) {
      return window == null ? MemorySegment.NULL : window.descriptor();
    }
  }

  /** What a sum reads and writes; halo and indices may be null. */
  private record Sum(
      Optional<MixingWeights> weights,
      Form form,
      long entries,
      Window indices,
      Window haloIndices,
      Window messages,
      Window halo,
      Window y) {
    private static final String NAME = "accumulate";

    void check() {
      if (y.dtype() != DType.F32) {
        throw new UnsupportedOperationException(
            NAME + ": y is " + y + " and sparse messages are added to F32 only");
      }
      if (entries < 0 || entries > y.cols()) {
        throw new IllegalArgumentException(
            "%s: messages of %d entries do not fit y, which is %s".formatted(NAME, entries, y));
      }
      checkMessages("messages", messages);
      if (halo != null) {
        checkMessages("halo", halo);
      }
      checkWeights();
      if (indices != null) {
        checkIndices();
      }
    }

    private void checkMessages(String what, Window window) {
      long words = form.words(entries);
      if (window.dtype() != DType.I32 || window.cols() < words) {
        throw new IllegalArgumentException(
            "%s: %s is %s and must have rows of at least %d I32"
                .formatted(NAME, what, window, words));
      }
      aside(what, window);
    }

    private void aside(String what, Window window) {
      Arguments.sameDevice(NAME, what, window, "y", y);
      Arguments.disjoint(NAME, "y", y, what, window);
    }

    private void checkWeights() {
      long all = messages.rows() + (halo == null ? 0 : halo.rows());
      if (weights.isEmpty()) {
        if (halo != null || messages.rows() != y.rows()) {
          throw new IllegalArgumentException(
              "%s: without a mixing matrix there is a message for each row of y, which is %s, and no halo; there are %d"
                  .formatted(NAME, y, all));
        }
        return;
      }
      MixingWeights w = weights.get();
      if (w.behind().device() != y.device()) {
        throw new IllegalArgumentException(
            "%s: the mixing matrix is on device %s and y on %s"
                .formatted(NAME, w.behind().device().name(), y.device().name()));
      }
      w.checkResult(y.rows());
      if (w.cols() != all) {
        throw new IllegalArgumentException(
            "%s: the mixing matrix has %d columns and there are %d messages"
                .formatted(NAME, w.cols(), all));
      }
    }

    private void checkIndices() {
      expectColumns("indices", indices);
      checkLists(NAME, "indices", indices, messages.rows(), "messages");
      if (haloIndices != null) {
        expectColumns("haloIndices", haloIndices);
        long rows = halo == null ? 0 : halo.rows();
        if (halo == null) {
          throw new IllegalArgumentException(
              NAME + ": haloIndices is " + haloIndices + " and there is no halo");
        }
        checkLists(NAME, "haloIndices", haloIndices, rows, "rows of the halo");
      } else if (halo != null && halo.rows() > 0 && indices.rows() != 1) {
        throw new IllegalArgumentException(
            NAME + ": indices is " + indices + "; the halo needs haloIndices, or one row for all");
      }
    }

    private void expectColumns(String what, Window window) {
      Arguments.expect(NAME, what, window, window.rows(), entries, DType.I32);
      aside(what, window);
    }
  }
}
