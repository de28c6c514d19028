package dev.kith.lab;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The command line in a fresh process: what goes to which stream, exit codes, and the machine's
 * limits.
 */
class CommandLineTest {
  private static final String[] SMALL = {
    "train", "--data", "digits", "--model", "softmax", "--nodes", "4", "--rounds", "20"
  };

  private static final List<String> TRAIN_KEYS =
      List.of(
          "algorithm",
          "topology",
          "nodes",
          "rounds",
          "seconds",
          "bytesSent",
          "trainLoss",
          "testAccuracy",
          "meanModelAccuracy",
          "consensusDistance",
          "device");

  @TempDir Path folder;

  private static String[] small(String... more) {
    List<String> all = new ArrayList<>(List.of(SMALL));
    all.addAll(List.of(more));
    return all.toArray(new String[0]);
  }

  /** The whole text must be one document. */
  private static JsonNode json(String text) throws IOException {
    return new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).readTree(text);
  }

  private static void assertOneSentence(String err) {
    assertTrue(err.startsWith("kith: "), err);
    assertEquals(1, err.lines().count(), err);
    assertFalse(err.contains("\tat "), err);
  }

  @Test
  void trainPrintsOneJsonDocumentAndWritesItsFiles() throws Exception {
    Cli.Result result = Cli.fresh(folder, small("--json"));
    assertEquals(0, result.code(), result.err());
    assertEquals("", result.err(), "no progress bar where standard error is no terminal");
    JsonNode document = json(result.out());
    List<String> keys = new ArrayList<>();
    document.fieldNames().forEachRemaining(keys::add);
    assertEquals(TRAIN_KEYS, keys.subList(0, TRAIN_KEYS.size()));
    assertEquals("dsgd", document.get("algorithm").asText());
    assertEquals("ring", document.get("topology").asText());
    assertEquals(4, document.get("nodes").asInt());
    assertEquals(20, document.get("rounds").asInt());
    assertEquals("cpu", document.get("device").asText());
    // Each of 4 nodes sends 65 x 10 floats to 2 neighbours in each of 20 rounds.
    assertEquals(20L * 4 * 2 * 650 * 4, document.get("bytesSent").asLong());
    assertTrue(document.get("testAccuracy").asDouble() > 0.8, result.out());

    Path out = folder.resolve("results/dsgd-ring");
    assertEquals(document, json(Files.readString(out.resolve("result.json"))));
    List<String> metrics = Files.readAllLines(out.resolve("metrics.csv"));
    assertEquals(
        "round,messages,bytes,train_loss,mean_model_train_loss,test_accuracy,worst_accuracy,mean_model_accuracy,test_loss,mean_model_test_loss,consensus_distance,alive_nodes,compression_ratio,residual_norm,sharpness",
        metrics.getFirst());
    assertEquals(22, metrics.size(), "the start and all 20 rounds");
    String[] last = metrics.getLast().split(",");
    assertEquals(document.get("testAccuracy").asDouble(), Double.parseDouble(last[5]));
    for (String picture :
        List.of(
            "accuracy-rounds",
            "accuracy-bytes",
            "loss-rounds",
            "loss-bytes",
            "consensus",
            "graph")) {
      assertTrue(Files.size(out.resolve(picture + ".png")) > 5000, picture);
    }
    assertTrue(Files.readString(out.resolve("report.html")).contains("Spectral gap"));
  }

  @Test
  void errorsAreOneSentenceAndTheExitCodeTellsTheKind() throws Exception {
    Cli.Result usage = Cli.fresh(folder, small("--topology", "rign"));
    assertEquals(2, usage.code());
    assertOneSentence(usage.err());
    assertTrue(usage.err().contains("'rign'") && usage.err().contains("torus:AxB"), usage.err());
    assertEquals("", usage.out());

    Cli.Result debug =
        Cli.fresh(folder, Cli.command(List.of(), small("--nodes", "0")), Map.of("KITH_DEBUG", "1"));
    assertEquals(2, debug.code());
    assertTrue(debug.err().contains("\tat dev.kith.lab"), debug.err());

    Cli.Result library =
        Cli.fresh(
            folder,
            Cli.command(List.of("-Ddev.kith.library=/nowhere/libkith.so"), small()),
            Map.of());
    assertEquals(3, library.code(), library.err());
    assertOneSentence(library.err());
    assertTrue(library.err().contains("/nowhere/libkith.so"), library.err());

    Cli.Result heap =
        Cli.fresh(folder, Cli.command(List.of("-Xmx32m"), "train", "--rounds", "1"), Map.of());
    assertEquals(3, heap.code(), heap.err());
    assertOneSentence(heap.err());
    assertTrue(heap.err().contains("heap"), heap.err());
  }

  @Test
  void aFolderThatCannotBeWrittenIsNamed() throws Exception {
    Path file = Files.writeString(folder.resolve("file"), "");
    Cli.Result result = Cli.fresh(folder, small("--out", file.resolve("x").toString()));
    assertEquals(3, result.code());
    assertOneSentence(result.err());
    assertTrue(result.err().contains("--out"), result.err());
  }

  /**
   * A limit on the size of files stands for a full disk: writing fails in the same place and way.
   */
  @Test
  void aFullDiskIsNamedAndTheLastSnapshotKept() throws Exception {
    String[] arguments = small("--nodes", "40", "--snapshot-every", "0ms", "--out", "full");
    List<String> command = Cli.command(List.of(), arguments);
    List<String> limited =
        new ArrayList<>(List.of("bash", "-c", "ulimit -f 80; exec \"$@\"", "limited"));
    limited.addAll(command);
    Cli.Result result = Cli.fresh(folder, limited, Map.of());
    assertEquals(3, result.code(), result.err());
    assertOneSentence(result.err());
    assertTrue(result.err().contains("snapshot.kith"), result.err());
    assertTrue(Files.exists(folder.resolve("full/metrics.csv")));
  }

  @Test
  void doctorTellsWhatIsThereAndWhyTheRestIsNot() throws Exception {
    Cli.Result result =
        Cli.fresh(
            folder,
            Cli.command(List.of("-Ddev.kith.cuda.library=/nowhere/c.so"), "doctor", "--json"),
            Map.of());
    assertEquals(0, result.code(), result.err());
    JsonNode document = json(result.out());
    for (String key : List.of("cpuTier", "devices", "cuda", "cublas", "mpi", "java", "version")) {
      assertTrue(document.has(key), key);
    }
    assertEquals("cpu", document.get("devices").get(0).get("name").asText());
    String cuda = document.get("cuda").asText();
    assertTrue(cuda.startsWith("not used: device cuda:0: "), cuda);
    assertTrue(cuda.contains("/nowhere/c.so"), cuda);
    assertTrue(document.get("cublas").asText().startsWith("not used: "));
    assertTrue(document.get("java").asText().startsWith("25"));

    Cli.Result broken =
        Cli.fresh(
            folder,
            Cli.command(List.of("-Ddev.kith.library=/nowhere/libkith.so"), "doctor", "--json"),
            Map.of());
    assertEquals(3, broken.code());
    JsonNode without = json(broken.out());
    assertTrue(without.get("cpuTier").isNull());
    assertTrue(without.get("problem").asText().contains("/nowhere/libkith.so"));
  }

  @Test
  void aDeviceThatIsNotThereEndsEveryCommandWithItsReason() throws Exception {
    Map<String, String> nowhere =
        Map.of("KITH_CUDA_LIBRARY", "/nowhere/c.so", "KITH_EMULATED_LIBRARY", "/nowhere/e.so");
    for (String device : List.of("cuda", "cuda:1", "emulated")) {
      String[] flags = {"--device", device};
      for (String[] command :
          List.of(
              small(flags),
              new String[] {"compare", "--nodes", "4,8", "--device", "cpu," + device},
              new String[] {"reproduce", "spectral-gaps", "--device", device})) {
        Cli.Result result = Cli.fresh(folder, Cli.command(List.of(), command), nowhere);
        assertEquals(3, result.code(), result.err());
        assertOneSentence(result.err());
        assertTrue(result.err().contains("kith: device " + device), result.err());
        assertTrue(result.err().contains("/nowhere/"), result.err());
      }
    }
  }

  @Test
  void theEnvironmentSetsTheDefaultDevice() throws Exception {
    Cli.Result result =
        Cli.fresh(folder, Cli.command(List.of(), small()), Map.of("KITH_DEVICE", "tpu"));
    assertEquals(2, result.code(), result.err());
    assertTrue(result.err().contains("no device is called \"tpu\""), result.err());
    Cli.Result given =
        Cli.fresh(
            folder,
            Cli.command(List.of(), small("--device", "cpu", "--out", "given")),
            Map.of("KITH_DEVICE", "tpu"));
    assertEquals(0, given.code(), given.err());
  }

  @Test
  void withoutOpenBlasThePlainKernelAnswers() throws Exception {
    Cli.Result result =
        Cli.fresh(folder, Cli.command(List.of(), small("--json")), Map.of("KITH_BLAS", "none"));
    assertEquals(0, result.code(), result.err());
    assertEquals("", json(result.out()).get("blas").asText());
  }
}
