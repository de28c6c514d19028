package dev.kith.lab.experiment;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Path;

/** This machine lacks something that the run needs; the message is one sentence for the user. */
public final class EnvironmentException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** One sentence and what was behind it. */
  public EnvironmentException(String message, Throwable cause) {
    super(message, cause);
  }

  /** The folder of the results cannot be written. */
  static EnvironmentException unwritable(Path folder, IOException cause) {
    return new EnvironmentException(
        "results cannot be written to %s (%s): free space or mend its permissions, or give another folder with --out"
            .formatted(folder, reason(cause)),
        cause);
  }

  private static String reason(IOException cause) {
    if (cause instanceof AccessDeniedException denied) {
      return "no permission for " + denied.getFile();
    }
    if (cause instanceof FileSystemException file && file.getReason() != null) {
      return file.getReason();
    }
    return cause.getMessage() == null ? cause.getClass().getSimpleName() : cause.getMessage();
  }
}
