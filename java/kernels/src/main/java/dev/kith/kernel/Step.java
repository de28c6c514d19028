package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
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

/**
 * The family {@code step}: a {@link StepRule} with its state for one matrix of parameters, a model
 * per row. Every element is read and written once per step. Used by one thread at a time; runs on
 * the queue of the parameters that {@link #apply} gets.
 */
public final class Step implements AutoCloseable {
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
  private StepRule rule;
  private StepParameters parameters;
  private long count;
  private boolean closed;

  /**
   * Allocates the state, zeros.
   *
   * @param rule the rule
   * @param options weight decay, groups, clipping, copy, flags
   * @param parameters F32 or F64, a model per row; gives shape, dtype, layout and queue, and is not
   *     kept
   * @throws IllegalArgumentException if options and parameters do not fit: groups or clipping by
   *     tensor without a layout, an unknown group, a copy or flags of another shape or dtype
   */
  public Step(StepRule rule, StepOptions options, DeviceMatrix parameters) {
    Window x = Access.window(parameters);
    Arguments.computed("step", "parameters", x);
    this.rule = rule;
    this.options = options;
    this.parameters = StepParameters.of(rule);
    rows = x.rows();
    cols = x.cols();
    dtype = x.dtype();
    checkOptions(x);
    List<Section> sections = Section.of(options, parameters.layout(), cols);
    Arena arena = Arena.ofAuto();
    step = arena.allocate(Abi.STEP);
    describe(arena, sections);
    List<DeviceMatrix> made = new ArrayList<>();
    try {
      for (int i = 0; i < rule.states(); i++) {
        made.add(parameters.like());
      }
      state = List.copyOf(made);
      clipping = Clipping.of(options, parameters, sections);
      // Steps may run on another queue than the one that zeroes the state.
      parameters.queue().sync();
    } catch (RuntimeException | Error e) {
      closeAll(made, e);
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
  private void describe(Arena arena, List<Section> sections) {
    step.set(ValueLayout.JAVA_INT, Abi.offset(Abi.STEP, "decoupled"), options.decoupled() ? 1 : 0);
    step.set(ValueLayout.JAVA_DOUBLE, Abi.offset(Abi.STEP, "weight_decay"), options.weightDecay());
    step.set(ValueLayout.ADDRESS, Abi.offset(Abi.STEP, "groups"), Section.groups(arena, sections));
    step.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.STEP, "group_count"), sections.size());
    parameters.write(step);
  }

