package dev.kith.kernel;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.internal.Abi;
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
  private final StepState common;
  private StepRule rule;
  private StepParameters parameters;

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
    common = new StepState(rule.states(), options, parameters);
    this.rule = rule;
    this.parameters = StepParameters.of(rule);
    this.parameters.write(common.struct());
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
    common.apply(
        x,
        g,
        List.of(),
        t -> parameters.write(common.struct(), t),
        (q, step, o) ->
            q.abi().applyStep(q.handle(), step, o.x(), o.g(), o.s1(), o.s2(), q.call()));
  }

  /**
   * How many steps were taken.
   *
   * @return t of the last step, 0 before the first
   */
  public long count() {
    return common.count();
  }

  /**
   * Sets how many steps were taken, when a snapshot is loaded.
   *
   * @param t at least 0
   * @throws IllegalArgumentException if it is negative
   */
  public void count(long t) {
    common.count(t);
  }

  /**
   * The state, for snapshots: first moment, then second, in the order of the rule's Javadoc.
   *
   * @return matrices of the shape and dtype of the parameters; they are closed by {@link #close}
   */
  public List<DeviceMatrix> state() {
    return common.state();
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
    parameters.write(common.struct());
  }

  /** Closes the state. Idempotent. */
  @Override
  public void close() {
    common.close();
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
