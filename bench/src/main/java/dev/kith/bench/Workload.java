package dev.kith.bench;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * An operation on a matrix of a size. Its name is operation-rows x cols: {@code
 * mix-ring-16x4000000}; all data follow from the name, so that every implementation, in whatever
 * process, works on the same numbers.
 *
 * @param operation what is computed
 * @param rows rows of X
 * @param cols columns of X
 */
record Workload(Operation operation, int rows, long cols) {
  private static final Pattern NAME = Pattern.compile("([a-z0-9-]+)-(\\d+)x(\\d+)");

  /** Step size of {@link Operation#ATC_RING}, {@link Operation#DSGT_RING} and the steps. */
  static final float STEP_SIZE = 0.05f;

  /** Decoupled weight decay of {@link Operation#ADAMW}. */
  static final float WEIGHT_DECAY = 0.01f;

  /** Of an edge, in {@link Operation#PAIRWISE_RING}. */
  static final double NOISE_SCALE = 0.01;

  static final float MOMENTUM = 0.9f;
  static final float BETA1 = 0.9f;
  static final float BETA2 = 0.999f;
  static final float EPSILON = 1e-8f;

  static Workload parse(String name) {
    Matcher matcher = NAME.matcher(name);
    if (!matcher.matches()) {
      throw new IllegalArgumentException(
          "the workload '"
              + name
              + "' is not of the form operation-ROWSxCOLS, for example mix-ring-16x4000000");
    }
    return new Workload(
        Operation.named(matcher.group(1)),
        Integer.parseInt(matcher.group(2)),
        Long.parseLong(matcher.group(3)));
  }

  String name() {
    return operation.text() + "-" + rows + "x" + cols;
  }

  String size() {
    return rows + "x" + cols;
  }

  long elements() {
    return rows * cols;
  }

  /**
   * The same operation on at most {@code most} elements: a square tensor stays one, rows that are
   * tall matrices stay and become fewer, other rows become shorter, of odd length, and fewer where
   * they would be shorter than 64.
   */
  Workload within(long most) {
    if (elements() <= most) {
      return this;
    }
    if (operation == Operation.NEWTON_SCHULZ) {
      long width = Long.highestOneBit(most / Math.min(rows, 64));
      return new Workload(operation, Math.min(rows, 64), Math.min(cols, width));
    }
    if (operation == Operation.SOAP) {
      long side = (long) Math.sqrt((double) most / Math.min(rows, 4));
      return new Workload(operation, Math.min(rows, 4), side * side);
    }
    if (operation == Operation.POLAR) {
      return new Workload(operation, (int) Math.max(1, most / cols), cols);
    }
    if (operation == Operation.POWERSGD_R4) {
      long side = (long) Math.sqrt((double) most / rows);
      return new Workload(operation, rows, side * side);
    }
    int fewer = (int) Math.min(rows, most / Math.min(cols, 64));
    long shorter = most / fewer;
    return new Workload(operation, fewer, shorter < cols ? (shorter - 1) | 1 : cols);
  }

  /** Elements that {@link Operation#TOPK} sends of each row. */
  int sent() {
    return (int) Math.max(1, cols / 100);
  }

  /** Bytes that must be moved, each stream once. */
  long bytes() {
    double written = operation == Operation.SIGN_MAJORITY ? cols * 0.125 : 0;
    return Math.round(elements() * operation.bytesPerElement() + written);
  }

  @Override
  public String toString() {
    return name();
  }
}
