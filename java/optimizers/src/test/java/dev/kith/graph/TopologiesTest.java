package dev.kith.graph;

import static dev.kith.graph.Matrices.refusal;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.Map;
import java.util.function.Supplier;
import org.jgrapht.alg.isomorphism.VF2GraphIsomorphismInspector;
import org.jgrapht.generate.CompleteGraphGenerator;
import org.jgrapht.generate.GraphGenerator;
import org.jgrapht.generate.GridGraphGenerator;
import org.jgrapht.generate.HyperCubeGraphGenerator;
import org.jgrapht.generate.LinearGraphGenerator;
import org.jgrapht.generate.NamedGraphGenerator;
import org.jgrapht.generate.RingGraphGenerator;
import org.jgrapht.generate.StarGraphGenerator;
import org.jgrapht.graph.DefaultEdge;
import org.jgrapht.graph.SimpleGraph;
import org.junit.jupiter.api.Test;

class TopologiesTest {
  private static SimpleGraph<Integer, DefaultEdge> empty() {
    Supplier<Integer> numbers =
        new Supplier<>() {
          private int next;

          @Override
          public Integer get() {
            return next++;
          }
        };
    return new SimpleGraph<>(numbers, DefaultEdge::new, false);
  }

  private static Graph generated(GraphGenerator<Integer, DefaultEdge, Integer> generator) {
    SimpleGraph<Integer, DefaultEdge> target = empty();
    generator.generateGraph(target, new HashMap<>());
    return Graph.fromJGraphT(target);
  }

  private static void assertIsomorphic(Graph expected, Graph actual) {
    assertTrue(
        new VF2GraphIsomorphismInspector<>(expected.toJGraphT(), actual.toJGraphT())
            .isomorphismExists());
  }

  @Test
  void plainGraphsAreThoseOfJGraphT() {
    assertEquals(generated(new RingGraphGenerator<>(9)), Topologies.ring(9));
    assertEquals(generated(new LinearGraphGenerator<>(9)), Topologies.path(9));
    assertEquals(generated(new CompleteGraphGenerator<>(9)), Topologies.complete(9));
    assertIsomorphic(generated(new StarGraphGenerator<>(9)), Topologies.star(9));
    assertIsomorphic(generated(new HyperCubeGraphGenerator<>(4)), Topologies.hypercube(16));
    SimpleGraph<Integer, DefaultEdge> grid = empty();
    Map<String, Integer> corners = new HashMap<>();
    new GridGraphGenerator<Integer, DefaultEdge>(3, 4).generateGraph(grid, corners);
    assertEquals(Graph.fromJGraphT(grid), Topologies.grid(3, 4));
  }

  @Test
  void namedGraphsAreThoseOfJGraphT() {
    SimpleGraph<Integer, DefaultEdge> petersen = empty();
    new NamedGraphGenerator<Integer, DefaultEdge>().generatePetersenGraph(petersen);
    assertIsomorphic(Graph.fromJGraphT(petersen), Topologies.petersen());
    SimpleGraph<Integer, DefaultEdge> club = empty();
    new NamedGraphGenerator<Integer, DefaultEdge>().generateZacharyKarateClubGraph(club);
    assertIsomorphic(Graph.fromJGraphT(club), Topologies.karateClub());
    assertEquals(78, Topologies.karateClub().edges());
  }

  @Test
  void aTorusIsAGridClosedToRings() {
    Graph torus = Topologies.torus(3, 4);
    assertArrayEquals(new int[] {1, 3, 4, 8}, torus.neighbours(0));
    assertArrayEquals(new int[] {3, 7, 8, 10}, torus.neighbours(11));
    assertEquals(24, torus.edges());
    // Two rows: above and below are the same neighbour.
    assertArrayEquals(new int[] {1, 2, 3}, Topologies.torus(2, 3).neighbours(0));
    assertEquals(Topologies.ring(4), Topologies.torus(2, 2).induced(0, 1, 3, 2));
  }

  @Test
  void aBarbellIsTwoCompleteGraphsAndABridge() {
    Graph barbell = Topologies.barbell(8);
    assertEquals(2 * 6 + 1, barbell.edges());
    assertTrue(barbell.hasEdge(3, 4));
    assertEquals(Topologies.complete(4), barbell.induced(0, 1, 2, 3));
    assertEquals(Topologies.complete(4), barbell.induced(4, 5, 6, 7));
    assertEquals(2, barbell.keeping((i, j) -> i + j != 7).components());
  }

  @Test
  void exponentialNodesReceiveAtPowersOfTwo() {
    Graph graph = Topologies.exponential(6);
    assertTrue(graph.directed());
    assertArrayEquals(new int[] {1, 2, 4}, graph.reversed().neighbours(0));
    assertArrayEquals(new int[] {0, 1, 3}, graph.reversed().neighbours(5));
    assertEquals(18, graph.edges());
    assertTrue(graph.stronglyConnected());
  }

  @Test
  void oneAndTwoNodesAreGraphsToo() {
    assertEquals(0, Topologies.ring(1).edges());
    assertEquals(1, Topologies.ring(2).edges());
    assertEquals(0, Topologies.path(1).edges());
    assertEquals(0, Topologies.hypercube(1).edges());
    assertEquals(0, Topologies.star(1).edges());
    assertEquals(0, Topologies.complete(1).edges());
    assertEquals(1, Topologies.barbell(2).edges());
    assertEquals(0, Topologies.exponential(1).edges());
    assertEquals(2, Topologies.exponential(2).edges());
  }

  @Test
  void numbersOfNodesThatDoNotSuitAreRefused() {
    assertEquals(
        "a hypercube needs a power of two nodes, not 12: take 8 or 16",
        refusal(() -> Topologies.hypercube(12)));
    assertEquals(
        "a barbell needs an even number of nodes, not 7: take 6 or 8",
        refusal(() -> Topologies.barbell(7)));
    assertEquals(
        "torus:1x5 has a side below 2: take ring or path for a single row",
        refusal(() -> Topologies.torus(1, 5)));
    assertEquals(
        "grid:5x0 has a side below 2: take ring or path for a single row",
        refusal(() -> Topologies.grid(5, 0)));
    assertEquals("a graph needs at least one node, not -1", refusal(() -> Topologies.ring(-1)));
    assertEquals("a graph needs at least one node, not 0", refusal(() -> Topologies.complete(0)));
  }
}
