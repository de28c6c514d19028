package dev.kith.graph;

import java.util.List;

/** Dense matrices for tests. */
final class Matrices {
  private Matrices() {}

  /** M_{p-1} ... M_1 M_0: all rounds of a period, the first applied first. */
  static double[][] product(MixingSchedule schedule) {
    double[][] product = MixingMatrix.identity(schedule.nodes()).toDense();
    for (long k = 0; k < schedule.period(); k++) {
      product = schedule.at(k).times(product);
    }
    return product;
  }

  /** The largest |a_ij - 1/n|. */
  static double distanceFromMean(double[][] a) {
    double most = 0;
    for (double[] row : a) {
      for (double value : row) {
        most = Math.max(most, Math.abs(value - 1.0 / a.length));
      }
    }
    return most;
  }

  /** The largest |a_ij - b_ij|. */
  static double distance(double[][] a, double[][] b) {
    double most = 0;
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a[i].length; j++) {
        most = Math.max(most, Math.abs(a[i][j] - b[i][j]));
      }
    }
    return most;
  }

  /** What an action that must fail says. */
  static String messageOf(Class<? extends RuntimeException> type, Runnable action) {
    return org.junit.jupiter.api.Assertions.assertThrows(type, action::run).getMessage();
  }

  /** What an action says that must fail with an IllegalArgumentException. */
  static String refusal(Runnable action) {
    return messageOf(IllegalArgumentException.class, action);
  }

  /** Graphs of many kinds on few nodes, connected and not. */
  static List<Graph> smallGraphs() {
    return List.of(
        Topologies.ring(1),
        Topologies.ring(2),
        Topologies.ring(7),
        Topologies.path(5),
        Topologies.torus(2, 3),
        Topologies.torus(4, 4),
        Topologies.grid(3, 5),
        Topologies.hypercube(8),
        Topologies.star(6),
        Topologies.complete(5),
        Topologies.barbell(10),
        Topologies.petersen(),
        Topologies.karateClub(),
        RandomGraphs.erdosRenyi(30, 0.05, 1),
        RandomGraphs.barabasiAlbert(20, 2, 1),
        RandomGraphs.geometric(30, 0.2, 1),
        RandomGraphs.regular(12, 3, 1));
  }
}
