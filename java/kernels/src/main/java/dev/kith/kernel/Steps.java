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

/**
 * The family {@code step} for many matrices of any shapes at once: one {@link StepRule} with its
 * state for each of them, and one native call a step. The result has the bits of a {@link Step}
 * each. On a device where a call costs microseconds a model of a thousand small tensors steps in
 * the time of one. Used by one thread at a time; runs on the queue of the first matrix of
 * parameters that {@link #apply} gets.
 */
public final class Steps implements AutoCloseable {
  private static final long FLAGS = Abi.offset(Abi.STEP, "flags");

  private final StepOptions options;
  private final List<DeviceMatrix> parameters;
  private final List<List<DeviceMatrix>> state;
  private final DType dtype;
  private final MemorySegment step;
  private final MemorySegment x;
  private final MemorySegment g;
  private final List<MemorySegment> s;
  private StepRule rule;
  private StepParameters coefficients;
  private long count;
  private boolean closed;

  /**
   * Allocates the state, zeros.
   *
   * @param rule the rule
   * @param options weight decay and flags; the flags are I32, 1 x number of matrices, and those of
   *     matrix k take what {@link StepOptions#flags} says of all its rows
   * @param parameters F32 or F64, all of one dtype and device; give shapes and queues, and are not
   *     changed before {@link #apply} gets them
   * @throws IllegalArgumentException if dtypes or devices differ, the list is empty, the flags have
   *     another shape, or the options have groups, clipping or a copy, which a {@link Step} has
   */
  public Steps(StepRule rule, StepOptions options, List<DeviceMatrix> parameters) {
    if (parameters.isEmpty()) {
      throw new IllegalArgumentException("steps: there are no parameters; give a matrix or more");
    }
    this.rule = rule;
    this.options = options;
    this.parameters = List.copyOf(parameters);
    dtype = parameters.getFirst().dtype();
    Window first = Access.window(parameters.getFirst());
    for (DeviceMatrix matrix : parameters) {
      Window window = Access.window(matrix);
      Arguments.computed("steps", "a matrix of parameters", window);
      Arguments.expect("steps", "a matrix", window, window.rows(), window.cols(), dtype);
      Arguments.sameDevice("steps", "a matrix", window, "the first", first);
    }
    checkOptions(first);
    coefficients = StepParameters.of(rule);
    Arena arena = Arena.ofAuto();
    step = arena.allocate(Abi.STEP);
    step.set(ValueLayout.JAVA_INT, Abi.offset(Abi.STEP, "decoupled"), options.decoupled() ? 1 : 0);
    step.set(ValueLayout.JAVA_DOUBLE, Abi.offset(Abi.STEP, "weight_decay"), options.weightDecay());
    coefficients.write(step);
    x = arena.allocate(Abi.MATRIX, parameters.size());
    g = arena.allocate(Abi.MATRIX, parameters.size());
    List<MemorySegment> arrays = new ArrayList<>();
    List<List<DeviceMatrix>> made = new ArrayList<>();
    try {
      for (int i = 0; i < rule.states(); i++) {
        arrays.add(arena.allocate(Abi.MATRIX, parameters.size()));
        List<DeviceMatrix> moments = new ArrayList<>();
        made.add(moments);
        for (DeviceMatrix matrix : parameters) {
          moments.add(matrix.like());
        }
      }
      // Steps may run on another queue than those that zero the state.
      for (DeviceMatrix matrix : parameters) {
        matrix.queue().sync();
      }
    } catch (RuntimeException | Error e) {
      made.forEach(moments -> Step.closeAll(moments, e));
      throw e;
    }
    s = List.copyOf(arrays);
    state = made.stream().map(List::copyOf).toList();
  }

  private void checkOptions(Window first) {
    if (!options.groups().isEmpty()
        || options.clipNorm().isPresent()
        || options.clipNormPerTensor().isPresent()
        || options.copy().isPresent()) {
      throw new IllegalArgumentException(
          "steps: the options have groups, clipping or a copy; make a Step for each matrix"
              + " instead");
    }
    if (options.flags().isPresent()) {
      Window flags = Access.window(options.flags().get());
      Arguments.expect("steps", "flags", flags, 1, parameters.size(), DType.I32);
      Arguments.sameDevice("steps", "flags", flags, "the parameters", first);
    }
  }

