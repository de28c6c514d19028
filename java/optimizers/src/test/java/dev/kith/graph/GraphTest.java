package dev.kith.graph;

import static dev.kith.graph.Matrices.refusal;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.jgrapht.alg.connectivity.ConnectivityInspector;
import org.jgrapht.alg.connectivity.KosarajuStrongConnectivityInspector;
import org.jgrapht.graph.DefaultEdge;
import org.jgrapht.graph.SimpleGraph;
import org.junit.jupiter.api.Test;

class GraphTest {
  @Test
  void neighboursAscendAndRepeatedLinksCountOnce() {
    Graph graph = Graph.fromEdges(4, new int[][] {{3, 1}, {0, 1}, {1, 0}, {2, 1}});
    assertArrayEquals(new int[] {0, 2, 3}, graph.neighbours(1));
    assertEquals(3, graph.edges());
    assertEquals(3, graph.degree(1));
    assertEquals(3, graph.maxDegree());
    assertEquals(2, graph.neighbour(1, 1));
    assertTrue(graph.hasEdge(3, 1));
    assertFalse(graph.hasEdge(3, 2));
  }

  @Test
  void arcsPointFromSenderToReceiver() {
    Graph graph = Graph.directed(3, new int[] {0, 0, 1}, new int[] {1, 2, 2});
    assertArrayEquals(new int[] {1, 2}, graph.neighbours(0));
    assertEquals(0, graph.degree(2));
    assertEquals(3, graph.edges());
    Graph reversed = graph.reversed();
    assertArrayEquals(new int[] {0, 1}, reversed.neighbours(2));
    assertEquals(graph, reversed.reversed());
  }

  @Test
  void removedNodesStayAsIsolatedOnes() {
    Graph graph = Topologies.star(5).without(0);
    assertEquals(5, graph.nodes());
    assertEquals(0, graph.edges());
    assertEquals(5, graph.components());
    Graph ring = Topologies.ring(6).without(1, 4);
    assertArrayEquals(new int[] {2}, ring.neighbours(3));
    assertArrayEquals(new int[] {0, 1, 2, 2, 3, 0}, ring.componentOf());
    assertArrayEquals(new int[] {2, 1, 2, 1}, ring.componentSizes());
    assertEquals(2, ring.giantComponentSize());
    assertArrayEquals(new int[] {0, 5}, ring.giantComponent());
    assertArrayEquals(new int[] {2, 3}, ring.component(2));
  }

  @Test
  void inducedSubgraphsAreRenumberedInTheOrderGiven() {
    Graph graph = Topologies.path(5).induced(4, 3, 1);
    assertEquals(Graph.fromEdges(3, new int[][] {{0, 1}}), graph);
    Graph arcs = Topologies.exponential(4).induced(0, 1);
    assertEquals(Graph.directed(2, new int[] {1}, new int[] {0}), arcs);
  }

  @Test
  void componentsAreThoseOfJGraphT() {
    for (long seed = 0; seed < 20; seed++) {
      Graph graph = RandomGraphs.erdosRenyi(200, 0.006, seed);
      List<Set<Integer>> expected = new ConnectivityInspector<>(graph.toJGraphT()).connectedSets();
      assertEquals(expected.size(), graph.components());
      int[] of = graph.componentOf();
      for (Set<Integer> component : expected) {
        int number = of[component.iterator().next()];
        assertEquals(
            component, Set.copyOf(Arrays.stream(graph.component(number)).boxed().toList()));
        assertEquals(component.size(), graph.componentSizes()[number]);
      }
      assertEquals(
          expected.stream().mapToInt(Set::size).max().orElseThrow(), graph.giantComponentSize());
    }
  }

