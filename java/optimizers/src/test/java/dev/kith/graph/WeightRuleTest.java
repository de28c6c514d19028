package dev.kith.graph;

import static dev.kith.graph.Matrices.refusal;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.graph.MixingMatrix.Kind;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class WeightRuleTest {
  private static MixingMatrix weights(String rule, Graph graph) {
    return WeightRule.parse(rule).weights(graph);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "metropolis",
        "max-degree",
        "best-constant",
        "fastest-mixing",
        "fastest-mixing-markov",
        "out-degree",
        "in-degree",
        "lazy:metropolis",
        "lazy:lazy:best-constant"
      })
  void namesAreReadBack(String name) {
    assertEquals(name, WeightRule.parse(name).text());
    assertEquals(WeightRule.parse(name), WeightRule.parse(WeightRule.parse(name).text()));
  }

  @Test
  void unknownNamesListTheKnownOnes() {
    String known =
        "the known ones are metropolis, max-degree, best-constant, fastest-mixing, fastest-mixing-markov,"
            + " out-degree, in-degree, lazy:RULE";
    assertEquals("unknown weight rule 'metro': " + known, refusal(() -> WeightRule.parse("metro")));
    assertEquals("unknown weight rule '': " + known, refusal(() -> WeightRule.parse("lazy:")));
  }

  @Test
  void metropolisAsksTheLargerDegree() {
    MixingMatrix w = weights("metropolis", Topologies.star(4));
    assertEquals(0.25, w.get(0, 1));
    assertEquals(0.25, w.get(1, 0));
    assertEquals(0.75, w.get(1, 1));
    MixingMatrix path = weights("metropolis", Topologies.path(4));
    assertEquals(1.0 / 3, path.get(0, 1));
    assertEquals(2.0 / 3, path.get(0, 0), 2e-16);
    assertEquals(0, path.get(0, 2));
  }

  @Test
  void maxDegreeIsTheLaplacianScaled() {
    Graph graph = Topologies.karateClub();
    MixingMatrix w = weights("max-degree", graph);
    MixingMatrix l = Laplacian.of(graph).matrix();
    for (int i = 0; i < 34; i++) {
      for (int j = 0; j < 34; j++) {
        assertEquals((i == j ? 1 : 0) - l.get(i, j) / 18, w.get(i, j), 1e-15);
      }
    }
  }

  @Test
  void outDegreesShareWhatASenderHas() {
    Graph graph = Graph.directed(3, new int[] {0, 0, 1}, new int[] {1, 2, 2});
    MixingMatrix w = weights("out-degree", graph);
    assertEquals(Kind.COLUMN_STOCHASTIC, w.kind());
    double third = 1.0 / 3;
    assertEquals(
        MixingMatrix.ofDense(
            Kind.COLUMN_STOCHASTIC,
            new double[][] {{third, 0, 0}, {third, 0.5, 0}, {third, 0.5, 1}}),
        w);
  }

  @Test
  void inDegreesShareWhatAReceiverTakes() {
    Graph graph = Graph.directed(3, new int[] {0, 0, 1}, new int[] {1, 2, 2});
    MixingMatrix w = weights("in-degree", graph);
    assertEquals(Kind.ROW_STOCHASTIC, w.kind());
    double third = 1.0 / 3;
    assertEquals(
        MixingMatrix.ofDense(
            Kind.ROW_STOCHASTIC, new double[][] {{1, 0, 0}, {0.5, 0.5, 0}, {third, third, third}}),
        w);
  }

  @Test
  void aRuleGivesEachPartOfAGraphItsBlock() {
    Graph graph = Topologies.barbell(12).keeping((i, j) -> i + j != 11).without(0);
    for (String name :
        new String[] {"metropolis", "best-constant", "fastest-mixing", "fastest-mixing-markov"}) {
      MixingMatrix w = weights(name, graph);
      assertEquals(1, w.get(0, 0), name);
      MixingMatrix five = weights(name, Topologies.complete(5));
      MixingMatrix six = weights(name, Topologies.complete(6));
      assertEquals(
          0,
          Matrices.distance(five.toDense(), w.restrictedTo(1, 2, 3, 4, 5).toDense()),
          1e-15,
          name);
      assertEquals(
          0,
          Matrices.distance(six.toDense(), w.restrictedTo(6, 7, 8, 9, 10, 11).toDense()),
          1e-15,
          name);
    }
  }

  @Test
  void directedGraphsNeedEqualDegrees() {
    Graph cycle = Graph.directed(3, new int[] {0, 1, 2}, new int[] {1, 2, 0});
    assertEquals(0.5, weights("metropolis", cycle).get(1, 0));
    assertEquals(0.5, weights("max-degree", cycle).get(1, 0));
    assertEquals(0, weights("max-degree", cycle).get(0, 1));
    Graph fork = Graph.directed(3, new int[] {0, 0, 1, 2}, new int[] {1, 2, 0, 0});
    assertEquals(
        "metropolis weights need an undirected graph, or a directed one with equal degrees, and node 1 sends to 1"
            + " and receives from 1 where node 0 sends to 2: take out-degree weights and push-sum",
        refusal(() -> weights("metropolis", fork)));
    assertEquals(
        "best-constant weights need an undirected graph: take out-degree weights and push-sum on a directed one",
        refusal(() -> weights("best-constant", cycle)));
  }

  // Fastest mixing

  @ParameterizedTest
  @CsvSource({
    "ring, 8",
    "ring, 16",
    "torus:4x4, 16",
    "hypercube, 16",
    "star, 8",
    "complete, 8",
    "petersen, 10"
  })
  void onGraphsWithLinksAllAlikeTheBestConstantIsFastest(String name, int nodes) {
    Graph graph = ((FixedTopology) Topology.parse(name)).graph(nodes, 1);
    assertEquals(
        weights("best-constant", graph).spectralRadiusOnConsensus(),
        weights("fastest-mixing", graph).spectralRadiusOnConsensus(),
        1e-13);
  }

  @ParameterizedTest
  @CsvSource({"8", "12", "16"})
  void theFastestBarbellHasAClosedForm(int nodes) {
    // sqrt(1 - 2 / n): found by minimising a smooth bound of rho to 1e-9 with another program.
    double rho = weights("fastest-mixing", Topologies.barbell(nodes)).spectralRadiusOnConsensus();
    double best = Math.sqrt(1 - 2.0 / nodes);
    assertTrue(rho >= best - 1e-12, "below the optimum: " + rho);
    assertEquals(best, rho, 2e-5);
  }

  @Test
  void theFastestGridBeatsTheBestConstant() {
    // 0.84198 with the best constant; 0.824389 by minimising a smooth bound of rho with another
    // program.
    double rho = weights("fastest-mixing", Topologies.grid(4, 4)).spectralRadiusOnConsensus();
    assertEquals(0.824389, rho, 1e-5);
  }

  @Test
  void theFastestChainOnAPathHasWeightsOfOneHalf() {
    // S. Boyd, P. Diaconis, J. Sun, L. Xiao, "Fastest mixing Markov chain on a path", 2006.
    MixingMatrix w = weights("fastest-mixing-markov", Topologies.path(9));
    for (int i = 0; i < 8; i++) {
      assertEquals(0.5, w.get(i, i + 1), 1e-9);
    }
    assertEquals(Math.cos(Math.PI / 9), w.spectralRadiusOnConsensus(), 1e-12);
  }

  @Test
  void chainsHaveNoNegativeWeight() {
    MixingMatrix star = weights("fastest-mixing-markov", Topologies.star(8));
    // All weights 1/7, the most that leaves the centre none below 0: rho = 1 - 1/7.
    assertEquals(6.0 / 7, star.spectralRadiusOnConsensus(), 1e-12);
    for (Graph graph : Matrices.smallGraphs()) {
      for (double value : weights("fastest-mixing-markov", graph).values()) {
        assertTrue(value >= -1e-15, value + " in " + graph);
      }
    }
  }

  @Test
  void noRuleIsFasterThanTheFastest() {
    for (Graph graph : Matrices.smallGraphs()) {
      if (graph.connected()) {
        double free = weights("fastest-mixing", graph).spectralRadiusOnConsensus();
        double chain = weights("fastest-mixing-markov", graph).spectralRadiusOnConsensus();
        assertTrue(
            free <= weights("best-constant", graph).spectralRadiusOnConsensus() + 1e-12,
            graph + "");
        assertTrue(free <= chain + 2e-5, graph + "");
        assertTrue(
            chain <= weights("metropolis", graph).spectralRadiusOnConsensus() + 2e-5, graph + "");
      }
    }
  }

  @Test
  void fastestMixingHasALimit() {
    assertEquals(
        "fastest-mixing weights solve 2000 eigenproblems and are limited to 256 nodes, not 300: take best-constant",
        refusal(() -> weights("fastest-mixing", Topologies.ring(300))));
  }
}
