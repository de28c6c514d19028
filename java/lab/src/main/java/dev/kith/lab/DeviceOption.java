package dev.kith.lab;

import picocli.CommandLine.Option;

/** The flag of every command that computes. */
public final class DeviceOption {
  @Option(
      names = "--device",
      paramLabel = "NAME",
      defaultValue = "${sys:dev.kith.device:-${env:KITH_DEVICE:-cpu}}",
      description =
          "cpu, cuda (the first that can be used), cuda:N, or emulated (the CUDA kernels on the CPU, slow, for tests). KITH_DEVICE sets the default, else it is cpu.")
  private String name;

  /** Made by picocli. */
  public DeviceOption() {}

  /** A name for {@code Device.named}; {@code compare} takes a list of them. */
  public String name() {
    return name;
  }
}
