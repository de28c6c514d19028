package dev.kith.lab;

import dev.kith.device.Device;
import dev.kith.kernel.Product;
import dev.kith.lab.report.Sizes;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * {@code doctor}: what Kith found on this machine, and why it does not use what it does not use.
 */
@Command(
    name = "doctor",
    description =
        "Shows the CPU tier, devices, libraries and versions, and why something is not used.",
    sortOptions = false)
final class DoctorCommand implements Callable<Integer> {
  @Option(
      names = "--json",
      description = "Print one JSON document on standard output and nothing else there.")
  private boolean json;

  @Mixin
  @SuppressWarnings("UnusedVariable") // picocli fills it
  private CommonOptions common;

  @Override
  public Integer call() {
    List<Device> devices = Device.available();
    Optional<Device> cpu = devices.stream().filter(d -> d.backend().equals("cpu")).findFirst();
    Optional<Device> cuda = devices.stream().filter(d -> d.backend().equals("cuda")).findFirst();
    String blas = cpu.isEmpty() ? "" : blas(cpu.get(), "OpenBLAS");
    List<Map<String, Object>> found = new ArrayList<>();
    for (Device device : devices) {
      Map<String, Object> facts = new LinkedHashMap<>();
      facts.put("name", device.name());
      facts.put("description", device.description());
      facts.put("backend", device.backend());
      facts.put("tier", device.tier());
      facts.put("threads", device.threads());
      facts.put("memoryBytes", device.memory().totalBytes());
      facts.put("library", device.libraryPath());
      facts.put("build", device.buildInfo());
      found.add(facts);
    }
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("cpuTier", cpu.map(Device::tier).orElse(null));
    report.put("devices", found);
    report.put(
        "cuda",
        cuda.map(Device::description)
            .orElseGet(() -> "not used: " + Device.unavailableReason("cuda")));
    report.put(
        "cublas",
        cuda.map(device -> blas(device, "cuBLAS"))
            .orElse("not used: there is no CUDA device that can be used"));
    report.put("mpi", "not used: this version of Kith has no MPI transport");
    report.put(
        "java",
        "%s (%s, %s)"
            .formatted(
                Runtime.version(),
                System.getProperty("java.vendor"),
                System.getProperty("java.home")));
    report.put("version", Kith.version());
    report.put("problem", cpu.isEmpty() ? Device.unavailableReason() : null);
    report.put("blas", blas);
    report.put(
        "system",
        "%s %s, %d processors, %d MiB heap at most"
            .formatted(
                System.getProperty("os.name"),
                System.getProperty("os.arch"),
                Runtime.getRuntime().availableProcessors(),
                Runtime.getRuntime().maxMemory() >> 20));
    report.put("jar", jar());
    if (json) {
      System.out.print(Json.write(report));
    } else {
      print(report, devices);
    }
    return devices.isEmpty() ? 3 : 0;
  }

  private static String blas(Device device, String name) {
    return Blas.enable(device)
        .map(why -> "not used: " + why)
        .orElseGet(() -> name + ", " + Product.blas(device));
  }

  private static String jar() {
    try {
      return Path.of(Kith.class.getProtectionDomain().getCodeSource().getLocation().toURI())
          .toString();
    } catch (URISyntaxException e) {
      return "unknown";
    }
  }

  private static void print(Map<String, Object> report, List<Device> devices) {
    System.out.printf("Kith       %s%n", report.get("version"));
    System.out.printf("Java       %s%n", report.get("java"));
    System.out.printf("system     %s%n", report.get("system"));
    for (Device device : devices) {
      System.out.printf(
          "device     %s: %s, tier %s, %s%n",
          device.name(),
          device.description(),
          device.tier(),
          device.backend().equals("cpu")
              ? device.threads() + " threads"
              : Sizes.bytes((double) device.memory().totalBytes()));
      System.out.printf("library    %s%n", device.libraryPath());
      System.out.printf("           %s%n", device.buildInfo());
    }
    if (report.get("problem") == null) {
      System.out.printf("products   %s%n", report.get("blas"));
    } else {
      System.out.printf("no CPU     %s%n", report.get("problem"));
    }
    System.out.printf("CUDA       %s%n", report.get("cuda"));
    System.out.printf("cuBLAS     %s%n", report.get("cublas"));
    System.out.printf("MPI        %s%n", report.get("mpi"));
    System.out.printf("jar        %s%n", report.get("jar"));
  }
}
