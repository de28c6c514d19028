package dev.kith.lab.claims;

import com.fasterxml.jackson.annotation.JsonProperty;

/**
 * One line of a claim's pass rule: a measured figure compared with a threshold of the card.
 *
 * @param metric the name of the figure in {@link Measurement#values()}
 * @param comparison {@code <}, {@code <=}, {@code >} or {@code >=}
 * @param threshold the figure's bound
 * @param provisional whether the source of the threshold calls it provisional, or it is Kith's own
 *     reading of the claim
 * @param sentence the sentence that the threshold comes from
 */
public record Rule(
    String metric,
    @JsonProperty("is") String comparison,
    double threshold,
    boolean provisional,
    String sentence) {

  /** Checks the comparison. */
  public Rule {
    if (!comparison.matches("[<>]=?")) {
      throw new IllegalArgumentException(
          "the rule for " + metric + " compares with " + comparison + ": write <, <=, > or >=");
    }
  }

  /** Whether the figure keeps the rule; one that was not measured does not. */
  public boolean holds(Measurement measurement) {
    return holds(measurement.values().getOrDefault(metric, Double.NaN));
  }

  /** Whether {@code value} keeps the rule; NaN never does. */
  public boolean holds(double value) {
    return switch (comparison) {
      case "<" -> value < threshold;
      case "<=" -> value <= threshold;
      case ">" -> value > threshold;
      default -> value >= threshold;
    };
  }

  @Override
  public String toString() {
    return metric + " " + comparison + " " + threshold + (provisional ? " (provisional)" : "");
  }
}
