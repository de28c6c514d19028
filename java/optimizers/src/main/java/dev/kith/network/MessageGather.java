package dev.kith.network;

import dev.kith.compress.Codec;
import dev.kith.compress.Messages;
import dev.kith.compress.ReplayGuard;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.NodeTree;
import dev.kith.kernel.Reduction;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * The messages of all nodes in every process, and the sum of the decoded rows on the binary tree of
 * global node numbers. The tree holds a row a level, log2 n + 1 of them, whatever n is.
 */
final class MessageGather implements AutoCloseable {
  private final Transport transport;
  private final Optional<Messages> all;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment frames;
  private final List<MemorySegment> blocks = new ArrayList<>();
  private final int[] program;
  private final int depth;
  private final List<MixingWeights> picks = new ArrayList<>();
  private Optional<DeviceMatrix> levels = Optional.empty();

  MessageGather(Codec codec, Transport transport) {
    this.transport = transport;
    int n = transport.nodes();
    this.program = NodeTree.program(n);
    this.depth = depth(program);
    long bytes = 0;
    if (transport.processes() > 1) {
      Messages gathered = codec.messages(IntStream.range(0, n).toArray());
      bytes = gathered.messageBytes();
      this.all = Optional.of(gathered);
    } else {
      this.all = Optional.empty();
    }
    this.frames = arena.allocate(all.isPresent() ? n * bytes : 0, 64);
    for (NodeTree.Range range : transport.membership().ranges()) {
      blocks.add(frames.asSlice(range.begin() * bytes, (range.end() - range.begin()) * bytes));
    }
  }

  private static int depth(int[] program) {
    int depth = 0;
    int most = 0;
    for (int p : program) {
      depth += p == NodeTree.ADD ? -1 : 1;
      most = Math.max(most, depth);
    }
    return most;
  }

  /** The messages of all nodes in node order; where there is one process, its own. */
  Messages run(Messages messages, String what, Duration deadline, Meter meter, ReplayGuard guard) {
    if (all.isEmpty()) {
      return messages;
    }
    Messages gathered = all.get();
    try (Arena local = Arena.ofShared()) {
      MemorySegment mine = local.allocate(messages.rows() * messages.messageBytes(), 64);
      messages.write(IntStream.range(0, messages.rows()).toArray(), mine);
      transport.gather(mine, blocks, what, deadline);
      meter.transported(mine.byteSize() * (transport.processes() - 1));
    }
    gathered.take(messages.round(), frames, guard);
    return gathered;
  }

  /**
   * mean = the sum of the decoded rows of the nodes that are there, divided by their number.
   *
   * @param mean 1 x d, F32
   */
  void mean(Messages gathered, boolean[] present, int count, DeviceMatrix mean) {
    if (levels.isEmpty()) {
      levels = Optional.of(mean.like(depth, mean.cols(), DType.F32));
      for (int j = 0; j < present.length; j++) {
        picks.add(
            MixingWeights.sparse(
                mean.queue(),
                1,
                present.length,
                new long[] {0, 1},
                new int[] {j},
                new double[] {1}));
      }
    }
    DeviceMatrix[] rows = new DeviceMatrix[depth];
    try {
      for (int k = 0; k < depth; k++) {
        rows[k] = levels.get().row(k);
      }
      sum(gathered, present, rows);
      Reduction.nodes(new int[] {0}, rows[0], count, mean);
    } finally {
      for (DeviceMatrix row : rows) {
        if (row != null) {
          row.close();
        }
      }
    }
  }

  /** Leaves the sum in the first row. */
  private void sum(Messages gathered, boolean[] present, DeviceMatrix[] rows) {
    boolean[] filled = new boolean[depth];
    int top = 0;
    for (int p : program) {
      if (p != NodeTree.ADD) {
        filled[top] = present[p];
        if (present[p]) {
          gathered
              .codec()
              .accumulate(Optional.of(picks.get(p)), gathered, Optional.empty(), false, rows[top]);
        }
        top++;
        continue;
      }
      top--;
      if (filled[top] && filled[top - 1]) {
        Mixing.combine(Expression.outer(rows[top - 1]).plusOuter(rows[top]), rows[top - 1]);
      } else if (filled[top]) {
        DeviceMatrix lone = rows[top];
        rows[top] = rows[top - 1];
        rows[top - 1] = lone;
        filled[top - 1] = true;
      }
    }
  }

  @Override
  public void close() {
    all.ifPresent(Messages::close);
    levels.ifPresent(DeviceMatrix::close);
    picks.forEach(MixingWeights::close);
    arena.close();
  }
}
