package dev.kith.graph;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class MatchingTest {
  private static MixingMatrix metropolis(Graph graph) {
    return new WeightRule.Metropolis().weights(graph);
  }

  private static List<MixingMatrix> matrices() {
    return List.of(
        metropolis(Topologies.ring(8)),
        metropolis(Topologies.ring(9)),
        metropolis(Topologies.star(6)),
        metropolis(RandomGraphs.erdosRenyi(23, 0.3, 5)),
        MixingMatrix.uniform(7),
        MixingMatrix.uniform(2));
  }

  @Test
  void everyEdgeIsInExactlyOneMatchingWithItsWeight() {
    for (MixingMatrix w : matrices()) {
      List<Matching> matchings = Matching.of(w);
      for (int i = 0; i < w.nodes(); i++) {
        for (int j = 0; j < w.nodes(); j++) {
          int found = 0;
          for (Matching matching : matchings) {
            if (i != j && matching.partner(i) == j) {
              assertEquals(i, matching.partner(j));
              assertEquals(w.get(i, j), matching.weight(i));
              found++;
            }
          }
          assertEquals(i != j && w.get(i, j) != 0 ? 1 : 0, found, i + " " + j);
        }
      }
    }
  }

  @Test
  void thereAreFewerThanTwiceTheLargestDegree() {
    for (MixingMatrix w : matrices()) {
      int degree = 0;
      for (int i = 0; i < w.nodes(); i++) {
        degree = Math.max(degree, w.rowBegin(i + 1) - w.rowBegin(i) - 1);
      }
      int count = Matching.of(w).size();
      assertTrue(count >= degree && count <= 2 * degree - 1, count + " for degree " + degree);
    }
    assertEquals(2, Matching.of(metropolis(Topologies.ring(8))).size());
    assertEquals(3, Matching.of(metropolis(Topologies.ring(9))).size());
  }

  @Test
  void differencesAreThoseOfTheLowerAndTheHigherEnd() {
    Matching first = Matching.of(metropolis(Topologies.ring(5))).getFirst();
    double[][] y = first.differences().times(new double[][] {{1}, {10}, {100}, {1000}, {10000}});
    assertArrayEquals(
        new double[] {-9, -9, -900, -900, 0},
        new double[] {y[0][0], y[1][0], y[2][0], y[3][0], y[4][0]});
    assertEquals(4, first.partner(4));
    assertEquals(0, first.weight(4));
    assertEquals(5, first.nodes());
  }

  @Test
  void whereNobodyTalksThereIsNone() {
    assertEquals(List.of(), Matching.of(MixingMatrix.identity(4)));
    assertEquals(List.of(), Matching.of(MixingMatrix.identity(1)));
  }

  @Test
  void weightsThatDifferAtTheTwoEndsAreRefused() {
    MixingMatrix w =
        MixingMatrix.ofDense(
            MixingMatrix.Kind.ROW_STOCHASTIC, new double[][] {{0.5, 0.5}, {0.25, 0.75}});
    String text = assertThrows(IllegalArgumentException.class, () -> Matching.of(w)).getMessage();
    assertTrue(text.contains("not symmetric"), text);
  }
}
