package dev.kith.lab;

import dev.kith.lab.experiment.Outcome;
import dev.kith.lab.experiment.Settings;
import dev.kith.lab.experiment.TrainingRun;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import picocli.CommandLine;

/** Small runs in this process. */
final class Runs {
  private Runs() {}

  /** Softmax regression on digits, 6 nodes, 12 rounds, where {@code flags} do not say otherwise. */
  static Settings settings(String... flags) {
    List<String> all =
        new ArrayList<>(
            List.of(
                "--data",
                "digits",
                "--model",
                "softmax",
                "--nodes",
                "6",
                "--rounds",
                "12",
                "--evaluate-every",
                "3"));
    all.addAll(Arrays.asList(flags));
    ExperimentOptions options = new ExperimentOptions();
    new CommandLine(new Holder(options))
        .setOverwrittenOptionsAllowed(true)
        .parseArgs(all.toArray(new String[0]));
    return Settings.of(options.flags());
  }

  @CommandLine.Command
  private record Holder(@CommandLine.Mixin ExperimentOptions options) {}

  /** Runs until the end, or until after round {@code stopAfter}. */
  static Outcome run(
      Settings settings, Path folder, long stopAfter, boolean resume, List<String> notices) {
    AtomicLong round = new AtomicLong();
    return TrainingRun.execute(
        settings,
        new TrainingRun.Control(
            folder,
            Optional.of(Duration.ZERO),
            resume,
            false,
            () -> round.get() >= stopAfter,
            (r, last) -> round.set(r),
            notices::add));
  }

  static Outcome whole(Settings settings, Path folder) {
    return run(settings, folder, Long.MAX_VALUE, false, new ArrayList<>());
  }
}
