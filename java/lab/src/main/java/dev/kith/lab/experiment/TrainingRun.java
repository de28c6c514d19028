package dev.kith.lab.experiment;

import dev.kith.device.Device;
import dev.kith.device.KithException;
import dev.kith.kernel.Product;
import dev.kith.lab.data.DataSets;
import dev.kith.optimizer.NonFiniteException;
import dev.kith.optimizer.Snapshot;
import dev.kith.optimizer.SnapshotException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/**
 * The loop of {@code train}: rounds, measurements, snapshots. A run that was stopped or killed and
 * then resumed ends with the bits of one that was not, metrics.csv included.
 */
public final class TrainingRun {
  private final Settings settings;
  private final Control control;
  private final List<Measurement> rows = new ArrayList<>();
  private double secondsBefore;
  private long started;
  private long lastSnapshot;
  private boolean hasSnapshot;

  private TrainingRun(Settings settings, Control control) {
    this.settings = settings;
    this.control = control;
  }

  /**
   * What surrounds a run and does not change its numbers.
   *
   * @param folder where results go
   * @param snapshotEvery the longest time between snapshots; empty: only when the run is stopped
   * @param resume go on from the snapshot in the folder, if there is one
   * @param overwrite drop an unfinished run in the folder
   * @param stop asked after every round; true ends the run with a snapshot
   * @param progress told the number of rounds done and the last measurement
   * @param notice takes sentences for the user
   */
  public record Control(
      Path folder,
      Optional<Duration> snapshotEvery,
      boolean resume,
      boolean overwrite,
      BooleanSupplier stop,
      Progress progress,
      Consumer<String> notice) {}

  /** Told how far a run is. */
  @FunctionalInterface
  public interface Progress {
    /** After each round, and once before the first. */
    void at(long round, Measurement last);
  }

  /**
   * Runs to the end or until asked to stop; writes metrics.csv and snapshots, and once done
   * result.json.
   *
   * @throws UsageException when a setting cannot be used
   * @throws EnvironmentException when the folder cannot be written, or the device has no library
   * @throws DivergedException when the numbers leave the finite ones; the last good snapshot is
   *     kept
   */
  public static Outcome execute(Settings settings, Control control) {
    return new TrainingRun(settings, control).execute();
  }

  /**
   * Builds everything that the run needs and drops it again; writes nothing.
   *
   * @throws UsageException when a setting cannot be used, or the folder holds an unfinished run and
   *     neither {@code resume} nor {@code overwrite} says what to do with that
   * @throws EnvironmentException when the device has no library
   */
  public static void check(Settings settings, Path folder, boolean resume, boolean overwrite) {
    if (!resume && !overwrite) {
      ResultFolder.requireFinished(folder);
    }
    Experiment.of(settings).close();
  }

  private Outcome execute() {
    try (Experiment experiment = experiment();
        ResultFolder folder =
            ResultFolder.open(control.folder, control.resume, control.overwrite)) {
      try {
        return run(experiment, folder);
      } catch (IOException e) {
        throw EnvironmentException.unwritable(folder.path(), e);
      } catch (UncheckedIOException e) {
        throw new EnvironmentException(e.getMessage(), e);
      }
    }
  }

  private Experiment experiment() {
    try {
      return control.resume && ResultFolder.hasSnapshot(control.folder)
          ? Experiment.resuming(settings, ResultFolder.secrets(control.folder))
          : Experiment.of(settings);
    } catch (IOException e) {
      throw EnvironmentException.unwritable(control.folder, e);
    }
  }

  private Outcome run(Experiment experiment, ResultFolder folder) throws IOException {
    started = System.nanoTime();
    if (!(control.resume && folder.hasSnapshot())) {
      // Before the first message: without them no snapshot can be resumed.
      keep(experiment, folder);
    }
    if (control.resume) {
      restore(experiment, folder);
    }
    folder.startMetrics(rows);
    if (rows.isEmpty()) {
      add(experiment.measure(settings.sharpnessEvery().isPresent()), folder);
    }
    lastSnapshot = System.nanoTime();
    // Before anything can go wrong: a round that fails leaves this or a later one.
    if (control.snapshotEvery.isPresent() && !hasSnapshot) {
      snapshot(experiment, folder);
    }
    try {
      rounds(experiment, folder);
    } catch (DivergedException | EnvironmentException | UncheckedIOException e) {
      throw e;
    } catch (KithException e) {
      // The device may be lost: what it held is not written over the last good snapshot.
      throw new EnvironmentException(
          hasSnapshot
              ? "%s; the last snapshot is %s, and --resume goes on from it"
                  .formatted(e.getMessage(), folder.snapshot())
              : e.getMessage() + "; no snapshot was kept",
          e);
    } catch (RuntimeException fault) {
      rescue(experiment, folder, fault);
      throw fault;
    }
    boolean done = experiment.optimizer().round() == settings.rounds();
    Outcome outcome =
        new Outcome(
            settings,
            rows,
            done ? rows.getLast() : experiment.measure(false),
            seconds(),
            !done,
            machine(experiment.device()),
            experiment,
            folder.path());
    if (done) {
      folder.finish(outcome.json());
    }
    return outcome;
  }

