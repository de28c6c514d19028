package dev.kith.privacy;

import static dev.kith.privacy.Messages.messageOf;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.MessageException;
import dev.kith.graph.Graph;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.RandomGraphs;
import dev.kith.graph.Topologies;
import dev.kith.kernel.Secret;
import dev.kith.network.LocalTransport;
import dev.kith.network.Network;
import dev.kith.network.Processes;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Secrets of nodes and edges: who comes to which, and their file. */
class NoiseSecretsTest {
  private static final int N = 10;

  @TempDir Path folder;

  private static Network network(int nodes) {
    return Network.builder(MixingSchedule.parse("ring", "metropolis", nodes, 1)).build();
  }

  private static NoiseCovariance pairwise(Graph graph) {
    return NoiseCovariance.pairwise(graph, 1, 2);
  }

  @Test
  void bothEndsOfAnEdgeComeToOneSecretHoweverNodesAreCut() {
    Graph graph = RandomGraphs.erdosRenyi(N, 0.5, 3);
    for (int processes : new int[] {1, 2, 3, 5}) {
      List<NoiseSecrets> all =
          Processes.run(
              N,
              processes,
              (transport, queue) -> {
                try (Network network =
                    Network.builder(MixingSchedule.parse("ring", "metropolis", N, 1))
                        .transport(transport)
                        .build()) {
                  NoiseSecrets secrets = NoiseSecrets.agree(network, pairwise(graph));
                  int begin = network.firstNode();
                  int end = begin + network.localNodes();
                  for (int i = 0; i < N; i++) {
                    var node = new NoiseFactor.Secret.OfNode(i);
                    assertEquals(i >= begin && i < end, secrets.holders().contains(node));
                  }
                  return secrets;
                }
              });
      List<Secret> distinct = new ArrayList<>();
      for (int i = 0; i < N; i++) {
        for (int j : graph.neighbours(i)) {
          if (i < j) {
            var edge = new NoiseFactor.Secret.OfEdge(i, j);
            List<Secret> ends =
                all.stream().filter(s -> s.holders().contains(edge)).map(s -> s.of(edge)).toList();
            var ranges = LocalTransport.group(N, processes).getFirst().membership();
            int owners = ranges.processOf(i) == ranges.processOf(j) ? 1 : 2;
            assertEquals(owners, ends.size(), "only the two ends know it");
            assertEquals(ends.getFirst(), ends.getLast());
            assertFalse(distinct.contains(ends.getFirst()), "every edge has its own");
            distinct.add(ends.getFirst());
          }
        }
      }
      all.forEach(NoiseSecrets::close);
    }
  }

  @Test
  void bothEndsDeriveOneSecretIntoWhichTheirNumbersAreBound() {
    EdgeAgreement a = new EdgeAgreement(3);
    EdgeAgreement b = new EdgeAgreement(7);
    assertEquals(a.with(7, b.publicKey()), b.with(3, a.publicKey()));
    assertNotEquals(a.with(7, b.publicKey()), a.with(8, b.publicKey()), "numbers are bound in");
    EdgeAgreement other = new EdgeAgreement(7);
    assertNotEquals(a.with(7, b.publicKey()), a.with(7, other.publicKey()));
  }

