package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The solution that a problem was made of is found, and what has none is refused. */
class ComplementarityTest {
  /** Orthonormal columns: of a random matrix, by Gram-Schmidt. */
  private static double[][] basis(int m) {
    double[][] columns = new double[m][m];
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < m; j++) {
        columns[i][j] = Math.cos(1.7 * i * m + j * j) + (i == j ? 2 : 0);
      }
    }
    return PlainMatrices.orthonormal(columns);
  }

  /** sum of value_e u_e u_e'. */
  private static double[] matrix(double[][] u, double... values) {
    int m = u.length;
    double[] x = new double[m * m];
    for (int e = 0; e < values.length; e++) {
      for (int a = 0; a < m; a++) {
        for (int b = 0; b < m; b++) {
          x[a * m + b] += values[e] * u[a][e] * u[b][e];
        }
      }
    }
    return x;
  }

  /** X to A X A + tr(X) 1 / 10 with A positive definite: positive definite itself. */
  private static double[][] operator(int m) {
    double[][] a = new double[m][m];
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < m; j++) {
        a[i][j] = (i == j ? 1 + 0.3 * i : 0) + 0.2 / (1 + i + j);
      }
    }
    double[][] k = new double[m * m][m * m];
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < m; j++) {
        for (int p = 0; p < m; p++) {
          for (int q = 0; q < m; q++) {
            k[i * m + j][p * m + q] = a[i][p] * a[q][j];
            k[i * m + j][p * m + q] += i == j && p == q ? 0.1 : 0;
          }
        }
      }
    }
    return k;
  }

  private static double[] times(double[][] k, double[] x) {
    double[] y = new double[x.length];
    for (int r = 0; r < y.length; r++) {
      for (int i = 0; i < x.length; i++) {
        y[r] += k[r][i] * x[i];
      }
    }
    return y;
  }

  /**
   * X0 and G0 positive on complementary directions, C = G0 - K X0: X0 is the only solution, as K is
   * positive definite.
   */
  @ParameterizedTest
  @ValueSource(ints = {2, 3, 4})
  void theSolutionThatTheProblemWasMadeOfIsFound(int m) {
    double[][] u = basis(m);
    double[][] k = operator(m);
    for (int rank = 1; rank <= m; rank++) {
      double[] oscillating = new double[m];
      double[] slack = new double[m];
      for (int e = 0; e < m; e++) {
        if (e < rank) {
          oscillating[e] = 1 + 0.5 * e;
        } else {
          slack[e] = 0.3 * e;
        }
      }
      double[] x = matrix(u, oscillating);
      double[] g = matrix(u, slack);
      double[] c = times(k, x);
      for (int i = 0; i < c.length; i++) {
        c[i] = g[i] - c[i];
      }
      // The step that is left is 1e-10 of |C|, below 20, and K is above 1 / 2.
      assertArrayEquals(x, Complementarity.solve(m, c, k, 20_000), 1e-8, "rank " + rank);
    }
  }

  /** For K = 1 it is the projection of -C onto the positive semidefinite matrices. */
  @Test
  void withTheIdentityItIsAProjection() {
    double[][] u = basis(3);
    double[][] identity = new double[9][9];
    for (int i = 0; i < 9; i++) {
      identity[i][i] = 1;
    }
    double[] found = Complementarity.solve(3, matrix(u, 2, -3, -0.5), identity, 10_000);
    assertArrayEquals(matrix(u, 0, 3, 0.5), found, 1e-8);
  }

  @Test
  void oneDirectionIsClosedForm() {
    double[][] k = {{4}};
    assertEquals(0.5, Complementarity.solve(1, new double[] {-2}, k, 1)[0]);
    assertEquals(0, Complementarity.solve(1, new double[] {2}, k, 1)[0]);
  }

  @Test
  void whatIsPositiveAlreadyNeedsNoOscillation() {
    double[] found = Complementarity.solve(3, matrix(basis(3), 2, 1, 0.5), operator(3), 1);
    assertArrayEquals(new double[9], found);
  }

  @Test
  void whatHasNoSolutionIsRefused() {
    double[] c = matrix(basis(2), 1, -1);
    assertThrows(
        ArithmeticException.class, () -> Complementarity.solve(2, c, new double[4][4], 100));
    assertThrows(
        ArithmeticException.class,
        () -> Complementarity.solve(1, new double[] {-1}, new double[][] {{0}}, 100));
    ArithmeticException few =
        assertThrows(ArithmeticException.class, () -> Complementarity.solve(2, c, operator(2), 1));
    assertTrue(few.getMessage().contains("in 1 steps"), few.getMessage());
  }
}
