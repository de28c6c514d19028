package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

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

  @Test
  void otherCompressorsThanTopKAreRefused() {
    try (Problem problem = new FixedGradient(new double[4]);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(1))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 4, DType.F32)) {
      assertThrows(
          IllegalArgumentException.class,
          () ->
              DeepGradientCompression.builder(problem, network, zero)
                  .compressor(Compressor.parse("random-k:1:unscaled"))
                  .build());
    }
  }
}
