package dev.kith.kernel;

import static dev.kith.kernel.Contract.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Directions against their formula, bit for bit, and against what is known of the sphere. */
class DirectionsTest {
  private static NoiseField field(int firstNode, int rows) {
    return NoiseField.shared(
        NoiseField.Distribution.NORMAL, Stream.PERTURBATION, 3, 8, firstNode, rows);
  }

  private static double[][] expected(DType t, int firstNode, int rows, int cols, boolean inside) {
    double[][] y = new double[rows][];
    for (int r = 0; r < rows; r++) {
      int node = firstNode + r;
      y[r] =
          OracleNoise.publicRow(
              NoiseField.Distribution.NORMAL, 3, Stream.PERTURBATION, node, 8, cols);
      double squares = Oracle.reduce(Reduction.Kind.SQUARES, t, y[r], null);
      double u = new SharedRandom(3, Stream.PERTURBATION, node, 8).uniform(0);
      double length = inside ? StrictMath.pow(u, 1.0 / cols) : 1;
      double factor = 2.5 * length / Math.sqrt(squares);
      for (int c = 0; c < cols; c++) {
        y[r][c] = Oracle.round(t, Oracle.round(t, factor) * y[r][c]);
      }
    }
    return y;
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void rowsFollowTheirFormula(Rig rig) {
    try (Rig.Session session = rig.open()) {
      for (DType t : List.of(DType.F32, DType.F64)) {
        for (int cols : new int[] {0, 1, 2, 33, 1025, 4097, 7919}) {
          Operand sphere = session.operand(t, new double[3][cols], cols);
          Directions.sphere(field(4, 3), 2.5, sphere.matrix());
          sphere.expect(expected(t, 4, 3, cols, false));
          Operand ball = session.operand(t, new double[3][cols], cols);
          Directions.ball(field(4, 3), 2.5, ball.matrix());
          ball.expect(expected(t, 4, 3, cols, true));
          session.release();
        }
      }
    }
  }

  /**
   * 4,000 directions of 3 dimensions: by Archimedes each coordinate is uniform in (-1, 1), and the
   * cube of the distance from the centre of a ball in (0, 1). The largest distance between the
   * distribution functions is below 1.95 / sqrt(n), its quantile of 1 in 1,000.
   */
  @Test
  void pointsAreUniform() {
    int n = 4000;
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix y = session.matrix(DType.F64, new double[n][3], 3);
      Directions.sphere(field(0, n), 1, y);
      double[] on = y.toDoubles();
      Directions.ball(field(0, n), 1, y);
      double[] in = y.toDoubles();
      for (int c = 0; c < 3; c++) {
        double[] sample = new double[n];
        for (int r = 0; r < n; r++) {
          sample[r] = (on[3 * r + c] + 1) / 2;
        }
        assertUniform(sample);
      }
      double[] volumes = new double[n];
      for (int r = 0; r < n; r++) {
        double square = 0;
        double inner = 0;
        double size = 0;
        for (int c = 0; c < 3; c++) {
          size += on[3 * r + c] * on[3 * r + c];
          square += in[3 * r + c] * in[3 * r + c];
          inner += in[3 * r + c] * on[3 * r + c];
        }
        assertEquals(1, size, 16 * 0x1p-53);
        assertEquals(Math.sqrt(square), inner, 32 * 0x1p-53);
        volumes[r] = Math.pow(square, 1.5);
      }
      assertUniform(volumes);
    }
  }

  private static void assertUniform(double[] sample) {
    int n = sample.length;
    Arrays.sort(sample);
    double most = 0;
    for (int i = 0; i < n; i++) {
      most = Math.max(most, Math.max((i + 1.0) / n - sample[i], sample[i] - (double) i / n));
    }
    assertTrue(most < 1.95 / Math.sqrt(n), "distance " + most);
  }

  @Test
  void cutsAndSecretsGiveTheirOwnRows() {
    byte[] key = new byte[Secret.BYTES];
    try (Rig.Session session = Rig.best().open();
        Secret secret = Secret.of(key)) {
      DeviceMatrix all = session.matrix(DType.F32, new double[5][77], 77);
      DeviceMatrix own = session.matrix(DType.F32, new double[2][77], 77);
      Directions.ball(field(0, 5), 1, all);
      Directions.ball(field(3, 2), 1, own);
      assertArrayEquals(Arrays.copyOfRange(all.toDoubles(), 3 * 77, 5 * 77), own.toDoubles());
      Directions.ball(
          NoiseField.secret(
              NoiseField.Distribution.NORMAL,
              Stream.PERTURBATION,
              List.of(
                  new NoiseField.SecretRow(secret, 8, 3), new NoiseField.SecretRow(secret, 8, 4))),
          1,
          own);
      double[] hidden = own.toDoubles();
      int[] words = new int[2];
      for (int i = 0; i < 2; i++) {
        words[i] = OracleNoise.secretWord(key, Stream.PERTURBATION, 0, 3, 8, i);
      }
      double square = 0;
      for (int c = 0; c < 77; c++) {
        square += hidden[c] * hidden[c];
      }
      double radius = StrictMath.pow(SharedRandom.uniform(words[0], words[1]), 1.0 / 77);
      // 77 elements rounded to f32, and their squares summed in f32 for the factor.
      assertEquals(radius, Math.sqrt(square), 80 * 0x1p-24);
    }
  }

  @Test
  void argumentsThatDoNotFitAreRefused() {
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix y = session.matrix(DType.F32, new double[2][9], 9);
      refused("-1.0", () -> Directions.sphere(field(0, 2), -1, y));
      refused("NaN", () -> Directions.ball(field(0, 2), Double.NaN, y));
      refused("Infinity", () -> Directions.ball(field(0, 2), Double.POSITIVE_INFINITY, y));
      refused("3 rows", () -> Directions.ball(field(0, 3), 1, y));
      refused(
          "UNIFORM",
          () -> Directions.sphere(field(0, 2).as(NoiseField.Distribution.UNIFORM), 1, y));
      refused(
          "BF16",
          () -> Directions.sphere(field(0, 2), 1, session.matrix(DType.BF16, new double[2][9], 9)));
    }
  }
}
