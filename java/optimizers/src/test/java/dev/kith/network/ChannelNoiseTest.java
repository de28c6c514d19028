package dev.kith.network;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.Messages;
import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.Expression;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class ChannelNoiseTest {
  private static final int N = 9;
  private static final int COLS = 1000;
  private static final MixingMatrix W = new WeightRule.Metropolis().weights(Topologies.ring(N));

  /** Two mixings in each of two rounds, of zeros: what arrives is noise. */
  private static double[] noise(ChannelNoise channel, MixingMatrix w, int processes) {
    List<double[]> parts =
        Processes.run(
            N,
            processes,
            (transport, queue) -> {
              try (Network network =
                      Network.builder(MixingSchedule.constant(w))
                          .transport(transport)
                          .channelNoise(channel)
                          .build();
                  DeviceMatrix x =
                      DeviceMatrix.allocate(queue, network.localNodes(), COLS, DType.F32);
                  DeviceMatrix y = x.like()) {
                double[] all = new double[0];
                for (int round : new int[] {4, 5}) {
                  network.round(round);
                  for (int k = 0; k < 2; k++) {
                    network.mix(Expression.inner(x), y);
                    double[] part = y.toDoubles();
                    int length = all.length;
                    all = Arrays.copyOf(all, length + part.length);
                    System.arraycopy(part, 0, all, length, part.length);
                  }
                }
                return all;
              }
            });
    // By exchange, then by node.
    double[] joined = new double[4 * N * COLS];
    int node = 0;
    for (double[] part : parts) {
      int length = part.length / 4;
      for (int k = 0; k < 4; k++) {
        System.arraycopy(part, k * length, joined, (k * N + node) * COLS, length);
      }
      node += length / COLS;
    }
    return joined;
  }

  private static double correlation(double[] all, int a, int b) {
    double sum = 0;
    double first = 0;
    double second = 0;
    for (int c = 0; c < COLS; c++) {
      sum += all[a * COLS + c] * all[b * COLS + c];
      first += all[a * COLS + c] * all[a * COLS + c];
      second += all[b * COLS + c] * all[b * COLS + c];
    }
    return sum / Math.sqrt(first * second);
  }

  @ParameterizedTest
  @EnumSource(ChannelNoise.Kind.class)
  void cutsDoNotChangeABit(ChannelNoise.Kind kind) {
    ChannelNoise channel = new ChannelNoise(kind, 0.5, 7);
    double[] whole = noise(channel, W, 1);
    for (int processes : new int[] {2, 4}) {
      assertArrayEquals(whole, noise(channel, W, processes));
    }
  }

  @Test
  void everyExchangeAndLinkHasNoiseOfItsOwn() {
    double[] all = noise(new ChannelNoise(ChannelNoise.Kind.LINK, 0.5, 7), W, 1);
    // Two neighbours of weight 1/3 each; 36,000 squares: four standard errors are 3 %.
    double variance = Arrays.stream(all).map(v -> v * v).average().orElseThrow();
    assertEquals(2 * 0.25 / 9, variance, 0.03 * 2 * 0.25 / 9);
    // 1000 products: four standard errors of a correlation are 0.13.
    for (int a = 0; a < 4 * N; a++) {
      for (int b = 0; b < a; b++) {
        assertEquals(0, correlation(all, a, b), 0.13, a + " and " + b);
      }
    }
  }

  @Test
  void noiseOfASenderReachesAllItsNeighbours() {
    double[] all = noise(new ChannelNoise(ChannelNoise.Kind.SENDER, 0.5, 7), W, 1);
    // Nodes 0 and 2 have the neighbour 1 in common, nodes 0 and 1 none.
    assertEquals(0.5, correlation(all, 0, 2), 0.13);
    assertEquals(0, correlation(all, 0, 1), 0.13);
  }

  @Test
  void whatANodeKeepsIsExact() {
    double[] all =
        noise(new ChannelNoise(ChannelNoise.Kind.LINK, 0.5, 7), MixingMatrix.identity(N), 1);
    assertTrue(Arrays.stream(all).allMatch(v -> v == 0));
  }

  @Test
  void aRoundThatIsDoneAgainHasTheSameNoise() {
    try (Queue queue = Device.cpu().newQueue();
        Network network =
            Network.builder(MixingSchedule.constant(W))
                .channelNoise(new ChannelNoise(ChannelNoise.Kind.LINK, 1, 7))
                .build();
        DeviceMatrix x = DeviceMatrix.allocate(queue, N, 5, DType.F64);
        DeviceMatrix y = x.like()) {
      network.round(3);
      network.mix(Expression.inner(x), y);
      double[] first = y.toDoubles();
      network.round(3);
      network.mix(Expression.inner(x), y);
      assertArrayEquals(first, y.toDoubles());
    }
  }

  @ParameterizedTest
  @ValueSource(doubles = {-1, Double.NaN, Double.POSITIVE_INFINITY})
  void impossibleNoiseIsRefused(double deviation) {
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () -> new ChannelNoise(ChannelNoise.Kind.LINK, deviation, 1));
    assertTrue(e.getMessage().contains("" + deviation), e.getMessage());
  }

  @Test
  void aNoisyChannelDoesNotPretendToCarryWhatItCannot() {
    try (Queue queue = Device.cpu().newQueue();
        Network network =
            Network.builder(MixingSchedule.constant(W))
                .channelNoise(new ChannelNoise(ChannelNoise.Kind.LINK, 1, 7))
                .build();
        DeviceMatrix x = DeviceMatrix.allocate(queue, N, 5, DType.F32);
        DeviceMatrix y = x.like();
        DeviceMatrix mean = DeviceMatrix.allocate(queue, 1, 5, DType.F32);
        Codec codec = Compressor.parse("int8").bind(x, new Codec.Sender(0, 1, 0));
        Messages messages = codec.messages()) {
      codec.encode(x, messages, 0);
      for (Runnable call :
          List.<Runnable>of(
              () -> network.average(x, mean),
              () -> network.exchange(messages),
              () -> network.gather(messages),
              () -> network.average(messages, mean),
              () -> network.edges(List.of(W), List.of(messages)))) {
        var e = assertThrows(IllegalStateException.class, call::run);
        assertTrue(e.getMessage().contains("noisy"), e.getMessage());
      }
      for (int k = 0; k < 256; k++) {
        network.mix(Expression.inner(x), y);
      }
      var e = assertThrows(IllegalStateException.class, () -> network.mix(Expression.inner(x), y));
      assertTrue(e.getMessage().contains("256"), e.getMessage());
    }
  }
}
