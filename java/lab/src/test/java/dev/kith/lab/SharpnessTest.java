package dev.kith.lab;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.lab.experiment.Measurement;
import dev.kith.lab.experiment.Outcome;
import dev.kith.lab.experiment.RunReport;
import dev.kith.lab.experiment.Settings;
import dev.kith.lab.report.ReportFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What {@code train --sharpness-every} adds to a run. */
class SharpnessTest {
  @TempDir Path folder;

  private static Settings settings(String... more) {
    List<String> flags =
        new ArrayList<>(
            List.of("--nodes", "2", "--rounds", "10", "--evaluate-every", "5", "--batch", "all"));
    flags.addAll(List.of(more));
    return Runs.settings(flags.toArray(new String[0]));
  }

  @Test
  void sharpnessIsMeasuredWhereItWasAskedForAndDrawn() throws IOException {
    Outcome outcome = Runs.whole(settings("--sharpness-every", "4", "--step-size", "0.5"), folder);
    List<String> lines = Files.readAllLines(folder.resolve("metrics.csv"));
    assertTrue(lines.getFirst().endsWith(",sharpness"), lines.getFirst());
    List<Long> rounds = new ArrayList<>();
    for (int k = 0; k < outcome.rows().size(); k++) {
      Measurement row = outcome.rows().get(k);
      rounds.add(row.round());
      String[] cells = lines.get(k + 1).split(",", -1);
      assertEquals(15, cells.length);
      if (row.round() % 4 == 0) {
        // Curvature of softmax regression on pixels in [-1, 1] lies far from 0.
        assertTrue(row.sharpness() > 0.1, row.toString());
        assertEquals(row.sharpness(), Double.parseDouble(cells[14]));
      } else {
        assertEquals("", cells[14]);
      }
    }
    assertEquals(List.of(0L, 4L, 5L, 8L, 10L), rounds);
    Path drawn = folder.resolve("drawn");
    Files.createDirectories(drawn);
    ReportFiles.write(RunReport.of(outcome), drawn);
    assertTrue(Files.size(drawn.resolve("sharpness.png")) > 5000);
    String html = Files.readString(drawn.resolve("report.html"));
    assertTrue(html.contains("largest eigenvalue of the Hessian"));
    assertTrue(html.contains("2 / step size"));
  }

  @Test
  void withoutTheFlagNothingIsMeasuredOrDrawn() {
    Outcome outcome = Runs.whole(settings(), folder);
    assertTrue(outcome.rows().stream().allMatch(row -> Double.isNaN(row.sharpness())));
    assertTrue(RunReport.of(outcome).plots().stream().noneMatch(p -> p.file().equals("sharpness")));
  }

  @Test
  void measuringChangesNoBit() {
    Outcome with = Runs.whole(settings("--sharpness-every", "1"), folder.resolve("with"));
    Outcome without = Runs.whole(settings("--evaluate-every", "1"), folder.resolve("without"));
    for (int k = 0; k < with.rows().size(); k++) {
      assertEquals(without.rows().get(k).trainLoss(), with.rows().get(k).trainLoss());
      assertEquals(without.rows().get(k).bytes(), with.rows().get(k).bytes());
    }
  }
}
