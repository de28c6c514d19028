package dev.kith.lab.claims;

import dev.kith.device.Queue;

/**
 * Where and how an experiment runs.
 *
 * @param queue the device's queue that all matrices live on
 * @param scale {@code CI} takes seconds, {@code FULL} follows the card's own condition
 * @param sabotaged whether the experiment plants the fault that its claim names
 */
public record Setting(Queue queue, Scale scale, boolean sabotaged) {

  /** How much work an experiment may take. */
  public enum Scale {
    CI,
    FULL
  }

  /** {@code ci} at scale {@code CI}, else {@code full}. */
  int pick(int ci, int full) {
    return scale == Scale.CI ? ci : full;
  }
}
