package dev.kith.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The published spectral values; printed with nine digits, closed forms to rounding. */
class SpectralTableTest {
  private static final double PRINTED = 0.5000001e-9;

  /** The eigenvalue computation is exact to a few n 2^-53. */
  private static final double ROUNDING = 1e-13;

  private static Graph graph(String topology, int nodes) {
    return ((FixedTopology) Topology.parse(topology)).graph(nodes, 1);
  }

  private static MixingMatrix weights(String rule, Graph graph) {
    return WeightRule.parse(rule).weights(graph);
  }

  @ParameterizedTest
  @CsvSource({
    "ring, 4, 0.333333333",
    "ring, 8, 0.804737854",
    "ring, 16, 0.949253022",
    "ring, 32, 0.987190187",
    "path, 8, 0.949253022",
    "path, 16, 0.987190187",
    "torus:4x4, 16, 0.6",
    "torus:6x6, 36, 0.8",
    "torus:8x8, 64, 0.882842712",
    "grid:4x4, 16, 0.868640618",
    "hypercube, 8, 0.5",
    "hypercube, 16, 0.6",
    "hypercube, 32, 0.666666667",
    "star, 8, 0.875",
    "star, 16, 0.9375",
    "complete, 7, 0",
    "exponential, 8, 0.5",
    "exponential, 16, 0.6",
    "exponential, 32, 0.666666667",
    "barbell, 16, 0.977314614",
    "petersen, 10, 0.5",
    "karate-club, 34, 0.968763582"
  })
  void metropolisWeights(String topology, int nodes, double rho) {
    MixingMatrix w = weights("metropolis", graph(topology, nodes));
    assertEquals(rho, w.spectralRadiusOnConsensus(), PRINTED);
    assertEquals(1 - rho, w.spectralGap(), PRINTED);
  }

  @ParameterizedTest
  @CsvSource({
    "ring, 8, 0.436130210, 0.744520838",
    "ring, 16, 0.481667618, 0.926670472",
    "ring, 32, 0.495242032, 0.980968126",
    "path, 8, 0.5, 0.923879533",
    "path, 16, 0.5, 0.980785280",
    "torus:4x4, 16, 0.2, 0.6",
    "torus:6x6, 36, 0.222222222, 0.777777778",
    "torus:8x8, 64, 0.232943134, 0.863545071",
    "grid:4x4, 16, 0.269752143, 0.841982853",
    "hypercube, 8, 0.25, 0.5",
    "hypercube, 16, 0.2, 0.6",
    "hypercube, 32, 0.166666667, 0.666666667",
    "star, 8, 0.222222222, 0.777777778",
    "star, 16, 0.117647059, 0.882352941",
    "complete, 8, 0.125, 0",
    "barbell, 16, 0.2, 0.959166305",
    "petersen, 10, 0.285714286, 0.428571429",
    "karate-club, 34, 0.107496706, 0.949635081"
  })
  void bestConstantWeights(String topology, int nodes, double constant, double rho) {
    Graph graph = graph(topology, nodes);
    MixingMatrix w = weights("best-constant", graph);
    assertEquals(constant, w.get(0, graph.neighbour(0, 0)), PRINTED);
    assertEquals(rho, w.spectralRadiusOnConsensus(), PRINTED);
  }

  @Test
  void maxDegreeWeights() {
    assertEquals(
        0.882842712,
        weights("max-degree", Topologies.grid(4, 4)).spectralRadiusOnConsensus(),
        PRINTED);
    assertEquals(
        0.973970821,
        weights("max-degree", Topologies.karateClub()).spectralRadiusOnConsensus(),
        PRINTED);
  }

  @ParameterizedTest
  @ValueSource(ints = {3, 4, 5, 8, 16, 31, 32})
  void ringClosedForm(int n) {
    MixingMatrix w = weights("metropolis", Topologies.ring(n));
    assertEquals((1 + 2 * Math.cos(2 * Math.PI / n)) / 3, w.secondEigenvalue(), ROUNDING);
    int half = n / 2;
    assertEquals((1 + 2 * Math.cos(2 * Math.PI * half / n)) / 3, w.smallestEigenvalue(), ROUNDING);
  }

  @ParameterizedTest
  @ValueSource(ints = {3, 8, 16, 25})
  void pathClosedForm(int n) {
    MixingMatrix w = weights("metropolis", Topologies.path(n));
    assertEquals(1 - (2 - 2 * Math.cos(Math.PI / n)) / 3, w.secondEigenvalue(), ROUNDING);
    assertEquals(
        Math.cos(Math.PI / n),
        weights("best-constant", Topologies.path(n)).spectralRadiusOnConsensus(),
        ROUNDING);
  }

  @ParameterizedTest
  @ValueSource(ints = {4, 6, 8, 10})
  void torusClosedForm(int side) {
    MixingMatrix w = weights("metropolis", Topologies.torus(side, side));
    assertEquals((3 + 2 * Math.cos(2 * Math.PI / side)) / 5, w.secondEigenvalue(), ROUNDING);
    assertEquals(-0.6, w.smallestEigenvalue(), ROUNDING);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 6, 8})
  void hypercubeClosedForm(int dimensions) {
    Graph graph = Topologies.hypercube(1 << dimensions);
    double rho = (dimensions - 1.0) / (dimensions + 1);
    assertEquals(rho, weights("metropolis", graph).spectralRadiusOnConsensus(), ROUNDING);
    MixingMatrix best = weights("best-constant", graph);
    assertEquals(rho, best.spectralRadiusOnConsensus(), ROUNDING);
    assertEquals(1.0 / (dimensions + 1), best.get(0, 1), ROUNDING);
  }

  @Test
  void starAndPetersenClosedForms() {
    MixingMatrix star = weights("metropolis", Topologies.star(8));
    assertEquals(0.875, star.secondEigenvalue(), ROUNDING);
    assertEquals(0, star.smallestEigenvalue(), ROUNDING);
    MixingMatrix best = weights("best-constant", Topologies.star(8));
    assertEquals(1 - 7 * 2.0 / 9, best.get(0, 0), ROUNDING);
    MixingMatrix petersen = weights("metropolis", Topologies.petersen());
    assertEquals(0.5, petersen.secondEigenvalue(), ROUNDING);
    assertEquals(-0.25, petersen.smallestEigenvalue(), ROUNDING);
  }

  @ParameterizedTest
  @ValueSource(ints = {4, 6, 8, 12, 16, 32})
  void exponentialClosedForm(int n) {
    MixingMatrix w = weights("metropolis", Topologies.exponential(n));
    int tau = Topologies.binaryDigits(n);
    assertEquals((tau - 1.0) / (tau + 1), w.spectralRadiusOnConsensus(), ROUNDING);
    assertEquals(MixingMatrix.Kind.DOUBLY_STOCHASTIC, w.kind());
    assertFalse(w.symmetric());
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < tau; j++) {
        assertEquals(1.0 / (tau + 1), w.get(i, (i + (1 << j)) % n), ROUNDING);
      }
    }
  }
}
