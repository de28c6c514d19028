package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.problem.Problem;
import java.util.List;

/**
 * A rule of local steps that looks at more than one element of the gradient at a time: at matrices,
 * or at the curvature of the problem. Rules on single elements are {@link
 * dev.kith.kernel.StepRule}s. Immutable and thread-safe; what changes is its {@link State}.
 */
public interface LocalRule {
  /** Its name, with whatever snapshots of the same run have to agree on. */
  String name();

  /**
   * A state for the nodes of a problem, before the first step.
   *
   * @param problem where the gradients come from; its layout names the tensors. It may be asked for
   *     more, where the rule needs it
   * @param x gives rows, columns, dtype and queue of the parameters, and is not kept
   * @throws IllegalArgumentException when the problem lacks what the rule needs
   */
  State start(Problem problem, DeviceMatrix x);

  /** What a rule keeps between steps. Used by one thread at a time. */
  interface State extends AutoCloseable {
    /**
     * One step of every row; counts it.
     *
     * @param x the parameters, changed
     * @param g the gradients, finite; left alone
     * @param at where they were taken: x but in push-sum
     * @param factor multiplies the step size
     * @param draw the number of the draw that gave g, as {@link Problem#gradient} takes it
     */
    void apply(DeviceMatrix x, DeviceMatrix g, DeviceMatrix at, double factor, long draw);

    /** The matrices of the state, with as many rows as x; the same ones at every call. */
    List<DeviceMatrix> matrices();

    /** Steps taken. */
    long count();

    /** Sets how many steps were taken. */
    void count(long steps);

    /** Releases the matrices; idempotent. */
    @Override
    void close();
  }
}
