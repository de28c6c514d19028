package dev.kith.lab;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Whole processes that are killed or interrupted, then resumed: nothing is lost, and the bits are
 * those of one run.
 */
class KillTest {
  private static final int KILLS = 20;

  @TempDir Path folder;

  private static String[] train(Path out, String... more) {
    List<String> all =
        new ArrayList<>(
            List.of(
                "train",
                "--data",
                "digits",
                "--model",
                "softmax",
                "--nodes",
                "6",
                "--rounds",
                "400",
                "--evaluate-every",
                "20",
                "--snapshot-every",
                "20ms",
                "--json",
                "--out",
                out.toString()));
    all.addAll(Arrays.asList(more));
    return all.toArray(new String[0]);
  }

  private Process start(String... arguments) throws IOException {
    return new ProcessBuilder(Cli.command(List.of(), arguments))
        .directory(folder.toFile())
        .redirectErrorStream(true)
        .redirectOutput(folder.resolve("output.txt").toFile())
        .start();
  }

  private static String parameters(Path out) throws IOException {
    JsonNode result = new ObjectMapper().readTree(out.resolve("result.json").toFile());
    return result.get("parametersSha256").asText();
  }

  private static void assertSameBits(Path expected, Path actual) throws IOException {
    assertEquals(parameters(expected), parameters(actual));
    assertEquals(
        Files.readString(expected.resolve("metrics.csv")),
        Files.readString(actual.resolve("metrics.csv")));
  }

  @Test
  void killedTwentyTimesAtRandomMomentsTheBitsAreThoseOfOneRun() throws Exception {
    Path whole = folder.resolve("whole");
    long begin = System.nanoTime();
    Cli.Result reference = Cli.fresh(folder, train(whole));
    assertEquals(0, reference.code(), reference.err());
    long milliseconds = (System.nanoTime() - begin) / 1_000_000;

    long seed = System.nanoTime();
    System.out.println("moments of the kills: seed " + seed);
    Random random = new Random(seed);
    int kills = 0;
    int finished = 0;
    while (kills < KILLS) {
      Path out = folder.resolve("killed-" + finished);
      Process process = start(train(out, "--resume"));
      if (process.waitFor(random.nextLong(milliseconds), TimeUnit.MILLISECONDS)) {
        assertEquals(0, process.exitValue(), Files.readString(folder.resolve("output.txt")));
        assertSameBits(whole, out);
        finished++;
      } else {
        process.destroyForcibly();
        assertEquals(137, process.waitFor(), "the process died of the kill");
        kills++;
      }
    }
    Path out = folder.resolve("killed-" + finished);
    Cli.Result last = Cli.fresh(folder, train(out, "--resume"));
    assertEquals(0, last.code(), last.err());
    assertSameBits(whole, out);
  }

  /**
   * A shell that starts jobs in the background makes them ignore SIGINT: then SIGTERM, which goes
   * the same way, is sent.
   */
  private static String interrupt() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("SigIgn:")) {
        long ignored = Long.parseUnsignedLong(line.substring(7).strip(), 16);
        return (ignored & 2) == 0 ? "INT" : "TERM";
      }
    }
    return "INT";
  }

  @Test
  void ctrlCWritesSnapshotAndReportAndTheRunGoesOnFromThere() throws Exception {
    Path whole = folder.resolve("whole");
    Path out = folder.resolve("stopped");
    String[] rounds = {"--rounds", "3000", "--evaluate-every", "50", "--snapshot-every", "1h"};
    Process process = start(train(out, rounds));
    Path metrics = out.resolve("metrics.csv");
    while (!Files.exists(metrics) || Files.readAllLines(metrics).size() < 4) {
      assertTrue(process.isAlive(), () -> "the run ended early");
      TimeUnit.MILLISECONDS.sleep(5);
    }
    String signal = interrupt();
    new ProcessBuilder("kill", "-" + signal, Long.toString(process.pid())).start().waitFor();
    assertEquals(signal.equals("INT") ? 130 : 143, process.waitFor());
    JsonNode stopped = new ObjectMapper().readTree(folder.resolve("output.txt").toFile());
    assertTrue(stopped.get("interrupted").asBoolean());
    long round = stopped.get("rounds").asLong();
    assertTrue(round >= 100 && round < 3000, "stopped after round " + round);
    assertTrue(Files.exists(out.resolve("snapshot.kith")));
    assertTrue(Files.readString(out.resolve("report.html")).contains("Stopped after"));

    List<String> resumed = new ArrayList<>(List.of(rounds));
    resumed.add("--resume");
    Cli.Result rest = Cli.fresh(folder, train(out, resumed.toArray(new String[0])));
    assertEquals(0, rest.code(), rest.err());
    assertEquals("", rest.err());
    Cli.Result reference =
        Cli.fresh(folder, Cli.command(List.of(), train(whole, rounds)), Map.of());
    assertEquals(0, reference.code(), reference.err());
    assertSameBits(whole, out);
  }
}
