package dev.kith.graph;

import static dev.kith.graph.Matrices.distanceFromMean;
import static dev.kith.graph.Matrices.messageOf;
import static dev.kith.graph.Matrices.product;
import static dev.kith.graph.Matrices.refusal;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.graph.MixingMatrix.Kind;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class MixingScheduleTest {
  @Test
  void aConstantScheduleNeverChanges() {
    MixingMatrix w = MixingMatrix.uniform(3);
    MixingSchedule schedule = MixingSchedule.constant(w);
    assertEquals(1, schedule.period());
    assertEquals(w, schedule.at(0));
    assertEquals(w, schedule.at(1L << 40));
    assertTrue(schedule.isAlive(5, 2));
    assertEquals("round -1 is negative: rounds count from 0", refusal(() -> schedule.at(-1)));
  }

  @Test
  void periodicMatricesTakeTurns() {
    MixingMatrix a = MixingMatrix.uniform(3);
    MixingMatrix b = MixingMatrix.identity(3);
    MixingSchedule schedule = MixingSchedule.periodic(List.of(a, b));
    assertEquals(2, schedule.period());
    assertEquals(a, schedule.at(4));
    assertEquals(b, schedule.at(5));
    assertEquals(
        "matrix 1 has 2 nodes, but matrix 0 has 3",
        refusal(() -> MixingSchedule.periodic(List.of(a, MixingMatrix.identity(2)))));
    assertEquals(
        "a periodic schedule needs at least one matrix",
        refusal(() -> MixingSchedule.periodic(List.of())));
  }

  @Test
  void explicitMatricesNeedNotConnectTheNodes() {
    MixingSchedule schedule = MixingSchedule.constant(MixingMatrix.identity(4));
    assertEquals(4, schedule.union().components());
  }

  // One-peer exponential graphs

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 4, 8, 16, 64})
  void onePeerExponentialAveragesPowersOfTwoExactly(int n) {
    MixingSchedule schedule = MixingSchedule.onePeerExponential(n);
    assertEquals(Math.max(1, Integer.numberOfTrailingZeros(n)), schedule.period());
    // Weights 1/2 and sums of at most n equal dyadic numbers: no rounding at all.
    assertEquals(0, distanceFromMean(product(schedule)));
  }

  @Test
  void anyConsecutiveRoundsOfOnePeerExponentialAverage() {
    MixingSchedule schedule = MixingSchedule.onePeerExponential(16);
    for (int start = 0; start < 8; start++) {
      double[][] product = MixingMatrix.identity(16).toDense();
      for (int k = 0; k < 4; k++) {
        product = schedule.at(start + k).times(product);
      }
      assertEquals(0, distanceFromMean(product));
    }
  }

  @Test
  void onePeerExponentialNodesReceiveFromADoublingDistance() {
    MixingSchedule schedule = MixingSchedule.onePeerExponential(6);
    assertEquals(3, schedule.period());
    for (int k = 0; k < 7; k++) {
      MixingMatrix w = schedule.at(k);
      assertEquals(Kind.DOUBLY_STOCHASTIC, w.kind());
      for (int i = 0; i < 6; i++) {
        assertEquals(0.5, w.get(i, i));
        assertEquals(0.5, w.get(i, (i + (1 << (k % 3))) % 6));
      }
    }
    assertTrue(distanceFromMean(product(schedule)) > 0.01);
    assertTrue(schedule.union().stronglyConnected());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 8, 32})
  void onePeerHypercubesAverageExactly(int n) {
    MixingSchedule schedule = MixingSchedule.onePeerExponentialPairs(n);
    assertEquals(0, distanceFromMean(product(schedule)));
    for (int k = 0; k < schedule.period(); k++) {
      assertTrue(schedule.at(k).symmetric());
      for (int i = 0; i < n && n > 1; i++) {
        assertEquals(0.5, schedule.at(k).get(i, i ^ (1 << k)));
      }
    }
  }

  @Test
  void onePeerRingsAlternateTheirPairs() {
    MixingSchedule schedule = MixingSchedule.onePeerRing(6);
    assertEquals(2, schedule.period());
    assertEquals(0.5, schedule.at(0).get(2, 3));
    assertEquals(0.5, schedule.at(1).get(0, 5));
    assertEquals(0.5, schedule.at(1).get(3, 4));
    assertEquals(Topologies.ring(6), schedule.union());
    assertTrue(distanceFromMean(product(schedule)) > 0.01);
    assertEquals(0, distanceFromMean(product(MixingSchedule.onePeerRing(2))));
  }

  // Finite-time averaging on any number of nodes

  @ParameterizedTest
  @CsvSource({"3, 3", "5, 5", "6, 5", "7, 6", "11, 8", "12, 7", "23, 11", "25, 10"})
  void base2HasTheStatedNumberOfRounds(int n, int rounds) {
    assertEquals(rounds, MixingSchedule.base2(n).period());
  }

  @Test
  void base2AveragesAnyNumberOfNodes() {
    for (int n = 1; n <= 40; n++) {
      MixingSchedule schedule = MixingSchedule.base2(n);
      assertEquals(0, distanceFromMean(product(schedule)), 2e-16, "n = " + n);
      for (int k = 0; k < schedule.period(); k++) {
        MixingMatrix w = schedule.at(k);
        assertTrue(w.symmetric());
        assertTrue(w.graph().maxDegree() <= 1, "more than one peer");
      }
      assertTrue(schedule.union().connected());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"2", "7", "2x2x2", "3x4", "4x3", "2x3x5"})
  void hyperHypercubesAverageInOneRoundPerFactor(String factors) {
    MixingSchedule schedule =
        MixingSchedule.parse("hyper-hypercube:" + factors, "metropolis", nodesOf(factors), 1);
    String[] each = factors.split("x", -1);
    assertEquals(each.length, schedule.period());
    assertEquals(0, distanceFromMean(product(schedule)), 1e-16);
    for (int l = 0; l < each.length; l++) {
      assertEquals(Integer.parseInt(each[l]) - 1, schedule.at(l).graph().maxDegree());
    }
  }

  private static int nodesOf(String factors) {
    int product = 1;
    for (String factor : factors.split("x", -1)) {
      product *= Integer.parseInt(factor);
    }
    return product;
  }

  @Test
  void hyperHypercubeDigitsStartWithTheLowest() {
    MixingSchedule schedule = MixingSchedule.hyperHypercube(2, 3);
    assertEquals(0.5, schedule.at(0).get(2, 3));
    assertEquals(1.0 / 3, schedule.at(1).get(1, 5));
    assertEquals(0, schedule.at(1).get(1, 4));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 6, 12, 30, 97, 128})
  void hyperHypercubeFactorsByItself(int n) {
    MixingSchedule schedule = MixingSchedule.parse("hyper-hypercube", "metropolis", n, 1);
    assertEquals(0, distanceFromMean(product(schedule)), 1e-16);
  }

  // Alternating exponential ring

  @Test
  void machinesAlternateBetweenTheirOwnAndTheJointMean() {
    // Four machines of two workers: pairs (0, 1), (2, 3) at distance 1, then (0, 2), (1, 3).
    MixingSchedule schedule = MixingSchedule.alternatingExponentialRing(8, 2);
    assertEquals(4, schedule.period());
    int[][] sizes = {{2, 2, 4, 4}, {4, 4, 2, 2}, {2, 4, 2, 4}, {4, 2, 4, 2}};
    for (int k = 0; k < 4; k++) {
      for (int machine = 0; machine < 4; machine++) {
        assertEquals(1.0 / sizes[k][machine], schedule.at(k).get(2 * machine, 2 * machine + 1));
      }
    }
    assertEquals(0.25, schedule.at(1).get(0, 3));
    assertEquals(0.25, schedule.at(0).get(5, 6));
    assertEquals(0.25, schedule.at(3).get(1, 4));
    assertEquals(0.25, schedule.at(2).get(2, 7));
    assertTrue(schedule.union().connected());
  }

  @Test
  void machinesThatCannotPairUpAreRefused() {
    assertEquals(
        "alternating-exponential-ring:2 does not suit 12 nodes: there must be 2, 4, 8, ... machines of 2 workers",
        refusal(() -> MixingSchedule.alternatingExponentialRing(12, 2)));
    for (int workers : new int[] {-1, 0, 3, 8, 16}) {
      assertTrue(
          refusal(() -> MixingSchedule.alternatingExponentialRing(8, workers))
              .contains("does not suit"));
    }
  }

  // Random rounds

  @Test
  void randomMatchingsPairEverybody() {
    for (int n : new int[] {1, 2, 7, 20}) {
      MixingSchedule schedule = MixingSchedule.randomMatching(n, 3);
      assertEquals(0, schedule.period());
      for (long round = 0; round < 20; round++) {
        MixingMatrix w = schedule.at(round);
        assertEquals(Kind.DOUBLY_STOCHASTIC, w.kind());
        assertTrue(w.symmetric());
        assertEquals(n / 2, w.graph().edges());
        assertTrue(w.graph().maxDegree() <= 1);
      }
    }
  }

  @Test
  void allMatchingsAreEquallyLikely() {
    MixingSchedule schedule = MixingSchedule.randomMatching(4, 9);
    int[] counts = new int[4];
    int rounds = 3000;
    for (long round = 0; round < rounds; round++) {
      counts[schedule.at(round).graph().neighbour(0, 0)]++;
    }
    double deviation = Math.sqrt(rounds * (1 / 3.0) * (2 / 3.0));
    for (int j = 1; j < 4; j++) {
      assertEquals(rounds / 3.0, counts[j], 5 * deviation);
    }
  }

  @ParameterizedTest
  @ValueSource(doubles = {0, 0.2, 1, 2.5, 6.3, 9})
  void sparseGossipDrawsTheStatedNumberOfPeers(double rate) {
    int nodes = 10;
    int rounds = 400;
    MixingSchedule schedule = MixingSchedule.sparseGossip(nodes, rate, 5);
    int peers = 0;
    int[] drawn = new int[nodes];
    for (long round = 0; round < rounds; round++) {
      MixingMatrix w = schedule.at(round);
      assertEquals(Kind.ROW_STOCHASTIC, w.kind());
      for (int i = 0; i < nodes; i++) {
        int count = w.rowBegin(i + 1) - w.rowBegin(i) - 1;
        assertTrue(count == Math.floor(rate) || count == Math.ceil(rate));
        peers += count;
        for (int k = w.rowBegin(i); k < w.rowBegin(i + 1); k++) {
          assertEquals(1.0 / (count + 1), w.value(k));
          drawn[w.column(k)]++;
        }
        assertTrue(w.get(i, i) > 0);
      }
    }
    double fraction = rate - Math.floor(rate);
    double deviation = Math.sqrt(nodes * rounds * fraction * (1 - fraction));
    assertEquals(rate * nodes * rounds, peers, 5 * deviation);
    for (int count : drawn) {
      // Itself once a round, and by the nine others with probability rate / 9 each.
      assertEquals(rounds * (1 + rate), count, 5 * Math.sqrt(rounds * rate));
    }
  }

  @Test
  void randomRoundsAreFunctionsOfSeedAndRound() {
    for (String name : new String[] {"sparse-gossip:1.5", "random-matching"}) {
      MixingSchedule a = MixingSchedule.parse(name, "metropolis", 12, 4);
      MixingSchedule b = MixingSchedule.parse(name, "metropolis", 12, 4);
      MixingMatrix third = a.at(3);
      assertNotEquals(third, a.at(2));
      assertEquals(third, a.at(3));
      assertEquals(third, b.at(3));
      assertNotEquals(third, MixingSchedule.parse(name, "metropolis", 12, 5).at(3));
    }
    MixingMatrix golden = MixingSchedule.randomMatching(8, 7).at(2);
    int[] peers = new int[8];
    for (int i = 0; i < 8; i++) {
      peers[i] = golden.graph().neighbour(i, 0);
    }
    assertArrayEquals(GOLDEN_PEERS, peers);
    assertArrayEquals(GOLDEN_GOSSIP, MixingSchedule.sparseGossip(6, 1.5, 7).at(2).columns());
  }

  private static final int[] GOLDEN_GOSSIP = {0, 5, 0, 1, 1, 2, 3, 4, 1, 3, 4, 2, 5};
  private static final int[] GOLDEN_PEERS = {6, 2, 1, 7, 5, 4, 0, 3};

  @Test
  void wrongNumbersAreRefused() {
    assertEquals(
        "one-peer-exponential-pairs needs a power of two nodes, not 12: take 8 or 16, or base-2, which takes any"
            + " number",
        refusal(() -> MixingSchedule.onePeerExponentialPairs(12)));
    assertEquals(
        "one-peer-ring needs an even number of nodes, not 7: take 8, or base-2, which takes any number",
        refusal(() -> MixingSchedule.onePeerRing(7)));
    assertEquals(
        "hyper-hypercube has a factor 1: give factors from 2 up",
        refusal(() -> MixingSchedule.hyperHypercube(3, 1)));
    assertEquals(
        "hyper-hypercube needs at least one factor",
        refusal(() -> MixingSchedule.hyperHypercube()));
    assertEquals(
        "sparse-gossip:9.5 does not suit 10 nodes: give from 0 to 9 peers a round",
        refusal(() -> MixingSchedule.sparseGossip(10, 9.5, 1)));
    assertEquals(
        "a schedule needs at least one node, not 0", refusal(() -> MixingSchedule.base2(0)));
    assertEquals(
        "a schedule needs at least one node, not 0",
        refusal(() -> MixingSchedule.randomMatching(0, 1)));
  }

  @Test
  void randomSchedulesHaveNoUnion() {
    assertEquals(
        "a random schedule has no period over which to join its graphs",
        messageOf(IllegalStateException.class, () -> MixingSchedule.randomMatching(4, 1).union()));
  }

  // Derived schedules

  @Test
  void lazySchedulesHalveEveryRound() {
    for (String name : new String[] {"base-2", "random-matching", "one-peer-exponential"}) {
      MixingSchedule schedule = MixingSchedule.parse(name, "metropolis", 12, 1);
      MixingSchedule lazy = schedule.lazy();
      assertEquals(schedule.period(), lazy.period());
      assertEquals(12, lazy.nodes());
      for (long round = 0; round < 10; round++) {
        assertEquals(schedule.at(round).lazy(), lazy.at(round));
      }
    }
  }

  @Test
  void aWindowReplacesItsRoundsOnly() {
    MixingSchedule sparse = MixingSchedule.sparseGossip(5, 0.2, 1);
    MixingSchedule dense = MixingSchedule.constant(MixingMatrix.uniform(5));
    MixingSchedule schedule = sparse.during(3, 5, dense);
    assertEquals(0, schedule.period());
    for (long round = 0; round < 8; round++) {
      assertEquals(
          round == 3 || round == 4 ? MixingMatrix.uniform(5) : sparse.at(round),
          schedule.at(round));
    }
    assertFalse(schedule.lazy().at(3).equals(schedule.at(3)));
    assertEquals(
        "the window from round 5 to 5 has no rounds", refusal(() -> sparse.during(5, 5, dense)));
    assertEquals(
        "the window has 4 nodes, but the schedule around it has 5",
        refusal(() -> sparse.during(0, 1, MixingSchedule.base2(4))));
  }
}
