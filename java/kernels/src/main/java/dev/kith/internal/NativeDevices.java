package dev.kith.internal;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/**
 * A library that was looked for: what it has, or why it is not there. Immutable and thread-safe.
 */
public final class NativeDevices {
  private final Library library;
  private final Optional<Abi> abi;
  private final int count;
  private final String reason;

  private NativeDevices(Library library, Optional<Abi> abi, int count, String reason) {
    this.library = library;
    this.abi = abi;
    this.count = count;
    this.reason = reason;
  }

  /**
   * Loads a library and counts its devices.
   *
   * @param library which
   * @return what was found, or the reason; never throws for what a machine or its settings lack
   */
  public static NativeDevices load(Library library) {
    Optional<Abi> loaded = Optional.empty();
    try {
      loaded = Optional.of(new LibraryLoader(library, System::getProperty, System::getenv).load());
      return new NativeDevices(library, loaded, count(loaded.get()), "");
    } catch (UnsatisfiedLinkError | RuntimeException e) {
      return new NativeDevices(library, loaded, 0, e.getMessage());
    }
  }

  private static int count(Abi abi) {
    try (Call call = new Call();
        Arena arena = Arena.ofConfined()) {
      MemorySegment count = arena.allocate(ValueLayout.JAVA_INT);
      if (abi.deviceCount(count, call.segment()) != Abi.OK) {
        throw new UnsupportedOperationException(at(call.text(), abi));
      }
      return count.get(ValueLayout.JAVA_INT, 0);
    }
  }

  /** What a library says, with its place: the setting that named it may be the mistake. */
  static String at(String text, Abi abi) {
    return text + " (library " + abi.path() + ")";
  }

  /**
   * How many devices the library sees; not each of them need be usable.
   *
   * @return the number, 0 where the library is missing
   */
  public int count() {
    return count;
  }

  /**
   * The bindings of the library.
   *
   * @return empty where it is missing
   */
  public Optional<Abi> abi() {
    return abi;
  }

  /**
   * Opens a device.
   *
   * @param ordinal its number
   * @return the device
   * @throws UnsupportedOperationException with the reason, if the library is missing or refuses
   */
  public NativeDevice open(int ordinal) {
    String name = library.deviceName(ordinal);
    if (abi.isEmpty() || !reason.isEmpty()) {
      throw new UnsupportedOperationException("device " + name + ": " + reason);
    }
    int threads =
        library == Library.CPU && System.getenv("KITH_THREADS") == null
            ? Runtime.getRuntime().availableProcessors()
            : 0;
    boolean checked = "1".equals(System.getenv("KITH_CHECKED"));
    return new NativeDevice(abi.get(), name, ordinal, threads, checked);
  }
}
