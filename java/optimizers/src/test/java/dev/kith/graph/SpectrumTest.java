package dev.kith.graph;

import static dev.kith.graph.Matrices.messageOf;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.hipparchus.linear.Array2DRowRealMatrix;
import org.hipparchus.linear.EigenDecompositionSymmetric;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The eigenvalue computations behind {@link MixingMatrix} against Hipparchus and closed forms. */
class SpectrumTest {
  private static double[][] randomSymmetric(int n, long seed) {
    Random random = new Random(seed);
    double[][] a = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j <= i; j++) {
        // A third of zeros, so that some reflections have nothing to do.
        a[i][j] = random.nextInt(3) == 0 ? 0 : random.nextGaussian();
        a[j][i] = a[i][j];
      }
    }
    return a;
  }

  private static double[][] copy(double[][] a) {
    return Arrays.stream(a).map(double[]::clone).toArray(double[][]::new);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8, 17, 40, 101})
  void eigenvaluesAreThoseOfHipparchus(int n) {
    for (long seed = 0; seed < 5; seed++) {
      double[][] a = randomSymmetric(n, seed);
      double[] expected =
          new EigenDecompositionSymmetric(new Array2DRowRealMatrix(a)).getEigenvalues().clone();
      Arrays.sort(expected);
      assertArrayEquals(expected, new TridiagonalForm(copy(a)).eigenvalues(), 1e-13 * n);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 7, 40})
  void eigenvectorsSatisfyTheirEquation(int n) {
    double[][] a = randomSymmetric(n, 3);
    TridiagonalForm form = new TridiagonalForm(copy(a));
    for (int k = 0; k < n; k++) {
      double lambda = form.eigenvalue(k);
      double[] v = form.eigenvector(lambda);
      double norm = 0;
      for (int i = 0; i < n; i++) {
        double left = 0;
        for (int j = 0; j < n; j++) {
          left += a[i][j] * v[j];
        }
        assertEquals(lambda * v[i], left, 1e-13 * n);
        norm += v[i] * v[i];
      }
      assertEquals(1, norm, 1e-14);
    }
  }

  @Test
  void multipleEigenvaluesAreAllFound() {
    double[][] a = new double[6][6];
    for (int i = 0; i < 6; i++) {
      a[i][i] = i < 4 ? 2 : -1;
    }
    assertArrayEquals(
        new double[] {-1, -1, 2, 2, 2, 2}, new TridiagonalForm(a).eigenvalues(), 1e-15);
    assertArrayEquals(new double[3], new TridiagonalForm(new double[3][3]).eigenvalues());
  }

  @Test
  void theBasisOfVectorsWithSumZeroKeepsEigenvalues() {
    Graph graph = Topologies.karateClub();
    MixingMatrix laplacian = Laplacian.of(graph).matrix();
    double[] expected =
        new EigenDecompositionSymmetric(new Array2DRowRealMatrix(laplacian.toDense()))
            .getEigenvalues()
            .clone();
    Arrays.sort(expected);
    assertArrayEquals(expected, Laplacian.of(graph).eigenvalues(), 1e-12);
    TridiagonalForm form = new TridiagonalForm(Spectrum.centredRows(laplacian));
    double l2 = form.eigenvalue(0);
    double[] v = Spectrum.expand(form.eigenvector(l2));
    double[] lv = new double[34];
    laplacian.times(v, lv);
    for (int i = 0; i < 34; i++) {
      assertEquals(l2 * v[i], lv[i], 1e-13);
    }
    assertEquals(0, Arrays.stream(v).sum(), 1e-13);
  }

  private static Lanczos.Extremes iterate(MixingMatrix w) {
    return new Lanczos(w.nodes(), w::times, true).run(1e-12, 2000).extremes(1e-12);
  }

  @Test
  void iterationAgreesWithTheDenseComputation() {
    for (Graph graph : Matrices.smallGraphs()) {
      if (graph.nodes() > 2) {
        MixingMatrix w = new WeightRule.Metropolis().weights(graph);
        Lanczos.Extremes found = iterate(w);
        assertEquals(w.secondEigenvalue(), found.largest(), 1e-12, graph + "");
        assertEquals(w.smallestEigenvalue(), found.smallest(), 1e-12, graph + "");
      }
    }
  }

  @Test
  void largeSymmetricMatricesAreIterated() {
    int side = 71;
    MixingMatrix torus = new WeightRule.Metropolis().weights(Topologies.torus(side, side));
    assertTrue(torus.nodes() > Spectrum.DENSE_LIMIT);
    assertEquals((3 + 2 * Math.cos(2 * Math.PI / side)) / 5, torus.secondEigenvalue(), 1e-9);
    assertEquals(
        (1 + 4 * Math.cos(Math.PI * (side - 1) / side)) / 5, torus.smallestEigenvalue(), 1e-9);
    assertEquals(torus.secondEigenvalue(), torus.spectralRadiusOnConsensus());
  }

  @Test
  void largeAsymmetricMatricesAreIterated() {
    MixingMatrix w = new WeightRule.Metropolis().weights(Topologies.exponential(5000));
    // A circulant of offsets 0, 1, 2, ..., 2^12: its singular values are the moduli of its symbol.
    double rho = 0;
    for (int k = 1; k < 5000; k++) {
      double re = 1;
      double im = 0;
      for (int bit = 1; bit < 5000; bit <<= 1) {
        re += Math.cos(2 * Math.PI * k * bit / 5000);
        im += Math.sin(2 * Math.PI * k * bit / 5000);
      }
      rho = Math.max(rho, Math.hypot(re, im) / 14);
    }
    assertEquals(rho, w.spectralRadiusOnConsensus(), 1e-9);
  }

  @Test
  void oneRoundOfAveragingIsSeenAsSuchAtAnySize() {
    assertEquals(0, MixingMatrix.uniform(1500).spectralRadiusOnConsensus(), 1e-12);
  }

  @Test
  void theDenseComputationTakesOverWhereTheIterationFails() {
    int n = 1030;
    MixingMatrix path = new WeightRule.Metropolis().weights(Topologies.path(n));
    Lanczos iteration = new Lanczos(n, path::times, true);
    Lanczos.Extremes found = Spectrum.solve(iteration, 50, () -> Spectrum.centredRows(path));
    double expected = 1 - (2 - 2 * Math.cos(Math.PI / n)) / 3;
    assertEquals(expected, found.largest(), 1e-12);
    assertEquals(expected, path.secondEigenvalue(), 1e-12);
  }

  @Test
  void aGapTooSmallForTheIterationIsAnError() {
    MixingMatrix ring = new WeightRule.Metropolis().weights(Topologies.ring(50_000));
    String message = messageOf(IllegalStateException.class, ring::spectralRadiusOnConsensus);
    assertTrue(
        message.startsWith(
            "the spectrum of the 50000-node matrix did not converge in 5000 steps: eigenvalues so far from -0.33333"),
        message);
    assertTrue(
        message.endsWith("where 1e-08 is asked; its spectral gap is too small for the iteration"),
        message);
  }
}
