package dev.kith.device;

import java.util.List;

/**
 * What a device holds at one moment. Immutable and thread-safe.
 *
 * @param totalBytes memory of the device
 * @param liveBytes bytes that the library holds on it for matrices that are not closed, or closed
 *     and still in use by queued work; mixing weights come on top
 * @param liveMatrices matrices that are not closed, views included
 * @param creationSites one line for each of them, with shape, dtype and the place in the program
 *     that created it; empty unless the environment has {@code KITH_CHECKED=1}
 */
public record MemoryReport(
    long totalBytes, long liveBytes, long liveMatrices, List<String> creationSites) {
  /** Copies the list. */
  public MemoryReport {
    creationSites = List.copyOf(creationSites);
  }
}
