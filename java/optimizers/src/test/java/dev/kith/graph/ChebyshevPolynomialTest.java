package dev.kith.graph;

import static dev.kith.graph.Matrices.refusal;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class ChebyshevPolynomialTest {
  /** P_K(x) by the recursion of the source, with growing numbers. */
  private static double growing(ChebyshevPolynomial p, int degree, double x) {
    double before = 1;
    double now = p.c2() * (1 - p.c3() * x);
    for (int k = 1; k < degree; k++) {
      double next = 2 * p.c2() * (1 - p.c3() * x) * now - before;
      before = now;
      now = next;
    }
    return now / p.a(degree);
  }

  /** P_K(x) by the recursion with omega. */
  private static double bounded(ChebyshevPolynomial p, int degree, double x) {
    double before = 0;
    double now = 1;
    for (int k = 1; k <= degree; k++) {
      double next = p.omega(k) * ((1 - p.c3() * x) * now - before) + before;
      before = now;
      now = next;
    }
    return now;
  }

  @Test
  void theTwoRecursionsAgree() {
    ChebyshevPolynomial p = ChebyshevPolynomial.of(Laplacian.of(Topologies.ring(32)));
    for (int degree = 1; degree < 40; degree++) {
      for (double x : new double[] {0, 0.01, 0.5, 1, 2.7, 4}) {
        assertEquals(growing(p, degree, x), bounded(p, degree, x), 1e-12);
      }
    }
  }

  @Test
  void atBothEndsOfTheIntervalTheContractionIsReached() {
    ChebyshevPolynomial p = ChebyshevPolynomial.of(Laplacian.of(Topologies.ring(32)));
    for (int degree = 1; degree < 30; degree++) {
      assertEquals(1, bounded(p, degree, 0), 1e-12);
      assertEquals(p.contraction(degree), bounded(p, degree, p.l2()), 1e-12);
      assertEquals(p.contraction(degree), Math.abs(bounded(p, degree, p.ln())), 1e-12);
      if (degree > 1) {
        double recursion = 2 * p.c2() * p.a(degree - 1) - p.a(degree - 2);
        assertEquals(1, recursion / p.a(degree), 1e-12);
      }
      for (int k = 0; k <= 100; k++) {
        double x = p.l2() + (p.ln() - p.l2()) * k / 100;
        assertTrue(Math.abs(bounded(p, degree, x)) <= p.contraction(degree) + 1e-12);
      }
    }
  }

  @Test
  void degreeOneIsTheBestConstant() {
    Graph graph = Topologies.grid(4, 4);
    ChebyshevPolynomial p = ChebyshevPolynomial.of(Laplacian.of(graph));
    MixingMatrix best = new WeightRule.BestConstant().weights(graph);
    assertEquals(best.get(0, 1), p.c3(), 1e-15);
    assertEquals(best.spectralRadiusOnConsensus(), p.contraction(1), 1e-13);
  }

  @Test
  void equalEigenvaluesNeedOneRound() {
    ChebyshevPolynomial p = ChebyshevPolynomial.of(MixingMatrix.uniform(6));
    assertEquals(1, p.gamma(), 1e-14);
    assertEquals(1, p.recommendedDegree());
    ChebyshevPolynomial exact = new ChebyshevPolynomial(2, 2);
    assertEquals(0, exact.contraction(1));
    for (int k = 1; k < 4; k++) {
      assertEquals(1, exact.omega(k));
      assertEquals(0, bounded(exact, k, 2));
    }
  }

  @Test
  void gossipMatricesTakeTheirOwnInterval() {
    MixingMatrix w = new WeightRule.Metropolis().weights(Topologies.ring(8));
    ChebyshevPolynomial p = ChebyshevPolynomial.of(w);
    assertEquals(1 - 0.804737854, p.l2(), 1e-9);
    assertEquals(4.0 / 3, p.ln(), 1e-13);
    assertEquals((int) Math.floor(Math.sqrt(p.ln() / p.l2())), p.recommendedDegree());
  }

  @Test
  void highDegreesStayFinite() {
    ChebyshevPolynomial p = new ChebyshevPolynomial(0.5, 1);
    assertTrue(Double.isInfinite(p.a(1000)));
    double root = Math.sqrt(0.5);
    double c = (1 - root) / (1 + root);
    assertEquals(1 + c * c, p.omega(1000), 1e-14);
    assertEquals(0, p.contraction(1000));
  }

  @Test
  void emptyIntervalsAreRefused() {
    assertEquals(
        "the eigenvalues l_2 = 0.0 and l_n = 2.0 are not 0 < l_2 <= l_n: the graph must be connected and have two"
            + " nodes or more",
        refusal(() -> new ChebyshevPolynomial(0, 2)));
    assertTrue(
        refusal(() -> new ChebyshevPolynomial(2, 1)).startsWith("the eigenvalues l_2 = 2.0"));
    assertTrue(
        refusal(() -> ChebyshevPolynomial.of(Laplacian.of(Topologies.ring(1))))
            .startsWith("the eigenvalues"));
    assertEquals("degree 0 is below 1", refusal(() -> new ChebyshevPolynomial(1, 2).omega(0)));
    assertEquals("degree -1 is below 0", refusal(() -> new ChebyshevPolynomial(1, 2).a(-1)));
  }
}
