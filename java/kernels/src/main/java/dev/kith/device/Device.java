package dev.kith.device;

import dev.kith.internal.Access;
import dev.kith.internal.NativeDevice;
import dev.kith.internal.NativeDevices;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/**
 * Something that runs kernels. A device comes from a native library that is loaded at the first use
 * of this class, and lives as long as the process. Thread-safe.
 *
 * <p>The CPU library is looked for in this order: the system property {@code dev.kith.library} or
 * else the environment variable {@code KITH_LIBRARY} (nothing else is tried when one of them is
 * set); the library in the jar, extracted to {@code dev.kith.cache}, to {@code
 * ${java.io.tmpdir}/kith-USER} or to the user's cache folder, whichever first takes it and allows
 * execution. The size of its thread pool is {@code KITH_THREADS}, else the available processors.
 */
public final class Device {
  private static final System.Logger LOG = System.getLogger("dev.kith.device");
  private static final List<String> NAMES = List.of("cpu", "cuda", "cuda:N", "emulated");

  static {
    Access.install(new Behind());
  }

  private final NativeDevice device;

  private Device(NativeDevice device) {
    this.device = device;
  }

  /** What was found, once. */
  private static final class Found {
    static final NativeDevices LIBRARY = NativeDevices.load();
    static final List<Device> DEVICES = LIBRARY.devices().stream().map(Device::new).toList();

    private Found() {}
  }

  /**
   * The devices that can be used.
   *
   * @return an immutable list, empty where no library loads; never throws
   */
  public static List<Device> available() {
    return Found.DEVICES;
  }

  /**
   * Why there is no device.
   *
   * @return one sentence with every attempt and the remedy, or {@code ""} when there is one
   */
  public static String unavailableReason() {
    return Found.LIBRARY.reason();
  }

  /**
   * The CPU.
   *
   * @return the device
   * @throws UnsupportedOperationException with every reason, when its library is missing
   */
  public static Device cpu() {
    if (Found.DEVICES.isEmpty()) {
      throw new UnsupportedOperationException("device cpu: " + unavailableReason());
    }
    return Found.DEVICES.getFirst();
  }

  /**
   * The fastest device there is: in this version the CPU, and one line in the log of {@code
   * dev.kith.device} says why. The environment variable {@code KITH_REQUIRE} ({@code cpu} or {@code
   * cuda}) makes it an error to fall back to anything else.
   *
   * @return the device
   * @throws UnsupportedOperationException if there is none, or not the one required
   * @throws IllegalArgumentException if {@code KITH_REQUIRE} has another value
   */
  public static Device best() {
    String required = Optional.ofNullable(System.getenv("KITH_REQUIRE")).orElse("");
    return switch (required) {
      case "cuda" -> named("cuda");
      case "cpu" -> cpu();
      case "" -> {
        Device device = cpu();
        LOG.log(System.Logger.Level.INFO, "using device cpu: {0}", absent("cuda"));
        yield device;
      }
      default ->
          throw new IllegalArgumentException(
              "KITH_REQUIRE is \"" + required + "\"; it can be \"cpu\" or \"cuda\"");
    };
  }

  /**
   * Finds a device.
   *
   * @param name {@code "cpu"}, {@code "cuda"}, {@code "cuda:1"}, {@code "emulated"}
   * @return the device
   * @throws IllegalArgumentException if no device has such a name; lists the known ones
   * @throws UnsupportedOperationException if the device is not there; says why
   */
  public static Device named(String name) {
    Objects.requireNonNull(name, "name");
    if (name.equals("cpu")) {
      return cpu();
    }
    if (name.equals("emulated") || name.matches("cuda(:\\d+)?")) {
      throw new UnsupportedOperationException("device " + name + ": " + absent(name));
    }
    throw new IllegalArgumentException(
        "no device is called \"" + name + "\"; names are " + String.join(", ", NAMES));
  }

  private static String absent(String name) {
    return "this version of Kith has no "
        + (name.equals("emulated") ? "emulated CUDA" : "CUDA")
        + " library";
  }

  /**
   * The name that {@link #named} finds it by.
   *
   * @return for example {@code "cpu"}
   */
  public String name() {
    return device.name();
  }

  /**
   * The kind of its library.
   *
   * @return {@code "cpu"}, {@code "cuda"} or {@code "emulated"}
   */
  public String backend() {
    return device.abi().backend();
  }

  /**
   * What the device is.
   *
   * @return its name as its maker gives it
   */
  public String description() {
    return device.description();
  }

  /**
   * The instruction set in use.
   *
   * @return {@code "scalar"}, {@code "v2"}, {@code "v3"} or {@code "v4"} on a CPU; {@code
   *     KITH_MAX_ISA} in the environment caps it
   */
  public String tier() {
    return device.abi().cpuTier();
  }

  /**
   * Selects an instruction set; for tests and benchmarks. Results do not depend on it. No queue of
   * the device may be working.
   *
   * @param tier {@code "scalar"}, {@code "v2"}, {@code "v3"} or {@code "v4"}
   * @throws IllegalArgumentException if there is no such tier
   * @throws UnsupportedOperationException if the CPU or the library lacks it
   */
  public void tier(String tier) {
    device.tier(Objects.requireNonNull(tier, "tier"));
  }

  /**
   * The build of its library.
   *
   * @return one line: backend, version, compiler
   */
  public String buildInfo() {
    return device.abi().buildInfo();
  }

  /**
   * Where its library was loaded from.
   *
   * @return a path
   */
  public String libraryPath() {
    return device.abi().path();
  }

  /**
   * The size of its pool.
   *
   * @return threads that work on an operation, the caller included
   */
  public int threads() {
    return device.threads();
  }

  /**
   * Changes the size of its pool; for tests and for several processes on one machine. Results do
   * not depend on it. No queue of the device may be working.
   *
   * @param n threads, the caller included, 1 to 1024
   * @throws IllegalArgumentException if {@code n} is out of range
   */
  public void threads(int n) {
    if (n < 1 || n > 1024) {
      throw new IllegalArgumentException("threads: " + n + " is not between 1 and 1024");
    }
    device.threads(n);
  }

  /**
   * Makes a queue.
   *
   * @return a queue without work; close it
   */
  public Queue newQueue() {
    return new Queue(this, new NativeQueue(device));
  }

  /**
   * What is open on the device now.
   *
   * @return the report; with creation sites when the environment has {@code KITH_CHECKED=1}
   */
  public MemoryReport memory() {
    long[] bytes = device.memory();
    return new MemoryReport(bytes[0], bytes[1], device.liveWindows(), device.creationSites());
  }

  @Override
  public String toString() {
    return "Device[" + name() + ", " + description() + ", " + tier() + "]";
  }

  /** Lets the other packages of the module behind the public classes. */
  private static final class Behind extends Access {
    @Override
    protected Window windowOf(DeviceMatrix matrix) {
      return matrix.window();
    }

    @Override
    protected NativeQueue queueOf(Queue queue) {
      return queue.behind();
    }

    @Override
    protected NativeDevice deviceOf(Device owner) {
      return owner.device;
    }
  }
}
