package dev.kith.privacy;

import dev.kith.graph.Graph;
import dev.kith.kernel.Secret;
import dev.kith.network.Network;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;

/**
 * The secrets that one process holds for the noise of its nodes: one for each of its nodes, which
 * never leaves the process; one for each edge with an end among them, which the two ends agreed on;
 * and where the noise is drawn jointly, the one that all participants hold.
 *
 * <p>{@link #agree(Network, NoiseCovariance)} sends one public key of X25519 from every node to
 * each of its neighbours; nothing else travels. The keys are as authentic as the transport is: who
 * can change its messages can put himself between two nodes and know the secret of their edge. A
 * public key serves for one agreement only.
 *
 * <p>{@link #save} keeps them in a file that the owner alone may read, and {@link #read} takes them
 * back: without it a run that was interrupted cannot go on.
 *
 * <p>Closing overwrites the secrets. One set serves one {@link NodeNoise}. Used by one thread at a
 * time.
 */
public final class NoiseSecrets implements AutoCloseable {
  private final String id;
  private final Map<NoiseFactor.Secret, Secret> secrets;
  private boolean taken;

  NoiseSecrets(String id, Map<NoiseFactor.Secret, Secret> secrets) {
    this.id = id;
    this.secrets = secrets;
  }

  /**
   * Draws the secrets of the own nodes and agrees with the neighbours on those of the edges. All
   * processes of the network make this call.
   *
   * @param network on which the nodes run
   * @param covariance independent or pairwise noise over its nodes
   * @throws IllegalArgumentException when the noise needs a secret that all hold
   * @throws dev.kith.compress.MessageException when a neighbour's key is of low order
   * @throws dev.kith.network.ExchangeException when a neighbour's key does not come in time
   */
  public static NoiseSecrets agree(Network network, NoiseCovariance covariance) {
    return agree(network, covariance, Optional.empty());
  }

  /**
   * The same for noise that is drawn jointly or by a server.
   *
   * @param common the same bytes in every process, brought there by a way of the caller's own: that
   *     of the group ({@link NoiseCovariance#joint}), which protects against outsiders only, or of
   *     the server ({@link NoiseCovariance#central}), which protects against all others; taken over
   */
  public static NoiseSecrets agree(Network network, NoiseCovariance covariance, Secret common) {
    return agree(network, covariance, Optional.of(common));
  }

  private static NoiseSecrets agree(
      Network network, NoiseCovariance covariance, Optional<Secret> common) {
    if (covariance.nodes() != network.nodes()) {
      throw new IllegalArgumentException(
          "the noise is over "
              + covariance.nodes()
              + " nodes and the network has "
              + network.nodes()
              + ": make both for the same nodes");
    }
    Map<NoiseFactor.Secret, Secret> secrets = new LinkedHashMap<>();
    try {
      for (NoiseFactor.Secret holder :
          new java.util.LinkedHashSet<>(covariance.factor().secrets())) {
        switch (holder) {
          case NoiseFactor.Secret.OfNode node -> {
            if (local(network, node.node())) {
              secrets.put(node, Secret.random());
            }
          }
          case NoiseFactor.Secret.OfEdge edge -> {}
          case NoiseFactor.Secret.OfGroup group -> secrets.put(group, given(common, "all nodes"));
          case NoiseFactor.Secret.OfServer server ->
              secrets.put(server, given(common, "the server"));
        }
      }
      edges(network, covariance.edges(), secrets);
    } catch (RuntimeException e) {
      secrets.values().forEach(Secret::close);
      throw e;
    }
    return new NoiseSecrets(newId(), secrets);
  }

  private static String newId() {
    byte[] id = new byte[SecretsFile.ID_BYTES];
    new java.security.SecureRandom().nextBytes(id);
    return HexFormat.of().formatHex(id);
  }

  private static boolean local(Network network, int node) {
    return node >= network.firstNode() && node < network.firstNode() + network.localNodes();
  }

  private static Secret given(Optional<Secret> common, String holder) {
    return common.orElseThrow(
        () ->
            new IllegalArgumentException(
                "this noise is drawn from a secret that "
                    + holder
                    + " must have, and none is given: bring one to every process"));
  }

  private static void edges(Network network, Graph graph, Map<NoiseFactor.Secret, Secret> secrets) {
    if (graph.edges() == 0) {
      return;
    }
    List<EdgeAgreement> own = new ArrayList<>();
    for (int k = 0; k < network.localNodes(); k++) {
      own.add(new EdgeAgreement(network.firstNode() + k));
    }
    Map<Integer, byte[]> keys =
        network.exchange(
            graph,
            own.stream().map(EdgeAgreement::publicKey).toList(),
            "the public keys for the noise of edges");
    for (int k = 0; k < own.size(); k++) {
      int node = network.firstNode() + k;
      for (int neighbour : graph.neighbours(node)) {
        var edge =
            new NoiseFactor.Secret.OfEdge(Math.min(node, neighbour), Math.max(node, neighbour));
        if (!secrets.containsKey(edge)) {
          secrets.put(edge, own.get(k).with(neighbour, keys.get(neighbour)));
        }
      }
    }
  }

  /** A public name of this set, drawn at random, by which a snapshot knows it again. */
  public String id() {
    return id;
  }

  /** Whose secrets are here. */
  public java.util.Set<NoiseFactor.Secret> holders() {
    return java.util.Collections.unmodifiableSet(secrets.keySet());
  }

  /**
   * A secret; stays this set's to close.
   *
   * @throws IllegalStateException when this process does not hold it
   */
  public Secret of(NoiseFactor.Secret holder) {
    Secret secret = secrets.get(holder);
    if (secret == null) {
      throw new IllegalStateException(
          "this process holds no secret of " + holder + ": agree on secrets for this noise");
    }
    return secret;
  }

  /** Gives the set to a noise: a second one would draw the same numbers for other data. */
  void take() {
    if (taken) {
      throw new IllegalStateException(
          "these secrets serve a noise already, and a second one would draw the same numbers for"
              + " other data: agree on new secrets");
    }
    taken = true;
  }

  /**
   * Forgets the secrets of edges of nodes that were lost, so that whoever takes over this process
   * later cannot tell the noise of past rounds.
   */
  public void retire(int... lost) {
    TreeSet<Integer> gone = new TreeSet<>();
    for (int node : lost) {
      gone.add(node);
    }
    secrets
        .entrySet()
        .removeIf(
            entry -> {
              boolean retired =
                  entry.getKey() instanceof NoiseFactor.Secret.OfEdge edge
                      && (gone.contains(edge.first()) || gone.contains(edge.second()));
              if (retired) {
                entry.getValue().close();
              }
              return retired;
            });
  }

  /**
   * Writes the secrets to a file that nobody but its owner may read or write (mode 600 from its
   * creation on), beside the snapshots of the run. It is written aside, synced and renamed.
   *
   * @throws java.io.UncheckedIOException when it cannot be written
   * @throws IllegalStateException when the file system has no POSIX permissions
   */
  public void save(Path file) {
    SecretsFile.write(file, id, secrets);
  }

  /**
   * Reads what {@link #save} has written.
   *
   * @throws java.io.UncheckedIOException when there is no such file, or it cannot be read
   * @throws IllegalStateException when others may read it, or it is damaged
   */
  public static NoiseSecrets read(Path file) {
    return SecretsFile.read(file);
  }

  /** Overwrites the secrets; idempotent. */
  @Override
  public void close() {
    secrets.values().forEach(Secret::close);
  }
}
