package dev.kith.network;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.MessageException;
import dev.kith.compress.Messages;
import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.Graph;
import dev.kith.graph.Matching;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.RandomGraphs;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.Test;

/** A message of its own for every neighbour: the same in one process and in many. */
class EdgeExchangeTest {
  private static final int COLUMNS = 9;
  private static final long BYTES = 64 + 4 * COLUMNS;

  /** One set of rows, codec and messages for every matching of a graph. */
  private static final class Edges implements AutoCloseable {
    final Network network;
    final List<Matching> matchings;
    final List<DeviceMatrix> rows = new ArrayList<>();
    final List<Codec> codecs = new ArrayList<>();
    final List<Messages> messages = new ArrayList<>();
    final EdgeExchange exchange;

    Edges(Graph graph, Transport transport, Queue queue) {
      MixingMatrix w = new WeightRule.Metropolis().weights(graph);
      network =
          Network.builder(MixingSchedule.constant(w))
              .transport(transport)
              .deadline(Duration.ofSeconds(20))
              .build();
      matchings = Matching.of(w);
      for (int m = 0; m < matchings.size(); m++) {
        DeviceMatrix x = DeviceMatrix.allocate(queue, network.localNodes(), COLUMNS, DType.F32);
        rows.add(x);
        codecs.add(
            Compressor.parse("identity").bind(x, new Codec.Sender(network.firstNode(), 7, m)));
        messages.add(codecs.get(m).messages());
      }
      exchange = network.edges(matchings.stream().map(Matching::differences).toList(), messages);
    }

    /** Node i sends {@code value(m, i, c, round)} over the edge of matching m. */
    void encode(long round) {
      for (int m = 0; m < matchings.size(); m++) {
        float[] values = new float[network.localNodes() * COLUMNS];
        for (int k = 0; k < values.length; k++) {
          values[k] = value(m, network.firstNode() + k / COLUMNS, k % COLUMNS, round);
        }
        rows.get(m).upload(values);
        codecs.get(m).encode(rows.get(m), messages.get(m), round);
      }
    }

    /** What the own nodes make of it, by matching. */
    double[] exchange(long round) {
      network.round(round);
      encode(round);
      List<MessageMixing> mixings = network.exchange(exchange);
      assertEquals(OptionalInt.empty(), network.nonFiniteNode());
      double[] all = new double[0];
      for (int m = 0; m < mixings.size(); m++) {
        try (DeviceMatrix y = rows.get(m).like()) {
          mixings.get(m).accumulate(false, y);
          double[] part = y.toDoubles();
          int old = all.length;
          all = Arrays.copyOf(all, old + part.length);
          System.arraycopy(part, 0, all, old, part.length);
        }
      }
      return all;
    }

    @Override
    public void close() {
      exchange.close();
      messages.forEach(Messages::close);
      codecs.forEach(Codec::close);
      rows.forEach(DeviceMatrix::close);
      network.close();
    }
  }

  private static float value(int matching, int node, int column, long round) {
    return (float) new SharedRandom(matching, Stream.TEST, node, round).normal(column);
  }

  private static List<Graph> graphs() {
    return List.of(Topologies.ring(11), Topologies.star(6), RandomGraphs.erdosRenyi(12, 0.5, 3));
  }

  @Test
  void bothEndsOfEveryEdgeGetItsDifferenceInEveryCut() {
    for (Graph graph : graphs()) {
      int n = graph.nodes();
      List<Matching> matchings = Matching.of(new WeightRule.Metropolis().weights(graph));
      for (int processes : new int[] {1, 2, 3, n}) {
        List<double[]> parts =
            Processes.run(
                n,
                processes,
                (transport, queue) -> {
                  try (Edges edges = new Edges(graph, transport, queue)) {
                    edges.exchange(0);
                    double[] result = edges.exchange(1);
                    int local = edges.network.localNodes();
                    for (int m = 0; m < matchings.size(); m++) {
                      for (int r = 0; r < local; r++) {
                        int i = edges.network.firstNode() + r;
                        int j = matchings.get(m).partner(i);
                        for (int c = 0; c < COLUMNS; c++) {
                          float expected =
                              value(m, Math.min(i, j), c, 1) - value(m, Math.max(i, j), c, 1);
                          assertEquals(
                              i == j ? 0 : expected,
                              (float) result[(m * local + r) * COLUMNS + c],
                              "matching " + m + ", node " + i);
                        }
                      }
                    }
                    return new double[] {
                      edges.network.meter().rounds(),
                      edges.network.meter().messages(),
                      edges.network.meter().bytes(),
                      edges.network.meter().transportBytes()
                    };
                  }
                });
        long directed = 2L * graph.edges();
        long transported = 0;
        for (double[] part : parts) {
          assertArrayEquals(
              new double[] {2, 2 * directed, 2 * directed * BYTES}, Arrays.copyOf(part, 3));
          transported += (long) part[3];
        }
        if (processes == 1 || processes == n) {
          assertEquals(processes == 1 ? 0 : 2 * directed * BYTES, transported);
        }
      }
    }
  }

  /** A transport that changes what arrives in one of its exchanges. */
  private record Meddling(
      Transport inner, int when, BiConsumer<Integer, MemorySegment> change, int[] count)
      implements Transport {
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
        List<Outgoing> sends, List<Incoming> receives, String what, Duration deadline) {
      Pending pending = inner.begin(sends, receives, what, deadline);
      return () -> {
        pending.await();
        if (count[0]++ == when) {
          receives.forEach(incoming -> change.accept(incoming.peer(), incoming.data()));
        }
      };
    }

