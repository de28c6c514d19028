package dev.kith.device;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.kith.internal.ChildJvm;
import dev.kith.internal.Library;
import dev.kith.internal.NativeDevices;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Memory;
import dev.kith.kernel.Mixing;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * What goes wrong with drivers, devices and their memory: the CUDA library, compiled for the CPU,
 * in processes whose environment brings each fault about.
 */
class EmulatedDeviceTest {
  private static final List<String> ALLOWED = List.of("--enable-native-access=ALL-UNNAMED");

  /** Does what its argument names on the emulated device, and writes what it is told. */
  static final class Main {
    private Main() {}

    public static void main(String[] args) {
      System.out.println("reason " + Device.unavailableReason("emulated"));
      Device device;
      try {
        device = Device.named("emulated");
      } catch (UnsupportedOperationException e) {
        System.out.println(e);
        return;
      }
      try (Queue queue = device.newQueue()) {
        switch (args[0]) {
          case "memory" -> outOfMemory(device, queue);
          case "gather" -> gather(queue);
          case "devices" -> devices(queue);
          case "ordinals" -> ordinals(queue);
          default -> System.out.println("opened " + device.name());
        }
      }
    }

    private static void outOfMemory(Device device, Queue queue) {
      long before = device.memory().liveBytes();
      try (DeviceMatrix large = DeviceMatrix.allocate(queue, 1, 48 << 20, DType.F32)) {
        System.out.println("allocated " + large);
      } catch (RuntimeException | OutOfMemoryError e) {
        System.out.println(e);
      }
      System.out.println("leaked " + (device.memory().liveBytes() - before));
      try (DeviceMatrix small = DeviceMatrix.row(queue, 1f, 2f)) {
        System.out.println("goes on " + small.toFloats()[1]);
      }
    }

    private static void gather(Queue queue) {
      try (DeviceMatrix from = DeviceMatrix.row(queue, 1f, 2f);
          DeviceMatrix to = DeviceMatrix.row(queue, 0f, 0f);
          DeviceMatrix index = DeviceMatrix.allocate(queue, 1, 1, DType.I32)) {
        Memory.fill(index, 7);
        try {
          Memory.gatherRows(from, index, to);
          System.out.println("queued");
          queue.sync();
          System.out.println("done");
        } catch (RuntimeException e) {
          System.out.println(e);
        }
        Memory.fill(to, 3);
        System.out.println("goes on " + to.toFloats()[1]);
      }
    }

    private static void devices(Queue queue) {
      try (Queue cpu = Device.cpu().newQueue();
          DeviceMatrix here = DeviceMatrix.row(queue, 1f);
          DeviceMatrix there = DeviceMatrix.row(cpu, 1f)) {
        Mixing.combine(Expression.outer(there), here);
      } catch (IllegalArgumentException e) {
        System.out.println(e);
      }
    }

    /** The device of the queue is number 0. */
    private static void ordinals(Queue queue) {
      NativeDevices library = NativeDevices.load(Library.EMULATED);
      for (int ordinal : new int[] {-1, 2, 64, Integer.MAX_VALUE}) {
        try {
          library.open(ordinal);
          System.out.println("opened number " + ordinal);
        } catch (UnsupportedOperationException e) {
          System.out.println(e.getMessage());
        }
      }
      try (Queue other = new Device(library.open(1)).newQueue();
          DeviceMatrix here = DeviceMatrix.row(queue, 1f);
          DeviceMatrix there = DeviceMatrix.row(other, 3f)) {
        try {
          Mixing.combine(Expression.outer(there), here);
        } catch (IllegalArgumentException e) {
          System.out.println(e);
        }
        System.out.println("still " + here.toFloats()[0] + " and " + there.toFloats()[0]);
      }
    }
  }

  @BeforeEach
  void theLibraryIsBuilt() {
    String reason = Device.unavailableReason("emulated");
    assumeTrue(reason.isEmpty(), reason);
  }

  private static String run(String action, Map<String, String> environment) throws Exception {
    return ChildJvm.run(Main.class, ALLOWED, environment, action);
  }

  private static void contains(String text, String... parts) {
    for (String part : parts) {
      assertTrue(text.contains(part), () -> "\"" + part + "\" is not in: " + text);
    }
  }

  @Test
  void aDeviceOpens() throws Exception {
    contains(run("open", Map.of()), "reason \n", "opened emulated");
  }

  @Test
  void aMachineWithoutADriverIsTold() throws Exception {
    contains(
        run("open", Map.of("KITH_EMULATION_DRIVER", "0")),
        "reason device emulated: ",
        "no NVIDIA driver is loaded (libcuda.so.1); install a driver for CUDA 13.0 or later",
        "UnsupportedOperationException: device emulated: ");
  }

  @Test
  void aDriverThatIsTooOldIsNamedWithBothVersions() throws Exception {
    contains(
        run("open", Map.of("KITH_EMULATION_DRIVER", "12040")),
        "the NVIDIA driver supports CUDA 12.4 and this library needs 13.0; upgrade the driver");
  }

  @Test
  void aDeviceThatIsTooOldIsNamedWithItsArchitecture() throws Exception {
    contains(
        run("open", Map.of("KITH_EMULATION_ARCHITECTURE", "70")),
        "is sm_70 and this library needs sm_75 or later; use another device or the CPU");
  }

  @Test
  void aDriverWithoutDevicesIsTold() throws Exception {
    contains(
        run("open", Map.of("KITH_EMULATION_DEVICES", "0")),
        "the NVIDIA driver shows no device 0; check nvidia-smi and CUDA_VISIBLE_DEVICES");
  }

  @Test
  void aFullDeviceSaysWhatWasAskedAndTheProcessGoesOn() throws Exception {
    contains(
        run("memory", Map.of("KITH_EMULATION_MEMORY_MB", "64")),
        "201326592 bytes",
        "free",
        "67108864",
        "leaked 0\n",
        "goes on 2.0");
  }

  @Test
  void aFaultOfQueuedWorkIsReportedAtTheNextWait() throws Exception {
    String output = run("gather", Map.of());
    contains(output, "queued\n", "index 7", "goes on 3.0");
    assertFalse(output.contains("done"), output);
  }

  @Test
  void aCheckedRunReportsItAtTheCall() throws Exception {
    String output = run("gather", Map.of("KITH_CHECKED", "1"));
    contains(output, "index 7", "goes on 3.0");
    assertFalse(output.contains("queued"), output);
  }

  @Test
  void anOrdinalThatNoDeviceHasIsToldWithTheRange() throws Exception {
    String output = run("ordinals", Map.of("KITH_EMULATION_DEVICES", "2"));
    for (String ordinal : List.of("-1", "2", "64", "2147483647")) {
      contains(
          output,
          "there is no device " + ordinal + "; this machine has the devices 0 to 1 (library ");
    }
    assertFalse(output.contains("opened number"), output);
  }

  @Test
  void aMatrixOfTheOtherOfTwoDevicesIsRefused() throws Exception {
    contains(
        run("ordinals", Map.of("KITH_EMULATION_DEVICES", "2")),
        "IllegalArgumentException: ",
        "still 1.0 and 3.0");
  }

  @Test
  void aMatrixOfAnotherDeviceIsRefused() throws Exception {
    contains(run("devices", Map.of()), "IllegalArgumentException: ", "cpu", "emulated");
  }
}
