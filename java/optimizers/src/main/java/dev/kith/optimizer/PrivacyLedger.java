package dev.kith.optimizer;

import dev.kith.privacy.Accountant;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;
import dev.kith.privacy.Mechanism;
import dev.kith.privacy.NodeNoise;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/** The noisy rounds of an optimizer, by who took part in them, for the accountant. */
final class PrivacyLedger {
  private final Optional<NodeNoise> noise;
  private final OptionalDouble clipNorm;
  private final OptionalDouble recordNorm;
  private final Map<List<Integer>, Long> roundsWithout = new LinkedHashMap<>();
  private long counted;

  PrivacyLedger(PrivateStepBuilder<?> settings) {
    this.noise = settings.noise;
    this.clipNorm = settings.clipNorm;
    this.recordNorm = settings.recordNorm;
  }

  /** What the rounds 0 to {@code rounds} - 1 cost. */
  Accountant after(long rounds, Adjacency adjacency, Adversary adversary) {
    NodeNoise added =
        noise.orElseThrow(
            () -> new IllegalStateException("nothing is guaranteed without noise: add some"));
    double bound = bound(adjacency);
    Accountant accountant = Accountant.of(adjacency, adversary, added.origin());
    count(added, rounds);
    for (Map.Entry<List<Integer>, Long> phase : roundsWithout.entrySet()) {
      int[] absent = phase.getKey().stream().mapToInt(Integer::intValue).toArray();
      if (absent.length < added.network().nodes()) {
        accountant =
            accountant.plus(
                new Mechanism.NodeGaussian(added.covariance(absent), bound), phase.getValue());
      }
    }
    return accountant;
  }

  private void count(NodeNoise added, long rounds) {
    if (rounds < counted) {
      roundsWithout.clear();
      counted = 0;
    }
    for (; counted < rounds; counted++) {
      List<Integer> absent = Arrays.stream(added.absent(counted)).boxed().toList();
      roundsWithout.merge(absent, 1L, Long::sum);
    }
  }

  private double bound(Adjacency adjacency) {
    if (adjacency.level() == Adjacency.Level.RECORD) {
      return recordNorm.orElseThrow(
          () ->
              new IllegalArgumentException(
                  "the accountant was not told how far one record moves a node's gradient: give"
                      + " recordNorm for a problem that clips every record, or account for users"));
    }
    return clipNorm.orElseThrow(
        () ->
            new IllegalStateException(
                "nothing bounds what a node's data do to its messages: give a clipping norm"));
  }
}
