package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.Graph;
import dev.kith.graph.Laplacian;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.Expression;
import dev.kith.network.Network;
import java.util.Arrays;
import java.util.function.IntToDoubleFunction;
import org.junit.jupiter.api.Test;

class ChebyshevGossipTest {
  /** Column c of the result of K rounds on a start that is given by node. */
  private static double[] mix(MixingMatrix w, int rounds, IntToDoubleFunction start) {
    try (Queue queue = Device.cpu().newQueue();
        Network network = Network.builder(MixingSchedule.constant(w)).build();
        DeviceMatrix x = column(queue, w.nodes(), start);
        DeviceMatrix a = x.like();
        DeviceMatrix b = x.like()) {
      double[] before = x.toDoubles();
      double[] result = ChebyshevGossip.of(w, rounds).mix(network, x, a, b).toDoubles();
      assertEquals(
          Arrays.toString(before), Arrays.toString(x.toDoubles()), "the start is left alone");
      assertEquals(rounds, network.meter().rounds());
      return result;
    }
  }

  private static DeviceMatrix column(Queue queue, int n, IntToDoubleFunction start) {
    double[][] rows = new double[n][1];
    for (int i = 0; i < n; i++) {
      rows[i][0] = start.applyAsDouble(i);
    }
    return DeviceMatrix.of(queue, rows);
  }

  /** An eigenvector of any ring for its second eigenvalue. */
  private static double wave(int n, int i) {
    return Math.cos(2 * Math.PI * i / n);
  }

  @Test
  void theSlowestVectorShrinksByExactlyTheStatedFactor() {
    int n = 16;
    for (MixingMatrix w :
        new MixingMatrix[] {
          Algorithm.ring(n),
          new WeightRule.BestConstant().weights(Topologies.ring(n)),
          Laplacian.of(Topologies.ring(n)).matrix()
        }) {
      for (int rounds : new int[] {1, 2, 3, 6, 11}) {
        double factor = ChebyshevGossip.of(w, rounds).contraction();
        double[] result = mix(w, rounds, i -> wave(n, i));
        for (int i = 0; i < n; i++) {
          assertEquals(factor * wave(n, i), result[i], 1e-12, w.kind() + " after " + rounds);
        }
      }
    }
  }

  @Test
  void theFactorIsTheReciprocalOfTheChebyshevPolynomial() {
    // Ring of 8 with Laplacian: l_2 = 2 - sqrt 2, l_n = 4.
    double gamma = (2 - Math.sqrt(2)) / 4;
    double c2 = (1 + gamma) / (1 - gamma);
    double before = 1;
    double present = c2;
    MixingMatrix laplacian = Laplacian.of(Topologies.ring(8)).matrix();
    for (int rounds = 1; rounds <= 12; rounds++) {
      assertEquals(1 / present, ChebyshevGossip.of(laplacian, rounds).contraction(), 1e-13);
      double next = 2 * c2 * present - before;
      before = present;
      present = next;
    }
    assertEquals((int) Math.floor(1 / Math.sqrt(gamma)), ChebyshevGossip.of(laplacian).rounds());
  }

  @Test
  void oneRoundIsTheBestConstantMatrix() {
    Graph graph = Topologies.grid(3, 4);
    MixingMatrix best = new WeightRule.BestConstant().weights(graph);
    double[] expected;
    try (Queue queue = Device.cpu().newQueue();
        Network network = Network.builder(MixingSchedule.constant(best)).build();
        DeviceMatrix x = column(queue, 12, i -> i * i);
        DeviceMatrix y = x.like()) {
      network.mix(Expression.inner(x), y);
      expected = y.toDoubles();
    }
    double[] actual = mix(Laplacian.of(graph).matrix(), 1, i -> i * i);
    for (int i = 0; i < 12; i++) {
      assertEquals(expected[i], actual[i], 1e-11);
    }
  }

  @Test
  void theMeanIsKept() {
    int n = 11;
    double[] result = mix(Algorithm.ring(n), 200, i -> i == 3 ? 22 : 0);
    assertEquals(2, Arrays.stream(result).average().orElseThrow(), 1e-12);
    // So many rounds leave nothing but the mean, and the normalised recurrence does not overflow on
    // the way.
    for (double x : result) {
      assertEquals(2, x, 1e-12);
    }
  }

  @Test
  void ofEquallyFarNodesOneRoundGivesTheMean() {
    double[] result = mix(new WeightRule.Metropolis().weights(Topologies.complete(5)), 3, i -> i);
    for (double x : result) {
      assertEquals(2, x, 1e-12);
    }
  }

  @Test
  void roundsToAMillionthAreSixTimesFewerThanOfPlainGossip() {
    int n = 32;
    MixingMatrix w = Algorithm.ring(n);
    int plain = 0;
    try (Queue queue = Device.cpu().newQueue();
        Network network = Network.builder(MixingSchedule.constant(w)).build();
        DeviceMatrix x = column(queue, n, i -> wave(n, i));
        DeviceMatrix y = x.like()) {
      double start = network.consensusDistance(x);
      while (network.consensusDistance(x) > 1e-12 * start) {
        network.mix(Expression.inner(x), y);
        x.copyFrom(y);
        plain++;
      }
    }
    int accelerated = 1;
    while (ChebyshevGossip.of(w, accelerated).contraction() > 1e-6) {
      accelerated++;
    }
    double[] result = mix(w, accelerated, i -> wave(n, i));
    assertTrue(Arrays.stream(result).map(Math::abs).max().orElseThrow() <= 1.001e-6);
    assertTrue(accelerated < 150, accelerated + " rounds");
    assertTrue(plain > 6 * accelerated, plain + " rounds against " + accelerated);
  }

  @Test
  void graphsThatFallApartAreRefused() {
    MixingMatrix w = MixingMatrix.identity(4);
    var e = assertThrows(IllegalArgumentException.class, () -> ChebyshevGossip.of(w));
    assertTrue(e.getMessage().contains("connected"), e.getMessage());
    MixingMatrix directed = MixingSchedule.onePeerExponential(4).at(0);
    assertThrows(IllegalArgumentException.class, () -> ChebyshevGossip.of(directed));
    MixingMatrix ring = Algorithm.ring(4);
    assertThrows(IllegalArgumentException.class, () -> ChebyshevGossip.of(ring, 0));
  }
}
