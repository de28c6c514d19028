package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.network.Processes;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** One process and many give the same bits. */
class CutTest {
  private static final int NODES = 10;
  private static final int ROUNDS = 20;

  static List<Algorithm> algorithms() {
    return Algorithm.all();
  }

  static List<Algorithm> compressed() {
    return Algorithm.compressed();
  }

  /** The parameters of all nodes after all rounds, then what the network has sent. */
  private static double[] parameters(
      Algorithm algorithm, int processes, DType dtype, Optional<DType> message) {
    List<double[]> parts =
        Processes.run(
            NODES,
            processes,
            (transport, queue) ->
                algorithm.run(
                    NODES,
                    transport,
                    queue,
                    dtype,
                    message,
                    optimizer -> {
                      for (int round = 0; round < ROUNDS; round++) {
                        optimizer.step();
                      }
                      double[] x = optimizer.parameters().toDoubles();
                      double[] all = Arrays.copyOf(x, x.length + 3);
                      all[x.length] = optimizer.network().meter().rounds();
                      all[x.length + 1] = optimizer.network().meter().messages();
                      all[x.length + 2] = optimizer.network().meter().bytes();
                      return all;
                    }));
    double[] last = parts.getLast();
    double[] meter = Arrays.copyOfRange(last, last.length - 3, last.length);
    return java.util.stream.Stream.concat(
            parts.stream().map(p -> Arrays.copyOf(p, p.length - 3)),
            java.util.stream.Stream.of(meter))
        .flatMapToDouble(Arrays::stream)
        .toArray();
  }

  @ParameterizedTest
  @MethodSource("algorithms")
  void cutsDoNotChangeABit(Algorithm algorithm) {
    double[] sum = new double[2];
    for (DType dtype : List.of(DType.F32, DType.F64)) {
      for (Optional<DType> message : List.of(Optional.<DType>empty(), Optional.of(DType.BF16))) {
        double[] whole = parameters(algorithm, 1, dtype, message);
        assertTrue(Arrays.stream(whole).allMatch(Double::isFinite), algorithm + " stays finite");
        for (int processes : new int[] {2, 3, 5}) {
          assertArrayEquals(
              whole,
              parameters(algorithm, processes, dtype, message),
              algorithm + " " + dtype + " " + message + " over " + processes);
        }
        sum[message.isPresent() ? 1 : 0] = Arrays.stream(whole).sum();
      }
      // Averages over all nodes travel in the type of the state, and so do blocks of bytes.
      if (!algorithm.label().startsWith("central") && !algorithm.label().startsWith("blocks")) {
        assertNotEquals(sum[0], sum[1], "bf16 messages change something");
      }
    }
  }

  @ParameterizedTest
  @MethodSource("compressed")
  void cutsDoNotChangeABitOfWhatIsEncoded(Algorithm algorithm) {
    double[] whole = parameters(algorithm, 1, DType.F32, Optional.empty());
    assertTrue(Arrays.stream(whole).allMatch(Double::isFinite), algorithm + " stays finite");
    for (int processes : new int[] {2, 3, 5}) {
      assertArrayEquals(
          whole,
          parameters(algorithm, processes, DType.F32, Optional.empty()),
          algorithm + " over " + processes);
    }
  }
}
