package dev.kith.lab.claims;

import java.util.LinkedHashMap;
import java.util.List;
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
 * @param caughtBy the rules that held for the honest run and failed for the sabotaged one
 * @param seconds wall time, the sabotaged run included
 */
public record Verdict(
    String claim,
    String paper,
    String published,
    String condition,
    Map<String, Double> measured,
    String verdict,
    boolean provisional,
    Boolean sabotageFails,
    List<String> caughtBy,
    double seconds) {

  /** Copies the rules. */
  public Verdict {
    caughtBy = List.copyOf(caughtBy);
  }

  /** The keys and values of {@code --json}, in their order. */
  public Map<String, Object> toMap() {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("claim", claim);
    map.put("paper", paper);
    map.put("published", published);
    map.put("condition", condition);
    map.put("measured", measured);
    map.put("verdict", verdict);
    map.put("provisional", provisional);
    map.put("sabotageFails", sabotageFails);
    map.put("seconds", seconds);
    map.put("caughtBy", caughtBy);
    return map;
  }

  /** Passed, and the sabotage, where it was run, was caught. */
  public boolean good() {
    return verdict.equals("PASS") && !Boolean.FALSE.equals(sabotageFails);
  }
}
