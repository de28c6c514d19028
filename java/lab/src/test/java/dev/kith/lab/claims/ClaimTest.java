package dev.kith.lab.claims;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ClaimTest {
  @Test
  void everyClaimHasAnExperimentAndEveryExperimentAClaim() {
    assertTrue(Experiments.matches(Claim.all()));
  }

  @Test
  void namesAreDistinct() {
    List<String> names = Claim.all().stream().map(Claim::name).toList();
    assertEquals(names.size(), new HashSet<>(names).size());
  }

  @Test
  void aMissingFigureFailsTheClaim() {
    Claim claim = Claim.all().getFirst();
    assertFalse(claim.holds(Measurement.under("nothing measured")));
  }

  @Test
  void comparisonsAreStrictWhereTheySaySo() {
    assertFalse(new Rule("m", "<", 1, false, "s").holds(1));
    assertTrue(new Rule("m", "<=", 1, false, "s").holds(1));
    assertFalse(new Rule("m", ">", 1, false, "s").holds(1));
    assertTrue(new Rule("m", ">=", 1, false, "s").holds(1));
    assertFalse(new Rule("m", ">=", 1, false, "s").holds(Double.NaN));
    assertThrows(IllegalArgumentException.class, () -> new Rule("m", "=", 1, false, "s"));
  }

  @Test
  void aClaimThatHoldsPassesAndOneRuleBrokenFailsIt() {
    Claim claim =
        new Claim(
            "c",
            "p",
            "q",
            "s",
            List.of(new Rule("a", "<", 1, false, "s"), new Rule("b", ">", 1, false, "s")));
    assertTrue(claim.holds(Measurement.under("x").with("a", 0).with("b", 2)));
    assertFalse(claim.holds(Measurement.under("x").with("a", 0).with("b", 0)));
  }

  @Test
  void aSabotageIsCaughtByARuleThatTheHonestRunKeeps() {
    Rule broken = new Rule("a", "<", 1, false, "s");
    Rule kept = new Rule("b", ">", 1, false, "s");
    Claim claim = new Claim("c", "p", "q", "s", List.of(broken, kept));
    Measurement honest = Measurement.under("x").with("a", 5).with("b", 2);
    assertEquals(List.of(), claim.catching(honest, honest));
    assertEquals(
        List.of(kept), claim.catching(honest, Measurement.under("x").with("a", 5).with("b", 0)));
  }

  @Test
  void unknownClaimsAreNamedTogetherWithTheKnownOnes() {
    String message =
        assertThrows(
                IllegalArgumentException.class, () -> Reproduction.select(List.of("no-such-claim")))
            .getMessage();
    assertTrue(message.contains("no-such-claim") && message.contains("spectral-gaps"), message);
  }

  @Test
  void jsonHasTheKeysInTheirOrder() {
    Verdict verdict =
        new Verdict("c", "p", "q", "x", Map.of("a", 1.0), "PASS", false, null, List.of(), 0.5);
    assertEquals(
        List.of(
            "claim",
            "paper",
            "published",
            "condition",
            "measured",
            "verdict",
            "provisional",
            "sabotageFails",
            "seconds",
            "caughtBy"),
        List.copyOf(verdict.toMap().keySet()));
    assertEquals(Map.of("a", 1.0), verdict.toMap().get("measured"));
  }

  @Test
  void thePageStatesEveryClaimWithItsRulesAndSabotage() throws IOException {
    String page = Files.readString(Path.of("../../docs/claims.md"));
    for (Claim claim : Claim.all()) {
      assertTrue(page.contains("| `" + claim.name() + "` | " + claim.paper()), claim.name());
      assertTrue(page.contains("- sabotage: " + claim.sabotage()), claim.name());
      for (Rule rule : claim.rules()) {
        assertTrue(page.contains(rule.metric() + " " + rule.comparison() + " "), rule.toString());
        assertTrue(page.contains(rule.sentence()), rule.toString());
      }
    }
  }
}
