package dev.kith.network;

import dev.kith.graph.Graph;
import dev.kith.kernel.NodeTree;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** One block of bytes of every node to each of its neighbours, each once to a process. */
final class BlockExchange {
  private final Transport transport;
  private final int first;
  private final Map<Integer, TreeSet<Integer>> sends = new TreeMap<>();
  private final Map<Integer, TreeSet<Integer>> receives = new TreeMap<>();

  BlockExchange(Graph graph, Transport transport) {
    this.transport = transport;
    NodeTree.Range own = transport.range();
    this.first = own.begin();
    for (int i = own.begin(); i < own.end(); i++) {
      for (int j : graph.neighbours(i)) {
        int peer = transport.membership().processOf(j);
        if (peer != transport.process()) {
          sends.computeIfAbsent(peer, p -> new TreeSet<>()).add(i);
          receives.computeIfAbsent(peer, p -> new TreeSet<>()).add(j);
        }
      }
    }
  }

  /** The own blocks and those of the neighbours, by node. */
  Map<Integer, byte[]> run(List<byte[]> blocks, String what, Duration deadline, Meter meter) {
    int length = blocks.getFirst().length;
    Map<Integer, byte[]> all = new HashMap<>();
    for (int k = 0; k < blocks.size(); k++) {
      if (blocks.get(k).length != length) {
        throw new IllegalArgumentException(
            "the blocks have "
                + length
                + " and "
                + blocks.get(k).length
                + " bytes: let all have the same length");
      }
      all.put(first + k, blocks.get(k).clone());
    }
    try (Arena arena = Arena.ofShared()) {
      List<Transport.Outgoing> out = new ArrayList<>();
      sends.forEach(
          (peer, nodes) -> {
            MemorySegment room = arena.allocate((long) nodes.size() * length);
            long at = 0;
            for (int node : nodes) {
              MemorySegment.copy(all.get(node), 0, room, ValueLayout.JAVA_BYTE, at, length);
              at += length;
            }
            out.add(new Transport.Outgoing(peer, room));
            meter.transported(room.byteSize());
          });
      List<Transport.Incoming> in = new ArrayList<>();
      receives.forEach(
          (peer, nodes) ->
              in.add(new Transport.Incoming(peer, arena.allocate((long) nodes.size() * length))));
      transport.exchange(out, in, what, deadline);
      for (Transport.Incoming incoming : in) {
        long at = 0;
        for (int node : receives.get(incoming.peer())) {
          all.put(node, incoming.data().asSlice(at, length).toArray(ValueLayout.JAVA_BYTE));
          at += length;
        }
      }
    }
    return all;
  }
}
