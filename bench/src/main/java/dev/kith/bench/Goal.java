package dev.kith.bench;

import java.util.Map;

/**
 * A figure to reach.
 *
 * @param measure the name of what is measured, as {@link GoalRow} lists
 * @param threshold the figure
 * @param atLeast whether more is better
 * @param text the goal in words
 */
record Goal(String measure, double threshold, boolean atLeast, String text) {
  static final String REACHED = "reached";
  static final String MISSED = "missed";
  static final String NOT_MEASURED = "not measured";

  /**
   * A goal with what came out.
   *
   * @param text the goal in words
   * @param goal the figure to reach
   * @param value the measured figure, null where it could not be measured
   * @param verdict reached, missed or not measured
   */
  record Outcome(String text, double goal, Double value, String verdict) {}

  static Goal twin(double share) {
    return new Goal("twin", share, true, share + " of the twin");
  }

  static Goal faster(double times, String peer, String form) {
    return new Goal(peer, times, true, times + "x " + form);
  }

  static Goal atLeast(String measure, double value, String text) {
    return new Goal(measure, value, true, text);
  }

  static Goal below(String measure, double value, String text) {
    return new Goal(measure, value, false, text);
  }

  Outcome judge(Map<String, Double> measures) {
    Double value = measures.get(measure);
    if (value == null) {
      return new Outcome(text, threshold, null, NOT_MEASURED);
    }
    boolean reached = atLeast ? value >= threshold : value < threshold;
    return new Outcome(text, threshold, value, reached ? REACHED : MISSED);
  }
}
