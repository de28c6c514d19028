package dev.kith.lab;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.kith.device.Device;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A device that is lost in the middle of a run, which the emulation brings about. */
class LostDeviceTest {
  @TempDir Path folder;

  @BeforeAll
  static void emulated() {
    String reason = Device.unavailableReason("emulated");
    assumeTrue(reason.isEmpty(), reason);
  }

  private static List<String> train(Path out, String... more) {
    List<String> all =
        new ArrayList<>(
            List.of(
                "train",
                "--device",
                "emulated",
                "--data",
                "digits",
                "--model",
                "softmax",
                "--nodes",
                "4",
                "--rounds",
                "12",
                "--evaluate-every",
                "3",
                "--out",
                out.toString()));
    all.addAll(Arrays.asList(more));
    return Cli.command(List.of(), all.toArray(new String[0]));
  }

  private static String metrics(Path out) throws IOException {
    return Files.readString(out.resolve("metrics.csv"));
  }

  /** In a round, in a measurement, in a snapshot: wherever the operations say so. */
  @ParameterizedTest
  @CsvSource({"1h, 250", "1h, 300", "1ms, 250", "1ms, 300"})
  void theRunEndsWithItsLastSnapshotAndGoesOnFromThere(String every, String after)
      throws Exception {
    Path whole = folder.resolve("whole");
    Cli.Result reference = Cli.fresh(folder, train(whole), Map.of());
    assertEquals(0, reference.code(), reference.err());

    Path out = folder.resolve("lost");
    List<String> command = train(out, "--snapshot-every", every);
    Cli.Result lost = Cli.fresh(folder, command, Map.of("KITH_EMULATION_LOST_AFTER", after));
    assertEquals(3, lost.code(), lost.out() + lost.err());
    assertEquals(1, lost.err().lines().count(), lost.err());
    assertTrue(lost.err().startsWith("kith: "), lost.err());
    assertTrue(lost.err().contains("cudaErrorLaunchFailure"), lost.err());
    String snapshot = out.resolve("snapshot.kith") + ", and --resume goes on from it";
    assertTrue(lost.err().contains("the last snapshot is " + snapshot), lost.err());

    List<String> resumed = new ArrayList<>(command);
    resumed.add("--resume");
    Cli.Result rest = Cli.fresh(folder, resumed, Map.of());
    assertEquals(0, rest.code(), rest.err());
    assertEquals("", rest.err());
    assertEquals(metrics(whole), metrics(out));
  }
}
