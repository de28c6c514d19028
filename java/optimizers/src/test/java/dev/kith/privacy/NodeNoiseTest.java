package dev.kith.privacy;

import static dev.kith.privacy.Messages.messageOf;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.FailingSchedule;
import dev.kith.graph.Failures;
import dev.kith.graph.Graph;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.Noise;
import dev.kith.kernel.Reduction;
import dev.kith.kernel.Secret;
import dev.kith.network.Membership;
import dev.kith.network.Network;
import dev.kith.network.Processes;
import dev.kith.network.Transport;
import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** The noise of nodes: its covariance, who can draw it, and that it is drawn once. */
class NodeNoiseTest {
  private static final int N = 8;

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private static MixingMatrix weights(Graph graph) {
    return new WeightRule.Metropolis().weights(graph);
  }

  private static Network network(int nodes) {
    return Network.builder(MixingSchedule.constant(weights(Topologies.ring(nodes)))).build();
  }

  /** V of a round, localNodes x cols. */
  private static double[] drawn(NodeNoise noise, long round, int cols, Queue queue) {
    try (DeviceMatrix v =
        DeviceMatrix.allocate(queue, noise.network().localNodes(), cols, DType.F32)) {
      v.fill(0);
      noise
          .draw(round, queue)
          .ifPresent(d -> Noise.sum(d.weights().orElseThrow(), d.field(), d.scale(), true, v));
      return v.toDoubles();
    }
  }

  @Test
  void theEmpiricalCovarianceIsTheStatedOne() {
    int cols = 100_000;
    Graph ring = Topologies.ring(N);
    for (NoiseCovariance covariance :
        List.of(
            NoiseCovariance.independent(N, 2.5),
            NoiseCovariance.pairwise(ring, 0.3, 1.5),
            NoiseCovariance.optimal(MixingObjective.oneRound(weights(ring)), 1))) {
      double[][] r = covariance.covariance();
      try (Network network = network(N);
          NodeNoise noise = NodeNoise.simulated(network, covariance, 3);
          DeviceMatrix v = DeviceMatrix.allocate(queue, N, cols, DType.F64);
          DeviceMatrix gram = DeviceMatrix.allocate(queue, N, N, DType.F64)) {
        v.fill(0);
        NodeNoise.Draw draw = noise.draw(0, queue).orElseThrow();
        Noise.sum(draw.weights().orElseThrow(), draw.field(), draw.scale(), true, v);
        Reduction.gram(v, gram);
        double[] g = gram.toDoubles();
        for (int i = 0; i < N; i++) {
          for (int j = 0; j < N; j++) {
            // Five standard deviations of a mean of products of two normals.
            double bound = 5 * Math.sqrt((r[i][i] * r[j][j] + r[i][j] * r[i][j]) / cols);
            assertEquals(r[i][j], g[i * N + j] / cols, bound, covariance + " " + i + " " + j);
          }
        }
      }
    }
  }

  @Test
  void jointNoiseOfADiagonalCovarianceIsIndependentNoise() {
    double[][] r = new double[N][N];
    for (int i = 0; i < N; i++) {
      r[i][i] = 1 / 0.7;
    }
    try (Network network = network(N);
        NodeNoise joint = NodeNoise.simulated(network, NoiseCovariance.joint(r), 9);
        NodeNoise own = NodeNoise.simulated(network, NoiseCovariance.independent(N, 1 / 0.7), 9);
        NodeNoise without =
            NodeNoise.simulated(
                network, NoiseCovariance.pairwise(Topologies.ring(N), 1 / 0.7, 0), 9)) {
      double[] expected = drawn(own, 4, 100, queue);
      assertArrayEquals(expected, drawn(joint, 4, 100, queue));
      assertArrayEquals(expected, drawn(without, 4, 100, queue));
    }
  }

  @Test
  void whatTwoEndsShareCancelsInTheSum() {
    Graph ring = Topologies.ring(N);
    try (Network network = network(N);
        NodeNoise pairwise =
            NodeNoise.simulated(network, NoiseCovariance.pairwise(ring, 0.25, 64), 9);
        NodeNoise own = NodeNoise.simulated(network, NoiseCovariance.independent(N, 0.25), 9)) {
      double[] sums = columnSums(drawn(pairwise, 0, 1000, queue), 1000);
      double[] expected = columnSums(drawn(own, 0, 1000, queue), 1000);
      // Rows of up to 8 * 2 * 6.4 are rounded to f32 in three additions each.
      assertArrayEquals(expected, sums, 8 * 3 * 103 * 0x1p-24);
    }
  }

