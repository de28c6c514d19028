package dev.kith.graph;

import static dev.kith.graph.Matrices.refusal;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.function.LongFunction;
import org.jgrapht.generate.BarabasiAlbertGraphGenerator;
import org.jgrapht.generate.GnpRandomGraphGenerator;
import org.jgrapht.generate.GraphGenerator;
import org.jgrapht.graph.DefaultEdge;
import org.jgrapht.graph.SimpleGraph;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RandomGraphsTest {
  /**
   * The quantile of the chi-square distribution that a right generator exceeds once in 10^6
   * (Wilson-Hilferty).
   */
  private static double limit(int freedom) {
    double z = 4.7534;
    double c = 2.0 / (9 * freedom);
    return freedom * Math.pow(1 - c + z * Math.sqrt(c), 3);
  }

  /**
   * Chi-square of two samples of counts; classes with fewer than ten of both are joined with the
   * next.
   */
  private static void assertSameLaw(long[] a, long[] b) {
    double sumA = Arrays.stream(a).sum();
    double sumB = Arrays.stream(b).sum();
    double chiSquare = 0;
    int classes = 0;
    double inA = 0;
    double inB = 0;
    for (int k = 0; k < a.length; k++) {
      inA += a[k];
      inB += b[k];
      boolean last = k == a.length - 1;
      if (inA + inB >= 10 || (last && inA + inB > 0)) {
        double difference = inA * Math.sqrt(sumB / sumA) - inB * Math.sqrt(sumA / sumB);
        chiSquare += difference * difference / (inA + inB);
        classes++;
        inA = 0;
        inB = 0;
      }
    }
    assertTrue(classes > 2, "too few classes to tell");
    assertTrue(
        chiSquare < limit(classes - 1),
        "chi-square " + chiSquare + " with " + classes + " classes");
  }

  private static long[] degrees(LongFunction<Graph> graphs, int count, int nodes) {
    long[] histogram = new long[nodes];
    for (long seed = 0; seed < count; seed++) {
      Graph graph = graphs.apply(seed);
      for (int i = 0; i < graph.nodes(); i++) {
        histogram[graph.degree(i)]++;
      }
    }
    return histogram;
  }

  private static Graph generated(GraphGenerator<Integer, DefaultEdge, Integer> generator) {
    int[] next = {0};
    SimpleGraph<Integer, DefaultEdge> target =
        new SimpleGraph<>(() -> next[0]++, DefaultEdge::new, false);
    generator.generateGraph(target, new HashMap<>());
    return Graph.fromJGraphT(target);
  }

  @Test
  void everyPairIsAnErdosRenyiLinkWithTheSameProbability() {
    int runs = 4000;
    int nodes = 9;
    double p = 0.3;
    double[][] counts = new double[nodes][nodes];
    for (long seed = 0; seed < runs; seed++) {
      Graph graph = RandomGraphs.erdosRenyi(nodes, p, seed);
      for (int i = 0; i < nodes; i++) {
        for (int j : graph.neighbours(i)) {
          counts[i][j]++;
        }
      }
    }
    double chiSquare = 0;
    for (int i = 0; i < nodes; i++) {
      for (int j = 0; j < i; j++) {
        double off = counts[i][j] - runs * p;
        chiSquare += off * off / (runs * p * (1 - p));
      }
    }
    assertTrue(chiSquare < limit(nodes * (nodes - 1) / 2), "chi-square " + chiSquare);
  }

  @Test
  void erdosRenyiDegreesHaveTheLawOfJGraphT() {
    Random random = new Random(1);
    assertSameLaw(
        degrees(seed -> RandomGraphs.erdosRenyi(100, 0.05, seed), 100, 100),
        degrees(
            seed -> generated(new GnpRandomGraphGenerator<>(100, 0.05, random, false)), 100, 100));
  }

  @Test
  void erdosRenyiAtTheEndsOfTheScale() {
    assertEquals(0, RandomGraphs.erdosRenyi(50, 0, 1).edges());
    assertEquals(Topologies.complete(50), RandomGraphs.erdosRenyi(50, 1, 1));
    assertEquals(0, RandomGraphs.erdosRenyi(50, 1e-300, 1).edges());
    assertEquals(1, RandomGraphs.erdosRenyi(1, 0.5, 1).nodes());
    assertEquals(Topologies.complete(40), RandomGraphs.erdosRenyi(40, Math.nextDown(1.0), 1));
  }

  @Test
  void barabasiAlbertDegreesHaveTheLawOfJGraphT() {
    Random random = new Random(1);
    assertSameLaw(
        degrees(seed -> RandomGraphs.barabasiAlbert(100, 3, seed), 200, 100),
        degrees(
            seed -> generated(new BarabasiAlbertGraphGenerator<>(4, 3, 100, random)), 200, 100));
  }

  @Test
  void barabasiAlbertIsConnectedWithACountableNumberOfLinks() {
    for (long seed = 0; seed < 20; seed++) {
      Graph graph = RandomGraphs.barabasiAlbert(60, 2, seed);
      assertTrue(graph.connected());
      assertEquals(3 + 57 * 2, graph.edges());
      assertTrue(graph.hasEdge(0, 1) && graph.hasEdge(0, 2) && graph.hasEdge(1, 2));
    }
    assertEquals(Topologies.complete(4), RandomGraphs.barabasiAlbert(4, 3, 5));
  }

  @Test
  void geometricLinksAreThePairsWithinTheRadius() {
    for (double radius : new double[] {0.03, 0.1, 0.25, 0.5, 0.9, 1.5}) {
      int nodes = 120;
      Graph graph = RandomGraphs.geometric(nodes, radius, 3);
      for (int i = 0; i < nodes; i++) {
        double[] a = RandomGraphs.position(i, 3);
        for (int j = 0; j < nodes; j++) {
          double[] b = RandomGraphs.position(j, 3);
          boolean near = Math.hypot(a[0] - b[0], a[1] - b[1]) <= radius;
          assertEquals(near && i != j, graph.hasEdge(i, j), "radius " + radius);
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 0",
    "2, 1",
    "5, 0",
    "5, 2",
    "5, 4",
    "6, 3",
    "10, 3",
    "10, 5",
    "10, 7",
    "17, 16",
    "40, 19",
    "41, 20",
    "100, 2",
    "100, 4",
    "1000, 31"
  })
  void regularGraphsHaveOneDegree(int nodes, int degree) {
    for (long seed = 0; seed < 10; seed++) {
      Graph graph = RandomGraphs.regular(nodes, degree, seed);
      assertEquals((long) nodes * degree / 2, graph.edges());
      for (int i = 0; i < nodes; i++) {
        assertEquals(degree, graph.degree(i));
        assertTrue(!graph.hasEdge(i, i));
      }
    }
  }

  @Test
  void allRegularGraphsOnSixNodesComeUp() {
    // 60 hexagons and 10 pairs of triangles; the law is uniform only for many nodes, so within a
    // factor of two.
    Map<Graph, Integer> counts = new HashMap<>();
    int runs = 7000;
    for (long seed = 0; seed < runs; seed++) {
      counts.merge(RandomGraphs.regular(6, 2, seed), 1, Integer::sum);
    }
    assertEquals(70, counts.size());
    for (int count : counts.values()) {
      assertTrue(count > runs / 140 && count < runs / 35, count + " where about 100 are due");
    }
  }

  @Test
  void trianglesOfARegularGraphFollowThePoissonLaw() {
    // B. Bollobas, 1980: the number of triangles tends to Poisson((k - 1)^3 / 6), here 8/6 for k =
    // 3.
    int runs = 1500;
    long triangles = 0;
    for (long seed = 0; seed < runs; seed++) {
      Graph graph = RandomGraphs.regular(200, 3, seed);
      for (int i = 0; i < 200; i++) {
        int[] near = graph.neighbours(i);
        for (int a = 0; a < 3; a++) {
          for (int b = 0; b < a; b++) {
            triangles += graph.hasEdge(near[a], near[b]) ? 1 : 0;
          }
        }
      }
    }
    double mean = triangles / 3.0 / runs;
    double deviation = Math.sqrt(8 / 6.0 / runs);
    assertEquals(8 / 6.0, mean, 5 * deviation);
  }

  @Test
  void aSeedGivesTheSameGraphForever() {
    Graph graph = RandomGraphs.erdosRenyi(12, 0.25, 7);
    assertEquals(graph, RandomGraphs.erdosRenyi(12, 0.25, 7));
    assertNotEquals(graph, RandomGraphs.erdosRenyi(12, 0.25, 8));
    assertArrayEquals(GOLDEN_ERDOS_RENYI, graph.neighbours(11));
    assertArrayEquals(GOLDEN_BARABASI_ALBERT, RandomGraphs.barabasiAlbert(12, 2, 7).neighbours(0));
    assertArrayEquals(GOLDEN_GEOMETRIC, RandomGraphs.geometric(12, 0.5, 7).neighbours(0));
    assertArrayEquals(GOLDEN_REGULAR, RandomGraphs.regular(12, 4, 7).neighbours(0));
  }

  private static final int[] GOLDEN_ERDOS_RENYI = {4, 7};
  private static final int[] GOLDEN_BARABASI_ALBERT = {1, 2};
  private static final int[] GOLDEN_GEOMETRIC = {3, 6, 7, 9, 10};
  private static final int[] GOLDEN_REGULAR = {3, 4, 6, 8};

  @Test
  void wrongParametersAreRefused() {
    assertEquals(
        "erdos-renyi:1.5 has no probability: give one in [0, 1]",
        refusal(() -> RandomGraphs.erdosRenyi(5, 1.5, 1)));
    assertEquals(
        "erdos-renyi:NaN has no probability: give one in [0, 1]",
        refusal(() -> RandomGraphs.erdosRenyi(5, Double.NaN, 1)));
    assertEquals(
        "barabasi-albert:5 does not suit 5 nodes: give from 1 to 4 links",
        refusal(() -> RandomGraphs.barabasiAlbert(5, 5, 1)));
    assertEquals(
        "geometric:0.0 has no radius: give a positive one",
        refusal(() -> RandomGraphs.geometric(5, 0, 1)));
    assertEquals(
        "regular:5 does not suit 5 nodes: give from 0 to 4 neighbours",
        refusal(() -> RandomGraphs.regular(5, 5, 1)));
    assertEquals(
        "regular:3 needs an even number of nodes, not 5: the link ends come in pairs",
        refusal(() -> RandomGraphs.regular(5, 3, 1)));
    assertEquals(
        "a graph needs at least one node, not 0", refusal(() -> RandomGraphs.geometric(0, 0.5, 1)));
  }
}