  @Test
  void strongConnectivityIsThatOfJGraphT() {
    int strong = 0;
    for (long seed = 0; seed < 60; seed++) {
      Graph undirected = RandomGraphs.erdosRenyi(12, 0.35, seed);
      int[] from = new int[(int) undirected.edges()];
      int[] to = new int[from.length];
      int e = 0;
      for (int i = 0; i < 12; i++) {
        for (int j : undirected.neighbours(i)) {
          if (i < j) {
            boolean forwards = (i * 7 + j * 3 + seed) % 2 == 0;
            from[e] = forwards ? i : j;
            to[e++] = forwards ? j : i;
          }
        }
      }
      Graph graph = Graph.directed(12, from, to);
      boolean expected =
          new KosarajuStrongConnectivityInspector<>(graph.toJGraphT()).isStronglyConnected();
      assertEquals(expected, graph.stronglyConnected(), "seed " + seed);
      assertEquals(undirected.components(), graph.components());
      strong += expected ? 1 : 0;
    }
    assertTrue(strong > 5 && strong < 55, strong + " of 60 are strongly connected");
  }

  @Test
  void jgraphtCopiesAreFaithfulBothWays() {
    for (Graph graph : Matrices.smallGraphs()) {
      assertEquals(graph, Graph.fromJGraphT(graph.toJGraphT()));
    }
    Graph directed = Topologies.exponential(11);
    assertEquals(directed, Graph.fromJGraphT(directed.toJGraphT()));
  }

  @Test
  void equalityRegardsNodesLinksAndDirection() {
    Graph edgeless = Topologies.ring(3).without(0, 1, 2);
    assertNotEquals(edgeless, Topologies.ring(4).without(0, 1, 2, 3));
    assertNotEquals(edgeless, Graph.directed(3, new int[0], new int[0]));
    assertEquals(edgeless.hashCode(), Topologies.path(3).without(1).hashCode());
  }

  @Test
  void manyComponentsAreAbbreviated() {
    assertEquals("{0, 1, 2}", Topologies.ring(3).describeComponents());
    assertEquals("{0, 2}, {1}", Topologies.ring(3).without(1).describeComponents());
    int[] all = new int[20];
    Arrays.setAll(all, i -> i);
    assertEquals(
        "{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7} and 12 more",
        Topologies.ring(20).without(all).describeComponents());
    assertEquals(
        "{0, 1, 2, 3, 4, 5, 6, 7, ... (10 nodes)}, {10, 11, 12, 13, 14, 15, 16, 17, ... (10 nodes)}",
        Topologies.path(20).keeping((i, j) -> i + j != 19).describeComponents());
  }

  @Test
  void wrongInputIsRefusedInOneSentence() {
    assertEquals("a graph needs at least one node, not 0", refusal(() -> Graph.fromEdges(0)));
    assertEquals(
        "edge 1 joins 2 and 3, but the nodes are 0 to 2",
        refusal(() -> Graph.fromEdges(3, new int[][] {{0, 1}, {2, 3}})));
    assertEquals(
        "edge 0 joins node 1 to itself: leave it out, weight rules add self weights",
        refusal(() -> Graph.fromEdges(3, new int[][] {{1, 1}})));
    assertEquals(
        "edge 0 has 3 ends: give two nodes",
        refusal(() -> Graph.fromEdges(3, new int[][] {{0, 1, 2}})));
    assertEquals(
        "there are 1 starts and 2 ends of edges: give as many of each",
        refusal(() -> Graph.undirected(3, new int[1], new int[2])));
    assertEquals(
        "node 3 does not exist: the nodes are 0 to 2",
        refusal(() -> Topologies.ring(3).without(3)));
    assertEquals("node 1 is given twice", refusal(() -> Topologies.ring(3).induced(1, 1)));
    SimpleGraph<Integer, DefaultEdge> foreign = new SimpleGraph<>(DefaultEdge.class);
    foreign.addVertex(1);
    assertEquals(
        "vertex 1 is not one of 0 to 0: number the vertices from 0",
        refusal(() -> Graph.fromJGraphT(foreign)));
    assertEquals(
        "the graph has more than 2147483639 link ends, the limit of an array: take fewer nodes or links",
        refusal(() -> Topologies.complete(100_000)));
  }
}
