package dev.kith.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.internal.ChildJvm;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class DeviceTest {
  private static final List<String> ALLOWED = List.of("--enable-native-access=ALL-UNNAMED");

  /** Says what a fresh JVM finds. */
  static final class Main {
    private Main() {}

    public static void main(String[] args) {
      System.out.println("available " + Device.available().size());
      System.out.println("reason " + Device.unavailableReason());
      try {
        System.out.println("best " + Device.best().name());
      } catch (UnsupportedOperationException | IllegalArgumentException e) {
        System.out.println(e);
      }
      if (args.length > 0) {
        try (Queue queue = Device.cpu().newQueue();
            DeviceMatrix matrix = DeviceMatrix.allocate(queue, 2, 3, DType.F64);
            DeviceMatrix view = matrix.row(1)) {
          System.out.println(Device.cpu().memory().creationSites());
          System.out.println(Device.cpu().threads() + " threads, " + view.rows() + " row");
        }
        System.out.println(Device.cpu().memory().creationSites());
      }
    }
  }

  private static void contains(String text, String... parts) {
    for (String part : parts) {
      assertTrue(text.contains(part), () -> "\"" + part + "\" is not in: " + text);
    }
  }

  @Test
  void theCpuDescribesItself() {
    Device cpu = Device.cpu();
    assertEquals("", Device.unavailableReason());
    assertEquals(List.of(cpu), Device.available());
    assertEquals(cpu, Device.named("cpu"));
    assertEquals("cpu", cpu.name());
    assertEquals("cpu", cpu.backend());
    assertTrue(List.of("scalar", "v2", "v3", "v4").contains(cpu.tier()), cpu.tier());
    assertTrue(cpu.buildInfo().startsWith("cpu "), cpu.buildInfo());
    assertTrue(!cpu.description().isBlank());
    assertTrue(cpu.libraryPath().endsWith(".so"), cpu.libraryPath());
    assertTrue(cpu.memory().totalBytes() > 0);
  }

  @Test
  void namesThatNoDeviceHasListTheKnownOnes() {
    IllegalArgumentException unknown =
        assertThrows(IllegalArgumentException.class, () -> Device.named("tpu"));
    contains(unknown.getMessage(), "\"tpu\"", "cpu", "cuda", "emulated");
    for (String name : List.of("cuda", "cuda:1", "emulated")) {
      UnsupportedOperationException absent =
          assertThrows(UnsupportedOperationException.class, () -> Device.named(name));
      contains(absent.getMessage(), "device " + name, "this version of Kith has no");
    }
  }

  @Test
  void threadsAndTierCanBeChanged() {
    Device cpu = Device.cpu();
    int threads = cpu.threads();
    String tier = cpu.tier();
    try {
      cpu.threads(3);
      assertEquals(3, cpu.threads());
      cpu.tier("scalar");
      assertEquals("scalar", cpu.tier());
    } finally {
      cpu.threads(threads);
      cpu.tier(tier);
    }
    assertThrows(IllegalArgumentException.class, () -> cpu.threads(0));
    assertThrows(IllegalArgumentException.class, () -> cpu.threads(1025));
    assertThrows(IllegalArgumentException.class, () -> cpu.tier("v9"));
  }

  @Test
  void memoryCountsWhatIsOpen() {
    MemoryReport before = Device.cpu().memory();
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix matrix = DeviceMatrix.allocate(queue, 100, 10, DType.F64)) {
      DeviceMatrix view = matrix.row(3);
      MemoryReport during = Device.cpu().memory();
      assertEquals(before.liveMatrices() + 2, during.liveMatrices());
      assertTrue(during.liveBytes() >= before.liveBytes() + 8000);
      assertEquals(List.of(), during.creationSites());
      view.close();
    }
    MemoryReport after = Device.cpu().memory();
    assertEquals(before.liveMatrices(), after.liveMatrices());
    assertEquals(before.liveBytes(), after.liveBytes());
  }

  @Test
  void checkedRunsListWhereMatricesWereMade() throws Exception {
    String output =
        ChildJvm.run(Main.class, ALLOWED, Map.of("KITH_CHECKED", "1", "KITH_THREADS", "3"), "x");
    contains(
        output,
        "[1 x 3 F64 created at dev.kith.device.DeviceTest$Main.main(DeviceTest.java:",
        "2 x 3 F64 created at dev.kith.device.DeviceTest$Main.main(DeviceTest.java:",
        "3 threads",
        "\n[]");
  }

  @Test
  void deniedNativeAccessIsAReasonWithItsRemedy() throws Exception {
    contains(
        ChildJvm.run(Main.class, List.of("--illegal-native-access=deny"), Map.of()),
        "available 0",
        "reason the JVM denies native access: start it with --enable-native-access=ALL-UNNAMED",
        "UnsupportedOperationException: device cpu: the JVM denies");
  }

  @Test
  void aLibraryThatDoesNotLoadLeavesNoDevice() throws Exception {
    contains(
        ChildJvm.run(Main.class, ALLOWED, Map.of("KITH_LIBRARY", "/nowhere/libkith.so")),
        "available 0",
        "reason the environment variable KITH_LIBRARY names /nowhere/libkith.so");
  }

  @Test
  void anUnknownTierIsAReason() throws Exception {
    contains(
        ChildJvm.run(Main.class, ALLOWED, Map.of("KITH_MAX_ISA", "mmx")),
        "available 0",
        "cannot open its device",
        "mmx");
  }

  @Test
  void whatIsRequiredIsNotReplaced() throws Exception {
    contains(ChildJvm.run(Main.class, ALLOWED, Map.of("KITH_REQUIRE", "cpu")), "best cpu");
    contains(
        ChildJvm.run(Main.class, ALLOWED, Map.of("KITH_REQUIRE", "cuda")),
        "available 1",
        "UnsupportedOperationException: device cuda: this version of Kith has no CUDA library");
    contains(
        ChildJvm.run(Main.class, ALLOWED, Map.of("KITH_REQUIRE", "gpu")),
        "IllegalArgumentException: KITH_REQUIRE is \"gpu\"");
  }

  @Test
  void bestSaysWhyItIsTheCpu() throws Exception {
    contains(
        ChildJvm.run(Main.class, ALLOWED, Map.of()),
        "using device cpu: this version of Kith has no CUDA library",
        "best cpu");
  }
}
