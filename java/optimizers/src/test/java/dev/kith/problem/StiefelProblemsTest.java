package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** Problems on Stiefel manifolds in obvious loops. */
class StiefelProblemsTest {
  private static double[][] random(int rows, int cols, long seed) {
    SharedRandom random = new SharedRandom(seed, Stream.DATA, 0, 0);
    double[][] m = new double[rows][cols];
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < cols; j++) {
        m[i][j] = random.normal((long) i * cols + j);
      }
    }
    return m;
  }

  private interface Check {
    void run(Queue queue);
  }

  private static void onCpu(Check check) {
    try (Queue queue = Device.cpu().newQueue()) {
      check.run(queue);
    }
  }

  /** Values, and gradients as differences of them. */
  private static <P extends Problem & Value> void gradientsAreSlopes(P problem, Queue queue) {
    int size = (int) problem.layout().size();
    int nodes = problem.localNodes();
    double[] point =
        Arrays.stream(random(nodes, size, 3)).flatMapToDouble(Arrays::stream).toArray();
    try (DeviceMatrix x = DeviceMatrix.allocate(queue, nodes, size, DType.F64);
        DeviceMatrix g = x.like();
        DeviceMatrix values = DeviceMatrix.allocate(queue, 1, nodes, DType.F64)) {
      x.upload(point);
      problem.gradient(x, g, 0);
      double[] gradient = g.toDoubles();
      double step = 1e-5;
      for (int c = 0; c < size; c++) {
        double[] slope = new double[nodes];
        for (int sign : new int[] {1, -1}) {
          double[] moved = point.clone();
          for (int i = 0; i < nodes; i++) {
            moved[i * size + c] += sign * step;
          }
          x.upload(moved);
          problem.values(x, values);
          double[] at = values.toDoubles();
          for (int i = 0; i < nodes; i++) {
            slope[i] += sign * at[i] / (2 * step);
          }
        }
        for (int i = 0; i < nodes; i++) {
          // Central differences of a quadratic are exact but for rounding over the step.
          assertEquals(slope[i], gradient[i * size + c], 1e-7);
        }
      }
    }
  }

  @Test
  void gradientsOfPrincipalComponents() {
    onCpu(
        queue -> {
          try (PrincipalComponents p =
              PrincipalComponents.random(3, 6, 2, 20, 0.8, 1).build(queue, DType.F64)) {
            gradientsAreSlopes(p, queue);
          }
        });
  }

  @Test
  void gradientsAndValuesOfProcrustes() {
    double[][][] from = {random(7, 4, 1), random(5, 4, 2)};
    double[][][] to = {random(7, 2, 3), random(5, 2, 4)};
    onCpu(
        queue -> {
          try (Procrustes p = Procrustes.of(from, to).build(queue, DType.F64);
              DeviceMatrix x = DeviceMatrix.allocate(queue, 2, 8, DType.F64);
              DeviceMatrix values = DeviceMatrix.allocate(queue, 1, 2, DType.F64)) {
            gradientsAreSlopes(p, queue);
            double[][] point = random(4, 2, 9);
            double[] flat = Arrays.stream(point).flatMapToDouble(Arrays::stream).toArray();
            double[] both = Arrays.copyOf(flat, 16);
            System.arraycopy(flat, 0, both, 8, 8);
            x.upload(both);
            p.values(x, values);
            double[] actual = values.toDoubles();
            for (int node = 0; node < 2; node++) {
              double sum = 0;
              for (int k = 0; k < from[node].length; k++) {
                for (int c = 0; c < 2; c++) {
                  double off = -to[node][k][c];
                  for (int j = 0; j < 4; j++) {
                    off += from[node][k][j] * point[j][c];
                  }
                  sum += off * off / 2;
                }
              }
              assertEquals(sum, actual[node], 1e-12 * sum);
            }
          }
        });
  }

  @Test
  void theOptimumOfPrincipalComponentsIsThatOfTheMean() {
    double[][] covariances = {{4, 0, 0, 0, 1, 0, 0, 0, 3}, {2, 0, 0, 0, 5, 0, 0, 0, 1}};
    onCpu(
        queue -> {
          for (int part = 0; part < 2; part++) {
            try (PrincipalComponents p =
                PrincipalComponents.of(covariances, 2)
                    .nodes(part, part + 1)
                    .build(queue, DType.F32)) {
              // The mean is diag(3, 3, 2), whichever nodes are held.
              assertEquals(-3, p.optimalValue(), 1e-15);
              assertEquals(part, p.firstNode());
              assertEquals("components", p.orthonormal().getFirst().name());
              assertArrayEquals(new long[] {3, 2}, p.orthonormal().getFirst().shape());
            }
          }
        });
  }

  @Test
  void whatCannotBeIsRefused() {
    refused("0 components", () -> PrincipalComponents.of(new double[2][9], 0));
    refused("4 components", () -> PrincipalComponents.of(new double[2][9], 4));
    refused(
        "8 elements",
        () -> PrincipalComponents.of(new double[][] {new double[9], new double[8]}, 1));
    refused("(1, 0): 7.0", () -> PrincipalComponents.of(new double[][] {{1, 2, 7, 1}}, 1));
    refused("1.5", () -> PrincipalComponents.random(2, 3, 1, 4, 1.5, 1));
    refused("0 sets", () -> Procrustes.of(new double[0][][], new double[0][][]));
    refused(
        "3 points and 2",
        () ->
            Procrustes.of(
                new double[][][] {new double[3][2]}, new double[][][] {new double[2][2]}));
    refused(
        "points of 3",
        () ->
            Procrustes.of(
                new double[][][] {new double[3][2]}, new double[][][] {new double[3][3]}));
    refused(
        "node 1",
        () ->
            Procrustes.of(
                new double[][][] {new double[1][2], new double[1][3]},
                new double[][][] {new double[1][1], new double[1][1]}));
  }

  private static void refused(String part, Runnable call) {
    IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call::run);
    assertTrue(e.getMessage().contains(part), e.getMessage());
  }
}