  /** The points of order 1, 2, 4 and 8 and their encodings above the prime. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
      })
  void aPublicKeyOfLowOrderIsRefused(String key) {
    EdgeAgreement own = new EdgeAgreement(2);
    var e = assertThrows(MessageException.class, () -> own.with(5, HexFormat.of().parseHex(key)));
    assertTrue(
        e.getMessage().contains("node 5") && e.getMessage().contains("low order"), e.getMessage());
  }

  @Test
  void jointlyDrawnNoiseWantsTheSecretOfAll() {
    try (Network network = network(4)) {
      double[][] r = {{2, 1, 0, 0}, {1, 2, 0, 0}, {0, 0, 2, 0}, {0, 0, 0, 2}};
      NoiseCovariance joint = NoiseCovariance.joint(r);
      assertTrue(messageOf(() -> NoiseSecrets.agree(network, joint)).contains("all nodes"));
      double[][] diagonal = {{2, 0, 0, 0}, {0, 2, 0, 0}, {0, 0, 2, 0}, {0, 0, 0, 2}};
      try (NoiseSecrets own = NoiseSecrets.agree(network, NoiseCovariance.joint(diagonal))) {
        assertTrue(own.holders().contains(new NoiseFactor.Secret.OfNode(3)), "nothing is shared");
      }
      NoiseCovariance central = NoiseCovariance.central(4, 1);
      assertTrue(messageOf(() -> NoiseSecrets.agree(network, central)).contains("the server"));
      try (NoiseSecrets secrets =
          NoiseSecrets.agree(network, joint, Secret.of(new byte[Secret.BYTES]))) {
        assertEquals(1, secrets.holders().size());
      }
      assertTrue(
          messageOf(() -> NoiseSecrets.agree(network, pairwise(Topologies.ring(5))))
              .contains("5 nodes"));
    }
  }

  private NoiseSecrets some(Network network) {
    return NoiseSecrets.agree(network, pairwise(Topologies.ring(4)));
  }

  @Test
  void theFileIsTheOwnersAloneAndGivesTheSameSecrets() throws IOException {
    Path file = folder.resolve("secrets.kith");
    try (Network network = network(4);
        NoiseSecrets secrets = some(network)) {
      Files.writeString(folder.resolve("secrets.kith.new"), "left over, open to all");
      secrets.save(file);
      assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
      secrets.save(file);
      try (NoiseSecrets back = NoiseSecrets.read(file)) {
        assertEquals(secrets.id(), back.id());
        assertEquals(secrets.holders(), back.holders());
        secrets.holders().forEach(h -> assertEquals(secrets.of(h), back.of(h)));
      }
      try (NoiseSecrets another = some(network)) {
        assertNotEquals(secrets.id(), another.id());
      }
    }
  }

  @Test
  void aFileThatIsMissingOrOpenToOthersOrDamagedIsRefused() throws IOException {
    Path file = folder.resolve("secrets.kith");
    var missing = assertThrows(UncheckedIOException.class, () -> NoiseSecrets.read(file));
    assertTrue(missing.getMessage().contains("cannot go on"), missing.getMessage());
    try (Network network = network(4);
        NoiseSecrets secrets = some(network)) {
      secrets.save(file);
    }
    for (String mode : List.of("rw-r-----", "rw----r--", "rw--w----")) {
      Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(mode));
      var open = assertThrows(IllegalStateException.class, () -> NoiseSecrets.read(file));
      assertTrue(open.getMessage().contains("by others"), open.getMessage());
    }
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
    byte[] whole = Files.readAllBytes(file);
    for (int length = 0; length < whole.length; length += 7) {
      refused(file, Arrays.copyOf(whole, length));
    }
    for (int at = 0; at < whole.length; at++) {
      byte[] flipped = whole.clone();
      flipped[at] ^= 4;
      refused(file, flipped);
    }
    Files.write(file, whole);
    NoiseSecrets.read(file).close();
  }

  private static void refused(Path file, byte[] bytes) throws IOException {
    Files.write(file, bytes);
    var e = assertThrows(IllegalStateException.class, () -> NoiseSecrets.read(file));
    assertTrue(e.getMessage().contains("damaged"), e.getMessage());
  }

  @Test
  void aLostPeersEdgesAreForgotten() {
    try (Network network = network(4);
        NoiseSecrets secrets = some(network)) {
      secrets.retire(1);
      assertEquals(6, secrets.holders().size());
      var gone = new NoiseFactor.Secret.OfEdge(0, 1);
      var e = assertThrows(IllegalStateException.class, () -> secrets.of(gone));
      assertTrue(e.getMessage().contains("OfEdge"), e.getMessage());
    }
  }

  @Test
  void blocksGoToNeighboursAndNobodyElse() {
    Graph path = Topologies.path(N);
    for (int processes : new int[] {1, 3, 10}) {
      Processes.run(
          N,
          processes,
          (transport, queue) -> {
            try (Network network =
                Network.builder(MixingSchedule.parse("ring", "metropolis", N, 1))
                    .transport(transport)
                    .build()) {
              List<byte[]> own = new ArrayList<>();
              for (int k = 0; k < network.localNodes(); k++) {
                own.add(new byte[] {(byte) (network.firstNode() + k), 7});
              }
              Map<Integer, byte[]> got = network.exchange(path, own, "a test");
              int first = network.firstNode();
              int last = first + network.localNodes() - 1;
              for (int node = 0; node < N; node++) {
                boolean near = node >= first - 1 && node <= last + 1;
                assertEquals(near, got.containsKey(node));
                if (near) {
                  assertEquals(node, got.get(node)[0]);
                }
              }
              assertEquals(2 * (N - 1), network.meter().messages());
              assertEquals(4 * (N - 1), network.meter().bytes());
              return null;
            }
          });
    }
  }
}
