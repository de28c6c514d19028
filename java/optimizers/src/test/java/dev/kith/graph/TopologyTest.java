package dev.kith.graph;

import static dev.kith.graph.Matrices.refusal;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TopologyTest {
  private static final String KNOWN =
      "the known ones are ring, path, torus:AxB, grid:AxB, hypercube, star, complete, barbell, erdos-renyi:PROBABILITY,"
          + " barabasi-albert:LINKS, geometric:RADIUS, regular:DEGREE, exponential, petersen, karate-club,"
          + " one-peer-exponential, one-peer-exponential-pairs, one-peer-ring, hyper-hypercube[:AxBx...], base-2,"
          + " alternating-exponential-ring:WORKERS, sparse-gossip[:RATE], random-matching";

  @ParameterizedTest
  @CsvSource({
    "ring, 16",
    "path, 16",
    "torus:4x4, 16",
    "torus:2x8, 16",
    "grid:4x4, 16",
    "hypercube, 16",
    "star, 16",
    "complete, 16",
    "barbell, 16",
    "erdos-renyi:0.4, 16",
    "barabasi-albert:2, 16",
    "geometric:0.6, 16",
    "regular:4, 16",
    "exponential, 16",
    "petersen, 10",
    "karate-club, 34",
    "one-peer-exponential, 13",
    "one-peer-exponential-pairs, 16",
    "one-peer-ring, 16",
    "hyper-hypercube, 16",
    "hyper-hypercube:2x8, 16",
    "base-2, 13",
    "alternating-exponential-ring:4, 16",
    "sparse-gossip:0.2, 16",
    "random-matching, 15"
  })
  void everyNameIsReadBackAndGivesASchedule(String text, int nodes) {
    Topology topology = Topology.parse(text);
    assertEquals(text, topology.text());
    assertEquals(topology, Topology.parse(topology.text()));
    MixingSchedule schedule = topology.schedule(new WeightRule.Metropolis(), nodes, 1);
    assertEquals(nodes, schedule.nodes());
    assertEquals(nodes, schedule.at(0).nodes());
    assertEquals(
        schedule.at(2).lazy(), MixingSchedule.parse(text, "lazy:metropolis", nodes, 1).at(2));
  }

  @Test
  void everyKnownNameIsCoveredByThisTest() {
    assertEquals(KNOWN, "the known ones are " + String.join(", ", Topology.names()));
    assertEquals(23, Topology.names().size());
  }

  @Test
  void unknownNamesListTheKnownOnes() {
    assertEquals("unknown topology 'rings': " + KNOWN, refusal(() -> Topology.parse("rings")));
    assertEquals("unknown topology 'rings:4': " + KNOWN, refusal(() -> Topology.parse("rings:4")));
    assertEquals("unknown topology '': " + KNOWN, refusal(() -> Topology.parse("")));
  }

  @ParameterizedTest
  @CsvSource({
    "torus, torus:AxB",
    "torus:4, torus:AxB",
    "torus:4x4x4, torus:AxB",
    "torus:4xx, torus:AxB",
    "grid:ax4, grid:AxB",
    "ring:4, ring",
    "ring:, ring",
    "erdos-renyi, erdos-renyi:PROBABILITY",
    "erdos-renyi:, erdos-renyi:PROBABILITY",
    "erdos-renyi:half, erdos-renyi:PROBABILITY",
    "regular:3.5, regular:DEGREE",
    "hyper-hypercube:, hyper-hypercube[:AxBx...]",
    "hyper-hypercube:2x, hyper-hypercube[:AxBx...]",
    "sparse-gossip:, sparse-gossip[:RATE]",
    "barabasi-albert:99999999999, barabasi-albert:LINKS"
  })
  void wrongParametersShowTheRightForm(String text, String form) {
    assertEquals(
        "topology '" + text + "' should read " + form, refusal(() -> Topology.parse(text)));
  }

  @Test
  void optionalParametersHaveDefaults() {
    assertEquals(new ChangingTopology.SparseGossip(0.2), Topology.parse("sparse-gossip"));
    assertEquals(new ChangingTopology.HyperHypercube(List.of()), Topology.parse("hyper-hypercube"));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "torus:4x4|15|torus:4x4 has 16 nodes, not 15",
        "grid:2x3|5|grid:2x3 has 6 nodes, not 5",
        "petersen|9|petersen has 10 nodes, not 9",
        "karate-club|16|karate-club has 34 nodes, not 16",
        "hyper-hypercube:2x3|16|hyper-hypercube:2x3 has 6 nodes, not 16",
        "hypercube|15|a hypercube needs a power of two nodes, not 15: take 8 or 16",
        "ring|0|a graph needs at least one node, not 0",
        "base-2|0|a schedule needs at least one node, not 0"
      })
  void numbersOfNodesThatDoNotSuitSaySo(String text, int nodes, String message) {
    assertEquals(message, refusal(() -> MixingSchedule.parse(text, "metropolis", nodes, 1)));
  }

  @Test
  void disconnectedNamesAreRefusedWithTheirComponents() {
    assertEquals(
        "erdos-renyi:0.0 on 4 nodes with seed 7 falls into the components {0}, {1}, {2}, {3}, which can never agree:"
            + " take more links or another seed",
        refusal(() -> MixingSchedule.parse("erdos-renyi:0", "metropolis", 4, 7)));
    assertEquals(
        "regular:0 on 12 nodes with seed 7 falls into the components {0}, {1}, {2}, {3}, {4}, {5}, {6}, {7} and 4"
            + " more, which can never agree: take more links or another seed",
        refusal(() -> MixingSchedule.parse("regular:0", "metropolis", 12, 7)));
    assertEquals(
        "erdos-renyi:0.0 on 4 nodes with seed 7 falls into the components {0}, {1}, {2}, {3}, which can never agree:"
            + " take more links or another seed",
        refusal(() -> MixingSchedule.parse("erdos-renyi:0", "out-degree", 4, 7)));
  }

  @Test
  void changingTopologiesBringTheirOwnWeights() {
    assertEquals(
        "base-2 brings its own weights and cannot take max-degree: leave them at metropolis or lazy:metropolis",
        refusal(() -> MixingSchedule.parse("base-2", "max-degree", 8, 1)));
    assertEquals(
        "base-2 brings its own weights and cannot take out-degree: leave them at metropolis or lazy:metropolis",
        refusal(() -> MixingSchedule.parse("base-2", "lazy:out-degree", 8, 1)));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "one-peer-exponential",
        "one-peer-exponential-pairs",
        "one-peer-ring",
        "hyper-hypercube:2x8",
        "alternating-exponential-ring:4",
        "random-matching"
      })
  void theirOwnWeightsAreThoseOfMetropolis(String text) {
    MixingSchedule schedule = MixingSchedule.parse(text, "metropolis", 16, 1);
    for (long round = 0; round < 6; round++) {
      MixingMatrix w = schedule.at(round);
      MixingMatrix metropolis = new WeightRule.Metropolis().weights(w.graph());
      assertEquals(0, Matrices.distance(metropolis.toDense(), w.toDense()), 2e-16);
    }
  }

  @Test
  void directedTopologiesTakeSomeRules() {
    assertEquals(
        MixingMatrix.Kind.COLUMN_STOCHASTIC,
        MixingSchedule.parse("exponential", "out-degree", 6, 1).at(0).kind());
    assertTrue(
        refusal(() -> MixingSchedule.parse("exponential", "fastest-mixing", 6, 1))
            .startsWith("fastest-mixing weights need an undirected graph"));
  }
}
