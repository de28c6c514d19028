package dev.kith.bench;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The times of all peers of a row, each in alternation with the kernel. One peer is alive at a
 * time, so that none holds memory or processors while another is measured.
 */
final class Peers {
  /** libtorch with preallocated outputs or in place: the forms of python3-torch. */
  static final String TORCH = "libtorch";

  /**
   * What came out for a row.
   *
   * @param ratios time of the peer over time of the kernel, by peer
   * @param forms what answered, by peer
   */
  record Comparison(Map<String, Double> ratios, Map<String, String> forms) {}

  private interface Start {
    Optional<PeerProcess> start() throws IOException;
  }

  private final int pairs;
  private final int threads;

  Peers(int pairs, int threads) {
    this.pairs = pairs;
    this.threads = threads;
  }

  Comparison compare(Workload workload, Paired.Timed kernel) throws Exception {
    Map<String, Start> starts = new LinkedHashMap<>();
    starts.put(TORCH, PeerProcess::torch);
    starts.put("libtorch-djl", () -> Optional.of(PeerProcess.java("libtorch", true)));
    starts.put("libtorch-djl-fresh", () -> Optional.of(PeerProcess.java("libtorch", false)));
    for (String name : List.of("nd4j", "openblas", "vector", "java")) {
      starts.put(name, () -> Optional.of(PeerProcess.java(name, false)));
    }
    Comparison comparison = new Comparison(new LinkedHashMap<>(), new LinkedHashMap<>());
    Reference reference = new Reference(workload);
    for (var start : starts.entrySet()) {
      try (PeerProcess peer = start.getValue().start().orElse(null)) {
        if (peer != null && peer.prepare(workload, reference, threads)) {
          // A JIT needs some runs before it is at its best.
          for (int i = 0; i < pairs; i++) {
            peer.run();
          }
          comparison
              .ratios()
              .put(start.getKey(), Paired.alternate(kernel, peer::run, pairs).ratio());
          comparison.forms().put(start.getKey(), peer.form());
        }
      }
    }
    return comparison;
  }
}
