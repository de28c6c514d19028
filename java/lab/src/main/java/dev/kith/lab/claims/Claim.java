package dev.kith.lab.claims;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.List;

/**
 * What a paper claims and when Kith calls it reproduced: one entry of {@code claims.json}.
 *
 * @param name the name on the command line
 * @param paper the paper or method
 * @param published the claim as published
 * @param sabotage the fault under which the claim must fail
 * @param rules all must hold for PASS
 */
public record Claim(
    @JsonProperty("claim") String name,
    String paper,
    String published,
    String sabotage,
    List<Rule> rules) {

  /** Checks that there is a rule. */
  public Claim {
    rules = List.copyOf(rules);
    if (rules.isEmpty()) {
      throw new IllegalArgumentException(
          "claim " + name + " has no pass rule: add one to claims.json");
    }
  }

  /** All claims, in the order of the table. */
  public static List<Claim> all() {
    try (InputStream table = Claim.class.getResourceAsStream("claims.json")) {
      return List.of(new ObjectMapper().readValue(table, Claim[].class));
    } catch (IOException broken) {
      throw new UncheckedIOException("claims.json in the lab's jar cannot be read", broken);
    }
  }

  /** Whether a threshold is provisional. */
  public boolean provisional() {
    return rules.stream().anyMatch(Rule::provisional);
  }

  /** The rules that hold for the honest run and not for the sabotaged one: what caught it. */
  public List<Rule> catching(Measurement honest, Measurement sabotaged) {
    return rules.stream().filter(rule -> rule.holds(honest) && !rule.holds(sabotaged)).toList();
  }

  /** Whether every rule holds for what was measured. */
  public boolean holds(Measurement measurement) {
    return rules.stream().allMatch(rule -> rule.holds(measurement));
  }
}
