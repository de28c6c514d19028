package dev.kith.lab.claims;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What an experiment saw.
 *
 * @param condition the scaled-down condition, in words
 * @param values the figures by name, in the order in which they are shown
 */
public record Measurement(String condition, Map<String, Double> values) {

  /** Takes a copy. */
  public Measurement {
    values = Collections.unmodifiableMap(new LinkedHashMap<>(values));
  }

  static Measurement under(String condition) {
    return new Measurement(condition, Map.of());
  }

  /** This measurement and one more figure. */
  Measurement with(String metric, double value) {
    Map<String, Double> more = new LinkedHashMap<>(values);
    more.put(metric, value);
    return new Measurement(condition, more);
  }
}