  private static double[] columnSums(double[] rows, int cols) {
    double[] sums = new double[cols];
    for (int k = 0; k < rows.length; k++) {
      sums[k % cols] += rows[k];
    }
    return sums;
  }

  @Test
  void noiseIsTheSameHoweverNodesAreCut() {
    Graph ring = Topologies.ring(N);
    for (NoiseCovariance covariance :
        List.of(
            NoiseCovariance.pairwise(ring, 1, 3),
            NoiseCovariance.optimal(MixingObjective.oneRound(weights(ring)), 1))) {
      double[] whole = cut(covariance, 1);
      assertArrayEquals(whole, cut(covariance, 3));
      assertArrayEquals(whole, cut(covariance, 8));
    }
  }

  private static double[] cut(NoiseCovariance covariance, int processes) {
    return Processes.run(
            N,
            processes,
            (transport, queue) -> {
              try (Network network =
                      Network.builder(MixingSchedule.constant(weights(Topologies.ring(N))))
                          .transport(transport)
                          .build();
                  NodeNoise noise = NodeNoise.simulated(network, covariance, 9)) {
                return drawn(noise, 2, 33, queue);
              }
            })
        .stream()
        .flatMapToDouble(Arrays::stream)
        .toArray();
  }

  @Test
  void theNoiseOfEdgesToALostNodeIsRetired() {
    Graph ring = Topologies.ring(N);
    MixingSchedule losing =
        FailingSchedule.of(
            ring, new WeightRule.Metropolis(), Failures.builder().removeNodes(3, 5).build());
    NoiseCovariance covariance = NoiseCovariance.pairwise(ring, 0.25, 64);
    try (Network network = Network.builder(losing).build();
        NodeNoise noise = NodeNoise.simulated(network, covariance, 9)) {
      assertEquals(0, noise.absent(2).length);
      assertArrayEquals(new int[] {5}, noise.absent(3));
      double[] before = columnSums(drawn(noise, 2, 500, queue), 500);
      double[] v = drawn(noise, 3, 500, queue);
      assertArrayEquals(new double[500], Arrays.copyOfRange(v, 5 * 500, 6 * 500));
      // Own noise of at most 0.5 * 6.34 a node is left; an edge that nobody answers has 8 * 6.34.
      for (double[] sums : List.of(before, columnSums(v, 500))) {
        assertTrue(DoubleStream.of(sums).map(Math::abs).max().orElseThrow() < 8 * 0.5 * 3);
      }
    }
    try (Network network = Network.builder(losing).build();
        NodeNoise joint =
            NodeNoise.simulated(
                network, NoiseCovariance.optimal(MixingObjective.oneRound(weights(ring)), 1), 9)) {
      joint.draw(2, queue);
      var e = assertThrows(IllegalStateException.class, () -> joint.draw(3, queue));
      assertTrue(e.getMessage().contains("depends on all nodes"), e.getMessage());
    }
  }

  @Test
  void theNoiseOfARoundIsDrawnOnce() {
    try (Network network = network(N);
        NodeNoise noise = NodeNoise.simulated(network, NoiseCovariance.independent(N, 1), 9)) {
      double[] first = drawn(noise, 5, 10, queue);
      for (long round : new long[] {5, 4, 0}) {
        var e = assertThrows(IllegalStateException.class, () -> noise.draw(round, queue));
        assertTrue(e.getMessage().contains("has been drawn"), e.getMessage());
      }
      drawn(noise, 6, 10, queue);
      noise.rewind(5);
      assertArrayEquals(first, drawn(noise, 5, 10, queue), "a snapshot repeats its messages");
      for (long round : new long[] {-1, 1L << 40, Long.MAX_VALUE}) {
        assertTrue(messageOf(() -> noise.draw(round, queue)).contains("would wrap"));
      }
      noise.draw((1L << 40) - 1, queue);
    }
  }

  @Test
  void oneSetOfSecretsServesOneNoise() {
    NoiseCovariance covariance = NoiseCovariance.independent(N, 1);
    try (Network network = network(N);
        NoiseSecrets secrets = NoiseSecrets.agree(network, covariance)) {
      NoiseCovariance edges = NoiseCovariance.pairwise(Topologies.ring(N), 1, 1);
      var missing =
          assertThrows(
              IllegalStateException.class, () -> NodeNoise.secret(network, edges, secrets));
      assertTrue(missing.getMessage().contains("holds no secret"), missing.getMessage());
      try (NodeNoise noise = NodeNoise.secret(network, covariance, secrets)) {
        assertEquals(NoiseOrigin.SECRET, noise.origin());
        var e =
            assertThrows(
                IllegalStateException.class, () -> NodeNoise.secret(network, covariance, secrets));
        assertTrue(e.getMessage().contains("serve a noise already"), e.getMessage());
      }
    }
    try (Network network = network(N)) {
      assertTrue(
          messageOf(() -> NodeNoise.simulated(network, NoiseCovariance.independent(3, 1), 1))
              .contains("over 3 nodes"));
    }
  }

