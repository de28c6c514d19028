package dev.kith.network;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Expression;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.Reduction;
import dev.kith.kernel.Secret;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class NetworkTest {
  private static final int N = 11;
  private static final int D = 37;

  /** Row i of matrix k: the same numbers wherever node i lives. */
  private static DeviceMatrix matrix(Queue queue, Network network, int k, DType dtype, int cols) {
    DeviceMatrix m = DeviceMatrix.allocate(queue, network.localNodes(), cols, dtype);
    double[] values = new double[network.localNodes() * cols];
    for (int r = 0; r < network.localNodes(); r++) {
      SharedRandom random = new SharedRandom(k, Stream.TEST, network.firstNode() + r, 0);
      for (int c = 0; c < cols; c++) {
        values[r * cols + c] = random.normal(c);
      }
    }
    m.upload(values);
    return m;
  }

  private static DeviceMatrix perRow(Queue queue, Network network) {
    double[] values = new double[network.localNodes()];
    Arrays.setAll(values, r -> 1 + (network.firstNode() + r) / 8.0);
    return DeviceMatrix.row(queue, values);
  }

  private static MixingMatrix directed(int n) {
    double[][] rows = new double[n][n];
    for (int i = 0; i < n; i++) {
      rows[i][i] = 0.5;
      rows[i][(i + 1) % n] += 0.25;
      rows[i][(i * 5 + 3) % n] += 0.5;
      rows[i][(i + n - 2) % n] += -0.25;
    }
    return MixingMatrix.ofDense(MixingMatrix.Kind.ROW_STOCHASTIC, rows);
  }

  private static double[] concatenate(List<double[]> parts) {
    return parts.stream().flatMapToDouble(Arrays::stream).toArray();
  }

  /** Several rounds of an expression with all kinds of terms. */
  private static double[] mixed(
      int processes, DType dtype, Optional<DType> message, boolean flagged) {
    return concatenate(
        Processes.run(
            N,
            processes,
            (transport, queue) -> {
              Network.Builder builder =
                  Network.builder(MixingSchedule.constant(directed(N))).transport(transport);
              message.ifPresent(builder::messageType);
              try (Network network = builder.build();
                  DeviceMatrix a = matrix(queue, network, 1, dtype, D);
                  DeviceMatrix b = matrix(queue, network, 2, dtype, D);
                  DeviceMatrix u = matrix(queue, network, 3, dtype, D);
                  DeviceMatrix rows = perRow(queue, network);
                  DeviceMatrix flags = a.like(1, network.localNodes(), DType.I32);
                  DeviceMatrix y = a.like()) {
                for (int round = 0; round < 4; round++) {
                  network.round(round);
                  Expression e =
                      Expression.inner(0.7, rows, a)
                          .plusInner(-0.1, b)
                          .plusOuter(0.3, u)
                          .plusOuter(-0.2, rows, b);
                  if (flagged) {
                    network.mix(e, y, flags);
                    assertArrayEquals(new int[network.localNodes()], flags.toInts());
                  } else {
                    network.mix(e, y);
                    assertEquals(OptionalInt.empty(), network.nonFiniteNode());
                  }
                  a.copyFrom(y);
                }
                return y.toDoubles();
              }
            }));
  }

  @Test
  void cutsDoNotChangeABitOfAMixing() {
    for (DType dtype : List.of(DType.F32, DType.F64)) {
      for (Optional<DType> message :
          List.of(
              Optional.<DType>empty(),
              Optional.of(DType.BF16),
              Optional.of(DType.F16),
              Optional.of(DType.F32))) {
        double[] whole = mixed(1, dtype, message, false);
        for (int processes : new int[] {2, 3, 5, 11}) {
          assertArrayEquals(
              whole, mixed(processes, dtype, message, processes == 3), dtype + " " + message);
        }
      }
    }
  }

  /**
   * Two rounds with independent noise, or that of the edges of a ring from the first own one on.
   */
  private static double[] noisy(
      int processes, DType dtype, DType message, boolean edges, boolean secret) {
    byte[] key = new byte[Secret.BYTES];
    key[3] = 7;
    return concatenate(
        Processes.run(
            N,
            processes,
            (transport, queue) -> {
              try (Secret shared = Secret.of(key);
                  Network network =
                      Network.builder(MixingSchedule.constant(directed(N)))
                          .transport(transport)
                          .messageType(message)
                          .build();
                  DeviceMatrix a = matrix(queue, network, 1, dtype, D);
                  DeviceMatrix g = matrix(queue, network, 2, dtype, D);
                  DeviceMatrix u = matrix(queue, network, 3, dtype, D);
                  DeviceMatrix clip = perRow(queue, network);
                  DeviceMatrix y = a.like();
                  MixingWeights factor = ringEdges(queue, network)) {
                for (int round = 0; round < 2; round++) {
                  network.round(round);
                  int sources = network.localNodes() + (edges ? 1 : 0);
                  List<NoiseField.SecretRow> rows = new ArrayList<>();
                  for (int k = 0; k < sources; k++) {
                    rows.add(
                        new NoiseField.SecretRow(shared, round, (network.firstNode() + k) % N));
                  }
                  NoiseField field =
                      secret
                          ? NoiseField.secret(
                              NoiseField.Distribution.NORMAL, Stream.EDGE_NOISE, rows)
                          : NoiseField.shared(
                              NoiseField.Distribution.LAPLACE,
                              Stream.EDGE_NOISE,
                              rows.stream()
                                  .map(r -> new NoiseField.PublicRow(5, r.round(), r.node()))
                                  .toList());
                  Expression e = Expression.inner(a).plusInner(-0.1, clip, g).plusOuter(0.3, u);
                  e = edges ? e.plusNoise(0.2, factor, field) : e.plusNoise(0.2, field);
                  network.mix(e, y);
                  assertEquals(OptionalInt.empty(), network.nonFiniteNode());
                  a.copyFrom(y);
                }
                return y.toDoubles();
              }
            }));
  }

  /** Node i has 1 times edge i and -1 times edge i + 1; the columns are those of the own nodes. */
  private static MixingWeights ringEdges(Queue queue, Network network) {
    int rows = network.localNodes();
    long[] offsets = new long[rows + 1];
    int[] columns = new int[2 * rows];
    double[] values = new double[2 * rows];
    for (int r = 0; r < rows; r++) {
      offsets[r + 1] = 2L * (r + 1);
      columns[2 * r] = r;
      values[2 * r] = 1;
      columns[2 * r + 1] = r + 1;
      values[2 * r + 1] = -1;
    }
    return MixingWeights.sparse(queue, rows, rows + 1, offsets, columns, values);
  }

  @Test
  void cutsDoNotChangeABitOfNoiseInTheMessages() {
    for (boolean edges : new boolean[] {false, true}) {
      for (DType message : List.of(DType.F32, DType.BF16)) {
        for (DType dtype : List.of(DType.F32, DType.F64)) {
          boolean secret = dtype == DType.F32;
          double[] whole = noisy(1, dtype, message, edges, secret);
          for (int processes : new int[] {2, 3, 11}) {
            assertArrayEquals(
                whole,
                noisy(processes, dtype, message, edges, secret),
                dtype + " " + message + " over " + processes);
          }
        }
      }
    }
  }

  @Test
  void aMixingIsTheMatrixProduct() {
    try (Queue queue = Device.cpu().newQueue();
        Network network = Network.builder(MixingSchedule.constant(directed(N))).build();
        DeviceMatrix x = matrix(queue, network, 1, DType.F64, D);
        DeviceMatrix y = x.like()) {
      network.mix(Expression.inner(x), y);
      double[] in = x.toDoubles();
      double[] out = y.toDoubles();
      double[][] w = directed(N).toDense();
      for (int i = 0; i < N; i++) {
        for (int c = 0; c < D; c++) {
          double sum = 0;
          double size = 0;
          for (int j = 0; j < N; j++) {
            sum += w[i][j] * in[j * D + c];
            size += Math.abs(w[i][j] * in[j * D + c]);
          }
          // At most five terms, each a product and an addition.
          assertEquals(sum, out[i * D + c], 10 * 0x1p-53 * size);
        }
      }
    }
  }

  @Test
  void fullWeightsInOneProcessGiveTheBitsOfTheCut() {
    double[] whole = uniform(1);
    assertArrayEquals(whole, uniform(3));
  }

  private static double[] uniform(int processes) {
    return concatenate(
        Processes.run(
            N,
            processes,
            (transport, queue) -> {
              try (Network network =
                      Network.builder(MixingSchedule.constant(MixingMatrix.uniform(N)))
                          .transport(transport)
                          .build();
                  DeviceMatrix x = matrix(queue, network, 1, DType.F32, D);
                  DeviceMatrix y = x.like()) {
                network.mix(Expression.inner(x), y);
                return y.toDoubles();
              }
            }));
  }

  @Test
  void averagesDistancesAndSumsHaveTheSameBitsInEveryCut() {
    for (DType dtype : List.of(DType.F32, DType.F64)) {
      List<double[]> whole = reductions(1, dtype);
      for (int processes : new int[] {2, 3, 5, 11}) {
        for (double[] part : reductions(processes, dtype)) {
          assertArrayEquals(whole.getFirst(), part, dtype + " over " + processes);
        }
      }
    }
  }

  /**
   * By process: the mean, the consensus distance, the sum and the mean of a number a node, the
   * numbers themselves.
   */
  private static List<double[]> reductions(int processes, DType dtype) {
    return Processes.run(
        N,
        processes,
        (transport, queue) -> {
          try (Network network =
                  Network.builder(MixingSchedule.constant(MixingMatrix.identity(N)))
                      .transport(transport)
                      .build();
              DeviceMatrix x = matrix(queue, network, 1, dtype, D);
              DeviceMatrix mean = x.like(1, D, dtype)) {
            network.average(x, mean);
            double[] numbers = Reduction.norms(x);
            return concatenate(
                List.of(
                    mean.toDoubles(),
                    new double[] {
                      network.consensusDistance(x), network.sum(numbers), network.mean(numbers)
                    },
                    network.gather(network.distances(x))));
          }
        });
  }

  @Test
  void theConsensusDistanceIsTheMeanSquareDistanceToTheMean() {
    try (Queue queue = Device.cpu().newQueue();
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.identity(2))).build();
        DeviceMatrix x = DeviceMatrix.of(queue, new double[][] {{1, 2}, {3, 6}})) {
      assertArrayEquals(new double[] {5, 5}, network.distances(x));
      assertEquals(5, network.consensusDistance(x));
    }
  }

  @Test
  void theMeterCountsTheNetworkAndNotTheCut() {
    // A path of 4 nodes: the inner nodes send two messages, the ends one.
    MixingMatrix path =
        MixingMatrix.ofDense(
            MixingMatrix.Kind.DOUBLY_STOCHASTIC,
            new double[][] {
              {0.75, 0.25, 0, 0}, {0.25, 0.5, 0.25, 0}, {0, 0.25, 0.5, 0.25}, {0, 0, 0.25, 0.75}
            });
    for (int processes : new int[] {1, 2, 4}) {
      List<Long> transported =
          Processes.run(
              4,
              processes,
              (transport, queue) -> {
                try (Network network =
                        Network.builder(MixingSchedule.constant(path))
                            .transport(transport)
                            .messageType(DType.BF16)
                            .build();
                    DeviceMatrix x = matrix(queue, network, 1, DType.F32, 10);
                    DeviceMatrix mean = x.like(1, 10, DType.F32);
                    DeviceMatrix y = x.like()) {
                  network.mix(Expression.inner(x), y);
                  network.mixRider(
                      network.weights(), Expression.inner(x).withMessageType(DType.F32), y);
                  Meter meter = network.meter();
                  assertEquals(1, meter.rounds());
                  assertEquals(6, meter.messages());
                  assertEquals(1, meter.messages(0));
                  assertEquals(2, meter.messages(1));
                  assertEquals(6 * (10 * 2 + 10 * 4), meter.bytes());
                  final long sent = meter.transportBytes();
                  network.observeAverage(x, mean);
                  assertEquals(1, meter.rounds());
                  network.average(x, mean);
                  assertEquals(2, meter.rounds());
                  assertEquals(6 + 6, meter.messages());
                  assertEquals(360 + 6 * 40, meter.bytes());
                  assertEquals(
                      meter.bytes(),
                      meter.bytes(0) + meter.bytes(1) + meter.bytes(2) + meter.bytes(3));
                  return sent;
                }
              });
      // Every edge that is cut carries one row each way in both mixings.
      assertEquals(
          (processes - 1L) * 2 * (10L * 2 + 10L * 4), transported.stream().mapToLong(b -> b).sum());
    }
  }

  @Test
  void theNodeThatStoppedBeingFiniteIsNamedByItsOwnerAndItsNeighbours() {
    for (int processes : new int[] {1, 2, 4}) {
      List<OptionalInt> named =
          Processes.run(
              8,
              processes,
              (transport, queue) -> {
                MixingMatrix ring = ring(8);
                try (Network network =
                        Network.builder(MixingSchedule.constant(ring))
                            .transport(transport)
                            .build();
                    DeviceMatrix x = matrix(queue, network, 1, DType.F32, 5);
                    DeviceMatrix y = x.like()) {
                  int row = 3 - network.firstNode();
                  if (row >= 0 && row < network.localNodes()) {
                    x.set(row, 2, Double.NaN);
                  }
                  network.mix(Expression.inner(x), y);
                  return network.nonFiniteNode();
                }
              });
      // Nodes 2, 3 and 4 know it; with 4 processes nodes 0 and 1, and 6 and 7, do not.
      List<OptionalInt> expected =
          switch (processes) {
            case 1 -> List.of(OptionalInt.of(3));
            case 2 -> List.of(OptionalInt.of(3), OptionalInt.of(3));
            default ->
                List.of(
                    OptionalInt.empty(), OptionalInt.of(3), OptionalInt.of(3), OptionalInt.empty());
          };
      assertEquals(expected, named);
    }
  }

  @Test
  void aMessageThatOverflowsInItsTypeIsNamedByItsOwnerAlsoWhereOnlyOthersUseIt() {
    // Node i takes the value of node i + 1 alone: node 2 is used by node 1, in the other process,
    // and by nobody else.
    double[][] shift = new double[4][4];
    for (int i = 0; i < 4; i++) {
      shift[i][(i + 1) % 4] = 1;
    }
    MixingMatrix w = MixingMatrix.ofDense(MixingMatrix.Kind.DOUBLY_STOCHASTIC, shift);
    List<OptionalInt> named =
        Processes.run(
            4,
            2,
            (transport, queue) -> {
              try (Network network =
                      Network.builder(MixingSchedule.constant(w))
                          .transport(transport)
                          .messageType(DType.BF16)
                          .build();
                  DeviceMatrix x = matrix(queue, network, 1, DType.F32, 5);
                  DeviceMatrix y = x.like()) {
                if (network.firstNode() == 2) {
                  // The largest float rounds to infinity in bf16.
                  x.set(0, 4, Float.MAX_VALUE);
                }
                network.mix(Expression.inner(x), y);
                return network.nonFiniteNode();
              }
            });
    assertEquals(List.of(OptionalInt.of(2), OptionalInt.of(2)), named);
  }

  @Test
  void aResultThatOverflowsIsNamedWhereAllMessagesWereFinite() {
    try (Queue queue = Device.cpu().newQueue();
        Network network = Network.builder(MixingSchedule.constant(ring(8))).build();
        DeviceMatrix x = matrix(queue, network, 1, DType.F32, 5);
        DeviceMatrix u = x.like();
        DeviceMatrix y = x.like()) {
      u.set(6, 1, 3e38);
      network.mix(Expression.inner(x).plusOuter(1e30, u), y);
      assertEquals(OptionalInt.of(6), network.nonFiniteNode());
      network.mix(Expression.inner(x), y);
      assertEquals(OptionalInt.empty(), network.nonFiniteNode());
    }
  }

  private static MixingMatrix ring(int n) {
    double[][] rows = new double[n][n];
    for (int i = 0; i < n; i++) {
      rows[i][i] = 0.5;
      rows[i][(i + 1) % n] = 0.25;
      rows[i][(i + n - 1) % n] = 0.25;
    }
    return MixingMatrix.ofDense(MixingMatrix.Kind.DOUBLY_STOCHASTIC, rows);
  }

  @Test
  void roundsTakeTheMatricesOfTheScheduleInTurnHoweverFewPlansAreKept() {
    MixingSchedule schedule = MixingSchedule.onePeerExponential(8);
    try (Queue queue = Device.cpu().newQueue();
        Network network = Network.builder(schedule).plans(1).build();
        DeviceMatrix x = matrix(queue, network, 1, DType.F64, 3);
        DeviceMatrix y = x.like();
        DeviceMatrix mean = x.like(1, 3, DType.F64)) {
      network.average(x, mean);
      for (int round = 0; round < 3; round++) {
        network.round(round);
        network.mix(Expression.inner(x), y);
        x.copyFrom(y);
      }
      double[] expected = mean.toDoubles();
      double[] actual = x.toDoubles();
      for (int k = 0; k < actual.length; k++) {
        // Three halvings and additions of numbers below 4.
        assertEquals(expected[k % 3], actual[k], 16 * 0x1p-52);
      }
    }
  }

  @Test
  void valuesOutOfUseAreReleasedAndTheRestOnClose() {
    AtomicInteger released = new AtomicInteger();
    try (Lru<String, Integer> lru = new Lru<>(2, value -> released.addAndGet(value))) {
      assertEquals(1, lru.get("a", key -> 1));
      assertEquals(10, lru.get("b", key -> 10));
      assertEquals(1, lru.get("a", key -> 100));
      assertEquals(1000, lru.get("c", key -> 1000));
      assertEquals(10, released.get());
    }
    assertEquals(1011, released.get());
  }

  @Test
  void aSilentNeighbourIsNamedWithTheRound() {
    List<Transport> group = LocalTransport.group(8, 2);
    try (Queue queue = Device.cpu().newQueue();
        Network network =
            Network.builder(MixingSchedule.constant(ring(8)))
                .transport(group.get(0))
                .deadline(Duration.ofMillis(50))
                .build();
        DeviceMatrix x = matrix(queue, network, 1, DType.F32, 5);
        DeviceMatrix y = x.like()) {
      network.round(12);
      var e = assertThrows(ExchangeException.class, () -> network.mix(Expression.inner(x), y));
      assertEquals(1, e.peer());
      assertTrue(
          e.getMessage().contains("nodes 4 to 7") && e.getMessage().contains("round 12"),
          e.getMessage());
    }
  }

  @Test
  void wrongSizesAreRefused() {
    MixingSchedule schedule = MixingSchedule.constant(ring(8));
    Transport other = LocalTransport.single(7);
    assertThrows(
        IllegalArgumentException.class, () -> Network.builder(schedule).transport(other).build());
    try (Queue queue = Device.cpu().newQueue();
        Network network = Network.builder(schedule).build();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 7, 3, DType.F32);
        DeviceMatrix y = x.like()) {
      assertThrows(IllegalArgumentException.class, () -> network.mix(Expression.inner(x), y));
      assertThrows(IllegalArgumentException.class, () -> network.consensusDistance(x));
      assertThrows(IllegalArgumentException.class, () -> network.sum(new double[7]));
      MixingMatrix small = MixingMatrix.identity(7);
      assertThrows(
          IllegalArgumentException.class, () -> network.mix(small, Expression.inner(x), y));
      assertThrows(IllegalArgumentException.class, () -> network.round(-1));
    }
  }
}
