package dev.kith.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.graph.MixingMatrix.Kind;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.IntRange;

/** What holds for every graph, every rule and every schedule. */
class MixingLawsTest {
  private static final String SEED = "20260101";

  /** All seeds are alike: no edge cases. */
  @Provide
  Arbitrary<Long> seeds() {
    return Arbitraries.longs().withoutEdgeCases();
  }

  @Provide
  Arbitrary<Graph> graphs() {
    Arbitrary<Long> seeds = seeds();
    Arbitrary<Integer> nodes = Arbitraries.integers().between(1, 40);
    Arbitrary<Double> shares = Arbitraries.doubles().between(0, 1);
    return Arbitraries.oneOf(
        Combinators.combine(nodes, shares, seeds).as(RandomGraphs::erdosRenyi),
        Combinators.combine(nodes, shares, seeds)
            .as((n, r, seed) -> RandomGraphs.geometric(n, r + 0.01, seed)),
        Combinators.combine(nodes, shares, seeds)
            .as((n, s, seed) -> RandomGraphs.barabasiAlbert(n + 1, 1 + (int) (s * (n - 1)), seed)),
        Combinators.combine(nodes, shares, seeds)
            .as((n, s, seed) -> RandomGraphs.regular(2 * n, (int) (s * (2 * n - 1)), seed)));
  }

  @Provide
  Arbitrary<WeightRule> rules() {
    return Arbitraries.of("metropolis", "max-degree", "best-constant", "lazy:metropolis")
        .map(WeightRule::parse);
  }

  @Provide
  Arbitrary<WeightRule> oneSidedRules() {
    return Arbitraries.of("out-degree", "in-degree").map(WeightRule::parse);
  }

  private static double[][] values(int nodes, long seed) {
    SharedRandom random = new SharedRandom(seed, Stream.TEST, 0, 0);
    double[][] x = new double[nodes][2];
    for (int i = 0; i < nodes; i++) {
      x[i][0] = random.normal(2L * i);
      x[i][1] = 1;
    }
    return x;
  }

  private static double mean(double[][] x) {
    double sum = 0;
    for (double[] row : x) {
      sum += row[0];
    }
    return sum / x.length;
  }

  private static double distance(double[][] x) {
    double mean = mean(x);
    double squares = 0;
    for (double[] row : x) {
      squares += (row[0] - mean) * (row[0] - mean);
    }
    return Math.sqrt(squares);
  }

  @Property(tries = 200, seed = SEED)
  void symmetricRulesKeepMeanAndConstantsAndContract(
      @ForAll("graphs") Graph graph, @ForAll("rules") WeightRule rule, @ForAll("seeds") long seed) {
    MixingMatrix w = rule.weights(graph);
    assertEquals(Kind.DOUBLY_STOCHASTIC, w.kind());
    assertTrue(w.symmetric());
    double[][] x = values(graph.nodes(), seed);
    double[][] mixed = w.times(x);
    // Sums of at most 80 products of numbers below 8.3 with weights of modulus at most 1.
    double rounding = 80 * 8.3 * 0x1p-50;
    assertEquals(mean(x), mean(mixed), rounding);
    for (double[] row : mixed) {
      assertEquals(1, row[1], 80 * 0x1p-50);
    }
    assertTrue(
        distance(mixed) <= w.spectralRadiusOnConsensus() * distance(x) + graph.nodes() * rounding);
  }

  @Property(tries = 100, seed = SEED)
  void weightsStandOnLinksOnly(@ForAll("graphs") Graph graph, @ForAll("rules") WeightRule rule) {
    MixingMatrix w = rule.weights(graph);
    for (int i = 0; i < graph.nodes(); i++) {
      for (int j = 0; j < graph.nodes(); j++) {
        assertTrue(i == j || graph.hasEdge(i, j) == (w.get(i, j) > 0));
      }
    }
  }

  @Property(tries = 100, seed = SEED)
  void oneSidedRulesKeepSumOrConstants(
      @ForAll("graphs") Graph graph,
      @ForAll("oneSidedRules") WeightRule rule,
      @ForAll("seeds") long seed) {
    MixingMatrix w = rule.weights(graph);
    double[][] x = values(graph.nodes(), seed);
    double[][] mixed = w.times(x);
    if (w.kind().columnsSumToOne()) {
      assertEquals(mean(x), mean(mixed), 80 * 8.3 * 0x1p-50);
    } else {
      assertTrue(w.kind().rowsSumToOne());
      for (double[] row : mixed) {
        assertEquals(1, row[1], 80 * 0x1p-50);
      }
    }
  }

  @Property(tries = 100, seed = SEED)
  void theSecondEigenvectorContractsExactly(@ForAll("graphs") Graph graph) {
    if (graph.nodes() < 2) {
      return;
    }
    MixingMatrix w = new WeightRule.Metropolis().weights(graph);
    TridiagonalForm form = new TridiagonalForm(Spectrum.centredRows(w));
    double lambda = w.secondEigenvalue();
    double[] v = Spectrum.expand(form.eigenvector(lambda));
    double[] mixed = new double[v.length];
    w.times(v, mixed);
    for (int i = 0; i < v.length; i++) {
      assertEquals(lambda * v[i], mixed[i], 1e-13);
    }
  }

  @Property(tries = 100, seed = SEED)
  void renumberingKeepsTheSpectrum(@ForAll("graphs") Graph graph, @ForAll("seeds") long seed) {
    MixingMatrix w = new WeightRule.Metropolis().weights(graph);
    int[] p = new SharedRandom(seed, Stream.TEST, 1, 0).permutation(graph.nodes());
    MixingMatrix permuted = w.permuted(p);
    assertTrue(permuted.symmetric());
    assertEquals(w.spectralRadiusOnConsensus(), permuted.spectralRadiusOnConsensus(), 1e-13);
    assertEquals(graph.components(), permuted.graph().components());
  }

  @Property(tries = 100, seed = SEED)
  void failuresKeepEveryMatrixStochastic(
      @ForAll("graphs") Graph graph,
      @ForAll("rules") WeightRule rule,
      @ForAll @IntRange(max = 39) int node,
      @ForAll("seeds") long seed) {
    Failures failures =
        Failures.builder().removeNodes(1, node % graph.nodes()).linkFailure(0.3, seed).build();
    FailingSchedule rebuilt = FailingSchedule.of(graph, rule, failures);
    FailingSchedule returned =
        FailingSchedule.of(MixingSchedule.constant(rule.weights(graph)), failures);
    for (long round = 0; round < 3; round++) {
      // Building checks the sums; the same links survive both ways.
      assertEquals(Kind.DOUBLY_STOCHASTIC, rebuilt.at(round).kind());
      assertEquals(Kind.DOUBLY_STOCHASTIC, returned.at(round).kind());
      assertTrue(returned.at(round).symmetric());
      assertEquals(rebuilt.at(round).graph(), returned.at(round).graph());
    }
  }

  @Property(tries = 60, seed = SEED)
  void base2AveragesAnything(
      @ForAll @IntRange(min = 1, max = 300) int nodes, @ForAll("seeds") long seed) {
    double[][] x = values(nodes, seed);
    MixingSchedule schedule = MixingSchedule.base2(nodes);
    double[][] mixed = x;
    for (long k = 0; k < schedule.period(); k++) {
      mixed = schedule.at(k).times(mixed);
    }
    for (double[] row : mixed) {
      assertEquals(mean(x), row[0], 20 * 8.3 * 0x1p-52);
    }
  }
}
