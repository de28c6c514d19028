package dev.kith.lab.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Reads a data file of the user: IDX, CSV or LIBSVM, each also gzip'ed. The format is told from the
 * content, never from the name.
 */
public final class DataFiles {
  private DataFiles() {}

  /**
   * Reads a file.
   *
   * @param labelColumn of a CSV file: "last", "first", a number from 1, or a name in its header
   * @throws DataFileException naming file and place when the file cannot be used
   */
  public static RawData read(Path path, String labelColumn) {
    byte[] head = new byte[4];
    try (DataStream in = DataStream.open(path)) {
      head = Arrays.copyOf(head, Math.max(0, in.read(head, 0, head.length)));
    }
    if (head.length == 0) {
      throw new DataFileException("the file " + path + " is empty");
    }
    String name = path.getFileName().toString();
    if (IdxReader.looksLikeIdx(head)) {
      try (DataStream images = DataStream.open(path);
          DataStream labels = DataStream.open(labelsBeside(path))) {
        return IdxReader.read(name, images, labels);
      }
    }
    boolean libsvm;
    try (DataStream in = DataStream.open(path)) {
      TextLines lines = new TextLines(in);
      LibsvmReader.Look look = LibsvmReader.Look.OPEN;
      for (String line = lines.next();
          line != null && look == LibsvmReader.Look.OPEN;
          line = lines.next()) {
        if (line.indexOf('\0') >= 0) {
          throw new DataFileException(
              path
                  + " is neither IDX nor text; Kith reads IDX, CSV and LIBSVM files, also gzip'ed");
        }
        look = LibsvmReader.look(line);
      }
      libsvm = look == LibsvmReader.Look.LIBSVM;
    }
    try (DataStream in = DataStream.open(path)) {
      return libsvm ? LibsvmReader.read(name, in) : CsvReader.read(name, in, labelColumn);
    }
  }

  /** As {@link #read(Path, String)}, for a path as text. */
  public static RawData read(String path, String labelColumn) {
    try {
      return read(Path.of(path), labelColumn);
    } catch (InvalidPathException e) {
      throw new DataFileException("'%s' is no file name".formatted(TextLines.shown(path)), e);
    }
  }

  /** train-images-idx3-ubyte has its labels in train-labels-idx1-ubyte, gzip'ed or not. */
  private static Path labelsBeside(Path images) {
    String name = images.getFileName().toString();
    String labels = name.replace("images", "labels").replace("idx3", "idx1");
    if (labels.equals(name)) {
      if (name.contains("labels")) {
        throw new DataFileException(
            images + " holds labels; name the file with the images instead");
      }
      throw new DataFileException(
          "the labels of %s are looked for in a file with 'labels' in place of 'images', and its name has no 'images'"
              .formatted(images));
    }
    String plain = labels.endsWith(".gz") ? labels.substring(0, labels.length() - 3) : labels;
    List<Path> tried = new ArrayList<>();
    for (String candidate : List.of(labels, plain, plain + ".gz")) {
      Path path = images.resolveSibling(candidate);
      if (Files.exists(path)) {
        return path;
      }
      if (!tried.contains(path)) {
        tried.add(path);
      }
    }
    throw new DataFileException(
        "the labels of %s are missing: there is no %s nor %s"
            .formatted(images, tried.get(0), tried.get(1)));
  }

  /** Opens a resource of this package. */
  static DataStream resource(String name) {
    try {
      return DataStream.of(name, DataFiles.class.getResource(name).openStream());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
