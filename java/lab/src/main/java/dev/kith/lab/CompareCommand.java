package dev.kith.lab;

import dev.kith.lab.experiment.Outcome;
import dev.kith.lab.experiment.RunReport;
import dev.kith.lab.experiment.Settings;
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
    List<Outcome> outcomes = new ArrayList<>();
    try (StopSignal stop = new StopSignal()) {
      for (Settings settings : runs) {
        if (stop.asked()) {
          break;
        }
        Path own = folder.resolve("run-" + (outcomes.size() + 1));
        String task =
            "%d/%d %s".formatted(outcomes.size() + 1, runs.size(), settings.algorithmName());
        Outcome outcome = TrainCommand.run(settings, options, own, stop::asked, task);
        TrainCommand.writeReport(RunReport.of(outcome), own);
        outcomes.add(outcome);
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
    return 0;
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
