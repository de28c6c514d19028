package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.Compressor;
import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class DeepGradientCompressionTest {
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  @Test
  void velocitiesAreGatheredAndMaskedWhereTheyAreSent() {
    double[] g = {4, 3, -2, 1};
    double[] u = new double[4];
    double[] v = new double[4];
    double[] x = new double[4];
    try (Problem problem = new FixedGradient(g);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(1))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 4, DType.F32);
        DeepGradientCompression optimizer =
            DeepGradientCompression.builder(problem, network, zero)
                .stepSize(1)
                .momentum(0.5)
                .compressor(Compressor.parse("top-k:1"))
                .build()) {
      for (int k = 0; k < 12; k++) {
        int largest = 0;
        for (int c = 0; c < 4; c++) {
          u[c] = 0.5 * u[c] + g[c];
          v[c] += u[c];
          if (Math.abs(v[c]) > Math.abs(v[largest])) {
            largest = c;
          }
        }
        x[largest] -= v[largest];
        v[largest] = 0;
        u[largest] = 0;
        optimizer.step();
        assertArrayEquals(x, optimizer.parameters().toDoubles(), "round " + k);
        assertArrayEquals(v, optimizer.residual().toDoubles(), "round " + k);
        assertArrayEquals(u, optimizer.state().get("velocity").toDoubles(), "round " + k);
      }
    }
  }

  @Test
  void withoutMomentumItIsErrorFeedbackBitForBit() {
    double[][] x = new double[2][];
    Algorithm.Factory[] factories = {
      (p, w, z) ->
          DeepGradientCompression.builder(p, w, z)
              .momentum(0)
              .stepSize(0.05)
              .compressor(Compressor.parse("top-k:2"))
              .build(),
      (p, w, z) ->
          EfSgd.builder(p, w, z).stepSize(0.05).compressor(Compressor.parse("top-k:2")).build()
    };
    for (int k = 0; k < 2; k++) {
      try (Problem problem = Quadratic.random(4, 7, 3, 1, 2).build(queue, DType.F32);
          Network network =
              Network.builder(MixingSchedule.constant(MixingMatrix.uniform(4))).build();
          DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 7, DType.F32);
          Optimizer optimizer = factories[k].create(problem, network, zero)) {
        for (int t = 0; t < 30; t++) {
          optimizer.step();
        }
        x[k] = optimizer.parameters().toDoubles();
      }
    }
    assertArrayEquals(x[1], x[0]);
  }

  private static Network complete(int nodes) {
    return Network.builder(MixingSchedule.constant(MixingMatrix.uniform(nodes))).build();
  }

  /** A sample of all columns gives the threshold that exactly the top k reach. */
  @Test
  void aSampleOfAllColumnsIsTopKBitForBit() {
    double[][] x = new double[2][];
    double[][] u = new double[2][];
    String[] names = {"top-k:2", "sampled-top-k:2:sample=7"};
    for (int k = 0; k < 2; k++) {
      try (Problem problem = Quadratic.random(4, 7, 3, 1, 2).build(queue, DType.F32);
          Network network = complete(4);
          DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 7, DType.F32);
          DeepGradientCompression optimizer =
              DeepGradientCompression.builder(problem, network, zero)
                  .stepSize(0.02)
                  .compressor(Compressor.parse(names[k]))
                  .build()) {
        for (int t = 0; t < 30; t++) {
          optimizer.step();
        }
        x[k] = optimizer.parameters().toDoubles();
        u[k] = optimizer.state().get("velocity").toDoubles();
      }
    }
    assertArrayEquals(x[0], x[1]);
    assertArrayEquals(u[0], u[1]);
  }

  @Test
  void everyNodeClipsItsGradientToItsShareOfTheNorm() {
    // C = 5 and 4 nodes: 5/2 for each. Norms 5, 2, 0 and, beyond the squares of f32, 5e30.
    double[][] g = {{3, 4}, {0, 2}, {0, 0}, {-3e30, 4e30}};
    try (Problem problem = new FixedGradient(g);
        Network network = complete(4);
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 2, DType.F32);
        DeepGradientCompression optimizer =
            DeepGradientCompression.builder(problem, network, zero)
                .stepSize(1)
                .clipNorm(5)
                .compressor(Compressor.parse("top-k:2"))
                .build()) {
      optimizer.step();
      // Sums (1.5 - 1.5, 2 + 2 + 2), a quarter of them; 3e30 and 4e30 are rounded to f32.
      assertArrayEquals(
          new double[] {0, -1.5}, optimizer.parameters().row(0).toDoubles(), 8 * 0x1p-23);
    }
  }

  @Test
  void aGradientThatIsNotFiniteIsNotClippedToNothing() {
    for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
      try (Problem problem = new FixedGradient(new double[] {1, 2}, new double[] {bad, 1});
          Network network = complete(2);
          DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 2, DType.F32);
          DeepGradientCompression optimizer =
              DeepGradientCompression.builder(problem, network, zero)
                  .clipNorm(5)
                  .compressor(Compressor.parse("top-k:1"))
                  .build()) {
        NonFiniteException e = assertThrows(NonFiniteException.class, optimizer::step);
        assertTrue(e.getMessage().contains("node 1"), e.getMessage());
        assertArrayEquals(new double[4], optimizer.residual().toDoubles());
      }
    }
  }

  @Test
  void theWarmUpSendsAQuarterThenAQuarterOfThat() {
    int d = 2048;
    long header = 64;
    double[][] g = new double[2][d];
    for (int c = 0; c < d; c++) {
      g[0][c] = 1 + (c * 37) % d;
      g[1][c] = 1 + (c * 101) % d;
    }
    long[] entries = {512, 512, 128, 128, 32, 32, 8, 8, 2, 2, 2};
    for (String name : List.of("top-k:2", "sampled-top-k:2:sample=0.5")) {
      long room = name.startsWith("top") ? 1 : 2;
      long count = room - 1;
      try (Problem problem = new FixedGradient(g);
          Network network = complete(2);
          DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, d, DType.F32);
          DeepGradientCompression optimizer =
              DeepGradientCompression.builder(problem, network, zero)
                  .stepSize(1)
                  .momentum(0)
                  .warmUpRounds(2)
                  .compressor(Compressor.parse(name))
                  .build()) {
        long bytes = 0;
        for (int t = 0; t < entries.length; t++) {
          optimizer.step();
          long now = network.meter().bytes();
          assertEquals(
              2L * (header + 4 * (count + 2 * room * entries[t])), now - bytes, "round " + t);
          bytes = now;
          // What is not sent is kept from stage to stage: integers below 2^24, all exact.
          double[] x = optimizer.parameters().toDoubles();
          double[] v = optimizer.residual().toDoubles();
          for (int c = 0; c < d; c++) {
            assertEquals((t + 1.0) * (g[0][c] + g[1][c]), v[c] + v[d + c] - 2 * x[c]);
          }
        }
      }
    }
  }

  @Test
  void settingsThatAreNoneAreRefused() {
    try (Problem problem = new FixedGradient(new double[4]);
        Network network = complete(1);
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 4, DType.F32)) {
      DeepGradientCompression.Builder builder =
          DeepGradientCompression.builder(problem, network, zero);
      for (double norm : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
        assertThrows(IllegalArgumentException.class, () -> builder.clipNorm(norm));
      }
      assertThrows(IllegalArgumentException.class, () -> builder.warmUpRounds(-1));
      var e =
          assertThrows(
              IllegalArgumentException.class,
              () -> builder.compressor(Compressor.parse("random-k:1:unscaled")).build());
      assertTrue(e.getMessage().contains("random-k:1:unscaled sends others"), e.getMessage());
    }
  }
}
