package dev.kith.network;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The noise that the messages of a mixing matrix bring to the rows of this process. Its rows have
 * global numbers, of the entry of the matrix or of the sender, and enter in the order of the
 * senders: so the bits do not depend on how the nodes are cut.
 */
final class NoisyLinks implements AutoCloseable {
  private final ChannelNoise noise;
  private final List<Integer> numbers;
  private final MixingWeights weights;

  NoisyLinks(ChannelNoise noise, MixingMatrix w, int firstNode, int localNodes, Queue queue) {
    this.noise = noise;
    Map<Integer, Integer> columnOf = new TreeMap<>();
    List<Integer> entryNumbers = new ArrayList<>();
    List<Double> values = new ArrayList<>();
    long[] offsets = new long[localNodes + 1];
    for (int r = 0; r < localNodes; r++) {
      int i = firstNode + r;
      for (int k = w.rowBegin(i); k < w.rowBegin(i + 1); k++) {
        if (w.column(k) != i && w.value(k) != 0) {
          int number = noise.kind() == ChannelNoise.Kind.LINK ? k : w.column(k);
          columnOf.put(number, 0);
          entryNumbers.add(number);
          values.add(w.value(k));
        }
      }
      offsets[r + 1] = values.size();
    }
    this.numbers = List.copyOf(columnOf.keySet());
    for (int c = 0; c < numbers.size(); c++) {
      columnOf.put(numbers.get(c), c);
    }
    this.weights =
        MixingWeights.sparse(
            queue,
            localNodes,
            numbers.size(),
            offsets,
            entryNumbers.stream().mapToInt(columnOf::get).toArray(),
            values.stream().mapToDouble(Double::doubleValue).toArray());
  }

  /**
   * y_i += deviation sum_j w_ij n_ij.
   *
   * @param draw number of the exchange, a round of the stream
   */
  void addTo(DeviceMatrix y, long draw) {
    List<NoiseField.PublicRow> rows = new ArrayList<>(numbers.size());
    for (int number : numbers) {
      rows.add(new NoiseField.PublicRow(noise.seed(), draw, number));
    }
    NoiseField field = NoiseField.shared(NoiseField.Distribution.NORMAL, Stream.CHANNEL, rows);
    Noise.sum(weights, field, noise.deviation(), true, y);
  }

  @Override
  public void close() {
    weights.close();
  }
}
