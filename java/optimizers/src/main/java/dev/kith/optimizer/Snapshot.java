package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * The state of a run in a file.
 *
 * <p>A snapshot is written beside the file as {@code FILE.new}, synced to the disk, and renamed;
 * the one before stays as {@code FILE.previous}. So a run that is killed at any moment leaves at
 * least one that is whole. Reading checks the whole file before anything is used, and takes the
 * previous one when the newest is damaged.
 *
 * <p>Format, version {@value #VERSION}, little-endian: the 8 bytes {@code KITHSNAP}, the version as
 * an i32, sections, and a trailer. A section is its kind (u8: 1 text, 2 i64 array, 3 f64 array, 4
 * bytes, 5 matrix), the length of its name (u8) and the name in UTF-8, the length of its payload
 * (i64) and the payload; that of a matrix is its dtype (i32, in the order of {@link
 * dev.kith.device.DType}), rows (i64), cols (i64) and the dense rows. The trailer is a section of
 * kind 0 without a name whose payload is the length of the file (i64); the last four bytes are the
 * CRC32C of all before them.
 *
 * <p>Reading holds at most a megabyte, the list of sections (at most {@value #MAX_SECTIONS}) and
 * one array of at most 256 MiB at a time, whatever the bytes are.
 */
public final class Snapshot {
  /** The version of the format; another one is refused. */
  public static final int VERSION = 1;

  static final long MAGIC = 0x50414E534854494BL; // "KITHSNAP" read as a little-endian number
  static final int MAX_SECTIONS = 4096;
  static final int MAX_ARRAY_BYTES = 256 << 20;

  private static final System.Logger LOG = System.getLogger("dev.kith");

  private Snapshot() {}

  /**
   * Which file was read.
   *
   * @param file the file
   * @param remark empty, or one sentence that says why an older one was taken
   */
  public record Restored(Path file, String remark) {}

  /** Takes the parts of a snapshot, each under a name of its own of 1 to 255 bytes in UTF-8. */
  public interface Writer {
    /** A text. */
    void text(String name, String value);

    /** Whole numbers. */
    void longs(String name, long... values);

    /** Numbers, bit for bit. */
    void doubles(String name, double... values);

    /** Bytes. */
    void bytes(String name, byte[] value);

    /** A matrix, bit for bit. */
    void matrix(String name, DeviceMatrix matrix);
  }

  /**
   * Gives the parts of a snapshot.
   *
   * <p>Asking for a part that is not there, or is of another kind or shape, is an {@link
   * IllegalArgumentException}.
   */
  public interface Reader {
    /** The file that is read. */
    Path file();

    /** Whether there is a part of this name. */
    boolean has(String name);

    /** A text. */
    String text(String name);

    /** Whole numbers. */
    long[] longs(String name);

    /** Numbers, bit for bit. */
    double[] doubles(String name);

    /** Bytes. */
    byte[] bytes(String name);

    /** Checks that a matrix of the same type and shape is there, without reading it. */
    void requireMatrix(String name, DeviceMatrix like);

    /** Reads a matrix into one of the same type and shape. */
    void matrix(String name, DeviceMatrix into);
  }

  /**
   * Writes the state of an optimizer.
   *
   * @throws UncheckedIOException when the file cannot be written; the snapshots that were there
   *     stay
   */
  public static void write(Path file, Optimizer optimizer) {
    write(file, optimizer::save);
  }

  /**
   * Writes whatever {@code content} gives to the writer.
   *
   * @throws UncheckedIOException when the file cannot be written; the snapshots that were there
   *     stay
   */
  public static void write(Path file, Consumer<Writer> content) {
    Path fresh = beside(file, ".new");
    try {
      try (FileChannel channel =
          FileChannel.open(
              fresh,
              StandardOpenOption.CREATE,
              StandardOpenOption.TRUNCATE_EXISTING,
              StandardOpenOption.WRITE)) {
        SnapshotWriter writer = new SnapshotWriter(channel);
        content.accept(writer);
        writer.finish();
        channel.force(true);
      }
      if (Files.exists(file)) {
        Files.move(
            file,
            beside(file, ".previous"),
            StandardCopyOption.ATOMIC_MOVE,
            StandardCopyOption.REPLACE_EXISTING);
      }
      Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE);
      Path folder = file.toAbsolutePath().getParent();
      try (FileChannel directory = FileChannel.open(folder, StandardOpenOption.READ)) {
        directory.force(true);
      }
    } catch (IOException | UncheckedIOException e) {
      IOException cause = e instanceof UncheckedIOException u ? u.getCause() : (IOException) e;
      throw new UncheckedIOException(
          "the snapshot "
              + file
              + " cannot be written ("
              + reason(cause)
              + "): free space or give another folder; earlier snapshots are kept",
          cause);
    }
  }

  /** Restores an optimizer; see {@link #read(Path, Consumer)}. */
  public static Restored read(Path file, Optimizer optimizer) {
    return read(file, optimizer::load);
  }

  /**
   * Hands the newest whole snapshot to {@code content}: the file, else the previous one, else one
   * that was written but not yet renamed.
   *
   * @return which one that was, and why
   * @throws SnapshotException when there is none that is whole
   */
  public static Restored read(Path file, Consumer<Reader> content) {
    List<String> failures = new ArrayList<>();
    for (Path candidate : List.of(file, beside(file, ".previous"), beside(file, ".new"))) {
      if (!Files.exists(candidate)) {
        continue;
      }
      try (SnapshotReader reader = SnapshotReader.open(candidate)) {
        content.accept(reader);
        String remark =
            candidate.equals(file)
                ? ""
                : (failures.isEmpty() ? "there is no " + file : String.join("; ", failures))
                    + "; resumed from "
                    + candidate;
        if (!remark.isEmpty()) {
          LOG.log(System.Logger.Level.WARNING, remark);
        }
        return new Restored(candidate, remark);
      } catch (SnapshotException e) {
        failures.add(e.getMessage());
      } catch (IOException e) {
        failures.add("the snapshot " + candidate + " cannot be read (" + reason(e) + ")");
      }
    }
    throw new SnapshotException(
        failures.isEmpty()
            ? "there is no snapshot " + file + ": start the run anew"
            : String.join("; ", failures) + "; no other one is whole: start the run anew");
  }

  private static Path beside(Path file, String suffix) {
    return file.resolveSibling(file.getFileName() + suffix);
  }

  private static String reason(IOException e) {
    return e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
  }
}
