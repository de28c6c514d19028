package dev.kith.lab;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.lab.experiment.Measurement;
import dev.kith.lab.experiment.Outcome;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a run says about its messages. */
class CompressionMetricsTest {
  /** Weights and biases of 64 pixels and 10 digits. */
  private static final int D = 650;

  private static final int HEADER_BYTES = 64;

  @TempDir Path folder;

  /** Words of a payload are counted by hand: they are what the definition of the code says. */
  @ParameterizedTest
  @CsvSource({
    "ef-sgd,      top-k:13,              26",
    "ef-sgd,      top-k:13@tensors:dense=bias, 36",
    "deepsqueeze, top-k:0.5,             650",
    "c-gt,        random-k:65:unscaled,  65",
    "choco,       int8:block=65,         173",
    "ef21,        top-k:13,              26",
    "diana,       random-k:65,           65",
    "sign-sgd,    '',                    21",
  })
  void ratioAndResidualAreThoseOfTheMessages(String algorithm, String compressor, int words)
      throws IOException {
    List<String> flags =
        compressor.isEmpty()
            ? List.of("--algorithm", algorithm, "--step-size", "0.005")
            : List.of("--algorithm", algorithm, "--step-size", "0.005", "--compressor", compressor);
    Outcome outcome = Runs.whole(Runs.settings(flags.toArray(new String[0])), folder);
    assertEquals((double) D / words, outcome.last().compressionRatio());
    for (Measurement row : outcome.rows()) {
      boolean owes = row.round() > 0 && !algorithm.equals("sign-sgd");
      // CHOCO and C-GT start from parameters that nobody knows.
      boolean fromTheStart = algorithm.equals("choco") || algorithm.equals("c-gt");
      assertTrue(
          owes ? row.residualNorm() > 0 : fromTheStart || row.residualNorm() == 0,
          () -> algorithm + ": " + row);
    }
    Measurement last = outcome.last();
    assertEquals(0, last.bytes() % last.messages());
    assertEquals(4L * words + HEADER_BYTES, last.bytes() / last.messages());
    assertEquals(last.residualNorm(), outcome.summary().get("residualNorm"));
    assertEquals(last.compressionRatio(), outcome.summary().get("compressionRatio"));
    String[] line = Files.readAllLines(folder.resolve("metrics.csv")).getLast().split(",", -1);
    assertEquals(last.compressionRatio(), Double.parseDouble(line[12]));
    assertEquals(last.residualNorm(), Double.parseDouble(line[13]));
  }

  @Test
  void powerSgdCountsBothFactors() {
    Outcome outcome =
        Runs.whole(
            Runs.settings(
                "--algorithm", "power-sgd", "--compressor", "power-sgd:1", "--step-size", "0.05"),
            folder);
    // P and Q of 10 x 64 and 10 biases.
    assertEquals(D / (10.0 + 64 + 10), outcome.last().compressionRatio());
    assertTrue(outcome.last().residualNorm() > 0);
  }

  @ParameterizedTest
  @CsvSource({"masha1, random-k:65, 65, false", "masha2, top-k:13, 26, true"})
  void differencesToAReferenceOweWhatIsRepairedLater(
      String algorithm, String compressor, int words, boolean repairs) {
    Outcome outcome =
        Runs.whole(
            Runs.settings(
                "--algorithm",
                algorithm,
                "--batch",
                "all",
                "--compressor",
                compressor,
                "--step-size",
                "0.05"),
            folder);
    assertEquals((double) D / words, outcome.last().compressionRatio());
    assertEquals(repairs, outcome.last().residualNorm() > 0);
  }

  @Test
  void rowsThatTravelAsTheyAreOweNothing() {
    Outcome outcome = Runs.whole(Runs.settings(), folder);
    for (Measurement row : outcome.rows()) {
      assertEquals(1, row.compressionRatio());
      assertEquals(0, row.residualNorm());
    }
  }
}
