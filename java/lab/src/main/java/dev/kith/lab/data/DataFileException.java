package dev.kith.lab.data;

/**
 * A data file cannot be used; the message is one sentence that names the file and the place in it.
 */
public final class DataFileException extends RuntimeException {
  private static final long serialVersionUID = 1;

  DataFileException(String message) {
    super(message);
  }

  DataFileException(String message, Throwable cause) {
    super(message, cause);
  }

  /** A fault at a place in a text file; line and column count from 1. */
  static DataFileException at(String file, long line, long column, String what) {
    return new DataFileException("%s, line %d, column %d: %s".formatted(file, line, column, what));
  }
}
