package dev.kith.network;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.NodeTree;
import dev.kith.kernel.Reduction;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * Sums over all nodes on the binary tree of global node numbers. A process sends the sums of the
 * maximal subtrees that it owns whole, at most 2 log2 n rows, gets those of the others, and
 * finishes the tree from its own rows and theirs: the same additions in the same order however the
 * nodes are cut. Where nobody else takes part nothing is formed or sent.
 */
final class NodeAverage implements AutoCloseable {
  private record Shape(Queue queue, long cols, DType dtype) {}

  private record Buffers(RowBuffer own, RowBuffer others) {
    void close() {
      own.close();
      others.close();
    }
  }

  private final Transport transport;
  private final Meter meter;
  private final Duration deadline;
  private final int[] subtreeProgram;
  private final int ownSubtrees;
  private final List<MixingPlan.Block> peers = new ArrayList<>();
  private final int otherSubtrees;
  private final int[] finishProgram;
  private final Lru<Shape, Buffers> buffers = new Lru<>(4, Buffers::close);

  NodeAverage(Transport transport, Meter meter, Duration deadline) {
    this.transport = transport;
    this.meter = meter;
    this.deadline = deadline;
    int n = transport.nodes();
    NodeTree.Range mine = transport.range();
    int local = mine.end() - mine.begin();
    List<NodeTree.Range> inputs = new ArrayList<>();
    List<int[]> programs = new ArrayList<>();
    int next = 0;
    for (int process = 0; process < transport.processes(); process++) {
      NodeTree.Range range = transport.membership().ranges().get(process);
      List<NodeTree.Range> subtrees = NodeTree.maximalSubtrees(n, range.begin(), range.end());
      inputs.addAll(subtrees);
      if (process == transport.process()) {
        for (NodeTree.Range subtree : subtrees) {
          programs.add(ofRows(subtree, n, mine.begin()));
        }
      } else {
        peers.add(new MixingPlan.Block(process, next, subtrees.size()));
        for (int k = 0; k < subtrees.size(); k++) {
          programs.add(new int[] {local + next++});
        }
      }
    }
    this.ownSubtrees = inputs.size() - next;
    this.otherSubtrees = next;
    this.subtreeProgram = NodeTree.subtreeProgram(n, mine.begin(), mine.end());
    this.finishProgram =
        Arrays.stream(NodeTree.finishProgram(n, inputs))
            .flatMap(p -> p < 0 ? IntStream.of(p) : Arrays.stream(programs.get(p)))
            .toArray();
  }

  /** The sum of a subtree from the own rows, of which the first is node {@code firstNode}. */
  private static int[] ofRows(NodeTree.Range subtree, int n, int firstNode) {
    int offset = subtree.begin() - firstNode;
    return Arrays.stream(NodeTree.subtreeProgram(n, subtree.begin(), subtree.end()))
        .map(p -> p < 0 ? p : p + offset)
        .toArray();
  }

  /**
   * Divides the sum over all nodes by n; writes it, or the distances of the own rows to it, or
   * both.
   */
  void average(
      DeviceMatrix x, Optional<DeviceMatrix> mean, Optional<DeviceMatrix> distances, String what) {
    Reduction.nodes(finishProgram, x, remote(x, what), transport.nodes(), mean, distances);
  }

  /** The subtree sums of the other processes. */
  private Optional<DeviceMatrix> remote(DeviceMatrix x, String what) {
    if (peers.isEmpty()) {
      return Optional.empty();
    }
    DType dtype = x.dtype().computeType();
    Buffers b =
        buffers.get(
            new Shape(x.queue(), x.cols(), dtype),
            shape -> new Buffers(new RowBuffer(dtype), new RowBuffer(dtype)));
    Reduction.nodes(subtreeProgram, x, 1, b.own.rows(x, ownSubtrees));
    b.own.download();
    DeviceMatrix others = b.others.rows(x, otherSubtrees);
    exchange(b.own.host(0, ownSubtrees), block -> b.others.host(block.first(), block.rows()), what);
    b.others.upload();
    return Optional.of(others);
  }

  private void exchange(
      MemorySegment mine, Function<MixingPlan.Block, MemorySegment> place, String what) {
    List<Transport.Outgoing> sends = new ArrayList<>();
    List<Transport.Incoming> receives = new ArrayList<>();
    for (MixingPlan.Block block : peers) {
      sends.add(new Transport.Outgoing(block.peer(), mine));
      receives.add(new Transport.Incoming(block.peer(), place.apply(block)));
      meter.transported(mine.byteSize());
    }
    transport.exchange(sends, receives, what, deadline);
  }

  /** The values of all nodes in node order, from those of the own nodes. */
  double[] gather(double[] local, String what) {
    try (Arena arena = Arena.ofShared()) {
      MemorySegment all = arena.allocate(ValueLayout.JAVA_DOUBLE, transport.nodes());
      List<MemorySegment> blocks = new ArrayList<>();
      for (NodeTree.Range range : transport.membership().ranges()) {
        blocks.add(all.asSlice(range.begin() * 8L, (range.end() - range.begin()) * 8L));
      }
      MemorySegment mine = blocks.get(transport.process());
      MemorySegment.copy(local, 0, mine, ValueLayout.JAVA_DOUBLE, 0, local.length);
      transport.gather(mine, blocks, what, deadline);
      meter.transported(mine.byteSize() * (transport.processes() - 1));
      return all.toArray(ValueLayout.JAVA_DOUBLE);
    }
  }

  /** The bytes of all nodes in node order, from those of the own nodes, equally many a node. */
  byte[] gather(byte[] local, String what) {
    NodeTree.Range own = transport.range();
    long size = local.length / (own.end() - own.begin());
    try (Arena arena = Arena.ofShared()) {
      MemorySegment all = arena.allocate(transport.nodes() * size);
      List<MemorySegment> blocks = new ArrayList<>();
      for (NodeTree.Range range : transport.membership().ranges()) {
        blocks.add(all.asSlice(range.begin() * size, (range.end() - range.begin()) * size));
      }
      MemorySegment mine = blocks.get(transport.process());
      MemorySegment.copy(local, 0, mine, ValueLayout.JAVA_BYTE, 0, local.length);
      transport.gather(mine, blocks, what, deadline);
      meter.transported(mine.byteSize() * (transport.processes() - 1));
      return all.toArray(ValueLayout.JAVA_BYTE);
    }
  }

  @Override
  public void close() {
    buffers.close();
  }
}
