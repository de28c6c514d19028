package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.LongConsumer;

/**
 * What {@link Step} and {@link CurvatureStep} have in common: the state of a rule, its options, and
 * the kith_step that tells the kernel of them. Used by one thread at a time.
 */
final class StepState implements AutoCloseable {
  private static final long ROW_SCALE = Abi.offset(Abi.STEP, "row_scale");
  private static final long COPY = Abi.offset(Abi.STEP, "copy");
  private static final long FLAGS = Abi.offset(Abi.STEP, "flags");

  private final StepOptions options;
  private final long rows;
  private final long cols;
  private final DType dtype;
  private final List<DeviceMatrix> state;
  private final Optional<Clipping> clipping;
  private final MemorySegment step;
  private long count;
  private boolean closed;

  /** The descriptors of one step; s1 and s2 are NULL where the rule has no such state. */
  record Operands(MemorySegment x, MemorySegment g, MemorySegment s1, MemorySegment s2) {}

  /** The native call; AGAIN has it made again. */
  interface Kernel {
    int call(NativeQueue queue, MemorySegment step, Operands operands);
  }

  /** Something besides x and g that is read. */
  record Input(String name, DeviceMatrix matrix, DType dtype) {}

  StepState(int states, StepOptions options, DeviceMatrix parameters) {
    Window x = Access.window(parameters);
    Arguments.computed("step", "parameters", x);
    this.options = options;
    rows = x.rows();
    cols = x.cols();
    dtype = x.dtype();
    checkOptions(x);
    List<Step.Section> sections = Step.Section.of(options, parameters.layout(), cols);
    Arena arena = Arena.ofAuto();
    step = arena.allocate(Abi.STEP);
    describe(arena, sections);
    List<DeviceMatrix> made = new ArrayList<>();
    try {
      for (int i = 0; i < states; i++) {
        made.add(parameters.like());
      }
      state = List.copyOf(made);
      clipping = Clipping.of(options, parameters, sections);
      // Steps may run on another queue than the one that zeroes the state.
      parameters.queue().sync();
    } catch (RuntimeException | Error e) {
      Step.closeAll(made, e);
      throw e;
    }
  }

  private void checkOptions(Window x) {
    if (options.copy().isPresent()) {
      Window copy = Access.window(options.copy().get());
      if (copy.dtype() != DType.BF16 && copy.dtype() != DType.F16) {
        throw new IllegalArgumentException(
            "step: the copy is " + copy + " and must be BF16 or F16");
      }
      Arguments.expect("step", "copy", copy, rows, cols, copy.dtype());
      Arguments.sameDevice("step", "copy", copy, "the parameters", x);
    }
    if (options.flags().isPresent()) {
      Window flags = Access.window(options.flags().get());
      Arguments.expect("step", "flags", flags, 1, rows, DType.I32);
      Arguments.sameDevice("step", "flags", flags, "the parameters", x);
    }
  }

  /** Writes what does not change from step to step. */
  private void describe(Arena arena, List<Step.Section> sections) {
    step.set(ValueLayout.JAVA_INT, Abi.offset(Abi.STEP, "decoupled"), options.decoupled() ? 1 : 0);
    step.set(ValueLayout.JAVA_DOUBLE, Abi.offset(Abi.STEP, "weight_decay"), options.weightDecay());
    step.set(
        ValueLayout.ADDRESS, Abi.offset(Abi.STEP, "groups"), Step.Section.groups(arena, sections));
    step.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.STEP, "group_count"), sections.size());
  }

  /** The kith_step, for the numbers of the rule. */
  MemorySegment struct() {
    return step;
  }

  /** One step; counts it. {@code numbers} gets its number and writes what depends on that. */
  void apply(
      DeviceMatrix x, DeviceMatrix g, List<Input> inputs, LongConsumer numbers, Kernel kernel) {
    if (closed) {
      throw new IllegalStateException("step: the step is closed");
    }
    Window parametersWindow = Access.window(x);
    Window gradient = Access.window(g);
    checkOperands(parametersWindow, gradient, "the gradient", gradient.dtype());
    DType narrow = gradient.dtype();
    if (narrow != dtype && narrow != DType.BF16 && narrow != DType.F16) {
      throw new IllegalArgumentException(
          "step: the gradient is " + gradient + " and must be " + dtype + ", BF16 or F16");
    }
    for (Input input : inputs) {
      checkOperands(parametersWindow, Access.window(input.matrix()), input.name(), input.dtype());
    }
    Window scale = clipping.isPresent() ? clipping.get().scales(g, x.queue()) : null;
    NativeQueue q = parametersWindow.queue();
    int mark = q.begin("step");
    try {
      q.use(parametersWindow);
      q.use(gradient);
      for (Input input : inputs) {
        q.use(Access.window(input.matrix()));
      }
      long t = count + 1;
      numbers.accept(t);
      step.set(ValueLayout.ADDRESS, ROW_SCALE, q.useOrNull(scale));
      step.set(ValueLayout.ADDRESS, COPY, q.useOrNull(Access.windowOrNull(options.copy())));
      step.set(ValueLayout.ADDRESS, FLAGS, q.useOrNull(Access.windowOrNull(options.flags())));
      Operands operands =
          new Operands(parametersWindow.descriptor(), gradient.descriptor(), use(q, 0), use(q, 1));
      int status;
      do {
        status = kernel.call(q, step, operands);
      } while (status == Abi.AGAIN);
      q.check(status);
      count = t;
    } finally {
      q.end(mark);
    }
  }

  private MemorySegment use(NativeQueue q, int i) {
    if (i >= state.size()) {
      return MemorySegment.NULL;
    }
    Window window = Access.window(state.get(i));
    q.use(window);
    return window.descriptor();
  }

  private void checkOperands(Window x, Window read, String name, DType type) {
    Arguments.expect("step", "x", x, rows, cols, dtype);
    Arguments.expect("step", name, read, rows, cols, type);
    Arguments.sameDevice("step", name, read, "x", x);
    Arguments.disjoint("step", "x", x, name, read);
    for (DeviceMatrix matrix : state) {
      Window s = Access.window(matrix);
      Arguments.sameDevice("step", "x", x, "the state", s);
      Arguments.disjoint("step", "x", x, "the state", s);
    }
    if (options.copy().isPresent()) {
      Window copy = Access.window(options.copy().get());
      Arguments.disjoint("step", "copy", copy, "x", x);
      Arguments.disjoint("step", "copy", copy, name, read);
    }
  }

  long count() {
    return count;
  }

  void count(long t) {
    if (t < 0) {
      throw new IllegalArgumentException("count is " + t + " and must be at least 0");
    }
    count = t;
  }

  List<DeviceMatrix> state() {
    return state;
  }

  @Override
  public void close() {
    closed = true;
    List<DeviceMatrix> all = new ArrayList<>(state);
    clipping.ifPresent(c -> all.addAll(c.matrices()));
    RuntimeException failure = new IllegalStateException("closing the step failed");
    Step.closeAll(all, failure);
    if (failure.getSuppressed().length > 0) {
      throw failure;
    }
  }
}
