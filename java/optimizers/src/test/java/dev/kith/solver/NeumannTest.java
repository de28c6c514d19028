package dev.kith.solver;

import static dev.kith.solver.SymmetricSystems.norm;
import static dev.kith.solver.SymmetricSystems.operator;
import static dev.kith.solver.SymmetricSystems.pseudoInverse;
import static dev.kith.solver.SymmetricSystems.right;
import static dev.kith.solver.SymmetricSystems.row;
import static dev.kith.solver.SymmetricSystems.symmetric;
import static dev.kith.solver.SymmetricSystems.times;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class NeumannTest {
  private static final double[] SPECTRUM = {1, 2, 14, 5, 9, 3, 1, 11};

  private final Queue queue = Device.cpu().newQueue();
  private final double[][] h = symmetric(SPECTRUM, 2);
  private final double[] b = right(8, 3);

  @AfterEach
  void close() {
    queue.close();
  }

  /** z of J + 1 steps of gradient descent on z.Hz / 2 - b.z. */
  private double[] descent(double step, int steps) {
    double[] z = new double[8];
    for (int t = 0; t < steps; t++) {
      double[] image = times(h, z);
      for (int i = 0; i < 8; i++) {
        z[i] -= step * (image[i] - b[i]);
      }
    }
    return z;
  }

  @Test
  void itIsGradientDescentOnAQuadratic() {
    double[] want = times(pseudoInverse(SPECTRUM, 2), b);
    for (int terms : new int[] {1, 5, 20, 320}) {
      try (DeviceMatrix right = DeviceMatrix.row(queue, b);
          DeviceMatrix x = right.like();
          Neumann series = new Neumann(1 / 14.0, terms, right)) {
        double[] left = series.solve(operator(h), right, x);
        assertArrayEquals(descent(1 / 14.0, terms + 1), row(x, 0), 1e-12, terms + " terms");
        double[] error = row(x, 0);
        Arrays.setAll(error, i -> error[i] - want[i]);
        double bound = Math.pow(1 - 1 / 14.0, terms + 1) * norm(b);
        assertTrue(norm(error) <= bound * (1 + 1e-9) + 1e-14, terms + " terms");
        // What is told is the residual before the last term.
        double[] residual = times(h, descent(1 / 14.0, terms));
        Arrays.setAll(residual, i -> b[i] - residual[i]);
        assertEquals(norm(residual) / norm(b), left[0], 1e-12);
      }
    }
  }

  /** The mean over all cuts is the sum of the J first terms, and each is drawn as it should be. */
  @Test
  void theMeanOfRandomTermsIsTheSum() {
    int terms = 6;
    double step = 0.1;
    int rows = 6;
    double[][] rights = new double[rows][];
    double[][][] matrices = new double[rows][][];
    Arrays.fill(rights, b);
    Arrays.fill(matrices, h);
    double[] sum = new double[8];
    int[] drawn = new int[terms];
    int draws = 0;
    double[][] byFactor = new double[terms][];
    try (DeviceMatrix right = DeviceMatrix.of(queue, rights);
        DeviceMatrix x = right.like();
        Neumann series = new Neumann(step, terms, right)) {
      for (int round = 0; round < 100; round++) {
        int[] factors = series.sample(operator(matrices), right, 4, 10, round, x);
        for (int k = 0; k < rows; k++) {
          drawn[factors[k]]++;
          draws++;
          double[] term = row(x, k);
          if (byFactor[factors[k]] == null) {
            byFactor[factors[k]] = term;
          }
          // However many factors the other rows had.
          assertArrayEquals(byFactor[factors[k]], term);
        }
      }
      int[] again = series.sample(operator(matrices), right, 4, 10, 3, x);
      assertArrayEquals(again, series.sample(operator(matrices), right, 4, 10, 3, x));
    }
    for (int j = 0; j < terms; j++) {
      for (int i = 0; i < 8; i++) {
        sum[i] += byFactor[j][i] / terms;
      }
      // 600 draws of probability 1/6: five standard deviations.
      assertEquals(draws / 6.0, drawn[j], 5 * Math.sqrt(draws * 5 / 36.0));
    }
    assertArrayEquals(descent(step, terms), sum, 1e-12);
  }

  @Test
  void aSeriesThatGrowsIsToldOrNamed() {
    try (DeviceMatrix right = DeviceMatrix.of(queue, new double[][] {b, new double[8]});
        DeviceMatrix x = right.like();
        Neumann series = new Neumann(0.2, 10, right);
        Neumann longer = new Neumann(1, 600, right)) {
      double[] left = series.solve(operator(h, h), right, x);
      assertTrue(left[0] > 1, "2 / L is 0.14: " + left[0]);
      assertEquals(0, left[1]);
      var e = assertThrows(ArithmeticException.class, () -> longer.solve(operator(h, h), right, x));
      assertTrue(e.getMessage().contains("row 0"), e.getMessage());
    }
    try (DeviceMatrix like = DeviceMatrix.row(queue, b)) {
      assertThrows(IllegalArgumentException.class, () -> new Neumann(0, 3, like));
      assertThrows(IllegalArgumentException.class, () -> new Neumann(0.1, 0, like));
    }
  }
}
