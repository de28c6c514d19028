package dev.kith.lab;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DataAndCompareCommandTest {
  @TempDir Path folder;

  private static JsonNode json(Cli.Result result) throws Exception {
    assertEquals(0, result.code(), result.err());
    return new ObjectMapper().readTree(result.out());
  }

  @Test
  void dataListsWhatShips() throws Exception {
    JsonNode list = json(Cli.here("data", "--json"));
    assertEquals(2, list.size());
    assertEquals("mnist", list.get(0).get("name").asText());
    assertEquals(10_000, list.get(0).get("samples").asInt());
    Cli.Result text = Cli.here("data");
    assertTrue(text.out().contains("mnist") && text.out().contains("digits"), text.out());
  }

  @Test
  void dataDescribesAFile() throws Exception {
    Path file =
        Files.writeString(folder.resolve("my.csv"), "kind,u,v\ncat,1,2\ndog,3,4\ncat,5,6\n");
    JsonNode facts = json(Cli.here("data", file.toString(), "--label", "kind", "--json"));
    assertEquals(3, facts.get("samples").asInt());
    assertEquals(2, facts.get("features").asInt());
    assertEquals(2, facts.get("labels").get("cat").asInt());
    // sha256sum of the same bytes.
    assertEquals(
        "2eaedfe871cbe57ba9a1928812cf7457200c67109985b91531a7eb91261833a0",
        facts.get("sha256").asText());
    assertTrue(Cli.here("data", file.toString(), "--label", "kind").out().contains("label cat"));
  }

  private Cli.Result compare(String... more) {
    List<String> all =
        new ArrayList<>(
            List.of(
                "compare",
                "--data",
                "digits",
                "--model",
                "softmax",
                "--nodes",
                "4",
                "--rounds",
                "3",
                "--out",
                folder.resolve("out").toString()));
    all.addAll(List.of(more));
    return Cli.here(all.toArray(new String[0]));
  }

  @Test
  void compareRefusesBeforeTheFirstRunWhatALaterOneCannotUse() {
    Cli.Result result = compare("--algorithm", "dsgd,d2");
    assertEquals(2, result.code());
    assertTrue(result.err().contains("--weights lazy:metropolis"), result.err());
    assertFalse(Files.exists(folder.resolve("out")), "nothing has run");
  }

  @Test
  void compareGoesOnWithoutARunThatDiverges() throws Exception {
    Cli.Result result = compare("--step-size", "0.3,1e38,0.2", "--json");
    assertEquals(1, result.code());
    assertEquals(1, result.err().lines().count(), result.err());
    assertTrue(result.err().contains("run 2 is left out: "), result.err());
    JsonNode list = new ObjectMapper().readTree(result.out());
    assertEquals(2, list.size());
    assertEquals("0.2", list.get(1).get("flags").get("--step-size").asText());
    assertTrue(Files.exists(folder.resolve("out/report.html")));
    assertTrue(Files.exists(folder.resolve("out/run-3/report.html")));
    Cli.Result again = compare("--step-size", "0.3,1e38,0.2");
    assertEquals(2, again.code());
    assertTrue(again.err().contains("run-2 holds an unfinished run"), again.err());
    Cli.Result none = compare("--step-size", "1e38,2e38", "--overwrite");
    assertEquals(1, none.code());
    assertEquals("", none.out());
  }

  @Test
  void compareRunsEveryCombinationAndPutsThemSideBySide() throws Exception {
    Path out = folder.resolve("compare");
    JsonNode list =
        json(
            Cli.here(
                "compare",
                "--data",
                "digits",
                "--model",
                "softmax",
                "--nodes",
                "4",
                "--rounds",
                "6",
                "--algorithm",
                "dsgd,central",
                "--topology",
                "ring,complete",
                "--out",
                out.toString(),
                "--json"));
    assertEquals(4, list.size());
    assertEquals("dsgd", list.get(0).get("algorithm").asText());
    assertEquals("complete", list.get(1).get("topology").asText());
    assertEquals("central", list.get(3).get("algorithm").asText());
    String report = Files.readString(out.resolve("report.html"));
    assertTrue(report.contains("Comparison of 4 runs"));
    assertTrue(report.contains("dsgd, complete") && report.contains("central, ring"));
    assertTrue(Files.exists(out.resolve("accuracy-bytes.png")));
    assertTrue(Files.exists(out.resolve("run-4/report.html")));
    assertTrue(Files.exists(out.resolve("graph-2.png")), "two networks were used");
  }
}
