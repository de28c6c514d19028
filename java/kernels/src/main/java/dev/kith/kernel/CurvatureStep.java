package dev.kith.kernel;

import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Access;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * The family {@code curvature}: a {@link CurvatureRule} with its state for one matrix of
 * parameters, a model per row, as {@link Step} is for a {@link StepRule}. Every element is read and
 * written once per step. Used by one thread at a time; runs on the queue of the parameters that
 * {@link #apply} gets.
 */
public final class CurvatureStep implements AutoCloseable {
  private final StepState common;
  private CurvatureRule rule;
  private StepParameters parameters;

  /**
   * Allocates the state, zeros.
   *
   * @param rule the rule
   * @param options weight decay, groups, clipping, copy, flags; clipping scales g alone, and flags
   *     say 1 where g or h is not finite
   * @param parameters F32 or F64, a model per row; gives shape, dtype, layout and queue, and is not
   *     kept
   * @throws IllegalArgumentException if options and parameters do not fit, as for {@link Step}
   */
  public CurvatureStep(CurvatureRule rule, StepOptions options, DeviceMatrix parameters) {
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
   * @param h the curvature as the rule wants it: the product Hz in the dtype of g for {@link
   *     CurvatureRule.AdaHessian}, the estimate in that of x for the forms of Sophia; not changed
   * @throws IllegalArgumentException if shapes, dtypes or devices do not fit, or matrices overlap
   * @throws IllegalStateException if something is closed or the queue is in use by another thread
   */
  public void apply(DeviceMatrix x, DeviceMatrix g, DeviceMatrix h) {
    boolean product = rule instanceof CurvatureRule.AdaHessian;
    double scale =
        switch (rule) {
          case CurvatureRule.AdaHessian r -> 0;
          case CurvatureRule.SophiaG r -> r.rho() * r.batchSize();
          case CurvatureRule.SophiaH r -> r.gamma();
        };
    StepState.Input curvature =
        new StepState.Input("the curvature", h, product ? g.dtype() : x.dtype());
    MemorySegment descriptor = Access.window(h).descriptor();
    common.apply(
        x,
        g,
        List.of(curvature),
        this::writeNumbers,
        (q, step, o) ->
            q.abi()
                .curvatureStep(
                    q.handle(), step, scale, o.x(), o.g(), descriptor, o.s1(), o.s2(), q.call()));
  }

  private void writeNumbers(long t) {
    if (rule instanceof CurvatureRule.SophiaG) {
      StepParameters.writeUncorrected(common.struct());
    } else {
      parameters.write(common.struct(), t);
    }
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
   * The state, for snapshots, in the order of the rule's Javadoc.
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
  public CurvatureRule rule() {
    return rule;
  }

  /**
   * Changes the numbers of the rule, for schedules; the state stays.
   *
   * @param next a rule of the same kind
   * @throws IllegalArgumentException if it is of another kind
   */
  public void rule(CurvatureRule next) {
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
}
