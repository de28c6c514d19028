package dev.kith.device;

import dev.kith.internal.Access;
import dev.kith.internal.FallbackEvent;
import dev.kith.internal.Library;
import dev.kith.internal.NativeDevice;
import dev.kith.internal.NativeDevices;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Something that runs kernels: the CPU, a CUDA device, or the CUDA kernels emulated on the CPU, for
 * tests. A device comes from a native library that is loaded when it is first asked for, and lives
 * as long as the process. Thread-safe.
 *
 * <p>Every library is looked for in this order: a system property or else an environment variable
 * (nothing else is tried when one of them is set); the library in the jar, extracted to {@code
 * dev.kith.cache}, to {@code ${java.io.tmpdir}/kith-USER} or to the user's cache folder, whichever
 * first takes it and allows execution; {@code java/kernels/target/cuda} of the tree of sources that
 * the jar or the classes lie in.
 *
 * <table>
 * <caption>The libraries</caption>
 * <tr><th>device</th><th>property</th><th>variable</th><th>in the jar</th></tr>
 * <tr><td>cpu</td><td>{@code dev.kith.library}</td><td>{@code KITH_LIBRARY}</td><td>yes</td></tr>
 * <tr><td>cuda:N</td><td>{@code dev.kith.cuda.library}</td><td>{@code KITH_CUDA_LIBRARY}</td>
 * <td>where it was built in</td></tr>
 * <tr><td>emulated</td><td>{@code dev.kith.emulated.library}</td>
 * <td>{@code KITH_EMULATED_LIBRARY}</td><td>never</td></tr>
 * </table>
 *
 * <p>The size of the CPU's thread pool is {@code KITH_THREADS}, else the available processors.
 */
public final class Device {
  private static final System.Logger LOG = System.getLogger("dev.kith.device");
  private static final List<String> NAMES = List.of("cpu", "cuda", "cuda:N", "emulated");
  private static final Pattern CUDA = Pattern.compile("cuda(?::(\\d{1,9}))?");

  /** What was looked for, once each. */
  private static final Map<Library, Found> FOUND = new ConcurrentHashMap<>();

  static {
    Access.install(new Behind());
  }

  private final NativeDevice device;

  Device(NativeDevice device) {
    this.device = device;
  }

  /** A library and its devices, which are opened when they are asked for. */
  private static final class Found {
    private final NativeDevices library;
    private final Map<Integer, Device> open = new ConcurrentHashMap<>();

    Found(Library kind) {
      library = NativeDevices.load(kind);
    }

    static Found of(Library kind) {
      return FOUND.computeIfAbsent(kind, Found::new);
    }

    Device device(int ordinal) {
      return open.computeIfAbsent(ordinal, i -> new Device(library.open(i)));
    }

    /** Those that open; some GPU may be too old. */
    List<Device> usable() {
      List<Device> devices = new ArrayList<>();
      for (int i = 0; i < library.count(); i++) {
        try {
          devices.add(device(i));
        } catch (UnsupportedOperationException e) {
          LOG.log(System.Logger.Level.DEBUG, e.getMessage());
        }
      }
      return devices;
    }
  }

  /**
   * The devices that can be used: the CPU first, then those of CUDA. The emulated one is for tests,
   * and is had by name only.
   *
   * @return an immutable list, empty where no library loads; never throws
   */
  public static List<Device> available() {
    List<Device> devices = new ArrayList<>(Found.of(Library.CPU).usable());
    devices.addAll(Found.of(Library.CUDA).usable());
    return List.copyOf(devices);
  }

  /**
   * Why there is no CPU device, and so in practice none at all.
   *
   * @return one sentence with every attempt and the remedy, or {@code ""} when there is one
   */
  public static String unavailableReason() {
    return unavailableReason("cpu");
  }

  /**
   * Why a device cannot be used.
   *
   * @param name as for {@link #named}
   * @return one sentence with every attempt and the remedy, or {@code ""} when it can be used
   * @throws IllegalArgumentException if no device has such a name; lists the known ones
   */
  public static String unavailableReason(String name) {
    try {
      Objects.requireNonNull(named(name));
      return "";
    } catch (UnsupportedOperationException e) {
      return e.getMessage();
    }
  }

  /**
   * The CPU.
   *
   * @return the device
   * @throws UnsupportedOperationException with every reason, when its library is missing
   */
  public static Device cpu() {
    return Found.of(Library.CPU).device(0);
  }

