package dev.kith.lab;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.lab.experiment.EnvironmentException;
import dev.kith.lab.experiment.Outcome;
import dev.kith.lab.experiment.RunReport;
import dev.kith.lab.experiment.Settings;
import dev.kith.lab.report.Plot;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code --noise} of train and compare: what a run says of its privacy, and its secrets. */
class PrivateTrainTest {
  @TempDir Path folder;

  @SuppressWarnings("unchecked")
  private static Map<String, Object> privacy(Outcome outcome) {
    return (Map<String, Object>) outcome.summary().get("privacy");
  }

  @ParameterizedTest
  @CsvSource({
    "ldp:epsilon=10, an eavesdropper, 10",
    "ldp:epsilon=3:curious=2:delta=1e-6, any 2 curious nodes together, 3",
    "decor:epsilon=10, an eavesdropper, 10",
    "decor:epsilon=10:curious=1:contraction=0.9, any curious node, 10",
    "corn:epsilon=5:clip=1, an eavesdropper, 5",
    "corn:epsilon=5:contraction=0.95, an eavesdropper, 5",
    "cdp:epsilon=10, an eavesdropper, 10"
  })
  void aRunOfAllRoundsHasTheEpsilonThatWasAskedForAndSaysThatItIsSimulated(
      String noise, String adversary, double epsilon) {
    Outcome outcome = Runs.whole(Runs.settings("--noise", noise), folder);
    Map<String, Object> said = privacy(outcome);
    assertEquals(epsilon, (double) said.get("epsilon"), 1e-6 * epsilon);
    assertTrue((double) said.get("epsilon") <= epsilon);
    assertEquals("replace-one user", said.get("adjacency"));
    assertEquals(adversary, said.get("adversary"));
    assertEquals("EXACT", said.get("method"));
    assertEquals("SIMULATED", said.get("origin"));
    assertEquals(false, said.get("certified"));
    assertTrue(said.get("remark").toString().contains("SIMULATED"));
    assertFalse(Files.exists(folder.resolve("secrets.kith")));
    assertTrue(RunReport.of(outcome).tables().stream().anyMatch(t -> t.title().equals("Privacy")));
  }

  @Test
  void aRunWithoutNoiseSaysNothingOfPrivacy() {
    Outcome outcome = Runs.whole(Runs.settings(), folder);
    assertFalse(outcome.summary().containsKey("privacy"));
    assertTrue(outcome.privacy().isEmpty());
  }

  @Test
  void simulatedRunsRepeatAndSecretOnesDoNot() {
    Settings simulated = Runs.settings("--noise", "corn:epsilon=10", "--momentum", "0.5");
    assertEquals(bits(Runs.whole(simulated, folder)), bits(Runs.whole(simulated, folder)));
    Settings secret = Runs.settings("--noise", "decor:epsilon=10:secret");
    assertFalse(bits(Runs.whole(secret, folder)).equals(bits(Runs.whole(secret, folder))));
  }

  private static Object bits(Outcome outcome) {
    return outcome.summary().get("parametersSha256");
  }

  @ParameterizedTest
  @CsvSource({"ldp", "decor", "corn", "cdp"})
  void aRunFromSecretsIsCertifiedAndGoesOnWithThemAlone(String kind) throws IOException {
    Settings settings = Runs.settings("--noise", kind + ":epsilon=10:secret");
    Path parts = folder.resolve("parts");
    Outcome first = Runs.run(settings, parts, 5, false, new ArrayList<>());
    assertEquals(true, privacy(first).get("certified"));
    assertTrue((double) privacy(first).get("epsilon") < 10, "5 of 12 rounds cost less");
    Path keys = parts.resolve("secrets.kith");
    assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(keys)));
    Path copy = folder.resolve("copy");
    Path bare = folder.resolve("bare");
    for (Path to : List.of(copy, bare)) {
      Files.createDirectory(to);
      for (String name : List.of("snapshot.kith", "secrets.kith", "metrics.csv")) {
        Files.copy(
            parts.resolve(name),
            to.resolve(name),
            java.nio.file.StandardCopyOption.COPY_ATTRIBUTES);
      }
    }
    Files.delete(bare.resolve("secrets.kith"));
    Outcome here = Runs.run(settings, parts, Long.MAX_VALUE, true, new ArrayList<>());
    Outcome there = Runs.run(settings, copy, Long.MAX_VALUE, true, new ArrayList<>());
    assertEquals(bits(here), bits(there));
    assertEquals(10, (double) privacy(here).get("epsilon"), 1e-5);
    var e =
        assertThrows(
            EnvironmentException.class,
            () -> Runs.run(settings, bare, Long.MAX_VALUE, true, new ArrayList<>()));
    assertTrue(e.getMessage().contains("there is no file of secrets"), e.getMessage());
    // A new run has new secrets, and takes the old ones away.
    Runs.whole(settings, parts);
    assertFalse(java.util.Arrays.equals(Files.readAllBytes(keys), copied(copy)));
  }

  private static byte[] copied(Path folder) throws IOException {
    return Files.readAllBytes(folder.resolve("secrets.kith"));
  }

  @Test
  void aComparisonDrawsUtilityAgainstEpsilon() {
    List<Outcome> outcomes = new ArrayList<>();
    for (String noise : List.of("none", "ldp:epsilon=20", "ldp:epsilon=5", "corn:epsilon=5")) {
      outcomes.add(Runs.whole(Runs.settings("--noise", noise), folder));
    }
    List<Plot> plots =
        RunReport.of(outcomes).plots().stream()
            .filter(p -> p.file().equals("utility-epsilon"))
            .toList();
    assertEquals(1, plots.size());
    assertEquals(2, plots.getFirst().series().size(), "ldp and corn");
    assertTrue(
        RunReport.of(outcomes.subList(0, 1)).plots().stream()
            .noneMatch(p -> p.file().equals("utility-epsilon")));
  }
}
