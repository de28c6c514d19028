package dev.kith.lab;

import dev.kith.lab.experiment.DivergedException;
import dev.kith.lab.experiment.Outcome;
import dev.kith.lab.experiment.RunReport;
import dev.kith.lab.experiment.Settings;
import dev.kith.lab.experiment.TrainingRun;
import dev.kith.lab.report.ReportFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/**
 * {@code compare}: a run for every combination of comma-separated values, one after the other, and
 * a common report.
 */
@Command(
    name = "compare",
    description =
        "Trains once for every combination of comma-separated values, such as --algorithm dsgd,dsgt --topology ring,complete, and puts the runs side by side.",
    sortOptions = false)
final class CompareCommand implements Callable<Integer> {
  @Mixin private ExperimentOptions options;

  @Mixin
  @SuppressWarnings("UnusedVariable") // picocli fills it
  private CommonOptions common;

  @Override
  public Integer call() throws IOException {
    List<Settings> runs = Settings.combinations(options.flags());
    Path folder = options.folder("compare");
    // What one of them cannot use is found before the first has run for minutes.
    for (int k = 1; k <= runs.size(); k++) {
      TrainingRun.check(runs.get(k - 1), run(folder, k), options.resume(), options.overwrite());
    }
    List<Outcome> outcomes = new ArrayList<>();
    List<DivergedException> diverged = new ArrayList<>();
    try (StopSignal stop = new StopSignal()) {
      for (int k = 1; k <= runs.size() && !stop.asked(); k++) {
        Settings settings = runs.get(k - 1);
        Path own = run(folder, k);
        String task = "%d/%d %s".formatted(k, runs.size(), settings.algorithmName());
        try {
          Outcome outcome = TrainCommand.run(settings, options, own, stop::asked, task);
          TrainCommand.writeReport(RunReport.of(outcome), own);
          outcomes.add(outcome);
        } catch (DivergedException e) {
          diverged.add(e);
          System.err.println("kith: run %d is left out: %s".formatted(k, e.getMessage()));
        }
      }
      if (outcomes.isEmpty() && !diverged.isEmpty()) {
        throw diverged.getFirst();
      }
      Files.createDirectories(folder);
      ReportFiles.write(RunReport.of(outcomes), folder)
          .ifPresent(why -> System.err.println("kith: " + why));
      if (options.json()) {
        System.out.print(Json.write(outcomes.stream().map(Outcome::summary).toList()));
      } else {
        print(outcomes, folder);
      }
      System.out.flush();
    }
    return diverged.isEmpty() ? 0 : 1;
  }

  private static Path run(Path folder, int number) {
    return folder.resolve("run-" + number);
  }

  private static void print(List<Outcome> outcomes, Path folder) {
    List<List<String>> table = new ArrayList<>();
    table.add(RunReport.columns());
    outcomes.forEach(
        outcome -> table.add(RunReport.line(RunReport.difference(outcome, outcomes), outcome)));
    System.out.print(Tables.format(table));
    System.out.printf("report: %s%n", folder.resolve("report.html"));
  }
}
