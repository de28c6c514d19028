package dev.kith.lab.experiment;

import java.io.IOException;
import java.io.Writer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.Stream;

/**
 * The folder of a run: metrics.csv, report.html, pictures, snapshots, and result.json, which is
 * there exactly when the run came to its end. A lock keeps two runs out of one folder; it falls
 * with the process, however that ends. Its file stays: a run that deleted it would let others in
 * beside one that holds the lock on the deleted file.
 */
final class ResultFolder implements AutoCloseable {
  private static final String RESULT = "result.json";
  private static final String METRICS = "metrics.csv";
  private static final String SNAPSHOT = "snapshot.kith";
  private static final String SECRETS = "secrets.kith";
  private static final String LOCK = ".lock";

  private final Path folder;
  private final FileChannel lockFile;
  private Writer metrics;

  private ResultFolder(Path folder, FileChannel lockFile) {
    this.folder = folder;
    this.lockFile = lockFile;
  }

  /**
   * Takes the folder for a run.
   *
   * @throws UsageException when another run has it, or it holds an unfinished run and neither
   *     {@code resume} nor {@code overwrite} says what to do with that
   * @throws EnvironmentException when it cannot be written
   */
  static ResultFolder open(Path folder, boolean resume, boolean overwrite) {
    ResultFolder taken = null;
    try {
      Files.createDirectories(folder);
      FileChannel lockFile =
          FileChannel.open(
              folder.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      taken = new ResultFolder(folder, lockFile);
      taken.lock();
      if (!resume) {
        taken.clear(overwrite);
      }
      return taken;
    } catch (IOException e) {
      if (taken != null) {
        taken.close();
      }
      throw EnvironmentException.unwritable(folder, e);
    } catch (UsageException e) {
      taken.close();
      throw e;
    }
  }

  private void lock() throws IOException {
    FileLock lock;
    try {
      lock = lockFile.tryLock();
    } catch (OverlappingFileLockException e) {
      lock = null;
    }
    if (lock == null) {
      throw new UsageException(
          "another run is writing to %s; give another folder with --out".formatted(folder));
    }
  }

  /** Refuses a folder that holds an unfinished run. */
  static void requireFinished(Path folder) {
    if (Files.exists(folder.resolve(SNAPSHOT)) && !Files.exists(folder.resolve(RESULT))) {
      throw new UsageException(
          "%s holds an unfinished run; add --resume to go on with it, --overwrite to drop it, or give another folder with --out"
              .formatted(folder));
    }
  }

  private void clear(boolean overwrite) throws IOException {
    if (!overwrite) {
      requireFinished(folder);
    }
    for (String name :
        List.of(
            SNAPSHOT,
            SNAPSHOT + ".previous",
            SNAPSHOT + ".new",
            SECRETS,
            SECRETS + ".new",
            METRICS,
            "report.html",
            RESULT)) {
      Files.deleteIfExists(folder.resolve(name));
    }
  }

  Path path() {
    return folder;
  }

  Path snapshot() {
    return folder.resolve(SNAPSHOT);
  }

  /** Where a run keeps the secrets of its noise: beside its snapshots. */
  static Path secrets(Path folder) {
    return folder.resolve(SECRETS);
  }

  /** Whether there is a snapshot to resume from, whole or not. */
  boolean hasSnapshot() throws IOException {
    return hasSnapshot(folder);
  }

  /** Whether a folder has a snapshot to resume from, whole or not. */
  static boolean hasSnapshot(Path folder) throws IOException {
    if (!Files.isDirectory(folder)) {
      return false;
    }
    try (Stream<Path> files = Files.list(folder)) {
      return files.anyMatch(file -> file.getFileName().toString().startsWith(SNAPSHOT));
    }
  }

  /**
   * Begins metrics.csv anew with what was measured before a snapshot; the run is no longer a
   * finished one.
   */
  void startMetrics(List<Measurement> before) throws IOException {
    Files.deleteIfExists(folder.resolve(RESULT));
    metrics = Files.newBufferedWriter(folder.resolve(METRICS), StandardCharsets.US_ASCII);
    metrics.write(Measurement.HEADER + "\n");
    for (Measurement row : before) {
      metrics.write(row.line() + "\n");
    }
    metrics.flush();
  }

  /** Adds a line, readable at once by those who watch the file. */
  void addMetrics(Measurement row) throws IOException {
    metrics.write(row.line() + "\n");
    metrics.flush();
  }

  /** Marks the run as done. */
  void finish(String json) throws IOException {
    Files.writeString(folder.resolve(RESULT), json, StandardCharsets.UTF_8);
  }

  @Override
  public void close() {
    try (lockFile) {
      if (metrics != null) {
        metrics.close();
      }
    } catch (IOException e) {
      throw EnvironmentException.unwritable(folder, e);
    }
  }
}
