package dev.kith.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** A million nodes: compressed rows are built directly. */
class LargeGraphTest {
  private static final int MILLION = 1_000_000;

  @Test
  void regularGraphAndMetropolisWeights() {
    Graph graph = RandomGraphs.regular(MILLION, 4, 1);
    assertEquals(2L * MILLION, graph.edges());
    for (int i = 0; i < MILLION; i++) {
      assertEquals(4, graph.degree(i));
    }
    assertTrue(graph.connected());
    MixingMatrix w = new WeightRule.Metropolis().weights(graph);
    assertEquals(5 * MILLION, w.entries());
    assertEquals(0.2, w.get(7, graph.neighbour(7, 3)));
    double[] ones = new double[MILLION];
    Arrays.fill(ones, 1);
    double[] mixed = new double[MILLION];
    w.times(ones, mixed);
    for (double value : mixed) {
      assertEquals(1, value, 1e-15);
    }
  }

  @Test
  void randomGraphsHaveTheExpectedNumberOfLinks() {
    double p = 8.0 / MILLION;
    double pairs = MILLION * (MILLION - 1.0) / 2;
    assertEquals(
        pairs * p,
        (double) RandomGraphs.erdosRenyi(MILLION, p, 1).edges(),
        5 * Math.sqrt(pairs * p * (1 - p)));
    assertEquals(3 + (MILLION - 3) * 2L, RandomGraphs.barabasiAlbert(MILLION, 2, 1).edges());
    double r = 0.001;
    // Away from the border a node sees (n - 1) pi r^2 others; a border strip of width r sees fewer.
    double links = pairs * Math.PI * r * r;
    assertEquals(links, (double) RandomGraphs.geometric(MILLION, r, 1).edges(), links * 0.01);
  }

  @Test
  void latticesHaveClosedForms() {
    assertEquals(2L * MILLION, Topologies.torus(1000, 1000).edges());
    assertEquals(20L << 19, Topologies.hypercube(1 << 20).edges());
    Graph star = Topologies.star(MILLION);
    MixingMatrix w = new WeightRule.Metropolis().weights(star);
    // 999,999 weights of 10^-6: the self weight of the centre is what rounding leaves of 10^-6.
    assertEquals(1e-6, w.get(0, 0), 1e-10);
    assertEquals(MILLION, star.without(0).components());
  }

  @Test
  void schedulesOfAMillionNodes() {
    MixingMatrix gossip = MixingSchedule.sparseGossip(MILLION, 0.2, 1).at(3);
    assertEquals(1.2 * MILLION, gossip.entries(), 5 * Math.sqrt(0.16 * MILLION));
    assertEquals(MILLION / 2, MixingSchedule.randomMatching(MILLION, 1).at(3).graph().edges());
    assertEquals(2 * MILLION, MixingSchedule.onePeerRing(MILLION).at(1).entries());
  }
}
