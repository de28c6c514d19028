package dev.kith.lab.experiment;

import dev.kith.privacy.Guarantee;
import dev.kith.privacy.NodeNoise;
import dev.kith.privacy.NoiseOrigin;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/**
 * What the noise of a run guarantees, for reports.
 *
 * @param kind how it is correlated
 * @param guarantee after the rounds that were done
 * @param origin whether it was made of secrets
 * @param holders who holds what it is made of
 * @param clip the norm to which gradients were clipped
 */
public record Privacy(
    NoiseChoice.Kind kind, Guarantee guarantee, NoiseOrigin origin, String holders, double clip) {

  static Privacy of(NoiseChoice choice, Guarantee guarantee, NodeNoise noise) {
    return new Privacy(choice.kind(), guarantee, noise.origin(), noise.holders(), choice.clip());
  }

  /** The keys of {@code --json}. */
  Map<String, Object> summary() {
    Map<String, Object> keys = new LinkedHashMap<>();
    keys.put("noise", kind.shortName());
    keys.put("origin", origin.name());
    keys.put("epsilon", guarantee.epsilon());
    keys.put("delta", guarantee.delta());
    keys.put("adjacency", guarantee.adjacency().toString());
    keys.put("adversary", guarantee.adversary().toString());
    keys.put("method", guarantee.method().name());
    keys.put("certified", guarantee.certified());
    keys.put("clipNorm", clip);
    keys.put("holders", holders);
    keys.put("remark", guarantee.remark());
    return keys;
  }

  /** One line. */
  @Override
  public String toString() {
    return String.format(
        Locale.ROOT,
        "(%.4g, %.3g)-DP, %s, against %s, %s noise: %s",
        guarantee.epsilon(),
        guarantee.delta(),
        guarantee.adjacency(),
        guarantee.adversary(),
        origin,
        guarantee.certified() ? "certified" : "NOT CERTIFIED");
  }
}
