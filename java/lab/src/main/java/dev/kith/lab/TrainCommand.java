package dev.kith.lab;

import dev.kith.lab.experiment.Measurement;
import dev.kith.lab.experiment.Outcome;
import dev.kith.lab.experiment.RunReport;
import dev.kith.lab.experiment.Settings;
import dev.kith.lab.experiment.TrainingRun;
import dev.kith.lab.report.Report;
import dev.kith.lab.report.ReportFiles;
import dev.kith.lab.report.Sizes;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.BooleanSupplier;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code train}: one run. */
@Command(
    name = "train",
    description =
        "Trains a model on nodes that talk to their neighbours only, and writes a report.",
    sortOptions = false)
final class TrainCommand implements Callable<Integer> {
  @Mixin private ExperimentOptions options;

  @Mixin
  @SuppressWarnings("UnusedVariable") // picocli fills it
  private CommonOptions common;

  @Override
  public Integer call() throws IOException {
    Settings settings = Settings.of(options.flags());
    Path folder = options.folder(settings.algorithmName() + "-" + settings.topologyName());
    try (StopSignal stop = new StopSignal()) {
      Outcome outcome = run(settings, options, folder, stop::asked, settings.algorithmName());
      writeReport(RunReport.of(outcome), folder);
      if (options.json()) {
        System.out.print(outcome.json());
      } else {
        print(outcome, System.out);
      }
      System.out.flush();
      return 0;
    }
  }

  /** One run with its progress bar. */
  static Outcome run(
      Settings settings,
      ExperimentOptions options,
      Path folder,
      BooleanSupplier stop,
      String task) {
    Blas.enable(settings.device());
    try (ProgressDisplay progress = ProgressDisplay.of(task, settings.rounds())) {
      return TrainingRun.execute(
          settings,
          new TrainingRun.Control(
              folder,
              options.snapshotEvery(),
              options.resume(),
              options.overwrite(),
              stop,
              progress,
              notice -> System.err.println("kith: " + notice)));
    }
  }

  static void writeReport(Report report, Path folder) throws IOException {
    ReportFiles.write(report, folder).ifPresent(why -> System.err.println("kith: " + why));
  }

  private static void print(Outcome outcome, PrintStream out) {
    Measurement last = outcome.last();
    Settings settings = outcome.settings();
    out.printf(
        Locale.ROOT,
        "%s on %s: %,d rounds in %.1f s%s%n",
        settings.algorithmName(),
        settings.topologyName(),
        last.round(),
        outcome.seconds(),
        outcome.interrupted()
            ? String.format(Locale.ROOT, " of %,d; --resume goes on", settings.rounds())
            : "");
    out.printf(
        Locale.ROOT,
        "  test accuracy      %.1f %% mean of the local models (worst %.1f %%), %.1f %% mean model%n",
        100 * last.testAccuracy(),
        100 * last.worstAccuracy(),
        100 * last.meanModelAccuracy());
    out.printf(
        Locale.ROOT,
        "  training loss      %.4f local models, %.4f mean model%n",
        last.trainLoss(),
        last.meanModelTrainLoss());
    out.printf(
        Locale.ROOT,
        "  sent               %s in %,d messages%n",
        Sizes.bytes((double) last.bytes()),
        last.messages());
    if (last.compressionRatio() != 1) {
      out.printf(
          Locale.ROOT,
          "  compressed         %.1f times, residual norm %.3e%n",
          last.compressionRatio(),
          last.residualNorm());
    }
    outcome.privacy().ifPresent(p -> out.printf("  privacy            %s%n", p));
    out.printf(Locale.ROOT, "  consensus distance %.3e%n", last.consensusDistance());
    out.printf("  report             %s%n", outcome.folder().resolve("report.html"));
  }
}
