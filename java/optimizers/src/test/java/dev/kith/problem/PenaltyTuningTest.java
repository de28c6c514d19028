package dev.kith.problem;

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
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import dev.kith.solver.ConjugateGradient;
import dev.kith.solver.ImplicitGradient;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class PenaltyTuningTest {
  private static final int NODES = 3;
  private static final int SAMPLES = 8;
  private static final int Q = 3;
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private static double[][][] samples(int stream) {
    double[][][] a = new double[NODES][SAMPLES][Q];
    SharedRandom random = new SharedRandom(4, Stream.TEST, stream, 0);
    for (int i = 0; i < NODES; i++) {
      for (int k = 0; k < SAMPLES; k++) {
        int at = (i * SAMPLES + k) * Q;
        Arrays.setAll(a[i][k], c -> random.normal(at + c));
      }
    }
    return a;
  }

  private static double[][] targets(int stream, boolean signs) {
    double[][] b = new double[NODES][SAMPLES];
    SharedRandom random = new SharedRandom(4, Stream.TEST, stream, 1);
    for (int i = 0; i < NODES; i++) {
      int at = i * SAMPLES;
      Arrays.setAll(b[i], k -> signs ? Math.signum(random.normal(at + k)) : random.normal(at + k));
    }
    return b;
  }

  private static PenaltyTuning.Builder tuning(PenaltyTuning.Loss loss) {
    boolean signs = loss == PenaltyTuning.Loss.LOGISTIC;
    return PenaltyTuning.of(loss, samples(0), targets(0, signs), samples(1), targets(1, signs));
  }

  @Test
  void derivativesAreThoseOfTheValues() {
    for (PenaltyTuning.Loss loss : PenaltyTuning.Loss.values()) {
      BilevelDerivatives.check(queue, tuning(loss).build(), 0.7, 1e-7);
      BilevelDerivatives.check(queue, tuning(loss).shared().build(), 0.7, 1e-7);
      BilevelDerivatives.check(queue, tuning(loss).nodes(1, 3).build(), 0.7, 1e-7);
    }
  }

  /** The ridge solution over all nodes. */
  private static double[] ridge(double... logs) {
    double[][] h = new double[Q][Q];
    double[] right = new double[Q];
    double[][][] a = samples(0);
    double[][] b = targets(0, false);
    for (int i = 0; i < NODES; i++) {
      for (int k = 0; k < SAMPLES; k++) {
        for (int r = 0; r < Q; r++) {
          right[r] += a[i][k][r] * b[i][k] / (NODES * SAMPLES);
          for (int c = 0; c < Q; c++) {
            h[r][c] += a[i][k][r] * a[i][k][c] / (NODES * SAMPLES);
          }
        }
      }
    }
    for (int r = 0; r < Q; r++) {
      h[r][r] += Math.exp(logs[logs.length == 1 ? 0 : r]);
    }
    return new Cholesky(h).solve(right);
  }

  private static double validation(double... logs) {
    double[] y = ridge(logs);
    double[][][] a = samples(1);
    double[][] b = targets(1, false);
    double sum = 0;
    for (int i = 0; i < NODES; i++) {
      for (int k = 0; k < SAMPLES; k++) {
        double error = -b[i][k];
        for (int c = 0; c < Q; c++) {
          error += a[i][k][c] * y[c];
        }
        sum += error * error / (2 * NODES * SAMPLES);
      }
    }
    return sum;
  }

  @Test
  void theImplicitGradientOfRidgeIsThatOfTheClosedForm() {
    double[][] points = {{-1, 0.5, -2}, {-0.7}};
    for (double[] logs : points) {
      PenaltyTuning.Builder builder = tuning(PenaltyTuning.Loss.SQUARED);
      try (PenaltyTuning problem = (logs.length == 1 ? builder.shared() : builder).build();
          Network network =
              Network.builder(MixingSchedule.constant(MixingMatrix.uniform(NODES))).build()) {
        double[] y = ridge(logs);
        double[] z = Arrays.copyOf(logs, logs.length + Q);
        System.arraycopy(y, 0, z, logs.length, Q);
        try (DeviceMatrix at = DeviceMatrix.of(queue, new double[][] {z, z, z});
            DeviceMatrix out = DeviceMatrix.allocate(queue, NODES, logs.length, DType.F64);
            ImplicitGradient gradient =
                ImplicitGradient.byConjugateGradient(
                        problem, at, ConjugateGradient.builder().tolerance(1e-13))
                    .over(network)) {
          gradient.apply(at, out, 0);
          double[] found = out.toDoubles();
          double h = 1e-5;
          for (int c = 0; c < logs.length; c++) {
            double[] up = logs.clone();
            double[] down = logs.clone();
            up[c] += h;
            down[c] -= h;
            assertEquals((validation(up) - validation(down)) / (2 * h), found[c], 1e-9);
          }
        }
      }
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    var label =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                PenaltyTuning.of(
                    PenaltyTuning.Loss.LOGISTIC,
                    samples(0),
                    targets(0, false),
                    samples(1),
                    targets(1, true)));
    assertTrue(label.getMessage().contains("takes -1 and 1"), label.getMessage());
    double[][][] wide = {{{1, 2, 3, 4}}, {{1, 2, 3, 4}}, {{1, 2, 3, 4}}};
    var features =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                PenaltyTuning.of(
                    PenaltyTuning.Loss.SQUARED,
                    samples(0),
                    targets(0, false),
                    wide,
                    new double[3][1]));
    assertTrue(features.getMessage().contains("3 features"), features.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () ->
            PenaltyTuning.of(
                PenaltyTuning.Loss.SQUARED,
                new double[0][][],
                new double[0][],
                wide,
                new double[3][1]));
  }
}
