package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Optional;

/**
 * The roof of a kernel, for benchmarks: a loop with the same streams and one addition per element,
 * on the same threads, blocks and store kind. Thread-safe; runs on the queue of the first matrix
 * written, else of the first read.
 */
public final class Twin {
  private Twin() {}

  /**
   * Streams.
   *
   * @param reads matrices that are read
   * @param writes matrices that are written; one that is also read (the same window) is incremented
   *     in place
   * @param nontemporal whether to write past the caches
   * @param sink F64, 1 x 1: receives a value that depends on every element when nothing is written
   * @throws IllegalArgumentException if both lists are empty, shapes differ, or nothing is written
   *     and there is no sink
   * @throws IllegalStateException if something is closed or the queue is in use by another thread
   */
  public static void run(
      List<DeviceMatrix> reads,
      List<DeviceMatrix> writes,
      boolean nontemporal,
      Optional<DeviceMatrix> sink) {
    if (reads.isEmpty() && writes.isEmpty()) {
      throw new IllegalArgumentException("twin: there is nothing to read or write");
    }
    if (writes.isEmpty() && sink.isEmpty()) {
      throw new IllegalArgumentException("twin: reading alone needs a sink");
    }
    Window first = Access.window((writes.isEmpty() ? reads : writes).getFirst());
    check(reads, first);
    check(writes, first);
    Window end = Access.windowOrNull(sink);
    if (end != null) {
      Arguments.expect("twin", "sink", end, 1, 1, DType.F64);
      Arguments.sameDevice("twin", "sink", end, "the streams", first);
    }
    NativeQueue q = first.queue();
    int mark = q.begin("twin");
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment sources = use(q, arena, reads);
      MemorySegment targets = use(q, arena, writes);
      MemorySegment result = q.useOrNull(end);
      int status;
      do {
        status =
            q.abi()
                .twin(
                    q.handle(),
                    sources,
                    reads.size(),
                    targets,
                    writes.size(),
                    nontemporal ? 1 : 0,
                    result,
                    q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  private static void check(List<DeviceMatrix> matrices, Window first) {
    for (DeviceMatrix matrix : matrices) {
      Window window = Access.window(matrix);
      Arguments.expect("twin", "a stream", window, first.rows(), first.cols(), window.dtype());
      Arguments.sameDevice("twin", "a stream", window, "the first", first);
    }
  }

  private static MemorySegment use(NativeQueue q, Arena arena, List<DeviceMatrix> matrices) {
    if (matrices.isEmpty()) {
      return MemorySegment.NULL;
    }
    MemorySegment pointers = arena.allocate(ValueLayout.ADDRESS, matrices.size());
    for (int i = 0; i < matrices.size(); i++) {
      Window window = Access.window(matrices.get(i));
      q.use(window);
      pointers.setAtIndex(ValueLayout.ADDRESS, i, window.descriptor());
    }
    return pointers;
  }
}
