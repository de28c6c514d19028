package dev.kith.lab.data;

import dev.kith.problem.ClassificationData;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * LIBSVM text: {@code LABEL INDEX:VALUE INDEX:VALUE ...}, indices from 1 and ascending, the rest
 * zero, {@code #} starts a comment. The result is dense.
 */
final class LibsvmReader {
  /** Indices above this would make a dense row of more than 4 MiB. */
  static final int WIDEST = 1 << 20;

  /** A dense matrix of 4 GiB. */
  private static final long MOST_VALUES = 1L << 30;

  /** Dense values up to which any share of zeros is taken: 256 MiB. */
  private static final long SPARSE_VALUES = 1L << 26;

  /** Above that, so many dense values for one that stands in the file are taken for a mistake. */
  private static final long MOST_EXPANSION = 1000;

  private LibsvmReader() {}

  /** What a line says about the format. */
  enum Look {
    LIBSVM,
    OTHER,
    /** A comment or a single number, which may be the label of a row of zeros. */
    OPEN
  }

  static Look look(String line) {
    int comment = line.indexOf('#');
    String text = (comment < 0 ? line : line.substring(0, comment)).strip();
    if (text.matches("(?s)[^\\s:,;]+(\\s+\\d+:.*)")) {
      return Look.LIBSVM;
    }
    return text.isEmpty() || text.matches("[-+]?[0-9.]+") ? Look.OPEN : Look.OTHER;
  }

  static RawData read(String name, DataStream in) {
    TextLines lines = new TextLines(in);
    ClassNames names = new ClassNames();
    FloatList values = new FloatList();
    List<int[]> indices = new ArrayList<>();
    int width = 1;
    for (String line = lines.next(); line != null; line = lines.next()) {
      int end = line.indexOf('#') < 0 ? line.length() : line.indexOf('#');
      int at = skipBlanks(line, 0, end);
      if (at == end) {
        continue;
      }
      int stop = wordEnd(line, at, end);
      String label = line.substring(at, stop);
      lines.number(label, at);
      if (!names.add(ClassNames.canonical(label))) {
        throw lines.fault(at, "more than %d different labels".formatted(ClassNames.MOST));
      }
      int[] row = new int[8];
      int count = 0;
      for (at = skipBlanks(line, stop, end); at < end; at = skipBlanks(line, stop, end)) {
        stop = wordEnd(line, at, end);
        int colon = line.indexOf(':', at);
        if (colon < 0 || colon >= stop) {
          throw lines.fault(
              at, "'%s' is not INDEX:VALUE".formatted(TextLines.shown(line.substring(at, stop))));
        }
        int index = index(lines, line.substring(at, colon), at);
        if (count > 0 && index <= row[count - 1] + 1) {
          throw lines.fault(
              at,
              "index %d follows index %d; indices must ascend"
                  .formatted(index, row[count - 1] + 1));
        }
        values.add(lines.number(line.substring(colon + 1, stop), colon + 1));
        if (count == row.length) {
          row = Arrays.copyOf(row, 2 * count);
        }
        row[count++] = index - 1;
        width = Math.max(width, index);
      }
      indices.add(Arrays.copyOf(row, count));
    }
    if (indices.isEmpty()) {
      throw new DataFileException(in.name() + " holds no line of data");
    }
    List<String> classes = names.sorted();
    return new RawData(
        ClassificationData.of(
            name, width, classes.size(), dense(in.name(), values, indices, width), names.labels()),
        "libsvm",
        0,
        classes,
        List.of(in.sha256()));
  }

  private static int index(TextLines lines, String text, int column) {
    if (!text.matches("\\d{1,9}")) {
      throw lines.fault(column, "'%s' is not an index".formatted(TextLines.shown(text)));
    }
    int index = Integer.parseInt(text);
    if (index < 1 || index > WIDEST) {
      throw lines.fault(
          column,
          "index %d lies outside 1 to %d; LIBSVM counts features from 1".formatted(index, WIDEST));
    }
    return index;
  }

  private static float[] dense(String file, FloatList values, List<int[]> indices, int width) {
    if ((long) indices.size() * width > MOST_VALUES) {
      throw new DataFileException(
          "%s has %d lines and %d features, more than the %d values that fit a dense matrix"
              .formatted(file, indices.size(), width, MOST_VALUES));
    }
    long dense64 = (long) indices.size() * width;
    if (dense64 > SPARSE_VALUES && dense64 > MOST_EXPANSION * values.size()) {
      throw new DataFileException(
          "%s has %d lines and indices up to %d, but only %d values: as dense rows they would take %d MiB; number the features without gaps, or leave out the rare ones"
              .formatted(file, indices.size(), width, values.size(), dense64 >> 18));
    }
    float[] dense = new float[indices.size() * width];
    int next = 0;
    for (int r = 0; r < indices.size(); r++) {
      for (int column : indices.get(r)) {
        dense[r * width + column] = values.get(next++);
      }
    }
    return dense;
  }

  private static int skipBlanks(String line, int at, int end) {
    while (at < end && (line.charAt(at) == ' ' || line.charAt(at) == '\t')) {
      at++;
    }
    return at;
  }

  private static int wordEnd(String line, int at, int end) {
    while (at < end && line.charAt(at) != ' ' && line.charAt(at) != '\t') {
      at++;
    }
    return at;
  }
}
