package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class DataParallelPowerSgdTest {
  private static final double[][] TWO = {{1, 2, 3, 4, 5, 6}, {2, 0, 1, -1, 0, 3}};

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  /** What a test does with an optimizer. */
  private interface Body {
    void run(DataParallelPowerSgd optimizer);
  }

  /** Changes settings. */
  private interface Settings {
    DataParallelPowerSgd.Builder change(DataParallelPowerSgd.Builder builder);
  }

  private void with(Problem problem, Settings settings, Body body) {
    try (problem;
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(problem.nodes())))
                .build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        DataParallelPowerSgd optimizer =
            settings.change(DataParallelPowerSgd.builder(problem, network, zero)).build()) {
      body.run(optimizer);
    }
  }

  @Test
  void theTwoWorkersOfThePaperGiveTheirFactors() {
    with(
        Shaped.of(new FixedGradient(TWO), 3, 2),
        b -> b.rank(1).stepSize(1).errors(DataParallelPowerSgd.Errors.NONE),
        optimizer -> {
          optimizer.state().get("start").upload(new float[] {1, 1});
          optimizer.step();
          // f32: a few 2^-24 of numbers below 8.
          double tolerance = 16 * 0x1p-21;
          double[] step = {
            1.046296296, 1.453703704, 1.464814815, 2.035185185, 2.929629630, 4.070370370
          };
          assertArrayEquals(step, optimizer.aggregated().toDoubles(), tolerance);
          assertArrayEquals(
              new double[] {3.4384805, 4.777357863},
              optimizer.state().get("start").toDoubles(),
              tolerance);
          double[] x = Arrays.stream(step).map(v -> -v).toArray();
          assertArrayEquals(x, Arrays.copyOf(optimizer.parameters().toDoubles(), 6), tolerance);
          optimizer.step();
          assertArrayEquals(
              new double[] {3.410600854, 4.801088404},
              optimizer.state().get("start").toDoubles(),
              tolerance);
          // Two averages of 3 + 2 numbers, over two nodes.
          assertEquals(2 * 2 * (3 + 2) * 4, optimizer.network().meter().bytes());
        });
  }

  @Test
  void errorsAndStepAddUpToWhatWasMeant() {
    for (DataParallelPowerSgd.Errors errors :
        new DataParallelPowerSgd.Errors[] {
          DataParallelPowerSgd.Errors.AGGREGATED, DataParallelPowerSgd.Errors.LOCAL
        }) {
      double[] before = new double[6];
      with(
          Shaped.of(new FixedGradient(TWO), 3, 2),
          b -> b.rank(1).errors(errors),
          optimizer -> {
            for (int k = 0; k < 10; k++) {
              optimizer.step();
              double[] e = optimizer.residual().toDoubles();
              double[] step = optimizer.aggregated().toDoubles();
              for (int c = 0; c < 6; c++) {
                double mean = (e[c] + e[6 + c]) / 2;
                assertEquals((TWO[0][c] + TWO[1][c]) / 2 + before[c], step[c] + mean, 64 * 0x1p-21);
                before[c] = mean;
              }
            }
          });
    }
  }

  private Problem quadratic() {
    return Shaped.of(Quadratic.random(4, 14, 3, 1, 5).build(queue, DType.F32), 3, 4);
  }

  private double[] run(Settings settings, int rounds) {
    double[][] x = new double[1][];
    with(
        quadratic(),
        settings,
        optimizer -> {
          for (int k = 0; k < rounds; k++) {
            optimizer.step();
          }
          x[0] = Arrays.copyOf(optimizer.parameters().toDoubles(), 14);
        });
    return x[0];
  }

  @Test
  void fullRankIsSgdWithoutErrors() {
    double[] expected;
    try (Problem problem = quadratic();
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(4))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
        Optimizer sgd = CentralSgd.builder(problem, network, zero).stepSize(0.1).build()) {
      for (int k = 0; k < 20; k++) {
        sgd.step();
      }
      expected = Arrays.copyOf(sgd.parameters().toDoubles(), 14);
    }
    for (DataParallelPowerSgd.Errors errors : DataParallelPowerSgd.Errors.values()) {
      assertArrayEquals(
          expected, run(b -> b.rank(3).stepSize(0.1).errors(errors), 20), 20 * 0x1p-19);
    }
  }

  @Test
  void bothKindsOfErrorsGiveTheSamePath() {
    double[] aggregated = run(b -> b.rank(1).stepSize(0.1), 15);
    assertArrayEquals(
        aggregated,
        run(b -> b.rank(1).stepSize(0.1).errors(DataParallelPowerSgd.Errors.LOCAL), 15),
        1e-4);
    double[] none = run(b -> b.rank(1).stepSize(0.1).errors(DataParallelPowerSgd.Errors.NONE), 15);
    double difference = 0;
    for (int c = 0; c < 14; c++) {
      difference = Math.max(difference, Math.abs(none[c] - aggregated[c]));
    }
    assertTrue(difference > 1e-2, "errors do something: " + difference);
    assertFalse(Arrays.equals(aggregated, run(b -> b.rank(1).stepSize(0.1).warmStart(false), 15)));
  }

  @Test
  void momentumFollowsTheAggregation() {
    // A matrix of rank 1 loses nothing: D' = g. m = 1, 3/2; steps g + m = 2, 5/2.
    with(
        Shaped.of(new FixedGradient(new double[] {1, 1, 1, 1}), 2, 2),
        b -> b.rank(1).stepSize(1).momentum(0.5),
        optimizer -> {
          optimizer.step();
          optimizer.step();
          double[] expected = new double[4];
          Arrays.fill(expected, -4.5);
          assertArrayEquals(expected, optimizer.parameters().toDoubles(), 32 * 0x1p-22);
        });
  }

  private static DataParallelPowerSgd.Builder alternating(DataParallelPowerSgd.Builder builder) {
    return builder.form(DataParallelPowerSgd.Form.ALTERNATING).uncompressedRounds(0).rank(1);
  }

  @Test
  void sidesAlternateAndEachProjectsOnTheOneBefore() {
    with(
        Shaped.of(new FixedGradient(TWO), 3, 2),
        b -> alternating(b).stepSize(1).errors(DataParallelPowerSgd.Errors.NONE),
        optimizer -> {
          optimizer.state().get("left").upload(new float[] {1, 1, 1});
          optimizer.step();
          // The mean is [[1.5, 1], [2, 1.5], [2.5, 4.5]], whose columns sum to 6 and 7.
          double tolerance = 16 * 0x1p-21;
          assertArrayEquals(
              new double[] {2, 7.0 / 3, 2, 7.0 / 3, 2, 7.0 / 3},
              optimizer.aggregated().toDoubles(),
              tolerance);
          // One average of 2 numbers, over two nodes.
          assertEquals(2 * 2 * 4, optimizer.network().meter().bytes());
          optimizer.step();
          // Rows times (6, 7) / sqrt(85): 16, 22.5, 46.5 over sqrt(85), then back.
          assertArrayEquals(
              new double[] {96 / 85.0, 112 / 85.0, 135 / 85.0, 157.5 / 85, 279 / 85.0, 325.5 / 85},
              optimizer.aggregated().toDoubles(),
              tolerance);
          assertEquals(2 * (2 + 3) * 4, optimizer.network().meter().bytes());
        });
  }

  @Test
  void alternatingErrorsAndStepAddUpToWhatWasMeant() {
    for (DataParallelPowerSgd.Errors errors :
        new DataParallelPowerSgd.Errors[] {
          DataParallelPowerSgd.Errors.AGGREGATED, DataParallelPowerSgd.Errors.LOCAL
        }) {
      double[] before = new double[6];
      with(
          Shaped.of(new FixedGradient(TWO), 3, 2),
          b -> alternating(b).errors(errors),
          optimizer -> {
            for (int k = 0; k < 10; k++) {
              optimizer.step();
              double[] e = optimizer.residual().toDoubles();
              double[] step = optimizer.aggregated().toDoubles();
              for (int c = 0; c < 6; c++) {
                double mean = (e[c] + e[6 + c]) / 2;
                assertEquals((TWO[0][c] + TWO[1][c]) / 2 + before[c], step[c] + mean, 64 * 0x1p-21);
                before[c] = mean;
              }
            }
          });
    }
  }

  @Test
  void theAlternatingFormBeginsAsPlainSgd() {
    double[][] x = new double[2][];
    for (int k = 0; k < 2; k++) {
      int rounds = 5 + k;
      double[] sgd;
      try (Problem problem = quadratic();
          Network network =
              Network.builder(MixingSchedule.constant(MixingMatrix.uniform(4))).build();
          DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), DType.F32);
          Optimizer central = CentralSgd.builder(problem, network, zero).stepSize(0.1).build()) {
        for (int round = 0; round < rounds; round++) {
          central.step();
        }
        sgd = Arrays.copyOf(central.parameters().toDoubles(), 14);
      }
      x[k] = run(b -> alternating(b).uncompressedRounds(5).stepSize(0.1), rounds);
      if (k == 0) {
        assertArrayEquals(sgd, x[k], 5 * 0x1p-19);
      } else {
        assertFalse(Arrays.equals(sgd, x[k]), "the sixth round is compressed");
      }
    }
  }

  @Test
  void whatTheAlternatingFormCannotDoIsRefused() {
    var cold =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                with(
                    Shaped.of(new FixedGradient(TWO), 3, 2),
                    b -> alternating(b).warmStart(false),
                    optimizer -> {}));
    assertTrue(cold.getMessage().contains("cold start"), cold.getMessage());
    var rank =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                with(
                    Shaped.of(new FixedGradient(TWO), 3, 2),
                    b -> alternating(b).rank(2),
                    optimizer -> {}));
    assertTrue(rank.getMessage().contains("gets shorter with rank 2"), rank.getMessage());
  }

  @Test
  void modelsWithoutAMatrixAreRefused() {
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () -> with(new FixedGradient(new double[] {1, 2}), b -> b, optimizer -> {}));
    assertTrue(e.getMessage().contains("two dimensions"), e.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () -> with(Shaped.of(new FixedGradient(TWO), 3, 2), b -> b.rank(65), optimizer -> {}));
  }
}
