package dev.kith.network;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.Compressors;
import dev.kith.compress.MessageException;
import dev.kith.compress.Messages;
import dev.kith.compress.TestDevice;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.graph.FailingSchedule;
import dev.kith.graph.Failures;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.Reduction;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Encoded rows over the network: one process and many give the same bits and the same counts. */
class MessageNetworkTest {
  private static final int N = 11;
  private static final Layout LAYOUT =
      Layout.builder().tensor("w", "a", 9, 7).tensor("b", "a", 10).build();

  static List<String> names() {
    return Compressors.all();
  }

  private static DeviceMatrix rows(Queue queue, Network network, int k) {
    DeviceMatrix m = DeviceMatrix.allocate(queue, network.localNodes(), LAYOUT, DType.F32);
    int cols = Math.toIntExact(m.cols());
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

  /** What the nodes hold after some rounds, by node; then, of every process, means and counts. */
  private static double[] run(String name, MixingSchedule schedule, int processes) {
    List<double[][]> parts =
        Processes.run(
            N,
            processes,
            (transport, queue) -> {
              Compressor compressor = Compressor.parse(name);
              try (Network network = Network.builder(schedule).transport(transport).build();
                  DeviceMatrix x = rows(queue, network, 1);
                  DeviceMatrix minus = rows(queue, network, 2);
                  DeviceMatrix e = x.like();
                  DeviceMatrix y = x.like();
                  DeviceMatrix mean = x.like(1, x.cols(), DType.F32);
                  Codec codec = compressor.bind(x, new Codec.Sender(network.firstNode(), 7, 2));
                  Messages messages = codec.messages()) {
                for (int round = 0; round < 4; round++) {
                  network.round(round);
                  codec.encode(x, Optional.of(minus), Optional.of(e), messages, round);
                  network.mix(messages, round % 2 == 1, y);
                  assertEquals(OptionalInt.empty(), network.nonFiniteNode());
                  x.copyFrom(y);
                }
                codec.encode(x, messages, 4);
                network.round(4);
                network.average(messages, mean);
                assertEquals(OptionalInt.empty(), network.nonFiniteNode());
                Meter meter = network.meter();
                double[] own = concatenate(List.of(y.toDoubles(), e.toDoubles()));
                double[] common =
                    concatenate(
                        List.of(
                            mean.toDoubles(),
                            new double[] {meter.rounds(), meter.messages(), meter.bytes()}));
                double[][] both = {y.toDoubles(), e.toDoubles(), common};
                assertTrue(Arrays.stream(own).allMatch(Double::isFinite), name);
                return both;
              }
            });
    for (double[][] part : parts) {
      assertArrayEquals(parts.getFirst()[2], part[2], name + ": all processes agree");
    }
    return concatenate(
        List.of(
            concatenate(parts.stream().map(p -> p[0]).toList()),
            concatenate(parts.stream().map(p -> p[1]).toList()),
            parts.getFirst()[2]));
  }

  @ParameterizedTest
  @MethodSource("names")
  void cutsDoNotChangeABit(String name) {
    for (MixingSchedule schedule :
        List.of(
            MixingSchedule.constant(directed(N)),
            MixingSchedule.constant(MixingMatrix.uniform(N)),
            FailingSchedule.of(
                Topologies.ring(N),
                new WeightRule.Metropolis(),
                Failures.builder().removeNodes(2, 3, 9).linkFailure(0.2, 9).build()))) {
      double[] whole = run(name, schedule, 1);
      // The device has no part in how messages are cut: elsewhere than on the CPU one cut is
      // enough.
      boolean cpu = TestDevice.chosen().backend().equals("cpu");
      for (int processes : cpu ? new int[] {2, 3, 11} : new int[] {3}) {
        assertArrayEquals(whole, run(name, schedule, processes), name + " over " + processes);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void theMeterCountsHeadersAndPayloads(String name) {
    try (Queue queue = TestDevice.chosen().newQueue();
        Network network = Network.builder(MixingSchedule.constant(directed(N))).build();
        DeviceMatrix x = rows(queue, network, 1);
        DeviceMatrix y = x.like();
        DeviceMatrix mean = x.like(1, x.cols(), DType.F32);
        Codec codec = Compressor.parse(name).bind(x, new Codec.Sender(0, 7, 0));
        Messages messages = codec.messages()) {
      codec.encode(x, messages, 0);
      network.mix(messages, false, y);
      long bytes = 64 + Compressor.parse(name).payloadBytes(LAYOUT);
      long edges = 0;
      double[][] w = directed(N).toDense();
      for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
          edges += i != j && w[i][j] != 0 ? 1 : 0;
        }
      }
      assertEquals(edges, network.meter().messages());
      assertEquals(edges * bytes, network.meter().bytes());
      assertEquals(0, network.meter().transportBytes());
      network.average(messages, mean);
      assertEquals(2, network.meter().rounds());
      assertEquals(edges + N * (N - 1), network.meter().messages());
      assertEquals((edges + N * (N - 1)) * bytes, network.meter().bytes());
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void theAverageIsTheTreeOfTheDecodedRows(String name) {
    try (Queue queue = TestDevice.chosen().newQueue();
        Network network = Network.builder(MixingSchedule.constant(directed(N))).build();
        DeviceMatrix x = rows(queue, network, 1);
        DeviceMatrix y = x.like();
        DeviceMatrix expected = x.like(1, x.cols(), DType.F32);
        DeviceMatrix mean = x.like(1, x.cols(), DType.F32);
        Codec codec = Compressor.parse(name).bind(x, new Codec.Sender(0, 7, 0));
        Messages messages = codec.messages()) {
      codec.encode(x, messages, 0);
      codec.decode(messages, y);
      Reduction.nodes(dev.kith.kernel.NodeTree.program(N), y, N, expected);
      network.average(messages, mean);
      assertArrayEquals(expected.toDoubles(), mean.toDoubles());
    }
  }

  @Test
  void absentNodesAreNeitherCountedNorAveraged() {
    MixingSchedule schedule =
        FailingSchedule.of(
            Topologies.ring(N),
            new WeightRule.Metropolis(),
            Failures.builder().removeNodes(1, 3, 5, 9).build());
    try (Queue queue = TestDevice.chosen().newQueue();
        Network network = Network.builder(schedule).build();
        DeviceMatrix x = DeviceMatrix.allocate(queue, N, 4, DType.F32);
        DeviceMatrix mean = x.like(1, 4, DType.F32);
        Codec codec = Compressor.parse("identity").bind(x, new Codec.Sender(0, 7, 0));
        Messages messages = codec.messages()) {
      network.round(2);
      int sum = 0;
      int present = 0;
      for (int i = 0; i < N; i++) {
        x.set(i, 1, 1 << i);
        if (schedule.isAlive(2, i)) {
          sum += 1 << i;
          present++;
        }
      }
      assertEquals(N - 3, present);
      codec.encode(x, messages, 2);
      network.average(messages, mean);
      assertArrayEquals(new float[] {0, (float) sum / present, 0, 0}, mean.toFloats());
      assertEquals((long) present * (present - 1), network.meter().messages());
    }
  }

  /** A transport that changes one byte of what arrives. */
  private record Damaging(Transport inner, long at, int round, int[] count) implements Transport {
    @Override
    public int process() {
      return inner.process();
    }

    @Override
    public Membership membership() {
      return inner.membership();
    }

    @Override
    public Pending begin(
        List<Outgoing> sends, List<Incoming> receives, String what, java.time.Duration deadline) {
      Pending pending = inner.begin(sends, receives, what, deadline);
      return () -> {
        pending.await();
        if (count[0]++ == round) {
          MemorySegment data = receives.getFirst().data();
          byte old = data.get(ValueLayout.JAVA_BYTE, at);
          data.set(ValueLayout.JAVA_BYTE, at, (byte) (old ^ 4));
        }
      };
    }

    @Override
    public void close() {
      inner.close();
    }
  }

  @Test
  void aDamagedMessageStopsTheRoundBeforeAnythingIsAdded() {
    for (long at : new long[] {0, 5, 9, 17, 33, 63, 64, 200}) {
      List<Processes.Outcome<String>> outcomes =
          Processes.outcomes(
              N,
              2,
              (transport, queue) -> {
                Transport bad =
                    transport.process() == 1
                        ? new Damaging(transport, at, 1, new int[1])
                        : transport;
                try (Network network =
                        Network.builder(MixingSchedule.constant(directed(N)))
                            .transport(bad)
                            .build();
                    DeviceMatrix x = rows(queue, network, 1);
                    DeviceMatrix y = x.like();
                    Codec codec =
                        Compressor.parse("identity")
                            .bind(x, new Codec.Sender(network.firstNode(), 7, 0));
                    Messages messages = codec.messages()) {
                  codec.encode(x, messages, 0);
                  network.mix(messages, false, y);
                  double[] before = y.toDoubles();
                  codec.encode(x, messages, 1);
                  if (transport.process() == 0) {
                    network.mix(messages, true, y);
                    return "fine";
                  }
                  MessageException e =
                      assertThrows(MessageException.class, () -> network.mix(messages, true, y));
                  assertArrayEquals(before, y.toDoubles());
                  return e.getMessage();
                }
              });
      assertEquals("fine", outcomes.get(0).result());
      String text = outcomes.get(1).result();
      assertTrue(text.contains(": "), text);
    }
  }

  @Test
  void aRoundThatWasTakenIsRefusedUnlessItIsDoneAgain() {
    Processes.run(
        N,
        2,
        (transport, queue) -> {
          try (Network network =
                  Network.builder(MixingSchedule.constant(directed(N)))
                      .transport(transport)
                      .build();
              DeviceMatrix x = rows(queue, network, 1);
              DeviceMatrix y = x.like();
              Codec codec =
                  Compressor.parse("identity")
                      .bind(x, new Codec.Sender(network.firstNode(), 7, 0));
              Messages messages = codec.messages()) {
            network.round(3);
            codec.encode(x, messages, 3);
            network.mix(messages, false, y);
            MessageException e =
                assertThrows(MessageException.class, () -> network.mix(messages, false, y));
            assertTrue(e.getMessage().contains("replayed"), e.getMessage());
            network.round(3);
            network.mix(messages, false, y);
            return 0;
          }
        });
  }

  @Test
  void processesInDifferentRoundsRefuseEachOther() {
    List<Processes.Outcome<Integer>> outcomes =
        Processes.outcomes(
            N,
            2,
            (transport, queue) -> {
              try (Network network =
                      Network.builder(MixingSchedule.constant(directed(N)))
                          .transport(transport)
                          .build();
                  DeviceMatrix x = rows(queue, network, 1);
                  DeviceMatrix y = x.like();
                  Codec codec =
                      Compressor.parse("identity")
                          .bind(x, new Codec.Sender(network.firstNode(), 7, 0));
                  Messages messages = codec.messages()) {
                codec.encode(x, messages, transport.process());
                network.mix(messages, false, y);
                return 0;
              }
            });
    for (Processes.Outcome<Integer> outcome : outcomes) {
      assertTrue(outcome.failure() instanceof RuntimeException, "" + outcome.failure());
    }
  }

  @Test
  void theNodeThatStoppedBeingFiniteIsNamedByItsOwnerAndItsNeighbours() {
    for (int processes : new int[] {1, 2, 4}) {
      List<OptionalInt[]> named =
          Processes.run(
              8,
              processes,
              (transport, queue) -> {
                MixingMatrix ring = new WeightRule.Metropolis().weights(Topologies.ring(8));
                try (Network network =
                        Network.builder(MixingSchedule.constant(ring))
                            .transport(transport)
                            .build();
                    DeviceMatrix x = rows(queue, network, 1);
                    DeviceMatrix mean = x.like(1, x.cols(), DType.F32);
                    Codec codec =
                        Compressor.parse("identity")
                            .bind(x, new Codec.Sender(network.firstNode(), 7, 0));
                    Messages messages = codec.messages()) {
                  int row = 3 - network.firstNode();
                  if (row >= 0 && row < network.localNodes()) {
                    x.set(row, 2, Double.NaN);
                  }
                  codec.encode(x, messages, 0);
                  network.exchange(messages);
                  OptionalInt mixed = network.nonFiniteNode();
                  codec.encode(x, messages, 1);
                  network.average(messages, mean);
                  return new OptionalInt[] {mixed, network.nonFiniteNode()};
                }
              });
      List<OptionalInt> expected =
          switch (processes) {
            case 1 -> List.of(OptionalInt.of(3));
            case 2 -> List.of(OptionalInt.of(3), OptionalInt.of(3));
            default ->
                List.of(
                    OptionalInt.empty(), OptionalInt.of(3), OptionalInt.of(3), OptionalInt.empty());
          };
      assertEquals(expected, named.stream().map(n -> n[0]).toList());
      for (OptionalInt[] each : named) {
        assertEquals(OptionalInt.of(3), each[1]);
      }
    }
  }

  @Test
  void otherRowsThanThoseOfTheProcessAreRefused() {
    try (Queue queue = TestDevice.chosen().newQueue();
        Network network = Network.builder(MixingSchedule.constant(directed(N))).build();
        DeviceMatrix x = rows(queue, network, 1);
        DeviceMatrix part = x.rows(0, 3);
        Codec codec = Compressor.parse("identity").bind(part, new Codec.Sender(0, 7, 0));
        Messages messages = codec.messages()) {
      codec.encode(part, messages, 0);
      String text =
          assertThrows(IllegalArgumentException.class, () -> network.exchange(messages))
              .getMessage();
      assertTrue(text.contains("3 nodes") && text.contains("11"), text);
      assertNotEquals(0, messages.words().get(0, 0));
    }
  }
}
