package dev.kith.lab.claims;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import java.util.Map;

/**
 * The outcome of one claim; its components are the keys of {@code reproduce --json}.
 *
 * @param claim name of the claim
 * @param paper the paper
 * @param published the claim as published
 * @param condition the condition it was measured under
 * @param measured the figures
 * @param verdict {@code PASS} or {@code FAIL}
 * @param provisional whether a threshold of the rule is provisional
 * @param sabotageFails whether the sabotaged run failed, as it must; null when it was not run
 * @param seconds wall time, the sabotaged run included
 */
@JsonPropertyOrder({
  "claim",
  "paper",
  "published",
  "condition",
  "measured",
  "verdict",
  "provisional",
  "sabotageFails",
  "seconds"
})
public record Verdict(
    String claim,
    String paper,
    String published,
    String condition,
    Map<String, Double> measured,
    @JsonProperty("verdict") String verdict,
    boolean provisional,
    Boolean sabotageFails,
    double seconds) {

  /** Passed, and the sabotage, where it was run, was caught. */
  public boolean good() {
    return verdict.equals("PASS") && !Boolean.FALSE.equals(sabotageFails);
  }
}