  /** Passes on what a process says and keeps a copy of every byte. */
  private record Wiretap(Transport transport, ByteArrayOutputStream heard) implements Transport {
    @Override
    public int process() {
      return transport.process();
    }

    @Override
    public Membership membership() {
      return transport.membership();
    }

    @Override
    public Pending begin(
        List<Outgoing> sends, List<Incoming> receives, String what, Duration deadline) {
      for (Outgoing send : sends) {
        heard.writeBytes(send.data().toArray(ValueLayout.JAVA_BYTE));
      }
      return transport.begin(sends, receives, what, deadline);
    }

    @Override
    public void close() {
      transport.close();
    }
  }

  /** What one process knows and what it said. */
  private record World(NoiseSecrets secrets, byte[] said, double[] noise) {}

  @Test
  void noMessageHoldsAKeyAndTheTranscriptDoesNotDetermineTheNoise() {
    Graph ring = Topologies.ring(N);
    NoiseCovariance covariance = NoiseCovariance.pairwise(ring, 1, 3);
    List<World> worlds =
        Processes.run(
            N,
            4,
            (transport, queue) -> {
              ByteArrayOutputStream heard = new ByteArrayOutputStream();
              try (Network network =
                  Network.builder(MixingSchedule.constant(weights(ring)))
                      .transport(new Wiretap(transport, heard))
                      .build()) {
                NoiseSecrets agreed = NoiseSecrets.agree(network, covariance);
                byte[] said = heard.toByteArray();
                // Another world in which the same was said and public: only what never left a
                // node is another, its own secret.
                Map<NoiseFactor.Secret, Secret> others = new LinkedHashMap<>();
                agreed
                    .holders()
                    .forEach(
                        h ->
                            others.put(
                                h,
                                h instanceof NoiseFactor.Secret.OfNode
                                    ? Secret.random()
                                    : agreed.of(h)));
                double[] here;
                double[] there;
                try (NodeNoise noise = NodeNoise.secret(network, covariance, agreed);
                    NodeNoise other =
                        NodeNoise.secret(
                            network, covariance, new NoiseSecrets(agreed.id(), others))) {
                  here = drawn(noise, 0, 64, queue);
                  there = drawn(other, 0, 64, queue);
                }
                assertTrue(equal(here, there) < 3, "the noise follows from what was said");
                return new World(agreed, said, here);
              }
            });
    for (World speaker : worlds) {
      assertEquals(2 * EdgeAgreement.BYTES, speaker.said().length, "a key to each side");
      for (World holder : worlds) {
        for (NoiseFactor.Secret secret : holder.secrets().holders()) {
          assertFalse(
              contains(speaker.said(), bytes(holder.secrets().of(secret))), secret.toString());
        }
      }
    }
    // Two runs say different things and make different noise: nothing is drawn from public numbers.
    try (Network network = network(N);
        NoiseSecrets again = NoiseSecrets.agree(network, covariance);
        NodeNoise noise = NodeNoise.secret(network, covariance, again)) {
      double[] other = drawn(noise, 0, 64, queue);
      double[] first = worlds.stream().flatMapToDouble(w -> Arrays.stream(w.noise())).toArray();
      assertTrue(equal(first, other) < 3, "the noise follows from what is public");
    }
    worlds.forEach(w -> w.secrets().close());
  }

  /** How many numbers are equal: by chance one in ten million. */
  private static long equal(double[] a, double[] b) {
    return IntStream.range(0, a.length).filter(k -> a[k] == b[k]).count();
  }

  private static byte[] bytes(Secret secret) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment copy = arena.allocate(Secret.BYTES);
      secret.copyTo(copy);
      return copy.toArray(ValueLayout.JAVA_BYTE);
    }
  }

  private static boolean contains(byte[] all, byte[] part) {
    for (int at = 0; at + part.length <= all.length; at++) {
      if (Arrays.equals(all, at, at + part.length, part, 0, part.length)) {
        return true;
      }
    }
    return false;
  }
}
