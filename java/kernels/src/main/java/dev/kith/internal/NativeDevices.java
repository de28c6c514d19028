package dev.kith.internal;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * The devices of the library that loaded, or why none did. Immutable and thread-safe.
 *
 * @param devices the devices
 * @param reason one sentence when there are none, else empty
 */
public record NativeDevices(List<NativeDevice> devices, String reason) {
  /**
   * Loads the library and opens its devices.
   *
   * @return the devices, or the reason; never throws for what a machine or its settings lack
   */
  public static NativeDevices load() {
    try {
      Abi abi = new LibraryLoader(System::getProperty, System::getenv).load();
      try {
        return new NativeDevices(open(abi), "");
      } catch (RuntimeException e) {
        return new NativeDevices(
            List.of(), "the library " + abi.path() + " cannot open its device: " + e.getMessage());
      }
    } catch (UnsatisfiedLinkError | RuntimeException e) {
      return new NativeDevices(List.of(), e.getMessage());
    }
  }

  private static List<NativeDevice> open(Abi abi) {
    try (Call call = new Call();
        Arena arena = Arena.ofConfined()) {
      MemorySegment count = arena.allocate(ValueLayout.JAVA_INT);
      call.check("count devices", abi.deviceCount(count, call.segment()));
      int found = count.get(ValueLayout.JAVA_INT, 0);
      if (found < 1) {
        return List.of();
      }
    }
    int threads =
        System.getenv("KITH_THREADS") == null ? Runtime.getRuntime().availableProcessors() : 0;
    boolean checked = "1".equals(System.getenv("KITH_CHECKED"));
    return List.of(new NativeDevice(abi, abi.backend(), 0, threads, checked));
  }
}
