package dev.kith.graph;

import static dev.kith.graph.Matrices.refusal;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.graph.MixingMatrix.Kind;
import java.util.Arrays;
import java.util.OptionalDouble;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class FailingScheduleTest {
  private static final WeightRule METROPOLIS = new WeightRule.Metropolis();

  @Test
  void weightsAreThoseOfTheSurvivingSubgraph() {
    Graph graph = RandomGraphs.barabasiAlbert(50, 2, 1);
    int[] hubs = Failures.highestDegree(graph, 0.2);
    FailingSchedule schedule =
        FailingSchedule.of(graph, METROPOLIS, Failures.builder().removeNodes(5, hubs).build());
    assertEquals(METROPOLIS.weights(graph), schedule.at(4));
    assertEquals(METROPOLIS.weights(graph.without(hubs)), schedule.at(5));
    assertSame(schedule.at(5), schedule.at(1000));
    assertEquals(0, schedule.period());
    for (int hub : hubs) {
      assertTrue(schedule.isAlive(4, hub));
      assertFalse(schedule.isAlive(5, hub));
      assertEquals(1, schedule.at(5).get(hub, hub));
    }
  }

  @Test
  void failuresAddUp() {
    Failures failures =
        Failures.builder().removeNodes(2, 0).removeNodes(4, 3, 0).removeLink(6, 5, 6).build();
    FailingSchedule schedule = FailingSchedule.of(Topologies.ring(8), METROPOLIS, failures);
    assertEquals(1, schedule.connectivity(0).components());
    assertEquals(Topologies.ring(8).without(0), schedule.at(3).graph());
    assertEquals(Topologies.ring(8).without(0, 3), schedule.at(5).graph());
    assertEquals(3, schedule.connectivity(6).components());
  }

  @Test
  void removedLinksAreGoneInBothDirections() {
    Failures failures = Failures.builder().removeLink(1, 1, 0).build();
    FailingSchedule schedule = FailingSchedule.of(Topologies.ring(4), METROPOLIS, failures);
    assertEquals(
        METROPOLIS.weights(Graph.fromEdges(4, new int[][] {{1, 2}, {2, 3}, {3, 0}})),
        schedule.at(1));
    assertTrue(schedule.isAlive(1, 0));
  }

  @Test
  void withoutFailuresNothingChanges() {
    Failures none = Failures.builder().build();
    FailingSchedule fixed = FailingSchedule.of(Topologies.ring(6), METROPOLIS, none);
    assertEquals(1, fixed.period());
    assertEquals(METROPOLIS.weights(Topologies.ring(6)), fixed.at(77));
    MixingSchedule base2 = MixingSchedule.base2(6);
    FailingSchedule changing = FailingSchedule.of(base2, none);
    assertEquals(base2.period(), changing.period());
    assertSame(base2.at(3), changing.at(3));
  }

  @Test
  void losingALeafTouchesItsNeighbourOnly() {
    Graph graph = Topologies.path(6);
    MixingMatrix before = METROPOLIS.weights(graph);
    MixingMatrix after =
        FailingSchedule.of(graph, METROPOLIS, Failures.builder().removeNodes(0, 5).build()).at(0);
    for (int i = 0; i < 4; i++) {
      for (int j = 0; j < 4; j++) {
        assertEquals(before.get(i, j), after.get(i, j));
      }
    }
    assertEquals(2.0 / 3, after.get(4, 4), 2e-16);
    assertEquals(0, after.get(4, 5));
  }

  @Test
  void aNetworkThatFallsApartIsReported() {
    Failures failures = Failures.builder().removeNodes(3, 0, 4).build();
    FailingSchedule schedule = FailingSchedule.of(Topologies.ring(9), METROPOLIS, failures);
    Connectivity before = schedule.connectivity(2);
    assertEquals(9, before.aliveNodes());
    assertEquals(1, before.components());
    assertEquals("9 nodes alive in 1 component, the largest with 9", before.toString());
    assertEquals(OptionalDouble.of(schedule.at(0).secondEigenvalue()), before.secondEigenvalue());
    assertEquals(before.secondEigenvalue(), before.giantSecondEigenvalue());
    Connectivity after = schedule.connectivity(3);
    assertEquals(7, after.aliveNodes());
    assertEquals(2, after.components());
    assertEquals(4, after.giantComponentSize());
    assertEquals(OptionalDouble.of(1), after.secondEigenvalue());
    assertEquals(
        1 - (2 - 2 * Math.cos(Math.PI / 4)) / 3,
        after.giantSecondEigenvalue().orElseThrow(),
        1e-14);
    assertEquals("7 nodes alive in 2 components, the largest with 4", after.toString());
  }

  @Test
  void connectivityOfAMatrixCountsAllNodes() {
    Connectivity cut = Connectivity.of(MixingMatrix.identity(4));
    assertEquals(4, cut.components());
    assertEquals(1, cut.giantComponentSize());
    Connectivity directed = Connectivity.of(METROPOLIS.weights(Topologies.exponential(6)));
    assertEquals(1, directed.components());
    assertEquals(OptionalDouble.empty(), directed.secondEigenvalue());
    assertEquals(OptionalDouble.empty(), directed.giantSecondEigenvalue());
  }

  @Test
  void linksFailWithTheStatedProbabilityAndIndependently() {
    Graph graph = Topologies.complete(12);
    double p = 0.3;
    FailingSchedule schedule =
        FailingSchedule.of(graph, METROPOLIS, Failures.builder().linkFailure(p, 4).build());
    int rounds = 300;
    int links = 0;
    int both = 0;
    for (long round = 0; round < rounds; round++) {
      Graph left = schedule.at(round).graph();
      assertFalse(left.directed());
      links += (int) left.edges();
      both += left.hasEdge(0, 1) && left.hasEdge(0, 2) ? 1 : 0;
    }
    double expected = 66 * rounds * (1 - p);
    assertEquals(expected, links, 5 * Math.sqrt(expected * p));
    double pair = (1 - p) * (1 - p);
    assertEquals(rounds * pair, both, 5 * Math.sqrt(rounds * pair * (1 - pair)));
    assertEquals(schedule.at(3), schedule.at(3));
  }

  @Test
  void failuresAreFunctionsOfTheSeedForever() {
    Failures failures = Failures.builder().linkFailure(0.5, 7).build();
    int[] up = IntStream.range(1, 12).filter(j -> failures.isUp(3, 0, j)).toArray();
    assertArrayEquals(new int[] {2, 5, 7, 9, 11}, up);
    assertArrayEquals(new int[] {1, 3, 4, 5, 8, 9}, Failures.random(12, 0.5, 7));
  }

  @Test
  void linksThatAllFailLeaveTheIdentity() {
    Failures failures = Failures.builder().linkFailure(1, 4).build();
    assertEquals(
        MixingMatrix.identity(6),
        FailingSchedule.of(Topologies.ring(6), METROPOLIS, failures).at(9));
  }

  @Test
  void weightsOfLostLinksGoBackToTheSelfWeights() {
    Failures failures = Failures.builder().removeNodes(1, 2).linkFailure(0.2, 8).build();
    MixingSchedule base = MixingSchedule.base2(7);
    FailingSchedule schedule = FailingSchedule.of(base, failures);
    for (long round = 1; round < 20; round++) {
      MixingMatrix before = base.at(round);
      MixingMatrix after = schedule.at(round);
      assertEquals(Kind.DOUBLY_STOCHASTIC, after.kind());
      assertTrue(after.symmetric());
      assertEquals(1, after.get(2, 2));
      for (int i = 0; i < 7; i++) {
        for (int j = 0; j < 7; j++) {
          boolean lost = i != j && after.get(i, j) == 0;
          assertTrue(i == j || lost || after.get(i, j) == before.get(i, j));
        }
      }
    }
  }

  @Test
  void columnStochasticMatricesGiveLostWeightsToTheSender() {
    MixingMatrix w = new WeightRule.OutDegree().weights(Topologies.exponential(5));
    FailingSchedule schedule =
        FailingSchedule.of(
            MixingSchedule.constant(w), Failures.builder().removeLink(0, 0, 4).build());
    MixingMatrix left = schedule.at(0);
    assertEquals(Kind.COLUMN_STOCHASTIC, left.kind());
    // 0 and 4 send to each other: 0 to 4 at distance 1, 4 to 0 at distance 4.
    assertEquals(0, left.get(0, 4));
    assertEquals(0, left.get(4, 0));
    assertEquals(0.5, left.get(0, 0));
    assertEquals(0.5, left.get(4, 4));
    assertEquals(0.25, left.get(1, 1));
  }

  @Test
  void asymmetricMatricesKeepTheirRowsOnly() {
    MixingSchedule base = MixingSchedule.onePeerExponential(6);
    FailingSchedule schedule =
        FailingSchedule.of(base, Failures.builder().removeLink(0, 0, 1).build());
    assertEquals(Kind.ROW_STOCHASTIC, schedule.at(0).kind());
    assertEquals(1, schedule.at(0).get(0, 0));
    // In round 1 nobody uses that link.
    assertSame(base.at(1), schedule.at(1));
  }

  @Test
  void asymmetricMatricesKeepTheirColumnsWhereAsked() {
    FailingSchedule schedule =
        FailingSchedule.of(
            MixingSchedule.onePeerExponential(6),
            Failures.builder().removeLink(0, 0, 1).build(),
            Kind.COLUMN_STOCHASTIC);
    MixingMatrix left = schedule.at(0);
    assertEquals(Kind.COLUMN_STOCHASTIC, left.kind());
    // 0 received from 1: the half stays with 1.
    assertEquals(0.5, left.get(0, 0));
    assertEquals(1, left.get(1, 1));
    assertEquals(
        "a matrix that loses a link cannot stay doubly-stochastic: keep it row-stochastic or"
            + " column-stochastic",
        refusal(
            () ->
                FailingSchedule.of(
                    MixingSchedule.base2(6), Failures.builder().build(), Kind.DOUBLY_STOCHASTIC)));
  }

  @Test
  void rulesThatNeedEqualDegreesRefuseDirectedGraphsThatLoseLinks() {
    Graph directed = Topologies.exponential(8);
    Failures failures = Failures.builder().removeNodes(5, 3).build();
    String message = refusal(() -> FailingSchedule.of(directed, METROPOLIS, failures));
    assertTrue(message.contains("out-degree weights and push-sum"), message);
    assertEquals(
        METROPOLIS.weights(directed),
        FailingSchedule.of(directed, METROPOLIS, Failures.builder().build()).at(9));
    assertEquals(
        Kind.COLUMN_STOCHASTIC,
        FailingSchedule.of(directed, new WeightRule.OutDegree(), failures).at(5).kind());
  }

  @Test
  void aRowWithoutSelfWeightGetsOne() {
    MixingMatrix swap =
        MixingMatrix.ofDense(Kind.DOUBLY_STOCHASTIC, new double[][] {{0, 1}, {1, 0}});
    FailingSchedule schedule =
        FailingSchedule.of(
            MixingSchedule.constant(swap), Failures.builder().removeLink(0, 0, 1).build());
    assertEquals(MixingMatrix.identity(2), schedule.at(0));
  }

  @Test
  void lazinessKeepsTheDead() {
    FailingSchedule schedule =
        FailingSchedule.of(
            Topologies.ring(5), METROPOLIS, Failures.builder().removeNodes(2, 1).build());
    MixingSchedule lazy = schedule.lazy();
    assertFalse(lazy.isAlive(2, 1));
    assertTrue(lazy.isAlive(1, 1));
    assertEquals(schedule.at(2).lazy(), lazy.at(2));
    MixingSchedule window = schedule.during(10, 12, MixingSchedule.base2(5));
    assertFalse(window.isAlive(9, 1));
    assertTrue(window.isAlive(10, 1));
  }

  @Test
  void targetsAreChosenByDegreeOrByChance() {
    Graph graph = Graph.fromEdges(6, new int[][] {{0, 1}, {0, 2}, {0, 3}, {3, 4}, {4, 5}});
    assertArrayEquals(new int[] {0, 3}, Failures.highestDegree(graph, 0.3));
    assertArrayEquals(new int[] {1, 2, 5}, Failures.lowestDegree(graph, 0.5));
    assertArrayEquals(new int[0], Failures.highestDegree(graph, 0));
    int[] some = Failures.random(100, 0.25, 3);
    assertEquals(25, IntStream.of(some).distinct().count());
    assertArrayEquals(some, Failures.random(100, 0.25, 3));
    assertFalse(Arrays.equals(some, Failures.random(100, 0.25, 4)));
    assertEquals(
        "the fraction 1.5 of the nodes is not in [0, 1]",
        refusal(() -> Failures.random(10, 1.5, 1)));
  }

  @Test
  void impossibleFailuresAreRefused() {
    assertEquals(
        "failures name node 6, but the nodes are 0 to 5",
        refusal(
            () ->
                FailingSchedule.of(
                    Topologies.ring(6), METROPOLIS, Failures.builder().removeNodes(1, 6).build())));
    assertEquals(
        "node -1 is negative: nodes count from 0",
        refusal(() -> Failures.builder().removeNodes(1, -1)));
    assertEquals(
        "round -1 is negative: rounds count from 0",
        refusal(() -> Failures.builder().removeNodes(-1, 1)));
    assertEquals(
        "there is no link between 3 and 3", refusal(() -> Failures.builder().removeLink(1, 3, 3)));
    assertEquals(
        "links cannot fail with probability -0.1: give one in [0, 1]",
        refusal(() -> Failures.builder().linkFailure(-0.1, 1)));
  }
}
