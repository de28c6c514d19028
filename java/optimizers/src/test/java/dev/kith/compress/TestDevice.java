package dev.kith.compress;

import dev.kith.device.Device;

/**
 * The device of the suites that run on others too: the property {@code kith.test.device}, else the
 * CPU.
 */
public final class TestDevice {
  private static final Device DEVICE = Device.named(System.getProperty("kith.test.device", "cpu"));

  private TestDevice() {}

  /** What the suites run on. */
  public static Device chosen() {
    return DEVICE;
  }
}
