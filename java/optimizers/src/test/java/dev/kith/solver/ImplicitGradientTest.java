package dev.kith.solver;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.problem.QuadraticBilevel;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ImplicitGradientTest {
  private static final double[] H = {2, 0.5, 0.5, 1};
  private static final double[] B = {1, -1};
  private static final double[] A = {0.5, 2};
  private static final double[] C = {-1, 0.25};

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private static QuadraticBilevel.Builder single() {
    return QuadraticBilevel.of(
        new double[][] {H}, new double[][] {B}, new double[][] {A}, new double[][] {C});
  }

  private static double[] solution(QuadraticBilevel.Builder builder, double... x) {
    double[] y = builder.lowerSolution(x);
    double[] z = Arrays.copyOf(x, x.length + y.length);
    System.arraycopy(y, 0, z, x.length, y.length);
    return z;
  }

  private double[] neumann(double[] z, int terms, double step) {
    try (QuadraticBilevel problem = single().build(queue, DType.F64);
        DeviceMatrix at = DeviceMatrix.row(queue, z);
        DeviceMatrix out = DeviceMatrix.allocate(queue, 1, 1, DType.F64);
        ImplicitGradient gradient = ImplicitGradient.byNeumann(problem, at, terms, step)) {
      gradient.apply(at, out, 0);
      return out.toDoubles();
    }
  }

  @Test
  void conjugateGradientGivesTheGradientOfTheWhole() {
    QuadraticBilevel.Builder builder = QuadraticBilevel.random(4, 3, 5, 0.5, 2);
    double[] x = {0.5, -1, 2};
    double[] z = solution(builder, x);
    try (QuadraticBilevel problem = builder.build(queue, DType.F64);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(4))).build();
        DeviceMatrix at = DeviceMatrix.of(queue, new double[][] {z, z, z, z});
        DeviceMatrix out = DeviceMatrix.allocate(queue, 4, 3, DType.F64)) {
      ConjugateGradient.Builder solver =
          ConjugateGradient.builder().tolerance(1e-13).failWhenNotConverged(true);
      try (ImplicitGradient whole =
              ImplicitGradient.byConjugateGradient(problem, at, solver).over(network);
          ImplicitGradient own = ImplicitGradient.byConjugateGradient(problem, at, solver)) {
        whole.apply(at, out, 0);
        double[] exact = builder.hypergradient(x);
        double[] rows = out.toDoubles();
        for (int i = 0; i < 4; i++) {
          assertArrayEquals(exact, Arrays.copyOfRange(rows, 3 * i, 3 * i + 3), 1e-11);
        }
        own.apply(at, out, 0);
        double[] mean = new double[3];
        double[] alone = out.toDoubles();
        for (int k = 0; k < alone.length; k++) {
          mean[k % 3] += alone[k] / 4;
        }
        assertTrue(Math.abs(mean[0] - exact[0]) > 0.05, mean[0] + " and " + exact[0]);
      }
    }
  }

  @Test
  void theNeumannSeriesIsGradientDescentFromZero() {
    double[] z = solution(single(), 0.7);
    for (int terms : new int[] {0, 1, 7}) {
      double[] v = {0, 0};
      for (int k = 0; k <= terms; k++) {
        double s0 = H[0] * v[0] + H[1] * v[1] - (z[1] - A[0]);
        double s1 = H[2] * v[0] + H[3] * v[1] - (z[2] - A[1]);
        v = new double[] {v[0] - 0.3 * s0, v[1] - 0.3 * s1};
      }
      double expected = 0.1 * 0.7 + B[0] * v[0] + B[1] * v[1];
      assertEquals(expected, neumann(z, terms, 0.3)[0], 1e-12, terms + " terms");
    }
  }

  @Test
  void theNeumannSeriesUnrollsTheLowerDescent() {
    double x = 0.7;
    double h = 1e-6;
    int terms = 6;
    double[] z = solution(single(), x);
    // f(x, y_J+1) after J + 1 steps from the lower minimum at x, with x moved by +-h.
    double difference = (unrolled(x + h, z, terms + 1) - unrolled(x - h, z, terms + 1)) / (2 * h);
    assertEquals(difference, neumann(z, terms, 0.3)[0], 1e-8);
  }

  private static double unrolled(double x, double[] z, int steps) {
    double[] y = {z[1], z[2]};
    for (int k = 0; k < steps; k++) {
      double g0 = H[0] * y[0] + H[1] * y[1] - B[0] * x - C[0];
      double g1 = H[2] * y[0] + H[3] * y[1] - B[1] * x - C[1];
      y = new double[] {y[0] - 0.3 * g0, y[1] - 0.3 * g1};
    }
    double d0 = y[0] - A[0];
    double d1 = y[1] - A[1];
    return (d0 * d0 + d1 * d1) / 2 + 0.05 * x * x;
  }

  @Test
  void theErrorOfTheSeriesShrinksAsItsBoundDoes() {
    double[] z = solution(single(), 0.7);
    double exact = single().hypergradient(new double[] {0.7})[0];
    // Eigenvalues of H are 1.5 +- 1/sqrt(2); |B| = sqrt 2.
    double mu = 1.5 - Math.sqrt(0.5);
    double b = Math.hypot(z[1] - A[0], z[2] - A[1]);
    for (int terms : new int[] {0, 5, 20, 80}) {
      double error = Math.abs(neumann(z, terms, 0.3)[0] - exact);
      assertTrue(
          error <= Math.sqrt(2) * Math.pow(1 - 0.3 * mu, terms + 1) * b / mu + 1e-14,
          terms + " terms: " + error);
    }
  }

  @Test
  void whatIsMissingOrImpossibleIsNamed() {
    try (QuadraticBilevel problem = single().build(queue, DType.F64);
        DeviceMatrix at = DeviceMatrix.row(queue, 1.0, 0, 0)) {
      assertThrows(
          IllegalArgumentException.class, () -> ImplicitGradient.byNeumann(problem, at, -1, 0.1));
      assertThrows(
          IllegalArgumentException.class,
          () -> ImplicitGradient.byNeumann(problem, at, 3, Double.NaN));
      try (DeviceMatrix out = DeviceMatrix.allocate(queue, 1, 1, DType.F64);
          ImplicitGradient gradient =
              ImplicitGradient.byConjugateGradient(
                  problem,
                  at,
                  ConjugateGradient.builder()
                      .tolerance(1e-15)
                      .maxIterations(1)
                      .failWhenNotConverged(true))) {
        assertThrows(NotConvergedException.class, () -> gradient.apply(at, out, 0));
      }
    }
  }
}