  /**
   * One step; counts it.
   *
   * @param x the parameters, of the shape, dtype and device of those given to the constructor
   * @param g their gradient: the dtype of x, BF16 or F16
   * @throws IllegalArgumentException if shapes, dtypes or devices do not fit, or matrices overlap
   * @throws IllegalStateException if something is closed or the queue is in use by another thread
   */
  public void apply(DeviceMatrix x, DeviceMatrix g) {
    if (closed) {
      throw new IllegalStateException("step: the step is closed");
    }
    Window parametersWindow = Access.window(x);
    Window gradient = Access.window(g);
    checkOperands(parametersWindow, gradient);
    Window scale = clipping.isPresent() ? clipping.get().scales(g, x.queue()) : null;
    NativeQueue q = parametersWindow.queue();
    int mark = q.begin("step");
    try {
      q.use(parametersWindow);
      q.use(gradient);
      long t = count + 1;
      parameters.write(step, t);
      step.set(ValueLayout.ADDRESS, ROW_SCALE, q.useOrNull(scale));
      step.set(ValueLayout.ADDRESS, COPY, q.useOrNull(Access.windowOrNull(options.copy())));
      step.set(ValueLayout.ADDRESS, FLAGS, q.useOrNull(Access.windowOrNull(options.flags())));
      MemorySegment s1 = use(q, state, 0);
      MemorySegment s2 = use(q, state, 1);
      int status;
      do {
        status =
            q.abi()
                .applyStep(
                    q.handle(),
                    step,
                    parametersWindow.descriptor(),
                    gradient.descriptor(),
                    s1,
                    s2,
                    q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
      count = t;
    } finally {
      q.end(mark);
    }
  }

  private static MemorySegment use(NativeQueue q, List<DeviceMatrix> matrices, int i) {
    if (i >= matrices.size()) {
      return MemorySegment.NULL;
    }
    Window window = Access.window(matrices.get(i));
    q.use(window);
    return window.descriptor();
  }

  private void checkOperands(Window x, Window g) {
    Arguments.expect("step", "x", x, rows, cols, dtype);
    DType narrow = g.dtype();
    if (narrow != dtype && narrow != DType.BF16 && narrow != DType.F16) {
      throw new IllegalArgumentException(
          "step: the gradient is " + g + " and must be " + dtype + ", BF16 or F16");
    }
    Arguments.expect("step", "the gradient", g, rows, cols, narrow);
    Arguments.sameDevice("step", "the gradient", g, "x", x);
    Arguments.disjoint("step", "x", x, "the gradient", g);
    for (DeviceMatrix matrix : state) {
      Window s = Access.window(matrix);
      Arguments.sameDevice("step", "x", x, "the state", s);
      Arguments.disjoint("step", "x", x, "the state", s);
    }
    if (options.copy().isPresent()) {
      Window copy = Access.window(options.copy().get());
      Arguments.disjoint("step", "copy", copy, "x", x);
      Arguments.disjoint("step", "copy", copy, "the gradient", g);
    }
  }

  /**
   * How many steps were taken.
   *
   * @return t of the last step, 0 before the first
   */
  public long count() {
    return count;
  }

  /**
   * Sets how many steps were taken, when a snapshot is loaded.
   *
   * @param t at least 0
   * @throws IllegalArgumentException if it is negative
   */
  public void count(long t) {
    if (t < 0) {
      throw new IllegalArgumentException("count is " + t + " and must be at least 0");
    }
    count = t;
  }

  /**
   * The state, for snapshots: first moment, then second, in the order of the rule's Javadoc.
   *
   * @return matrices of the shape and dtype of the parameters; they are closed by {@link #close}
   */
  public List<DeviceMatrix> state() {
    return state;
  }

  /**
   * The rule.
   *
   * @return the present one
   */
  public StepRule rule() {
    return rule;
  }

  /**
   * Changes the numbers of the rule, for schedules; the state stays.
   *
   * @param next a rule of the same kind
   * @throws IllegalArgumentException if it is of another kind
   */
  public void rule(StepRule next) {
    if (next.getClass() != rule.getClass()) {
      throw new IllegalArgumentException(
          "the step is " + rule.name() + " and cannot become " + next.name() + "; make another");
    }
    rule = next;
    parameters = StepParameters.of(next);
    parameters.write(step);
  }

  /** Closes the state. Idempotent. */
  @Override
  public void close() {
    closed = true;
    List<DeviceMatrix> all = new ArrayList<>(state);
    clipping.ifPresent(c -> all.addAll(c.matrices()));
    RuntimeException failure = new IllegalStateException("closing the step failed");
    closeAll(all, failure);
    if (failure.getSuppressed().length > 0) {
      throw failure;
    }
  }

  /** Closes each, whatever happens to the others. */
  static void closeAll(List<DeviceMatrix> matrices, Throwable failure) {
    for (DeviceMatrix matrix : matrices) {
      try {
        matrix.close();
      } catch (RuntimeException e) {
        failure.addSuppressed(e);
      }
    }
  }

  /**
   * Columns that share a step scale, a weight decay and a clip factor: a kith_group.
   *
   * @param begin the first
   * @param end behind the last
   * @param group what they have of their own
   */
  record Section(long begin, long end, StepOptions.Group group) {
    private static final StepOptions.Group PLAIN = new StepOptions.Group(1, 0);

    /**
     * Cuts the columns: none when all are alike, one per tensor when tensors are clipped, else
     * joined.
     */
    static List<Section> of(StepOptions options, Optional<Layout> layout, long cols) {
      boolean perTensor = options.clipNormPerTensor().isPresent();
      if (options.groups().isEmpty() && !perTensor) {
        return List.of();
      }
      Layout columns =
          layout
              .filter(l -> l.size() == cols)
              .orElseThrow(
                  () ->
                      new IllegalArgumentException(
                          "step: groups and clipping by tensor need parameters with a layout"));
      for (String name : options.groups().keySet()) {
        if (!columns.groups().contains(name)) {
          throw new IllegalArgumentException(
              "step: the layout has no group \"" + name + "\"; it has " + columns.groups());
        }
      }
      List<Section> sections = new ArrayList<>();
      for (Layout.Tensor tensor : columns.tensors()) {
        StepOptions.Group group = options.groups().getOrDefault(tensor.group(), PLAIN);
        long end = tensor.offset() + tensor.size();
        if (tensor.size() == 0) {
          continue;
        }
        if (!perTensor && !sections.isEmpty() && sections.getLast().group().equals(group)) {
          sections.set(sections.size() - 1, new Section(sections.getLast().begin(), end, group));
        } else {
          sections.add(new Section(tensor.offset(), end, group));
        }
      }
      return sections;
    }

    /** The array of kith_group. */
    static MemorySegment groups(Arena arena, List<Section> sections) {
      if (sections.isEmpty()) {
        return MemorySegment.NULL;
      }
      MemorySegment groups = arena.allocate(Abi.GROUP, sections.size());
      for (int i = 0; i < sections.size(); i++) {
        Section section = sections.get(i);
        MemorySegment at = groups.asSlice(i * Abi.GROUP.byteSize(), Abi.GROUP);
        at.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.GROUP, "begin"), section.begin());
        at.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.GROUP, "end"), section.end());
        at.set(
            ValueLayout.JAVA_DOUBLE,
            Abi.offset(Abi.GROUP, "step_scale"),
            section.group().stepScale());
        at.set(
            ValueLayout.JAVA_DOUBLE,
            Abi.offset(Abi.GROUP, "weight_decay"),
            section.group().weightDecay());
      }
      return groups;
    }
  }
}
