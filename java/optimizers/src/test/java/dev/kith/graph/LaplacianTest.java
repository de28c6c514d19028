package dev.kith.graph;

import static dev.kith.graph.Matrices.refusal;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class LaplacianTest {
  @Test
  void degreesStandOnTheDiagonal() {
    Laplacian laplacian = Laplacian.of(Topologies.path(3));
    assertArrayEquals(
        new double[][] {{1, -1, 0}, {-1, 2, -1}, {0, -1, 1}}, laplacian.matrix().toDense());
    assertEquals(MixingMatrix.Kind.ZERO_ROW_SUMS, laplacian.matrix().kind());
  }

  @Test
  void eigenvaluesHaveTheirClosedForms() {
    double[] complete = Laplacian.of(Topologies.complete(5)).eigenvalues();
    assertArrayEquals(new double[] {0, 5, 5, 5, 5}, complete, 1e-14);
    double[] star = Laplacian.of(Topologies.star(5)).eigenvalues();
    assertArrayEquals(new double[] {0, 1, 1, 1, 5}, star, 1e-14);
    double[] cube = Laplacian.of(Topologies.hypercube(8)).eigenvalues();
    assertArrayEquals(new double[] {0, 2, 2, 2, 4, 4, 4, 6}, cube, 1e-14);
    Laplacian ring = Laplacian.of(Topologies.ring(9));
    assertEquals(2 - 2 * Math.cos(2 * Math.PI / 9), ring.l2(), 1e-14);
    assertEquals(2 - 2 * Math.cos(2 * Math.PI * 4 / 9), ring.ln(), 1e-14);
  }

  @Test
  void zeroIsAnEigenvalueForEachComponent() {
    double[] values = Laplacian.of(Topologies.ring(6).without(0, 3)).eigenvalues();
    assertArrayEquals(new double[] {0, 0, 0, 0, 2, 2}, values, 1e-15);
    assertEquals(0, Laplacian.of(Topologies.ring(6).without(0)).l2(), 1e-15);
  }

  @Test
  void oneNodeHasTheEigenvalueZero() {
    Laplacian single = Laplacian.of(Topologies.ring(1));
    assertArrayEquals(new double[] {0}, single.eigenvalues());
    assertEquals(0, single.l2());
    assertEquals(0, single.ln());
  }

  @Test
  void directedAndLargeGraphsAreRefused() {
    assertEquals(
        "the Laplacian is that of an undirected graph, and this is a directed graph with 4 nodes and 8 edges",
        refusal(() -> Laplacian.of(Topologies.exponential(4))));
    assertEquals(
        "all eigenvalues are computed to 4096 nodes, not 5000: take l2() and ln()",
        refusal(() -> Laplacian.of(Topologies.ring(5000)).eigenvalues()));
  }
}
