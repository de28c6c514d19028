package dev.kith.lab.data;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** The lines of a text file, counted from 1, each at most {@link #LONGEST} bytes. */
final class TextLines {
  /**
   * Wide enough for a million features written out; a file without line ends stops here and not at
   * the end of memory.
   */
  static final int LONGEST = 1 << 25;

  /** The byte order mark, which spreadsheets put before UTF-8. */
  private static final byte[] MARK = {(byte) 0xef, (byte) 0xbb, (byte) 0xbf};

  private final DataStream in;
  private final byte[] buffer = new byte[1 << 16];
  private int next;
  private int end;
  private byte[] line = new byte[1 << 10];
  private long number;

  TextLines(DataStream in) {
    this.in = in;
  }

  /** The next line without its end, or null after the last one. */
  String next() {
    int length = 0;
    boolean any = false;
    while (true) {
      if (next == end) {
        end = in.read(buffer, 0, buffer.length);
        next = 0;
        if (end <= 0) {
          end = 0;
          break;
        }
      }
      any = true;
      int from = next;
      while (next < end && buffer[next] != '\n') {
        next++;
      }
      int count = next - from;
      if (length + count > LONGEST) {
        throw DataFileException.at(
            in.name(), number + 1, LONGEST, "the line is longer than %d bytes".formatted(LONGEST));
      }
      if (length + count > line.length) {
        line = Arrays.copyOf(line, Math.max(length + count, 2 * line.length));
      }
      System.arraycopy(buffer, from, line, length, count);
      length += count;
      if (next < end) {
        next++;
        break;
      }
    }
    if (!any) {
      return null;
    }
    number++;
    int begin = number == 1 && startsWithMark(length) ? MARK.length : 0;
    if (length > begin && line[length - 1] == '\r') {
      length--;
    }
    return new String(line, begin, length - begin, StandardCharsets.UTF_8);
  }

  private boolean startsWithMark(int length) {
    return length >= MARK.length && Arrays.equals(line, 0, MARK.length, MARK, 0, MARK.length);
  }

  /** Of the line that {@link #next} gave last. */
  long number() {
    return number;
  }

  /** A fault in the current line; {@code column} counts characters from 0. */
  DataFileException fault(int column, String what) {
    return DataFileException.at(in.name(), number, column + 1L, what);
  }

  /** A finite decimal number; the forms that only Java knows (1f, 0x1p3, NaN) are refused. */
  float number(String text, int column) {
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if ((c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E') {
        throw fault(column, "'%s' is not a number".formatted(shown(text)));
      }
    }
    float value;
    try {
      value = Float.parseFloat(text);
    } catch (NumberFormatException e) {
      throw fault(
          column,
          text.isEmpty() ? "a number is missing" : "'%s' is not a number".formatted(shown(text)));
    }
    if (!Float.isFinite(value)) {
      throw fault(column, "'%s' is larger than a 32-bit float can hold".formatted(shown(text)));
    }
    return value;
  }

  /** Hostile text is cut, and control characters do not reach the terminal. */
  static String shown(String text) {
    String cut = text.length() <= 40 ? text : text.substring(0, 40) + "...";
    return cut.replaceAll("\\p{Cntrl}", "?");
  }
}
