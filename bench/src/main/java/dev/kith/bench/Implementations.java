package dev.kith.bench;

import dev.kith.device.Device;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/** All implementations that run inside a JVM, by name. */
final class Implementations {
  private static final Map<String, Supplier<Implementation>> ALL = new LinkedHashMap<>();

  static {
    ALL.put("kith", KithKernels::new);
    ALL.put("twin", TwinLoop::new);
    ALL.put("memcpy", Memcpy::new);
    ALL.put("java", PlainJava::new);
    ALL.put("vector", VectorApi::new);
    ALL.put("nd4j", Nd4jPeer::new);
    ALL.put("libtorch", Libtorch::new);
    ALL.put("openblas", OpenBlas::new);
  }

  private Implementations() {}

  static Iterable<String> names() {
    return ALL.keySet();
  }

  /** Those to compare on a device: elsewhere than on the CPU the peers and memcpy say nothing. */
  static Iterable<String> names(Device device) {
    return device.backend().equals("cpu") ? names() : List.of("kith", "twin");
  }

  static Implementation named(String name) {
    Supplier<Implementation> implementation = ALL.get(name);
    if (implementation == null) {
      throw new IllegalArgumentException(
          "there is no implementation '"
              + name
              + "'; the known ones are "
              + String.join(", ", ALL.keySet()));
    }
    return implementation.get();
  }
}