  /**
   * One step of every matrix; counts it.
   *
   * @param xs the parameters, of the shapes, dtype and device of those given to the constructor
   * @param gs their gradients: the dtype of the parameters, BF16 or F16, all of one
   * @throws IllegalArgumentException if numbers, shapes, dtypes or devices do not fit, or matrices
   *     overlap
   * @throws IllegalStateException if something is closed or the queue is in use by another thread
   */
  public void apply(List<DeviceMatrix> xs, List<DeviceMatrix> gs) {
    if (closed) {
      throw new IllegalStateException("steps: the steps are closed");
    }
    if (xs.size() != parameters.size() || gs.size() != parameters.size()) {
      throw new IllegalArgumentException(
          "steps: %d matrices and %d gradients were given, and there are %d"
              .formatted(xs.size(), gs.size(), parameters.size()));
    }
    NativeQueue q = Access.window(xs.getFirst()).queue();
    int mark = q.begin("steps");
    try {
      for (int k = 0; k < xs.size(); k++) {
        Window parametersWindow = Access.window(xs.get(k));
        Window gradient = Access.window(gs.get(k));
        checkOperands(k, parametersWindow, gradient, gs.getFirst().dtype());
        put(q, x, k, parametersWindow);
        put(q, g, k, gradient);
        for (int i = 0; i < s.size(); i++) {
          Window moment = Access.window(state.get(i).get(k));
          Arguments.disjoint("steps", "x", parametersWindow, "the state", moment);
          put(q, s.get(i), k, moment);
        }
      }
      long t = count + 1;
      coefficients.write(step, t);
      step.set(ValueLayout.ADDRESS, FLAGS, q.useOrNull(Access.windowOrNull(options.flags())));
      int status;
      do {
        status =
            q.abi().applySteps(q.handle(), step, xs.size(), x, g, moments(0), moments(1), q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
      count = t;
    } finally {
      q.end(mark);
    }
  }

  private void checkOperands(int k, Window xk, Window gk, DType narrow) {
    DeviceMatrix known = parameters.get(k);
    Arguments.expect("steps", "x", xk, known.rows(), known.cols(), dtype);
    if (narrow != dtype && narrow != DType.BF16 && narrow != DType.F16) {
      throw new IllegalArgumentException(
          "steps: a gradient is " + gk + " and must be " + dtype + ", BF16 or F16");
    }
    Arguments.expect("steps", "the gradient", gk, known.rows(), known.cols(), narrow);
    Arguments.sameDevice("steps", "the gradient", gk, "x", xk);
    Arguments.sameDevice("steps", "x", xk, "the parameters", Access.window(known));
    Arguments.disjoint("steps", "x", xk, "the gradient", gk);
  }

  private static void put(NativeQueue q, MemorySegment array, int k, Window window) {
    q.use(window);
    MemorySegment.copy(
        window.descriptor(), 0, array, k * Abi.MATRIX.byteSize(), Abi.MATRIX.byteSize());
  }

  private MemorySegment moments(int i) {
    return i < s.size() ? s.get(i) : MemorySegment.NULL;
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
   * The state, for snapshots: the first moments of all matrices, then the second.
   *
   * @return matrices of the shapes and dtype of the parameters; they are closed by {@link #close}
   */
  public List<List<DeviceMatrix>> state() {
    return state;
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
          "the steps are " + rule.name() + " and cannot become " + next.name() + "; make others");
    }
    rule = next;
    coefficients = StepParameters.of(next);
    coefficients.write(step);
  }

  /** Closes the state. Idempotent. */
  @Override
  public void close() {
    closed = true;
    RuntimeException failure = new IllegalStateException("closing the steps failed");
    state.forEach(moments -> Step.closeAll(moments, failure));
    if (failure.getSuppressed().length > 0) {
      throw failure;
    }
  }
}