    @Override
    public void close() {
      inner.close();
    }
  }

  /** What process 1 of a complete graph of 4 nodes in 2 processes says to a change. */
  private static String refusal(BiConsumer<Integer, MemorySegment> change) {
    List<Processes.Outcome<String>> outcomes =
        Processes.outcomes(
            4,
            2,
            (transport, queue) -> {
              Transport meddling =
                  transport.process() == 1
                      ? new Meddling(transport, 1, change, new int[1])
                      : transport;
              try (Edges edges = new Edges(Topologies.complete(4), meddling, queue)) {
                edges.exchange(0);
                if (transport.process() == 0) {
                  edges.exchange(1);
                  return "fine";
                }
                return assertThrows(MessageException.class, () -> edges.exchange(1)).getMessage();
              }
            });
    assertEquals("fine", outcomes.get(0).result());
    return outcomes.get(1).result();
  }

  @Test
  void aMessageOfAnotherEdgeIsRefused() {
    String text =
        refusal(
            (peer, data) -> {
              // Node 0 sends to nodes 2 and 3; the two messages change places.
              byte[] bytes = data.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
              int[] at = new int[2];
              int found = 0;
              for (int k = 0; k < bytes.length / BYTES; k++) {
                if (data.get(java.lang.foreign.ValueLayout.JAVA_INT, k * BYTES + 8) == 0) {
                  at[found++] = Math.toIntExact(k * BYTES);
                }
              }
              assertEquals(2, found);
              for (int k = 0; k < 2; k++) {
                MemorySegment.copy(MemorySegment.ofArray(bytes), at[k], data, at[1 - k], BYTES);
              }
            });
    assertTrue(text.contains("channel"), text);
  }

  @Test
  void damagedAndReplayedMessagesAreRefused() {
    for (long at : new long[] {0, 9, 13, 17, 33, 63, 64, 4 * BYTES - 1}) {
      String text =
          refusal(
              (peer, data) -> {
                var layout = java.lang.foreign.ValueLayout.JAVA_BYTE;
                data.set(layout, at, (byte) (data.get(layout, at) ^ 4));
              });
      assertTrue(text.contains(": "), text);
    }
    byte[][] kept = new byte[1][];
    List<Processes.Outcome<String>> outcomes =
        Processes.outcomes(
            4,
            2,
            (transport, queue) -> {
              Transport recording =
                  new Meddling(
                      new Meddling(
                          transport,
                          0,
                          (peer, data) -> {
                            if (transport.process() == 1) {
                              kept[0] = data.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
                            }
                          },
                          new int[1]),
                      1,
                      (peer, data) -> {
                        if (transport.process() == 1) {
                          data.copyFrom(MemorySegment.ofArray(kept[0]));
                        }
                      },
                      new int[1]);
              try (Edges edges = new Edges(Topologies.complete(4), recording, queue)) {
                edges.exchange(0);
                if (transport.process() == 0) {
                  edges.exchange(1);
                  return "fine";
                }
                return assertThrows(MessageException.class, () -> edges.exchange(1)).getMessage();
              }
            });
    assertTrue(outcomes.get(1).result().contains("replayed"), outcomes.get(1).result());
  }

  @Test
  void aRoundIsTakenOnceUnlessItIsDoneAgain() {
    Processes.run(
        4,
        2,
        (transport, queue) -> {
          try (Edges edges = new Edges(Topologies.ring(4), transport, queue)) {
            edges.exchange(5);
            assertThrows(MessageException.class, () -> edges.network.exchange(edges.exchange));
            edges.exchange(5);
            return 0;
          }
        });
  }

  @Test
  void theNodeThatIsNotFiniteIsNamedByItsNeighbours() {
    List<OptionalInt> named =
        Processes.run(
            6,
            3,
            (transport, queue) -> {
              try (Edges edges = new Edges(Topologies.ring(6), transport, queue)) {
                edges.encode(0);
                if (edges.network.firstNode() == 2) {
                  edges.rows.get(1).set(1, 4, Double.NaN);
                  edges.codecs.get(1).encode(edges.rows.get(1), edges.messages.get(1), 0);
                }
                edges.network.exchange(edges.exchange);
                return edges.network.nonFiniteNode();
              }
            });
    // On the ring of 6 the edge {3, 4} is in the second matching, {2, 3} in the first.
    assertEquals(List.of(OptionalInt.empty(), OptionalInt.of(3), OptionalInt.of(3)), named);
  }

  @Test
  void setsThatDoNotFitAreRefused() {
    try (Queue queue = Device.cpu().newQueue();
        Edges edges = new Edges(Topologies.ring(4), LocalTransport.single(4), queue);
        Edges others = new Edges(Topologies.ring(4), LocalTransport.single(4), queue);
        Edges five = new Edges(Topologies.ring(5), LocalTransport.single(5), queue)) {
      List<MixingMatrix> weights = edges.matchings.stream().map(Matching::differences).toList();
      refused("2 matrices", () -> edges.network.edges(weights, edges.messages.subList(0, 1)));
      refused(
          "channel 0",
          () ->
              edges.network.edges(
                  weights, List.of(edges.messages.getFirst(), edges.messages.getFirst())));
      refused("the network 5", () -> five.network.edges(weights, five.messages.subList(0, 2)));
      refused("5 nodes", () -> edges.network.edges(weights, five.messages.subList(0, 2)));
      refused("another network", () -> edges.network.exchange(others.exchange));
      edges.encode(3);
      edges.codecs.get(1).encode(edges.rows.get(1), edges.messages.get(1), 4);
      refused("round 4", () -> edges.network.exchange(edges.exchange));
      assertEquals(0, edges.network.meter().rounds());
    }
  }

  private static void refused(String part, Runnable action) {
    String text = assertThrows(IllegalArgumentException.class, action::run).getMessage();
    assertTrue(text.contains(part), text);
  }
}
