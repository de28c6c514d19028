package dev.kith.internal;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;

/**
 * Where the kith_matrix structs of a device's windows lie. Opening a view is frequent, so that a
 * slot is taken from a slab instead of from malloc, and used again. Thread-safe.
 */
final class DescriptorPool {
  private static final int SLOTS = 512;
  private static final long SLOT_BYTES = 64;

  private final Arena arena = Arena.ofAuto();
  private final ArrayDeque<MemorySegment> free = new ArrayDeque<>();

  synchronized MemorySegment take() {
    if (free.isEmpty()) {
      MemorySegment slab = arena.allocate(SLOTS * SLOT_BYTES, SLOT_BYTES);
      for (int i = 0; i < SLOTS; i++) {
        free.add(slab.asSlice(i * SLOT_BYTES, Abi.MATRIX));
      }
    }
    return free.pop();
  }

  synchronized void give(MemorySegment descriptor) {
    free.push(descriptor);
  }
}
