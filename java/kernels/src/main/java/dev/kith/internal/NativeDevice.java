package dev.kith.internal;

import dev.kith.device.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** A kith_device and what is open on it. Lives as long as the process. Thread-safe. */
public final class NativeDevice {
  private static final long NAME_CAPACITY = 256;

  private final Abi abi;
  private final String name;
  private final MemorySegment handle;
  private final boolean checked;
  private final DescriptorPool descriptors = new DescriptorPool();
  private final AtomicLong liveWindows = new AtomicLong();
  private final Map<Window, String> sites = new ConcurrentHashMap<>();

  /**
   * Opens a device.
   *
   * @param abi its library
   * @param name its name
   * @param ordinal its number in the library
   * @param threads the size of its pool; 0 lets the library choose
   * @param checked whether to note where windows are opened
   * @throws UnsupportedOperationException with the library's reason, if it cannot be opened
   */
  NativeDevice(Abi abi, String name, int ordinal, int threads, boolean checked) {
    this.abi = abi;
    this.name = name;
    this.checked = checked;
    try (Call call = new Call();
        Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
      int status = abi.deviceOpen(ordinal, threads, out, call.segment());
      if (status == Abi.INVALID && threads > 0) {
        // Open already, for another class loader, with a pool of another size: that size stands.
        status = abi.deviceOpen(ordinal, 0, out, call.segment());
      }
      if (status != Abi.OK) {
        throw new UnsupportedOperationException(
            "device " + name + ": " + NativeDevices.at(call.text(), abi));
      }
      handle = out.get(ValueLayout.ADDRESS, 0);
    }
  }

  /**
   * Its library.
   *
   * @return the functions
   */
  public Abi abi() {
    return abi;
  }

  /**
   * Its name.
   *
   * @return for example {@code "cpu"}
   */
  public String name() {
    return name;
  }

  MemorySegment handle() {
    return handle;
  }

  DescriptorPool descriptors() {
    return descriptors;
  }

  void opened(Window window) {
    liveWindows.incrementAndGet();
    if (checked) {
      sites.put(window, window + " created at " + creationSite());
    }
  }

  void closed(Window window) {
    liveWindows.decrementAndGet();
    if (checked) {
      sites.remove(window);
    }
  }

  /** The nearest caller outside of this library. */
  private static String creationSite() {
    return StackWalker.getInstance()
        .walk(frames -> frames.filter(frame -> !isOurs(frame.getClassName())).findFirst())
        .map(frame -> frame.toStackTraceElement().toString())
        .orElse("an unknown place");
  }

  private static boolean isOurs(String className) {
    return className.startsWith("dev.kith.internal.")
        || className.startsWith("dev.kith.kernel.")
        || className.equals("dev.kith.device.DeviceMatrix");
  }

  /**
   * How many windows are open.
   *
   * @return the number
   */
  public long liveWindows() {
    return liveWindows.get();
  }

  /**
   * Where they were opened.
   *
   * @return one line each; empty unless the environment has KITH_CHECKED=1
   */
  public List<String> creationSites() {
    return sites.values().stream().sorted().toList();
  }

  /**
   * What the device is.
   *
   * @return its name as its maker gives it
   */
  public String description() {
    try (Call call = new Call();
        Arena arena = Arena.ofConfined()) {
      MemorySegment text = arena.allocate(NAME_CAPACITY);
      call.check("description", abi.deviceName(handle, text, NAME_CAPACITY, call.segment()));
      return text.getString(0);
    }
  }

  /**
   * Its memory.
   *
   * @return total and live bytes
   */
  public long[] memory() {
    try (Call call = new Call();
        Arena arena = Arena.ofConfined()) {
      MemorySegment total = arena.allocate(ValueLayout.JAVA_LONG);
      MemorySegment live = arena.allocate(ValueLayout.JAVA_LONG);
      call.check(
          "memory", abi.deviceMemory(handle, total, live, MemorySegment.NULL, call.segment()));
      return new long[] {total.get(ValueLayout.JAVA_LONG, 0), live.get(ValueLayout.JAVA_LONG, 0)};
    }
  }

  /**
   * The size of its pool.
   *
   * @return threads, the caller included
   */
  public int threads() {
    try (Call call = new Call();
        Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.JAVA_INT);
      call.check("threads", abi.deviceThreads(handle, out, call.segment()));
      return out.get(ValueLayout.JAVA_INT, 0);
    }
  }

  /**
   * Changes the size of its pool.
   *
   * @param n threads, the caller included
   */
  public void threads(int n) {
    try (Call call = new Call()) {
      call.check("threads", abi.deviceSetThreads(handle, n, call.segment()));
    }
  }

  /**
   * Selects an instruction-set tier.
   *
   * @param tier its name
   */
  public void tier(String tier) {
    try (Call call = new Call();
        Arena arena = Arena.ofConfined()) {
      call.check("tier", abi.selectTier(arena.allocateFrom(tier), call.segment()));
    }
  }

  /**
   * Allocates and opens a window on it.
   *
   * @param queue the queue of the window
   * @param rows its rows
   * @param cols its columns
   * @param stride elements from one row to the next
   * @param dtype the type of its elements
   * @return a window of zeros
   */
  public Window allocate(NativeQueue queue, long rows, long cols, long stride, DType dtype) {
    int mark = queue.begin("allocate");
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
      int status;
      do {
        status =
            abi.memoryAllocate(queue.handle(), bytes(rows, cols, stride, dtype), out, queue.call());
      } while (status == Abi.AGAIN);
      queue.check(status);
      return open(
          queue, out.get(ValueLayout.ADDRESS, 0), Optional.empty(), rows, cols, stride, dtype);
    } finally {
      queue.end(mark);
    }
  }

  /**
   * Wraps foreign memory and opens a window on it.
   *
   * @param queue the queue of the window
   * @param foreign native memory, kept reachable while the window or queued work needs it
   * @param rows its rows
   * @param cols its columns
   * @param stride elements from one row to the next
   * @param dtype the type of its elements
   * @return the window
   */
  public Window wrap(
      NativeQueue queue, MemorySegment foreign, long rows, long cols, long stride, DType dtype) {
    int mark = queue.begin("wrap");
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
      queue.check(
          abi.memoryWrap(handle, foreign, bytes(rows, cols, stride, dtype), out, queue.call()));
      return open(
          queue, out.get(ValueLayout.ADDRESS, 0), Optional.of(foreign), rows, cols, stride, dtype);
    } finally {
      queue.end(mark);
    }
  }

  private Window open(
      NativeQueue queue,
      MemorySegment memory,
      Optional<MemorySegment> foreign,
      long rows,
      long cols,
      long stride,
      DType dtype) {
    try {
      return new Window(new Allocation(this, memory, foreign), queue, 0, rows, cols, stride, dtype);
    } catch (RuntimeException | Error e) {
      try (Call call = new Call()) {
        abi.memoryRelease(memory, call.segment());
      }
      throw e;
    }
  }

  /**
   * The memory that a matrix takes.
   *
   * @param rows its rows
   * @param cols its columns
   * @param stride elements from one row to the next
   * @param dtype the type of its elements
   * @return bytes
   */
  public static long bytes(long rows, long cols, long stride, DType dtype) {
    if (rows == 0 || cols == 0) {
      return 0;
    }
    return Math.multiplyExact(
        Math.addExact(Math.multiplyExact(rows - 1, stride), cols), dtype.bytes());
  }
}