  private static void keep(Experiment experiment, ResultFolder folder) {
    try {
      experiment.secrets().ifPresent(keys -> keys.save(ResultFolder.secrets(folder.path())));
    } catch (IllegalStateException e) {
      throw new EnvironmentException(e.getMessage(), e);
    }
  }

  /** All rounds that are left, or until asked to stop. */
  private void rounds(Experiment experiment, ResultFolder folder) throws IOException {
    boolean stopped = false;
    while (experiment.optimizer().round() < settings.rounds() && !stopped) {
      long round = step(experiment, folder);
      boolean sharpness =
          settings.sharpnessEvery().isPresent()
              && round % settings.sharpnessEvery().getAsLong() == 0;
      if (sharpness || round % settings.evaluateEvery() == 0 || round == settings.rounds()) {
        add(experiment.measure(sharpness), folder);
      }
      control.progress.at(round, rows.getLast());
      stopped = control.stop.getAsBoolean();
      boolean last = stopped || round == settings.rounds();
      boolean due =
          control.snapshotEvery.isPresent()
              && (last
                  || System.nanoTime() - lastSnapshot >= control.snapshotEvery.get().toNanos());
      if (due || stopped) {
        snapshot(experiment, folder);
      }
    }
  }

  /** After a fault between two rounds or in one, which leaves the state of the round before. */
  private void rescue(Experiment experiment, ResultFolder folder, RuntimeException fault) {
    if (control.snapshotEvery.isPresent()) {
      try {
        snapshot(experiment, folder);
      } catch (RuntimeException second) {
        fault.addSuppressed(second);
      }
    }
  }

  private long step(Experiment experiment, ResultFolder folder) {
    try {
      experiment.optimizer().step();
      return experiment.optimizer().round();
    } catch (NonFiniteException e) {
      throw new DivergedException(
          hasSnapshot
              ? "%s; the last good snapshot is %s".formatted(e.getMessage(), folder.snapshot())
              : e.getMessage() + "; no snapshot was kept",
          e);
    }
  }

  private void add(Measurement row, ResultFolder folder) throws IOException {
    rows.add(row);
    folder.addMetrics(row);
    control.progress.at(row.round(), row);
  }

  private double seconds() {
    return secondsBefore + (System.nanoTime() - started) * 1e-9;
  }

  private void snapshot(Experiment experiment, ResultFolder folder) {
    Snapshot.write(
        folder.snapshot(),
        writer -> {
          writer.text("lab.settings", settings.fingerprint());
          writer.text("lab.data", String.join("\n", experiment.data().sha256()));
          writer.text("lab.blas", Product.blas(experiment.device()));
          writer.doubles("lab.measurements", Measurement.pack(rows));
          writer.doubles("lab.seconds", seconds());
          experiment.optimizer().save(writer);
        });
    lastSnapshot = System.nanoTime();
    hasSnapshot = true;
  }

  private void restore(Experiment experiment, ResultFolder folder) throws IOException {
    if (!folder.hasSnapshot()) {
      control.notice.accept(
          "%s holds no snapshot; starting from the first round".formatted(folder.path()));
      return;
    }
    try {
      Snapshot.Restored restored =
          Snapshot.read(
              folder.snapshot(),
              reader -> {
                checkSame(reader.text("lab.settings"), reader.file());
                checkSameData(reader.text("lab.data"), experiment.data(), reader.file());
                remarkBlas(reader.text("lab.blas"), Product.blas(experiment.device()));
                List<Measurement> before = Measurement.unpack(reader.doubles("lab.measurements"));
                secondsBefore = reader.doubles("lab.seconds")[0];
                experiment.optimizer().load(reader);
                rows.clear();
                rows.addAll(before);
              });
      if (!restored.remark().isEmpty()) {
        control.notice.accept(restored.remark());
      }
      hasSnapshot = true;
    } catch (SnapshotException e) {
      throw new EnvironmentException(e.getMessage() + ", with --overwrite", e);
    } catch (IllegalArgumentException e) {
      throw new UsageException(e.getMessage(), e);
    }
  }

  private void checkSame(String there, Path file) {
    List<String> theirs = there.lines().toList();
    List<String> ours = settings.fingerprint().lines().toList();
    List<String> differ = new ArrayList<>(theirs);
    differ.removeAll(ours);
    if (differ.isEmpty()) {
      differ = new ArrayList<>(ours);
      differ.removeAll(theirs);
    }
    if (!differ.isEmpty()) {
      throw new UsageException(
          "the snapshot %s was made with other flags (%s); resume with those, or drop it with --overwrite"
              .formatted(file, String.join(", ", differ)));
    }
  }

  private void checkSameData(String there, DataSets data, Path file) {
    if (!there.equals(String.join("\n", data.sha256()))) {
      throw new UsageException(
          "the data of %s has changed since the snapshot %s was made; resume with the files of that time, or drop it with --overwrite"
              .formatted(data.source(), file));
    }
  }

  private void remarkBlas(String there, String here) {
    if (!there.equals(here)) {
      control.notice.accept(
          "the run began with %s and goes on with %s: its bits may differ from those of an uninterrupted one"
              .formatted(product(there), product(here)));
    }
  }

  private static String product(String blas) {
    return blas.isEmpty() ? "the plain product kernel" : blas;
  }

  private static Outcome.Machine machine(Device device) {
    return new Outcome.Machine(
        device.name(), device.tier(), device.threads(), Product.blas(device));
  }
}
