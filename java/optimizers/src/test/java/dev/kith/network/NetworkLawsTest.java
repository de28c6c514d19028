package dev.kith.network;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Expression;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;

/** Laws of the network for any weights, any cut and any width. */
class NetworkLawsTest {
  /**
   * Rows that sum to 1, any sign, each entry there with the given probability; some rows are the
   * own node alone.
   */
  private static MixingMatrix rowStochastic(int n, double density, long seed) {
    SharedRandom random = new SharedRandom(seed, Stream.TEST, 0, 0);
    double[][] w = new double[n][n];
    for (int i = 0; i < n; i++) {
      double sum = 0;
      for (int j = 0; j < n; j++) {
        if (j != i && random.uniform((long) i * n + j) < density) {
          // Multiples of 2^-10: their sums are exact.
          w[i][j] = (random.below((long) i * n + j, 2048) - 1024) / 1024.0;
          sum += w[i][j];
        }
      }
      w[i][i] = 1 - sum;
    }
    return MixingMatrix.ofDense(MixingMatrix.Kind.ROW_STOCHASTIC, w);
  }

  private static DeviceMatrix rows(Queue queue, Network network, int cols, DType dtype, long seed) {
    DeviceMatrix m = DeviceMatrix.allocate(queue, network.localNodes(), cols, dtype);
    double[] values = new double[network.localNodes() * cols];
    for (int r = 0; r < network.localNodes(); r++) {
      SharedRandom random = new SharedRandom(seed, Stream.TEST, network.firstNode() + r, 1);
      for (int c = 0; c < cols; c++) {
        values[r * cols + c] = random.normal(c);
      }
    }
    m.upload(values);
    return m;
  }

  private static List<double[]> run(
      MixingMatrix w, int processes, int cols, DType dtype, DType message, long seed) {
    return Processes.run(
        w.nodes(),
        processes,
        (transport, queue) -> {
          try (Network network =
                  Network.builder(MixingSchedule.constant(w))
                      .transport(transport)
                      .messageType(message)
                      .build();
              DeviceMatrix x = rows(queue, network, cols, dtype, seed);
              DeviceMatrix g = rows(queue, network, cols, dtype, seed + 1);
              DeviceMatrix mean = x.like(1, cols, dtype);
              DeviceMatrix y = x.like()) {
            network.mix(Expression.inner(x).plusInner(-0.25, g).plusOuter(0.5, g), y);
            network.average(y, mean);
            double[] all = new double[2 + cols];
            all[0] = network.consensusDistance(y);
            all[1] = network.meter().bytes();
            System.arraycopy(mean.toDoubles(), 0, all, 2, cols);
            double[] own = y.toDoubles();
            double[] both = Arrays.copyOf(all, all.length + own.length);
            System.arraycopy(own, 0, both, all.length, own.length);
            return both;
          }
        });
  }

  @Property(tries = 60)
  void noCutChangesABit(
      @ForAll @IntRange(min = 1, max = 17) int nodes,
      @ForAll @IntRange(min = 1, max = 6) int processes,
      @ForAll @IntRange(min = 1, max = 70) int cols,
      @ForAll @DoubleRange(min = 0, max = 1) double density,
      @ForAll boolean wide,
      @ForAll @IntRange(min = 0, max = 2) int message,
      @ForAll @IntRange(min = 0) int seed) {
    MixingMatrix w = rowStochastic(nodes, density, seed);
    DType dtype = wide ? DType.F64 : DType.F32;
    DType carried = List.of(dtype, DType.BF16, DType.F32).get(message);
    double[] whole = run(w, 1, cols, dtype, carried, seed).getFirst();
    int head = 2 + cols;
    int row = head;
    for (double[] part : run(w, Math.min(nodes, processes), cols, dtype, carried, seed)) {
      assertArrayEquals(Arrays.copyOf(whole, head), Arrays.copyOf(part, head));
      assertArrayEquals(
          Arrays.copyOfRange(whole, row, row + part.length - head),
          Arrays.copyOfRange(part, head, part.length));
      row += part.length - head;
    }
    assertEquals(whole.length, row);
  }

  @Property(tries = 40)
  void doublyStochasticMixingPreservesTheMean(
      @ForAll @IntRange(min = 2, max = 40) int nodes,
      @ForAll @IntRange(min = 0) int seed,
      @ForAll boolean lazy) {
    MixingSchedule schedule = MixingSchedule.onePeerExponential(nodes);
    double[] drift =
        Processes.run(
                nodes,
                1,
                (transport, queue) -> {
                  try (Network network =
                          Network.builder(lazy ? schedule.lazy() : schedule)
                              .transport(transport)
                              .build();
                      DeviceMatrix x = rows(queue, network, 9, DType.F64, seed);
                      DeviceMatrix y = x.like();
                      DeviceMatrix before = x.like(1, 9, DType.F64);
                      DeviceMatrix after = before.like()) {
                    network.average(x, before);
                    for (int round = 0; round < 10; round++) {
                      network.round(round);
                      network.mix(Expression.inner(x), y);
                      x.copyFrom(y);
                    }
                    network.average(x, after);
                    double[] b = before.toDoubles();
                    double[] a = after.toDoubles();
                    return new double[] {
                      java.util.stream.IntStream.range(0, 9)
                          .mapToDouble(c -> Math.abs(a[c] - b[c]))
                          .max()
                          .orElseThrow()
                    };
                  }
                })
            .getFirst();
    // Normals stay below 9; ten rounds and two sums over at most 40 nodes with some roundings each.
    assertEquals(0, drift[0], 9 * 32 * 0x1p-52);
  }
}
