package dev.kith.lab;

import dev.kith.lab.experiment.Measurement;
import dev.kith.lab.experiment.TrainingRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/** A bar on standard error when that is a terminal; nothing otherwise. */
final class ProgressDisplay implements TrainingRun.Progress, AutoCloseable {
  private static final int WIDTH = 100;
  private final ProgressBar bar;
  private Measurement shown;
  private long begun;

  private ProgressDisplay(ProgressBar bar) {
    this.bar = bar;
  }

  static ProgressDisplay of(String task, long rounds) {
    if (!onTerminal()) {
      return new ProgressDisplay(null);
    }
    return new ProgressDisplay(
        new ProgressBarBuilder()
            .setTaskName(task)
            .setInitialMax(rounds)
            .setStyle(ProgressBarStyle.UNICODE_BLOCK)
            .setUpdateIntervalMillis(200)
            .setConsumer(new ConsoleProgressBarConsumer(System.err, WIDTH))
            .build());
  }

  private static boolean onTerminal() {
    try {
      String target = Files.readSymbolicLink(Path.of("/proc/self/fd/2")).toString();
      return target.startsWith("/dev/pts/") || target.startsWith("/dev/tty");
    } catch (IOException | UnsupportedOperationException e) {
      return false;
    }
  }

  @Override
  @SuppressWarnings("ReferenceEquality") // a new measurement is a new object
  public void at(long round, Measurement last) {
    if (bar != null) {
      bar.stepTo(round);
      if (last != shown) {
        shown = last;
        bar.setExtraMessage(
            String.format(Locale.ROOT, "accuracy %.1f %%", 100 * last.testAccuracy()));
      }
    }
  }

  /** The next of equal parts begins; the ones before are done. */
  void next(String what) {
    if (bar != null) {
      bar.stepTo(begun);
      bar.setExtraMessage(what);
    }
    begun++;
  }

  /** Prints something else; the bar goes on below it. */
  void aside(Runnable print) {
    if (bar != null) {
      System.err.print("\r\033[K");
      System.err.flush();
    }
    print.run();
  }

  @Override
  public void close() {
    if (bar != null) {
      bar.close();
    }
  }
}
