package dev.kith.lab.data;

import dev.kith.problem.ClassificationData;
import java.util.ArrayList;
import java.util.List;

/**
 * Comma-separated values, one sample a line: numbers, and a label in one column. Semicolons and
 * tabs separate as well, whichever the first line has most of. A first line whose fields are not
 * all numbers, apart from the label, is a header.
 */
final class CsvReader {
  private record Field(String text, int column) {}

  private final TextLines lines;
  private final String labelColumn;
  private char separator;

  private CsvReader(TextLines lines, String labelColumn) {
    this.lines = lines;
    this.labelColumn = labelColumn;
  }

  /**
   * @param labelColumn "last", "first", a number from 1, or a name in the header
   */
  static RawData read(String name, DataStream in, String labelColumn) {
    return new CsvReader(new TextLines(in), labelColumn).read(name, in);
  }

  private RawData read(String name, DataStream in) {
    String first = nextFilled();
    if (first == null) {
      throw new DataFileException(in.name() + " holds no line of data");
    }
    separator = mostFrequent(first);
    List<Field> fields = split(first);
    int width = fields.size();
    if (width < 2) {
      throw lines.fault(0, "a line needs at least one number and a label, separated by commas");
    }
    int label = labelPosition(fields);
    String line = isHeader(fields, label) ? nextFilled() : first;
    FloatList values = new FloatList();
    ClassNames names = new ClassNames();
    for (; line != null; line = nextFilled()) {
      fields = split(line);
      if (fields.size() != width) {
        int column = fields.size() > width ? fields.get(width).column : line.length();
        throw lines.fault(
            column,
            "the line has %d fields, the first line has %d".formatted(fields.size(), width));
      }
      for (int i = 0; i < width; i++) {
        Field field = fields.get(i);
        if (i != label) {
          values.add(lines.number(field.text, field.column));
        } else if (field.text.isEmpty()) {
          throw lines.fault(field.column, "the label is missing");
        } else if (!names.add(ClassNames.canonical(field.text))) {
          throw lines.fault(
              field.column,
              "more than %d different labels; choose the label column with --label"
                  .formatted(ClassNames.MOST));
        }
      }
    }
    if (values.size() == 0) {
      throw new DataFileException(in.name() + " holds a header and no line of data");
    }
    List<String> classes = names.sorted();
    return new RawData(
        ClassificationData.of(name, width - 1, classes.size(), values.toArray(), names.labels()),
        "csv",
        0,
        classes,
        List.of(in.sha256()));
  }

  private String nextFilled() {
    String line = lines.next();
    while (line != null && line.isBlank()) {
      line = lines.next();
    }
    return line;
  }

  private static char mostFrequent(String line) {
    char best = ',';
    long most = 0;
    for (char c : new char[] {',', ';', '\t'}) {
      long count = line.chars().filter(x -> x == c).count();
      if (count > most) {
        most = count;
        best = c;
      }
    }
    return best;
  }

  private int labelPosition(List<Field> fields) {
    if (labelColumn.equals("last")) {
      return fields.size() - 1;
    }
    if (labelColumn.equals("first")) {
      return 0;
    }
    if (labelColumn.matches("\\d{1,9}")) {
      int position = Integer.parseInt(labelColumn) - 1;
      if (position < 0 || position >= fields.size()) {
        throw lines.fault(
            0, "there is no column %s; the line has %d".formatted(labelColumn, fields.size()));
      }
      return position;
    }
    for (int i = 0; i < fields.size(); i++) {
      if (fields.get(i).text.equals(labelColumn)) {
        return i;
      }
    }
    throw lines.fault(
        0, "no field of the first line is called '%s'".formatted(TextLines.shown(labelColumn)));
  }

  private boolean isHeader(List<Field> fields, int label) {
    if (fields.get(label).text.equals(labelColumn)) {
      return true;
    }
    for (int i = 0; i < fields.size(); i++) {
      String text = fields.get(i).text;
      if (i != label && !text.isEmpty() && !text.matches("[0-9.+-][0-9.eE+-]*")) {
        return true;
      }
    }
    return false;
  }

  private List<Field> split(String line) {
    List<Field> fields = new ArrayList<>();
    int at = 0;
    while (true) {
      int start = at;
      while (start < line.length() && line.charAt(start) == ' ') {
        start++;
      }
      if (start < line.length() && line.charAt(start) == '"') {
        StringBuilder text = new StringBuilder();
        at = start + 1;
        while (true) {
          if (at >= line.length()) {
            throw lines.fault(start, "the quoted field does not end on this line");
          }
          if (line.charAt(at) != '"') {
            text.append(line.charAt(at++));
          } else if (at + 1 < line.length() && line.charAt(at + 1) == '"') {
            text.append('"');
            at += 2;
          } else {
            break;
          }
        }
        at++;
        while (at < line.length() && line.charAt(at) == ' ') {
          at++;
        }
        if (at < line.length() && line.charAt(at) != separator) {
          throw lines.fault(at, "a separator is missing after the quoted field");
        }
        fields.add(new Field(text.toString(), start));
      } else {
        at = line.indexOf(separator, start);
        at = at < 0 ? line.length() : at;
        fields.add(new Field(line.substring(start, at).strip(), start));
      }
      if (at >= line.length()) {
        return fields;
      }
      at++;
    }
  }
}
