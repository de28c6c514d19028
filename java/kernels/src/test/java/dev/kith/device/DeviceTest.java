package dev.kith.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.internal.ChildJvm;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DeviceTest {
  @TempDir Path folder;

  private static final List<String> ALLOWED = List.of("--enable-native-access=ALL-UNNAMED");

  /** Says what a fresh JVM finds. */
  static final class Main {
    private Main() {}

    public static void main(String[] args) {
      System.out.println("available " + Device.available().size());
      System.out.println("reason " + Device.unavailableReason());
      try {
        System.out.println("best " + Device.best().name());
        System.out.println("tier " + Device.cpu().tier() + ".");
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
    assertEquals(cpu, Device.available().getFirst());
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
    for (String name : List.of("cuda:", "cuda:x", "cuda:-1", "CPU", "cuda:12345678901")) {
      assertThrows(IllegalArgumentException.class, () -> Device.unavailableReason(name));
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
        "reason device cpu: the JVM denies native access: start it with --enable-native-access=ALL-UNNAMED",
        "UnsupportedOperationException: device cpu: the JVM denies");
  }

  @Test
  void aLibraryThatDoesNotLoadLeavesNoDevice() throws Exception {
    contains(
        ChildJvm.run(Main.class, ALLOWED, Map.of("KITH_LIBRARY", "/nowhere/libkith.so")),
        "available 0",
        "reason device cpu: the environment variable KITH_LIBRARY names /nowhere/libkith.so");
  }

  @Test
  void anUnknownTierIsAReason() throws Exception {
    contains(
        ChildJvm.run(Main.class, ALLOWED, Map.of("KITH_MAX_ISA", "mmx")),
        "available 0",
        "reason device cpu: ",
        "mmx",
        "(library /");
  }

  @Test
  void theBestTierAnswersUnlessItIsCapped() throws Exception {
    Device cpu = Device.cpu();
    String before = cpu.tier();
    String best = "scalar";
    for (String tier : List.of("v2", "v3", "v4")) {
      try {
        cpu.tier(tier);
        best = tier;
      } catch (UnsupportedOperationException e) {
        break;
      }
    }
    cpu.tier(before);
    contains(ChildJvm.run(Main.class, ALLOWED, Map.of("KITH_MAX_ISA", "")), "tier " + best + ".");
    contains(ChildJvm.run(Main.class, ALLOWED, Map.of("KITH_MAX_ISA", "scalar")), "tier scalar.");
  }

  /** What a fresh JVM says with a CUDA library, or a setting, that this machine need not have. */
  private static String fresh(Map<String, String> environment, String... options) throws Exception {
    List<String> all = new ArrayList<>(ALLOWED);
    all.addAll(List.of(options));
    return ChildJvm.run(Main.class, all, environment);
  }

  private static Map<String, String> with(Path library, String... more) {
    Map<String, String> environment = new HashMap<>();
    environment.put("KITH_CUDA_LIBRARY", library.toString());
    for (int i = 0; i < more.length; i += 2) {
      environment.put(more[i], more[i + 1]);
    }
    return environment;
  }

  @Test
  void withoutCudaTheBestDeviceIsTheCpuAndOneLineSaysWhy() throws Exception {
    Path library = StandIn.failing(folder, "the driver is too old: 450 found, 525 needed");
    contains(
        fresh(with(library)),
        "available 1",
        "reason \n",
        "using device cpu; device cuda:0: the driver is too old: 450 found, 525 needed (library "
            + library,
        "best cpu");
    contains(
        fresh(with(folder.resolve("none.so"))),
        "using device cpu; device cuda:0: the environment variable KITH_CUDA_LIBRARY names",
        "best cpu");
  }

  @Test
  void whatIsRequiredIsNotReplaced() throws Exception {
    Path library = StandIn.failing(folder, "no driver");
    contains(fresh(with(library, "KITH_REQUIRE", "cpu")), "best cpu");
    contains(
        fresh(with(library, "KITH_REQUIRE", "cuda")),
        "available 1",
        "UnsupportedOperationException: KITH_REQUIRE is \"cuda\": device cuda:0: no driver");
    contains(
        fresh(with(library, "KITH_REQUIRE", "gpu")),
        "IllegalArgumentException: KITH_REQUIRE is \"gpu\"");
    contains(
        fresh(with(library, "KITH_REQUIRE", "cuda", "KITH_DEVICE", "cpu")),
        "KITH_REQUIRE is \"cuda\" and KITH_DEVICE chooses cpu; change one of the two");
  }

  @Test
  void theFirstCudaDeviceThatOpensIsTheBest() throws Exception {
    Path library = StandIn.devices(folder, 3, 0);
    contains(
        fresh(with(library, "KITH_REQUIRE", "cuda")),
        "available 3",
        "using device Device[cuda:1, ",
        library.toString(),
        "best cuda:1");
    contains(fresh(with(library, "KITH_DEVICE", "cuda")), "chosen by KITH_DEVICE", "best cuda:1");
  }

  @Test
  void aSettingChoosesTheDevice() throws Exception {
    Path library = StandIn.devices(folder, 3, 0);
    contains(
        fresh(with(library, "KITH_DEVICE", "cpu"), "-Ddev.kith.device=cuda:2"),
        "chosen by the property dev.kith.device",
        "best cuda:2");
    contains(
        fresh(with(library), "-Ddev.kith.device=cuda:0"),
        "UnsupportedOperationException: device cuda:0: device 0 is of sm_70; Kith needs sm_75");
    contains(
        fresh(with(library, "KITH_DEVICE", "cuda:3")),
        "UnsupportedOperationException: device cuda:3: there is no device 3");
    contains(
        fresh(with(library, "KITH_DEVICE", "gpu")),
        "IllegalArgumentException: KITH_DEVICE: no device is called \"gpu\"");
  }

  @Test
  void aMachineOfOldDevicesSaysSo() throws Exception {
    contains(
        fresh(with(StandIn.devices(folder, 1, 0))),
        "available 1",
        "using device cpu; device cuda:0: device 0 is of sm_70",
        "best cpu");
  }

  @Test
  void aFlightRecordingShowsTheFallback() throws Exception {
    Path library = StandIn.failing(folder, "no driver");
    Path recording = folder.resolve("fallback.jfr");
    contains(
        fresh(with(library), "-XX:StartFlightRecording=filename=" + recording + ",settings=none"),
        "best cpu");
    List<RecordedEvent> events =
        RecordingFile.readAllEvents(recording).stream()
            .filter(event -> event.getEventType().getName().equals("dev.kith.Fallback"))
            .toList();
    assertEquals(1, events.size());
    assertEquals("cuda", events.getFirst().getString("wanted"));
    assertEquals("cpu", events.getFirst().getString("taken"));
    contains(events.getFirst().getString("reason"), "no driver");
  }
}