  /**
   * The device that the user chose, else the fastest there is: the first CUDA device that can be
   * used, else the CPU. One line in the log of {@code dev.kith.device} says which and why; a flight
   * recording has an event {@code dev.kith.Fallback} when CUDA was not taken. The property {@code
   * dev.kith.device}, else the environment variable {@code KITH_DEVICE}, chooses by name. The
   * environment variable {@code KITH_REQUIRE} ({@code cpu} or {@code cuda}) makes it an error to
   * take anything else.
   *
   * @return the device
   * @throws UnsupportedOperationException if there is none, not the one chosen, or not the one
   *     required
   * @throws IllegalArgumentException if one of the settings has a value that means nothing
   */
  public static Device best() {
    String required = Optional.ofNullable(System.getenv("KITH_REQUIRE")).orElse("");
    if (!List.of("", "cpu", "cuda").contains(required)) {
      throw new IllegalArgumentException(
          "KITH_REQUIRE is \"" + required + "\"; it can be \"cpu\" or \"cuda\"");
    }
    Optional<Chosen> chosen = Chosen.find();
    if (chosen.isPresent()) {
      return chosen.get().device(required);
    }
    if (required.equals("cpu")) {
      return cpu();
    }
    String why;
    try {
      Device device = named("cuda");
      LOG.log(System.Logger.Level.INFO, "using device {0}, {1}", device, device.libraryPath());
      return device;
    } catch (UnsupportedOperationException e) {
      if (required.equals("cuda")) {
        throw new UnsupportedOperationException("KITH_REQUIRE is \"cuda\": " + e.getMessage(), e);
      }
      why = e.getMessage();
    }
    Device device = cpu();
    FallbackEvent.commit("cuda", device.name(), why);
    LOG.log(System.Logger.Level.INFO, "using device {0}; {1}", device.name(), why);
    return device;
  }

  /**
   * What a setting chose.
   *
   * @param source the setting
   * @param name its value
   */
  private record Chosen(String source, String name) {
    static Optional<Chosen> find() {
      String property = Optional.ofNullable(System.getProperty("dev.kith.device")).orElse("");
      String variable = Optional.ofNullable(System.getenv("KITH_DEVICE")).orElse("");
      if (!property.isEmpty()) {
        return Optional.of(new Chosen("the property dev.kith.device", property));
      }
      return Optional.of(new Chosen("KITH_DEVICE", variable)).filter(c -> !c.name().isEmpty());
    }

    Device device(String required) {
      try {
        Device device = named(name);
        if (!required.isEmpty() && !device.backend().equals(required)) {
          throw new UnsupportedOperationException(
              "KITH_REQUIRE is \"%s\" and %s chooses %s; change one of the two"
                  .formatted(required, source, name));
        }
        LOG.log(System.Logger.Level.INFO, "using device {0}, chosen by {1}", device, source);
        return device;
      } catch (IllegalArgumentException e) {
        throw new IllegalArgumentException(source + ": " + e.getMessage(), e);
      }
    }
  }

  /**
   * Finds a device.
   *
   * @param name {@code "cpu"}; {@code "cuda"}, the first that can be used; {@code "cuda:1"}, the
   *     one of that number as {@code CUDA_VISIBLE_DEVICES} leaves them; {@code "emulated"}
   * @return the device
   * @throws IllegalArgumentException if no device has such a name; lists the known ones
   * @throws UnsupportedOperationException if the device is not there; says why
   */
  public static Device named(String name) {
    Objects.requireNonNull(name, "name");
    if (name.equals("cpu")) {
      return cpu();
    }
    if (name.equals("emulated")) {
      return Found.of(Library.EMULATED).device(0);
    }
    Matcher cuda = CUDA.matcher(name);
    if (!cuda.matches()) {
      throw new IllegalArgumentException(
          "no device is called \"" + name + "\"; names are " + String.join(", ", NAMES));
    }
    Found found = Found.of(Library.CUDA);
    if (cuda.group(1) != null) {
      return found.device(Integer.parseInt(cuda.group(1)));
    }
    List<Device> usable = found.usable();
    // Where none is usable the first one says why.
    return usable.isEmpty() ? found.device(0) : usable.getFirst();
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
   * Selects an instruction set; for tests and benchmarks. Results do not depend on it, products of
   * the plain kernel excepted: tiers without fused multiply-add round them twice.
   *
   * @param tier {@code "scalar"}, {@code "v2"}, {@code "v3"} or {@code "v4"}
   * @throws IllegalArgumentException if there is no such tier
   * @throws IllegalStateException if an operation is running
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
   * not depend on it.
   *
   * @param n threads, the caller included, 1 to 1024
   * @throws IllegalArgumentException if {@code n} is out of range
   * @throws IllegalStateException if an operation is running
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
    return new Queue(this, NativeQueue.create(device));
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
